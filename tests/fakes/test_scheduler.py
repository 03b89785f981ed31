"""The scheduler of virtual time: groups of tasks, spinning, real processes in virtual time, determinism."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import greenlet
import pytest

from tests.hash_seeds import output
from timersim.clock import Clock, SystemClock, Task
from timersim.fakes import HoldTimeout, SpinError, VirtualClock, waiting
from timersim.fakes.scheduler import MAX_TURNS
from timersim.fakes.tasks import TaskGroup

START = 1_000_000.0

Pipe = tuple[int, int]


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START, closed at the end."""
    clock = VirtualClock()
    yield clock
    clock.close()


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    """Two pipes, each where to read and where to write."""
    pipes = [os.pipe(), os.pipe()]
    yield pipes
    for fd in (end for pipe in pipes for end in pipe):
        os.close(fd)


def ticking(clock: VirtualClock, log: list[float], seconds: float = 1) -> Callable[[], None]:
    """Makes the body of a task that logs the instant of each of its ticks."""

    def tick() -> None:
        while True:
            clock.sleep(seconds)
            log.append(clock.monotonic() - START)

    return tick


def member(clock: VirtualClock, group: TaskGroup, body: Callable[[], object], name: str = "member") -> Task:
    """Spawns a task in `group`, and lets it have its first turn."""

    def target() -> None:
        body()

    with clock.group(group):
        task = clock.spawn(target, name=name)
    clock.advance(0)
    return task


# Groups


def test_what_a_member_spawns_is_a_member(clock: VirtualClock) -> None:
    """A task belongs to the group in which it was made; so does what it spawns, and nothing that others make."""
    group = TaskGroup("group")

    def parent() -> None:
        clock.spawn(lambda: clock.sleep(9), name="child")
        clock.sleep(9)

    member(clock, group, parent)
    clock.spawn(lambda: clock.sleep(9), name="stranger")
    clock.advance(1)

    assert [task.name for task in group.tasks] == ["member", "child"]
    clock.advance(9)
    assert (list(group.tasks), clock.tasks) == ([], [])


def test_time_goes_on_without_a_paused_group(clock: VirtualClock) -> None:
    """A paused group does nothing while time passes for the others."""
    group, paused, running = TaskGroup("group"), list[float](), list[float]()
    member(clock, group, ticking(clock, paused))
    clock.spawn(ticking(clock, running), name="running")
    clock.advance(2)

    clock.pause(group)
    clock.advance(3)

    assert (paused, running) == ([1, 2], [1, 2, 3, 4, 5])


def test_a_sleep_that_fell_due_in_a_pause_ends_at_the_resume(clock: VirtualClock) -> None:
    """What fell due while its group was paused happens at the resume, once; what did not keeps its instant."""
    group, due, later = TaskGroup("group"), list[float](), list[float]()
    member(clock, group, ticking(clock, due, 2))
    member(clock, group, ticking(clock, later, 10))

    clock.pause(group)
    clock.advance(7)
    clock.resume(group)
    clock.advance(4)

    assert (due, later) == ([7, 9, 11], [10])


@pytest.mark.parametrize(("resumed_at", "log"), [(4, [5]), (5, [5]), (6, [6])])
def test_a_pause_delays_only_what_it_covers(clock: VirtualClock, resumed_at: float, log: list[float]) -> None:
    """A sleep to the end of the pause, or beyond it, ends in time."""
    group, instants = TaskGroup("group"), list[float]()
    member(clock, group, ticking(clock, instants, 5))

    clock.pause(group)
    clock.call_later(resumed_at, lambda: clock.resume(group))
    clock.advance(9)

    assert instants == log


def test_what_came_in_a_pause_is_seen_at_the_resume(clock: VirtualClock, pipes: list[Pipe]) -> None:
    """A member that waits for a condition or a descriptor sees at the resume what came in the pause."""
    group, log, there = TaskGroup("group"), list[tuple[str, object, float]](), list[int]()
    read, write = pipes[0]
    member(clock, group, lambda: log.append(("poll", clock.wait(lambda _: bool(there), 60), clock.monotonic() - START)))
    member(clock, group, lambda: log.append(("fd", clock.wait_readable([read], 60), clock.monotonic() - START)))

    clock.pause(group)
    clock.call_later(2, lambda: there.append(1))
    clock.call_later(2, lambda: os.write(write, b"x"))
    clock.advance(5)
    before = list(log)
    clock.resume(group)
    clock.advance(0)

    assert (before, log) == ([], [("poll", True, 5), ("fd", [read], 5)])


def test_a_wait_whose_time_ran_out_in_a_pause_asks_once_more(clock: VirtualClock) -> None:
    """A member whose timeout ran out in the pause is answered by what is there at the resume."""
    group, log, there = TaskGroup("group"), list[bool](), list[int]()
    member(clock, group, lambda: log.append(clock.wait(lambda _: bool(there), 5)))
    member(clock, group, lambda: log.append(clock.wait(lambda _: False, 5)))

    clock.pause(group)
    clock.advance(6)
    there.append(1)
    clock.resume(group)
    clock.advance(0)

    assert log == [True, False]


def test_a_resume_wakes_only_what_its_own_pause_kept(clock: VirtualClock) -> None:
    """A second pause and its resume do not touch who went to sleep after the first."""
    group, log = TaskGroup("group"), list[float]()
    member(clock, group, ticking(clock, log, 2))

    for seconds in (7, 1):
        clock.pause(group)
        clock.advance(seconds)
        clock.resume(group)
        clock.advance(0)
    clock.advance(3)

    assert log == [7, 9, 11]


def test_a_paused_member_asks_for_nothing(clock: VirtualClock) -> None:
    """While its group is paused a member's condition is not asked for, so it takes nothing from anybody."""
    group, log = TaskGroup("group"), list[str]()

    def poll(seconds: float) -> bool:
        log.append("paused" if group.paused else "running")
        return False

    member(clock, group, lambda: clock.wait(poll, math.inf))
    log.clear()
    clock.pause(group)
    clock.call_later(1, lambda: None)
    clock.advance(2)
    before = list(log)
    clock.resume(group)
    clock.call_later(1, lambda: None)
    clock.advance(2)

    assert (before, set(log)) == ([], {"running"})


@pytest.mark.parametrize("kind", ["condition", "descriptor"])
def test_what_came_too_late_wakes_nobody(clock: VirtualClock, pipes: list[Pipe], kind: str) -> None:
    """A wait that timed out is over: what comes after it does not end the task's next sleep."""
    (read, write), log, there = pipes[0], list[float](), list[int]()

    def wait() -> None:
        if kind == "condition":
            clock.wait(lambda _: bool(there), 1)
        else:
            clock.wait_readable([read], 1)
        clock.sleep(10)
        log.append(clock.monotonic() - START)

    clock.spawn(wait, name="waiter")
    clock.call_later(5, lambda: there.append(1))
    clock.call_later(5, lambda: os.write(write, b"x"))
    clock.advance(20)

    assert log == [11]


def test_a_task_that_is_made_in_a_pause_begins_at_the_resume(clock: VirtualClock) -> None:
    """A task that is spawned into a paused group has its first turn at the resume."""
    group, log = TaskGroup("group"), list[float]()
    clock.pause(group)
    member(clock, group, lambda: log.append(clock.monotonic() - START))

    clock.advance(3)
    clock.resume(group)
    clock.advance(1)

    assert log == [3]


def test_a_killed_group_unwinds(clock: VirtualClock) -> None:
    """Killing a group runs the `finally` blocks of its tasks in the order of their making, and ends them."""
    group, log = TaskGroup("group"), list[str]()

    def body(name: str) -> None:
        try:
            clock.sleep(60)
            log.append(f"{name} went on")
        finally:
            log.append(name)

    for name in ("first", "second"):
        member(clock, group, partial(body, name), name)
    survivor = clock.spawn(lambda: body("survivor"), name="survivor")
    clock.advance(1)

    clock.kill(group)

    assert (log, list(group.tasks), clock.tasks) == (["first", "second"], [], [survivor])
    assert [name for _, name in clock.pending] == ["survivor"]


def test_a_task_that_never_had_a_turn_is_killed_without_one(clock: VirtualClock) -> None:
    """A task that is killed before its first turn does nothing at all."""
    group, log = TaskGroup("group"), list[str]()
    with clock.group(group):
        task = clock.spawn(lambda: log.append("ran"), name="unborn")

    clock.kill(group)
    clock.advance(1)

    assert (task.alive, log, clock.tasks) == (False, [], [])


def test_a_killed_task_does_not_sleep_again(clock: VirtualClock) -> None:
    """A killed task that would wait in its `finally` block is ended there."""
    group = TaskGroup("group")

    def stubborn() -> None:
        try:
            clock.sleep(60)
        finally:
            clock.sleep(60)

    task = member(clock, group, stubborn)
    clock.kill(group)

    assert (task.alive, clock.pending, clock.tasks) == (False, [], [])


def test_a_finally_that_raises_spares_nobody(clock: VirtualClock) -> None:
    """Where one member raises while it unwinds, the others are ended all the same, and the exception is raised."""
    group, log = TaskGroup("group"), list[str]()

    def raising() -> None:
        try:
            clock.sleep(60)
        finally:
            raise LookupError("lost")

    def quiet() -> None:
        try:
            clock.sleep(60)
        finally:
            log.append("unwound")

    member(clock, group, raising, "raising")
    member(clock, group, quiet, "quiet")

    with pytest.raises(LookupError) as raised:
        clock.kill(group)

    assert (raised.value.__notes__, log, clock.tasks) == (
        ["in task 'raising' at t=1000000.0"],
        ["unwound"],
        [],
    )


def test_an_interrupt_between_two_tasks_is_raised(clock: VirtualClock) -> None:
    """Ctrl-C in the moment in which a task gives its turn back stops the run, though the task lives on."""
    main = greenlet.getcurrent()

    def interrupt(event: str, switched: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
        if switched[1] is main:
            greenlet.settrace(None)
            raise KeyboardInterrupt

    task = clock.spawn(lambda: clock.sleep(1), name="sleeper")
    greenlet.settrace(interrupt)

    with pytest.raises(KeyboardInterrupt):
        clock.advance(0)

    assert task.alive


def test_a_task_cannot_kill_its_own_group(clock: VirtualClock) -> None:
    """A member that kills its own group is told that it can't end itself."""
    group = TaskGroup("group")

    with pytest.raises(RuntimeError) as raised:
        member(clock, group, lambda: clock.kill(group))

    assert raised.value.args == ("a task can't end itself: 'member'",)


def test_a_close_ends_every_task(clock: VirtualClock) -> None:
    """A closed clock has no tasks; each has unwound."""
    log: list[str] = []

    def body() -> None:
        try:
            clock.wait(lambda _: False, math.inf)
        finally:
            log.append("unwound")

    clock.spawn(body, name="alone")
    member(clock, TaskGroup("group"), body)

    clock.close()

    assert (log, clock.tasks) == (["unwound", "unwound"], [])


def test_a_group_can_bear_its_errors(clock: VirtualClock) -> None:
    """A group with `on_error` is told of an exception that leaves its task; the run goes on."""
    errors: list[tuple[str, str, float]] = []
    group = TaskGroup("group", lambda task, error: errors.append((task.name, repr(error), clock.monotonic() - START)))

    def divide() -> None:
        clock.sleep(3)
        raise ZeroDivisionError("division by zero")

    member(clock, group, divide, "divider")
    others = member(clock, group, lambda: clock.sleep(60), "other")

    clock.advance(5)

    assert errors == [("divider", "ZeroDivisionError('division by zero')", 3)]
    assert (clock.monotonic() - START, others.alive) == (5, True)


# Spinning


@pytest.mark.parametrize(
    "spin",
    [
        lambda clock: clock.sleep(0),
        lambda clock: clock.wait(lambda _: False, 0),
        lambda clock: clock.wait_readable([], 0),
    ],
    ids=["sleep", "wait", "wait_readable"],
)
def test_a_task_that_spins_is_ended(clock: VirtualClock, spin: Callable[[VirtualClock], object]) -> None:
    """A task that takes turn after turn at one instant is ended with SpinError, which names it."""

    def spinner() -> None:
        clock.sleep(5)
        while True:
            spin(clock)

    task = clock.spawn(spinner, name="spinner")

    with pytest.raises(SpinError) as raised:
        clock.advance(10)

    assert raised.value.args == (f"spins: 'spinner' ran {MAX_TURNS} times at one instant",)
    assert (task.alive, clock.monotonic() - START) == (False, 5)


def test_two_tasks_that_spin_together_are_ended(clock: VirtualClock) -> None:
    """Tasks that wake one another for ever at one instant spin too."""
    turns: list[int] = [0]

    def player(number: int) -> None:
        while True:
            clock.wait(lambda _: turns[0] % 2 == number, math.inf)
            turns[0] += 1

    clock.spawn(lambda: player(0), name="ping")
    clock.spawn(lambda: player(1), name="pong")

    with pytest.raises(SpinError):
        clock.advance(1)


def test_a_task_whose_awaited_thing_is_always_there_is_ended(clock: VirtualClock) -> None:
    """A loop around a wait for what is there already spins, and is ended as such: an event that nobody cleared."""

    def forgetful() -> None:
        for _ in range(300_000):
            clock.wait(lambda _: True, 60)
        raise AssertionError("nobody ended it")

    clock.spawn(forgetful, name="forgetful")

    with pytest.raises(SpinError):
        clock.advance(1)


def test_calls_that_make_one_another_at_one_instant_are_ended(clock: VirtualClock) -> None:
    """A call that makes itself again at once spins too."""
    calls: list[int] = [0]

    def again() -> None:
        calls[0] += 1
        if calls[0] > 300_000:
            raise AssertionError("nobody ended it")
        clock.call_later(0, again)

    again()

    with pytest.raises(SpinError):
        clock.advance(1)


@pytest.mark.parametrize(("turns", "spins"), [(MAX_TURNS - 1, False), (MAX_TURNS, True), (MAX_TURNS + 1, True)])
def test_turns_are_counted_at_one_instant(clock: VirtualClock, turns: int, spins: bool) -> None:  # noqa: FBT001 - a parameter
    """A task has MAX_TURNS at one instant, and as many again at the next."""

    def body() -> None:
        for _ in range(2):
            for _ in range(turns):
                clock.sleep(0)
            clock.sleep(1)

    clock.spawn(body, name="busy")

    try:
        clock.advance(5)
    except SpinError:
        assert spins
    else:
        assert not spins


@pytest.mark.parametrize("workers", [MAX_TURNS - 1, MAX_TURNS, 2 * MAX_TURNS])
def test_who_is_woken_by_each_of_many_does_not_spin(clock: VirtualClock, workers: int) -> None:
    """A task that as many others wake at one instant, one after the other, has a turn for each of them."""
    waiting, turns = list[int](), list[list[int]]()

    def work(worker: int) -> None:
        clock.sleep(5)
        waiting.append(worker)

    def watch() -> None:
        while clock.wait(lambda _: bool(waiting), 60):
            turns.append([waiting.pop()])

    for worker in range(workers):
        clock.spawn(partial(work, worker), name="worker")
    clock.spawn(watch, name="watchdog")
    clock.advance(10)

    assert turns == [[worker] for worker in range(workers)]


def test_a_group_bears_its_spinner(clock: VirtualClock) -> None:
    """The SpinError of a member goes to its group, and the others of the group go on."""
    errors: list[str] = []
    group, log = TaskGroup("group", lambda task, error: errors.append(str(error))), list[float]()

    def spinner() -> None:
        while True:
            clock.sleep(0)

    member(clock, group, ticking(clock, log), "steady")
    member(clock, group, spinner, "spinner")
    clock.advance(2)

    assert (errors, log) == ([f"spins: 'spinner' ran {MAX_TURNS} times at one instant"], [1, 2])


# Holding


@pytest.fixture
def answering() -> Iterator[subprocess.Popen[bytes]]:
    """A real process that takes a moment for its answer."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 0.05; echo done"], stdout=subprocess.PIPE) as process:
        yield process


def descriptor(process: subprocess.Popen[bytes]) -> int:
    """Returns where the process's answer will be read."""
    assert process.stdout is not None
    return process.stdout.fileno()


def test_time_stands_still_while_a_process_owes_an_answer_to_a_task(
    clock: VirtualClock, answering: subprocess.Popen[bytes]
) -> None:
    """A task that holds gets the real answer at the very instant; what is due comes after."""
    fd, log = descriptor(answering), list[tuple[str, float]]()

    def ask() -> None:
        clock.sleep(3)
        clock.call_later(0, lambda: log.append(("due", clock.monotonic() - START)))
        clock.call_later(1, lambda: log.append(("later", clock.monotonic() - START)))
        with clock.hold("child: answer"):
            assert clock.wait_readable([fd], 1) == [fd]
            log.append((os.read(fd, 100).decode(), clock.monotonic() - START))

    clock.spawn(ask, name="ask")
    clock.advance(10)

    assert log == [("done\n", 3), ("due", 3), ("later", 4)]


def test_time_stands_still_while_a_process_owes_an_answer_outside(
    clock: VirtualClock, answering: subprocess.Popen[bytes]
) -> None:
    """Where no task runs, a hold waits in real time too, and nothing that is due happens."""
    fd, log = descriptor(answering), list[float]()
    clock.call_later(0, lambda: log.append(clock.monotonic()))

    with clock.hold("child: answer"):
        ready = clock.wait_readable([fd], 1)
        held = clock.monotonic(), list(log)
    clock.advance(0)

    assert (ready, held, log) == ([fd], (START, []), [START])


def test_what_real_descriptors_wake_runs_in_a_hold(clock: VirtualClock, pipes: list[Pipe]) -> None:
    """While the driver holds, a task that a real descriptor wakes runs, at the instant at which time stands."""
    (request, ask), (answer, reply) = pipes
    log: list[str] = []

    def serve() -> None:
        clock.wait_readable([request], math.inf)
        log.append(os.read(request, 100).decode())
        os.write(reply, b"granted")

    def sleeper() -> None:
        clock.sleep(0.5)
        log.append("due")

    clock.spawn(serve, name="server")
    clock.spawn(sleeper, name="sleeper")
    clock.advance(0)
    os.write(ask, b"acquire")
    with clock.hold("server: answer"):
        assert clock.wait_readable([answer], 1) == [answer]

    assert (log, clock.monotonic()) == (["acquire"], START)
    clock.advance(1)
    assert log == ["acquire", "due"]


def test_a_hold_that_is_over_lets_time_pass(clock: VirtualClock) -> None:
    """After the block waits are virtual again, in tasks and outside."""
    log: list[object] = []

    def body() -> None:
        with clock.hold("nobody"):
            pass
        clock.sleep(3600)
        log.append(clock.wait(lambda _: False, 3600))

    clock.spawn(body, name="body")
    with clock.hold("nobody"):
        pass
    clock.sleep(7200)

    assert (log, clock.monotonic() - START) == ([False], 7200)


def test_a_hold_of_one_task_holds_nobody_else(clock: VirtualClock) -> None:
    """A task's waits are virtual although another one's hold is open around a switch."""
    log: list[float] = []

    def sleeper() -> None:
        clock.sleep(3600)
        log.append(clock.monotonic() - START)

    with clock.hold("worker 1: start"):
        clock.spawn(sleeper, name="sleeper")
    clock.advance(3600)

    assert log == [3600]


def test_a_hold_has_a_limit_that_names_who_owes_what(
    clock: VirtualClock, pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that does not come within HOLD_LIMIT raises HoldTimeout, with who owes what."""
    monkeypatch.setattr(waiting, "HOLD_LIMIT", 0.05)
    silent = pipes[0][0]

    with (
        pytest.raises(HoldTimeout) as raised,
        clock.hold("worker 1: acquire"),
        clock.hold("worker 2: exit"),
    ):
        clock.wait_readable([silent], 3600)

    assert raised.value.args == ("no answer within 0.05 s of real time: worker 1: acquire; worker 2: exit",)
    assert clock.monotonic() == START


def test_the_hold_of_a_task_has_a_limit(
    clock: VirtualClock, pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HoldTimeout leaves the task that holds, and `advance` with it; the clock can be used again."""
    monkeypatch.setattr(waiting, "HOLD_LIMIT", 0.05)
    silent = pipes[0][0]

    def ask() -> None:
        with clock.hold("worker 3: release"):
            clock.wait_readable([silent], math.inf)

    clock.spawn(ask, name="ask")

    with pytest.raises(HoldTimeout) as raised:
        clock.advance(1)

    assert raised.value.args == ("no answer within 0.05 s of real time: worker 3: release",)
    clock.advance(1)
    assert (clock.monotonic() - START, clock.tasks) == (1, [])


def test_chatter_of_others_does_not_extend_a_hold(
    clock: VirtualClock, pipes: list[Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit counts from the beginning of the wait: what others say meanwhile does not renew it."""
    monkeypatch.setattr(waiting, "HOLD_LIMIT", 0.1)
    (silent, _), (chatter, talk) = pipes
    os.write(talk, b"x")
    give_up = time.monotonic() + 1

    def pump() -> None:
        while time.monotonic() < give_up:
            clock.wait_readable([chatter], math.inf)
            os.write(talk, os.read(chatter, 1))
            time.sleep(0.01)
            clock.sleep(0)
        raise AssertionError("the hold went on")

    clock.spawn(pump, name="pump")

    with pytest.raises(HoldTimeout), clock.hold("worker 1: acquire"):
        clock.wait_readable([silent], 3600)


@pytest.mark.parametrize("any_clock", [SystemClock(), VirtualClock()], ids=["system", "virtual"])
def test_every_clock_can_hold(any_clock: Clock, answering: subprocess.Popen[bytes]) -> None:
    """A wait for a real answer inside a hold gets it, on every clock."""
    with any_clock.hold("child: answer"):
        assert any_clock.wait_readable([descriptor(answering)], 10) == [descriptor(answering)]


# Determinism

PROGRAM = """
from timersim.fakes import VirtualClock
from timersim.fakes.threads import VirtualQueues, VirtualThreading

clock = VirtualClock()
threading, queue = VirtualThreading(clock), VirtualQueues(clock)
channel, log = queue.Queue(maxsize=2), []

def produce(name):
    for number in range(5):
        channel.put((name, number))
        clock.sleep(hash(number) % 3)

def consume(name):
    for _ in range(5):
        log.append((clock.monotonic(), name, channel.get()))

for name in ("red", "green", "blue"):
    threading.Thread(target=produce, args=(name,), name=name).start()
    threading.Thread(target=consume, args=(name,), name=name).start()
clock.run_until_idle()
print(log)
"""


def test_the_same_program_runs_in_the_same_order_everywhere() -> None:
    """The order of tasks depends on the program alone, not on the hash seed of the process."""
    outputs = [output(PROGRAM, seed) for seed in (0, 1)]

    assert outputs[0] == outputs[1]
    assert outputs[0].count("red") > 5


def test_what_was_taken_back_does_not_pile_up(clock: VirtualClock) -> None:
    """Calls that were cancelled leave the heap: it holds little more than what is due."""
    for _ in range(10_000):
        clock.call_later(60, lambda: None).cancel()

    assert len(clock._heap) <= 130


INTERRUPTED = """
import random, signal
from timersim.fakes import VirtualClock

class Timeout(Exception):
    pass

def time_out(*_):
    raise Timeout

def until_the_limit(clock):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-4))
    while True:
        clock.advance(1)

signal.signal(signal.SIGALRM, time_out)
for _ in range(1_000):
    clock = VirtualClock()
    try:
        until_the_limit(clock)
    except Timeout:
        clock.advance(1)
print("they all go on")
"""


def test_a_clock_goes_on_after_an_exception_from_a_signal() -> None:
    """Wherever the signal of a test's timeout comes while time is advanced, it can be advanced afterwards."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr) == ("they all go on\n", "")
