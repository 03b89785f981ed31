"""Ablations: each breaks the invariant that its safeguard is for, and the correct server passes the same schedule."""

import pytest

from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS, without
from timersim.lab import Acquire, PauseServer, Release, Schedule, run
from timersim.memory_timer import MemoryTimerServer

CASES: dict[str, tuple[Schedule, list[str]]] = {
    "drain-before-expire": (
        Schedule([Acquire(0, "s", after=5), PauseServer(6, gap=3), Release(0, "s", gap=1)]),
        ["release-wins: worker 0 released at t=4, was due at t=5, and was reaped at t=9"],
    ),
    "expire-at-the-instant": (
        Schedule([Acquire(0, "s", after=5)]),
        ["reaped-in-time: worker 0 was due at t=5 and is alive at t=6"],
    ),
    "honour-releases": (
        Schedule([Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["release-wins: worker 0 released at t=1, was due at t=5, and was reaped at t=5"],
    ),
    "reap-once": (
        Schedule([Acquire(0, "s", after=5)]),
        ["reaped-once: worker 0 was reaped at t=5, and again at t=5"],
    ),
    "clear-the-dead": (
        Schedule([Acquire(0, "a", after=1), Acquire(0, "b", after=5)]),
        ["dead-stay-dead: worker 0 was seen gone at t=1, and a reap was attempted at t=5"],
    ),
}


def test_every_ablation_has_its_case() -> None:
    """No safeguard is taken out without a schedule that shows what it was for."""
    assert CASES.keys() == ABLATIONS.keys()


@pytest.mark.parametrize("safeguard", CASES)
def test_an_ablation_breaks_its_invariant(safeguard: str) -> None:
    """A server without its safeguard breaks the invariant that the safeguard is for, and no other."""
    schedule, headlines = CASES[safeguard]
    trace = run(schedule, SimulatedBackend(without(safeguard, MemoryTimerServer)))

    assert [violation.headline for violation in trace.violations] == headlines


@pytest.mark.parametrize("safeguard", CASES)
def test_the_correct_server_passes(safeguard: str) -> None:
    """The correct server breaks nothing on the schedule that shows what a safeguard is for."""
    schedule, _ = CASES[safeguard]

    run(schedule, SimulatedBackend()).check()


@pytest.mark.parametrize("safeguard", CASES)
def test_an_ablation_is_invisible_to_a_quiet_schedule(safeguard: str) -> None:
    """An ablated server is a correct one where its safeguard is not needed."""
    quiet = Schedule([Acquire(0, "s", after=5)])
    if safeguard in {"expire-at-the-instant", "reap-once"}:
        quiet = Schedule([Acquire(0, "s", after=5), Release(0, "s", gap=4)])

    run(quiet, SimulatedBackend(without(safeguard, MemoryTimerServer))).check()


def test_an_ablated_server_says_what_it_lacks() -> None:
    """An ablated server is of its server's kind, and its name says what was taken out."""
    server = without("reap-once", MemoryTimerServer)

    assert (server.__name__, issubclass(server, MemoryTimerServer)) == ("MemoryTimerServer without reap-once", True)


def test_only_safeguards_can_be_taken_out() -> None:
    """A safeguard that there is not is a KeyError by its name."""
    with pytest.raises(KeyError) as raised:
        without("seat-belts", MemoryTimerServer)

    assert raised.value.args == ("seat-belts",)
