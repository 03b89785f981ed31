"""The Hypothesis strategy for schedules."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, seed, settings
from hypothesis import strategies as st
from hypothesis.control import current_build_context
from hypothesis.internal.conjecture.data import Status

from tests.quick import one_in
from timersim.fakes import SimulatedBackend
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.operations import (
    OPERATIONS,
    PLAIN,
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule
from timersim.strategies import schedules

FAULTS: list[type[Operation]] = [Crash, Pause, PauseServer]
BACKEND = SimulatedBackend()
QUICK = settings(deadline=None, database=None, max_examples=2000)

Predicate = Callable[[Schedule], bool]


EXAMPLES = 400


def _drawn(strategy: st.SearchStrategy[Schedule], number: int = 0) -> list[Schedule]:
    """Returns what Hypothesis draws in a run with this number.

    With a seed alone it may be another thing: it depends on the constants in the modules that were imported before.
    """
    drawn: list[Schedule] = []

    @seed(number)
    @settings(deadline=None, database=None, max_examples=EXAMPLES, phases=[Phase.generate])
    @given(strategy)
    def take(schedule: Schedule) -> None:
        drawn.append(schedule)

    take()
    return drawn


def _kinds(strategy: st.SearchStrategy[Schedule], rarest: type[Operation]) -> set[str]:
    """Returns the names of what is drawn until `rarest` is drawn, too: few schedules in a run have it."""
    kinds: set[str] = set()
    for number in range(20):
        kinds |= {_name(operation) for schedule in _drawn(strategy, number) for operation in schedule}
        if rarest.__name__ in kinds:
            break
    return kinds


def smallest(fails: Predicate, seed: int = 0) -> Schedule:
    """Returns what Hypothesis shrinks a failing test case to."""
    return find(schedules(), fails, settings=QUICK, random=Random(seed))


@pytest.mark.parametrize("name", ["max_workers", "max_scopes", "max_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", None])
def test_a_bound_that_is_no_whole_number_of_at_least_1_is_refused_by_name(name: str, value: object) -> None:
    """A bound that is no whole number of at least 1 is refused at once, by its name."""
    bounds: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name) as refused:
        schedules(**bounds)

    assert str(refused.value) == f"{name} is a whole number of at least 1: {name}={value!r}"


@pytest.mark.parametrize(
    ("faults", "culprit"),
    [([Acquire], "'Acquire'"), ([Crash, StopServer], "'StopServer'"), ("Crash", "'C'"), ([int], "'int'"), ([7], "7")],
)
def test_a_fault_that_is_none_is_refused_by_name(faults: Any, culprit: str) -> None:
    """What is no fault is refused at once, with those that there are."""
    with pytest.raises(ValueError, match="faults") as refused:
        schedules(faults=faults)

    known = ", ".join(name for name, kind in OPERATIONS.items() if kind.fault or name == "Tie")
    assert str(refused.value) == f"faults are among {known}: faults has {culprit}"


@settings(deadline=None, database=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 4), st.integers(1, 20))
def test_the_bounds_hold(data: st.DataObject, max_workers: int, max_scopes: int, max_size: int) -> None:
    """No schedule has more workers, scopes or operations than it may."""
    schedule = data.draw(schedules(max_workers=max_workers, max_scopes=max_scopes, max_size=max_size))

    assert len(schedule) <= max_size
    assert set(schedule.workers) <= set(range(max_workers))
    assert {o.scope for o in schedule if isinstance(o, Acquire | Release)} <= {f"s{n}" for n in range(max_scopes)}


@settings(deadline=None, database=None)
@given(st.data(), st.sets(st.sampled_from(FAULTS)))
def test_faults_that_may_not_occur_never_do(data: st.DataObject, faults: set[type[Operation]]) -> None:
    """Only the faults that may occur do."""
    schedule = data.draw(schedules(faults=faults))

    assert set(schedule.faults) <= {fault.__name__ for fault in faults}


@pytest.mark.parametrize("survives", [frozenset(), frozenset({"Drop"}), frozenset({"Tie", "Delay", "Crash"})], ids=len)
def test_a_contract_says_which_faults_may_occur(survives: frozenset[str]) -> None:
    """What every backend can carry out may occur, and what the contract survives; nothing else, and all of that."""
    drawn = _kinds(schedules(contract=Contract(survives=survives)), rarest=Resume)

    assert drawn == {kind.__name__ for kind in PLAIN} | survives


def test_what_a_backend_survives_it_can_run() -> None:
    """By its contract a backend is given what it can carry out, and the search draws the same."""
    strategy = schedules(contract=BACKEND.contract)

    assert _kinds(strategy, rarest=Resume) == OPERATIONS.keys()
    assert [v for schedule in _drawn(strategy) for v in run(schedule, BACKEND).violations] == []


def test_faults_and_a_contract_are_not_given_both() -> None:
    """Who gives both faults and a contract is told to leave one out."""
    with pytest.raises(ValueError, match="leave one out"):
        schedules(faults=[], contract=Contract())


@pytest.mark.parametrize("contract", [None, BACKEND.contract], ids=["plain", "everything"])
def test_no_schedule_is_discarded(contract: Contract | None) -> None:
    """No schedule is filtered away once its drawing has begun."""
    statuses: list[Status] = []

    @st.composite
    def watched(draw: st.DrawFn) -> Schedule:
        try:
            return draw(schedules(contract=contract))
        finally:
            statuses.append(current_build_context().data.status)

    assert len(_drawn(watched())) == EXAMPLES
    assert Status.INVALID not in statuses


def test_faults_may_be_given_once_as_an_iterator() -> None:
    """Faults may come from an iterator, which can be read once."""
    strategy = schedules(faults=iter([Pause]))

    assert find(strategy, lambda s: s.faults == ["Pause"], settings=QUICK, random=Random(0)) == Schedule([Pause(0)])


def _name(operation: Operation) -> str:
    return type(operation).__name__


@pytest.mark.parametrize("kind", sorted(OPERATIONS))
def test_every_kind_of_operation_can_occur(kind: str) -> None:
    """By default every plain kind of operation occurs, and every other one where it is asked for."""
    wanted = None if OPERATIONS[kind] in PLAIN else [OPERATIONS[kind]]
    smallest = find(
        schedules(faults=wanted, max_size=4),
        lambda s: any(type(o).__name__ == kind for o in s),
        settings=QUICK,
        random=Random(0),
    )

    assert kind in map(_name, smallest)
    assert len(smallest) <= 2


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (lambda s: True, Schedule()),
        (lambda s: len(s) > 0, Schedule([Acquire(0, "s0", after=5)])),
        (lambda s: len(s) > 2, Schedule([Acquire(0, "s0", after=5)] * 3)),
        (lambda s: "PauseServer" in s.faults, Schedule([PauseServer(6)])),
        (lambda s: StopServer in map(type, s), Schedule([StopServer()])),
        (lambda s: Exit in map(type, s), Schedule([Exit(0)])),
        (lambda s: Crash in map(type, s), Schedule([Crash(0, "sigkill")])),
    ],
)
@pytest.mark.parametrize("seed", one_in(2, [0, 2]))
def test_a_simple_failing_test_case_shrinks_to_its_one_form(fails: Predicate, expected: Schedule, seed: int) -> None:
    """What fails shrinks to the first worker, the first scope and no gap, whatever was drawn first."""
    assert smallest(fails, seed) == expected


NEEDED: dict[str, tuple[Predicate, int]] = {
    "a stop and a start": (lambda s: {*map(type, s)} >= {StopServer, StartServer}, 2),
    "a late release": (lambda s: any(isinstance(o, Release) and o.gap for o in s), 1),
    "a release before the expiration": (lambda s: "a release before the expiration" in run(s, BACKEND).goals, 2),
}


@pytest.mark.parametrize("seed", one_in(3, [0, 3, 6]))
@pytest.mark.parametrize("name", NEEDED)
def test_a_failing_test_case_shrinks_to_as_few_operations_as_it_needs(name: str, seed: int) -> None:
    """What fails shrinks to its few operations, one worker, one scope and no fault, from a full schedule too."""
    fails, size = NEEDED[name]
    shrunk = smallest(fails, seed)

    assert len(shrunk) == size
    assert len(shrunk.workers) <= 1
    assert len({o.scope for o in shrunk if isinstance(o, Acquire | Release)}) <= 1
    assert shrunk.faults == []
    assert sum(o.gap for o in shrunk) == (name == "a late release")


def test_two_workers_stay_where_two_are_needed() -> None:
    """What needs two workers shrinks to two."""
    shrunk = smallest(lambda s: len(s.workers) == 2)

    assert (len(shrunk), len(shrunk.workers)) == (2, 2)


def test_the_strategy_goes_with_given() -> None:
    """The strategy goes with `@given`, and draws schedules."""
    drawn: list[Schedule] = []

    @settings(deadline=None, database=None, max_examples=50)
    @given(schedules(max_workers=2))
    def collect(schedule: Schedule) -> None:
        drawn.append(schedule)

    collect()

    assert {type(schedule) for schedule in drawn} == {Schedule}
    assert len(set(drawn)) > 20
