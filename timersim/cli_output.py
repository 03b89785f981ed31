"""What the commands that search print and save: progress, findings, failing test cases."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from timersim.cli_json import check_writable
from timersim.cli_report import goal_lines, known_lines, table_lines, within_lines
from timersim.lab.layout import Kind, Line
from timersim.lab.report import Finding, Report
from timersim.lab.saved import FAILURES

BROKEN, WRONG_CALL, INTERRUPTED = 1, 2, 130
"""Exit statuses; the last is the shell's for Ctrl-C."""

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)

COLOURS = {
    Kind.PLAIN: "",
    Kind.HEAD: "bold",
    Kind.WRONG: "bold red",
    Kind.FAULT: "yellow",
    Kind.WINDOW: "cyan",
    Kind.GOOD: "green",
}


def console_beside(json_file: str | None) -> Console:
    """Returns where the text for people goes: to standard error where the report, as JSON, goes to standard output.

    Raises BackendError where the file can't be written, before anything is run.
    """
    if json_file == "-":
        return err
    if json_file is not None:
        check_writable(Path(json_file))
    return out


@contextmanager
def progress_of(name: str, examples: int, err: Console) -> Iterator[Any]:
    """Shows how far a search is: a bar on a terminal, a line every tenth elsewhere."""
    if not err.is_terminal:
        step = max(1, examples // 10)

        def tell(report: Report) -> None:
            if report.examples % step == 0 and report.examples < examples:
                err.print(f"{name}: {report.examples:,} of {examples:,} schedules", style="dim")

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=examples)

        def draw(report: Report) -> None:
            found = f"  {len(report.seen)} broken" if report.seen else ""
            bar.update(task, completed=report.examples, description=name + found)

        yield draw


def save(found: Sequence[tuple[Finding, Report]], err: Console) -> None:
    """Saves failing test cases whose backend can be made again; the others are replayed by pasting them."""
    complaint = ""
    for finding, report in found:
        finding.replay = f"@example({finding.schedule!r})"
        if report.backend_spec is None:
            continue
        try:
            finding.replay = f"timersim replay {finding.saved(report.backend_spec).save(FAILURES)}"
        except OSError as error:
            complaint = f"timersim: {FAILURES} can't be written: {error.strerror}; replay by pasting the lines below"
    if complaint:
        err.print(complaint, style="yellow")


def tell_findings(text: Console, reports: Sequence[Report], missed: Sequence[Report]) -> None:
    """Prints what the searches came to: the table, what is known, the goals that were missed, the findings."""
    findings = sorted((found for report in reports for found in report.findings), key=lambda found: found.rank)
    for line in table_lines(reports):
        text.print(line)
    for line in (*known_lines(reports), *goal_lines(missed)):
        text.print(line, soft_wrap=False)
    for finding in findings:
        if not finding.within:
            text.print()
            print_lines(text, finding.to_lines())
    for number, line in enumerate(within_lines([finding for finding in findings if finding.within])):
        text.print(line if number else f"\n{line}", soft_wrap=False)


def print_lines(text: Console, lines: Sequence[Line]) -> None:
    """Prints lines with a colour for each kind of piece, where there are colours."""
    for line in lines:
        pieces = [(each, "" if text.no_color else COLOURS[kind]) for each, kind in line]
        text.print(Text.assemble(*pieces))
