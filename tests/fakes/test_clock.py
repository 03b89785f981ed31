"""Virtual time: a clock that passes only when told to, and what it shares with the clock of the machine."""

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import pytest

from timersim.clock import Clock, SystemClock, Task
from timersim.fakes import Deadlock, VirtualClock

_: type[Clock] = VirtualClock

START = 1_000_000.0
INSTANT = 1 / 64
"""A short time that floats hold exactly, in seconds."""

T = TypeVar("T")
Perform = Callable[[Clock, Callable[[], T]], T]


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock at START."""
    return VirtualClock()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: where to read and where to write."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


# What every clock does


def outside(clock: Clock, body: Callable[[], T]) -> T:
    """Performs `body` where no task runs."""
    return body()


def inside(clock: Clock, body: Callable[[], T]) -> T:
    """Performs `body` in a task of its own."""
    answers: list[T] = []
    clock.spawn(lambda: answers.append(body()), name="body").join()
    return answers[0]


every_clock = pytest.mark.parametrize("any_clock", [SystemClock(), VirtualClock()], ids=["system", "virtual"])
everywhere = pytest.mark.parametrize("perform", [outside, inside])


@every_clock
@everywhere
def test_a_sleep_moves_both_hands(any_clock: Clock, perform: Perform[tuple[float, float]]) -> None:
    """A sleep lets at least its seconds pass, on the wall and on the monotonic clock."""

    def sleep() -> tuple[float, float]:
        wall, monotonic = any_clock.time(), any_clock.monotonic()
        any_clock.sleep(INSTANT)
        return any_clock.time() - wall, any_clock.monotonic() - monotonic

    assert min(perform(any_clock, sleep)) >= INSTANT * 0.99


@every_clock
@everywhere
def test_a_wait_for_what_is_there_takes_no_time(any_clock: Clock, perform: Perform[bool]) -> None:
    """A wait for what is there already answers True at once."""
    assert perform(any_clock, lambda: any_clock.wait(lambda seconds: True, math.inf)) is True


@every_clock
@everywhere
def test_a_wait_in_vain_ends_after_its_timeout(any_clock: Clock, perform: Perform[tuple[bool, float]]) -> None:
    """A wait for what does not come answers False, after its timeout and not before."""

    def wait() -> tuple[bool, float]:
        before = any_clock.monotonic()
        return any_clock.wait(threading.Event().wait, INSTANT), any_clock.monotonic() - before

    answer, passed = perform(any_clock, wait)

    assert (answer, passed >= INSTANT * 0.99) == (False, True)


@every_clock
@everywhere
@pytest.mark.parametrize("timeout", [0, -1])
def test_a_wait_without_time_asks_once(any_clock: Clock, perform: Perform[bool], timeout: float) -> None:
    """A wait with a timeout of 0, or below, answers at once."""
    assert perform(any_clock, lambda: any_clock.wait(lambda seconds: False, timeout)) is False


@every_clock
@everywhere
def test_a_wait_ends_when_another_task_brings_the_awaited(any_clock: Clock, perform: Perform[bool]) -> None:
    """A wait answers True as soon as another task made it so."""
    there = threading.Event()

    def bring() -> None:
        any_clock.sleep(INSTANT)
        there.set()

    def wait() -> bool:
        any_clock.spawn(bring, name="bring")
        return any_clock.wait(there.wait, 60)

    assert perform(any_clock, wait) is True


@every_clock
@everywhere
def test_a_wait_that_becomes_true_at_its_end_is_true(any_clock: Clock, perform: Perform[bool]) -> None:
    """The awaited thing is asked for once more when the time is up."""

    def wait() -> bool:
        end = any_clock.monotonic() + INSTANT

        def poll(seconds: float) -> bool:
            if seconds:
                any_clock.sleep(seconds)
            return any_clock.monotonic() >= end

        return any_clock.wait(poll, INSTANT)

    assert perform(any_clock, wait) is True


@every_clock
@everywhere
def test_readable_descriptors_come_in_the_order_asked_for(any_clock: Clock, perform: Perform[list[int]]) -> None:
    """Of the descriptors, those that are readable are returned, in the order in which they were given."""
    pipes = [os.pipe() for _ in range(3)]
    (first, write_first), (silent, _), (third, write_third) = pipes
    os.write(write_third, b"x")
    os.write(write_first, b"x")

    try:
        ready = perform(any_clock, lambda: any_clock.wait_readable([third, silent, first], math.inf))
        assert ready == [third, first]
    finally:
        for fd in (end for ends in pipes for end in ends):
            os.close(fd)


@every_clock
@everywhere
def test_a_silent_descriptor_costs_the_timeout(
    any_clock: Clock, perform: Perform[tuple[list[int], float]], pipe: tuple[int, int]
) -> None:
    """A wait for a descriptor on which nothing arrives answers with none, after its timeout."""

    def wait() -> tuple[list[int], float]:
        before = any_clock.monotonic()
        return any_clock.wait_readable([pipe[0]], INSTANT), any_clock.monotonic() - before

    ready, passed = perform(any_clock, wait)

    assert (ready, passed >= INSTANT * 0.99) == ([], True)


@every_clock
@everywhere
def test_a_descriptor_becomes_readable_while_it_is_awaited(
    any_clock: Clock, perform: Perform[list[int]], pipe: tuple[int, int]
) -> None:
    """What another task writes ends the wait for the descriptor."""

    def write() -> None:
        any_clock.sleep(INSTANT)
        os.write(pipe[1], b"x")

    def wait() -> list[int]:
        any_clock.spawn(write, name="write")
        return any_clock.wait_readable([pipe[0]], 60)

    assert perform(any_clock, wait) == [pipe[0]]


@every_clock
@everywhere
def test_a_join_waits_for_the_end_of_the_task(any_clock: Clock, perform: Perform[list[object]]) -> None:
    """A task lives until it ended, a join waits for that, and a join with a timeout no longer than it says."""

    def join() -> list[object]:
        done = threading.Event()

        def work() -> None:
            any_clock.wait(done.wait, 60)

        task = any_clock.spawn(work, name="worker")
        task.join(INSTANT)
        before = task.alive
        done.set()
        task.join()
        return [task.name, before, task.alive]

    assert perform(any_clock, join) == ["worker", True, False]


@every_clock
def test_the_hands_never_go_back(any_clock: Clock) -> None:
    """A later reading of the monotonic clock is no earlier one."""
    readings = [any_clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


# Letting time pass


def test_time_stands_until_it_is_told_to_pass(clock: VirtualClock) -> None:
    """Both hands stand at `start` until time is told to pass."""
    assert (clock.time(), clock.monotonic(), clock.time_ns, clock.monotonic_ns) == (START, START, 10**15, 10**15)


def test_ten_tenths_make_one_second(clock: VirtualClock) -> None:
    """Ten advances of 0.1 make exactly one second."""
    for _ in range(10):
        clock.advance(0.1)

    assert clock.time() == START + 1


def test_instants_round_trip_for_eleven_days(clock: VirtualClock) -> None:
    """A float of seconds that was read from the clock leads back to that very instant."""
    for _ in range(1_000):
        clock.advance_ns(950_123_456_789)
        instant = clock.monotonic()
        before = clock.monotonic_ns
        clock.advance_to(instant)
        assert (clock.monotonic(), clock.monotonic_ns) == (instant, before)


def test_each_due_instant_is_visited(clock: VirtualClock) -> None:
    """On the way each due instant is visited, with the clock set to it before what is due runs."""
    log: list[float] = []
    for seconds in (3, 1, 2):
        clock.call_later(seconds, lambda: log.append(clock.monotonic() - START))

    clock.advance(10)

    assert (log, clock.monotonic() - START) == ([1, 2, 3], 10)


@pytest.mark.parametrize(("seconds", "called"), [(4.999999999, []), (5, [5]), (5.000000001, [5])])
def test_what_is_due_at_the_end_happens(clock: VirtualClock, seconds: float, called: list[float]) -> None:
    """An advance runs what is due at its last instant, and nothing later."""
    log: list[float] = []
    clock.call_later(5, lambda: log.append(clock.monotonic() - START))

    clock.advance(seconds)

    assert log == called


def test_equal_instants_run_in_the_order_of_their_making(clock: VirtualClock) -> None:
    """What is due at one instant runs in the order in which it was made: calls and sleepers alike."""
    log: list[str] = []

    def sleeper() -> None:
        clock.sleep(5)
        log.append("sleeper")

    clock.call_later(5, lambda: log.append("first"))
    clock.spawn(sleeper, name="sleeper")
    clock.advance(0)
    clock.call_at(START + 5, lambda: log.append("third"))
    clock.call_later(5, lambda: log.append("fourth"))
    clock.advance(5)

    assert log == ["first", "sleeper", "third", "fourth"]


def test_what_a_call_arms_is_met_on_the_way(clock: VirtualClock) -> None:
    """What falls due may arm something nearer than the next: the head is read again."""
    log: list[float] = []

    def arm() -> None:
        log.append(clock.monotonic() - START)
        clock.call_later(1, lambda: log.append(clock.monotonic() - START))

    clock.call_later(1, arm)
    clock.call_later(5, lambda: log.append(clock.monotonic() - START))
    clock.advance(10)

    assert log == [1, 2, 5]


def test_a_call_in_the_past_is_due_at_once(clock: VirtualClock) -> None:
    """A call at an instant that is past is made at the present one."""
    log: list[float] = []
    clock.call_at(START - 1, lambda: log.append(clock.monotonic()))

    clock.advance(1)

    assert log == [START]


def test_a_cancelled_call_is_not_made(clock: VirtualClock) -> None:
    """A call that was taken back is neither made nor pending, and may be taken back twice."""
    log: list[str] = []
    call = clock.call_later(1, lambda: log.append("cancelled"))
    clock.call_later(1, lambda: log.append("kept"))
    call.cancel()
    call.cancel()

    pending = len(clock.pending)
    clock.advance(2)

    assert (pending, log) == (1, ["kept"])


@pytest.mark.parametrize(
    ("advance", "sentence"),
    [
        (lambda clock: clock.advance(-3), "time can't go backwards: advance(-3)"),
        (lambda clock: clock.advance_ns(-1), "time can't go backwards: advance_ns(-1)"),
        (lambda clock: clock.advance_to(999_999.0), "time can't go backwards: advance_to(999999.0) at 1000000.0"),
        (lambda clock: clock.sleep(-0.5), "time can't go backwards: sleep(-0.5)"),
        (lambda clock: clock.advance(math.nan), "not a time in seconds: nan"),
        (lambda clock: clock.advance(math.inf), "not a time in seconds: inf"),
    ],
)
def test_time_goes_forwards_only(clock: VirtualClock, advance: Callable[[VirtualClock], None], sentence: str) -> None:
    """Time that goes backwards, or is no time, is an error that says so, and nothing moves."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        advance(clock)

    assert (str(raised.value), clock.monotonic()) == (sentence, START)


def test_no_task_advances_time(clock: VirtualClock) -> None:
    """An advance inside a task is an error that names the task and the way out."""
    caught: list[str] = []

    def impatient() -> None:
        try:
            clock.advance(1)
        except RuntimeError as error:
            caught.append(str(error))

    clock.spawn(impatient, name="impatient")
    clock.advance(0)

    assert caught == ["time can't be advanced from inside a task: 'impatient'; let it sleep"]


def test_no_call_advances_time(clock: VirtualClock) -> None:
    """An advance inside a call that fell due is an error."""
    clock.call_later(1, lambda: clock.advance(1))

    with pytest.raises(RuntimeError) as raised:
        clock.advance(5)

    assert str(raised.value) == "time is being advanced already: by a call of this clock"
    clock.advance(1)
    assert clock.monotonic() == START + 2


def test_no_other_thread_advances_time(clock: VirtualClock) -> None:
    """Virtual time has one thread: an advance from another is an error, and costs no task its next turn."""
    log: list[float] = []

    def sleeper() -> None:
        clock.sleep(1)
        log.append(clock.monotonic())

    def advance() -> None:
        try:
            clock.advance(2)
        except RuntimeError as error:
            errors.append(error)

    clock.spawn(sleeper, name="sleeper")
    clock.advance(0)
    errors: list[RuntimeError] = []
    caught: list[BaseException] = []
    hook, threading.excepthook = threading.excepthook, lambda args: caught.append(args.exc_value or RuntimeError())
    thread = threading.Thread(target=advance)
    thread.start()
    thread.join()
    threading.excepthook = hook
    clock.advance(2)

    assert (len(errors), caught, log) == (1, [], [START + 1])
    assert "thread" in str(errors[0])


def test_a_step_goes_to_the_next_due_instant(clock: VirtualClock) -> None:
    """A step jumps to the next due instant and says whether there was one."""
    log: list[int] = []
    clock.call_later(7, lambda: log.append(7))
    clock.call_later(7, lambda: log.append(8))
    clock.call_later(9, lambda: log.append(9))

    steps = [(clock.step(), clock.monotonic() - START, list(log)) for _ in range(3)]

    assert steps == [(True, 7, [7, 8]), (True, 9, [7, 8, 9]), (False, 9, [7, 8, 9])]


def test_idle_is_when_nothing_is_due(clock: VirtualClock) -> None:
    """`run_until_idle` visits every due instant, those on the way included, and stays at the last."""
    clock.call_later(5, lambda: clock.call_later(5, lambda: None))

    clock.run_until_idle()

    assert (clock.monotonic(), clock.pending) == (START + 10, [])


def test_run_until_stops_where_the_predicate_holds(clock: VirtualClock) -> None:
    """`run_until` stops at the instant at which its predicate holds, and no later."""
    log: list[int] = []
    for second in range(1, 6):
        clock.call_later(second, partial(log.append, second))

    clock.run_until(lambda: 3 in log, within=10)

    assert (log, clock.monotonic()) == ([1, 2, 3], START + 3)


@pytest.mark.parametrize(("within", "holds"), [(4.999999999, False), (5, True), (5.000000001, True)])
def test_run_until_lets_no_more_time_pass_than_it_was_given(clock: VirtualClock, within: float, holds: bool) -> None:  # noqa: FBT001 - a parameter
    """What holds at the last instant is in time; what comes later ends in TimeoutError."""
    log: list[int] = []
    clock.call_later(5, lambda: log.append(5))

    try:
        clock.run_until(lambda: log, within=within)
    except TimeoutError:
        assert not holds
    else:
        assert holds

    assert clock.monotonic() == START + min(within, 5)


def test_run_until_may_wait_for_an_instant(clock: VirtualClock) -> None:
    """A predicate that holds at the last instant is met, though nothing falls due then."""
    clock.run_until(lambda: clock.monotonic() >= START + 5, within=5)

    assert clock.monotonic() == START + 5


def test_run_until_in_vain_says_who_waits(clock: VirtualClock) -> None:
    """A TimeoutError of `run_until` tells the limit, the predicate and what each task waits for."""

    def never() -> bool:
        return False

    clock.spawn(lambda: clock.sleep(60), name="sleeper")

    with pytest.raises(TimeoutError) as raised:
        clock.run_until(never, within=30)

    assert str(raised.value) == (f"not so within 30 s of virtual time: {never!r}; <task 'sleeper' waits for its sleep>")


def test_a_deadlock_names_each_task_and_what_it_waits_for(clock: VirtualClock) -> None:
    """Where nothing can happen any more, Deadlock tells each task and what it waits for."""

    def never(seconds: float) -> bool:
        return False

    def wait() -> None:
        clock.wait(never, math.inf)

    first = clock.spawn(wait, name="first")
    clock.spawn(first.join, name="second")

    with pytest.raises(Deadlock) as raised:
        clock.run_until(lambda: False, within=10)

    assert str(raised.value) == (
        "nothing can happen any more at t=1000010.0:"
        " <task 'first' waits for a condition>, <task 'second' waits for a condition>"
    )


def test_an_endless_wait_from_outside_can_be_a_deadlock(clock: VirtualClock) -> None:
    """An endless wait where no task is left that could end it raises Deadlock at once."""
    with pytest.raises(Deadlock) as raised:
        clock.wait(lambda seconds: False, math.inf)

    assert str(raised.value) == "nothing can happen any more at t=1000000.0: there is no task"


# The wall


@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_a_step_of_the_wall_moves_the_wall_alone(clock: VirtualClock, by: float) -> None:
    """A step of the wall moves the wall clock alone: nothing falls due by it, nor later for it."""
    log: list[float] = []
    clock.call_later(5, lambda: log.append(clock.time()))

    clock.step_wall(by)
    stepped = clock.time(), clock.monotonic(), list(log)
    clock.advance(5)

    assert (stepped, log) == ((START + by, START, []), [START + by + 5])
    assert clock.time_ns - clock.monotonic_ns == int(by) * 10**9


# What there is


def test_the_tasks_and_what_is_pending_are_listed(clock: VirtualClock) -> None:
    """`tasks` lists those that have not ended, `pending` what is due, earliest first."""

    def ring() -> None:
        """Does nothing."""

    late = clock.spawn(lambda: clock.sleep(9), name="late")
    clock.spawn(lambda: clock.sleep(1), name="early")
    before = repr(clock.tasks)
    clock.advance(0)
    clock.call_at(START + 5, ring)
    pending = clock.pending
    clock.advance(1)

    assert before == "[<task 'late' waits for its first turn>, <task 'early' waits for its first turn>]"
    assert pending == [(START + 1, "early"), (START + 5, ring.__qualname__), (START + 9, "late")]
    assert clock.tasks == [late]


def test_an_ended_task_says_so(clock: VirtualClock) -> None:
    """The repr of a task that ended says that it ended."""
    task = clock.spawn(lambda: None, name="brief")
    clock.advance(0)

    assert (repr(task), clock.tasks, clock.current) == ("<task 'brief' ended>", [], None)


# Tasks


def test_a_task_sees_the_instants_of_its_sleeps(clock: VirtualClock) -> None:
    """A task that sleeps goes on at exactly the instant to which it slept."""
    log: list[float] = []

    def sleeper() -> None:
        for seconds in (1, 0, 3600):
            clock.sleep(seconds)
            log.append(clock.monotonic() - START)

    clock.spawn(sleeper, name="sleeper")
    clock.advance(4000)

    assert log == [1, 1, 3601]


def test_tasks_take_turns_in_the_order_of_their_making(clock: VirtualClock) -> None:
    """Tasks that are ready at one instant take turns, first made first."""
    log: list[str] = []

    def talk(name: str) -> None:
        for turn in range(2):
            log.append(f"{name}{turn}")
            clock.sleep(0)

    for name in "abc":
        clock.spawn(partial(talk, name), name=name)
    clock.advance(0)

    assert log == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_an_exception_stops_the_run_at_its_instant(clock: VirtualClock) -> None:
    """An exception that leaves a task is raised from `advance` at that instant, with the task's name."""

    def bad() -> None:
        clock.sleep(5)
        raise LookupError("lost")

    clock.spawn(bad, name="bad")

    with pytest.raises(LookupError) as raised:
        clock.advance(10)

    assert (raised.value.args, raised.value.__notes__) == (("lost",), ["in task 'bad' at t=1000005.0"])
    assert clock.monotonic() == START + 5
    clock.advance(1)
    assert (clock.monotonic(), clock.tasks) == (START + 6, [])


def test_a_task_may_exit(clock: VirtualClock) -> None:
    """SystemExit ends its task and nothing else, as it does in a thread."""

    def leave() -> None:
        raise SystemExit(3)

    task = clock.spawn(leave, name="leaver")
    clock.advance(1)

    assert (task.alive, clock.monotonic()) == (False, START + 1)


def test_a_poll_that_raises_raises_in_the_task_that_waits(clock: VirtualClock) -> None:
    """An exception of a poll belongs to the task that waits by it, which can catch it."""
    caught: list[tuple[str, float]] = []
    answers = iter([False, False])

    def wait() -> None:
        try:
            clock.wait(lambda seconds: next(answers), 60)
        except StopIteration as error:
            caught.append((type(error).__name__, clock.monotonic()))

    clock.spawn(wait, name="waiter")
    clock.call_later(5, lambda: None)
    clock.advance(10)

    assert caught == [("StopIteration", START + 5)]


def test_a_task_cannot_join_itself(clock: VirtualClock) -> None:
    """A task that joins itself is told so."""
    tasks: list[Task] = []
    tasks.append(clock.spawn(lambda: tasks[0].join(), name="lonely"))

    with pytest.raises(RuntimeError) as raised:
        clock.advance(0)

    assert raised.value.args == ("a task can't join itself: 'lonely'",)


def test_a_task_starts_in_a_copy_of_its_makers_context(clock: VirtualClock) -> None:
    """A task sees the context variables of its maker as they were, and changes none of the maker's."""
    variable = ContextVar("variable", default="default")
    log: list[str] = []

    def child() -> None:
        log.append(variable.get())
        variable.set("child's")

    def parent() -> None:
        variable.set("parent's")
        clock.spawn(child, name="child")
        variable.set("later")
        clock.sleep(1)
        log.append(variable.get())

    variable.set("outside")
    clock.spawn(parent, name="parent")
    clock.spawn(lambda: log.append(variable.get()), name="sibling")
    clock.advance(5)

    assert (log, variable.get()) == (["outside", "parent's", "later"], "outside")


@pytest.mark.parametrize("number", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_hundred_thousand_tasks_finish(number: int, clock: VirtualClock) -> None:
    """A hundred thousand tasks, and ten thousand, live side by side and all come to their end."""
    done: list[int] = []

    def task(each: int) -> None:
        clock.sleep(each % 7)
        done.append(each)

    for each in range(number):
        clock.spawn(partial(task, each), name="one of many")
    clock.advance(6)

    assert (len(done), clock.tasks) == (number, [])
    assert done == sorted(range(number), key=lambda each: each % 7)
