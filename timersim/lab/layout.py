"""Layout: lines of text as data, each piece with its kind, so that whoever shows them chooses the colours."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache

COLUMNS = 80
"""How wide a line is; only a command, or a literal of Python, is never broken."""

LEAST_WIDTH = 8
"""How narrow a lane of a table can become."""

MARGIN, BETWEEN, HANGING = "  ", "  ", "  "
"""What stands before a table, between its lanes, and before what is left of a cell in its next line."""


class Kind(StrEnum):
    """What a piece of a line is."""

    PLAIN = "plain"
    HEAD = "head"
    WRONG = "wrong"
    FAULT = "fault"
    WINDOW = "window"
    GOOD = "good"


Piece = tuple[str, Kind]
"""A text, and what it is."""

Line = list[Piece]
"""The pieces of a line, from left to right."""


def plain(lines: Iterable[Line]) -> str:
    """Returns the text alone.

    >>> print(plain([[("t=5  ", Kind.PLAIN), ("MUST NOT", Kind.WRONG)], [("t=6", Kind.PLAIN)]]))
    t=5  MUST NOT
    t=6
    """
    return "\n".join("".join(text for text, _ in line) for line in lines)


def paragraph(text: str, kind: Kind = Kind.PLAIN, margin: str = MARGIN) -> list[Line]:
    """Returns a text wrapped to the width, with what follows its first line set in."""
    width = COLUMNS - len(margin)
    return [[(margin, Kind.PLAIN), (part, kind)] for part in _wrapped(text, width)]


def python(elements: Sequence[object], before: str, after: str, remark: str = "") -> list[Line]:
    """Returns a call with a list as its argument, as Python to paste: one line, or an element a line where too wide.

    >>> print(plain(python([1, 2], "f([", "])")))
      f([1, 2])
    """
    whole = f"{MARGIN}{before}{', '.join(map(repr, elements))}{after}{remark}"
    if len(whole) <= COLUMNS or not elements:
        return [[(whole, Kind.PLAIN)]]
    between = [f"{MARGIN}    {element!r}," for element in elements]
    return [[(line, Kind.PLAIN)] for line in (MARGIN + before, *between, MARGIN + after + remark)]


def table(rows: Sequence[Sequence[Piece]]) -> list[Line]:
    """Returns rows of cells as lines, the first row as their heads; cells are wrapped where that would be too wide."""
    widths = _widths([[text for text, _ in lane] for lane in zip(*rows, strict=True)])
    return [line for row in rows for line in _lines_of(row, widths)]


def stripped(line: Line) -> Line:
    """Returns a line without spaces at its end, and without empty pieces."""
    pieces = [piece for piece in line if piece[0]]
    while pieces and not pieces[-1][0].strip():
        pieces.pop()
    return [*pieces[:-1], *((text.rstrip(), kind) for text, kind in pieces[-1:])]


def lanes_that_fit(first: int) -> int:
    """Returns how many lanes a table can have beside a first column of that width."""
    return (COLUMNS - len(MARGIN) - first) // (LEAST_WIDTH + len(BETWEEN))


def _widths(lanes: Sequence[Sequence[str]]) -> Sequence[int]:
    """Returns the widths of lanes that fit and have their cells broken least often; the first one's are never."""
    first = max(map(len, lanes[0]))
    best: dict[int, tuple[int, tuple[int, ...]]] = {len(MARGIN) + first: (0, (first,))}
    for lane in lanes[1:]:
        widest = max(map(len, lane))
        choices = [(width, _breaks(lane, width)) for width in range(min(LEAST_WIDTH, widest), widest + 1)]
        best = _fitting(
            (used + len(BETWEEN) + width, (breaks + more, (*widths, width)))
            for used, (breaks, widths) in best.items()
            for width, more in choices
        )
    return min(best.items(), key=lambda each: (each[1][0], -each[0]))[1][1]


def _fitting(choices: Iterable[tuple[int, tuple[int, tuple[int, ...]]]]) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Returns for each total that fits the widths with the fewest breaks; where none fits, those of the least total."""
    ordered = sorted(choices, key=lambda each: (each[0], -each[1][0]))
    fitting = dict(each for each in ordered if each[0] <= COLUMNS)
    return fitting or dict(ordered[:1])


def _breaks(lane: Sequence[str], width: int) -> int:
    """Returns how often the cells of a lane are broken at this width; a break within a word counts twenty times."""
    room = width - len(HANGING)
    torn = sum(len(word) > room for text in lane if len(text) > width for word in text.split())
    return 20 * torn + sum(len(_wrapped(text, width)) - 1 for text in lane)


def _lines_of(row: Sequence[Piece], widths: Sequence[int]) -> Iterator[Line]:
    """Yields the lines of a row: as many as its highest cell has."""
    cells = [_wrapped(text, width) for (text, _), width in zip(row, widths, strict=True)]
    for i in range(max(map(len, cells))):
        line: Line = [(MARGIN, Kind.PLAIN)]
        for cell, (_, kind), width in zip(cells, row, widths, strict=True):
            text = cell[i] if i < len(cell) else ""
            line += [(text, kind), (" " * (width - len(text)) + BETWEEN, Kind.PLAIN)]
        yield stripped(line)


@lru_cache(4096)
def _wrapped(text: str, width: int) -> Sequence[str]:
    """Returns a text in lines, those after the first set in."""
    if len(text) <= width and text.isprintable():
        return (text,)
    return tuple(textwrap.wrap(text, width, subsequent_indent=HANGING, break_on_hyphens=False)) or ("",)
