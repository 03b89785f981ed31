"""Findings: what a search has caught, shrunk and named, and without what another finding shows as well."""

from collections.abc import Callable, Mapping

from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.report import Finding
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.lab.trace import Trace
from timersim.strategies.tally import Catch, size
from timersim.strategies.vocabulary import vocabulary_of

ENOUGH = 3
"""An invariant is shrunk from several schedules until it has no more operations than so many."""


class Findings:
    """Makes findings of the catches of a search on `backend`, by the ids of their invariants.

    Where it `is_over`, nothing is shrunk any further; with `only` no other invariant's catch is shrunk.
    """

    def __init__(
        self, backend: Backend, catches: Mapping[str, Catch], is_over: Callable[[], bool], only: str | None
    ) -> None:
        self._backend = backend
        self._catches = catches
        self._is_over = is_over
        self._only = only

    def shrunk(self, *, is_known: bool) -> list[Finding]:
        """Shrinks what was caught. What another finding breaks as well, in a schedule no larger, is none of its own."""
        caught = [self._finding(*item) for item in self._catches.items() if item[1].is_known == is_known]
        kept: list[Finding] = []
        for finding in sorted(caught, key=lambda finding: (size(finding.schedule), finding.rank)):
            if not any(finding.invariants[0] in earlier.invariants for earlier in kept):
                kept.append(self._named(finding, is_known=is_known))
        for finding in kept:
            finding.within = next((other.invariants[0] for other in kept if _is_within(finding, other)), "")
        return sorted(kept, key=lambda finding: finding.rank)

    def as_caught(self, *, is_known: bool) -> list[Finding]:
        """Returns what was caught, worst first, as it is."""
        unshrunk = [self._unshrunk(*item) for item in self._catches.items() if item[1].is_known == is_known]
        return sorted(unshrunk, key=lambda finding: finding.rank)

    def _named(self, finding: Finding, *, is_known: bool) -> Finding:
        """Gives a finding the names of all that its schedule breaks; its cause goes before what follows from it."""
        trace = run(finding.schedule, self._backend)
        violations = [v for v in (trace.known if is_known else trace.violations) if v.invariant.id in self._catches]
        own = [violation for violation in violations if is_its_own(violation, self._backend)]
        broken = sorted(own, key=lambda violation: violation.invariant.is_general)
        if any(violation.invariant.id == finding.invariants[0] for violation in broken):
            finding.invariants = [violation.invariant.id for violation in broken]
            finding.violation = broken[0]
        return finding

    def _unshrunk(self, name: str, catch: Catch) -> Finding:
        """Returns what was caught as a finding as it is."""
        schedule = catch.least
        violation = catch.violations.get(tuple(schedule.faults)) or _violation(run(schedule, self._backend), name)
        return Finding([name], schedule, catch.after, len(schedule), violation, is_shrunk=False)

    def _finding(self, name: str, catch: Catch) -> Finding:
        if self._only not in {None, name}:
            return self._unshrunk(name, catch)
        last: dict[Schedule, InvariantViolation] = {}

        def fails(schedule: Schedule) -> bool:
            violation = None if self._is_over() else _violation(run(schedule, self._backend), name)
            if violation is None or not is_its_own(violation, self._backend):
                return False
            last[schedule] = violation
            return True

        shrunk, found_at = Schedule(), 0
        for start in catch.starts:
            smaller = shrink(start, fails, kinds=vocabulary_of(self._backend).kinds)
            if not found_at or size(smaller) < size(shrunk):
                shrunk, found_at = smaller, len(start)
            if len(shrunk) <= ENOUGH:
                break
        violation = last.get(shrunk) or _violation(run(shrunk, self._backend), name)
        return Finding([name], shrunk, catch.after, found_at, violation)


def is_its_own(violation: InvariantViolation, backend: Backend) -> bool:
    """Returns whether an invariant is broken for its own cause: without its situation nothing general is."""
    situation, breach = violation.invariant.situation, violation.breach
    if situation is None:
        return True
    without = violation.record.schedule.without(lambda operation: situation(operation, breach))
    trace = run(without, backend)
    return not any(other.invariant.is_general for other in (*trace.violations, *trace.known))


def _is_within(finding: Finding, other: Finding) -> bool:
    """Returns whether a smaller finding shows something general without the situation in which this one does."""
    if finding.violation is None or other.violation is None or size(other.schedule) >= size(finding.schedule):
        return False
    situation, breach = finding.violation.invariant.situation, other.violation.breach
    if situation is None or not any(INVARIANTS[name].is_general for name in other.invariants):
        return False
    return not any(situation(operation, breach) for operation in other.schedule)


def _violation(trace: Trace, name: str) -> InvariantViolation | None:
    return next((v for v in (*trace.violations, *trace.known) if v.invariant.id == name), None)
