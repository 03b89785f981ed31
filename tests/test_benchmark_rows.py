"""The rows of `timersim bench` are data, and the README's table has the rows that the command has."""

import doctest
from datetime import date
from pathlib import Path

import pytest

from tests.benchmarks import PARTS
from tests.benchmarks import row as row_module
from tests.benchmarks.row import Anchor, Benchmark, Figure, Result, Row, Size, Target, in_rates, in_time
from tests.benchmarks.side_by_side import Comparison
from tests.benchmarks.table import conclusion_lines, markdown_lines, row_lines, rows_told

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- timersim bench --markdown -->\n", "<!-- its end -->"

WHATS = [benchmark.what for part in PARTS.values() for benchmark in part()]

AT_MOST, AT_LEAST = Target("<=", 1.5), Target(">=", 40)


def row(ratio: float, target: Target | None, what: str = "sleeping", *anchors: Anchor) -> Row:
    """Returns a row with this ratio."""
    return Row(what, "a bed", target, Result(Figure(3, "us"), Figure(2, "us"), ratio, anchors))


@pytest.mark.parametrize(
    ("ratio", "target", "verdict"),
    [
        (1.4999, AT_MOST, "met"),
        (1.5, AT_MOST, "met"),
        (1.5001, AT_MOST, "missed"),
        (39.999, AT_LEAST, "missed"),
        (40, AT_LEAST, "met"),
        (40.001, AT_LEAST, "met"),
        (float("nan"), AT_MOST, "missed"),
        (float("nan"), AT_LEAST, "missed"),
        (99, None, "beside"),
    ],
)
def test_the_target_itself_is_met(ratio: float, target: Target | None, verdict: str) -> None:
    """A ratio is met up to its target, or from there on; one without a target is beside the others."""
    assert row(ratio, target).verdict == verdict


@pytest.mark.parametrize(
    ("ratio", "target", "text"),
    [(1.234, AT_MOST, "1.23x"), (1.5004, AT_MOST, "1.5004x"), (39.9996, AT_LEAST, "39.9996x"), (1.5004, None, "1.50x")],
)
def test_a_ratio_shows_on_which_side_of_its_target_it_is(ratio: float, target: Target | None, text: str) -> None:
    """A ratio is rounded, but never to the other side of the target."""
    assert row(ratio, target).ratio == text


def test_the_examples_of_the_rows_run() -> None:
    """What the docstrings show is so."""
    result = doctest.testmod(row_module)

    assert (result.failed, result.attempted) == (0, 2)


def test_a_comparison_becomes_a_result() -> None:
    """Times have their unit and a ratio of times; rates are turned round, so that more is better."""
    comparison = Comparison(ours=0.002, floor=0.001, ratio=2.5)

    assert in_time(comparison, "ms", ("a cat", 0.004)) == Result(
        Figure(2, "ms"), Figure(1, "ms"), 2.5, (Anchor("a cat", Figure(4, "ms")),)
    )
    assert in_rates(comparison) == Result(Figure(500, "/s"), Figure(1000, "/s"), 0.4)


def test_the_scale_leaves_something_to_do() -> None:
    """A small scale measures the least there is, and rounds that are given don't follow it."""
    assert (Size(0.001).rounds(7), Size(2).rounds(7), Size(0.001, 5).rounds(7)) == (1, 14, 5)
    assert (Size(0.001).times(400, 10), Size(0.5).times(400, 10)) == (10, 200)


def test_a_row_is_two_lines_of_text() -> None:
    """The first line has the numbers in their columns, the second what they are measured against."""
    assert list(row_lines(row(1.5, AT_MOST, "sleeping", Anchor("a cat", Figure(4000, "us"))))) == [
        "sleeping                               3 us       2 us    1.50x  <= 1.5x     met",
        "  against a bed; beside it a cat 4,000 us (2,000x)",
    ]


def test_the_conclusion_names_what_was_missed_and_left_out() -> None:
    """What has no target counts neither as met nor as missed."""
    nothing = Benchmark("dreaming", "a bed", AT_MOST, lambda size: None)

    assert conclusion_lines([row(1, AT_MOST), row(9, None)], []) == ["Every target is met: 1 of 1."]
    assert " ".join(conclusion_lines([row(1, AT_MOST), row(1, AT_LEAST, "waking")], [nothing])) == (
        "Missed: 1 of 2 targets: waking."
        " Left out, too large for the scale or measured against what isn't installed: dreaming."
    )


def test_each_row_has_a_name_of_its_own_that_fits() -> None:
    """No two rows bear one name, and each fits into its column."""
    assert len(set(WHATS)) == len(WHATS)
    assert max(map(len, WHATS)) <= 32


def test_a_table_in_markdown_is_read_back() -> None:
    """What the table tells of is found again, below its caption; where there is no table nothing is."""
    lines = markdown_lines([row(1, AT_MOST, what) for what in WHATS], date(2026, 1, 2), "an abacus")
    table = "\n".join(lines) + "\n"

    assert table.startswith("Measured by `timersim bench` on 2026-01-02: an abacus.\n\n| what |")
    assert rows_told(table) == WHATS
    assert rows_told("| what | else |\n|---|---|\n| sleeping | 3 us |\n") == []


def test_the_rows_of_the_readme_are_those_of_the_command() -> None:
    """Between its marks the README has nothing yet, or the command's table with every row."""
    _, begin, rest = README.partition(BEGIN)
    section, end, _ = rest.partition(END)

    assert (begin, end) == (BEGIN, END)
    assert section == "" or (
        section.lstrip().startswith("Measured by `timersim bench`") and rows_told(section) == WHATS
    )
