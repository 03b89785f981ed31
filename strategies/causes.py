"""The search for causes: what breaks without any fault, and then with one kind of fault at a time."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from timersim.clock import SystemClock
from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import InvariantViolation
from timersim.lab.operations import (
    EVERYTHING,
    PLAIN,
    Acquire,
    CrashServer,
    Exit,
    Fault,
    Operation,
    Pause,
    Release,
    Resume,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.report import Finding, Report
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.lab.trace import Trace
from timersim.strategies.search import Progress, empty_report, seeded_schedule, unheard
from timersim.strategies.tally import size
from timersim.strategies.vocabulary import Vocabulary

WITHOUT = (Acquire, Release, Exit, Start)
"""What workers do that are well."""

WITHOUT_FAULT = 10
"""How many times as many schedules are drawn without a fault as with each: what healthy workers suffer comes first."""

Kinds = tuple[type[Operation], ...]

_COMPANY: dict[type[Operation], Kinds] = {Pause: (Resume,), CrashServer: (StartServer,)}
"""What is drawn beside a fault, so that there is an end to it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a finding takes: operations of these `kinds`, of none for one that healthy workers alone bring about.

    Of several kinds it takes some, or, where it is `of_each`, of all of them.
    """

    kinds: Kinds = ()
    of_each: bool = False

    @property
    def name(self) -> str:
        """What it is called; "" for none."""
        return " and ".join(kind.__name__ for kind in self.kinds)

    @property
    def drawn(self) -> Kinds:
        """The operations that are drawn to find it."""
        company = [each for kind in self.kinds for each in _COMPANY.get(kind, ())]
        return tuple(dict.fromkeys([*WITHOUT, *self.kinds, *company]))

    def is_taken(self, schedule: Schedule, breaks: Callable[[Schedule], bool]) -> bool:
        """Returns whether a schedule that breaks something does so no more without its operations."""
        groups = [(kind,) for kind in self.kinds] if self.of_each else [self.kinds]
        return not self.kinds or not any(breaks(_without(schedule, group)) for group in groups)


def _without(schedule: Schedule, kinds: Kinds) -> Schedule:
    return schedule.without(lambda operation: isinstance(operation, kinds))


def causes(backend: Backend) -> list[Cause]:
    """Returns what is tried on a backend, the simplest first: the faults that it can carry out and should survive.

    >>> from timersim.fakes import SimulatedBackend
    >>> [cause.name for cause in causes(SimulatedBackend())][:4]
    ['', 'StopServer and StartServer', 'PauseServer', 'Crash']
    """
    survives = backend.contract.survives
    drawn = [kind for kind in EVERYTHING if kind in PLAIN or kind.__name__ in survives]
    faults = [kind for kind in drawn if issubclass(kind, Fault) and kind in backend.operations]
    alone = [Cause((kind,)) for kind in faults]
    return [
        Cause(),
        Cause((StopServer, StartServer)),
        *alone,
        *(Cause((kind, StopServer), of_each=True) for kind in faults),
    ]


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
    ends the search, and the report says so, with what was found of the causes before.

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
    try:
        with unheard():
            for cause in causes(backend):
                for finding, is_known in _findings(
                    backend, cause, report, max_examples, progress, told=found if cause.of_each else told
                ):
                    (report.known if is_known else report.findings).append(finding)
                    found.update(finding.invariants)
                if not cause.kinds:
                    told.update(found)
    except KeyboardInterrupt:
        report.is_interrupted = True
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
    """The smallest schedule so far that breaks an invariant, after so many examples."""

    schedule: Schedule
    after: int
    badness: int


def _findings(
    backend: Backend, cause: Cause, report: Report, max_examples: int, progress: Progress, *, told: AbstractSet[str]
) -> Iterator[tuple[Finding, bool]]:
    caught: dict[str, _Caught] = {}
    kinds = tuple(kind for kind in EVERYTHING if kind in cause.drawn and kind in backend.operations)
    large = Vocabulary(kinds, sending=backend.sending)
    small = replace(large, max_workers=2, max_scopes=1, max_size=4)  # with fewer ways to miss a narrow window
    for number in range(_number(cause, max_examples)):
        schedule = seeded_schedule(report.seed, number, small if number % 2 and not cause.kinds else large)
        trace = run(schedule, backend)
        report.count(trace, is_real=backend.is_real)
        for violation in _all(trace):
            if violation.invariant.id in told:
                continue
            _take(caught, violation, schedule, report.examples, cause, backend)
        progress(report)
    shrunk = {name: _shrunk(name, each, cause, backend) for name, each in caught.items()}
    yield from _merged(shrunk, caught, cause, backend)


def _take(
    caught: dict[str, _Caught],
    violation: InvariantViolation,
    schedule: Schedule,
    after: int,
    cause: Cause,
    backend: Backend,
) -> None:
    """Keeps a schedule that breaks an invariant in a worse way, or in the same way and is smaller."""
    name, badness = violation.invariant.id, _badness(violation)
    known = caught.get(name)
    if known is not None and (-badness, size(schedule)) >= (-known.badness, size(known.schedule)):
        return
    if cause.is_taken(schedule, lambda other: _violation(other, name, backend) is not None):
        caught[name] = _Caught(schedule, known.after if known else after, badness)


def _badness(violation: InvariantViolation) -> int:
    """Returns how bad a case is of its kind: worst, who was reaped had released in time, not only before the reap."""
    return sum(words in violation.breach.rule for words in ("before due", "released before due"))


def _shrunk(name: str, caught: _Caught, cause: Cause, backend: Backend) -> Schedule:
    def breaks(schedule: Schedule) -> bool:
        violation = _violation(schedule, name, backend)
        return violation is not None and _badness(violation) >= caught.badness

    return shrink(caught.schedule, lambda each: breaks(each) and cause.is_taken(each, breaks))


def _merged(
    shrunk: dict[str, Schedule], caught: dict[str, _Caught], cause: Cause, backend: Backend
) -> Iterator[tuple[Finding, bool]]:
    """Yields a finding for each schedule; what a schedule no larger breaks as well is none of its own.

    Nor is a situation in which something general is broken that is broken without it.
    """
    told: set[str] = set()
    general: set[str] = set()
    for name, schedule in sorted(shrunk.items(), key=lambda item: (size(item[1]), item[0])):
        if name in told:
            continue
        trace = run(schedule, backend)
        mine: Sequence[InvariantViolation] = [v for v in _all(trace) if v.invariant.id in shrunk]
        mine = [v for v in mine if (v in trace.known) == any(k.invariant.id == name for k in trace.known)]
        mine = sorted(mine, key=lambda violation: violation.invariant.is_general)
        names = [violation.invariant.id for violation in mine]
        news = [violation.invariant for violation in mine if violation.invariant.id not in told]
        told.update(names)
        here = {violation.invariant.id for violation in mine if violation.invariant.is_general}
        if here and here <= general and all(invariant.situation is not None for invariant in news):
            continue
        general |= here
        start = caught[name]
        finding = Finding(names, schedule, start.after, len(start.schedule), mine[0])
        yield finding, mine[0] in trace.known


def _violation(schedule: Schedule, name: str, backend: Backend) -> InvariantViolation | None:
    return next((v for v in _all(run(schedule, backend)) if v.invariant.id == name), None)


def _all(trace: Trace) -> list[InvariantViolation]:
    return [*trace.violations, *trace.known]
