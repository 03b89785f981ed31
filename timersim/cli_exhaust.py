"""`timersim exhaust`: every schedule up to a bound, and its number and its time before it starts."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from timersim.backends.leftovers import outliving, watch_leftovers
from timersim.backends.names import EXAMPLES, BackendError, make_backend
from timersim.cli_json import write_json
from timersim.cli_output import BROKEN, INTERRUPTED, console_beside, err, progress_of, save, tell_findings
from timersim.cli_report import conclusion, summary_line
from timersim.clock import SystemClock
from timersim.lab.experiment import Backend, run
from timersim.lab.report import Report, plural
from timersim.lab.schedule import Schedule
from timersim.strategies.bounds import NAMES, Bound
from timersim.strategies.exhaustion import check_operations, count, some_schedules
from timersim.strategies.exhaustion import exhaust as run_all

SAMPLE = 0.3
"""For how many seconds schedules are run to see how long all of them will take."""

LIFETIME = 70 * 365 * 86400


def exhaust(
    workers: Annotated[int, typer.Option(metavar="N", help="So many workers at most.")] = 2,
    scopes: Annotated[int, typer.Option(metavar="N", help="So many scopes at most.")] = 1,
    size: Annotated[int, typer.Option(metavar="N", help="So many operations at most.")] = 4,
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
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"What to run on: {', '.join(EXAMPLES)}. May be repeated. [default: memory]"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="Your own server: a function server(world), a class, or a Backend."),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="SAFEGUARD",
            help="Take a safeguard out of timersim's server: one of those that timersim check --ablations lists.",
        ),
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the report to FILE as JSON; - for standard output."),
    ] = None,
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

    Exit status: 0 every invariant held, 1 something is broken, 2 the call or the environment is wrong.
    """
    numbers = {"after": _whole("--after", after), "gaps": _whole("--gaps", gaps), "ticks": _whole("--ticks", ticks)}
    bound = Bound(workers, scopes, size, _words(ops), **numbers)
    text = console_beside(json_file)
    backends = [make_backend(name, server=server, without=without, pin=True) for name in backend or ["memory"]]
    for each in backends:
        check_operations(each, bound)
    reports, left = _exhausted(backends, bound, text, err)
    save([(finding, report) for report in reports for finding in (*report.findings, *report.known)], err)
    tell_findings(text, reports, [])
    text.print(conclusion(reports, left, has_missed=False), soft_wrap=False)
    if json_file is not None:
        runs = [report.to_object() for report in reports]
        write_json(json_file, {"bound": bound.to_object(), "schedules": count(bound), "runs": runs})
    if any(report.is_interrupted for report in reports):
        return INTERRUPTED
    return BROKEN if left or any(report.findings for report in reports) else 0


def _exhausted(
    backends: Sequence[Backend], bound: Bound, text: Console, err: Console
) -> tuple[list[Report], list[str]]:
    """Runs every schedule on each backend; returns what was left behind, too."""
    reports: list[Report] = []
    left: list[str] = []
    number = count(bound)
    for backend in backends:
        with watch_leftovers() as behind:
            try:
                time = duration(_seconds(backend, bound))
                sizes = f"of up to {plural(bound.size, 'operation')}"
                text.print(f"{backend.name}: {plural(number, 'schedule')} {sizes}, {time}")
                with progress_of(backend.name, number, err) as progress:
                    reports.append(run_all(backend, bound, progress))
            finally:
                backend.close()
        left += outliving(behind) if reports[-1].is_interrupted else behind
        text.print(summary_line(reports[-1], is_real=backend.is_real))
        if reports[-1].is_interrupted:
            break
    return reports, left


def _seconds(backend: Backend, bound: Bound) -> float:
    """Returns how long all schedules will take: by some of them, from all over the bound."""
    run(Schedule(), backend)
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


def _words(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]


def _whole(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise BackendError(f"{option} is a list of whole numbers, as in {option} 0,1: {text!r}") from None
