"""Injected faults: what becomes of requests that go astray on command, and of reaps that fail on command."""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

import timersim
from timersim import MemoryTimerClient, MemoryTimerServer, TimerRequest
from timersim.api import refusal
from timersim.fakes import VirtualClock
from timersim.fakes.faults import FaultyReaper, FaultyRequestQueue, WireKind
from timersim.fakes.tasks import TaskGroup
from timersim.lab.operations import Corruption, SendingPoint

START = 1_000_000.0

WIRES = get_args(WireKind)
POINTS = get_args(SendingPoint)

Arrivals = dict[int, list[str]]
"""The scopes of what can be read at an instant, and could not before."""


class ToldQueue(FaultyRequestQueue):
    """A faulty queue that keeps what it is told: (instant, what, scope, seconds)."""

    def __init__(self, clock: VirtualClock, *, wire: WireKind = "shared") -> None:
        super().__init__(clock, wire=wire)
        self.told: list[tuple[float, str, str, float]] = []

    def on_arrival(self, request: TimerRequest) -> None:
        self.told.append((self.clock.monotonic() - START, "arrived", request.scope_id, 0))

    def on_fault(self, fault: str, request: TimerRequest, seconds: float) -> None:
        self.told.append((self.clock.monotonic() - START, fault, request.scope_id, seconds))


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START, closed at the end."""
    clock = VirtualClock(START)
    yield clock
    clock.close()


@pytest.fixture
def queue(clock: VirtualClock) -> ToldQueue:
    """A queue whose workers share a wire."""
    return ToldQueue(clock)


@pytest.fixture(params=WIRES)
def any_queue(request: pytest.FixtureRequest, clock: VirtualClock) -> ToldQueue:
    """A queue of each kind."""
    return ToldQueue(clock, wire=request.param)


def put(queue: FaultyRequestQueue, worker: int, *scopes: str) -> None:
    """Has a worker send a request for each of the scopes."""
    for scope in scopes:
        queue.put(TimerRequest(worker, scope, START + 60))


def take(queue: FaultyRequestQueue) -> list[Any]:
    """Takes what can be read now: the scope of a request, and as it is what is none."""
    return [r.scope_id if refusal(r) is None else r for r in queue.get(queue.size(), timeout=0)]


def arrivals(queue: FaultyRequestQueue, *instants: int) -> Arrivals:
    """Goes to each of the instants, in seconds from START, and takes what can be read there."""
    taken: Arrivals = {}
    for instant in instants:
        queue.clock.advance_to(START + instant)
        taken[instant] = take(queue)
    return taken


# The next request


def test_without_a_fault_a_request_arrives_when_it_is_put(any_queue: ToldQueue) -> None:
    """Where nothing was injected everything arrives at once, in the order in which it was put, as it was put."""
    put(any_queue, 1, "a")
    put(any_queue, 2, "b")
    put(any_queue, 1, "c")

    assert any_queue.get(3, timeout=0) == [
        TimerRequest(1, "a", START + 60),
        TimerRequest(2, "b", START + 60),
        TimerRequest(1, "c", START + 60),
    ]
    assert any_queue.told == [(0, "arrived", scope, 0) for scope in "abc"]


def test_a_dropped_request_never_arrives(any_queue: ToldQueue) -> None:
    """A dropped request is lost; the one after it is not."""
    any_queue.drop_next()
    put(any_queue, 1, "a", "b")

    assert arrivals(any_queue, 0, 3600) == {0: ["b"], 3600: []}
    assert any_queue.told == [(0, "dropped", "a", 0), (0, "arrived", "b", 0)]


def test_those_after_a_delayed_request_wait_behind_it(any_queue: ToldQueue) -> None:
    """A delayed request holds up those of its own worker, and of nobody else."""
    any_queue.delay_next(5)
    put(any_queue, 1, "a", "b")
    put(any_queue, 2, "c")

    assert arrivals(any_queue, 0, 4, 5, 6) == {0: ["c"], 4: [], 5: ["a", "b"], 6: []}
    assert any_queue.told == [
        (0, "delayed", "a", 5),
        (0, "arrived", "c", 0),
        (5, "arrived", "a", 0),
        (5, "arrived", "b", 0),
    ]


def test_those_after_an_overtaken_request_overtake_it(any_queue: ToldQueue) -> None:
    """An overtaken request holds up nobody; it comes after those that were put later."""
    any_queue.overtake_next(5)
    put(any_queue, 1, "a", "b")
    put(any_queue, 2, "c")

    assert arrivals(any_queue, 0, 4, 5, 6) == {0: ["b", "c"], 4: [], 5: ["a"], 6: []}
    assert any_queue.told[0] == (0, "overtaken", "a", 5)


def test_a_duplicated_request_arrives_twice_in_a_row(any_queue: ToldQueue) -> None:
    """A request that is duplicated at once arrives twice before the next."""
    any_queue.duplicate_next()
    put(any_queue, 1, "a", "b")

    assert arrivals(any_queue, 0, 5) == {0: ["a", "a", "b"], 5: []}
    assert any_queue.told == [
        (0, "arrived", "a", 0),
        (0, "duplicated", "a", 0),
        (0, "arrived", "a", 0),
        (0, "arrived", "b", 0),
    ]


def test_a_duplicate_can_come_later_than_what_was_put_after(any_queue: ToldQueue) -> None:
    """A duplicate that comes later holds up nobody."""
    any_queue.duplicate_next(5)
    put(any_queue, 1, "a", "b")

    assert arrivals(any_queue, 0, 4, 5, 6) == {0: ["a", "b"], 4: [], 5: ["a"], 6: []}
    assert any_queue.told[1] == (0, "duplicated", "a", 5)


@pytest.mark.parametrize(
    ("corruption", "reason"),
    [
        ("garbage", "not a timer request: bytes"),
        ("nan", "expiration_time is not a number of seconds: nan"),
        ("truncated", "not a timer request: TimerRequest"),
    ],
)
def test_what_comes_of_a_corrupted_request_can_not_be_registered(
    any_queue: ToldQueue, corruption: Corruption, reason: str
) -> None:
    """A corrupted request arrives as something that a server refuses; the one after it is as it was."""
    any_queue.corrupt_next(corruption)
    put(any_queue, 1, "a", "b")

    assert [refusal(arrived) for arrived in any_queue.get(2, timeout=0)] == [reason, None]
    assert any_queue.told == [(0, "corrupted", "a", 0), (0, "arrived", "b", 0)]


def test_a_request_is_corrupted_to_garbage_unless_said_otherwise(any_queue: ToldQueue) -> None:
    """A request becomes garbage where no corruption is named."""
    any_queue.corrupt_next()
    put(any_queue, 1, "a")

    assert take(any_queue) == [b"\0 no request"]


def test_who_stalls_silences_those_who_share_its_wire(queue: ToldQueue) -> None:
    """A worker that stalls holds the lock: nobody's request arrives before it goes on."""
    queue.stall_next(5)
    put(queue, 1, "a", "b")
    put(queue, 2, "c")

    assert arrivals(queue, 0, 4, 5, 6) == {0: [], 4: [], 5: ["a", "b", "c"], 6: []}
    assert queue.told[0] == (0, "stalled", "a", 5)


def test_who_stalls_on_a_connection_of_its_own_silences_nobody(clock: VirtualClock) -> None:
    """On a sequenced wire a worker that stalls holds up its own requests alone."""
    queue = ToldQueue(clock, wire="sequenced")
    queue.stall_next(5)
    put(queue, 1, "a", "b")
    put(queue, 2, "c")

    assert arrivals(queue, 0, 4, 5, 6) == {0: ["c"], 4: [], 5: ["a", "b"], 6: []}


# Whose next request

Verb = Callable[[FaultyRequestQueue, int | None], None]

VERBS: dict[str, Verb] = {
    "drop_next": lambda queue, worker: queue.drop_next(worker),
    "delay_next": lambda queue, worker: queue.delay_next(5, worker),
    "overtake_next": lambda queue, worker: queue.overtake_next(5, worker),
    "duplicate_next": lambda queue, worker: queue.duplicate_next(0, worker),
    "corrupt_next": lambda queue, worker: queue.corrupt_next("garbage", worker),
    "stall_next": lambda queue, worker: queue.stall_next(5, worker),
    "crash_next": lambda queue, worker: queue.crash_next("buffered", lambda: None, worker),
}


def test_every_verb_is_tried() -> None:
    """Each verb of the queue that meddles with the next request is among those below."""
    assert set(VERBS) == {name for name in dir(FaultyRequestQueue) if name.endswith("_next")}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_meddles_with_the_next_request_of_any_worker_and_no_other(any_queue: ToldQueue, verb: str) -> None:
    """A verb without a worker meddles with the next request, whoever puts it, and is then used up."""
    VERBS[verb](any_queue, None)
    put(any_queue, 7, "a")
    meddled = take(any_queue)
    any_queue.clock.advance(60)
    take(any_queue)
    put(any_queue, 8, "b")

    assert (meddled == ["a"], take(any_queue)) == (False, ["b"])


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_with_a_worker_meddles_with_its_next_request_alone(any_queue: ToldQueue, verb: str) -> None:
    """A verb of one worker waits for that worker's next request; those of others go on as ever."""
    VERBS[verb](any_queue, 2)
    put(any_queue, 1, "a", "b")
    before = take(any_queue)
    put(any_queue, 2, "c")

    assert (before, take(any_queue) == ["c"]) == (["a", "b"], False)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_of_any_worker_and_one_of_its_own_meet_in_one_request(any_queue: ToldQueue, verb: str) -> None:
    """What waits for anybody's request and what waits for a worker's own meddle with the same one."""
    any_queue.duplicate_next(3600)
    VERBS[verb](any_queue, 1)
    put(any_queue, 1, "a")
    meddled = take(any_queue)
    any_queue.clock.advance(60)
    take(any_queue)
    put(any_queue, 2, "b")
    any_queue.clock.advance(7200)

    assert (meddled == ["a"], take(any_queue).count("b")) == (False, 1)


# Several verbs on one request


def test_a_delayed_request_that_is_duplicated_and_corrupted_is_all_of_it(any_queue: ToldQueue) -> None:
    """Several verbs meddle with the same request: it comes late, as garbage, and again."""
    any_queue.delay_next(3)
    any_queue.duplicate_next(2)
    any_queue.corrupt_next()
    put(any_queue, 1, "a", "b")
    garbage = b"\0 no request"

    assert arrivals(any_queue, 2, 3, 4, 5, 6) == {2: [], 3: [garbage, "b"], 4: [], 5: [garbage], 6: []}


def test_a_request_that_is_duplicated_twice_arrives_three_times(any_queue: ToldQueue) -> None:
    """Each duplicate is one more."""
    any_queue.duplicate_next(2)
    any_queue.duplicate_next(5)
    put(any_queue, 1, "a")

    assert arrivals(any_queue, 0, 2, 5, 9) == {0: ["a"], 2: ["a"], 5: ["a"], 9: []}


def test_a_dropped_request_is_not_duplicated(any_queue: ToldQueue) -> None:
    """What is lost does not come again, at whatever time it is lost."""
    any_queue.duplicate_next(5)
    any_queue.drop_next()
    any_queue.delay_next(2)
    put(any_queue, 1, "a")

    assert arrivals(any_queue, 0, 2, 5, 7) == {0: [], 2: [], 5: [], 7: []}
    assert any_queue.told == [(0, "delayed", "a", 2), (2, "dropped", "a", 0)]


def test_a_stall_begins_when_the_delay_is_over(queue: ToldQueue) -> None:
    """A worker whose request lay in its buffer takes the lock when it writes, not before."""
    queue.delay_next(3)
    queue.stall_next(4)
    put(queue, 1, "a")
    queue.clock.advance(2)
    put(queue, 2, "b")
    before = take(queue)
    queue.clock.advance(2)
    put(queue, 2, "c")

    assert (before, arrivals(queue, 4, 6, 7)) == (["b"], {4: [], 6: [], 7: ["a", "c"]})


def test_stalls_add_up(queue: ToldQueue) -> None:
    """A request in which its worker stalls twice takes as long as both."""
    queue.stall_next(2)
    queue.stall_next(3)
    put(queue, 1, "a")

    assert arrivals(queue, 2, 4, 5) == {2: [], 4: [], 5: ["a"]}


def test_an_overtaken_request_that_is_delayed_comes_with_the_later_of_the_two(any_queue: ToldQueue) -> None:
    """A request that was overtaken and lay in its buffer comes when both are over, and holds up nobody before."""
    any_queue.overtake_next(2)
    any_queue.delay_next(5)
    put(any_queue, 1, "a", "b")

    assert arrivals(any_queue, 0, 2, 4, 5) == {0: ["b"], 2: [], 4: [], 5: ["a"]}


# A worker that ends while it sends


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("buffered", {0: ["b"], 3600: []}),
        ("lock held", {0: [], 3600: []}),
        ("half written", {0: [], 3600: []}),
        ("flushed", {0: ["a"], 3600: []}),
    ],
)
def test_a_dead_worker_takes_the_lock_of_a_shared_wire_along(
    queue: ToldQueue, point: SendingPoint, expected: Arrivals
) -> None:
    """Who is killed with the lock held silences the others for ever; who had not come to it silences nobody."""
    queue.crash_next(point, lambda: queue.forget(1), 1)
    put(queue, 1, "a")
    put(queue, 2, "b")

    assert arrivals(queue, 0, 3600) == expected


@pytest.mark.parametrize("point", POINTS)
def test_a_dead_worker_on_a_connection_of_its_own_silences_nobody(clock: VirtualClock, point: SendingPoint) -> None:
    """On a sequenced wire the others go on, wherever in its sending a worker was killed."""
    queue = ToldQueue(clock, wire="sequenced")
    queue.crash_next(point, lambda: queue.forget(1), 1)
    put(queue, 1, "a")
    assert take(queue) == (["a"] if point == "flushed" else [])
    put(queue, 2, "b")
    put(queue, 1, "c")

    assert arrivals(queue, 0, 3600) == {0: ["b", "c"], 3600: []}


@pytest.mark.parametrize("point", POINTS)
def test_the_crash_is_called_once_and_when_it_is_time(any_queue: ToldQueue, point: SendingPoint) -> None:
    """What ends the worker is called when its request has come that far, before or after its arrival."""
    had_arrived: list[bool] = []

    def crash() -> None:
        had_arrived.append(any_queue.size() == 1)
        any_queue.forget(1)

    any_queue.crash_next(point, crash)
    any_queue.delay_next(5)
    put(any_queue, 1, "a")
    any_queue.clock.advance(4)
    before = list(had_arrived)
    any_queue.clock.advance(60)

    assert (before, had_arrived) == ([], [point == "flushed"])


# Holding and releasing


def test_what_is_held_arrives_when_it_is_released(any_queue: ToldQueue) -> None:
    """What was put while the wire was held arrives at the release, all of it, and what is put after that at once."""
    put(any_queue, 1, "a")
    any_queue.hold()
    put(any_queue, 1, "b", "c")
    put(any_queue, 2, "d")
    held = arrivals(any_queue, 0, 60)
    any_queue.release_held()
    put(any_queue, 1, "e")

    assert (held, take(any_queue)) == ({0: ["a"], 60: []}, ["b", "c", "d", "e"])


def test_what_is_held_is_meddled_with_as_ever(any_queue: ToldQueue) -> None:
    """A verb meddles with the next request that is put, held or not; a delay counts from then."""
    any_queue.hold()
    any_queue.delay_next(5)
    put(any_queue, 1, "a")
    any_queue.drop_next()
    put(any_queue, 1, "b", "c")
    any_queue.clock.advance(2)
    any_queue.release_held()

    assert arrivals(any_queue, 2, 4, 5) == {2: [], 4: [], 5: ["a", "c"]}


def test_what_was_held_goes_in_the_order_of_its_putting(any_queue: ToldQueue) -> None:
    """The requests of several workers are let go as they were put, not worker by worker."""
    any_queue.hold()
    for worker, scope in ((1, "a"), (2, "b"), (1, "c"), (3, "d"), (2, "e")):
        put(any_queue, worker, scope)
    any_queue.release_held()

    assert take(any_queue) == ["a", "b", "c", "d", "e"]


def test_a_release_of_nothing_held_changes_nothing(any_queue: ToldQueue) -> None:
    """Where nothing was held a release has nothing to let go."""
    any_queue.release_held()
    put(any_queue, 1, "a")

    assert take(any_queue) == ["a"]


# A worker that is stopped


def test_what_a_paused_worker_puts_waits_for_its_resume(any_queue: ToldQueue) -> None:
    """A stopped worker's requests wait, those of others do not."""
    any_queue.pause(1)
    put(any_queue, 1, "a")
    put(any_queue, 2, "b")
    paused = arrivals(any_queue, 0, 60)
    any_queue.resume(1)

    assert (paused, take(any_queue)) == ({0: ["b"], 60: []}, ["a"])


@pytest.mark.parametrize("resumed", [3, 4, 5, 6])
def test_a_delay_goes_on_while_its_worker_is_stopped(any_queue: ToldQueue, resumed: int) -> None:
    """What lies in the buffer of a stopped worker arrives when the delay is over and the worker goes on."""
    any_queue.delay_next(5, 1)
    put(any_queue, 1, "a")
    any_queue.clock.advance(2)
    any_queue.pause(1)
    any_queue.clock.advance(resumed - 2)
    any_queue.resume(1)
    arrives = max(5, resumed)

    assert arrivals(any_queue, arrives, 60) == {arrives: ["a"], 60: []}
    assert any_queue.told[-1] == (arrives, "arrived", "a", 0)


def test_a_stopped_worker_may_be_told_of_a_delay(any_queue: ToldQueue) -> None:
    """What is put while its worker is stopped, to be delayed, arrives when the delay is over."""
    any_queue.pause(1)
    any_queue.delay_next(5, 1)
    put(any_queue, 1, "a")
    any_queue.resume(1)

    assert arrivals(any_queue, 4, 5, 6) == {4: [], 5: ["a"], 6: []}


@pytest.mark.parametrize(("resumed", "arrives"), [(4, 5), (5, 5), (6, 6)])
def test_who_is_stopped_within_a_stall_keeps_the_lock_until_it_goes_on(
    queue: ToldQueue, resumed: int, arrives: int
) -> None:
    """A worker that is stopped while it stalls holds the lock until both are over."""
    queue.stall_next(5, 1)
    put(queue, 1, "a")
    put(queue, 2, "b")
    queue.clock.advance(3)
    queue.pause(1)
    queue.clock.advance(resumed - 3)
    before = take(queue)
    queue.resume(1)

    assert (before, arrivals(queue, arrives, 60)) == ([], {arrives: ["a", "b"], 60: []})
    assert queue.told[1:] == [(arrives, "arrived", "a", 0), (arrives, "arrived", "b", 0)]


def test_who_is_stopped_within_a_stall_on_its_own_connection_silences_nobody(clock: VirtualClock) -> None:
    """On a sequenced wire a worker that is stopped while it stalls holds up itself alone."""
    queue = ToldQueue(clock, wire="sequenced")
    queue.stall_next(5, 1)
    put(queue, 1, "a")
    put(queue, 2, "b")
    clock.advance(3)
    queue.pause(1)
    stopped = arrivals(queue, 3, 8)
    queue.resume(1)

    assert (stopped, take(queue)) == ({3: ["b"], 8: []}, ["a"])


def test_the_pause_of_another_changes_nothing_in_a_stall(queue: ToldQueue) -> None:
    """A stall ends in its time whoever else is stopped, and resumed, meanwhile."""
    queue.stall_next(5, 1)
    put(queue, 1, "a")
    put(queue, 2, "b")
    queue.pause(2)
    queue.clock.advance(3)
    queue.resume(2)

    assert arrivals(queue, 3, 4, 5) == {3: [], 4: [], 5: ["a", "b"]}


# A worker's end


def test_what_lies_in_the_buffer_of_a_dead_worker_is_lost(queue: ToldQueue) -> None:
    """What a dead worker had not written never arrives, delayed or overtaken; what it had written was there."""
    put(queue, 1, "a")
    queue.overtake_next(5)
    put(queue, 1, "b")
    queue.delay_next(5)
    put(queue, 1, "c", "d")
    queue.forget(1)

    assert arrivals(queue, 0, 60) == {0: ["a"], 60: []}
    assert queue.told[3:] == [(0, "lost", scope, 0) for scope in "cdb"]


def test_who_ends_as_it_should_flushes_its_buffer(queue: ToldQueue) -> None:
    """What lies in the buffer of a worker that flushes arrives at its end, once."""
    queue.overtake_next(5)
    put(queue, 1, "a")
    queue.delay_next(5)
    put(queue, 1, "b", "c")
    queue.forget(1, flush=True)

    assert arrivals(queue, 0, 5, 60) == {0: ["b", "c", "a"], 5: [], 60: []}


def test_who_can_not_get_the_lock_can_not_flush(queue: ToldQueue) -> None:
    """Where a dead worker holds the lock, what another flushes is lost."""
    queue.crash_next("lock held", lambda: queue.forget(2), 2)
    put(queue, 2, "a")
    put(queue, 1, "b")
    queue.forget(1, flush=True)

    assert take(queue) == []
    assert queue.told == [(0, "lock held", "a", 0), (0, "lost", "a", 0), (0, "lost", "b", 0)]


@pytest.mark.parametrize("flush", [False, True])
def test_a_worker_that_ends_in_a_stall_leaves_the_lock_held(queue: ToldQueue, flush: bool) -> None:  # noqa: FBT001 - a parameter
    """A worker that ends in the middle of a request silences the others for ever."""
    queue.stall_next(5, 1)
    put(queue, 1, "a")
    queue.clock.advance(3)
    queue.forget(1, flush=flush)
    put(queue, 2, "b")

    assert arrivals(queue, 3, 5, 60) == {3: [], 5: [], 60: []}


def test_a_worker_that_ends_while_another_stalls_changes_nothing_for_it(queue: ToldQueue) -> None:
    """The end of a worker that does not hold the lock leaves it where it is."""
    queue.stall_next(5, 1)
    put(queue, 1, "a")
    put(queue, 2, "b")
    queue.forget(2)

    assert arrivals(queue, 4, 5) == {4: [], 5: ["a"]}


@pytest.mark.parametrize("flush", [False, True])
def test_on_a_connection_what_was_put_outlives_its_worker(clock: VirtualClock, flush: bool) -> None:  # noqa: FBT001 - a parameter
    """On a sequenced wire what is under way arrives in its time, though its worker has ended."""
    queue = ToldQueue(clock, wire="sequenced")
    queue.delay_next(5)
    put(queue, 1, "a")
    queue.overtake_next(7)
    put(queue, 1, "b")
    queue.forget(1, flush=flush)

    assert arrivals(queue, 0, 4, 5, 6, 7) == {0: [], 4: [], 5: ["a"], 6: [], 7: ["b"]}


def test_what_was_to_happen_to_a_dead_worker_happens_to_nobody(any_queue: ToldQueue) -> None:
    """A fault that waited for the next request of a worker ends with it, as does its being stopped."""
    any_queue.drop_next(1)
    any_queue.pause(1)
    any_queue.forget(1)
    put(any_queue, 1, "a")

    assert take(any_queue) == ["a"]


def test_what_was_to_happen_to_anybody_outlives_a_worker(any_queue: ToldQueue) -> None:
    """A fault that waits for anybody's next request does not end with a worker, nor does another worker's own."""
    any_queue.drop_next()
    any_queue.drop_next(2)
    any_queue.forget(1)
    put(any_queue, 1, "a", "b")
    put(any_queue, 2, "c", "d")

    assert take(any_queue) == ["b", "d"]


def test_a_stranger_s_end_changes_nothing(any_queue: ToldQueue) -> None:
    """The end of somebody who never sent anything changes nothing."""
    any_queue.delay_next(5, 1)
    put(any_queue, 1, "a")
    any_queue.forget(99)

    assert arrivals(any_queue, 4, 5) == {4: [], 5: ["a"]}


# The loss of everything

UNDER_WAY: dict[str, Callable[[FaultyRequestQueue], None]] = {
    "delayed": lambda queue: queue.delay_next(5),
    "overtaken": lambda queue: queue.overtake_next(5),
    "duplicated": lambda queue: queue.duplicate_next(5),
    "stalled": lambda queue: queue.stall_next(5),
    "held": lambda queue: queue.hold(),
    "stopped": lambda queue: queue.pause(1),
    "not taken yet": lambda queue: None,
}


@pytest.mark.parametrize("how", UNDER_WAY)
def test_what_is_under_way_when_all_is_lost_never_arrives(any_queue: ToldQueue, how: str) -> None:
    """What had not been taken is lost wherever it was, duplicates included; what is put afterwards is not."""
    UNDER_WAY[how](any_queue)
    put(any_queue, 1, "a")
    any_queue.clock.advance(3)
    any_queue.lose_all()
    lost = arrivals(any_queue, 3, 5, 60)
    any_queue.release_held()
    any_queue.resume(1)
    put(any_queue, 1, "b")
    put(any_queue, 2, "c")

    assert (lost, arrivals(any_queue, 60, 90)) == ({3: [], 5: [], 60: []}, {60: ["b", "c"], 90: []})


def test_all_that_is_lost_under_way_is_told(any_queue: ToldQueue) -> None:
    """Of each request that was on its way, and is lost, the record is told once."""
    any_queue.overtake_next(5)
    put(any_queue, 1, "a")
    any_queue.delay_next(5)
    put(any_queue, 1, "b", "c")
    any_queue.told.clear()
    any_queue.lose_all()
    any_queue.lose_all()

    assert any_queue.told == [(0, "lost", "b", 0), (0, "lost", "c", 0), (0, "lost", "a", 0)]


def test_a_duplicate_of_what_is_put_after_the_loss_arrives(any_queue: ToldQueue) -> None:
    """Only duplicates that were under way are lost."""
    any_queue.duplicate_next(5)
    put(any_queue, 1, "a")
    any_queue.lose_all()
    any_queue.duplicate_next(5)
    put(any_queue, 1, "b")

    assert arrivals(any_queue, 0, 5) == {0: ["b"], 5: ["b"]}


# Workers that are tasks


def guarded_worker(queue: FaultyRequestQueue, clock: VirtualClock, body: Callable[[], None]) -> TaskGroup:
    """Starts worker 1, which guards `body` for a minute; what it raises ends it alone."""
    group = TaskGroup("worker 1", on_error=lambda task, error: None)

    def work() -> None:
        with timersim.expires(after=60, scope="step", client=MemoryTimerClient(queue, 1)):
            body()

    with clock.group(group):
        clock.spawn(work, name="worker 1")
    clock.advance(0)
    return group


ACQUIRE, RELEASE = TimerRequest(1, "step", START + 60), TimerRequest(1, "step", -1)


@pytest.mark.parametrize(("mute", "sent"), [(True, [ACQUIRE]), (False, [ACQUIRE, RELEASE])])
def test_a_sigkill_inside_a_guarded_block_sends_no_release(
    any_queue: ToldQueue,
    clock: VirtualClock,
    mute: bool,  # noqa: FBT001 - a parameter
    sent: list[TimerRequest],
) -> None:
    """Who is killed inside `expires` sends no release, as no process does; who is told to end does."""
    group = guarded_worker(any_queue, clock, lambda: clock.sleep(3600))
    clock.advance(5)
    clock.kill(group, mute=mute)

    assert (any_queue.get(9, timeout=0), group.tasks) == (sent, {})


def test_an_exception_inside_a_guarded_block_sends_the_release(any_queue: ToldQueue, clock: VirtualClock) -> None:
    """Who raises inside `expires` sends its release when it leaves the block."""

    def fail() -> None:
        clock.sleep(5)
        raise LookupError

    guarded_worker(any_queue, clock, fail)
    clock.advance(5)

    assert any_queue.get(9, timeout=0) == [ACQUIRE, RELEASE]


@pytest.mark.parametrize(("mute", "reaped"), [(True, [1]), (False, [])])
def test_who_was_killed_inside_a_guarded_block_is_still_guarded(
    any_queue: ToldQueue,
    clock: VirtualClock,
    mute: bool,  # noqa: FBT001 - a parameter
    reaped: list[int],
) -> None:
    """The watchdog sees the timer of who was killed expire, and that of who was told to end released."""
    server = MemoryTimerServer(any_queue, max_interval=60, clock=clock, reaper=FaultyReaper(clock))
    server.start()
    group = guarded_worker(any_queue, clock, lambda: clock.sleep(3600))
    clock.advance(5)
    clock.kill(group, mute=mute)
    clock.advance(60)

    assert server.reaped == reaped


def test_a_muted_put_uses_up_no_fault(any_queue: ToldQueue, clock: VirtualClock) -> None:
    """What is not sent is not meddled with: the fault waits for the next request that is."""
    group = guarded_worker(any_queue, clock, lambda: clock.sleep(3600))
    take(any_queue)
    any_queue.drop_next()
    clock.kill(group, mute=True)
    put(any_queue, 1, "a", "b")

    assert take(any_queue) == ["b"]


# Reaps


def answers(reap: FaultyReaper, *workers: int) -> list[object]:
    """Returns how the reaps of these workers end, in order: the answer, or the type of what was raised."""
    ends: list[object] = []
    for worker in workers:
        try:
            ends.append(reap(worker))
        except OSError as error:
            ends.append(type(error))
    return ends


def ending(ended: list[int]) -> Callable[[int], bool]:
    """Returns a reaper that notes whom it ends."""

    def end(worker: int) -> bool:
        ended.append(worker)
        return True

    return end


def test_without_a_fault_the_reaper_reaps(clock: VirtualClock) -> None:
    """A reap does what the given reaper does, and where none is given succeeds."""
    asked: list[int] = []

    def reap(worker: int) -> bool:
        asked.append(worker)
        return worker == 7

    assert answers(FaultyReaper(clock), 7, 8) == [True, True]
    assert (answers(FaultyReaper(clock, reap), 7, 8), asked) == ([True, False], [7, 8])


def test_a_reap_that_fails_ends_nobody(clock: VirtualClock) -> None:
    """The next reaps fail, as many as were said, and the reaper is not asked; the one after them reaps."""
    ended: list[int] = []
    reap = FaultyReaper(clock, ending(ended))
    reap.fail_next(times=2)

    assert (answers(reap, 1, 2, 3), ended) == ([False, False, True], [3])


def test_one_reap_fails_unless_said_otherwise(clock: VirtualClock) -> None:
    """Where no number is given one reap fails, or raises."""
    reap = FaultyReaper(clock)
    reap.fail_next()
    reap.raise_next(OSError())

    assert answers(reap, 1, 1, 1) == [False, OSError, True]


def test_a_reap_raises_what_it_is_told(clock: VirtualClock) -> None:
    """The error that was given is raised as it is, and nobody is ended."""
    ended: list[int] = []
    reap, error = FaultyReaper(clock, ending(ended)), OSError("no leave")
    reap.raise_next(error)

    with pytest.raises(OSError, match=r"^no leave$") as raised:
        reap(1)
    assert (raised.value, ended) == (error, [])


def test_faults_of_reaps_come_in_the_order_of_the_calls(clock: VirtualClock) -> None:
    """What was injected first happens first."""
    reap = FaultyReaper(clock)
    reap.raise_next(PermissionError())
    reap.fail_next(times=2)
    reap.raise_next(ProcessLookupError())

    assert answers(reap, 1, 1, 1, 1, 1) == [PermissionError, False, False, ProcessLookupError, True]


def test_a_fault_of_one_worker_waits_for_its_reap(clock: VirtualClock) -> None:
    """A fault of one worker concerns its reaps alone, and comes before those of any worker."""
    reap = FaultyReaper(clock)
    reap.fail_next(worker_id=2)
    reap.raise_next(PermissionError())

    assert answers(reap, 2, 2, 2) == [False, PermissionError, True]
    reap.fail_next(worker_id=2)
    assert answers(reap, 1, 2, 2) == [True, False, True]


def test_a_slow_reap_takes_its_time_and_then_ends_the_worker(clock: VirtualClock) -> None:
    """A slow reap is told of when it begins, takes its time, and ends the worker then."""
    log: list[tuple[float, object]] = []

    class Told(FaultyReaper):
        def on_wait(self, worker_id: Any, seconds: float) -> None:
            log.append((clock.monotonic() - START, f"waits {seconds} s for {worker_id}"))

    def end(worker: int) -> bool:
        log.append((clock.monotonic() - START, f"ends {worker}"))
        return True

    reap = Told(clock, end)
    reap.slow_next(5)
    clock.spawn(lambda: log.append((reap(7), "is gone")), name="reaper")
    clock.advance(60)
    reap(8)

    assert log == [(0, "waits 5 s for 7"), (5, "ends 7"), (True, "is gone"), (60, "ends 8")]


def test_two_slow_reaps_are_slow_each(clock: VirtualClock) -> None:
    """Each of several slow reaps takes its time, and no more."""
    reap = FaultyReaper(clock)
    reap.slow_next(5, times=2)

    assert [(reap(1), clock.monotonic() - START) for _ in range(3)] == [(True, 5), (True, 10), (True, 10)]


def test_a_slow_reap_can_fail(clock: VirtualClock) -> None:
    """A reap that was made slow and then to fail fails when it has taken its time."""
    reap = FaultyReaper(clock)
    reap.slow_next(5)
    reap.fail_next()

    assert (reap(1), clock.monotonic() - START) == (False, 5)


def test_a_watchdog_tries_a_failed_reap_again(clock: VirtualClock) -> None:
    """A reap that fails and one that raises are tried again until the worker is gone."""
    queue, attempts = FaultyRequestQueue(clock), list[float]()

    class Told(FaultyReaper):
        def __call__(self, worker_id: Any) -> bool:
            attempts.append(clock.monotonic() - START)
            return super().__call__(worker_id)

    reap = Told(clock)
    reap.fail_next()
    reap.raise_next(OSError())
    server = MemoryTimerServer(queue, max_interval=60, clock=clock, reaper=reap)
    server.start()
    queue.put(TimerRequest(1, "s", START + 5))
    clock.advance(60)

    assert (attempts, server.reaped) == ([5, 6, 8], [1])
