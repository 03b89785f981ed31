"""Contracts that go by the wall clock: a server is due when that says so, however it was stepped since."""

from dataclasses import replace

import pytest

from tests.lab.story import Story, broken, headlines
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import server_without
from timersim.lab import Acquire, Contract, Drift, PauseServer, Release, Schedule, StepWall, Suspend, run
from timersim.lab.operations import PLAIN
from timersim.lab.record import Instant, WallDrifts
from timersim.strategies.search import seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

BY_WALL = Contract(clock="wall", reap_within=1, identity="pid")
BY_MONOTONIC = replace(BY_WALL, clock="monotonic")

SCHEDULES = [seeded_schedule(0, n, Vocabulary((*PLAIN, StepWall, Suspend, Drift))) for n in range(300)]


def broken_by(safeguard: str, contract: Contract) -> set[str]:
    """Returns what a server that lacks a safeguard breaks in 300 schedules that move the wall clock."""
    backend = SimulatedBackend(server_without(safeguard), contract=contract)
    return {violation.invariant.id for schedule in SCHEDULES for violation in run(schedule, backend).violations}


def test_a_server_that_asks_the_wall_clock_keeps_a_contract_that_goes_by_it() -> None:
    """A server that asks the wall clock each second breaks nothing of a contract by the wall clock."""
    assert broken_by("go-by-monotonic-time", BY_WALL) == set()


def test_a_server_that_asks_the_wall_clock_breaks_a_contract_that_does_not() -> None:
    """The same server kills the healthy and spares the hung under a contract by monotonic time."""
    assert broken_by("go-by-monotonic-time", BY_MONOTONIC) >= {
        *("no-early-reap", "wall-steps-do-not-matter", "reaped-in-time"),
    }


def test_a_server_that_sleeps_through_a_step_is_too_late_by_the_wall_clock() -> None:
    """A server that moves its timers only when it wakes spares the hung, and reaps nobody early."""
    assert broken_by("let-the-wall-step", BY_WALL) == {"reaped-in-time", "reap-spares-the-rest", "restart-guards"}


@pytest.mark.parametrize(("by", "at"), [(3, 6), (7, 2), (6, 3), (-3, 12)])
def test_a_step_moves_what_is_registered(by: int, at: Instant) -> None:
    """A step of the wall clock at 2 moves what is due at 9, and no further than to the step itself."""
    backend = SimulatedBackend(server_without("go-by-monotonic-time"), contract=BY_WALL)
    trace = run(Schedule([Acquire(0, "s", after=9), StepWall(by, gap=2)]), backend)
    ((guard,),) = trace.account.guards.values()

    assert ((guard.due, guard.latest), trace.violations) == ((at, at), [])
    assert at <= trace.reaps[0].at <= at + 1


def test_the_correct_server_does_not_keep_a_contract_by_the_wall_clock() -> None:
    """A server that goes by monotonic time spares the hung after a step forward, and kills early after one back."""
    backend = SimulatedBackend(contract=BY_WALL)
    lines = [
        [violation.headline for violation in run(Schedule([Acquire(0, "s", after=9), fault]), backend).violations]
        for fault in (StepWall(4, gap=2), StepWall(-4, gap=2))
    ]

    assert lines == [
        ["reaped-in-time: worker 0 was due at t=5 and is alive at t=7"],
        ["no-early-reap: worker 0 was reaped at t=9, and is due at t=13 at the earliest"],
    ]


@pytest.mark.parametrize(
    ("at", "lines"),
    [
        (5, ["no-early-reap: worker 0 was reaped at t=5, and is due at t=6 at the earliest"]),
        (6, []),
        (12, []),
        (13, ["reaped-in-time: worker 0 was due at t=6, had to be reaped by t=12, and was reaped at t=13"]),
    ],
)
def test_what_a_step_back_shows_twice_may_be_reaped_from_the_first_to_the_last(at: Instant, lines: list[str]) -> None:
    """What the wall clock comes to at 6, and at 11 again, is due from then on, and owed a tick after the last."""
    events = Story(BY_WALL).acquire(6)
    before = at < 10
    story = (
        events.at(at).attempt("reaped").at(10).step(-5) if before else events.at(10).step(-5).at(at).attempt("reaped")
    )

    assert headlines(story) == lines


def test_what_the_wall_clock_showed_before_the_request_arrived_does_not_count() -> None:
    """A request whose expiration the wall clock had shown before a step back is due when it shows it again."""
    story = Story(BY_WALL).at(8).step(-5).at(10).acquire(8)
    ((guard,),) = story.account().guards.values()

    assert (guard.due, guard.latest) == (13, 13)


def test_a_release_wins_by_the_wall_clock_too() -> None:
    """What is released before the wall clock comes to it is not reaped when it does."""
    backend = SimulatedBackend(server_without("go-by-monotonic-time"), contract=BY_WALL)
    trace = run(
        Schedule([Acquire(0, "s", after=9), PauseServer(5), Release(0, "s", gap=2), Suspend(9, gap=1)]), backend
    )

    assert (trace.violations, trace.reaps) == ([], [])


@pytest.mark.parametrize(("per_mille", "by"), [(1000, 7.002), (-500, 22.002)])
def test_a_drift_moves_when_a_reap_is_owed(per_mille: int, by: Instant) -> None:
    """By a clock that gains a reap is owed sooner, by one that loses later."""
    story = Story(replace(BY_WALL, reap_within=0)).acquire(12).at(2).did(WallDrifts, per_mille)

    assert [duty.by for duty in story.account().duties] == [by]
    assert broken(story) == ["reaped-in-time"]
