"""The server with a table: when it reaps, when it wakes, what it refuses."""

import logging
import math
from typing import Any

import pytest

from timersim import MemoryRequestQueue, RequestQueue, TimerRequest
from timersim.fakes import VirtualClock
from timersim.table_server import TableTimerServer

START = 1_000_000.0
"""Where virtual time begins."""


class NotingServer(TableTimerServer):
    """A table server whose every reap succeeds; `reaps` and `passes` note when, in seconds from START."""

    def __init__(self, *, max_interval: float = 3600, queue: RequestQueue | None = None) -> None:
        self.clock = VirtualClock(START)
        self.queue = MemoryRequestQueue(clock=self.clock)
        super().__init__(queue or self.queue, max_interval, clock=self.clock)
        self.passes: list[float] = []
        self.reaps: list[tuple[Any, float]] = []

    @property
    def now(self) -> float:
        """Seconds since START, by the monotonic clock."""
        return self.clock.monotonic() - START

    def acquire(self, worker_id: Any, after: float, scope_id: str = "s") -> None:
        """Sends an acquire, due in `after` seconds by the wall clock."""
        self.queue.put(TimerRequest(worker_id, scope_id, self.clock.time() + after))

    def release(self, worker_id: Any, scope_id: str = "s") -> None:
        """Sends a release."""
        self.queue.put(TimerRequest(worker_id, scope_id, -1))

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        self.passes.append(self.now)
        return super().get_expired_timers(deadline)

    def _reap_worker(self, worker_id: Any) -> bool:
        self.reaps.append((worker_id, self.now))
        return True


@pytest.fixture
def server() -> NotingServer:
    """A server that is guarding."""
    server = NotingServer()
    server.start()
    return server


@pytest.mark.parametrize(("offset", "reaps"), [(-1, []), (0, [(1, 60)]), (1, [(1, 60)])])
def test_a_worker_is_reaped_at_its_expiration(offset: int, reaps: list[Any], server: NotingServer) -> None:
    """A worker is reaped at its expiration and not a tick before or after, however long `max_interval` is."""
    server.acquire(1, after=60)
    server.clock.advance(60 + offset)

    assert server.reaps == reaps


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_release_counts_until_the_expiration(offset: int, server: NotingServer) -> None:
    """A release before the expiration spares the worker, one at it may come too late, one after it does."""
    server.acquire(1, after=60)
    server.clock.call_later(60 + offset, lambda: server.release(1))
    server.clock.advance(100)

    if offset:
        assert server.reaps == ([] if offset < 0 else [(1, 60)])
    else:
        assert server.reaps in ([], [(1, 60)])


@pytest.mark.parametrize(("offset", "reaps"), [(-1, [(1, 159)]), (0, [(1, 160)]), (1, [(1, 161)])])
def test_a_timer_acquired_again_has_its_newer_expiration(offset: int, reaps: list[Any], server: NotingServer) -> None:
    """A second acquire of a scope, sent while the first holds, replaces its expiration."""
    server.acquire(1, after=60)
    server.clock.advance(59)
    server.acquire(1, after=101 + offset)
    server.clock.advance(1000)

    assert server.reaps == reaps


def test_each_worker_is_reaped_at_its_own_expiration(server: NotingServer) -> None:
    """Workers are reaped each in its time, whatever the order in which they acquired."""
    for worker, after in [(1, 30), (2, 10), (3, 20)]:
        server.acquire(worker, after=after)
    server.clock.advance(100)

    assert server.reaps == [(2, 10), (3, 20), (1, 30)]


def test_a_worker_is_reaped_at_its_first_expiration(server: NotingServer) -> None:
    """A worker with several scopes is reaped once, at the earliest, and all its timers are gone."""
    server.acquire(1, after=30, scope_id="outer")
    server.acquire(1, after=10, scope_id="inner")
    server.clock.advance(100)

    assert (server.reaps, list(server._timers)) == ([(1, 10)], [])


def test_a_release_ends_its_own_scope_only(server: NotingServer) -> None:
    """A release disarms neither another scope of its worker nor the same scope of another."""
    server.acquire(1, after=30, scope_id="outer")
    server.acquire(1, after=10, scope_id="inner")
    server.acquire(2, after=20, scope_id="inner")
    server.release(1, scope_id="inner")
    server.clock.advance(100)

    assert server.reaps == [(2, 20), (1, 30)]


@pytest.mark.parametrize(
    ("expiration", "held"), [(-0.0, True), (0, True), (-1e-9, False), (-1, False), (-math.inf, False)]
)
def test_only_a_negative_expiration_releases(expiration: float, *, held: bool) -> None:
    """A zero of either sign acquires; whatever is below it releases."""
    server = NotingServer()
    server.register_timers([TimerRequest(1, "s", START + 60), TimerRequest(1, "s", expiration)])

    due = server.get_expired_timers(START)
    assert (((1, "s") in server._timers), 1 in due) == (held, held)


def test_a_timer_that_is_past_when_it_arrives_is_due_at_once(server: NotingServer) -> None:
    """An acquire whose expiration is over when it is registered is due at that instant."""
    server.clock.advance(5)
    server.acquire(1, after=-100)
    server.clock.advance(0)

    assert server.reaps == [(1, 5)]


def test_a_worker_may_expire_twice_at_one_instant(server: NotingServer) -> None:
    """A worker that acquires anew at the very instant of its reap, already due, is reaped again at it."""
    server.clock.advance(5)
    server.acquire(1, after=0)
    server.clock.advance(0)
    server.acquire(1, after=0)
    server.clock.advance(0)

    assert server.reaps == [(1, 5), (1, 5)]


def test_an_infinite_timer_is_never_due(server: NotingServer) -> None:
    """A timer armed for infinity is held, and expires never."""
    server.acquire(1, after=math.inf)
    server.clock.advance(10_000_000)

    assert (server.reaps, list(server._timers)) == ([], [(1, "s")])


def test_the_watchdog_sleeps_until_the_next_expiration(server: NotingServer) -> None:
    """Between the requests and the expirations there is no pass: neither early, nor at an instant that was released."""
    server.acquire(1, after=60)
    server.acquire(2, after=90)
    server.clock.advance(10)
    server.release(1)
    server.clock.advance(490)

    assert (server.passes, server.reaps) == ([0, 10, 90], [(2, 90)])


def test_a_nearer_timer_shortens_the_sleep(server: NotingServer) -> None:
    """A timer that is due before the one that is slept for wakes the watchdog in its own time."""
    server.acquire(1, after=60)
    server.clock.advance(10)
    server.acquire(2, after=20)
    server.clock.advance(100)

    assert server.reaps == [(2, 30), (1, 60)]


def test_without_timers_the_watchdog_sleeps_for_max_interval() -> None:
    """Where nothing is due, a pass follows every `max_interval`."""
    server = NotingServer(max_interval=10)
    server.acquire(1, after=35)
    server.start()
    server.clock.advance(50)

    assert (server.passes, server.reaps) == ([0, 10, 20, 30, 35, 45], [(1, 35)])


def test_what_arrived_before_a_pass_is_registered_before_it_judges() -> None:
    """After a pause the releases in the queue count first, behind however many requests: nobody is reaped."""
    server = NotingServer()
    server.acquire(1, after=60)
    server.acquire(2, after=60)
    for index in range(1000):
        server.acquire(3, after=10_000, scope_id=f"s{index}")
    server.release(1)
    server.clock.advance(500)
    server.start()
    server.clock.advance(10)

    assert server.reaps == [(2, 500)]


@pytest.mark.parametrize("step", [-3600.0, -60.0, -1.0, 1.0, 59.0, 60.0, 3600.0])
def test_a_step_of_the_wall_clock_moves_no_registered_timer(step: float, server: NotingServer) -> None:
    """Once a timer is registered, a step of the wall clock neither kills nor spares."""
    server.acquire(1, after=60)
    server.clock.advance(30)
    server.clock.step_wall(step)
    server.acquire(2, after=10_000)
    server.clock.advance(1000)

    assert server.reaps == [(1, 60)]


@pytest.mark.parametrize(
    ("step", "due"), [(-10.0, 70), (-1.0, 61), (0.0, 60), (1.0, 59), (29.0, 31), (30.0, 30), (31.0, 30), (3600.0, 30)]
)
def test_a_step_before_the_registration_moves_the_timer(step: float, due: float) -> None:
    """An expiration is read by the wall clock at its registration: due as far off as it says then, or at once."""
    server = NotingServer()
    server.acquire(1, after=60)
    server.clock.advance(30)
    server.clock.step_wall(step)
    server.start()
    server.clock.advance(1000)

    assert server.reaps == [(1, due)]


@pytest.mark.parametrize("step", [-100.0, 100.0])
def test_a_timer_sent_after_a_step_is_due_by_the_stepped_clock(step: float, server: NotingServer) -> None:
    """Client and server see one wall clock: what is acquired after a step is due as many seconds later as ever."""
    server.clock.step_wall(step)
    server.clock.advance(5)
    server.acquire(1, after=60)
    server.clock.advance(1000)

    assert server.reaps == [(1, 65)]


@pytest.mark.parametrize("step", [-100.0, 0.0, 100.0])
def test_expired_timers_are_told_with_a_wall_clock_expiration(step: float) -> None:
    """`get_expired_timers(deadline)` takes and tells instants of today's wall clock, by worker."""
    server = NotingServer()
    server.register_timers([TimerRequest(1, "a", START + 10), TimerRequest(2, "a", START + 20)])
    server.register_timers([TimerRequest(1, "b", START + 11)])
    server.clock.step_wall(step)
    wall = START + step

    assert server.get_expired_timers(wall + 9) == {}
    assert server.get_expired_timers(wall + 10) == {1: [TimerRequest(1, "a", wall + 10)]}
    assert server.get_expired_timers(wall + 20) == {
        1: [TimerRequest(1, "a", wall + 10), TimerRequest(1, "b", wall + 11)],
        2: [TimerRequest(2, "a", wall + 20)],
    }


def test_the_timers_of_several_workers_are_cleared_at_once() -> None:
    """`clear_timers` forgets all timers of the workers named, known or not, and of no other."""
    server = NotingServer()
    server.register_timers([TimerRequest(worker, scope, START) for worker in (1, 2, 3) for scope in "ab"])
    server.clear_timers({1, 3, 4})

    assert sorted(server._timers) == [(2, "a"), (2, "b")]


class PlainQueue(RequestQueue):
    """A queue of somebody else's, which cannot be woken."""

    def __init__(self) -> None:
        self.requests: list[TimerRequest] = []
        self.clock: VirtualClock | None = None

    def size(self) -> int:
        return len(self.requests)

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        assert self.clock is not None
        self.clock.wait(lambda seconds: bool(self.requests), timeout)
        taken, self.requests = self.requests[:size], self.requests[size:]
        return taken


def test_who_was_spared_by_a_stop_is_reaped_at_the_next_start() -> None:
    """Of two that are due at once the second, spared by a stop in the first one's reap, is reaped when it starts."""

    class SlowServer(NotingServer):
        def _reap_worker(self, worker_id: Any) -> bool:
            super()._reap_worker(worker_id)
            self.clock.sleep(5)
            return True

    queue = PlainQueue()
    server = SlowServer(queue=queue)
    queue.clock = server.clock
    queue.requests = [TimerRequest(1, "s", START), TimerRequest(2, "s", START)]
    server.start()
    server.clock.advance(2)
    server.stop()
    server.clock.advance(95)
    assert server.reaps == [(1, 0)]

    server.start()
    server.clock.advance(0)
    assert server.reaps == [(1, 0), (2, 100)]


class Evil:
    """A message that raises when it is looked at."""

    @property
    def worker_id(self) -> int:
        """Raises."""
        raise ValueError("do not look")


class Unlucky:
    """A worker id that fails whoever hashes it."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash today")


BAD_MESSAGES: list[object] = [
    None,
    "acquire",
    {"worker_id": 1, "scope_id": "s", "expiration_time": 1.0},
    TimerRequest([], "s", 1.0),
    TimerRequest(1, "s", math.nan),
    TimerRequest(1, "s", "soon"),  # type: ignore[arg-type]  # that is the point
    TimerRequest(1, "s", None),  # type: ignore[arg-type]  # that is the point
    TimerRequest(1, 7, 1.0),  # type: ignore[arg-type]  # that is the point
    TimerRequest(1, "s", 10**400),
    TimerRequest(1, "s", 10**5000),
    TimerRequest(Unlucky(), "s", 1.0),
    Evil(),
]


@pytest.mark.parametrize("bad", BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_a_bad_message_costs_itself_alone(bad: Any, server: NotingServer, caplog: pytest.LogCaptureFixture) -> None:
    """A message that cannot be registered is logged with its reason, once; those around it are registered."""
    with caplog.at_level(logging.WARNING, "timersim"):
        server.acquire(1, after=60)
        server.queue.put(bad)
        server.acquire(2, after=70)
        server.clock.advance(0)
        assert sorted(server._timers) == [(1, "s"), (2, "s")]
    assert [(record.levelname, record.msg) for record in caplog.records] == [("WARNING", "Refused a request: %s")]

    server.clock.advance(100)
    assert server.reaps == [(1, 60), (2, 70)]


def test_a_refusal_is_logged_with_its_reason(server: NotingServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what was wrong with a request that was refused."""
    server.queue.put(TimerRequest(1, "s", math.nan))
    server.clock.advance(0)

    assert caplog.messages == ["Refused a request: expiration_time is not a number of seconds: nan"]


def test_a_stopped_server_keeps_its_timers_by_monotonic_time(server: NotingServer) -> None:
    """What is held when the server stops is guarded after the next start, whatever the wall clock did meanwhile."""
    server.acquire(1, after=60)
    server.acquire(2, after=600)
    server.clock.advance(10)
    server.stop()
    server.clock.step_wall(-1000)
    server.clock.advance(90)
    assert server.reaps == []

    server.start()
    server.clock.advance(1000)
    assert server.reaps == [(1, 100), (2, 600)]
