"""The search: runs generated schedules, keeps for each broken invariant the smallest that breaks it, and shrinks it."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from timersim.lab.counts import check_counts
from timersim.lab.experiment import Backend, run
from timersim.lab.goals import GOALS
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.report import Finding, Report
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.lab.trace import Trace
from timersim.strategies.choices import Vocabulary, generate, kinds_under
from timersim.strategies.tally import Catch, Tally, size

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
    check_counts(ValueError, max_examples=max_examples)
    schedules = _seeded(backend, seed, range(max_examples))
    with unheard():
        return _Search(backend, seed, time_limit, progress, shrunk).report(schedules)


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
    tally = Tally(replace(empty_report(backend, 0), reachable=[]))
    with unheard():
        return _Search(backend, 0, None, progress, shrunk, tally).report(schedules)


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


def _seeded(backend: Backend, seed: int, numbers: range) -> Iterator[Schedule]:
    vocabulary = vocabulary_of(backend)
    return (seeded_schedule(seed, number, vocabulary) for number in numbers)


ENOUGH = 3
"""An invariant is shrunk from several schedules until it has no more operations than so many."""


def tally(backend: Backend, seed: int, numbers: range) -> Tally:
    """Runs the schedules with these numbers of the search with this `seed`; nothing is shrunk.

    >>> from timersim.fakes import SimulatedBackend
    >>> halves = [tally(SimulatedBackend(), 0, numbers) for numbers in (range(10), range(10, 20))]
    >>> halves[0].plus(halves[1]).to_object() == tally(SimulatedBackend(), 0, range(20)).to_object()
    True
    """
    with unheard():
        return _Search(backend, seed).tallied(_seeded(backend, seed, numbers))


def concluded(backend: Backend, tally: Tally, *, is_interrupted: bool = False) -> Report:
    """Returns the report of a search that has come to `tally`: shrunk and named, unless it `is_interrupted`."""
    with unheard():
        return _Search(backend, tally.report.seed, tally=tally).report((), is_interrupted=is_interrupted)


class _Search:
    def __init__(
        self,
        backend: Backend,
        seed: int,
        time_limit: float | None = None,
        progress: Progress = lambda report: None,
        shrunk: str | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._backend = backend
        self._progress = progress
        self._shrunk = shrunk
        tally = tally or Tally(empty_report(backend, seed))
        self._report, self._catches = replace(tally.report), dict(tally.catches)
        self._began = time.monotonic()
        self._ends = None if time_limit is None else self._began + time_limit

    def report(self, schedules: Iterable[Schedule], *, is_interrupted: bool = False) -> Report:
        report = self._report
        try:
            if is_interrupted:
                raise KeyboardInterrupt
            self._explore(schedules)
            report.findings = self._findings(is_known=False)
            report.known = self._findings(is_known=True)
        except KeyboardInterrupt:
            report.is_interrupted = True
            report.findings, report.known = self._caught(is_known=False), self._caught(is_known=True)
        report.seconds = time.monotonic() - self._began
        return report

    def tallied(self, schedules: Iterable[Schedule]) -> Tally:
        """Returns what these schedules come to, as it goes to another process."""
        self._explore(schedules)
        catches = {name: replace(catch, violations={}) for name, catch in self._catches.items()}
        return Tally(self._report, catches)

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
            caught = self._catches.get(violation.invariant.id) or Catch(report.examples, violation in trace.known)
            if caught.is_wanted(report.examples, schedule) and self._is_its_own(violation):
                caught.take(report.examples, schedule, violation)
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
        for finding in sorted(caught, key=lambda finding: (size(finding.schedule), finding.rank)):
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

    def _caught(self, *, is_known: bool) -> list[Finding]:
        """Returns what was caught, worst first, as it is."""
        unshrunk = [self._unshrunk(*item) for item in self._catches.items() if item[1].is_known == is_known]
        return sorted(unshrunk, key=lambda finding: finding.rank)

    def _unshrunk(self, name: str, catch: Catch) -> Finding:
        """Returns what was caught as a finding as it is."""
        schedule = catch.least
        violation = catch.violations.get(tuple(schedule.faults)) or _violation(run(schedule, self._backend), name)
        return Finding([name], schedule, catch.after, len(schedule), violation, is_shrunk=False)

    def _finding(self, name: str, catch: Catch) -> Finding:
        if self._shrunk not in {None, name}:
            return self._unshrunk(name, catch)
        last: dict[Schedule, InvariantViolation] = {}

        def fails(schedule: Schedule) -> bool:
            violation = None if self._is_over() else _violation(run(schedule, self._backend), name)
            if violation is None or not self._is_its_own(violation):
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

    def _is_over(self) -> bool:
        return self._ends is not None and time.monotonic() >= self._ends


def empty_report(backend: Backend, seed: int) -> Report:
    """Returns the report of a search that has not begun."""
    kinds, contract = vocabulary_of(backend).kinds, backend.contract
    reachable = [name for name, goal in GOALS.items() if goal.is_reachable(kinds, contract)]
    report = Report(backend.name, seed, backend_spec=backend.spec, exempt=contract.exempt)
    report.reachable = [name for name in reachable if name not in backend.seldom]
    return report


def vocabulary_of(backend: Backend) -> Vocabulary:
    """Returns what a backend can carry out and its contract survives."""
    kinds = (kind for kind in kinds_under(backend.contract) if kind in backend.operations)
    return Vocabulary(tuple(kinds), max_scopes=backend.max_scopes, sending=backend.sending)


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
