"""Progress on standard error: a bar on a terminal; elsewhere a line now and then, none where there is little to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from timersim.clock import Clock, SystemClock
from timersim.lab.report import Report

PARTS, LEAST = 10, 10
"""A line is due each time that a tenth is done, of ten at least."""

TELL_EVERY = 10.0
"""Seconds after which a line is due, however little is done."""

Tell = Callable[[int, str], None]
"""Is told how many are done, and what else there is to say."""


@contextmanager
def progress_of(
    name: str, total: int, err: Console, what: str = "schedules", clock: Clock | None = None
) -> Iterator[Tell]:
    """Yields what shows how much is done of a `total`, and wipes a bar away at the end."""
    if not err.is_terminal:
        yield _Lines(name, total, err, what, clock or SystemClock()).tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=total)

        def draw(done: int, note: str) -> None:
            bar.update(task, completed=done, description=f"{name}  {note}" if note else name)

        yield draw


class _Lines:
    """Tells in lines; the end needs none, since what it came to is told then."""

    def __init__(self, name: str, total: int, err: Console, what: str, clock: Clock) -> None:
        self._name, self._total, self._what = name, total, what
        self._err = err
        self._clock = clock
        self._part = max(LEAST, total // PARTS)
        self._parts, self._at = 0, clock.monotonic()

    def tell(self, done: int, note: str) -> None:
        parts, now = done // self._part, self._clock.monotonic()
        if done >= self._total or (parts <= self._parts and now - self._at < TELL_EVERY):
            return
        self._parts, self._at = parts, now
        line = f"{self._name}: {done:,} of {self._total:,} {self._what}"
        self._err.print(f"{line}, {note}" if note else line, style="dim", markup=False)


def broken_note(report: Report) -> str:
    """Returns how many invariants a search has found broken; nothing where it has found none.

    >>> broken_note(Report("memory", 0)), broken_note(Report("memory", 0, seen={"reaped-once"}))
    ('', '1 broken')
    """
    return f"{len(report.seen)} broken" if report.seen else ""


def pace(report: Report) -> str:
    """Returns how fast it goes, and what was found so far.

    >>> pace(Report("memory", 0, examples=3000, seconds=2.0, seen={"reaped-once"}))
    '1,500 a second; broken: reaped-once'
    """
    rate = report.examples / report.seconds if report.seconds else 0
    found = ", ".join(sorted(report.seen))
    return f"{rate:,.0f} a second; {f'broken: {found}' if found else 'nothing broken'}"
