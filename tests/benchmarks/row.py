"""A benchmark and its row: ours beside a floor, what others reach, a ratio, and whether that is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .side_by_side import Comparison

SCALES = {"us": 1e6, "ms": 1e3}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: a scale of 1 is the whole; rounds, where given, are as many for each row."""

    scale: float = 1.0
    given_rounds: int | None = None

    def rounds(self, usual: int) -> int:
        """Returns how many rounds there are where usually there are so many."""
        return self.given_rounds or max(1, int(usual * self.scale))

    def times(self, usual: int, least: int) -> int:
        """Returns how often something is done in a round, so many times at least."""
        return max(least, int(usual * self.scale))


def number_text(number: float) -> str:
    """Returns a number with three digits that count, or all of those before the point."""
    return f"{number:,.0f}" if number >= 1_000 else f"{number:.3g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit.

    >>> str(Figure(6.934, "us")), str(Figure(44123.4, "/s"))
    ('6.93 us', '44,123 /s')
    """

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{number_text(self.value)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somebody else's way reaches at the same."""

    name: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio has to be: at most so much, or at least; just so much is enough.

    >>> Target("<=", 1.5).is_met(1.5), Target("<=", 1.5).is_met(1.51), str(Target(">=", 40))
    (True, False, '>= 40x')
    """

    sign: Literal["<=", ">="]
    limit: float

    def is_met(self, ratio: float) -> bool:
        """Returns whether a ratio is within it; what is no number is not."""
        return ratio <= self.limit if self.sign == "<=" else ratio >= self.limit

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}x"


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured: the medians of both sides, and the median of the ratios of the rounds."""

    ours: Figure
    floor: Figure
    ratio: float
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    against: str
    target: Target | None
    result: Result

    @property
    def verdict(self) -> str:
        """Returns "met" or "missed"; "beside" for what has no target, and is reported beside what has."""
        if self.target is None:
            return "beside"
        return "met" if self.target.is_met(self.result.ratio) else "missed"

    @property
    def ratio(self) -> str:
        """Returns the ratio with two digits, or as many as show on which side of the target it is."""
        ratio, target = self.result.ratio, self.target
        digits = 2
        while target and digits < 9 and target.is_met(round(ratio, digits)) != target.is_met(ratio):
            digits += 1
        return f"{ratio:.{digits}f}x"

    def to_object(self) -> dict[str, Any]:
        """Returns what JSON can hold of it."""
        result = self.result
        return {
            "what": self.what,
            "against": self.against,
            "ours": _object(result.ours),
            "floor": _object(result.floor),
            "anchors": [{"name": anchor.name, **_object(anchor.figure)} for anchor in result.anchors],
            "ratio": result.ratio,
            "target": None if self.target is None else {"sign": self.target.sign, "limit": self.target.limit},
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A row to be: all of it but what is measured. That is None where this size or this machine has no such row."""

    what: str
    against: str
    target: Target | None
    measure: Callable[[Size], Result | None]

    def row(self, size: Size) -> Row | None:
        """Measures."""
        result = self.measure(size)
        return None if result is None else Row(self.what, self.against, self.target, result)


def in_time(comparison: Comparison, unit: str, *anchors: tuple[str, float]) -> Result:
    """Returns a comparison in "us" or "ms", beside what others take, in seconds: the ratio is how long ours takes."""
    ours, floor = (Figure(seconds * SCALES[unit], unit) for seconds in (comparison.ours, comparison.floor))
    others = tuple(Anchor(name, Figure(seconds * SCALES[unit], unit)) for name, seconds in anchors)
    return Result(ours, floor, comparison.ratio, others)


def in_rates(comparison: Comparison) -> Result:
    """Returns a comparison as so many a second: the ratio is how much ours does."""
    return Result(Figure(1 / comparison.ours, "/s"), Figure(1 / comparison.floor, "/s"), 1 / comparison.ratio)


def _object(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "unit": figure.unit}
