"""The replay: what becomes of a saved schedule today."""

import pytest

from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import without
from timersim.lab.operations import Acquire, StartServer, StopServer
from timersim.lab.replay import FAILS_OTHERWISE, FIXED, STILL_FAILS, replay
from timersim.lab.saved import SavedSchedule
from timersim.lab.schedule import Schedule

BROKEN = SimulatedBackend(without("drain-before-expire", MemoryTimerServer))
SCHEDULE = Schedule([Acquire(0, "s0", after=1), StopServer(), Acquire(0, "s0", after=2), StartServer(gap=1)])
"""What breaks release-wins there, and dead-stay-dead."""


@pytest.mark.parametrize(
    ("names", "verdict", "shown"),
    [
        (["release-wins"], STILL_FAILS, "release-wins"),
        (["dead-stay-dead", "release-wins"], STILL_FAILS, "release-wins"),
        (["dead-stay-dead"], STILL_FAILS, "dead-stay-dead"),
        (["nothing-left"], FAILS_OTHERWISE, "release-wins"),
    ],
)
def test_of_several_the_worst_is_shown(names: list[str], verdict: str, shown: str) -> None:
    """Of the invariants that were saved the worst that is broken is shown; else the worst of the others."""
    found, violation = replay(SavedSchedule("case", names, {"name": "memory"}, SCHEDULE), BROKEN)

    assert violation is not None
    assert (found, violation.invariant.id) == (verdict, shown)


def test_what_breaks_nothing_is_fixed() -> None:
    """Where no invariant is broken it is FIXED."""
    saved = SavedSchedule("case", ["release-wins"], {"name": "memory"}, SCHEDULE)

    assert replay(saved, SimulatedBackend()) == (FIXED, None)
