"""Searching on one backend after the other: what each came to is told in a line, and what it leaves behind is seen."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console

from timersim.backends.leftovers import watch_leftovers
from timersim.cli_ending import Ending
from timersim.cli_report import summary_line
from timersim.lab.experiment import Backend, run
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies.search import empty_report


@dataclass(frozen=True, slots=True)
class Search:
    """A search on a backend; with `enough` schedules it should reach every goal."""

    backend: Backend
    report: Callable[[Backend], Report]
    enough: int = 1
    seed: int = 0


def search_each(searches: Iterable[Search], text: Console) -> Ending:
    """Returns what the searches came to, until one is interrupted; each backend is closed when its search is over.

    An interrupt costs nothing of what was done before it. Raises KeyboardInterrupt where that is nothing at all.
    """
    ending = Ending()
    for search in searches:
        report = empty_report(search.backend, search.seed)
        left: list[str] = []
        try:
            with watch_leftovers() as left, closing(search.backend):
                run(Schedule(), search.backend)  # what is wrong with it is said before the search begins
                report = search.report(search.backend)
        except KeyboardInterrupt:
            report.is_interrupted = True
        ending.add(report, left, search.enough)
        if report.is_interrupted and not any(report.examples for report in ending.reports):
            raise KeyboardInterrupt
        text.print(summary_line(report, is_real=search.backend.is_real))
        if report.is_interrupted:
            break
    return ending
