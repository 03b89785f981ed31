"""Timers in memory: the queue's contract, and a server with a reaper of the user's own."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from timersim import MemoryRequestQueue, MemoryTimerClient, MemoryTimerServer, TimerRequest, expires
from timersim.fakes import VirtualClock

LIMIT = 10.0
"""Real seconds after which a call counts as stuck."""

START = 1_000_000.0
"""Where virtual time begins."""


def request(number: float) -> TimerRequest:
    """Makes a request that can be told from others."""
    return TimerRequest(1, "s", number)


# The queue


def test_a_queue_gives_what_it_was_given_in_order() -> None:
    """Requests come out in the order in which they were put, the very same."""
    queue = MemoryRequestQueue()
    put = [request(number) for number in range(5)]
    for one in put:
        queue.put(one)

    assert all(one is other for one, other in zip(queue.get(5, timeout=0), put, strict=True))


@pytest.mark.parametrize(
    ("waiting", "asked", "given"), [(0, 0, 0), (0, 1, 0), (3, 2, 2), (3, 3, 3), (3, 4, 3), (3, 0, 0)]
)
def test_a_get_takes_no_more_than_it_was_asked_for(waiting: int, asked: int, given: int) -> None:
    """A `get` takes as many as it was asked for and as there are; the others stay."""
    queue = MemoryRequestQueue()
    for number in range(waiting):
        queue.put(request(number))

    assert [one.expiration_time for one in queue.get(asked, timeout=0)] == list(range(given))
    assert queue.size() == waiting - given


def test_the_size_is_what_a_get_takes_without_waiting() -> None:
    """`size` requests can be taken at once, as torch's contract has it; twice as many may be asked for."""
    queue = MemoryRequestQueue(clock=VirtualClock())
    for number in range(7):
        queue.put(request(number))
    size = queue.size()
    assert size == len(queue.get(size, timeout=0)) == 7

    for number in range(7):
        queue.put(request(number))
    size = queue.size()
    assert queue.clock.monotonic() == START
    assert size <= len(queue.get(size * 2, timeout=1)) <= size * 2
    assert queue.clock.monotonic() == START + 1


@pytest.mark.parametrize("timeout", [0, 5])
def test_a_get_from_an_empty_queue_waits_for_its_timeout(timeout: float) -> None:
    """A `get` for which nothing comes gives nothing, exactly after its timeout."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)

    assert (queue.get(1, timeout), clock.monotonic()) == ([], START + timeout)


@pytest.mark.parametrize(("asked", "given", "ended"), [(1, 1, 3), (2, 2, 4), (3, 2, 60)])
def test_a_get_waits_for_as_many_as_it_is_asked_for(asked: int, given: int, ended: float) -> None:
    """A `get` of many waits until so many are there, or for its timeout, and takes what there is then."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)
    clock.call_later(3, lambda: queue.put(request(3)))
    clock.call_later(4, lambda: queue.put(request(4)))

    assert (len(queue.get(asked, timeout=60)), clock.monotonic()) == (given, START + ended)


def test_a_wake_ends_the_get_that_waits() -> None:
    """`wake` ends a `get` that waits, with nothing in its hands; the next one waits again."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)
    clock.call_later(3, queue.wake)

    assert (queue.get(1, timeout=60), clock.monotonic()) == ([], START + 3)
    assert (queue.get(1, timeout=60), clock.monotonic()) == ([], START + 63)


def test_a_wake_that_comes_first_ends_the_next_get() -> None:
    """A `wake` while nobody waits is not lost: the next `get` comes back at once, with what there is."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)
    queue.wake()
    queue.put(request(1))

    assert (queue.get(5, timeout=60), queue.get(5, timeout=60)) == ([request(1)], [])
    assert clock.monotonic() == START + 60


@pytest.mark.parametrize("timeout", [60.0, 1e12, float("inf")])
@pytest.mark.parametrize("act", [lambda queue: queue.put(request(1)), lambda queue: queue.wake()], ids=["put", "wake"])
def test_a_real_thread_that_waits_is_woken(act: Callable[[MemoryRequestQueue], None], timeout: float) -> None:
    """In real time, too, a `get` ends when another thread puts or wakes, however long its timeout is."""
    queue = MemoryRequestQueue()
    waiter = threading.Thread(target=queue.get, args=(1, timeout), daemon=True)
    waiter.start()
    waiter.join(0.02)
    assert waiter.is_alive()

    act(queue)
    waiter.join(LIMIT)
    assert not waiter.is_alive()


def test_a_get_in_real_time_waits_for_its_timeout() -> None:
    """In real time a `get` for which nothing comes lasts as long as it was told to."""
    before = time.monotonic()

    assert MemoryRequestQueue().get(1, timeout=0.02) == []
    assert 0.02 <= time.monotonic() - before < LIMIT


def test_any_thread_may_put() -> None:
    """Of what several threads put nothing is lost, doubled or overtaken by the same thread's later ones."""
    queue = MemoryRequestQueue()
    producers, each = 4, 500
    gate = threading.Barrier(producers)

    def produce(worker: int) -> None:
        gate.wait(LIMIT)
        for number in range(each):
            queue.put(TimerRequest(worker, "s", number))

    threads = [threading.Thread(target=produce, args=(worker,)) for worker in range(producers)]
    for thread in threads:
        thread.start()
    taken: list[TimerRequest] = []
    limit = time.monotonic() + LIMIT
    while len(taken) < producers * each and time.monotonic() < limit:
        taken += queue.get(min(7, producers * each - len(taken)), timeout=LIMIT)
    for thread in threads:
        thread.join(LIMIT)

    by_worker = {
        worker: [one.expiration_time for one in taken if one.worker_id == worker] for worker in range(producers)
    }
    assert by_worker == {worker: list(range(each)) for worker in range(producers)}
    assert queue.size() == 0


# Client and server


def test_a_client_sends_torchs_requests() -> None:
    """A client speaks for its worker: an acquire with its expiration, a release with -1."""
    queue = MemoryRequestQueue()
    client = MemoryTimerClient(queue, worker_id="rank 3")
    client.acquire("load", 60.5)
    client.release("load")

    assert queue.get(9, 0) == [TimerRequest("rank 3", "load", 60.5), TimerRequest("rank 3", "load", -1)]


def test_a_client_counts_by_the_clock_of_its_queue() -> None:
    """A guarded block counts by the clock of the queue into which its client puts."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)
    with expires(after=60, scope="load", client=MemoryTimerClient(queue, worker_id=1)):
        pass

    assert queue.get(9, 0) == [TimerRequest(1, "load", START + 60), TimerRequest(1, "load", -1)]


class Hands:
    """What reaps workers for the server; `calls` notes who was to be reaped, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.calls: list[tuple[Any, float]] = []
        self.answers: list[bool | Exception] = []

    def __call__(self, worker_id: Any) -> bool:
        """Answers as told, True where nothing was."""
        self.calls.append((worker_id, self.clock.monotonic() - START))
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """A clock, a queue, the reaping hands and a server that is guarding."""

    def __init__(self, max_interval: float = 3600) -> None:
        self.clock = VirtualClock(START)
        self.queue = MemoryRequestQueue(clock=self.clock)
        self.hands = Hands(self.clock)
        self.server = MemoryTimerServer(self.queue, max_interval, clock=self.clock, reaper=self.hands)
        self.server.start()

    def client(self, worker_id: Any) -> MemoryTimerClient:
        """Makes a worker's client."""
        return MemoryTimerClient(self.queue, worker_id)


@pytest.mark.parametrize(("offset", "reaped"), [(-1, []), (0, ["rank 3"]), (1, ["rank 3"])])
def test_a_hung_worker_is_reaped_at_its_expiration(offset: int, reaped: list[str]) -> None:
    """A worker that hangs in a block of an hour is reaped when the hour is over, not a tick before."""
    world = World(max_interval=1e6)
    with expires(after=3600, client=world.client("rank 3")):
        world.clock.advance(3600 + offset)
        assert world.server.reaped == reaped
    assert [worker for worker, _ in world.hands.calls] == reaped


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_worker_that_is_through_in_time_is_left_alone(offset: int) -> None:
    """A worker that leaves its block a tick before the expiration lives; a tick after it is too late."""
    world = World()
    with expires(after=60, client=world.client(1)):
        world.clock.advance(60 + offset)
    world.clock.advance(1000)

    assert world.hands.calls == ([] if offset < 0 else [(1, 60)])


def test_only_the_hung_worker_is_reaped() -> None:
    """Of two workers in one block each, the one that hangs is reaped, the other not."""
    world = World()
    with expires(after=3600, client=world.client("rank 3")):
        with expires(after=60, client=world.client("rank 4")):
            world.clock.advance(10)
        world.clock.advance(3600)

    assert world.server.reaped == ["rank 3"]


def test_reaped_lists_who_is_gone_in_order() -> None:
    """`reaped` holds a worker once it is gone: not at a reap that failed, not at one that raised."""
    world = World()
    world.hands.answers = [False, OSError("unreachable"), True, True]
    world.client("a").acquire("s", START + 10)
    world.client("b").acquire("s", START + 12)
    world.clock.advance(10)
    assert world.server.reaped == []

    world.clock.advance(1000)
    assert world.server.reaped == ["b", "a"]
    assert world.hands.calls == [("a", 10), ("a", 11), ("b", 12), ("a", 13)]


def test_the_server_takes_its_arguments_as_torchs_does() -> None:
    """Queue, `max_interval` and `daemon` are positional, in torch's order."""
    clock = VirtualClock(START)
    queue = MemoryRequestQueue(clock=clock)
    server = MemoryTimerServer(queue, 10, False, clock=clock, reaper=lambda worker_id: True)  # noqa: FBT003 - that is the point

    assert (server._request_queue, server._max_interval, server._daemon) == (queue, 10, False)


def test_a_server_in_real_time_reaps_when_the_timer_is_due() -> None:
    """With the system clock and a `max_interval` of a minute a worker is reaped at its expiration."""
    queue = MemoryRequestQueue()
    reaped = threading.Event()
    instants: list[float] = []

    def reap(worker_id: int) -> bool:
        instants.append(time.time())
        reaped.set()
        return True

    server = MemoryTimerServer(queue, max_interval=60, reaper=reap)
    server.start()
    try:
        expiration = time.time() + 0.1
        MemoryTimerClient(queue, worker_id=1).acquire("s", expiration)
        assert reaped.wait(LIMIT)
    finally:
        server.stop()

    assert (server.reaped, len(instants)) == ([1], 1)
    assert -0.001 <= instants[0] - expiration < LIMIT
