"""Goals: each is reached where it should be, and not where it is only close."""

from collections.abc import Collection, Sequence

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.goals import GOALS
from timersim.lab.operations import (
    OPERATIONS,
    Acquire,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drop,
    Exit,
    FailReap,
    Flood,
    Operation,
    PauseServer,
    RaiseInReap,
    Release,
    RestartServer,
    Reuse,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
)
from timersim.lab.schedule import Schedule

ARMED = [Acquire(0, "s0", after=5)]

REACHED: list[tuple[str, Sequence[Operation]]] = [
    ("a release before the expiration", [Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), PauseServer(6), Release(0, "s0", gap=5)]),
    (
        "a release or re-arm at the expiration",
        [Acquire(0, "s0", after=5), PauseServer(6), Acquire(0, "s0", after=5, gap=5)],
    ),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Acquire(0, "s0", after=5)]),
    ("an expiration equal to now", [Acquire(0, "s0", after=0)]),
    ("two scopes due in one pass", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=3, gap=2)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=3, gap=2)]),
    ("a crash while armed", [Acquire(0, "s0", after=5), Exit(0, gap=4)]),
    ("a crash while armed", [Acquire(0, "s0", after=5), Crash(0, "exit", gap=4)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(2, gap=4)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4), StartServer(gap=2)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 3), Release(0, "s0", gap=2), PauseServer(9)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 4), Release(0, "s0", gap=2), PauseServer(9)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 6), Release(0, "s0"), PauseServer(9)]),
    ("a release in flight at the expiration", [*ARMED, Stall(0, 3), Release(0, "s0", gap=2), PauseServer(9)]),
    ("release, re-arm and expiration at one instant", [*ARMED, PauseServer(6), Release(0, "s0", gap=5), *ARMED]),
    ("a backlog larger than a batch", [PauseServer(2), Flood(0, "s0", times=9)]),
    ("a backlog larger than a batch", [PauseServer(2), Flood(0, "s0", times=8), Release(0, "s0", gap=2)]),
    ("a backlog larger than a batch", [StopServer(), Flood(0, "s0", times=9), StartServer(gap=1)]),
    ("a reap that fails and then succeeds", [*ARMED, FailReap(0, times=1)]),
    ("a reap that fails and then succeeds", [*ARMED, RaiseInReap(0, times=2)]),
    ("a crash before the flush", [CrashSending(0, "buffered"), *ARMED]),
    ("a crash with the lock held", [CrashSending(0, "lock held"), *ARMED]),
    ("a crash with the lock held", [CrashSending(0, "half written"), *ARMED]),
    ("a crash with the lock held", [CrashSending(0, "flushed"), *ARMED]),
    ("a reused pid while its old timer is live", [*ARMED, Exit(0, gap=2), Reuse(1, of=0, gap=2)]),
    ("a wall step across an expiration", [*ARMED, StepWall(3, gap=2)]),
    ("a wall step across an expiration", [*ARMED, Suspend(3, gap=2)]),
    ("a wall step across an expiration", [*ARMED, PauseServer(9), StepWall(-2, gap=6)]),
    ("a wall step across an expiration", [*ARMED, StepWall(3, gap=2), Release(0, "s0")]),
    ("a wall step while a request is in flight", [Delay(0, 4), *ARMED, StepWall(1, gap=3)]),
    ("a wall step while a request is in flight", [Delay(0, 4), *ARMED, Suspend(1)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=1), StartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=4), StartServer(gap=5)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=1), Release(0, "s0", gap=1), StartServer()]),
    ("a restart with live timers", [*ARMED, RestartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, CrashServer(gap=4), StartServer(gap=1)]),
]

MISSED: list[tuple[str, Sequence[Operation]]] = [
    ("a release before the expiration", [Acquire(0, "s0", after=5), PauseServer(6), Release(0, "s0", gap=5)]),
    ("a release before the expiration", [Acquire(0, "s0", after=5), Acquire(0, "s0", after=1, gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]),
    ("a release or re-arm at the expiration", [Acquire(0, "s0", after=5), PauseServer(9), Release(0, "s0", gap=6)]),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Release(0, "s0"), Acquire(0, "s0", after=5)]),
    ("a timer re-armed", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5), Acquire(1, "s0", after=5)]),
    ("an expiration equal to now", [Acquire(0, "s0", after=1)]),
    ("two scopes due in one pass", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=4)]),
    ("two scopes due in one pass", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=5)]),
    (
        "two scopes due in one pass",
        [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5), Release(0, "s1", gap=4)],
    ),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=4)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(0, "s1", after=5)]),
    ("several workers due at once", [Acquire(0, "s0", after=5), Acquire(1, "s0", after=5), Release(1, "s0", gap=4)]),
    ("a crash while armed", [Acquire(0, "s0", after=5), Exit(0, gap=5)]),
    ("a crash while armed", [Acquire(0, "s0", after=5), Release(0, "s0", gap=3), Exit(0, gap=1)]),
    ("a crash while armed", [Acquire(0, "s0", after=5), Release(0, "s0", gap=3), Exit(0)]),
    ("a crash while armed", [Acquire(0, "s0", after=5)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(1, gap=4)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), PauseServer(2, gap=5)]),
    ("a server paused across an expiration", [Acquire(0, "s0", after=5), Release(0, "s0"), PauseServer(2, gap=4)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=4), StartServer(gap=1)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), StopServer(gap=5)]),
    ("a server stopped across an expiration", [Acquire(0, "s0", after=5), Release(0, "s0"), StopServer(gap=4)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 2), Release(0, "s0", gap=2), PauseServer(9)]),
    ("a release in flight at the expiration", [*ARMED, PauseServer(20), Delay(0, 4), Release(0, "s0", gap=5)]),
    ("a release in flight at the expiration", [*ARMED, PauseServer(9), Release(0, "s0", gap=6)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 4), Release(0, "s1", gap=2), PauseServer(9)]),
    ("a release in flight at the expiration", [*ARMED, Delay(0, 4), Acquire(0, "s0", after=9, gap=2), PauseServer(9)]),
    (
        "release, re-arm and expiration at one instant",
        [*ARMED, PauseServer(6), Release(0, "s0", gap=4), Acquire(0, "s0", after=5, gap=1)],
    ),
    (
        "release, re-arm and expiration at one instant",
        [*ARMED, PauseServer(6), Release(0, "s0", gap=5), Acquire(0, "s0", after=5, gap=1)],
    ),
    (
        "release, re-arm and expiration at one instant",
        [*ARMED, PauseServer(6), Release(0, "s0", gap=5), Acquire(0, "s1", after=5)],
    ),
    ("release, re-arm and expiration at one instant", [*ARMED, PauseServer(6), Acquire(0, "s0", after=5, gap=5)]),
    ("an expiration equal to now", [Delay(0, 2), Acquire(0, "s0", after=1)]),
    ("a backlog larger than a batch", [PauseServer(2), Flood(0, "s0", times=8)]),
    ("a backlog larger than a batch", [PauseServer(2), Flood(0, "s0", times=8), Release(0, "s0", gap=3)]),
    ("a backlog larger than a batch", [Flood(0, "s0", times=9)]),
    ("two scopes due in one pass", [*ARMED, Acquire(0, "s1", after=5), PauseServer(9), Release(0, "s1", gap=5)]),
    ("several workers due at once", [*ARMED, Acquire(1, "s0", after=5), PauseServer(9), Release(1, "s0", gap=5)]),
    ("a reap that fails and then succeeds", ARMED),
    ("a reap that fails and then succeeds", [*ARMED, FailReap(0, times=9), Exit(0, gap=6)]),
    (
        "a reap that fails and then succeeds",
        [*ARMED, FailReap(0, times=9), Acquire(1, "s0", after=7), Exit(0, gap=6)],
    ),
    ("a crash before the flush", [CrashSending(0, "flushed"), *ARMED]),
    ("a crash before the flush", [Drop(0), *ARMED, Crash(0, "sigkill", gap=1)]),
    ("a crash before the flush", [Delay(0, 3), *ARMED, Crash(0, "sigkill", gap=3)]),
    ("a crash before the flush", [Delay(0, 3), *ARMED, Exit(0, gap=2)]),
    ("a crash with the lock held", [CrashSending(0, "buffered"), *ARMED]),
    ("a crash with the lock held", [*ARMED, Crash(0, "sigkill", gap=1)]),
    ("a reused pid while its old timer is live", [*ARMED, Exit(0, gap=2), Reuse(1, of=0, gap=3)]),
    ("a reused pid while its old timer is live", [*ARMED, Reuse(1, of=0, gap=5)]),
    ("a reused pid while its old timer is live", [*ARMED, Release(0, "s0"), Exit(0, gap=2), Reuse(1, of=0, gap=2)]),
    ("a reused pid while its old timer is live", [*ARMED, Exit(0, gap=2), Start(1, gap=2), Release(1, "s0")]),
    ("a wall step across an expiration", [*ARMED, StepWall(2, gap=2)]),
    ("a wall step across an expiration", [*ARMED, StepWall(9, gap=5)]),
    ("a wall step across an expiration", [*ARMED, PauseServer(9), StepWall(-1, gap=6)]),
    ("a wall step across an expiration", [*ARMED, Release(0, "s0", gap=1), StepWall(9, gap=1)]),
    ("a wall step across an expiration", [StepWall(9), Acquire(0, "s0", after=5, gap=1)]),
    ("a wall step while a request is in flight", [Delay(0, 4), *ARMED, StepWall(1, gap=5)]),
    ("a wall step while a request is in flight", [Delay(0, 4), StepWall(1), *ARMED]),
    ("a wall step while a request is in flight", [*ARMED, StepWall(1)]),
    ("a wall step while a request is in flight", [Drop(0), *ARMED, StepWall(1, gap=3)]),
    ("a restart with live timers", [*ARMED, StopServer(), StartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=5), StartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=1)]),
    ("a restart with live timers", [*ARMED, StopServer(gap=1), Release(0, "s0", gap=1), StartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, Exit(0, gap=1), StopServer(), StartServer(gap=1)]),
    ("a restart with live timers", [*ARMED, PauseServer(1, gap=1)]),
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
        "an expiration equal to now",
    ]


# Which of them a search can come to

NO_FAULTS = [kind for kind in OPERATIONS.values() if not kind.fault]
BY_SEQUENCE = Contract(order="sequence")


def reachable(operations: Collection[type[Operation]], contract: Contract | None = None) -> set[str]:
    """Returns the goals that a search with these operations can come to."""
    return {name for name, goal in GOALS.items() if goal.is_reachable(operations, contract or Contract())}


def test_every_goal_can_be_reached_with_every_operation() -> None:
    """Where everything is drawn, on a wire with a lock, every goal can be reached."""
    assert reachable(OPERATIONS.values()) == set(GOALS)


def test_a_goal_that_needs_a_lock_is_none_of_a_wire_that_has_none() -> None:
    """On a wire whose requests carry a sequence nobody dies with the lock held; all else can be reached."""
    assert set(GOALS) - reachable(OPERATIONS.values(), BY_SEQUENCE) == {"a crash with the lock held"}


def test_a_goal_that_needs_a_fault_is_none_where_none_is_drawn() -> None:
    """Without faults the goals remain that come of acquires, releases and ends."""
    assert set(GOALS) - reachable(NO_FAULTS) == {
        "a release in flight at the expiration",
        "a backlog larger than a batch",
        "a reap that fails and then succeeds",
        "a crash before the flush",
        "a crash with the lock held",
        "a reused pid while its old timer is live",
        "a wall step across an expiration",
        "a wall step while a request is in flight",
        "a server paused across an expiration",
    }


@pytest.mark.parametrize(("goal", "operations"), REACHED)
def test_a_schedule_that_reaches_a_goal_has_what_it_needs(goal: str, operations: Sequence[Operation]) -> None:
    """Of the operations that a goal needs, one is in each schedule that reaches it."""
    assert GOALS[goal].is_reachable({type(operation) for operation in operations}, Contract())


@pytest.mark.parametrize("goal", GOALS)
def test_one_of_the_operations_that_it_needs_is_enough(goal: str) -> None:
    """A goal can be reached with any one of what it needs, and not with all the rest."""
    rest = set(OPERATIONS.values()) - set(GOALS[goal].needs)

    assert [goal in reachable([kind]) for kind in GOALS[goal].needs] == [True] * len(GOALS[goal].needs)
    assert goal not in reachable(rest)


def test_on_the_sequenced_wire_the_goals_are_the_same_situations() -> None:
    """What is on its way in a run with sequences reaches its goal as well."""
    stepped = Schedule([Delay(0, 4), Acquire(0, "s0", after=9), StepWall(1, gap=3), Release(0, "s0", gap=6)])
    crashed = Schedule([CrashSending(0, "lock held"), *ARMED])
    backend = SimulatedBackend(wire="sequenced")

    assert run(stepped, backend).goals == ["a wall step while a request is in flight"]
    assert run(crashed, backend).goals == ["a crash before the flush"]
