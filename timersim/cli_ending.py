"""How a command that searches ends: what was found is saved, printed and written, and becomes the exit status."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from timersim.backends.leftovers import outliving
from timersim.cli_json import write_json
from timersim.cli_output import BROKEN, INTERRUPTED, err, print_lines
from timersim.cli_report import conclusion, goal_lines, known_lines, table_lines, within_lines
from timersim.lab.report import Finding, Report
from timersim.lab.saved import FAILURES


@dataclass(slots=True)
class Ending:
    """What the searches of a command came to: their reports, and what they have `left` behind."""

    reports: list[Report] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    _is_vacuous: bool = field(default=False, init=False)

    def add(self, report: Report, left: list[str], enough: int = 1) -> None:
        """Takes in a search, and what it left behind; with `enough` schedules it should have reached every goal.

        An interrupt can come between the opening of a descriptor and the next step: of what it left counts what
        outlives the process.
        """
        self.reports.append(report)
        self.left += outliving(left) if report.is_interrupted else left
        self._is_vacuous |= _has_missed(report) and report.examples >= enough

    @property
    def is_interrupted(self) -> bool:
        """Whether a search was interrupted; it is the last."""
        return any(report.is_interrupted for report in self.reports)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.is_interrupted:
            return INTERRUPTED
        return BROKEN if self.left or self._is_vacuous or any(report.findings for report in self.reports) else 0

    def told(self, text: Console, json_file: str | None, **beside: Any) -> int:
        """Saves what was found, prints what it came to, writes it with what is `beside` it; returns the status."""
        _save([(finding, report) for report in self.reports for finding in (*report.findings, *report.known)])
        _tell_findings(text, self.reports)
        text.print(conclusion(self.reports, self.left, has_missed=self._is_vacuous), soft_wrap=False)
        if json_file is not None:
            write_json(json_file, {**beside, "runs": [report.to_object() for report in self.reports]})
        return self.status


def _has_missed(report: Report) -> bool:
    """Returns whether a search did not come to each of its goals, though nobody interrupted it."""
    return bool(report.unreached) and not report.is_interrupted


def _save(found: Sequence[tuple[Finding, Report]]) -> None:
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


def _tell_findings(text: Console, reports: Sequence[Report]) -> None:
    """Prints what the searches came to: the table, what is known, the goals that were missed, the findings."""
    findings = sorted((found for report in reports for found in report.findings), key=lambda found: found.rank)
    for line in table_lines(reports):
        text.print(line)
    for line in (*known_lines(reports), *goal_lines(list(filter(_has_missed, reports)))):
        text.print(line, soft_wrap=False)
    for finding in findings:
        if not finding.within:
            text.print()
            print_lines(text, finding.to_lines())
    for number, line in enumerate(within_lines([finding for finding in findings if finding.within])):
        text.print(line if number else f"\n{line}", soft_wrap=False)
