"""`timersim exhaust`: every schedule up to a bound, and its number and its time before it starts."""

from typing import Annotated

import typer
from rich.console import Console

from timersim.backends.names import BackendError, make_backend
from timersim.cli_options import JsonFile, Server, Without, backend_option, whole
from timersim.cli_output import console_beside, err
from timersim.cli_progress import broken_note, progress_of
from timersim.cli_searching import Search, search_each
from timersim.clock import SystemClock
from timersim.lab.experiment import Backend, run
from timersim.lab.report import Report, plural
from timersim.strategies.bounds import NAMES, Bound, BoundError
from timersim.strategies.exhaustion import check_operations, count, some_schedules
from timersim.strategies.exhaustion import exhaust as run_all

SAMPLE = 0.3
"""For how many seconds schedules are run to see how long all of them will take."""

LIFETIME = 70 * 365 * 86400


def exhaust(
    workers: Annotated[int, typer.Option(parser=whole("--workers"), metavar="N", help="So many workers at most.")] = 2,
    scopes: Annotated[int, typer.Option(parser=whole("--scopes"), metavar="N", help="So many scopes at most.")] = 1,
    size: Annotated[int, typer.Option(parser=whole("--size"), metavar="N", help="So many operations at most.")] = 4,
    ops: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help=f"What schedules are made of: {', '.join(NAMES)}. One that happens in several ways is tried in each;"
            " crash:sigkill is that way alone.",
        ),
    ] = "acquire,release,exit",
    after: Annotated[
        str, typer.Option(metavar="N,…", help="In how many ticks timers are due that are acquired.")
    ] = "1,2",
    gaps: Annotated[str, typer.Option(metavar="N,…", help="How many ticks may pass before an operation.")] = "0,1",
    ticks: Annotated[
        str,
        typer.Option(
            metavar="N,…",
            help="Every other number: for how long, how often, by how much. Clocks go back by it, too.",
        ),
    ] = "3",
    backend: Annotated[list[str] | None, backend_option("memory")] = None,
    server: Server = None,
    without: Without = None,
    json_file: JsonFile = None,
) -> int:
    """Run every schedule up to a bound, those with the fewest operations first.

    What holds then, holds for all of them, and not for a sample. Schedules that differ in nothing but the names of
    workers or of scopes are run once. How many there are, and how long they take, is said first; Ctrl-C ends it, and
    tells what was found so far. A bound shows what it reaches: what is wrong with pauses only a pause shows.

    timersim exhaust                                           20,295 schedules

    timersim exhaust --size 5 --after 1,2 --gaps 0,1           249,729 schedules

    timersim exhaust --size 3 --ops acquire,release,pause-server

    timersim exhaust --server my_module:my_server              your own server

    Each operation more takes about twelve times as long. In a test: timersim.strategies.exhaust(backend).findings == []

    Exit status: 0 every invariant held, 1 something is broken, 2 the call or the environment is wrong, 130 interrupted.
    """
    bound = _bound(workers, scopes, size, ops, after=after, gaps=gaps, ticks=ticks)
    text = console_beside(json_file)
    backends = [make_backend(name, server=server, without=without, pin=True) for name in backend or ["memory"]]
    for each in backends:
        check_operations(each, bound)
    ending = search_each([Search(each, lambda backend: _report(backend, bound, text)) for each in backends], text)
    return ending.told(text, json_file, bound=bound.to_object(), schedules=count(bound))


def _report(backend: Backend, bound: Bound, text: Console) -> Report:
    """Says how many schedules there are, and how long they take, and runs them all."""
    number, time = count(bound), duration(_seconds(backend, bound))
    text.print(f"{backend.name}: {plural(number, 'schedule')} of up to {plural(bound.size, 'operation')}, {time}")
    with progress_of(backend.name, number, err) as tell:
        return run_all(backend, bound, lambda report: tell(report.examples, broken_note(report)))


def _seconds(backend: Backend, bound: Bound) -> float:
    """Returns how long all schedules will take: by some of them, from all over the bound."""
    clock = SystemClock()
    began, done = clock.monotonic(), 0
    for schedule in some_schedules(bound):
        run(schedule, backend)
        done += 1
        if clock.monotonic() - began >= SAMPLE:
            break
    return min(count(bound), 10**30) * (clock.monotonic() - began) / done


def duration(seconds: float) -> str:
    """Returns about how long something takes.

    >>> [duration(seconds) for seconds in (0.2, 47, 200, 9000, 700_000, 1e12)]
    ['about a second', 'about 47 seconds', 'about 3 minutes', 'about 2 hours', 'about 8 days', 'more than a lifetime']
    """
    if seconds > LIFETIME:
        return "more than a lifetime"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"about {plural(round(seconds / length), unit)}"
    return "about a second" if seconds < 1.5 else f"about {plural(round(seconds), 'second')}"


def _bound(workers: int, scopes: int, size: int, ops: str, **numbers: str) -> Bound:
    """Returns the bound of these options; raises BoundError, BackendError or ScheduleError, which name the option."""
    lists = {name: _whole(f"--{name}", text) for name, text in numbers.items()}
    try:
        return Bound(workers, scopes, size, _words(ops), **lists)
    except BoundError as error:
        raise BoundError(f"--{error.name}", error.rule) from None


def _words(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]


def _whole(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise BackendError(f"{option} is a list of whole numbers, as in {option} 0,1: {text!r}") from None
