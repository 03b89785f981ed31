"""How simulated processes die: those that unwind speak while they do, those that were killed do not."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import greenlet
import pytest

from timersim.fakes import VirtualClock
from timersim.fakes.scheduler import MAX_DEATHS
from timersim.fakes.tasks import TaskGroup

START = 1_000_000.0


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START, closed at the end."""
    clock = VirtualClock()
    yield clock
    clock.close()


def member(clock: VirtualClock, group: TaskGroup, body: Callable[[], object], name: str = "member") -> None:
    """Spawns a task in `group`, and lets it have its first turn."""

    def target() -> None:
        body()

    with clock.group(group):
        clock.spawn(target, name=name)
    clock.advance(0)


class Wire:
    """A wire that drops what a killed process would send."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.sent: list[str] = []

    def send(self, message: str) -> None:
        """Sends a message, of those who live."""
        if not self.clock.is_muted:
            self.sent.append(message)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Acquires, and releases at the end of the block."""
        self.send("acquire")
        try:
            yield
        finally:
            self.send("release")


@pytest.mark.parametrize(("mute", "sent"), [(False, ["acquire", "release"]), (True, ["acquire"])])
def test_who_was_killed_releases_nothing(clock: VirtualClock, mute: bool, sent: list[str]) -> None:  # noqa: FBT001 - a parameter
    """A killed task's `finally` blocks run; muted, nothing of what they send is heard."""
    wire, group, log = Wire(clock), TaskGroup("worker"), list[str]()

    def work() -> None:
        try:
            with wire.guarded():
                clock.sleep(3600)
        finally:
            log.append("unwound")

    member(clock, group, work)
    clock.kill(group, mute=mute)
    clock.advance(7200)

    assert (wire.sent, log, clock.tasks, group.muted) == (sent, ["unwound"], [], mute)


REFUSED: dict[str, Callable[[VirtualClock], object]] = {
    "sleep": lambda clock: clock.sleep(60),
    "sleep(0)": lambda clock: clock.sleep(0),
    "wait": lambda clock: clock.wait(lambda _: True, math.inf),
    "wait_readable": lambda clock: clock.wait_readable([], 60),
    "spawn": lambda clock: clock.spawn(lambda: None, name="child"),
    "call_at": lambda clock: clock.call_at(START + 1, lambda: None),
    "call_later": lambda clock: clock.call_later(1, lambda: None),
    "call_at_wall": lambda clock: clock.call_at_wall(START + 1, lambda: None),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_a_muted_task_asks_for_nothing_more(clock: VirtualClock, call: Callable[[VirtualClock], object]) -> None:
    """While a muted task unwinds the clock refuses what takes time or makes something; it has no effect."""
    group, log = TaskGroup("worker"), list[object]()

    def work() -> None:
        try:
            clock.sleep(3600)
        finally:
            try:
                log.append(call(clock))
            except greenlet.GreenletExit:
                log.append("refused")

    member(clock, group, work)
    clock.kill(group, mute=True)

    assert (log, clock.pending, clock.tasks) == (["refused"], [], [])


def test_a_muted_task_may_read_the_time(clock: VirtualClock) -> None:
    """Reading time answers to the last."""
    group, log = TaskGroup("worker"), list[tuple[float, float, bool]]()

    def work() -> None:
        try:
            clock.sleep(3600)
        finally:
            log.append((clock.time(), clock.monotonic(), clock.is_muted))

    member(clock, group, work)
    clock.kill(group, mute=True)

    assert log == [(START, START, True)]


def test_what_an_unwinding_task_asks_is_not_its_own(clock: VirtualClock) -> None:
    """Another greenlet that runs inside an unwinding task is not muted by it."""
    group, log = TaskGroup("worker"), list[bool]()

    def work() -> None:
        try:
            clock.sleep(3600)
        finally:
            greenlet.greenlet(lambda: log.append(clock.is_muted)).switch()

    member(clock, group, work)
    clock.kill(group, mute=True)

    assert log == [False]


def test_only_who_was_killed_is_muted(clock: VirtualClock) -> None:
    """Muted is who unwinds in a muted group: not who killed it, nor another task, nor the driver."""
    killed, log = TaskGroup("worker"), list[tuple[str, bool]]()

    def work() -> None:
        log.append(("worker", clock.is_muted))
        try:
            clock.sleep(3600)
        finally:
            log.append(("worker", clock.is_muted))

    def kill() -> None:
        clock.kill(killed, mute=True)
        log.append(("killer", clock.is_muted))

    member(clock, killed, work)
    member(clock, TaskGroup("server"), kill)

    assert [*log, ("driver", clock.is_muted)] == [
        ("worker", False),
        ("worker", True),
        ("killer", False),
        ("driver", False),
    ]


def test_a_group_that_was_killed_stays_dead(clock: VirtualClock) -> None:
    """A task that is made in a muted group is an error that says the way out; nothing is made."""
    group = TaskGroup("worker 1")
    clock.kill(group, mute=True)

    with pytest.raises(RuntimeError) as raised, clock.group(group):
        clock.spawn(lambda: None, name="again")

    assert raised.value.args == ("the group 'worker 1' was killed: what lives again is a new TaskGroup",)
    assert (clock.tasks, group.tasks) == ([], {})


def test_a_task_that_kills_its_own_group_changes_nothing(clock: VirtualClock) -> None:
    """A member that kills its own group is refused as a whole: nobody is muted, and the others live."""
    group = TaskGroup("worker")
    member(clock, group, lambda: clock.sleep(60), "other")

    with pytest.raises(RuntimeError) as raised:
        member(clock, group, lambda: clock.kill(group, mute=True))

    assert raised.value.args == ("a task can't end itself: 'member'",)
    assert (group.muted, [task.name for task in group.tasks]) == (False, ["other"])


@pytest.mark.parametrize(("mute", "bound"), [(False, MAX_DEATHS), (True, 2 * MAX_DEATHS)])
@pytest.mark.parametrize(("more", "ends"), [(-1, True), (0, True), (1, False)])
def test_a_task_that_catches_its_end_is_ended_or_named(
    clock: VirtualClock,
    mute: bool,  # noqa: FBT001 - a parameter
    bound: int,
    more: int,
    ends: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A task that catches its end again and again ends all the same, or is named and has no more turn."""
    group, log = TaskGroup("worker"), list[str]()

    def stubborn() -> None:
        for _ in range(bound // 2):
            clock.wait(lambda _: True, 0)
        for _ in range(bound + more):
            try:
                clock.sleep(3600)
            except greenlet.GreenletExit:
                log.append("caught")

    member(clock, group, stubborn, "stubborn")
    if ends:
        clock.kill(group, mute=mute)
    else:
        with pytest.raises(RuntimeError) as raised:
            clock.kill(group, mute=mute)
        assert raised.value.args == ("'stubborn' can't be ended: it catches GreenletExit, and goes on",)

    length = len(log)
    clock.advance(7200)
    assert (clock.tasks, clock.pending, clock.monotonic() - START, len(log)) == ([], [], 7200, length)


UNDEAD = """
import gc
from timersim.fakes import VirtualClock
from timersim.fakes.tasks import TaskGroup

def live_on(clock):
    while True:
        try:
            clock.sleep(1)
        except BaseException:
            pass

for mute in (False, True):
    clock, group = VirtualClock(), TaskGroup("worker")
    with clock.group(group):
        clock.spawn(lambda: live_on(clock), name="undead")
    clock.advance(5)
    try:
        clock.kill(group, mute=mute)
    except RuntimeError as error:
        print(error)
    gc.collect()
    clock.advance(5)
    print(clock.monotonic())
    del clock, group
    gc.collect()
"""


def test_a_task_that_never_ends_keeps_no_process_alive() -> None:
    """A task that catches everything for ever is named, leaves time alone, and lets its process exit."""
    run = subprocess.run([sys.executable, "-c", UNDEAD], capture_output=True, text=True, check=True, timeout=30)

    sentence = "'undead' can't be ended: it catches GreenletExit, and goes on\n1000010.0\n"
    assert (run.stdout, run.stderr) == (2 * sentence, "")
