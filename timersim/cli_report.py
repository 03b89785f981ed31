"""What a check says at its end: the table of the invariants, what is known, which goals were missed, the conclusion."""

from collections.abc import Iterator, Sequence

from rich.markup import escape

from timersim.lab.invariants import INVARIANTS
from timersim.lab.report import Finding, Report, plural
from timersim.lab.timeline import number_text


def summary_line(report: Report, *, is_real: bool) -> str:
    """Returns what a search did, in numbers."""
    kills = f"{report.kills:,} real SIGKILLs" if is_real else f"{report.reaps:,} reaps"
    done = f"{report.examples:>6,} schedules {report.operations:>8,} operations"
    return f"{report.backend:<12}{done} {report.seconds:>6.1f} s {kills:>18}"


def table_lines(reports: Sequence[Report]) -> Iterator[str]:
    """Yields the lines of the table: each invariant, how often it spoke, and its verdict."""
    width = max(map(len, INVARIANTS))
    yield f"{'invariant':<{width}}   exercised   worst / allowed   verdict"
    for name in INVARIANTS:
        exercised = sum(report.exercised[name] for report in reports)
        broken = [report.backend for report in reports if name in report.broken]
        known = [report.backend for report in reports if any(name in finding.invariants for finding in report.known)]
        verdict = "[green]holds[/]" if exercised else "[yellow]not exercised[/]"
        if known:
            verdict = f"known on {', '.join(known)}"
        if broken:
            verdict = f"[red]BROKEN on {', '.join(broken)}[/]"
        late = _lateness(reports) if name == "reaped-in-time" else ""
        yield f"{name:<{width}}   {exercised:>9,}   {late:<15}   {verdict}"


def _lateness(reports: Sequence[Report]) -> str:
    """Returns the lateness that came nearest to its bound, or went farthest beyond."""
    pairs = [(r.worst_lateness, r.allowed_lateness) for r in reports if r.worst_lateness >= 0]
    if not pairs:
        return ""
    worst, allowed = max(pairs, key=lambda pair: pair[0] - pair[1])
    return f"{number_text(worst)} / {number_text(allowed)} ticks"


def known_lines(reports: Sequence[Report]) -> Iterator[str]:
    """Yields what is known not to hold, with the reason, and how to see it; and what held although it is known."""
    for report in reports:
        for finding in report.known:
            reasons = "; ".join(f"{name} ({escape(report.exempt.get(name, ''))})" for name in finding.invariants)
            yield f"known on {report.backend}: {reasons}"
            yield f"  {escape(finding.replay)}"
        for name in report.no_longer:
            yield (
                f"[yellow]no longer known on {report.backend}[/]: {name} ({escape(report.exempt[name])}) held in"
                f" {plural(report.examples, 'schedule')}; the contract need not exempt it"
            )


def within_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yields the findings that may be no more than another one shows, each in brief."""
    for finding in findings:
        brief = f"{plural(len(finding.schedule), 'operation')}, {escape(', '.join(finding.faults)) or 'no fault'}"
        yield f"{finding.invariants[0]} is broken as well, perhaps by the same: {finding.within} ({brief})"
        yield f"  {escape(finding.replay)}"


def goal_lines(missed: Sequence[Report]) -> Iterator[str]:
    """Yields the goals to which searches did not come: what held there was not tried."""
    for report in missed:
        yield (
            f"[yellow]not tried on {report.backend}[/], in {plural(report.examples, 'schedule')}:"
            f" {'; '.join(report.unreached)}"
        )


def conclusion(reports: Sequence[Report], left: Sequence[str], *, has_missed: bool) -> str:
    """Returns what it all comes to."""
    schedules, kills = sum(r.examples for r in reports), sum(r.kills for r in reports)
    done = (
        f"{plural(schedules, 'schedule')}, "
        + (f"{kills:,} real kills, " if kills else "")
        + f"{sum(r.seconds for r in reports):.0f} s."
    )
    broken = {name for report in reports for name in report.broken}
    behind = "" if "nothing-left" in broken else " Nothing left behind."
    if left:
        behind = f" Left behind: {escape(', '.join(left))}."
    known = sum(len(report.known) for report in reports)
    if any(report.is_interrupted for report in reports):
        return f"\nInterrupted: {done}{behind}"
    if broken:
        return f"\n[red]Broken[/]: {', '.join(name for name in INVARIANTS if name in broken)}. {done}{behind}"
    also = f" ({known} known)" if known else ""
    if has_missed:
        return (
            f"[red]Not enough was tried[/]: every invariant held{also}, and not every goal was reached. {done}{behind}"
        )
    return f"[green]Every invariant held[/]{also}: {done}{behind}"
