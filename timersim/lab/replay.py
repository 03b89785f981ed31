"""The replay: what becomes of a saved schedule today."""

from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import InvariantViolation
from timersim.lab.saved import SavedSchedule

FIXED, STILL_FAILS, FAILS_OTHERWISE = "FIXED", "STILL FAILS", "FAILS OTHERWISE"


def replay(saved: SavedSchedule, backend: Backend) -> tuple[str, InvariantViolation | None]:
    """Runs a saved schedule again; returns whether it is FIXED, STILL FAILS or FAILS OTHERWISE, and what it breaks.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Schedule
    >>> schedule = Schedule([Acquire(0, "s0", after=5)])
    >>> replay(SavedSchedule("case", ["reaped-once"], {"name": "memory"}, schedule), SimulatedBackend())
    ('FIXED', None)
    """
    trace = run(saved.schedule, backend)
    broken = {violation.invariant.id: violation for violation in (*trace.violations, *trace.known)}
    for name in saved.invariants:
        if name in broken:
            return STILL_FAILS, broken[name]
    return (FAILS_OTHERWISE, trace.violations[0]) if trace.violations else (FIXED, None)
