"""Simulated workers at a real FIFO, with torch's server at its other end."""

from collections.abc import Iterator

import pytest

from timersim.backends.leftovers import no_leftovers
from timersim.backends.names import make_backend
from timersim.lab import (
    Acquire,
    Backend,
    Crash,
    Flood,
    Operation,
    Pause,
    PauseServer,
    Release,
    Schedule,
    Stall,
    StopServer,
    run,
)
from timersim.lab.record import Arrived, Meddled
from timersim.lab.trace import Trace

pytest.importorskip("torch")  # .ci/run has it, and runs what is marked so
pytestmark = pytest.mark.torch

IN_TIME = 11
"""When who is due at 1 is reaped by a server that nobody holds up: after its interval, and a nap."""


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """Yields torch's server over a FIFO, with simulated workers."""
    backend = make_backend("torch-file-memory")
    yield backend
    backend.close()


def reaps(trace: Trace) -> list[tuple[int | None, float]]:
    """Returns who was reaped when."""
    return [(reap.worker, reap.at) for reap in trace.reaps]


def test_who_stalls_twice_holds_up_the_server_until_the_end_of_the_second_stall(backend: Backend) -> None:
    """The FIFO stays open from one stall to the next: another worker, due at 1, is reaped when the second ends."""
    once = [Stall(0, 2), Acquire(0, "s0", after=50), Acquire(1, "s0", after=1)]
    twice = [*once, Stall(0, 30), Acquire(0, "s1", after=50)]

    assert reaps(run(Schedule(once), backend))[0] == (1, IN_TIME)
    assert reaps(run(Schedule(twice), backend))[0] == (1, 32)


@pytest.mark.parametrize(("end", "reaped"), [([], 600), ([Crash(1, "sigkill", gap=20)], 21)])
def test_who_dies_while_it_stalls_holds_up_nobody_any_more(end: list[Operation], reaped: int, backend: Backend) -> None:
    """A stalling worker's end closes its FIFO, and the server goes on after a nap, not when the stall were over."""
    trace = run(Schedule([Stall(1, 600), Release(1, "s0"), Acquire(0, "s0", after=1), *end]), backend)

    assert reaps(trace)[0] == (0, reaped)


def test_what_a_full_pipe_does_not_take_is_refused(backend: Backend) -> None:
    """A paused server's FIFO takes so many lines, in order; each after them is refused, and has armed nothing."""
    late = Acquire(1, "s0", after=1, gap=1)
    full, roomy = (run(Schedule([PauseServer(20), Flood(0, "s0", n), late]), backend) for n in (1500, 16))

    arrived = [event.request for event in full.of(Arrived)]
    assert 16 < len(arrived) < 1500
    assert arrived == list(range(len(arrived)))
    assert full.of(Meddled) == [Meddled(int(n > 1499), n, "refused", int(n > 1499)) for n in range(len(arrived), 1501)]
    assert (reaps(full), full.violations) == ([], [])
    assert (reaps(roomy)[0][0], roomy.of(Meddled)) == (1, [])


def test_who_is_paused_while_it_stalls_leaves_no_descriptor() -> None:
    """What a worker has open that never comes to the end of its stall is closed with the run."""
    with no_leftovers():
        backend = make_backend("torch-file-memory")
        run(Schedule([Stall(0, 5), Acquire(0, "s0", after=1), Pause(0, gap=3), StopServer()]), backend)
        backend.close()
