"""What was found, printed and saved: for each command that searches."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from timersim.cli_report import goal_lines, known_lines, table_lines, within_lines
from timersim.lab.layout import Kind, Line
from timersim.lab.report import Finding, Report
from timersim.lab.saved import FAILURES

COLOURS = {
    Kind.PLAIN: "",
    Kind.HEAD: "bold",
    Kind.WRONG: "bold red",
    Kind.FAULT: "yellow",
    Kind.WINDOW: "cyan",
    Kind.GOOD: "green",
}


def tell(text: Console, reports: Sequence[Report], missed: Sequence[Report]) -> None:
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


def save(found: Sequence[tuple[Finding, Report]], err: Console) -> None:
    """Saves failing test cases whose backend can be made again; the others are replayed by pasting them.

    What prevents that is said on `err`.
    """
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
