"""The search: runs generated schedules, keeps for each broken invariant the smallest that breaks it, and shrinks it."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from timersim.lab.experiment import Backend, run
from timersim.lab.goals import GOALS
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.operations import EVERYTHING, PLAIN, Operation
from timersim.lab.report import Finding, Report
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.lab.trace import Trace
from timersim.strategies.choices import Vocabulary, generate

Progress = Callable[[Report], None]


def find_violations(
    backend: Backend,
    max_examples: int = 200,
    seed: int = 0,
    time_limit: float | None = None,
    progress: Progress = lambda report: None,
    shrunk: str | None = None,
) -> Report:
    """Runs up to `max_examples` generated schedules on `backend` and reports every invariant that they break.

    Nothing is raised, and the search goes on after a violation, so that one does not hide another. Each broken
    invariant is shrunk for itself; those that one and the same schedule breaks are one finding. The same seed
    gives the same report: its schedules are `seeded_schedule(seed, number)`. `time_limit` is in seconds of real
    time; `progress` is called with the report as it grows. With `shrunk` the finding of this invariant alone is shrunk,
    and the others stay as they were found. An interrupt (Ctrl-C) ends the search, and the report says so.

    >>> from timersim.fakes import SimulatedBackend
    >>> find_violations(SimulatedBackend(), max_examples=20).findings
    []
    """
    if not isinstance(max_examples, int) or max_examples < 1:  # type: ignore[redundant-expr]  # as in `schedules`
        raise ValueError(f"max_examples is a whole number of at least 1: max_examples={max_examples!r}")
    vocabulary = _vocabulary(backend)
    schedules = (seeded_schedule(seed, number, vocabulary) for number in range(max_examples))
    search = _Search(backend, seed, time_limit, progress, shrunk)
    search.expect(vocabulary.kinds)
    with unheard():
        return search.report(schedules)


def search_among(
    schedules: Iterable[Schedule],
    backend: Backend,
    progress: Progress = lambda report: None,
    shrunk: str | None = None,
) -> Report:
    """Runs these schedules on `backend` and reports what they break, as `find_violations` does; no goal is expected.

    >>> from timersim.fakes import SimulatedBackend
    >>> search_among([Schedule()], SimulatedBackend()).examples
    1
    """
    with unheard():
        return _Search(backend, 0, None, progress, shrunk).report(schedules)


@contextmanager
def unheard() -> Iterator[None]:
    """Keeps what the servers log from standard error, where nobody has asked for it: each fault is a line."""
    logger, silence = logging.getLogger("timersim"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)


def seeded_schedule(seed: int, number: int, vocabulary: Vocabulary | None = None) -> Schedule:
    """Returns the schedule with this `number` of the search with this `seed`: by the generator of `schedules`.

    >>> seeded_schedule(0, 7) == seeded_schedule(0, 7)
    True
    """
    source = random.Random(f"{seed}/{number}").random
    return generate(lambda n: int(source() * n), vocabulary or Vocabulary())


STARTS, ENOUGH = 3, 3
"""From how many schedules with other faults an invariant is shrunk, until there are no more than so many operations."""


@dataclass(slots=True)
class _Catch:
    """What breaks an invariant: the smallest schedule so far of each set of faults, and after how many examples."""

    after: int
    is_known: bool
    smallest: dict[tuple[str, ...], InvariantViolation] = field(default_factory=dict)

    def is_smaller(self, schedule: Schedule) -> bool:
        """Returns whether a schedule is smaller than any so far with the same faults."""
        earlier = self.smallest.get(tuple(schedule.faults))
        return earlier is None or _size(schedule) < _size(earlier.record.schedule)

    @property
    def starts(self) -> list[Schedule]:
        """From where it is shrunk: those with the fewest faults first."""
        schedules = [violation.record.schedule for violation in self.smallest.values()]
        return sorted(schedules, key=lambda schedule: (len(schedule.faults), _size(schedule)))[:STARTS]

    @property
    def violation(self) -> InvariantViolation:
        """The smallest of all."""
        return min(self.smallest.values(), key=lambda violation: _size(violation.record.schedule))

    def unshrunk(self) -> Finding:
        """Returns it as a finding as it is."""
        violation = self.violation
        schedule = violation.record.schedule
        return Finding([violation.invariant.id], schedule, self.after, len(schedule), violation, is_shrunk=False)


class _Search:
    def __init__(
        self, backend: Backend, seed: int, time_limit: float | None, progress: Progress, shrunk: str | None
    ) -> None:
        self._backend = backend
        self._progress = progress
        self._shrunk = shrunk
        self._report = Report(backend.name, seed, backend_spec=backend.spec, exempt=backend.contract.exempt)
        self._catches: dict[str, _Catch] = {}
        self._began = time.monotonic()
        self._ends = None if time_limit is None else self._began + time_limit

    def expect(self, kinds: Sequence[type[Operation]]) -> None:
        """Expects every goal to be reached to which these operations can lead on the backend."""
        reachable = [name for name, goal in GOALS.items() if goal.is_reachable(kinds, self._backend.contract)]
        self._report.reachable = [name for name in reachable if name not in self._backend.seldom]

    def report(self, schedules: Iterable[Schedule]) -> Report:
        report = self._report
        try:
            self._explore(schedules)
            report.findings = self._findings(is_known=False)
            report.known = self._findings(is_known=True)
        except KeyboardInterrupt:
            report.is_interrupted = True
            unshrunk = [catch.unshrunk() for catch in self._catches.values() if not catch.is_known]
            report.findings = sorted(unshrunk, key=lambda finding: finding.rank)
        report.seconds = time.monotonic() - self._began
        return report

    def _explore(self, schedules: Iterable[Schedule]) -> None:
        for schedule in schedules:
            if self._is_over():
                self._report.is_cut_short = True
                return
            self._take(schedule, run(schedule, self._backend))

    def _take(self, schedule: Schedule, trace: Trace) -> None:
        report = self._report
        report.count(trace, is_real=self._backend.is_real)
        for violation in (*trace.violations, *trace.known):
            caught = self._catches.get(violation.invariant.id) or _Catch(report.examples, violation in trace.known)
            if caught.is_smaller(schedule) and self._is_its_own(violation):
                caught.smallest[tuple(schedule.faults)] = violation
                self._catches[violation.invariant.id] = caught
        report.seconds = time.monotonic() - self._began
        self._progress(report)

    def _is_its_own(self, violation: InvariantViolation) -> bool:
        """Returns whether an invariant is broken for its own cause: without its situation nothing general is."""
        situation, breach = violation.invariant.situation, violation.breach
        if situation is None:
            return True
        without = violation.record.schedule.without(lambda operation: situation(operation, breach))
        trace = run(without, self._backend)
        return not any(other.invariant.is_general for other in (*trace.violations, *trace.known))

    def _findings(self, *, is_known: bool) -> list[Finding]:
        """Shrinks what was caught. What another finding breaks as well, in a schedule no larger, is none of its own."""
        caught = [self._finding(*item) for item in self._catches.items() if item[1].is_known == is_known]
        kept: list[Finding] = []
        for finding in sorted(caught, key=lambda finding: (_size(finding.schedule), finding.rank)):
            if not any(finding.invariants[0] in earlier.invariants for earlier in kept):
                kept.append(self._named(finding, is_known=is_known))
        for finding in kept:
            finding.within = next((other.invariants[0] for other in kept if _is_within(finding, other)), "")
        return sorted(kept, key=lambda finding: finding.rank)

    def _named(self, finding: Finding, *, is_known: bool) -> Finding:
        """Gives a finding the names of all that its schedule breaks; its cause goes before what follows from it."""
        trace = run(finding.schedule, self._backend)
        violations = [v for v in (trace.known if is_known else trace.violations) if v.invariant.id in self._catches]
        broken = sorted(filter(self._is_its_own, violations), key=lambda violation: violation.invariant.is_general)
        if any(violation.invariant.id == finding.invariants[0] for violation in broken):
            finding.invariants = [violation.invariant.id for violation in broken]
            finding.violation = broken[0]
        return finding

    def _finding(self, name: str, catch: _Catch) -> Finding:
        if self._shrunk not in {None, name}:
            return catch.unshrunk()
        last: dict[Schedule, InvariantViolation] = {}

        def fails(schedule: Schedule) -> bool:
            violation = None if self._is_over() else _violation(run(schedule, self._backend), name)
            if violation is None or not self._is_its_own(violation):
                return False
            last[schedule] = violation
            return True

        shrunk, found_at = Schedule(), 0
        for start in catch.starts:
            smaller = shrink(start, fails)
            if not found_at or _size(smaller) < _size(shrunk):
                shrunk, found_at = smaller, len(start)
            if len(shrunk) <= ENOUGH:
                break
        violation = last.get(shrunk) or _violation(run(shrunk, self._backend), name)
        return Finding([name], shrunk, catch.after, found_at, violation)

    def _is_over(self) -> bool:
        return self._ends is not None and time.monotonic() >= self._ends


def _vocabulary(backend: Backend) -> Vocabulary:
    """Returns what a backend can carry out and its contract survives."""
    survives = backend.contract.survives
    kinds = [kind for kind in EVERYTHING if kind in PLAIN or kind.__name__ in survives]
    return Vocabulary(tuple(kind for kind in kinds if kind in backend.operations), sending=backend.sending)


def _is_within(finding: Finding, other: Finding) -> bool:
    """Returns whether a smaller finding shows something general without the situation in which this one does."""
    if finding.violation is None or other.violation is None or _size(other.schedule) >= _size(finding.schedule):
        return False
    situation, breach = finding.violation.invariant.situation, other.violation.breach
    if situation is None or not any(INVARIANTS[name].is_general for name in other.invariants):
        return False
    return not any(situation(operation, breach) for operation in other.schedule)


def _violation(trace: Trace, name: str) -> InvariantViolation | None:
    return next((v for v in (*trace.violations, *trace.known) if v.invariant.id == name), None)


def _size(schedule: Schedule) -> tuple[int, int]:
    return len(schedule), len(repr(schedule))
