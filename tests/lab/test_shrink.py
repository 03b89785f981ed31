"""Shrinking: the smallest schedule that still fails."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timersim.fakes import SimulatedBackend
from timersim.lab.experiment import run
from timersim.lab.operations import (
    EVERYTHING,
    Acquire,
    Corrupt,
    Crash,
    Exit,
    Pause,
    PauseServer,
    Release,
    Resume,
    Reuse,
    Start,
    StartServer,
    StepWall,
    StopServer,
)
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import MAX_RUNS, shrink
from timersim.lab.specs import MAX_INTERVAL
from timersim.strategies import schedules

Predicate = Callable[[Schedule], bool]


def has(kind: type, at_least: int = 1) -> Predicate:
    """Returns whether a schedule has as many operations of a kind."""
    return lambda schedule: sum(type(operation) is kind for operation in schedule) >= at_least


def lasts(ticks: int) -> Predicate:
    """Returns whether the gaps of a schedule add up to `ticks`."""
    return lambda schedule: sum(operation.gap for operation in schedule) >= ticks


def reaches(goal: str) -> Predicate:
    """Returns whether a run reaches a goal."""
    return lambda schedule: goal in run(schedule, SimulatedBackend()).goals


PREDICATES: dict[str, Predicate] = {
    "an acquire": has(Acquire),
    "two releases": has(Release, 2),
    "a pause of the server": has(PauseServer),
    "seven ticks": lasts(7),
    "an even number of operations": lambda schedule: len(schedule) > 0 and len(schedule) % 2 == 0,
    "a worker but the first": lambda schedule: any(worker > 0 for worker in schedule.workers),
    "a release before the expiration": reaches("a release before the expiration"),
    "several workers due at once": reaches("several workers due at once"),
}


def size(schedule: Schedule) -> tuple[int, int]:
    """Returns how many operations a schedule has, and the sum of all its numbers."""
    names = ("gap", "worker", "after", "ticks")
    return len(schedule), sum(getattr(operation, name, 0) for operation in schedule for name in names)


@settings(deadline=None, database=None, max_examples=60)
@given(schedules(max_size=10), st.sampled_from(sorted(PREDICATES)))
def test_what_is_shrunk_still_fails_and_is_no_larger(schedule: Schedule, name: str) -> None:
    """The result fails, has no more operations and no greater numbers, and can't be shrunk further."""
    fails = PREDICATES[name]
    if not fails(schedule):
        return

    shrunk = shrink(schedule, fails)

    assert fails(shrunk)
    assert size(shrunk) <= size(schedule)
    assert shrink(shrunk, fails) == shrunk


MESSY = Schedule(
    [
        Start(3, gap=2),
        Acquire(3, "b", after=12, gap=1),
        PauseServer(9, gap=3),
        Acquire(5, "c", after=8),
        Release(3, "b", gap=4),
        Pause(5, gap=1),
        Crash(5, "exit"),
        Resume(5, gap=2),
        Acquire(3, "a", after=20),
        Exit(3, gap=7),
        StopServer(gap=1),
    ]
)


@pytest.mark.parametrize(
    ("fails", "smallest"),
    [
        (has(Acquire), Schedule([Acquire(0, "s0", after=0)])),
        (has(PauseServer), Schedule([PauseServer(1)])),
        (has(StopServer), Schedule([StopServer()])),
        (has(Crash), Schedule([Crash(0, "sigkill")])),
        (lambda s: any(o == Crash(0, "exit") for o in s) or s == MESSY, Schedule([Crash(0, "exit")])),
        (lambda s: has(Exit)(s) and has(Acquire)(s), Schedule([Acquire(0, "s0", after=0), Exit(0)])),
        (lasts(6), Schedule([StopServer(gap=6)])),
        (
            lambda s: any(type(o) is Acquire and o.after >= 7 for o in s),
            Schedule([Acquire(0, "s0", after=7)]),
        ),
        (
            lambda s: any(type(o) is PauseServer and o.ticks >= 4 for o in s),
            Schedule([PauseServer(4)]),
        ),
        (
            lambda s: len({o.worker for o in s if isinstance(o, Acquire)}) == 2,
            Schedule([Acquire(0, "s0", after=0), Acquire(1, "s0", after=0)]),
        ),
        (
            lambda s: len({o.scope for o in s if isinstance(o, Acquire) and o.worker == min(s.workers)}) == 2,
            Schedule([Acquire(0, "s0", after=0), Acquire(0, "s1", after=0)]),
        ),
    ],
)
def test_the_smallest_schedule_is_reached(fails: Predicate, smallest: Schedule) -> None:
    """What fails shrinks to as few operations, workers, scopes and ticks as it needs."""
    assert fails(MESSY)
    assert shrink(MESSY, fails) == smallest


def test_what_needs_one_scope_shrinks_to_one() -> None:
    """Where one scope will do, as one worker will, the smallest schedule has one."""
    smallest = Schedule([Acquire(0, "s0", after=0), Acquire(0, "s0", after=0)])

    assert shrink(MESSY, has(Acquire, 2)) == smallest


def test_what_always_fails_shrinks_to_nothing() -> None:
    """What fails without any operation shrinks to the empty schedule, from one operation too."""
    assert shrink(MESSY, lambda schedule: True) == Schedule()
    assert shrink(Schedule([Exit(0)]), lambda schedule: True) == Schedule()


def test_an_expiration_and_the_gap_behind_it_shrink_together() -> None:
    """A tick can go from an expiration and from a gap behind it at once, where neither could go alone."""

    def released_at_its_expiration(schedule: Schedule) -> bool:
        match list(schedule):
            case [Acquire(_, _, after=after), Release(_, _, gap=gap)]:
                return after == gap and after > 0
        return False

    shrunk = shrink(Schedule([Acquire(0, "s0", after=9), Release(0, "s0", gap=9)]), released_at_its_expiration)

    assert shrunk == Schedule([Acquire(0, "s0", after=1), Release(0, "s0", gap=1)])


def test_a_block_goes_with_its_gaps_or_leaves_them_to_what_follows() -> None:
    """What an operation leaves behind when it goes is its gap, where the time that passed matters."""

    def exits_at_ten(schedule: Schedule) -> bool:
        return len(schedule) > 0 and isinstance(schedule[-1], Exit) and lasts(10)(schedule)

    shrunk = shrink(Schedule([Start(0, gap=4), Release(0, "a", gap=5), Exit(0, gap=1)]), exits_at_ten)

    assert shrunk == Schedule([Exit(0, gap=10)])


@pytest.mark.parametrize("max_runs", [0, 1, 2, 7])
def test_no_more_schedules_are_run_than_allowed(max_runs: int) -> None:
    """A shrink runs at most `max_runs` schedules, none twice, and returns the smallest so far."""
    ran: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        ran.append(schedule)
        return has(Acquire)(schedule)

    shrunk = shrink(MESSY, fails, max_runs)

    assert len(ran) == len(set(ran)) == max_runs
    assert shrunk == ([MESSY, *filter(has(Acquire), ran)])[-1]


def test_no_schedule_is_run_twice_and_the_bound_is_kept_by_default() -> None:
    """Each candidate is run once; what hardly shrinks ends at the default bound."""
    ran: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        ran.append(schedule)
        return False

    assert shrink(MESSY, fails) == MESSY
    assert len(ran) == len(set(ran)) <= MAX_RUNS
    assert MESSY not in ran

    large = Schedule([Acquire(0, "s0", after=1000 + n, gap=n) for n in range(60)])
    ran.clear()
    assert shrink(large, lambda schedule: not fails(schedule) and len(schedule) == 60 and lasts(1)(schedule))
    assert len(ran) == MAX_RUNS


def test_a_typical_failing_test_case_needs_few_runs() -> None:
    """A failing test case of eleven operations is small after fewer runs than Hypothesis takes."""
    ran: list[Schedule] = []

    def fails(schedule: Schedule) -> bool:
        ran.append(schedule)
        return has(Acquire)(schedule) and has(PauseServer)(schedule)

    assert shrink(MESSY, fails) == Schedule([PauseServer(1), Acquire(0, "s0", after=0)])
    assert len(ran) <= 60


FAMILIES: dict[str, tuple[Schedule, Predicate, Schedule]] = {
    "two that stand apart": (
        Schedule([Exit(0), Acquire(1, "s0", after=0), Exit(0)]),
        lambda s: sum(isinstance(o, Exit) for o in s) != 1,
        Schedule(),
    ),
    "a stop and a start": (
        Schedule([StopServer(), Acquire(0, "s0", after=0, gap=1), StartServer(gap=1)]),
        lambda s: has(Acquire)(s) and (has(PauseServer)(s) or (has(StopServer)(s) and has(StartServer)(s))),
        Schedule([PauseServer(1), Acquire(0, "s0", after=0)]),
    ),
    "an operation for a later expiration": (
        Schedule([PauseServer(1), Acquire(0, "s0", after=0)]),
        lambda s: has(Acquire)(s) and (has(PauseServer)(s) or any(getattr(o, "after", 0) for o in s)),
        Schedule([Acquire(0, "s0", after=1)]),
    ),
    "an operation for time": (
        Schedule([PauseServer(1), Acquire(0, "s0", after=0)]),
        lambda s: has(Acquire)(s) and (has(PauseServer)(s) or lasts(MAX_INTERVAL)(s)),
        Schedule([Acquire(0, "s0", after=0, gap=MAX_INTERVAL)]),
    ),
    "an operation for another word": (
        Schedule([Corrupt(0, "garbage"), Exit(0)]),
        lambda s: has(Corrupt)(s) and (has(Exit)(s) or s[0] == Corrupt(0, "nan")),
        Schedule([Corrupt(0, "nan")]),
    ),
    "several expirations": (
        Schedule([Acquire(0, "s0", after=17), Acquire(1, "s0", after=17)]),
        lambda s: [getattr(o, "after", 0) for o in s] in ([n, n] for n in range(1, 18)),
        Schedule([Acquire(0, "s0", after=1), Acquire(0, "s0", after=1)]),
    ),
    "the order of workers": (
        Schedule([Exit(1), Acquire(0, "s0", after=0)]),
        lambda s: has(Exit)(s) and has(Acquire)(s) and len(s.workers) == 2,
        Schedule([Acquire(0, "s0", after=0), Exit(1)]),
    ),
    "an operation that may happen sooner": (
        Schedule([Pause(0, gap=2), Exit(0)]),
        lambda s: [*map(type, s)] == [Pause, Exit] and lasts(2)(s),
        Schedule([Pause(0), Exit(0, gap=2)]),
    ),
    "an operation for the order": (
        Schedule([Corrupt(0, "garbage"), Release(0, "s0"), Acquire(0, "s0", after=1)]),
        lambda s: [*map(type, s)] in ([Corrupt, Release, Acquire], [Acquire, Release]),
        Schedule([Acquire(0, "s0", after=0), Release(0, "s0")]),
    ),
    "an operation and the time that it takes": (
        Schedule([PauseServer(12), Release(0, "s0"), Release(0, "s0", gap=12)]),
        lambda s: has(Release, 2)(s) and lasts(12)(s) == has(PauseServer)(s),
        Schedule([Release(0, "s0"), Release(0, "s0")]),
    ),
    "the wall clock": (
        Schedule([StepWall(-100)]),
        lambda s: any(isinstance(o, StepWall) and o.by < 0 for o in s),
        Schedule([StepWall(-1)]),
    ),
}
"""What shrinks, when that fails, and to what."""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_schedule_does_not_stay_where_no_single_step_helps(name: str) -> None:
    """Where two things have to change at once, both do."""
    start, fails, smallest = FAMILIES[name]

    assert fails(start)
    assert shrink(start, fails, kinds=EVERYTHING) == smallest


def test_no_kind_comes_in_that_may_not() -> None:
    """What the schedule has not, and nobody has said, takes nobody's place."""
    start = Schedule([StopServer(), Acquire(0, "s0", after=1, gap=1), StartServer(gap=1)])
    fails: Predicate = lambda s: has(PauseServer)(s) or len(s) == 3  # noqa: E731 - as in the tables above

    assert PauseServer not in map(type, shrink(start, fails))
    assert shrink(start, fails, kinds=[PauseServer]) == Schedule([PauseServer(1)])


def test_a_pid_passes_on_from_whom_it_did() -> None:
    """Where workers are renumbered, so is the one whose pid another bears."""
    start = Schedule([Acquire(2, "s0", after=5), Crash(2, "sigkill"), Reuse(1, 2)])

    def is_borne_on(schedule: Schedule) -> bool:
        match list(schedule):
            case [Acquire(first), Crash(second), Reuse(worker, of)]:
                return first == second == of != worker
        return False

    assert shrink(start, is_borne_on) == Schedule([Acquire(0, "s0", after=0), Crash(0, "sigkill"), Reuse(1, 0)])


def test_what_cannot_be_smaller_is_returned_as_it_is() -> None:
    """A schedule none of whose smaller ones fails is returned unchanged."""
    assert shrink(MESSY, lambda schedule: schedule == MESSY) == MESSY
