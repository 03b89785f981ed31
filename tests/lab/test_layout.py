"""Layout: lines of pieces that fit into 80 columns."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from timersim.lab.layout import COLUMNS, Kind, paragraph, plain, python, table
from timersim.lab.schedule import Schedule
from timersim.strategies import schedules

WORDS = st.lists(st.text("ab ", max_size=30), min_size=5, max_size=5)


def rows(*texts: list[str]) -> list[list[tuple[str, Kind]]]:
    """Makes rows of plain cells."""
    return [[(text, Kind.PLAIN) for text in row] for row in texts]


def test_a_table_that_fits_is_not_broken() -> None:
    """Where there is room each cell keeps its line, and no line ends with a space."""
    assert plain(table(rows(["t", "worker 0", "server"], ["0", "acquire", ""]))) == "\n".join(
        ["  t  worker 0  server", "  0  acquire"]
    )


def test_the_lane_is_broken_that_costs_the_fewest_lines() -> None:
    """One long cell is broken rather than many that are short; what is left of it is set in."""
    long = "the wire is a long story that nobody wants to read in one line"
    drawn = plain(table(rows(["t", "worker 0", "wire"], *[["0", "acquire s0 ->5", ""]] * 3, ["1", "", long])))

    assert drawn.splitlines() == [
        "  t  worker 0        wire",
        *["  0  acquire s0 ->5"] * 3,
        "  1                  the wire is a long story that nobody wants to read in one",
        "                       line",
    ]


def test_words_are_not_torn() -> None:
    """Where the lanes have room for it, cells are broken between words, though that takes more lines."""
    cells = [["t", "a", "b"], *[["0", ("one two " * 6).strip(), ""]] * 8, ["0", "", "unbreakable" * 3]]

    assert "unbreakable" * 3 in plain(table(rows(*cells)))


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_a_table_is_never_wider_than_eighty_columns(texts: list[list[str]]) -> None:
    """Whatever the cells hold, five lanes fit, and no word is lost."""
    lines = table(rows(["t", "a", "b", "a", "b"], *[["0", *row[1:]] for row in texts]))

    assert max(len(line) for line in plain(lines).splitlines()) <= COLUMNS
    letters = sum(len(cell.replace(" ", "")) for row in texts for cell in row[1:])
    assert len(plain(lines[1:]).replace(" ", "").replace("\n", "")) == letters + len(texts)


def test_a_paragraph_is_set_in_after_its_first_line() -> None:
    """What does not fit into one line goes on in the next, two columns further."""
    first, second = plain(paragraph("word " * 16)).splitlines()

    assert (len(first), second) == (76, "    word")


@given(schedules())
def test_a_schedule_is_python_that_rebuilds_it(schedule: Schedule) -> None:
    """What is shown of a schedule is Python, also where it takes an operation a line."""
    text = plain(python(schedule, "Schedule([", "])"))
    names = vars(__import__("timersim.lab", fromlist=["operations"]).operations) | {"Schedule": Schedule}

    assert eval(compile(ast.parse(text.strip(), mode="eval"), "case", "eval"), dict(names)) == schedule
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
