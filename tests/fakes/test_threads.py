"""Threads, locks and queues in virtual time, against those of the standard library: one set of claims for both."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from timersim.clock import Clock, SystemClock
from timersim.fakes import VirtualClock
from timersim.fakes.threads import VirtualQueues, VirtualThreading

INSTANT = 0.02
"""A short real time, in seconds."""

LIMIT = 10.0
"""How long, in seconds, something may take that must happen."""


@dataclass
class Kit:
    """The modules under test, and the clock by which they wait."""

    threading: Any
    queue: Any
    clock: Clock

    def start(self, *bodies: Callable[[], object]) -> list[Any]:
        """Starts a thread for each body."""
        threads = [self.threading.Thread(target=body, daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        return threads

    def run(self, *bodies: Callable[[], object]) -> None:
        """Starts a thread for each body and waits for their ends."""
        for thread in self.start(*bodies):
            thread.join(LIMIT)
            assert not thread.is_alive()


@pytest.fixture(params=["stdlib", "virtual"])
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """The modules of the standard library, and the virtual ones."""
    if request.param == "stdlib":
        yield Kit(threading, queue, SystemClock())
        return
    clock = VirtualClock()
    yield Kit(VirtualThreading(clock), VirtualQueues(clock), clock)
    clock.close()


# Thread


def test_a_thread_calls_its_target(kit: Kit) -> None:
    """A thread calls its target with the arguments that it was given."""
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    thread = kit.threading.Thread(
        target=lambda *args, **kwargs: calls.append((args, kwargs)), args=[1, 2], kwargs={"three": 3}
    )
    thread.start()
    thread.join()

    assert calls == [((1, 2), {"three": 3})]


def test_a_thread_can_be_subclassed(kit: Kit) -> None:
    """A subclass with a `run` of its own has that called."""
    log: list[str] = []

    class Watchdog(kit.threading.Thread):  # type: ignore[misc, name-defined]  # whichever module it is
        def run(self) -> None:
            log.append(self.name)

    watchdog = Watchdog(name="watchdog", daemon=True)
    watchdog.start()
    watchdog.join()

    assert (log, watchdog.daemon) == (["watchdog"], True)


def test_a_thread_without_a_target_does_nothing(kit: Kit) -> None:
    """A thread that was given nothing to call ends at once; it is no daemon unless asked for."""
    thread = kit.threading.Thread()
    thread.start()
    thread.join()

    assert (thread.is_alive(), thread.daemon) == (False, False)


def test_a_thread_is_alive_from_its_start_to_its_end(kit: Kit) -> None:
    """A thread is alive from start to end and has an identity from its start; a join with a timeout may come back."""
    gate = kit.threading.Event()
    thread = kit.threading.Thread(target=gate.wait)
    states = [(thread.is_alive(), thread.ident is None)]

    thread.start()
    thread.join(INSTANT)
    states.append((thread.is_alive(), thread.ident is None))
    gate.set()
    thread.join()
    states.append((thread.is_alive(), thread.ident is None))

    assert states == [(False, True), (True, False), (False, False)]


def test_a_thread_starts_once(kit: Kit) -> None:
    """A second start is an error, even after the end."""
    thread = kit.threading.Thread()
    thread.start()
    thread.join()

    with pytest.raises(RuntimeError) as raised:
        thread.start()

    assert raised.value.args == ("threads can only be started once",)


def test_a_thread_that_was_not_started_cannot_be_joined(kit: Kit) -> None:
    """A join before the start is an error."""
    with pytest.raises(RuntimeError) as raised:
        kit.threading.Thread().join()

    assert raised.value.args == ("cannot join thread before it is started",)


def test_a_thread_cannot_join_itself(kit: Kit) -> None:
    """A thread that joins itself is told so, and not blocked."""
    threads: list[Any] = []
    errors: list[type[Exception]] = []

    def join() -> None:
        try:
            threads[0].join()
        except RuntimeError as error:
            errors.append(type(error))

    threads.append(kit.threading.Thread(target=join))
    threads[0].start()
    threads[0].join()

    assert errors == [RuntimeError]


# Timer


def test_a_timer_calls_after_its_interval(kit: Kit) -> None:
    """A timer calls its function with its arguments after the interval, and not before."""
    log: list[tuple[object, ...]] = []
    timer = kit.threading.Timer(INSTANT, lambda *args, **kwargs: log.append((*args, *kwargs)), [1], {"two": 2})
    before = kit.clock.monotonic()
    timer.start()
    early = list(log)
    timer.join()

    assert (early, log) == ([], [(1, "two")])
    assert kit.clock.monotonic() - before >= INSTANT * 0.99


def test_a_cancelled_timer_does_not_call(kit: Kit) -> None:
    """A timer that is cancelled before its interval is over ends at once and calls nothing."""
    log: list[str] = []
    timer = kit.threading.Timer(LIMIT, lambda: log.append("called"))
    before = kit.clock.monotonic()
    timer.start()
    timer.cancel()
    timer.join()

    assert (log, kit.clock.monotonic() - before < LIMIT) == ([], True)


# Event


def test_an_event_is_set_until_it_is_cleared(kit: Kit) -> None:
    """An event is clear at first, and set from `set` to `clear`; a wait for a set one takes no time."""
    event = kit.threading.Event()
    states = [(event.is_set(), event.wait(0))]
    event.set()
    states.append((event.is_set(), event.wait()))
    event.clear()
    states.append((event.is_set(), event.wait(INSTANT)))

    assert states == [(False, False), (True, True), (False, False)]


def test_an_event_wakes_all_who_wait(kit: Kit) -> None:
    """Setting an event wakes everybody who waits for it."""
    event, answers = kit.threading.Event(), list[bool]()
    threads = kit.start(*[lambda: answers.append(event.wait(LIMIT))] * 3)

    event.set()
    for thread in threads:
        thread.join(LIMIT)

    assert answers == [True, True, True]


# Lock and RLock

locks = pytest.mark.parametrize("kind", ["Lock", "RLock"])


@locks
def test_a_lock_lets_one_in(kit: Kit, kind: str) -> None:
    """What one thread holds another does not get: not at once, and not within a timeout."""
    lock, answers = getattr(kit.threading, kind)(), list[bool]()

    with lock:
        kit.run(
            lambda: answers.append(lock.acquire(blocking=False)), lambda: answers.append(lock.acquire(timeout=INSTANT))
        )
    kit.run(lambda: answers.append(lock.acquire(blocking=False)))

    assert answers == [False, False, True]


@locks
def test_a_release_lets_the_next_in(kit: Kit, kind: str) -> None:
    """Whoever waits for a lock gets it when it is released."""
    lock, log = getattr(kit.threading, kind)(), list[str]()

    def enter(name: str) -> None:
        with lock:
            log.append(f"{name} in")
            kit.clock.sleep(INSTANT)
            log.append(f"{name} out")

    kit.run(lambda: enter("a"), lambda: enter("b"))

    assert log in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])


@locks
def test_a_lock_that_nobody_holds_cannot_be_released(kit: Kit, kind: str) -> None:
    """A release too many is an error."""
    lock = getattr(kit.threading, kind)()
    with lock:
        pass

    with pytest.raises(RuntimeError):
        lock.release()


@locks
@pytest.mark.parametrize(("blocking", "timeout"), [(False, 1), (True, -2)])
def test_a_timeout_that_makes_no_sense_is_refused(kit: Kit, kind: str, blocking: bool, timeout: float) -> None:  # noqa: FBT001 - a parameter
    """A timeout without waiting, and a negative one other than -1, are errors."""
    lock = getattr(kit.threading, kind)()

    with pytest.raises(ValueError):  # noqa: PT011 - the texts are the C library's
        lock.acquire(blocking, timeout)


def test_a_lock_tells_whether_it_is_held(kit: Kit) -> None:
    """`locked` tells whether anybody holds the lock; `acquire` and the block answer True."""
    lock = kit.threading.Lock()
    states = [lock.locked(), lock.acquire(), lock.locked()]
    lock.release()
    with lock as entered:
        states += [entered, lock.locked()]

    assert (states, lock.locked()) == ([False, True, True, True, True], False)


def test_a_lock_does_not_know_its_holder(kit: Kit) -> None:
    """A plain lock is refused to its own holder, and may be released by somebody else."""
    lock = kit.threading.Lock()
    lock.acquire()
    again = lock.acquire(blocking=False)

    kit.run(lock.release)

    assert (again, lock.locked()) == (False, False)


def test_a_reentrant_lock_lets_its_holder_in_again(kit: Kit) -> None:
    """A reentrant lock is free when its holder has released it as often as he took it."""
    lock, answers = kit.threading.RLock(), list[bool]()

    def attempt() -> None:
        answers.append(lock.acquire(blocking=False))
        if answers[-1]:
            lock.release()

    with lock:
        with lock:
            kit.run(attempt)
        kit.run(attempt)
    kit.run(attempt)

    assert answers == [False, False, True]


def test_a_reentrant_lock_is_released_by_its_holder_alone(kit: Kit) -> None:
    """A release by a thread that does not hold the reentrant lock is an error, and frees nothing."""
    lock, errors, answers = kit.threading.RLock(), list[type[Exception]](), list[bool]()

    def steal() -> None:
        try:
            lock.release()
        except RuntimeError as error:
            errors.append(type(error))

    lock.acquire()
    kit.run(steal)
    kit.run(lambda: answers.append(lock.acquire(blocking=False)))

    assert (errors, answers) == ([RuntimeError], [False])


# Condition


def waiters(kit: Kit, condition: Any, number: int) -> tuple[list[Any], list[bool]]:
    """Starts threads that wait for the condition, and returns when all of them do."""
    ready, answers = kit.threading.Event(), list[bool]()
    waiting: list[int] = []

    def wait() -> None:
        with condition:
            waiting.append(1)
            if len(waiting) == number:
                ready.set()
            answers.append(condition.wait(LIMIT))

    threads = kit.start(*[wait] * number)
    assert ready.wait(LIMIT)
    return threads, answers


def test_a_notification_wakes_one(kit: Kit) -> None:
    """`notify` wakes as many as it says, `notify_all` everybody."""
    condition = kit.threading.Condition()
    threads, answers = waiters(kit, condition, 4)
    counts: list[int] = []

    def count(wake: Callable[[], object], least: int) -> None:
        with condition:
            wake()
        end = kit.clock.monotonic() + LIMIT
        while len(answers) < least and kit.clock.monotonic() < end:
            kit.clock.sleep(INSTANT / 10)
        kit.clock.sleep(INSTANT)
        counts.append(len(answers))

    count(condition.notify, 1)
    count(partial(condition.notify, 2), 3)
    count(condition.notify_all, 4)
    for thread in threads:
        thread.join(LIMIT)

    assert (counts, answers) == ([1, 3, 4], [True] * 4)


def test_a_notification_of_nobody_is_lost(kit: Kit) -> None:
    """A notification wakes who waits by then, not who waits later; such a wait answers False at its timeout."""
    condition = kit.threading.Condition(kit.threading.Lock())

    with condition:
        condition.notify_all()
        answer = condition.wait(INSTANT)

    assert answer is False


def test_who_gave_up_takes_no_notification(kit: Kit) -> None:
    """A notification goes to somebody who still waits, not to one whose wait timed out."""
    condition = kit.threading.Condition()
    with condition:
        gave_up = condition.wait(INSTANT)
    threads, answers = waiters(kit, condition, 1)

    with condition:
        condition.notify()
    threads[0].join(LIMIT)

    assert (gave_up, answers) == (False, [True])


def test_a_wait_for_a_condition_frees_its_lock(kit: Kit) -> None:
    """While a condition is awaited its lock is free, however often it is held, and afterwards it is held again."""
    condition, log = kit.threading.Condition(), list[str]()

    def notify() -> None:
        with condition:
            log.append("inside")
            condition.notify()

    with condition, condition:
        threads = kit.start(notify)
        log.append("waiting")
        answer = condition.wait(LIMIT)
        kit.run(lambda: log.append(f"free: {condition.acquire(blocking=False)}"))
    threads[0].join(LIMIT)

    assert (log, answer) == (["waiting", "inside", "free: False"], True)


def test_a_wait_for_a_predicate_returns_it(kit: Kit) -> None:
    """`wait_for` returns what its predicate came to: at once, after notifications, or at the timeout."""
    condition, items = kit.threading.Condition(), list[str]()

    def bring() -> None:
        for item in ("first", "second"):
            with condition:
                items.append(item)
                condition.notify()
            kit.clock.sleep(INSTANT)

    with condition:
        at_once = condition.wait_for(lambda: "there", LIMIT)
        kit.start(bring)
        later = condition.wait_for(lambda: items[1:], LIMIT)
        never = condition.wait_for(list, INSTANT)

    assert (at_once, later, never) == ("there", ["second"], [])


@pytest.mark.parametrize("call", ["wait", "notify", "notify_all"])
def test_a_condition_is_used_under_its_lock(kit: Kit, call: str) -> None:
    """Waiting and notifying without the lock are errors."""
    condition = kit.threading.Condition()

    with pytest.raises(RuntimeError):
        getattr(condition, call)(*([INSTANT] if call == "wait" else []))


# Queue


@pytest.mark.parametrize(
    ("kind", "order"),
    [("Queue", [2, 3, 1]), ("SimpleQueue", [2, 3, 1]), ("LifoQueue", [1, 3, 2]), ("PriorityQueue", [1, 2, 3])],
)
def test_a_queue_has_its_order(kit: Kit, kind: str, order: list[int]) -> None:
    """What was put comes out in the order of that queue, and then it is empty."""
    made = getattr(kit.queue, kind)()
    for item in (2, 3, 1):
        made.put(item)
    size = made.qsize()

    assert (size, [made.get() for _ in range(3)], made.empty()) == (3, order, True)


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "LifoQueue", "PriorityQueue"])
def test_a_get_from_an_empty_queue_costs_its_timeout(kit: Kit, kind: str) -> None:
    """A get from an empty queue raises Empty: at once where it may not wait, else after its timeout by the clock."""
    made = getattr(kit.queue, kind)()
    before = kit.clock.monotonic()

    for get in (made.get_nowait, lambda: made.get(block=False), lambda: made.get(timeout=INSTANT)):
        with pytest.raises(queue.Empty):
            get()

    assert INSTANT * 0.99 <= kit.clock.monotonic() - before < LIMIT


def test_a_put_into_a_full_queue_costs_its_timeout(kit: Kit) -> None:
    """A put into a full queue raises Full: at once where it may not wait, else after its timeout by the clock."""
    made = kit.queue.Queue(maxsize=2)
    states = [made.full()]
    made.put(1)
    made.put(2)
    states.append(made.full())
    before = kit.clock.monotonic()

    for put in (
        made.put_nowait,
        lambda item: made.put(item, block=False),
        lambda item: made.put(item, timeout=INSTANT),
    ):
        with pytest.raises(queue.Full):
            put(3)

    assert (states, made.qsize(), made.maxsize) == ([False, True], 2, 2)
    assert INSTANT * 0.99 <= kit.clock.monotonic() - before < LIMIT


def test_a_put_ends_a_get_that_waits(kit: Kit) -> None:
    """Whoever waits to get is given what is put, each thing once."""
    made, taken = kit.queue.Queue(), list[int]()
    threads = kit.start(*[lambda: taken.append(made.get(timeout=LIMIT))] * 3)

    for item in (1, 2, 3):
        made.put(item)
    for thread in threads:
        thread.join(LIMIT)

    assert (sorted(taken), made.qsize()) == ([1, 2, 3], 0)


def test_a_get_ends_a_put_that_waits(kit: Kit) -> None:
    """Whoever waits to put may do so when something is taken."""
    made, taken = kit.queue.Queue(1), list[int]()
    threads = kit.start(lambda: [made.put(item, timeout=LIMIT) for item in range(5)])

    for _ in range(5):
        taken.append(made.get(timeout=LIMIT))
    threads[0].join(LIMIT)

    assert taken == [0, 1, 2, 3, 4]


def test_a_join_of_a_queue_waits_until_all_is_done(kit: Kit) -> None:
    """A join of a queue returns when everything that was put was reported done, and not before."""
    made, log = kit.queue.Queue(), list[str]()

    def work() -> None:
        for _ in range(2):
            made.get()
            kit.clock.sleep(INSTANT)
            log.append("done")
            made.task_done()

    made.put(1)
    made.put(2)
    kit.start(work)
    made.join()

    assert log == ["done", "done"]


def test_nothing_is_done_that_was_not_put(kit: Kit) -> None:
    """A `task_done` too many is an error."""
    made = kit.queue.Queue()
    made.put(1)
    made.task_done()

    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        made.task_done()

    assert raised.value.args == ("task_done() called too many times",)


def test_a_negative_timeout_of_a_queue_is_refused(kit: Kit) -> None:
    """A negative timeout is an error."""
    made = kit.queue.Queue(1)
    made.put(1)

    for call in (partial(made.put, 2, timeout=-1), partial(kit.queue.Queue().get, timeout=-1)):
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            call()
        assert raised.value.args == ("'timeout' must be a non-negative number",)


# What only virtual ones can do


def test_an_hour_of_threads_takes_no_time() -> None:
    """Threads, timers, events and queues live a virtual hour by the clock for which they were made."""
    clock = VirtualClock()
    modules, channel = VirtualThreading(clock), VirtualQueues(clock).Queue()
    stopped, log = modules.Event(), list[tuple[float, str]]()

    def beat() -> None:
        while not stopped.wait(1200):
            channel.put("beat")

    def watch() -> None:
        while (item := channel.get()) != "end":
            log.append((clock.monotonic() - 1_000_000, item))

    for body in (beat, watch):
        modules.Thread(target=body).start()
    modules.Timer(3600, stopped.set).start()
    modules.Timer(3601, channel.put, ["end"]).start()
    clock.advance(3601)

    assert (log, clock.tasks) == ([(1200, "beat"), (2400, "beat")], [])


def test_what_is_not_virtual_is_the_standard_librarys() -> None:
    """The other names of the two modules are those of the standard library."""
    clock = VirtualClock()

    assert VirtualThreading(clock).get_ident is threading.get_ident
    assert (VirtualQueues(clock).Empty, VirtualQueues(clock).Full) == (queue.Empty, queue.Full)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("Semaphore", lambda made: made(0).acquire(timeout=INSTANT)),
        ("BoundedSemaphore", lambda made: [(semaphore := made(1)).acquire(), semaphore.acquire(timeout=INSTANT)]),
        ("Barrier", lambda made: made(2).wait(INSTANT)),
    ],
)
def test_nothing_blocks_in_real_time(name: str, block: Callable[[Any], object]) -> None:
    """What waits does so by the clock, or is refused by its name: in real time it would block the whole world."""
    clock = VirtualClock()

    try:
        block(getattr(VirtualThreading(clock), name))
    except AttributeError as error:
        assert name in str(error)  # noqa: PT017 - either answer is right
    except threading.BrokenBarrierError:
        assert clock.monotonic() == 1_000_000 + INSTANT
    else:
        assert clock.monotonic() == 1_000_000 + INSTANT


def test_an_exception_of_a_thread_stops_the_run() -> None:
    """What leaves a virtual thread is raised where time is let pass, with the thread's name."""
    clock = VirtualClock()
    VirtualThreading(clock).Thread(target=lambda: 1 / 0, name="divider").start()

    with pytest.raises(ZeroDivisionError) as raised:
        clock.advance(1)

    assert raised.value.__notes__ == ["in task 'divider' at t=1000000.0"]


def test_who_gave_up_takes_nobodys_ticket_along() -> None:
    """A waiter whose time is over leaves the others waiting: the next notification is theirs."""
    clock = VirtualClock(start=100)
    condition = VirtualThreading(clock).Condition()
    woken: list[tuple[str, float]] = []

    def wait(name: str, timeout: float) -> None:
        with condition:
            condition.wait(timeout)
        woken.append((name, clock.monotonic()))

    clock.spawn(lambda: wait("patient", 50), name="patient")
    clock.spawn(lambda: wait("hasty", 1), name="hasty")
    clock.advance(2)
    with condition:
        condition.notify()
    clock.advance(100)

    assert woken == [("hasty", 101), ("patient", 102)]
