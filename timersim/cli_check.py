"""`timersim check`: a search on each backend, with progress, a table, and what was found."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from timersim.backends.leftovers import outliving, watch_leftovers
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
from timersim.cli_findings import write_page
from timersim.cli_json import check_writable, write_json
from timersim.cli_output import BROKEN, INTERRUPTED, console_beside, err, progress_of, save, tell_findings
from timersim.cli_report import conclusion, summary_line
from timersim.lab.experiment import Backend, run
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies.ablations import EXAMPLES as ABLATION_EXAMPLES
from timersim.strategies.causes import find_causes
from timersim.strategies.search import find_violations

TICK = 0.01
"""Seconds of a tick in real time."""

CAUSES = 5
"""For a page of findings this part of the usual schedules is run for each cause."""

Find = Callable[..., Report]
"""`find_violations`, or what has its signature."""


def check(
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"What to run on: {', '.join(EXAMPLES)}. May be repeated. [default: {', '.join(DEFAULTS)}]",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Your own server: a function server(world), a class, or a Backend (docs/your-server.md).",
        ),
    ] = None,
    supervisor: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Your own supervisor, as a process pool with timeouts: an adapter's class, or a SupervisorBackend.",
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="SAFEGUARD", help="Take a safeguard out of timersim's server: one of those that --ablations lists."
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Schedules on each backend. [default: {', '.join(f'{n} on {b}' for b, n in EXAMPLES.items())}]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Another seed draws other schedules; the same one draws the same.")
    ] = 0,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the report to FILE as JSON; - for standard output."),
    ] = None,
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
    if examples is not None and examples < 1:
        raise BackendError(f"--examples is a whole number of at least 1: {examples}")
    given = {
        "--backend": backend,
        "--server": server,
        "--without": without,
        "--supervisor": supervisor,
        "--report": report_file,
        "--real-time": real_time,
        "--all-faults": all_faults,
    }
    if ablations:
        _refuse_others("--ablations goes through all safeguards, in memory", given, ())
    if supervisor is not None:
        _refuse_others("--supervisor is a backend of its own, in real time", given, ("--supervisor",))
    if report_file is not None and real_time:
        raise BackendError("--report is for virtual time, in which a schedule does the same each time: no --real-time")
    text = console_beside(json_file)
    if report_file is not None:
        check_writable(report_file)
    if ablations:
        return _ablations(text, examples or ABLATION_EXAMPLES, seed, json_file)
    if supervisor is not None:
        names: Sequence[str] = [SUPERVISOR]
        backends = [make_backend(SUPERVISOR, server=supervisor)]
    else:
        names = backend or default_names(server, without, is_real_time=real_time)
        options = {"tick": TICK} if real_time else {"pin": True}
        backends = [make_backend(name, server=server, without=without, **options) for name in names]
    if all_faults:
        backends = [with_all_faults(each) for each in backends]
    usual = [SUPERVISED if b.name == SUPERVISOR else EXAMPLES[name] for name, b in zip(names, backends, strict=True)]
    find: Find = find_violations
    if report_file is not None:
        usual, find = [number // CAUSES for number in usual], find_causes
    numbers = [examples or number for number in usual]
    reports, left = _searched(text, list(zip(backends, numbers, strict=True)), seed, find)
    if report_file is not None and not any(report.is_interrupted for report in reports):
        write_page(report_file, reports, backends, server)
    missed = [report for report in reports if report.unreached and not report.is_interrupted]
    save([(finding, report) for report in reports for finding in (*report.findings, *report.known)], err)
    is_vacuous = any(report.examples >= number for number, report in zip(usual, reports) if report in missed)  # noqa: B905 - an interrupt leaves the last out
    tell_findings(text, reports, missed)
    text.print(conclusion(reports, left, has_missed=is_vacuous), soft_wrap=False)
    is_own = (server, without, supervisor) == (None, None, None)
    if is_own and not any(report.findings or report.is_interrupted for report in reports):
        text.print("Next: see it catch a bug   timersim check --without drain-before-expire")
        text.print("      your own server      timersim check --server my_module:my_server")
        text.print("                           (docs/your-server.md)")
    if json_file is not None:
        write_json(json_file, {"runs": [report.to_object() for report in reports]})
    if any(report.is_interrupted for report in reports):
        return INTERRUPTED
    return BROKEN if left or is_vacuous or any(report.findings for report in reports) else 0


def _refuse_others(rule: str, given: Mapping[str, object], allowed: Collection[str]) -> None:
    """Raises BackendError where another option is given beside one that goes with none of them."""
    if wrong := [name for name, value in given.items() if value not in (None, False) and name not in allowed]:
        raise BackendError(f"{rule}: no {' and no '.join(wrong)}")


def _searched(
    text: Console, backends: Sequence[tuple[Backend, int]], seed: int, find: Find
) -> tuple[list[Report], list[str]]:
    """Searches on each backend with so many examples, a line for each; returns what was left behind, too."""
    reports: list[Report] = []
    left: list[str] = []
    for backend, examples in backends:
        report, behind = _search(backend, examples, seed, find)
        reports.append(report)
        left += behind
        text.print(summary_line(report, is_real=backend.is_real))
        if report.is_interrupted:
            break
    return reports, left


def _search(backend: Backend, examples: int, seed: int, find: Find) -> tuple[Report, list[str]]:
    """Searches on a backend, with progress on standard error; returns what is left behind, too."""
    with watch_leftovers() as left:
        try:
            run(Schedule(), backend)
            with progress_of(backend.name, examples, err) as progress:
                report = find(backend, examples, seed, progress=progress)
        finally:
            backend.close()
    # an interrupt can come between the opening of a descriptor and the next step
    return report, outliving(left) if report.is_interrupted else left


def _ablations(text: Console, examples: int, seed: int, json_file: str | None) -> int:
    results = searched_ablations(examples, seed, err)
    for line in (*ablation_lines(results), "", *verdict_lines(results)):
        text.print(line)
    if json_file is not None:
        write_json(json_file, {"ablations": [result.to_object() for result in results]})
    if any(result.report.is_interrupted for result in results):
        return INTERRUPTED
    return 0 if is_all_named(results) else BROKEN
