"""The search: runs generated schedules, and keeps for each broken invariant the smallest that breaks it."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from timersim.lab.counts import check_counts
from timersim.lab.experiment import Backend, run
from timersim.lab.goals import GOALS
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.strategies.choices import generate
from timersim.strategies.findings import Findings, is_its_own
from timersim.strategies.tally import Catch, Tally
from timersim.strategies.vocabulary import Vocabulary, vocabulary_of

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
        self._only = shrunk
        tally = tally or Tally(empty_report(backend, seed))
        self._report, self._catches = replace(tally.report), dict(tally.catches)
        self._began = time.monotonic()
        self._ends = None if time_limit is None else self._began + time_limit

    def report(self, schedules: Iterable[Schedule], *, is_interrupted: bool = False) -> Report:
        report = self._report
        findings = Findings(self._backend, self._catches, self._is_over, self._only)
        try:
            if is_interrupted:
                raise KeyboardInterrupt
            self._explore(schedules)
            report.findings, report.known = findings.shrunk(is_known=False), findings.shrunk(is_known=True)
        except KeyboardInterrupt:
            report.is_interrupted = True
            report.findings, report.known = findings.as_caught(is_known=False), findings.as_caught(is_known=True)
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
            if caught.is_wanted(report.examples, schedule) and is_its_own(violation, self._backend):
                caught.take(report.examples, schedule, violation)
                self._catches[violation.invariant.id] = caught
        report.seconds = time.monotonic() - self._began
        self._progress(report)

    def _is_over(self) -> bool:
        return self._ends is not None and time.monotonic() >= self._ends


def empty_report(backend: Backend, seed: int) -> Report:
    """Returns the report of a search that has not begun."""
    kinds, contract = vocabulary_of(backend).kinds, backend.contract
    reachable = [name for name, goal in GOALS.items() if goal.is_reachable(kinds, contract)]
    report = Report(backend.name, seed, backend_spec=backend.spec, exempt=contract.exempt)
    report.reachable = [name for name in reachable if name not in backend.seldom]
    return report
