"""Goals: each is reached where it should be, and not where it is only close."""

from collections.abc import Sequence

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab.experiment import run
from timersim.lab.goals import GOALS
from timersim.lab.operations import (
    Acquire,
    Crash,
    Exit,
    Operation,
    PauseServer,
    Release,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule

REACHED: list[tuple[str, Sequence[Operation]]] = [
    ("a release before the expiration", [Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), PauseServer(6), Release(0, "s0", gap=5)]),
    (
        "a release or re-arm at the expiration",
        [Acquire(0, "s0", after=5), PauseServer(6), Acquire(0, "s0", after=5, gap=5)],
    ),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Acquire(0, "s0", after=5)]),
    ("a timer due when it arrives", [Acquire(0, "s0", after=0)]),
    ("two scopes of a worker due at once", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=3, gap=2)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=3, gap=2)]),
    ("a death while armed", [Acquire(0, "s0", after=5), Exit(0, gap=4)]),
    ("a death while armed", [Acquire(0, "s0", after=5), Crash(0, "exit", gap=4)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(2, gap=4)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4), StartServer(gap=2)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4)]),
]

MISSED: list[tuple[str, Sequence[Operation]]] = [
    ("a release before the expiration", [Acquire(0, "s0", after=5), PauseServer(6), Release(0, "s0", gap=5)]),
    ("a release before the expiration", [Acquire(0, "s0", after=5), Acquire(0, "s0", after=1, gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), PauseServer(9), Release(0, "s0", gap=6)]),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Release(0, "s0"), Acquire(0, "s0", after=5)]),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5), Acquire(1, "s0", after=5)]),
    ("a timer due when it arrives", [Acquire(0, "s0", after=1)]),
    ("two scopes of a worker due at once", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=4)]),
    ("two scopes of a worker due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=5)]),
    (
        "two scopes of a worker due at once",
        [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5), Release(0, "s1", gap=4)],
    ),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=4)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=5), Release(1, "s0", gap=4)]),
    ("a death while armed", [Acquire(0, "s0", after=5), Exit(0, gap=5)]),
    ("a death while armed", [Acquire(0, "s0", after=5), Release(0, "s0", gap=3), Exit(0, gap=1)]),
    ("a death while armed", [Acquire(0, "s0", after=5), Release(0, "s0", gap=3), Exit(0)]),
    ("a death while armed", [Acquire(0, "s0", after=5)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(1, gap=4)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(2, gap=5)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), Release(0, "s0"), PauseServer(2, gap=4)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4), StartServer(gap=1)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=5)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), Release(0, "s0"), StopServer(gap=4)]),
]


def goals(operations: Sequence[Operation]) -> list[str]:
    """Returns the goals that a correct server reaches with these operations."""
    return run(Schedule(operations), SimulatedBackend()).goals


@pytest.mark.parametrize(("goal", "operations"), REACHED)
def test_a_goal_is_reached_by_what_it_names(goal: str, operations: Sequence[Operation]) -> None:
    """A goal is reached by the situation that it names."""
    assert goal in goals(operations)


@pytest.mark.parametrize(("goal", "operations"), MISSED)
def test_a_goal_is_not_reached_a_tick_beside(goal: str, operations: Sequence[Operation]) -> None:
    """A goal is not reached a tick beside the situation that it names, nor by a timer that is not held."""
    assert goal not in goals(operations)


def test_every_goal_is_reached_by_some_schedule_here() -> None:
    """Each goal has a schedule above that reaches it, and one that misses it."""
    assert {goal for goal, _ in REACHED} == {goal for goal, _ in MISSED} == set(GOALS)


def test_an_empty_run_reaches_nothing() -> None:
    """A run without operations reaches no goal."""
    assert goals([]) == []


def test_goals_come_in_the_order_of_their_list() -> None:
    """The goals of a run are named in the order in which they are declared."""
    operations = [
        Acquire(1, "s0", after=0),
        Acquire(0, "s0", after=5),
        Acquire(0, "s0", after=6),
        Release(0, "s0", gap=1),
    ]

    assert goals(operations) == [
        "a release before the expiration",
        "a timer re-armed",
        "a timer due when it arrives",
    ]
