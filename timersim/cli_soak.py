"""`timersim soak`: very many schedules over processes or machines, interrupted and gone on with as one likes."""

import os
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from timersim.backends.leftovers import watch_leftovers
from timersim.backends.names import EXAMPLES, BackendError
from timersim.backends.rack import from_spec
from timersim.cli_ending import Ending
from timersim.cli_options import JsonFile, Server, Without, backend_option, whole
from timersim.cli_output import console_beside, err
from timersim.cli_progress import pace, progress_of
from timersim.cli_report import summary_line
from timersim.lab.experiment import run
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies.soak import soak as soaked
from timersim.strategies.soak_dask import SECONDS, dask_cluster
from timersim.strategies.soak_state import read_state

SCHEDULES = 1_000_000

STATE = Path("timersim-soak.json")
"""Where the state is written unless it is said; it is removed when the soak is done."""


def soak(
    backend: Annotated[str | None, backend_option("memory", is_several=False)] = None,
    server: Server = None,
    without: Without = None,
    schedules: Annotated[
        int | None,
        typer.Option(parser=whole("--schedules", 1), metavar="N", help=f"How many schedules. [default: {SCHEDULES:,}]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(parser=whole("--seed"), metavar="N", help="Another seed draws other schedules. [default: 0]"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            parser=whole("--jobs", 1), metavar="N", help="How many processes. [default: one for each processor]"
        ),
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
    json_file: JsonFile = None,
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
    with closing(from_spec(spec)) as made:
        run(Schedule(), made)  # what is wrong with it is said before anything is started
    state = state or STATE
    ending = _soaked(spec, schedules or SCHEDULES, seed or 0, jobs, dask, state)
    return _told(text, ending, state, json_file, is_real=made.is_real)


def _soaked(spec: dict[str, Any], schedules: int, seed: int, jobs: int | None, dask: str | None, state: Path) -> Ending:
    """Runs the soak, with progress on standard error."""
    name = spec["name"]
    watch: AbstractContextManager[list[str]] = watch_leftovers() if dask is None else nullcontext([])
    with watch as left, progress_of(name, schedules, err) as tell:

        def progress(report: Report) -> None:
            tell(report.examples, pace(report))

        if dask is None:
            jobs = jobs or len(os.sched_getaffinity(0))
            report = soaked(spec, schedules, seed, jobs=jobs, state=state, progress=progress)
        else:
            with dask_cluster(dask) as (executor, cores):
                report = soaked(
                    spec, schedules, seed, executor, jobs=cores, state=state, progress=progress, seconds=SECONDS
                )
    ending = Ending()
    ending.add(report, left, EXAMPLES.get(report.backend, 1))
    return ending


def _told(text: Console, ending: Ending, state: Path, json_file: str | None, *, is_real: bool) -> int:
    """Tells what it came to, and how to go on; removes the state of a soak that is done, unless it was named."""
    text.print(summary_line(ending.reports[0], is_real=is_real))
    status = ending.told(text, json_file)
    if ending.is_interrupted:
        text.print(f"Go on: timersim soak --resume {state}", markup=False)
    elif state == STATE:
        state.unlink(missing_ok=True)
    return status
