"""The table of the rows: as text of 80 columns, as Markdown, and what it all comes to."""

import textwrap
from collections.abc import Iterator, Sequence
from datetime import date

from .row import Benchmark, Row, number_text

WIDTH = 80

UNBROKEN = "\N{NO-BREAK SPACE}"

COLUMNS = ("what", "ours", "measured against", "its figure", "ratio", "target", "verdict", "beside it")
"""Of the Markdown; the text has what a row is measured against in a line of its own."""


def head_line() -> str:
    """Returns the line above the rows."""
    return _line("what", "ours", "floor", "ratio", "target", "verdict")


def row_lines(row: Row) -> Iterator[str]:
    """Yields a row, and below it what it was measured against, and what others reach."""
    result = row.result
    yield _line(row.what, str(result.ours), str(result.floor), row.ratio, _target(row), row.verdict)
    beside = f"; beside it {anchors}" if (anchors := _anchors(row)) else ""
    told = f"against {row.against}{beside}"
    for line in textwrap.wrap(told, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False):
        yield line.replace(UNBROKEN, " ")


def conclusion_lines(rows: Sequence[Row], left_out: Sequence[Benchmark]) -> list[str]:
    """Returns what it comes to: all targets met, or which were missed; and what was not measured."""
    aimed = [row for row in rows if row.target is not None]
    missed = [row.what for row in aimed if row.verdict == "missed"]
    met = f"Every target is met: {len(aimed)} of {len(aimed)}."
    told = [f"Missed: {len(missed)} of {len(aimed)} targets: {'; '.join(missed)}." if missed else met]
    if left_out:
        names = "; ".join(benchmark.what for benchmark in left_out)
        told.append(f"Left out, too large for the scale or measured against what isn't installed: {names}.")
    return [line for each in told for line in textwrap.wrap(each, WIDTH, break_on_hyphens=False)]


def markdown_lines(rows: Sequence[Row], when: date, machine: str) -> Iterator[str]:
    """Yields the table for a page, below a caption that says when and where it was measured."""
    yield f"Measured by `timersim bench` on {when.isoformat()}: {machine}."
    yield ""
    yield _cells(COLUMNS)
    yield "|" + "---|" * len(COLUMNS)
    for row in rows:
        result = row.result
        figures = (str(result.ours), row.against, str(result.floor), row.ratio, _target(row), row.verdict)
        yield _cells((row.what, *figures, _anchors(row).replace(UNBROKEN, " ")))


def rows_told(markdown: str) -> list[str]:
    """Returns what the rows of a table in Markdown are about: none where there is no table of `COLUMNS`."""
    _, _, body = markdown.partition(_cells(COLUMNS) + "\n")
    return [line.split("|")[1].strip() for line in body.splitlines()[1:] if line.startswith("|")]


def _line(what: str, ours: str, floor: str, ratio: str, target: str, verdict: str) -> str:
    return f"{what:<32}{ours:>11}{floor:>11}{ratio:>9}{target:>9}{verdict:>8}"


def _target(row: Row) -> str:
    return "" if row.target is None else str(row.target)


def _anchors(row: Row) -> str:
    floor = row.result.floor.value
    told = ((a.name, f"{a.figure} ({number_text(a.figure.value / floor)}x)") for a in row.result.anchors)
    return ", ".join(f"{name} {figure.replace(' ', UNBROKEN)}" for name, figure in told)


def _cells(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
