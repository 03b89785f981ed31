"""The search for causes: what breaks without any fault, and then with one kind of fault at a time."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from timersim.clock import SystemClock
from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import InvariantViolation
from timersim.lab.operations import EVERYTHING
from timersim.lab.report import Finding, Report
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.lab.trace import Trace
from timersim.strategies.cause import Cause, causes
from timersim.strategies.search import Progress, empty_report, seeded_schedule, unheard
from timersim.strategies.tally import size
from timersim.strategies.vocabulary import Vocabulary

WITHOUT_FAULT = 10
"""How many times as many schedules are drawn without a fault as with each: what healthy workers suffer comes first."""


def number_in_all(backend: Backend, max_examples: int) -> int:
    """Returns how many schedules `find_causes` runs on a backend.

    >>> from timersim.fakes import SimulatedBackend
    >>> number_in_all(SimulatedBackend(), 5) == find_causes(SimulatedBackend(), 5).examples
    True
    """
    return sum(_number(cause, max_examples) for cause in causes(backend))


def find_causes(
    backend: Backend, max_examples: int = 100, seed: int = 0, progress: Progress = lambda report: None
) -> Report:
    """Runs up to `max_examples` schedules for each of `causes(backend)`, and reports what each of them breaks.

    An invariant that is broken without any fault is a finding, of which faults tell no more. Any other is one for each
    cause: without it the same schedule keeps the invariant. What takes a fault and a stop is sought for the invariants
    that nothing else breaks. Of each the smallest is shrunk. The same seed gives the same report. An interrupt (Ctrl-C)
    ends the search, and the report says so; what was caught for the cause that it came in is told as it is.

    >>> from timersim.fakes import SimulatedBackend
    >>> find_causes(SimulatedBackend(), max_examples=5).findings
    []
    """
    report = empty_report(backend, seed)
    report.reachable = []
    clock = SystemClock()
    began = clock.monotonic()
    told: set[str] = set()
    found: set[str] = set()
    with unheard():
        for cause in causes(backend):
            search = _Search(backend, cause, told=found if cause.of_each else told)
            try:
                search.explore(report, max_examples, progress)
                findings = search.shrunk()
            except KeyboardInterrupt:
                report.is_interrupted = True
                findings = search.as_caught()
            for finding, is_known in findings:
                (report.known if is_known else report.findings).append(finding)
                found.update(finding.invariants)
            if report.is_interrupted:
                break
            if not cause.kinds:
                told.update(found)
    report.seconds = clock.monotonic() - began
    report.findings.sort(key=_order)
    report.known.sort(key=_order)
    return report


def _order(finding: Finding) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """What findings are sorted by: the worst harm, those without a fault first, then the smaller."""
    return finding.rank, len(finding.faults), size(finding.schedule)


def _number(cause: Cause, max_examples: int) -> int:
    return max_examples * (1 if cause.kinds else WITHOUT_FAULT)


@dataclass(slots=True)
class _Caught:
    """The smallest schedule so far that breaks an invariant, first broken after so many examples."""

    schedule: Schedule
    after: int
    badness: int
    is_known: bool


class _Search:
    """What a cause brings about on a backend, by the invariants that are broken; nothing of what is `told`."""

    def __init__(self, backend: Backend, cause: Cause, *, told: AbstractSet[str]) -> None:
        self._backend = backend
        self._cause = cause
        self._told = told
        self._caught: dict[str, _Caught] = {}

    def explore(self, report: Report, max_examples: int, progress: Progress) -> None:
        """Runs the cause's schedules, counts them in the report, and keeps the smallest of those that break things."""
        cause, backend = self._cause, self._backend
        kinds = tuple(kind for kind in EVERYTHING if kind in cause.drawn and kind in backend.operations)
        large = Vocabulary(kinds, sending=backend.sending)
        small = replace(large, max_workers=2, max_scopes=1, max_size=4)  # with fewer ways to miss a narrow window
        for number in range(_number(cause, max_examples)):
            schedule = seeded_schedule(report.seed, number, small if number % 2 and not cause.kinds else large)
            trace = run(schedule, backend)
            report.count(trace, is_real=backend.is_real)
            for violation in _all(trace):
                if violation.invariant.id not in self._told:
                    self._take(violation, schedule, report.examples, is_known=violation in trace.known)
            progress(report)

    def shrunk(self) -> list[tuple[Finding, bool]]:
        """Returns the findings, each shrunk, and whether the backend's contract knows it."""
        return self._findings({name: self._shrunk(name, caught) for name, caught in self._caught.items()})

    def as_caught(self) -> list[tuple[Finding, bool]]:
        """Returns the same as it was caught."""
        findings = self._findings({name: caught.schedule for name, caught in self._caught.items()})
        return [(replace(finding, is_shrunk=False), is_known) for finding, is_known in findings]

    def _take(self, violation: InvariantViolation, schedule: Schedule, after: int, *, is_known: bool) -> None:
        """Keeps a schedule that breaks an invariant in a worse way, or in the same way and is smaller."""
        name, badness = violation.invariant.id, _badness(violation)
        known = self._caught.get(name)
        if known is not None and (-badness, size(schedule)) >= (-known.badness, size(known.schedule)):
            return
        if self._cause.is_taken(schedule, lambda other: self._violation(other, name) is not None):
            self._caught[name] = _Caught(schedule, known.after if known else after, badness, is_known)

    def _shrunk(self, name: str, caught: _Caught) -> Schedule:
        def breaks(schedule: Schedule) -> bool:
            violation = self._violation(schedule, name)
            return violation is not None and _badness(violation) >= caught.badness

        return shrink(caught.schedule, lambda each: breaks(each) and self._cause.is_taken(each, breaks))

    def _findings(self, schedules: dict[str, Schedule]) -> list[tuple[Finding, bool]]:
        """Makes a finding of each schedule; what a schedule no larger breaks as well is none of its own.

        Nor is a situation in which something general is broken that is broken without it.
        """
        findings: list[tuple[Finding, bool]] = []
        told: set[str] = set()
        general: set[str] = set()
        for name, schedule in sorted(schedules.items(), key=lambda item: (size(item[1]), item[0])):
            if name in told:
                continue
            start = self._caught[name]
            trace = run(schedule, self._backend)
            mine = [v for v in (trace.known if start.is_known else trace.violations) if v.invariant.id in schedules]
            mine.sort(key=lambda violation: violation.invariant.is_general)
            if not any(violation.invariant.id == name for violation in mine):
                mine = []  # a rerun of real processes need not show it again
            names = [violation.invariant.id for violation in mine]
            news = [violation.invariant for violation in mine if violation.invariant.id not in told]
            told.update(names)
            here = {violation.invariant.id for violation in mine if violation.invariant.is_general}
            if here and here <= general and all(invariant.situation is not None for invariant in news):
                continue
            general |= here
            violation = mine[0] if mine else None
            finding = Finding(names or [name], schedule, start.after, len(start.schedule), violation)
            findings.append((finding, start.is_known))
        return findings

    def _violation(self, schedule: Schedule, name: str) -> InvariantViolation | None:
        return next((v for v in _all(run(schedule, self._backend)) if v.invariant.id == name), None)


def _badness(violation: InvariantViolation) -> int:
    """Returns how bad a case is of its kind: worst, who was reaped had released in time, not only before the reap."""
    return sum(words in violation.breach.rule for words in ("before due", "released before due"))


def _all(trace: Trace) -> list[InvariantViolation]:
    return [*trace.violations, *trace.known]
