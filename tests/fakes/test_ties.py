"""Ties: which of several things at one instant comes first is a choice, and the choices decide the order alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from timersim.fakes import VirtualClock, simulated_world
from timersim.fakes.tasks import TaskGroup

START = 1_000_000.0
DRIVER = -1
"""The index of the last alternative."""


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START, closed at the end."""
    clock = VirtualClock()
    yield clock
    clock.close()


class Choices:
    """Chooses by a script, then the first, and notes how many alternatives there were."""

    def __init__(self, *script: int) -> None:
        self.script = list(script)
        self.asked: list[int] = []

    def __call__(self, alternatives: int) -> int:
        self.asked.append(alternatives)
        return self.script.pop(0) if self.script else 0


def sleepers(clock: VirtualClock, names: Sequence[str], log: list[str]) -> None:
    """Spawns tasks that log their names when they begin and after a sleep of 5 seconds."""

    def sleeper(name: str) -> None:
        log.append(f"{name} begins")
        clock.sleep(5)
        log.append(name)

    for name in names:
        clock.spawn(partial(sleeper, name), name=name)


def calls(clock: VirtualClock, names: Sequence[str], log: list[str], seconds: float = 5) -> None:
    """Has each name logged in some seconds, all at one instant."""
    for name in names:
        clock.call_later(seconds, partial(log.append, name))


@pytest.mark.parametrize(
    ("choices", "log"),
    [
        ((0, 0), ["a begins", "b begins", "a", "b"]),
        ((1, 0), ["b begins", "a begins", "b", "a"]),
        ((0, 1), ["a begins", "b begins", "b", "a"]),
        ((1, 1), ["b begins", "a begins", "a", "b"]),
        ((5, 4), ["b begins", "a begins", "b", "a"]),
    ],
)
def test_two_sleepers_wake_in_either_order(clock: VirtualClock, choices: tuple[int, int], log: list[str]) -> None:
    """Two tasks take their first turns, and wake from sleeps to one instant, in the order that is chosen."""
    clock.choose, seen = Choices(*choices), list[str]()
    sleepers(clock, "ab", seen)

    clock.advance(6)

    assert (seen, clock.choose.asked) == (log, [2, 2])


def test_ready_tasks_keep_their_order_behind_the_chosen(clock: VirtualClock) -> None:
    """The chosen of the ready tasks goes first; the others keep their order."""
    clock.choose, log = Choices(2, 0, 1), list[str]()
    for name in "abcd":
        clock.spawn(partial(log.append, name), name=name)

    clock.advance(0)

    assert (log, clock.choose.asked) == (["c", "a", "d", "b"], [4, 3, 2])


def test_a_task_of_a_paused_group_is_no_alternative(clock: VirtualClock) -> None:
    """Tasks of a paused group are not among those that can be chosen, and go on in their order when it resumes."""
    group, log = TaskGroup("group"), list[str]()
    clock.choose = Choices(1)
    for name in "abcd":
        with clock.group(group if name in "ac" else TaskGroup("other")):
            clock.spawn(partial(log.append, name), name=name)
    clock.pause(group)
    clock.advance(0)
    paused = list(log)
    clock.resume(group)
    clock.advance(0)

    assert (paused, log, clock.choose.asked) == (["d", "b"], ["d", "b", "a", "c"], [2, 2])


def test_a_task_that_was_killed_is_no_alternative(clock: VirtualClock) -> None:
    """Who was killed while it was ready is not among those that can be chosen."""
    group, log = TaskGroup("group"), list[str]()
    clock.choose = Choices(1)
    with clock.group(group):
        clock.spawn(partial(log.append, "dead"), name="dead")
    for name in "ab":
        clock.spawn(partial(log.append, name), name=name)
    clock.kill(group)
    clock.advance(0)

    assert (log, clock.choose.asked) == (["b", "a"], [2])


@pytest.mark.parametrize(
    ("choices", "log", "asked"),
    [
        ((), "abc", [3, 2]),
        ((0, 1), "acb", [3, 2]),
        ((1, 0), "bac", [3, 2]),
        ((1, 1), "bca", [3, 2]),
        ((2, 0), "cab", [3, 2]),
        ((2, 1), "cba", [3, 2]),
        ((3, 3), "acb", [3, 2]),
        ((-1, -1), "cba", [3, 2]),
    ],
)
def test_three_calls_come_in_any_order(
    clock: VirtualClock, choices: tuple[int, ...], log: str, asked: list[int]
) -> None:
    """Of calls that are due at one instant the chosen comes first, modulo their number; one alone is no choice."""
    clock.choose, seen = Choices(*choices), list[str]()
    calls(clock, "abc", seen)
    calls(clock, "z", seen, seconds=6)
    clock.call_later(5, lambda: None).cancel()

    clock.advance(7)

    assert (seen, clock.choose.asked) == ([*log, "z"], asked)


def test_calls_keep_their_order_behind_the_chosen(clock: VirtualClock) -> None:
    """The chosen of what is due goes first; the others keep their order, whatever fell due before."""
    clock.choose, log = Choices(2, 0, 1), list[str]()
    calls(clock, "w", log, seconds=1)
    calls(clock, "abcdef", log)

    clock.advance(6)

    assert "".join(log) == "wcadbef"


def test_no_choice_is_the_first(clock: VirtualClock) -> None:
    """Who always chooses the first has the order that there is without a choice."""
    other, logs = VirtualClock(), (list[str](), list[str]())
    other.choose = Choices()
    for each, log in zip((clock, other), logs, strict=True):
        sleepers(each, "abc", log)
        calls(each, "xyz", log)
        each.advance(5)

    assert logs[0] == logs[1]
    assert len(logs[0]) == 9


def test_what_a_chosen_call_makes_is_an_alternative_too(clock: VirtualClock) -> None:
    """What is made for the same instant joins those that are due, as the youngest."""
    clock.choose, log = Choices(1, 1), list[str]()
    calls(clock, "a", log)
    clock.call_later(5, lambda: calls(clock, "c", log, seconds=0))

    clock.advance(6)

    assert (log, clock.choose.asked) == (["c", "a"], [2, 2])


def test_a_failing_choice_loses_nothing(clock: VirtualClock) -> None:
    """An exception of `choose` leaves `advance`, and what was due is still due."""

    def fail(alternatives: int) -> int:
        raise LookupError("no choices left")

    clock.choose, log = fail, list[str]()
    calls(clock, "ab", log)

    with pytest.raises(LookupError):
        clock.advance(5)

    clock.choose = None
    clock.advance(5)
    assert log == ["a", "b"]


# The driver


ADVANCES: dict[str, Callable[[VirtualClock, float], object]] = {
    "advance": lambda clock, seconds: clock.advance(seconds),
    "advance_ns": lambda clock, seconds: clock.advance_ns(int(seconds * 10**9)),
    "advance_to": lambda clock, seconds: clock.advance_to(clock.monotonic() + seconds),
    "sleep": lambda clock, seconds: clock.sleep(seconds),
}
every_advance = pytest.mark.parametrize("advance", ADVANCES.values(), ids=ADVANCES.keys())


@every_advance
@pytest.mark.parametrize(
    ("choices", "first", "asked"),
    [((), "ab", [3, 2]), ((DRIVER,), "", [3]), ((1, DRIVER), "b", [3, 2]), ((1, 0), "ba", [3, 2])],
)
def test_the_driver_may_come_before_what_is_due_when_it_comes_back(
    clock: VirtualClock,
    advance: Callable[[VirtualClock, float], object],
    choices: tuple[int, ...],
    first: str,
    asked: list[int],
) -> None:
    """At the end of an advance the driver is the last alternative; what is due then waits for the next one."""
    chooser, log = Choices(*choices), list[str]()
    clock.choose = chooser
    calls(clock, "ab", log)

    advance(clock, 5)
    came_back = list(log), chooser.asked, clock.monotonic() - START, len(clock.pending)
    clock.choose = None
    clock.advance(0)

    assert came_back == (list(first), asked, 5.0, 2 - len(first))
    assert sorted(log) == ["a", "b"]


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_the_driver_is_an_alternative_at_its_own_instant_alone(clock: VirtualClock, beyond: int) -> None:
    """What is due a nanosecond before the advance ends, or after it, is not the driver's to overtake."""
    clock.choose, log = Choices(DRIVER), list[str]()
    calls(clock, "a", log)

    clock.advance_ns(5 * 10**9 + beyond)

    assert (log, clock.choose.asked) == {-1: ([], []), 0: ([], [2]), 1: (["a"], [])}[beyond]


WITHOUT_DRIVER: dict[str, Callable[[VirtualClock], object]] = {
    "step": lambda clock: clock.step(),
    "run_until_idle": lambda clock: clock.run_until_idle(),
    "run_until": lambda clock: clock.run_until(lambda: clock.monotonic() >= START + 5, within=5),
    "wait": lambda clock: clock.wait(lambda _: False, 5),
}


@pytest.mark.parametrize("run", WITHOUT_DRIVER.values(), ids=WITHOUT_DRIVER.keys())
def test_who_waits_for_what_happens_does_not_overtake_it(
    clock: VirtualClock, run: Callable[[VirtualClock], object]
) -> None:
    """A step, a run until idle and a wait for a condition let happen what is due at their last instant."""
    clock.choose, log = Choices(DRIVER, DRIVER), list[str]()
    calls(clock, "ab", log)

    run(clock)
    clock.step()  # run_until's condition held when the first was called

    assert (log, clock.choose.asked) == (["b", "a"], [2])


def test_what_the_driver_overtook_is_met_by_the_next_step(clock: VirtualClock) -> None:
    """What is left at the driver's instant is what the next step runs, and the next advance on its way."""
    logs: list[list[str]] = []
    for go_on in (VirtualClock.step, partial(VirtualClock.advance, seconds=1)):
        each, log = VirtualClock(), list[str]()
        each.choose = Choices(DRIVER)
        calls(each, "a", log)
        each.advance(5)
        log.append("driver")
        go_on(each)
        logs.append(log)

    assert logs == [["driver", "a"], ["driver", "a"]]


@pytest.mark.parametrize(("choice", "reaped"), [(0, ["rank 3"]), (DRIVER, [])])
def test_a_release_at_the_very_expiration_wins_or_comes_too_late(choice: int, reaped: list[str]) -> None:
    """At the instant of an expiration the driver's release comes before the watchdog's timer, or after it."""
    with simulated_world() as world:
        world.clock.advance(0)
        client = world.client("rank 3")
        client.acquire("step", world.clock.time() + 5)
        world.clock.advance(1)
        world.clock.choose = Choices(choice)

        world.clock.advance(4)
        client.release("step")
        world.clock.advance(60)

        assert world.server.reaped == reaped
        assert world.clock.choose.asked[0] == 2


# Determinism


def order(script: Sequence[int]) -> tuple[list[str], list[int]]:
    """Runs tasks and calls that meet at one instant, by these choices; returns their order and what was asked."""
    clock, log = VirtualClock(), list[str]()
    clock.choose = Choices(*script)
    sleepers(clock, "ab", log)
    calls(clock, "xy", log)
    clock.advance(5)
    log.append("driver")
    clock.advance(1)
    clock.close()
    return log, clock.choose.asked


@pytest.mark.parametrize("script", [(), (1, 2, 1, 1), (1, 4), (1, 1, 3), (0, 3, 3, 2)])
def test_the_same_choices_give_the_same_order(script: tuple[int, ...]) -> None:
    """The order is the work of the choices alone: the same give the same."""
    assert order(script) == order(script)


def test_every_order_is_the_work_of_some_choices() -> None:
    """Whoever tries each alternative at each question has seen every order of three calls and a driver."""
    seen, scripts = set[str](), list[tuple[int, ...]]([()])
    while scripts:
        script = scripts.pop()
        clock, log = VirtualClock(), list[str]()
        clock.choose = choices = Choices(*script)
        calls(clock, "abc", log)
        clock.advance(5)
        log.append("D")
        clock.choose = None
        clock.advance(0)
        scripts += [
            (*script, *[0] * (at - len(script)), index)
            for at in range(len(script), len(choices.asked))
            for index in range(1, choices.asked[at])
        ]
        seen.add("".join(log))

    # What is left when the driver goes on comes in its order.
    assert sorted(seen) == sorted(
        ["Dabc", "aDbc", "bDac", "cDab"]
        + [f"{first}{second}D{third}" for first, second, third in ("abc", "acb", "bac", "bca", "cab", "cba")]
        + [f"{three}D" for three in ("abc", "acb", "bac", "bca", "cab", "cba")]
    )
