"""torch's own server in the laboratory."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from timersim.backends import TorchBackend
from timersim.backends.torch import SimulatedTorchBackend, TorchTransport
from timersim.lab import (
    Acquire,
    Backend,
    Corrupt,
    Crash,
    Exit,
    FailReap,
    Operation,
    PauseServer,
    Release,
    Reuse,
    Schedule,
    Stall,
    StartServer,
    StepWall,
    StopServer,
    run,
)
from timersim.lab.trace import Trace
from timersim.strategies import find_violations

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def backend() -> Iterator[TorchBackend]:
    """Yields torch's server on real processes."""
    backend = TorchBackend("local")
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def over_fifo() -> Iterator[TorchBackend]:
    """Yields torch's server over a FIFO, on real processes."""
    backend = TorchBackend("file")
    yield backend
    backend.close()


@pytest.fixture(scope="module", params=["real", "simulated"])
def either(request: pytest.FixtureRequest, over_fifo: TorchBackend) -> Iterator[Backend]:
    """Yields the same with real workers, then with simulated ones."""
    if request.param == "real":
        yield over_fifo
        return
    backend = SimulatedTorchBackend("file")
    yield backend
    backend.close()


def broken(trace: Trace) -> set[str]:
    """Returns the ids of the invariants that a trace breaks, known or not."""
    return {violation.invariant.id for violation in (*trace.violations, *trace.known)}


def reaps(trace: Trace) -> list[tuple[int | None, float]]:
    """Returns who was reaped when."""
    return [(reap.worker, reap.at) for reap in trace.reaps]


def test_torch_reaps_a_hung_process_within_its_interval(backend: TorchBackend) -> None:
    """Torch's watchdog loop, in virtual time, really kills who is hung, when its interval is over."""
    trace = run(Schedule([Acquire(0, "s0", after=5)]), backend)

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 10)]
    assert trace.violations == []


def test_torch_spares_who_releases(backend: TorchBackend) -> None:
    """Who releases in time lives."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]), backend)

    assert (trace.reaps, trace.violations) == ([], [])


def test_torch_attempts_to_kill_who_is_dead(backend: TorchBackend) -> None:
    """Torch takes in one request a pass after a pause: it kills a worker, then registers a timer of the dead one."""
    schedule = Schedule([PauseServer(1), Acquire(0, "s0", after=0), Acquire(0, "s1", after=0)])

    trace = run(schedule, backend)

    assert [violation.headline for violation in trace.violations] == [
        "dead-stay-dead: worker 0 was seen gone at t=1, and a reap was attempted at t=1"
    ]


def test_torch_does_not_guard_again_after_a_restart(backend: TorchBackend) -> None:
    """Torch's `stop` leaves its flag set: the next `start` ends at once, nobody watches, and the hung live on."""
    schedule = Schedule([StopServer(), StartServer(gap=20), Acquire(0, "s0", after=1)])

    trace = run(schedule, backend)

    broken = [violation.invariant.id for violation in trace.violations]
    assert broken == ["reaped-in-time", "restart-guards", "watchdog-survives"]


def test_a_search_finds_the_kill_of_the_dead(backend: TorchBackend) -> None:
    """With default settings the search names dead-stay-dead, shrunk to a handful of operations."""
    report = find_violations(backend, max_examples=200)

    assert "dead-stay-dead" in report.broken
    assert max(len(finding.schedule) for finding in report.findings) <= 6
    assert report.kills >= 100


def test_torch_is_itself_again_after_a_run(backend: TorchBackend) -> None:
    """After a run torch's modules have their own time, threads and os."""
    import os
    import threading
    import time

    from torch.distributed.elastic.timer import api, local_timer

    run(Schedule([Acquire(0, "s0", after=5)]), backend)

    assert (api.time, api.threading, local_timer.os, local_timer.time) == (time, threading, os, time)


def test_over_a_fifo_torch_reaps_within_its_interval_and_a_nap(either: Backend) -> None:
    """Over a FIFO a hung worker is killed at the end of the pass, which lasts a second longer than the interval."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Acquire(1, "s0", after=60)]), either)

    assert (reaps(trace), trace.violations, broken(trace)) == ([(0, 11)], [], {"right-set"})


def test_over_a_fifo_torch_spares_who_releases(either: Backend) -> None:
    """Who releases in time lives, and so does the server."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]), either)

    assert (reaps(trace), broken(trace)) == ([], set())


@pytest.mark.parametrize(("released", "killed"), [(9, []), (10, [(0, 11)])])
def test_over_a_fifo_torch_kills_who_has_released_a_second_ago(
    released: int, killed: list[tuple[int, int]], either: Backend
) -> None:
    """A release that comes in the nap before the judgement is not read: without any fault the healthy is killed."""
    trace = run(Schedule([Acquire(0, "s0", after=11), Release(0, "s0", gap=released)]), either)

    assert reaps(trace) == killed
    assert ("release-wins" in broken(trace)) == bool(killed)


@pytest.mark.parametrize("end", [Exit(0, gap=4), Crash(0, "sigkill", gap=4)])
def test_over_a_fifo_torch_ends_itself_for_a_worker_that_has_ended(end: Operation, either: Backend) -> None:
    """A worker that ends before its timer is due takes torch's server along, which has reaped nobody."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Acquire(1, "s0", after=60), end]), either)

    assert (reaps(trace), broken(trace)) == ([], {"watchdog-survives", "right-set"})


def test_what_arrives_in_the_last_nap_waits_for_the_end_of_the_next_pass(either: Backend) -> None:
    """A timer that arrives in the nap at the end of a pass is looked at a pass later: later than promised."""
    trace = run(Schedule([Release(0, "s0"), Acquire(0, "s0", after=0, gap=10)]), either)

    assert (reaps(trace), broken(trace)) == ([(0, 22)], {"reaped-in-time", "right-set"})


@pytest.mark.parametrize(
    ("operations", "breaks"),
    [
        ([Acquire(0, "s0", after=0), FailReap(0, 1)], "failed-reap-retried"),
        ([Acquire(0, "s0", after=0), Corrupt(0, "garbage"), Acquire(0, "s0", after=0)], "poison-contained"),
        ([Acquire(0, "s0", after=0), Exit(0), Reuse(0, 0)], "right-incarnation"),
        ([Stall(1, 600), Release(1, "s0"), Acquire(0, "s0", after=0)], "no-head-of-line"),
        ([Release(0, "s0"), StepWall(-600), Acquire(0, "s0", after=0)], "reaped-in-time"),
        ([StopServer(), StartServer(), Acquire(0, "s0", after=0)], "restart-guards"),
        ([Acquire(0, "s0", after=12), Stall(1, 14), Release(1, "s0"), StopServer(gap=2)], "silent-after-stop"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_simulated_workers_show_what_a_fault_does_to_torch(operations: list[Operation], breaks: str) -> None:
    """Over a FIFO each of these faults breaks what its invariant says."""
    backend = SimulatedTorchBackend("file")
    trace = run(Schedule(operations), backend)
    backend.close()

    assert breaks in broken(trace)


@pytest.mark.parametrize("transport", ["local", "file"])
def test_the_same_run_is_the_same(transport: TorchTransport) -> None:
    """A run of torch's servers has the same hash each time, whatever directory its FIFO is in."""
    schedule = Schedule([Acquire(0, "s0", after=5), StopServer(gap=2), StartServer(), Acquire(1, "s0", after=1)])
    hashes = set()
    for _ in range(2):
        backend = SimulatedTorchBackend(transport)
        hashes.add(run(schedule, backend).hash)
        backend.close()

    assert len(hashes) == 1


def test_torchs_modules_are_themselves_after_a_run_over_a_fifo(over_fifo: TorchBackend) -> None:
    """After a run the module has its own time and os, no `open`, and says what it has to say."""
    import os
    import time

    from torch.distributed.elastic.timer import file_based_local_timer

    run(Schedule([Acquire(0, "s0", after=5)]), over_fifo)

    assert (file_based_local_timer.time, file_based_local_timer.os) == (time, os)
    assert "open" not in vars(file_based_local_timer)
    assert not file_based_local_timer.logger.disabled


@pytest.mark.parametrize(("by", "breaks"), [(60, "no-early-reap"), (-60, "reaped-in-time")])
@pytest.mark.parametrize("transport", ["local", "file"])
def test_by_the_monotonic_clock_a_step_moves_torchs_timers(transport: TorchTransport, by: int, breaks: str) -> None:
    """What its contract concedes: "expires in `after` seconds from now" holds until the wall clock steps."""
    backend = SimulatedTorchBackend(transport)
    backend.contract = replace(backend.contract, clock="monotonic")
    trace = run(Schedule([Acquire(0, "s0", after=30), StepWall(by, gap=1)]), backend)
    backend.close()

    assert {breaks, "wall-steps-do-not-matter"} <= broken(trace)
