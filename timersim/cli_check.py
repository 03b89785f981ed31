"""`timersim check`: a search on each backend, with progress, a table, and what was found."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from timersim.backends.names import (
    DEFAULTS,
    EXAMPLES,
    SUPERVISED,
    SUPERVISOR,
    BackendError,
    default_names,
    make_backend,
    with_all_faults,
)
from timersim.cli_ablations import ablation_lines, is_all_named, searched_ablations, verdict_lines
from timersim.cli_files import check_writable
from timersim.cli_findings import write_page
from timersim.cli_json import write_json
from timersim.cli_options import JsonFile, Seed, Server, Without, backend_option, whole
from timersim.cli_output import BROKEN, INTERRUPTED, console_beside, err
from timersim.cli_progress import broken_note, progress_of
from timersim.cli_searching import Search, search_each
from timersim.lab.experiment import Backend
from timersim.lab.report import Report
from timersim.strategies.ablations import EXAMPLES as ABLATION_EXAMPLES
from timersim.strategies.causes import find_causes, number_in_all
from timersim.strategies.search import find_violations

TICK = 0.01
"""Seconds of a tick in real time."""

CAUSES = 5
"""For a page of findings this part of the usual schedules is run for each cause."""


def check(
    backend: Annotated[list[str] | None, backend_option(", ".join(DEFAULTS))] = None,
    server: Server = None,
    supervisor: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Your own supervisor, as a process pool with timeouts: an adapter's class, or a SupervisorBackend.",
        ),
    ] = None,
    without: Without = None,
    examples: Annotated[
        int | None,
        typer.Option(
            parser=whole("--examples", 1),
            metavar="N",
            help=f"Schedules on each backend. [default: {', '.join(f'{n} on {b}' for b, n in EXAMPLES.items())}]",
        ),
    ] = None,
    seed: Seed = 0,
    json_file: JsonFile = None,
    *,
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time",
            help=f"Let time pass: a tick takes {TICK * 1000:g} ms, and verdicts are less exact.",
        ),
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Search for one cause at a time, and write what was found to FILE as a page (Markdown).",
        ),
    ] = None,
    all_faults: Annotated[
        bool,
        typer.Option("--all-faults", help="Draw every fault that a backend can carry out, also beyond its contract."),
    ] = False,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Take out each safeguard in turn, in memory, and see what finds it.")
    ] = False,
) -> int:
    """Search for what breaks a watchdog: generated schedules, on simulated and on real workers.

    Each broken invariant is reported once, with the smallest schedule that breaks it and the line that replays it.

    timersim check                                       timersim's own servers

    timersim check --without drain-before-expire         see it catch a bug

    timersim check --server my_module:my_server          your own server

    timersim check --supervisor my_module:Supervisor     a pool with timeouts

    timersim check --real-time                           real threads and time
    """
    _check_together(
        {
            "--backend": backend,
            "--server": server,
            "--without": without,
            "--supervisor": supervisor,
            "--report": report_file,
            "--real-time": real_time,
            "--all-faults": all_faults,
            "--ablations": ablations,
        }
    )
    text = console_beside(json_file)
    if report_file is not None:
        check_writable(report_file)
    if ablations:
        return _ablations(text, examples or ABLATION_EXAMPLES, seed, json_file)
    made = _backends(backend, server, without, supervisor, is_real_time=real_time)
    if all_faults:
        made = [(with_all_faults(each), usual) for each, usual in made]
    is_by_cause = report_file is not None
    searches = [_search(each, usual, examples, seed, is_by_cause=is_by_cause) for each, usual in made]
    ending = search_each(searches, text)
    status = ending.told(text, json_file)
    if report_file is not None and not ending.is_interrupted:
        write_page(report_file, ending.reports, [each for each, _ in made], server)
    if status == 0 and (server, without, supervisor) == (None, None, None):
        _tell_next(text)
    return status


def _check_together(given: Mapping[str, object]) -> None:
    """Raises BackendError for options that do not go together, of those that are `given`."""
    if given["--ablations"]:
        _refuse_others("--ablations goes through all safeguards, in memory", given, ("--ablations",))
    if given["--supervisor"] is not None:
        _refuse_others("--supervisor is a backend of its own, in real time", given, ("--supervisor",))
    if given["--report"] is not None and given["--real-time"]:
        raise BackendError("--report is for virtual time, in which a schedule does the same each time: no --real-time")


def _refuse_others(rule: str, given: Mapping[str, object], allowed: Collection[str]) -> None:
    """Raises BackendError where another option is given beside one that goes with none of them."""
    if wrong := [name for name, value in given.items() if value not in (None, False) and name not in allowed]:
        raise BackendError(f"{rule}: no {' and no '.join(wrong)}")


def _backends(
    names: Sequence[str] | None,
    server: str | None,
    without: str | None,
    supervisor: str | None,
    *,
    is_real_time: bool,
) -> list[tuple[Backend, int]]:
    """Makes the backends that are asked for, or those by default, each with its usual number of schedules."""
    if supervisor is not None:
        return [(make_backend(SUPERVISOR, server=supervisor), SUPERVISED)]
    options = {"tick": TICK} if is_real_time else {"pin": True}
    chosen = names or default_names(server, without, is_real_time=is_real_time)
    made = [make_backend(name, server=server, without=without, **options) for name in chosen]
    return [
        (each, SUPERVISED if each.name == SUPERVISOR else EXAMPLES[name])
        for name, each in zip(chosen, made, strict=True)
    ]


def _search(backend: Backend, usual: int, examples: int | None, seed: int, *, is_by_cause: bool) -> Search:
    """Returns the search on a backend, with progress on standard error."""
    usual = usual // CAUSES if is_by_cause else usual
    number = examples or usual

    def report(backend: Backend) -> Report:
        find, total = (find_causes, number_in_all(backend, number)) if is_by_cause else (find_violations, number)
        with progress_of(backend.name, total, err) as tell:
            return find(backend, number, seed, progress=lambda report: tell(report.examples, broken_note(report)))

    return Search(backend, report, usual, seed)


def _tell_next(text: Console) -> None:
    """Says what to do after a check of timersim's own servers."""
    text.print("Next: see it catch a bug   timersim check --without drain-before-expire")
    text.print("      your own server      timersim check --server my_module:my_server")
    text.print("                           (docs/your-server.md)")


def _ablations(text: Console, examples: int, seed: int, json_file: str | None) -> int:
    results = searched_ablations(examples, seed, err)
    for line in (*ablation_lines(results), "", *verdict_lines(results)):
        text.print(line)
    if json_file is not None:
        write_json(json_file, {"ablations": [result.to_object() for result in results]})
    if any(result.report.is_interrupted for result in results):
        return INTERRUPTED
    return 0 if is_all_named(results) else BROKEN
