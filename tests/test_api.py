"""Requests, the guarded block, and the watchdog's loop, in virtual time."""

import inspect
import logging
import math
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import timersim.api
from timersim import (
    Clock,
    MemoryRequestQueue,
    MemoryTimerClient,
    SystemClock,
    TimerClient,
    TimerRequest,
    TimerServer,
    configure,
    expires,
)
from timersim.api import refusal
from timersim.fakes import VirtualClock

START = 1_000_000.0
"""Where virtual time begins."""

LIMIT = 10.0
"""Real seconds after which a call counts as stuck."""


# Requests


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (TimerRequest(7, "load", 60.0), True),
        (TimerRequest(7, "load", 60), True),
        (TimerRequest(8, "load", 60.0), False),
        (TimerRequest(7, "save", 60.0), False),
        (TimerRequest(7, "load", 61.0), False),
        ((7, "load", 60.0), False),
        (None, False),
    ],
)
def test_requests_are_equal_by_value(other: object, *, equal: bool) -> None:
    """Requests are equal where worker, scope and expiration are, and to nothing else."""
    request = TimerRequest(7, "load", 60.0)

    assert (request == other, request != other) == (equal, not equal)


def test_a_request_can_be_rebuilt_from_its_repr() -> None:
    """The repr of a request is Python that rebuilds it."""
    request = TimerRequest("rank 0", "load#1", 60.5)

    assert repr(request) == "TimerRequest('rank 0', 'load#1', 60.5)"
    assert eval(repr(request), {"TimerRequest": TimerRequest}) == request


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_request_survives_a_pickle(protocol: int) -> None:
    """A request that went through a pickle is the same, of the same class, the sign of its zero included."""
    for request in [TimerRequest(7, "load", 60.5), TimerRequest((1, "a"), "", -1), TimerRequest(None, "s", -0.0)]:
        copy = pickle.loads(pickle.dumps(request, protocol))

        assert (type(copy), copy, repr(copy)) == (TimerRequest, request, repr(request))


def test_a_request_has_no_hash_and_no_other_attributes() -> None:
    """A request is mutable and equal by value, so it is no key; it has its three fields only."""
    request = TimerRequest(7, "load", 60.0)

    with pytest.raises(TypeError, match="unhashable"):
        hash(request)
    with pytest.raises(AttributeError):
        request.sequence = 1  # type: ignore[attr-defined]  # that is the point


class Unlucky:
    """A worker id that fails whoever hashes it."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash today")


class Unspeakable:
    """A worker id that cannot be written down."""

    __hash__ = None  # type: ignore[assignment]  # so Python spells it

    def __repr__(self) -> str:
        raise RuntimeError("no name today")


@pytest.mark.parametrize(
    "request_",
    [
        TimerRequest(7, "load", 60.0),
        TimerRequest(7, "", 0),
        TimerRequest(7, "load", -0.0),
        TimerRequest(7, "load", -1e-9),
        TimerRequest(7, "load", math.inf),
        TimerRequest(None, "load", -1),
        TimerRequest((1, "a"), "load", 60.0),
    ],
    ids=repr,
)
def test_a_request_with_a_worker_a_scope_and_a_time_is_not_refused(request_: TimerRequest) -> None:
    """What has a hashable worker, a text and a number of seconds can be registered."""
    assert refusal(request_) is None


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (TimerRequest(7, "load", math.nan), "expiration_time is not a number of seconds: nan"),
        (TimerRequest(7, "load", expiration_time=True), "expiration_time is not a number of seconds: True"),
        (TimerRequest(7, "load", None), "expiration_time is not a number of seconds: None"),  # type: ignore[arg-type]  # that is the point
        (TimerRequest(7, "load", "60"), "expiration_time is not a number of seconds: '60'"),  # type: ignore[arg-type]  # that is the point
        (TimerRequest(7, "load", 1j), "expiration_time is not a number of seconds: 1j"),  # type: ignore[arg-type]  # that is the point
        (TimerRequest(7, b"load", 60.0), "scope_id is not a text: bytes"),  # type: ignore[arg-type]  # that is the point
        (TimerRequest(7, None, -1), "scope_id is not a text: NoneType"),  # type: ignore[arg-type]  # that is the point
        (TimerRequest([7], "load", 60.0), "worker_id is not hashable: list"),
        (TimerRequest(Unspeakable(), "load", 60.0), "worker_id is not hashable: Unspeakable"),
        ("load", "not a timer request: str"),
        (None, "not a timer request: NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_is_refused_for_a_reason(request_: object, reason: str) -> None:
    """What cannot be registered is refused, with a reason that names the field and the value."""
    assert refusal(request_) == reason


@pytest.mark.parametrize(
    "request_",
    [TimerRequest(7, "load", 10**400), TimerRequest(7, "load", -(10**5000)), TimerRequest(Unlucky(), "load", 60.0)],
    ids=["beyond floats", "beyond writing", "no hash"],
)
def test_a_request_that_fails_whoever_looks_is_refused(request_: TimerRequest) -> None:
    """A request that makes its examination raise is refused; nothing is raised."""
    assert refusal(request_) is not None


# The guarded block


class NotingClient(TimerClient):
    """Notes its requests, as (scope, expiration), and (scope, None) for a release; its clock stands still."""

    def __init__(self) -> None:
        self.clock: Clock = VirtualClock(START)
        self.noted: list[tuple[str, float | None]] = []

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        self.noted.append((scope_id, expiration_time))

    def release(self, scope_id: str) -> None:
        self.noted.append((scope_id, None))


@pytest.fixture
def client() -> NotingClient:
    """A client that notes its requests."""
    return NotingClient()


@pytest.fixture
def configured() -> Iterator[NotingClient]:
    """The configured client of this process, for the length of a test."""
    client = NotingClient()
    configure(client)
    yield client
    configure(None)


def here() -> str:
    """Returns the anonymous scope of the line that calls."""
    frame = inspect.currentframe()
    assert frame is not None
    caller = frame.f_back
    assert caller is not None
    return f"{caller.f_code.co_filename}#{caller.f_lineno}"


def test_a_block_holds_its_timer_while_it_runs(client: NotingClient) -> None:
    """A block acquires its scope, due `after` seconds from now, when it is entered, and releases it when it is left."""
    with expires(after=60, scope="load", client=client):
        assert client.noted == [("load", START + 60)]

    assert client.noted == [("load", START + 60), ("load", None)]


def test_a_block_counts_from_its_entry(client: NotingClient) -> None:
    """The seconds of a block count from its entry, not from when it was written down."""
    block = expires(after=60, scope="load", client=client)
    client.clock.sleep(5)
    with block:
        pass

    assert client.noted == [("load", START + 65), ("load", None)]


def test_a_block_counts_by_the_system_clock_where_the_client_has_none() -> None:
    """A client without a clock, such as one written for torch, counts by the machine's."""

    class ForeignClient(TimerClient):
        def acquire(self, scope_id: str, expiration_time: float) -> None:
            seen.append(expiration_time)

        def release(self, scope_id: str) -> None:
            pass

    seen: list[float] = []
    before = time.time()
    with expires(after=60, scope="load", client=ForeignClient()):
        after = time.time()

    assert before + 60 <= seen[0] <= after + 60


def test_a_function_holds_its_timer_at_each_call(client: NotingClient) -> None:
    """A decorated function acquires at each call, counted from that call, and returns what it returns."""

    @expires(after=60, scope="load", client=client)
    def load(number: int) -> int:
        client.clock.sleep(number)
        return number + 1

    assert (client.noted, load.__name__) == ([], "load")
    assert (load(5), load(number=1)) == (6, 2)
    assert client.noted == [("load", START + 60), ("load", None), ("load", START + 65), ("load", None)]


def test_an_anonymous_scope_is_the_file_and_line_of_its_caller(client: NotingClient) -> None:
    """A block without a scope is named by the caller's file and line, so two lines are two scopes."""
    with expires(after=60, client=client):
        first = here()
    with expires(after=60, client=client):
        second = here()

    file, line = first.rsplit("#", 1)
    expected = [f"{file}#{int(line) - 1}", f"{file}#{int(second.rsplit('#', 1)[1]) - 1}"]
    assert file == inspect.getfile(NotingClient)
    assert [scope for scope, at in client.noted if at is not None] == expected
    assert [scope for scope, at in client.noted if at is None] == expected
    assert expected[0] != expected[1]


def test_nested_anonymous_blocks_are_two_timers(client: NotingClient) -> None:
    """An inner anonymous block does not release the outer one's timer."""
    with expires(after=60, client=client):
        with expires(after=30, client=client):
            pass
        outer, inner, released = (scope for scope, _ in client.noted)

    assert (released == inner, outer == inner) == (True, False)


def test_an_anonymous_function_is_named_by_its_decoration(client: NotingClient) -> None:
    """A decorated function without a scope has the line of its decoration, whoever calls it from wherever."""
    guard = expires(after=60, client=client)
    decorated = here()

    @guard
    def load() -> None:
        pass

    load()
    load()

    file, line = decorated.rsplit("#", 1)
    assert {scope for scope, _ in client.noted} == {f"{file}#{int(line) - 1}"}


def test_a_recursive_function_rearms_one_scope(client: NotingClient) -> None:
    """A function that calls itself enters the same scope again: one key, armed anew at each entry."""

    @expires(after=60, client=client)
    def dive(depth: int) -> None:
        client.clock.sleep(1)
        if depth:
            dive(depth - 1)

    dive(2)

    assert [at for _, at in client.noted] == [START + 60, START + 61, START + 62, None, None, None]
    assert len({scope for scope, _ in client.noted}) == 1


def test_without_any_client_a_block_is_an_error() -> None:
    """A block without a client, where none is configured, raises when it is entered and does not run."""
    ran: list[str] = []

    def enter() -> None:
        with expires(after=60):
            ran.append("ran")

    configure(None)
    with pytest.raises(RuntimeError, match=r"^Configure timer client before using countdown timers\.$"):
        enter()
    assert ran == []


def test_the_configured_client_serves_where_none_is_given(configured: NotingClient, client: NotingClient) -> None:
    """A block uses the client that it is given, else the configured one."""
    with expires(after=60, scope="ours"), expires(after=60, scope="given", client=client):
        pass

    assert configured.noted == [("ours", START + 60), ("ours", None)]
    assert client.noted == [("given", START + 60), ("given", None)]


def test_the_client_is_looked_up_at_the_entry(configured: NotingClient) -> None:
    """A function decorated before `configure` uses what is configured when it is called."""
    configure(None)

    @expires(after=60, scope="load")
    def load() -> None:
        pass

    configure(configured)
    load()

    assert configured.noted == [("load", START + 60), ("load", None)]


def test_a_block_releases_by_the_client_that_acquired(configured: NotingClient) -> None:
    """Whoever configures another client inside a block still has the block's timer released."""
    with expires(after=60, scope="load"):
        configure(NotingClient())

    assert configured.noted == [("load", START + 60), ("load", None)]


def test_a_client_that_is_given_is_used_even_if_it_is_empty(configured: NotingClient) -> None:
    """A given client counts as given whatever its truth value, as with torch."""

    class EmptyClient(NotingClient):
        def __len__(self) -> int:
            return 0

    given = EmptyClient()
    with expires(after=60, scope="load", client=given):
        pass

    assert (given.noted, configured.noted) == ([("load", START + 60), ("load", None)], [])


@pytest.mark.parametrize("error", [ValueError("lost"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_exception_passes_through_and_the_timer_is_released(error: BaseException, client: NotingClient) -> None:
    """What a block raises comes out unchanged, and its timer is released."""
    with pytest.raises(type(error)) as caught, expires(after=60, scope="load", client=client):
        raise error

    assert caught.value is error
    assert client.noted == [("load", START + 60), ("load", None)]


def test_an_acquire_that_raises_sends_no_release() -> None:
    """Where the acquire raises, the block does not run and nothing is released."""

    class BrokenClient(NotingClient):
        def acquire(self, scope_id: str, expiration_time: float) -> None:
            raise ConnectionError("no server")

    ran: list[str] = []
    client = BrokenClient()

    def enter() -> None:
        with expires(after=60, scope="load", client=client):
            ran.append("ran")

    with pytest.raises(ConnectionError, match="no server"):
        enter()
    assert (client.noted, ran) == ([], [])


# The watchdog's loop


class ListServer(TimerServer):
    """The smallest server: its timers are a list, its reaps are the test's.

    `passes` and `attempts` note when they were, counted from START.
    """

    def __init__(
        self,
        reap: Callable[[Any], bool] = lambda worker_id: True,
        *,
        max_interval: float = 60,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or VirtualClock(START)
        self.queue = MemoryRequestQueue(clock=self.clock)
        super().__init__(self.queue, max_interval, clock=self.clock)
        self.reap = reap
        self.timers: dict[tuple[Any, str], TimerRequest] = {}
        self.passes: list[float] = []
        self.attempts: list[tuple[Any, float]] = []

    @property
    def now(self) -> float:
        """Seconds since START."""
        return self.clock.monotonic() - START

    def acquire(self, worker_id: Any, after: float) -> None:
        """Arms a timer as a client would, due in `after` seconds."""
        MemoryTimerClient(self.queue, worker_id).acquire("s", self.clock.time() + after)

    def release(self, worker_id: Any) -> None:
        """Releases it."""
        MemoryTimerClient(self.queue, worker_id).release("s")

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        for request in timer_requests:
            if request.expiration_time < 0:
                self.timers.pop((request.worker_id, request.scope_id), None)
            else:
                self.timers[request.worker_id, request.scope_id] = request

    def clear_timers(self, worker_ids: set[Any]) -> None:
        self.timers = {key: request for key, request in self.timers.items() if key[0] not in worker_ids}

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        self.passes.append(self.now)
        expired: dict[Any, list[TimerRequest]] = {}
        for request in self.timers.values():
            if request.expiration_time <= deadline:
                expired.setdefault(request.worker_id, []).append(request)
        return expired

    def _reap_worker(self, worker_id: Any) -> bool:
        self.attempts.append((worker_id, self.now))
        return self.reap(worker_id)


def never(worker_id: Any) -> bool:
    """A reap that fails."""
    return False


def raising(worker_id: Any) -> bool:
    """A reap that raises."""
    raise OSError(f"no way to reach {worker_id}")


def virtual(server: ListServer) -> VirtualClock:
    """Returns the server's clock, which is virtual."""
    assert isinstance(server.clock, VirtualClock)
    return server.clock


def test_a_server_passes_every_max_interval() -> None:
    """A server that knows no expirations makes a pass every `max_interval`."""
    server = ListServer(max_interval=10)
    server.start()
    virtual(server).advance(35)

    assert server.passes == [10, 20, 30]


def test_a_request_makes_a_pass_at_once() -> None:
    """A request is registered when it arrives, however long `max_interval` is."""
    server = ListServer()
    server.start()
    virtual(server).advance(5)
    server.acquire(1, after=100)
    virtual(server).advance(0)

    assert (server.passes, list(server.timers)) == ([5], [(1, "s")])


@pytest.mark.parametrize(("after", "attempts"), [(-1, [(1, 10)]), (0, [(1, 10)]), (1, [])])
def test_a_pass_reaps_what_is_due_at_its_instant(after: float, attempts: list[tuple[int, float]]) -> None:
    """A pass reaps whoever is due at its own instant or before, and nobody who is due a tick later."""
    server = ListServer(max_interval=10)
    server.acquire(1, after=10 + after)
    server.start()
    virtual(server).advance(10)

    assert server.attempts == attempts


def test_a_reaped_worker_has_no_timers() -> None:
    """A worker that is gone loses its timers and is not reaped again; others keep theirs."""
    server = ListServer(max_interval=10)
    server.acquire(1, after=5)
    server.acquire(2, after=1000)
    server.start()
    virtual(server).advance(100)

    assert (server.attempts, list(server.timers)) == ([(1, 10)], [(2, "s")])


def test_a_pass_registers_all_that_has_arrived_before_it_judges() -> None:
    """A release behind a backlog of a thousand requests counts before a timer that is due."""
    server = ListServer()
    server.acquire(1, after=5)
    for _ in range(1000):
        server.acquire(2, after=1000)
    server.release(1)
    virtual(server).advance(5)
    server.start()
    virtual(server).advance(1000 - 6)

    assert (server.attempts, server.passes[0]) == ([], 5)


def test_started_twice_is_one_watchdog() -> None:
    """A second `start` changes nothing: there is one watchdog."""
    server = ListServer(max_interval=10)
    server.start()
    server.start()
    virtual(server).advance(10)
    server.start()
    virtual(server).advance(10)

    assert (len(virtual(server).tasks), server.passes) == (1, [10, 20])


def test_started_after_a_stop_it_guards_again() -> None:
    """After `stop` and `start` what is held is guarded, what came due meanwhile included."""
    server = ListServer(max_interval=10)
    server.start()
    server.acquire(1, after=5)
    virtual(server).advance(0)
    server.stop()
    virtual(server).advance(100)
    assert server.attempts == []

    server.acquire(2, after=7)
    server.start()
    virtual(server).advance(20)
    assert [attempt for attempt, _ in server.attempts] == [1, 2]
    assert virtual(server).tasks != []


def test_a_stop_takes_no_time() -> None:
    """`stop` does not wait for `max_interval`, and leaves no watchdog."""
    server = ListServer(max_interval=60)
    server.start()
    virtual(server).advance(1)
    server.stop()

    assert (server.now, virtual(server).tasks) == (1, [])


def test_a_stop_takes_no_time_after_a_pass_that_failed() -> None:
    """`stop` does not wait for the pause after a pass that raised either."""
    server = ListServer(max_interval=10)
    server.timers[1, "s"] = TimerRequest(1, "s", None)  # type: ignore[arg-type]  # its pass raises
    server.start()
    virtual(server).advance(10)
    server.stop()

    assert (server.passes, server.now, virtual(server).tasks) == ([10], 10, [])


def test_a_stop_in_real_time_is_prompt() -> None:
    """With the system clock, too, `stop` of an idle server comes back long before `max_interval`."""
    server = ListServer(max_interval=60, clock=SystemClock())
    before = time.monotonic()
    server.start()
    server.stop()

    assert time.monotonic() - before < LIMIT
    assert "ListServer watchdog" not in [thread.name for thread in threading.enumerate()]


def test_a_stop_before_any_start_does_nothing() -> None:
    """A server that was never started can be stopped, and then started."""
    server = ListServer(max_interval=10)
    server.stop()
    server.stop()
    assert server.now == 0

    server.start()
    virtual(server).advance(10)
    assert server.passes[-1] == 10


def test_nothing_is_reaped_after_stop_returned() -> None:
    """`stop` waits for the reap that is under way; who is next on the list is spared."""
    server = ListServer()

    def slow(worker_id: Any) -> bool:
        server.clock.sleep(5)
        return True

    server.reap = slow
    server.acquire(1, after=0)
    server.acquire(2, after=0)
    server.start()
    virtual(server).advance(2)
    server.stop()
    assert (server.now, server.attempts) == (5, [(1, 0)])

    virtual(server).advance(1000)
    assert server.attempts == [(1, 0)]


@pytest.mark.parametrize("kind", [VirtualClock, SystemClock], ids=["virtual", "system"])
def test_a_reap_may_stop_its_server(kind: Callable[[], Clock], caplog: pytest.LogCaptureFixture) -> None:
    """`stop` from inside a reap comes back, the reap counts, and it is the last one."""
    came_back = threading.Event()

    def stopping(worker_id: Any) -> bool:
        server.stop()
        came_back.set()
        return True

    server = ListServer(stopping, clock=kind())
    server.register_timers([TimerRequest(1, "s", 0), TimerRequest(2, "s", 0)])
    with caplog.at_level(logging.ERROR, "timersim"):
        server.start()
        server.acquire(3, after=1000)
        try:
            assert server.clock.wait(came_back.wait, LIMIT)
        finally:
            server.stop()

    assert [worker for worker, _ in server.attempts] == [1]
    assert (list(server.timers), caplog.messages) == ([(2, "s"), (3, "s")], [])


def test_a_server_that_was_stopped_by_a_reap_guards_again() -> None:
    """After a `stop` from inside a reap, `start` makes a watchdog again."""

    def stopping(worker_id: Any) -> bool:
        server.stop()
        return True

    server = ListServer(stopping)
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(0)
    server.acquire(2, after=0)
    server.start()
    virtual(server).advance(0)

    assert (server.attempts, server.timers) == ([(1, 0), (2, 0)], {})


@pytest.mark.parametrize("reap", [never, raising])
def test_a_failed_reap_is_retried_ever_more_rarely(reap: Callable[[Any], bool]) -> None:
    """A reap that failed or raised is tried again after 1, 2, 4 … seconds, at most `max_interval`; no pass is idle."""
    server = ListServer(reap, max_interval=10)
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(40)

    assert [at for _, at in server.attempts] == [0, 1, 3, 7, 15, 25, 35]
    assert server.passes == [0, 1, 3, 7, 15, 25, 35]


def test_retries_do_not_come_closer_than_a_second() -> None:
    """Where `max_interval` is below a second, retries are still a second apart."""
    server = ListServer(never, max_interval=0.25)
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(3)

    assert server.attempts == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_a_slow_reap_that_fails_is_retried_after_its_end() -> None:
    """The pause before a retry counts from the end of the attempt that failed."""
    server = ListServer()

    def slow(worker_id: Any) -> bool:
        server.clock.sleep(5)
        return False

    server.reap = slow
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(20)

    assert server.attempts == [(1, 0), (1, 6), (1, 13)]


def test_a_retry_that_succeeds_is_the_last() -> None:
    """A worker is tried until it is gone, and then no more."""
    server = ListServer(lambda worker_id: len(server.attempts) == 3)
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(1000)

    assert (server.attempts, server.timers) == ([(1, 0), (1, 1), (1, 3)], {})


def test_a_release_ends_the_retries() -> None:
    """A worker that releases between two attempts is left alone; at its next expiration it starts anew."""
    server = ListServer(never)
    server.acquire(1, after=0)
    server.start()
    virtual(server).advance(4)
    server.release(1)
    virtual(server).advance(100)
    assert server.attempts == [(1, 0), (1, 1), (1, 3)]

    server.acquire(1, after=0)
    virtual(server).advance(3)
    assert server.attempts[3:] == [(1, 104), (1, 105), (1, 107)]


def test_requests_do_not_hasten_a_retry() -> None:
    """A pass that a request causes does not try a failed worker before its time."""
    server = ListServer(never)
    server.acquire(1, after=0)
    server.start()
    for _ in range(10):
        virtual(server).advance(0.25)
        server.acquire(2, after=1000)
    virtual(server).advance(0)

    assert server.attempts == [(1, 0), (1, 1)]


@pytest.mark.parametrize("reap", [never, raising])
def test_a_worker_that_cannot_be_reaped_holds_nobody_up(reap: Callable[[Any], bool]) -> None:
    """While one worker's reaps fail, the others are reaped as they come due."""
    server = ListServer(lambda worker_id: worker_id != 1 or reap(worker_id))
    server.acquire(1, after=0)
    server.acquire(2, after=0)
    server.start()
    virtual(server).advance(2)
    server.acquire(3, after=0)
    virtual(server).advance(1)

    assert server.attempts == [(1, 0), (2, 0), (1, 1), (3, 2), (1, 3)]


def test_a_failed_reap_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A reap that failed is logged with the worker and when it is tried again; one that raised with its exception."""
    server = ListServer(lambda worker_id: worker_id != 1 and raising(worker_id))
    server.acquire(1, after=0)
    server.acquire(2, after=0)
    with caplog.at_level(logging.ERROR, "timersim"):
        server._run_watchdog()

    assert caplog.messages == [
        "Error reaping worker=[1]. The next attempt is in 1.0 s",
        "The reap of worker=[2] raised",
        "Error reaping worker=[2]. The next attempt is in 1.0 s",
    ]
    assert str(caplog.records[1].exc_info and caplog.records[1].exc_info[1]) == "no way to reach 2"


def test_a_pass_that_raises_does_not_end_the_watchdog(caplog: pytest.LogCaptureFixture) -> None:
    """A pass that raises is logged, and the next one follows a second later: it neither ends the watchdog nor spins."""
    server = ListServer(max_interval=10)
    server.timers[1, "s"] = TimerRequest(1, "s", None)  # type: ignore[arg-type]  # its pass raises
    server.start()
    with caplog.at_level(logging.ERROR, "timersim"):
        virtual(server).advance(21)
    assert server.passes == [10, 21]
    assert caplog.messages == ["A pass of the watchdog failed; the next one follows in 1.0 s"] * 2

    server.timers.clear()
    server.acquire(2, after=0)
    virtual(server).advance(1)
    assert server.attempts == [(2, 22)]


def test_the_request_queue_may_be_somebody_elses() -> None:
    """A queue without `wake`, such as one written for torch, serves: `stop` waits for its `get`."""

    class ForeignQueue:
        def size(self) -> int:
            return 0

        def get(self, size: int, timeout: float) -> list[TimerRequest]:
            server.clock.sleep(timeout)
            return []

    server = ListServer(max_interval=10)
    server._request_queue = ForeignQueue()  # type: ignore[assignment]  # that is the point
    server.start()
    virtual(server).advance(25)
    server.stop()

    assert (server.passes, server.now) == ([10, 20, 30], 30)


def test_a_module_has_no_client_until_it_is_configured() -> None:
    """These tests leave no client behind."""
    assert timersim.api._timer_client is None


# Who starts and stops at once


def test_a_hundred_starts_and_stops_at_once_leave_one_watchdog_or_none() -> None:
    """Threads that start and stop a server as they like leave one watchdog after a start, and none after a stop."""
    server = ListServer(clock=SystemClock())
    before = set(threading.enumerate())
    for _ in range(20):
        threads = [threading.Thread(target=call) for call in (server.start, server.stop, server.start, server.stop) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        server.start()
        assert len(set(threading.enumerate()) - before) == 1
        server.stop()
        assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("max_interval", [0, -1, math.nan])
def test_an_interval_that_is_none_is_refused_by_name(max_interval: float) -> None:
    """A server that would never wait is not made."""
    with pytest.raises(ValueError, match=r"^max_interval is a number of seconds above 0: max_interval=(0|-1|nan)$"):
        ListServer(max_interval=max_interval)
