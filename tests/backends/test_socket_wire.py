"""Real workers in their calls on a socket, while the server is away."""

import os
import select
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from timersim.backends import ProcessBackend
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.workers.pool import PoolError
from timersim.fakes.servers import ServerError
from timersim.lab import (
    Acquire,
    Crash,
    Exit,
    Pause,
    PauseServer,
    Release,
    Resume,
    Schedule,
    Start,
    StartServer,
    StopServer,
    Trace,
    run,
)
from timersim.lab.record import Answered, Arrived, Meddled, Skipped
from timersim.memory_timer import MemoryTimerServer
from timersim.socket_timer import SocketTimerServer


@pytest.fixture(scope="module")
def backend() -> Iterator[ProcessBackend]:
    """Yields a backend whose processes are gone at the end."""
    backend = ProcessBackend("socket")
    yield backend
    backend.close()


def fates(trace: Trace) -> list[tuple[float, float | None, str]]:
    """Returns for each request when it was sent, when it arrived, and what its worker was told, "" for yes."""
    arrived = {event.request: event.at for event in trace.events if isinstance(event, Arrived)}
    told = {event.request: "refused" for event in trace.events if isinstance(event, Meddled)}
    told |= {entry.request: entry.reason for entry in trace.ledger if isinstance(entry, Answered)}
    return [(s.at, arrived.get(s.request), told.get(s.request, "nothing")) for s in trace.requests]


def reaps(trace: Trace) -> list[tuple[int | None, float]]:
    """Returns who was reaped when; nothing may be broken."""
    assert trace.violations == []
    return [(reap.worker, reap.at) for reap in trace.reaps]


def test_a_call_returns_when_its_timer_is_armed(backend: ProcessBackend) -> None:
    """Each answer comes at the instant of its request, and the table holds the timer then, or holds it no more."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4), Acquire(0, "s1", after=2)]), backend)

    answers = [entry for entry in trace.ledger if isinstance(entry, Answered)]
    assert [(entry.at, entry.is_armed) for entry in answers] == [(0, True), (4, False), (4, True)]
    assert reaps(trace) == [(0, 6)]
    assert trace.exercised["acquire-means-armed"] == 3


def test_a_release_that_lies_in_the_socket_wins_over_the_end_of_a_pause(backend: ProcessBackend) -> None:
    """A worker that is connected has released when its packet lies there, though it is answered later."""
    trace = run(Schedule([Acquire(0, "s0", after=5), PauseServer(9, gap=1), Release(0, "s0", gap=3)]), backend)

    assert fates(trace) == [(0, 0, ""), (4, 4, "")]
    assert reaps(trace) == []


def test_who_greets_a_paused_server_is_heard_at_the_end_of_the_pause(backend: ProcessBackend) -> None:
    """A first request is sent when the server has answered the greeting; it is registered at the same instant."""
    trace = run(Schedule([PauseServer(9), Acquire(0, "s0", after=5), Acquire(1, "s0", after=20)]), backend)

    assert fates(trace) == [(0, 9, ""), (0, 9, "")]
    assert reaps(trace) == [(0, 9), (1, 20)]


def test_what_a_worker_is_to_do_waits_until_its_call_has_returned(backend: ProcessBackend) -> None:
    """It happens in order, at the instant of the answer: a release, an acquire, a pause, and nothing after that."""
    trace = run(
        Schedule(
            [
                PauseServer(9),
                Acquire(0, "s0", after=30),
                Release(0, "s0", gap=1),
                Acquire(0, "s1", after=4),
                Pause(0),
                Release(0, "s1"),
            ]
        ),
        backend,
    )

    assert fates(trace) == [(0, 9, ""), (9, 9, ""), (9, 9, "")]
    assert [event.operation for event in trace.events if isinstance(event, Skipped)] == [Release(0, "s1")]
    assert reaps(trace) == [(0, 13)]


def test_a_worker_that_exits_after_its_call_exits_when_it_has_returned(backend: ProcessBackend) -> None:
    """An exit is the worker's own, and waits; who starts in its place before has nothing to start."""
    trace = run(
        Schedule([PauseServer(3), Acquire(0, "s0", after=5), Exit(0), Start(0, gap=1), Start(0, gap=4)]), backend
    )

    assert [(death.at, death.how) for death in trace.deaths] == [(3, "exit")]
    assert [event.operation for event in trace.events if isinstance(event, Skipped)] == [Start(0, gap=1)]
    assert reaps(trace) == []


def test_a_worker_is_killed_for_real_in_its_call(backend: ProcessBackend) -> None:
    """SIGKILL comes from outside and does not wait; nothing is armed for the dead, and its pid is used by nobody."""
    trace = run(
        Schedule(
            [
                Acquire(1, "s0", after=2),
                PauseServer(9),
                Acquire(0, "s0", after=5),
                Acquire(1, "s1", after=5),
                Release(1, "s1"),
                Crash(0, "sigkill", gap=1),
                Crash(1, "sigkill"),
                Start(0),
                Acquire(0, "s1", after=20),
            ]
        ),
        backend,
    )

    assert fates(trace) == [(0, 0, ""), (0, None, "nothing"), (0, 0, "nothing"), (1, 9, "")]
    assert [(death.at, death.worker, death.how) for death in trace.deaths] == [
        (1, 0, "sigkill"),
        (1, 1, "sigkill"),
        (21, 0, "reaped"),
    ]
    assert reaps(trace) == [(0, 21)]


def test_who_is_in_a_call_when_the_server_stops_is_answered_first(backend: ProcessBackend) -> None:
    """A stop takes in what has arrived; what its worker does then finds no server."""
    trace = run(
        Schedule(
            [
                Acquire(1, "s0", after=90),
                PauseServer(9),
                Acquire(0, "s0", after=5),
                Release(1, "s0"),
                Acquire(0, "s1", after=5),
                StopServer(gap=1),
                StartServer(gap=20),
            ]
        ),
        backend,
    )

    assert fates(trace) == [(0, 0, ""), (0, 9, ""), (0, 0, ""), (9, None, "refused")]
    assert reaps(trace) == [(0, 21)]


def test_a_call_goes_through_a_stop_and_a_start_at_the_end_of_a_pause(backend: ProcessBackend) -> None:
    """Who was answered before the stop asks the server that was started since, on a connection of its own."""
    trace = run(
        Schedule(
            [
                PauseServer(9),
                Acquire(0, "s0", after=50),
                Release(0, "s0"),
                Acquire(0, "s1", after=12),
                StopServer(gap=1),
                StartServer(),
            ]
        ),
        backend,
    )

    assert fates(trace) == [(0, 9, ""), (9, 9, ""), (9, 9, "")]
    assert reaps(trace) == [(0, 21)]


def test_what_was_kept_for_a_call_waits_for_a_worker_that_is_resumed(backend: ProcessBackend) -> None:
    """What a stopped worker was to do it does on resuming, one call after the other."""
    kept = [Acquire(0, "s0", after=9), Acquire(0, "s1", after=3), Release(0, "s0")]
    trace = run(Schedule([Pause(0), *kept, Resume(0, gap=2)]), backend)

    assert fates(trace) == [(2, 2, "")] * 3
    assert reaps(trace) == [(0, 5)]


def test_a_worker_that_dies_unseen_in_its_call_ends_the_run_and_leaves_nothing() -> None:
    """A worker that somebody else kills while it waits for its answer is named, though a server takes it lightly."""

    class Kills(SocketTimerServer):
        def register_timers(self, timer_requests: list[Any]) -> None:
            for request in timer_requests:
                pidfd = os.pidfd_open(request.worker_id)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], 10)
                os.close(pidfd)
            super().register_timers(timer_requests)

    backend = ProcessBackend("socket", server=Kills)
    with watch_leftovers() as left, pytest.raises(PoolError, match=r"^worker 0 ended when told to acquire\n"):
        run(Schedule([Acquire(0, "s0", after=5)]), backend)

    assert left == []


class Mute(SocketTimerServer):
    """A server that answers nobody."""

    def register_timers(self, timer_requests: list[Any]) -> None:
        """Takes no notice."""


class MuteToTheEnd(Mute):
    """A server that answers nobody, and does not even hang up."""

    def stop(self) -> None:
        raise RuntimeError("not now")


@pytest.mark.parametrize(("server", "forks"), [(Mute, 3), (MuteToTheEnd, 4)])
def test_a_server_that_never_answers_is_found_and_leaves_nobody_in_a_call(server: type, forks: int) -> None:
    """A call that nobody answers ends when the server hangs up; where it does not the worker ends with the run."""
    backend = ProcessBackend("socket", server=server)
    with watch_leftovers() as left:
        trace = run(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=1)]), backend)
        run(Schedule([Start(0), Start(1), Start(2)]), backend)
        assert backend._pool is not None
        assert backend._pool.forks == forks
        backend.close()

    assert fates(trace) == [(0, 0, "nothing")]
    assert "reaped-in-time" in [violation.invariant.id for violation in trace.violations]
    assert left == []


def test_a_server_that_does_not_answer_on_a_socket_is_refused_in_a_sentence() -> None:
    """On a socket the run listens in on the server's connections: it must have them."""
    backend = ProcessBackend("socket", server=lambda world: MemoryTimerServer(world.queue, 5, reaper=world.reap))

    with pytest.raises(
        ServerError,
        match=r"^on a socket the server is a SocketTimerServer, or a subclass of it: MemoryTimerServer is none$",
    ):
        run(Schedule(), backend)


def test_a_class_that_takes_no_path_is_refused_in_a_sentence() -> None:
    """What a class is called with is what timersim's own server on that wire takes."""

    class Other:
        def __init__(self, queue: object) -> None:
            self.queue = queue

    backend = ProcessBackend("file", server=Other)

    with pytest.raises(ServerError, match=r"takes no run_id and max_interval, and is called as .*Other\("):
        run(Schedule(), backend)
