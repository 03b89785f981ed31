"""The command line: `timersim check`, `soak`, `exhaust`, `replay`, `show` and `compare`."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from timersim import __version__
from timersim.backends.leftovers import outliving, watch_leftovers
from timersim.backends.names import (
    DEFAULTS,
    EXAMPLES,
    SUPERVISED,
    SUPERVISOR,
    BackendError,
    BackendRack,
    default_names,
    make_backend,
    with_all_faults,
)
from timersim.cli_ablations import ablation_lines, is_all_named, searched_ablations, verdict_lines
from timersim.cli_compare import compare
from timersim.cli_exhaust import exhaust
from timersim.cli_findings import write_page
from timersim.cli_json import check_writable, write_json
from timersim.cli_output import print_lines, progress_of, save, tell_findings
from timersim.cli_report import conclusion, summary_line
from timersim.cli_soak import soak
from timersim.fakes.patch import PatchError
from timersim.fakes.servers import ServerError
from timersim.lab.case import shown
from timersim.lab.experiment import Backend, run
from timersim.lab.figure import draw
from timersim.lab.operations import ScheduleError
from timersim.lab.replay import PASSES, verdict
from timersim.lab.replay import replay as run_again
from timersim.lab.report import Report
from timersim.lab.saved import SUFFIX, load
from timersim.lab.schedule import Schedule
from timersim.strategies.ablations import EXAMPLES as ABLATION_EXAMPLES
from timersim.strategies.causes import find_causes
from timersim.strategies.search import find_violations
from timersim.strategies.soak_state import SoakError

TICK = 0.01
"""Seconds of a tick in real time."""

BROKEN, WRONG_CALL, INTERRUPTED = 1, 2, 130

FORMATS = (".png", ".svg")

CAUSES = 5
"""For a page of findings this part of the usual schedules is run for each cause."""

Find = Callable[..., Report]
"""`find_violations`, or what has its signature."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)


def main() -> None:
    """Runs the command; what is wrong with the call is said in one line, exit status 2."""
    logging.getLogger("timersim").addHandler(logging.NullHandler())
    logging.getLogger("torch").addHandler(logging.NullHandler())
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except (BackendError, SoakError, ServerError, PatchError, ScheduleError, ImportError, RuntimeError) as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read has had enough
        sys.exit(INTERRUPTED)
    except OSError as error:
        _fail(f"the output can't be written: {error.strerror}")
    except (typer.Abort, KeyboardInterrupt):
        err.print("timersim: interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if not sys.argv[1:]:
            out.print(error.format_message())
            sys.exit(WRONG_CALL)
        _fail(error.format_message())
    sys.exit(status or 0)


@app.callback()
def timersim_(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is, and end.", is_eager=True)
    ] = False,
) -> None:
    """A laboratory for timers and watchdogs.

    Exit status: 0 every invariant held, 1 something is broken, 2 the call or the environment is wrong.
    """
    if version:
        out.print(f"timersim {__version__}")
        raise typer.Exit


@app.command(short_help="Search for what breaks a watchdog.")
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

    timersim check --supervisor my_module:MySupervisor   a process pool with timeouts

    timersim check --real-time                           threads and real time, on real processes
    """
    if examples is not None and examples < 1:
        raise BackendError(f"--examples is a whole number of at least 1: {examples}")
    text = err if json_file == "-" else out
    if json_file not in {None, "-"}:
        check_writable(Path(json_file or ""))
    if report_file is not None:
        check_writable(report_file)
    if report_file is not None and real_time:
        raise BackendError("--report is for virtual time, in which a schedule does the same each time: no --real-time")
    if ablations:
        if (backend, server, without, supervisor, report_file) != (None,) * 5 or real_time or all_faults:
            raise BackendError(
                "--ablations goes through all safeguards, in memory: no --backend, --server, --without, --real-time,"
                " --report or --all-faults"
            )
        return _ablations(text, examples or ABLATION_EXAMPLES, seed, json_file)
    if supervisor is not None:
        if (backend, server, without, report_file) != (None,) * 4 or real_time or all_faults:
            raise BackendError(
                "--supervisor is a backend of its own, in real time: no --backend, --server, --without, --real-time,"
                " --report or --all-faults"
            )
        names: Sequence[str] = [SUPERVISOR]
        backends = [make_backend(SUPERVISOR, server=supervisor)]
    else:
        names = backend or default_names(server, without, is_real_time=real_time)
        options = {"tick": TICK} if real_time else {"pin": True}
        backends = [make_backend(name, server=server, without=without, **options) for name in names]
    if all_faults:
        backends = [with_all_faults(each) for each in backends]
    by_default = {**EXAMPLES, SUPERVISOR: SUPERVISED}
    pairs = zip(names, backends, strict=True)
    usual = [by_default[SUPERVISOR if b.name == SUPERVISOR else name] for name, b in pairs]
    if report_file is not None:
        usual = [number // CAUSES for number in usual]
    numbers = [examples or number for number in usual]
    find = find_violations if report_file is None else find_causes
    reports, left = _searched(text, list(zip(backends, numbers, strict=True)), seed, find)
    if report_file is not None and not any(report.is_interrupted for report in reports):
        write_page(report_file, reports, backends, server)
    is_own = (server, without, supervisor) == (None, None, None)
    missed = [report for report in reports if report.unreached and not report.is_interrupted]
    save([(finding, report) for report in reports for finding in (*report.findings, *report.known)], err)
    is_vacuous = any(report.examples >= by_default[name] for name, report in zip(names, reports) if report in missed)  # noqa: B905 - an interrupt leaves the last out
    tell_findings(text, reports, missed)
    text.print(conclusion(reports, left, has_missed=is_vacuous), soft_wrap=False)
    if is_own and not any(report.findings or report.is_interrupted for report in reports):
        text.print("Next: see it catch a bug   timersim check --without drain-before-expire")
        text.print("      your own server      timersim check --server my_module:my_server   (docs/your-server.md)")
    if json_file is not None:
        write_json(json_file, {"runs": [report.to_object() for report in reports]})
    if any(report.is_interrupted for report in reports):
        return INTERRUPTED
    return BROKEN if left or is_vacuous or any(report.findings for report in reports) else 0


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


def _ablations(text: Console, examples: int, seed: int, json_file: str | None) -> int:
    results = searched_ablations(examples, seed, err)
    for line in (*ablation_lines(results), "", *verdict_lines(results)):
        text.print(line)
    if json_file is not None:
        write_json(json_file, {"ablations": [result.to_object() for result in results]})
    if any(result.report.is_interrupted for result in results):
        return INTERRUPTED
    return 0 if is_all_named(results) else BROKEN


app.command(short_help="Search very many schedules, over processes or machines.")(soak)
app.command(short_help="Run every schedule up to a bound.")(exhaust)
app.command(short_help="Compare real processes with the simulated ones.")(compare)


@app.command(short_help="Run saved schedules again.")
def replay(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help=f"Saved schedules (NAME{SUFFIX}), or folders of them.")
    ],
) -> int:
    """Run saved schedules again: each STILL FAILS, is FIXED, or is KNOWN since the backend's contract exempts it.

    Exit status 1 where one still fails.
    """
    files = [file for path in paths for file in _saved_files(path)]
    saved = [load(file) for file in files]
    width = max(len(each.name) for each in saved)
    has_failed = False
    with BackendRack() as rack:
        for each in saved:
            word, violation = run_again(each, rack.backend(each.backend))
            has_failed |= word not in PASSES
            colour = "green" if word in PASSES else "red"
            detail = f"\n  {escape(violation.headline)}" if violation else ""
            out.print(f"{each.name:<{width}}   [{colour}]{word}[/]{detail}")
    return BROKEN if has_failed else 0


@app.command(short_help="Show what a saved schedule does, as text and as a figure.")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"A saved schedule (NAME{SUFFIX}).")],
    figure: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help=f"Draw it, too: a file in {' or '.join(FORMATS)}. Needs matplotlib."),
    ] = None,
) -> int:
    """Run a saved schedule again, and show who did what, when, and what was wrong with it.

    Lanes for the workers, the wire and the server; below them when the reap of the worker in question was forbidden
    (MUST NOT), allowed (MAY) and owed (MUST), and a mark where it fell.

    timersim show timersim-failures/NAME.timersim.json                         as text

    timersim show timersim-failures/NAME.timersim.json --figure case.png       as a picture, too

    Exit status: 0 it holds, 1 it still breaks something, 2 the call or the environment is wrong.
    """
    saved = load(file)
    if figure is not None:
        _check_figure(figure)
    with BackendRack() as rack:
        trace = run(saved.schedule, rack.backend(saved.backend))
    word, violation = verdict(saved, trace)
    out.print(f"{escape(saved.name)}   [{'green' if word in PASSES else 'red'}]{word}[/]")
    print_lines(out, shown(saved, str(file), trace, violation))
    if figure is not None:
        draw(violation or trace).savefig(figure)
    return 0 if word in PASSES else BROKEN


def _check_figure(path: Path) -> None:
    """Raises BackendError where a figure can't be drawn to `path`: before the run rather than after it."""
    if path.suffix not in FORMATS:
        raise BackendError(f"a figure is a file in {' or '.join(FORMATS)}: {path}")
    try:
        import_module("matplotlib")
    except ImportError:
        raise BackendError("a figure needs matplotlib, which is not there: pip install matplotlib") from None
    check_writable(path, "figure")


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


def _saved_files(path: Path) -> list[Path]:
    if not path.exists():
        raise ScheduleError(f"{path} is not there")
    if path.is_file():
        return [path]
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise ScheduleError(f"{path} holds no saved schedule (NAME{SUFFIX})")
    return files


def _fail(message: str) -> NoReturn:
    err.print(f"timersim: {escape(message)}")
    sys.exit(WRONG_CALL)
