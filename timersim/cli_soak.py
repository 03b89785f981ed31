"""`timersim soak`: very many schedules over processes or machines, interrupted and gone on with as one likes."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from timersim.backends.leftovers import outliving, watch_leftovers
from timersim.backends.names import EXAMPLES, BackendError
from timersim.backends.rack import from_spec
from timersim.cli_json import write_json
from timersim.cli_output import BROKEN, INTERRUPTED, console_beside, err, save, tell_findings
from timersim.cli_report import conclusion, summary_line
from timersim.lab.experiment import run
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies.soak import soak as soaked
from timersim.strategies.soak_dask import SECONDS, dask_cluster
from timersim.strategies.soak_state import read_state

SCHEDULES = 1_000_000

STATE = Path("timersim-soak.json")
"""Where the state is written unless it is said; it is removed when the soak is done."""

TELL_EVERY = 10.0
"""Seconds after which a line is due where there is no terminal."""


def soak(
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"What to run on: {', '.join(EXAMPLES)}. [default: memory]")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="Your own server: a function server(world), a class, or a Backend."),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(metavar="SAFEGUARD", help="Take a safeguard out of timersim's server, to see that it is found."),
    ] = None,
    schedules: Annotated[
        int | None, typer.Option(metavar="N", help=f"How many schedules. [default: {SCHEDULES:,}]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Another seed draws other schedules. [default: 0]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="How many processes. [default: one for each processor]")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on the dask cluster of this scheduler, as in tcp://10.0.0.1:8786."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Write what is done every few seconds, and go on from there. [default: {STATE}, removed at the end]",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Go on with the soak of this state: its backend, seed and schedules."),
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the report to FILE as JSON; - for standard output."),
    ] = None,
) -> int:
    """Search very many schedules: those of `check` with the same seed, and more, over processes or machines.

    The same seed gives the same report, whatever the number of jobs, and however often it was interrupted. Each broken
    invariant is reported once, shrunk, and saved in timersim-failures.

    timersim soak                                  a million schedules

    timersim soak --without reap-once              see it catch a bug

    timersim soak --server my_module:my_server     your own server

    timersim soak --resume timersim-soak.json      go on, as after Ctrl-C

    timersim soak --dask tcp://10.0.0.1:8786       over many machines

    Exit status: 0 every invariant held, 1 something is broken, 2 the call or the environment is wrong, 130 interrupted.
    """
    for option, value in (("--schedules", schedules), ("--jobs", jobs)):
        if value is not None and value < 1:
            raise BackendError(f"{option} is a whole number of at least 1: {value}")
    if jobs is not None and dask is not None:
        raise BackendError("--jobs is the number of processes here; on --dask the cluster has as many as it has")
    if resume is not None:
        if (backend, server, without, seed, state) != (None,) * 5:
            raise BackendError(
                f"--resume goes on with what {resume} says: no --backend, --server, --without, --seed or --state"
            )
        there = read_state(resume)
        spec, seed, schedules, state = there["backend"], there["seed"], schedules or there["schedules"], resume
    else:
        given = {"name": backend or "memory", "server": server, "without": without}
        spec = {key: value for key, value in given.items() if value is not None}
    text = console_beside(json_file)
    made = from_spec(spec)
    try:
        run(Schedule(), made)  # what is wrong with it is said before anything is started
    finally:
        made.close()
    state = state or STATE
    report, left = _soaked(spec, schedules or SCHEDULES, seed or 0, jobs, dask, state, err)
    return _told(text, err, report, left, state, json_file, is_real=made.is_real)


def _soaked(
    spec: dict[str, Any], schedules: int, seed: int, jobs: int | None, dask: str | None, state: Path, err: Console
) -> tuple[Report, list[str]]:
    """Runs the soak, with progress on standard error; returns what is left behind, too."""
    watch: AbstractContextManager[list[str]] = watch_leftovers() if dask is None else nullcontext([])
    with watch as left, _progress(spec["name"], schedules, err) as progress:
        if dask is None:
            jobs = jobs or len(os.sched_getaffinity(0))
            report = soaked(spec, schedules, seed, jobs=jobs, state=state, progress=progress)
        else:
            with dask_cluster(dask) as (executor, cores):
                report = soaked(
                    spec, schedules, seed, executor, jobs=cores, state=state, progress=progress, seconds=SECONDS
                )
    return report, outliving(left) if report.is_interrupted else left


def _told(
    text: Console, err: Console, report: Report, left: list[str], state: Path, json_file: str | None, *, is_real: bool
) -> int:
    """Saves what was found, prints what it all came to, and returns the exit status."""
    missed = [report] if report.unreached and not report.is_interrupted else []
    is_vacuous = bool(missed) and report.examples >= EXAMPLES.get(report.backend, 1)
    save([(finding, report) for finding in (*report.findings, *report.known)], err)
    text.print(summary_line(report, is_real=is_real))
    tell_findings(text, [report], missed)
    text.print(conclusion([report], left, has_missed=is_vacuous), soft_wrap=False)
    if json_file is not None:
        write_json(json_file, {"runs": [report.to_object()]})
    if report.is_interrupted:
        text.print(f"Go on: timersim soak --resume {state}", markup=False)
        return INTERRUPTED
    if state == STATE:
        state.unlink(missing_ok=True)
    return BROKEN if left or is_vacuous or report.findings else 0


@contextmanager
def _progress(name: str, schedules: int, err: Console) -> Iterator[Callable[[Report], None]]:
    """Shows how far a soak is: a bar on a terminal, elsewhere a line every tenth, or when one is due."""
    if not err.is_terminal:
        told = [0, 0.0]

        def line(report: Report) -> None:
            tenth = report.examples * 10 // schedules
            if tenth > told[0] or report.seconds - told[1] >= TELL_EVERY:
                told[:] = tenth, report.seconds
                err.print(f"{name}: {report.examples:,} of {schedules:,} schedules, {pace(report)}", style="dim")

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=schedules)

        def draw(report: Report) -> None:
            bar.update(task, completed=report.examples, description=f"{name}  {pace(report)}")

        yield draw


def pace(report: Report) -> str:
    """Returns how fast it goes, and what was found so far.

    >>> pace(Report("memory", 0, examples=3000, seconds=2.0, seen={"reaped-once"}))
    '1,500 a second; broken: reaped-once'
    """
    rate = report.examples / report.seconds if report.seconds else 0
    found = ", ".join(sorted(report.seen))
    return f"{rate:,.0f} a second; {f'broken: {found}' if found else 'nothing broken'}"
