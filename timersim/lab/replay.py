"""The replay: what becomes of a saved schedule today."""

from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import InvariantViolation
from timersim.lab.saved import SavedSchedule
from timersim.lab.trace import Trace

FIXED, KNOWN, STILL_FAILS, FAILS_OTHERWISE = "FIXED", "KNOWN", "STILL FAILS", "FAILS OTHERWISE"

PASSES = frozenset({FIXED, KNOWN})
"""What becomes of a saved schedule that is no failure: nothing is broken, or what the contract exempts."""


def replay(saved: SavedSchedule, backend: Backend) -> tuple[str, InvariantViolation | None]:
    """Runs a saved schedule again; returns whether it is FIXED, KNOWN, STILL FAILS or FAILS OTHERWISE, and why.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Schedule
    >>> schedule = Schedule([Acquire(0, "s0", after=5)])
    >>> replay(SavedSchedule("case", ["reaped-once"], {"name": "memory"}, schedule), SimulatedBackend())
    ('FIXED', None)
    """
    return verdict(saved, run(saved.schedule, backend))


def verdict(saved: SavedSchedule, trace: Trace) -> tuple[str, InvariantViolation | None]:
    """Returns the same of a run that was made again; of several invariants that it broke, the worst."""
    for word, violations in ((STILL_FAILS, trace.violations), (KNOWN, trace.known)):
        for violation in sorted(violations, key=lambda violation: violation.invariant.rank):
            if violation.invariant.id in saved.invariants:
                return word, violation
    return (FAILS_OTHERWISE, trace.violations[0]) if trace.violations else (FIXED, None)
