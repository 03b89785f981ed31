"""The replay: what becomes of a saved schedule today."""

from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.saved import SavedSchedule
from timersim.lab.trace import Trace

FIXED, STILL_FAILS, FAILS_OTHERWISE = "FIXED", "STILL FAILS", "FAILS OTHERWISE"


def replay(saved: SavedSchedule, backend: Backend) -> tuple[str, InvariantViolation | None]:
    """Runs a saved schedule again; returns whether it is FIXED, STILL FAILS or FAILS OTHERWISE, and what it breaks.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Schedule
    >>> schedule = Schedule([Acquire(0, "s0", after=5)])
    >>> replay(SavedSchedule("case", ["reaped-once"], {"name": "memory"}, schedule), SimulatedBackend())
    ('FIXED', None)
    """
    return verdict(saved, run(saved.schedule, backend))


def verdict(saved: SavedSchedule, trace: Trace) -> tuple[str, InvariantViolation | None]:
    """Returns the same of a run that was made again; of several invariants that it broke, the worst."""
    order = list(INVARIANTS)
    broken = sorted((*trace.violations, *trace.known), key=lambda violation: order.index(violation.invariant.id))
    for violation in broken:
        if violation.invariant.id in saved.invariants:
            return STILL_FAILS, violation
    return (FAILS_OTHERWISE, trace.violations[0]) if trace.violations else (FIXED, None)
