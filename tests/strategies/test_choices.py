"""The generator of schedules, over any source of choices."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timersim.lab.operations import (
    CRASHES,
    EVERYTHING,
    OPERATIONS,
    PLAIN,
    Acquire,
    Corrupt,
    Crash,
    Drop,
    Duplicate,
    Exit,
    FailReap,
    Operation,
    RaiseInReap,
    Release,
    SlowReap,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule
from timersim.strategies import seeded_schedule
from timersim.strategies.amounts import AFTERS, GAPS, PAUSES
from timersim.strategies.choices import generate
from timersim.strategies.vocabulary import Vocabulary

KINDS = tuple(OPERATIONS.values())


def chosen(*choices: int) -> Schedule:
    """Returns the schedule of these choices, 0 from then on."""
    source = iter(choices)
    return generate(lambda n: min(next(source, 0), n - 1), Vocabulary())


def seeded(number: int, vocabulary: Vocabulary) -> Schedule:
    """Returns a schedule of seeded choices."""
    source = random.Random(number)
    return generate(source.randrange, vocabulary)


def held_at(schedule: Schedule) -> Iterator[tuple[Operation, set[int]]]:
    """Yields each acquire and release with how far, in ticks, it is from the expirations of what is held."""
    now = 0
    held: dict[tuple[int, str], int] = {}
    for operation in schedule:
        now += operation.gap
        if isinstance(operation, Acquire | Release):
            yield operation, {now - due for due in held.values()}
            held.pop((operation.worker, operation.scope), None)
        if isinstance(operation, Acquire):
            held[operation.worker, operation.scope] = now + operation.after


def test_the_choice_of_0_throughout_is_the_empty_schedule() -> None:
    """Who always chooses 0 gets the empty schedule."""
    assert chosen() == Schedule()


def test_the_simplest_operation_is_an_acquire_without_a_gap() -> None:
    """The simplest schedule with an operation acquires the first scope of the first worker."""
    assert chosen(0, 0, 1) == Schedule([Acquire(0, "s0", after=5)])


def test_every_choice_lies_below_its_bound() -> None:
    """The generator asks for numbers below a bound of at least 1, and takes every one of them."""
    bounds: list[int] = []

    def greatest(n: int) -> int:
        bounds.append(n)
        return n - 1

    generate(greatest, Vocabulary())

    assert min(bounds) >= 1
    assert len(bounds) > 3


@settings(deadline=None, database=None, max_examples=300)
@given(
    st.sets(st.sampled_from(KINDS)).map(tuple),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 15),
    st.integers(0, 10**6),
)
def test_a_schedule_keeps_to_its_vocabulary(
    kinds: tuple[type[Operation], ...], max_workers: int, max_scopes: int, max_size: int, number: int
) -> None:
    """A schedule has no kind but those of its vocabulary, and no more of anything than there may be."""
    schedule = seeded(number, Vocabulary(kinds, max_workers, max_scopes, max_size))

    assert {type(operation) for operation in schedule} <= {*kinds}
    assert len(schedule) <= max_size
    assert set(schedule.workers) <= set(range(max_workers))
    assert {o.scope for o in schedule if isinstance(o, Acquire | Release)} <= {f"s{n}" for n in range(max_scopes)}


@pytest.mark.parametrize("kinds", [(Acquire, Exit), (Acquire, StartServer), (Acquire, Release)])
def test_who_can_carry_out_little_is_given_no_more(kinds: tuple[type[Operation], ...]) -> None:
    """Where the dead can't be started nor the server stopped, neither is drawn in place of what is impossible."""
    drawn = {type(o) for number in range(300) for o in seeded(number, Vocabulary(kinds))}

    assert drawn == {*kinds}


@pytest.mark.parametrize("kinds", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_every_kind_is_drawn(kinds: tuple[type[Operation], ...]) -> None:
    """Every kind of operation occurs, and none is most of what does."""
    drawn = [type(o) for number in range(1000) for o in seeded_schedule(0, number, Vocabulary(kinds))]
    shares = {kind: drawn.count(kind) / len(drawn) for kind in kinds}

    assert min(shares.values()) > 0.0005
    assert max(shares.values()) < 0.6


def test_every_word_of_a_crash_is_drawn() -> None:
    """Each way to crash occurs."""
    drawn = {o.how for number in range(300) for o in seeded(number, Vocabulary()) if isinstance(o, Crash)}

    assert drawn == {*CRASHES}


def test_every_bound_is_reached() -> None:
    """The greatest number of workers, scopes and operations occurs, and so does the empty schedule."""
    schedules = [seeded_schedule(0, number) for number in range(500)]

    assert max(len(schedule) for schedule in schedules) == Vocabulary().max_size
    assert min(len(schedule) for schedule in schedules) == 0
    assert {worker for schedule in schedules for worker in schedule.workers} == {0, 1, 2}
    assert {o.scope for schedule in schedules for o in schedule if isinstance(o, Acquire)} == {"s0", "s1"}


def test_some_kinds_are_left_out_of_each_schedule() -> None:
    """Whole schedules do without a kind far more often than chance would have it: each excludes kinds at random."""
    long = [s for s in (seeded_schedule(0, n) for n in range(3000)) if len(s) == 12]
    without = sum(not any(isinstance(o, Release) for o in schedule) for schedule in long) / len(long)

    assert 0.3 < without < 0.7


def test_every_expiration_gap_and_pause_is_drawn() -> None:
    """Each of the drawn expirations and pauses occurs, and each gap; some expirations are those of another timer."""
    operations = [o for number in range(1000) for o in seeded_schedule(0, number)]

    assert {o.after for o in operations if isinstance(o, Acquire)} > {*AFTERS}
    assert {getattr(o, "ticks", PAUSES[0]) for o in operations} == {*PAUSES}
    assert {o.gap for o in operations} >= {*GAPS}


def test_instants_crowd_around_expirations() -> None:
    """Of the acquires and releases in 2,000 schedules more than a third fall on -1, 0 or +1 of an expiration."""
    near = [{-1, 0, 1} & away for n in range(2000) for _, away in held_at(seeded_schedule(0, n))]
    shares = {offset: sum(offset in each for each in near) / len(near) for offset in (-1, 0, 1)}

    assert sum(map(bool, near)) / len(near) > 1 / 3
    assert min(shares.values()) > 0.1


def test_releases_release_what_is_held() -> None:
    """Most releases are of a timer that is held."""
    held = total = 0
    for number in range(2000):
        timers: set[tuple[int, str]] = set()
        for operation in seeded_schedule(0, number):
            if isinstance(operation, Acquire):
                timers.add((operation.worker, operation.scope))
            if isinstance(operation, Release):
                total += 1
                held += (operation.worker, operation.scope) in timers

    assert held / total > 0.5


def test_starts_are_of_workers_that_ended() -> None:
    """A worker is started after it ended, not while it lives."""
    for number in range(500):
        schedule = seeded_schedule(0, number)
        for index, operation in enumerate(schedule):
            if isinstance(operation, Start):
                before = [o for o in schedule[:index] if getattr(o, "worker", None) == operation.worker]
                assert before, schedule
                assert not isinstance(before[-1], Start), schedule


def test_a_running_server_is_stopped_and_a_stopped_one_started() -> None:
    """Most stops are of a server that runs, and most starts of one that was stopped."""
    apt: dict[type[Operation], list[bool]] = {StopServer: [], StartServer: []}
    for number in range(1000):
        is_stopped = False
        for operation in seeded_schedule(0, number):
            if isinstance(operation, StopServer | StartServer):
                apt[type(operation)].append(is_stopped == isinstance(operation, StartServer))
                is_stopped = isinstance(operation, StopServer)

    assert [sum(cases) / len(cases) > 0.5 for cases in apt.values()] == [True, True]


REAP_FAULTS = (FailReap, RaiseInReap, SlowReap)


def test_reap_faults_strike_who_holds_a_timer() -> None:
    """Where somebody holds a timer, a fault of the reaper is of somebody who does."""
    apt: list[bool] = []
    for number in range(400):
        now, held = 0, dict[int, int]()
        for operation in seeded_schedule(0, number, Vocabulary((Acquire, *REAP_FAULTS), max_scopes=1)):
            now += operation.gap
            held = {worker: due for worker, due in held.items() if due >= now}
            if isinstance(operation, Acquire):
                held[operation.worker] = now + operation.after
            elif held:
                apt.append(operation.worker in held)  # type: ignore[attr-defined]  # a fault of the reaper has a worker

    assert len(apt) > 300
    assert all(apt)


@pytest.mark.parametrize("fault", [Drop, Duplicate, Corrupt])
def test_the_next_request_is_often_the_one_that_something_happens_to(fault: type[Operation]) -> None:
    """After a fault of the wire the next acquire is of the worker whose request it strikes."""
    apt: list[bool] = []
    for number in range(600):
        schedule = seeded_schedule(0, number, Vocabulary((Acquire, fault)))
        for first, second in pairwise(schedule):
            if isinstance(first, fault) and isinstance(second, Acquire):
                apt.append(first.worker == second.worker)  # type: ignore[attr-defined]  # it has a worker

    assert len(apt) > 200
    assert sum(apt) / len(apt) > 0.7


def test_expirations_often_meet() -> None:
    """A good part of the acquires while another timer is held are due when one is."""
    met: list[bool] = []
    for number in range(1000):
        now, dues = 0, set[int]()
        for operation in seeded_schedule(0, number, Vocabulary((Acquire,))):
            now += operation.gap
            assert isinstance(operation, Acquire)
            due = now + operation.after
            if any(other > now for other in dues):
                met.append(due in dues)
            dues.add(due)

    assert sum(met) / len(met) > 0.3
