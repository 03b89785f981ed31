"""The tally of a search: the numbers of its schedules, and what was caught in them; tallies add up."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from timersim.lab.invariants import InvariantViolation
from timersim.lab.operations import to_object
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule

STARTS = 3
"""From how many schedules with other faults an invariant is shrunk."""

_NUMBERS = ("examples", "operations", "reaps", "kills")
_COUNTERS = ("exercised", "goals")
_WORST = ("worst_lateness", "allowed_lateness")

Faults = tuple[str, ...]


Smallest = dict[Faults, tuple[int, Schedule]]
"""For each set of faults its smallest schedule, and after how many examples that was drawn."""


@dataclass(slots=True)
class Catch:
    """What breaks an invariant, and after how many examples that was seen: the schedules from which it is shrunk.

    Of each set of faults the smallest counts, of two alike the earlier; kept are those with the fewest faults, and the
    smallest of all. `violations` are theirs, where they are at hand: they don't go from process to process.
    """

    after: int
    is_known: bool
    smallest: Smallest = field(default_factory=dict)
    violations: dict[Faults, InvariantViolation] = field(default_factory=dict)

    def is_wanted(self, after: int, schedule: Schedule) -> bool:
        """Returns whether a schedule would be kept."""
        faults = tuple(schedule.faults)
        if faults in self.smallest and size(schedule) >= size(self.smallest[faults][1]):
            return False
        return faults in _kept({**self.smallest, faults: (after, schedule)})

    def take(self, after: int, schedule: Schedule, violation: InvariantViolation) -> None:
        """Keeps a schedule that is wanted."""
        faults = tuple(schedule.faults)
        self.smallest = _kept({**self.smallest, faults: (after, schedule)})
        known = {**self.violations, faults: violation}
        self.violations = {faults: known[faults] for faults in self.smallest if faults in known}

    @property
    def starts(self) -> list[Schedule]:
        """From where it is shrunk: those with the fewest faults first."""
        return [schedule for _, schedule in list(self.smallest.values())[:STARTS]]

    @property
    def least(self) -> Schedule:
        """The smallest of all."""
        return min(self.smallest.values(), key=lambda drawn: (size(drawn[1]), drawn[0]))[1]

    def plus(self, later: "Catch") -> "Catch":
        """Returns it with what was caught later, where that is smaller."""
        mine, theirs = self.smallest, later.smallest
        smaller = {
            faults: drawn
            for faults, drawn in theirs.items()
            if faults not in mine or size(drawn[1]) < size(mine[faults][1])
        }
        return Catch(self.after, self.is_known, _kept({**mine, **smaller}))

    def moved(self, examples: int) -> "Catch":
        """Returns it as it is where so many examples went before."""
        smallest = {faults: (examples + after, schedule) for faults, (after, schedule) in self.smallest.items()}
        return Catch(examples + self.after, self.is_known, smallest)


@dataclass(frozen=True, slots=True)
class Tally:
    """What consecutive schedules came to: a report's numbers, and what was caught by each broken invariant.

    Those of schedules that follow on one another add up to that of all of them, whichever was made first.
    """

    report: Report
    catches: dict[str, Catch] = field(default_factory=dict)

    def plus(self, later: "Tally") -> "Tally":
        """Returns the tally of its schedules and of those that come next."""
        mine, theirs = self.report, later.report
        sums: dict[str, Any] = {name: getattr(mine, name) + getattr(theirs, name) for name in _NUMBERS}
        counters: dict[str, Any] = {name: _added(getattr(mine, name), getattr(theirs, name)) for name in _COUNTERS}
        worst: dict[str, Any] = {name: max(getattr(mine, name), getattr(theirs, name)) for name in _WORST}
        catches = dict(self.catches)
        for name, catch in later.catches.items():
            moved = catch.moved(mine.examples)
            catches[name] = catches[name].plus(moved) if name in catches else moved
        return Tally(replace(mine, seen=mine.seen | theirs.seen, **sums, **counters, **worst), catches)

    def to_object(self) -> dict[str, Any]:
        """Returns it as an object of JSON."""
        report = self.report
        return {
            **{name: getattr(report, name) for name in _NUMBERS},
            **{name: dict(getattr(report, name)) for name in _COUNTERS},
            **{name: None if getattr(report, name) == -math.inf else getattr(report, name) for name in _WORST},
            "seen": sorted(report.seen),
            "catches": {
                name: {
                    "after": catch.after,
                    "is_known": catch.is_known,
                    "smallest": [
                        {"after": after, "schedule": [to_object(operation) for operation in schedule]}
                        for after, schedule in catch.smallest.values()
                    ],
                }
                for name, catch in self.catches.items()
            },
        }

    @classmethod
    def from_object(cls, empty: Report, written: Mapping[str, Any]) -> Self:
        """Rebuilds it from what `to_object` returned and an `empty` report; KeyError and the like for anything else."""
        catches = {}
        for name, caught in written["catches"].items():
            drawn = [(int(each["after"]), Schedule.from_objects(each["schedule"])) for each in caught["smallest"]]
            smallest = {tuple(schedule.faults): (after, schedule) for after, schedule in drawn}
            catches[name] = Catch(int(caught["after"]), bool(caught["is_known"]), smallest)
        numbers: dict[str, Any] = {name: int(written[name]) for name in _NUMBERS}
        counters: dict[str, Any] = {name: Counter(written[name]) for name in _COUNTERS}
        worst: dict[str, Any] = {name: -math.inf if written[name] is None else written[name] for name in _WORST}
        return cls(replace(empty, seen=set(written["seen"]), **numbers, **counters, **worst), catches)


def size(schedule: Schedule) -> tuple[int, int]:
    """Returns by what one schedule is smaller than another: fewer operations, then a shorter text."""
    return len(schedule), len(repr(schedule))


def _kept(smallest: Smallest) -> Smallest:
    """Returns those from which it is shrunk, in their order, and the smallest of all."""
    ranked = sorted(smallest.items(), key=lambda item: (len(item[0]), size(item[1][1]), item[1][0]))
    least = min(ranked, key=lambda item: (size(item[1][1]), item[1][0]))
    return dict([*ranked[:STARTS], least])


def _added(counts: Counter[str], others: Counter[str]) -> Counter[str]:
    """Returns the sums, those of nothing included."""
    sums = Counter(counts)
    sums.update(others)
    return sums
