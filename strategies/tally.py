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


@dataclass(slots=True)
class Catch:
    """What breaks an invariant: the smallest schedule so far of each set of faults, and after how many examples.

    `violations` are theirs, where they are at hand: they don't go from process to process.
    """

    after: int
    is_known: bool
    smallest: dict[Faults, Schedule] = field(default_factory=dict)
    violations: dict[Faults, InvariantViolation] = field(default_factory=dict)

    def is_smaller(self, schedule: Schedule) -> bool:
        """Returns whether a schedule is smaller than any so far with the same faults."""
        earlier = self.smallest.get(tuple(schedule.faults))
        return earlier is None or size(schedule) < size(earlier)

    def take(self, schedule: Schedule, violation: InvariantViolation) -> None:
        """Keeps a schedule in the place of what there was with the same faults."""
        faults = tuple(schedule.faults)
        self.smallest[faults], self.violations[faults] = schedule, violation

    @property
    def starts(self) -> list[Schedule]:
        """From where it is shrunk: those with the fewest faults first."""
        return sorted(self.smallest.values(), key=lambda schedule: (len(schedule.faults), size(schedule)))[:STARTS]

    @property
    def least(self) -> Schedule:
        """The smallest of all."""
        return min(self.smallest.values(), key=size)

    def plus(self, later: "Catch") -> "Catch":
        """Returns it with what was caught later, where that is smaller."""
        smaller = {faults: each for faults, each in later.smallest.items() if self.is_smaller(each)}
        return Catch(self.after, self.is_known, self.smallest | smaller)


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
            moved = replace(catch, after=mine.examples + catch.after, violations={})
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
                    "schedules": [[to_object(operation) for operation in each] for each in catch.smallest.values()],
                }
                for name, catch in self.catches.items()
            },
        }

    @classmethod
    def from_object(cls, empty: Report, written: Mapping[str, Any]) -> Self:
        """Rebuilds it from what `to_object` returned and an `empty` report; KeyError and the like for anything else."""
        catches = {}
        for name, caught in written["catches"].items():
            schedules = [Schedule.from_objects(each) for each in caught["schedules"]]
            smallest = {tuple(schedule.faults): schedule for schedule in schedules}
            catches[name] = Catch(int(caught["after"]), bool(caught["is_known"]), smallest)
        numbers: dict[str, Any] = {name: int(written[name]) for name in _NUMBERS}
        counters: dict[str, Any] = {name: Counter(written[name]) for name in _COUNTERS}
        worst: dict[str, Any] = {name: -math.inf if written[name] is None else written[name] for name in _WORST}
        return cls(replace(empty, seen=set(written["seen"]), **numbers, **counters, **worst), catches)


def size(schedule: Schedule) -> tuple[int, int]:
    """Returns by what one schedule is smaller than another: fewer operations, then a shorter text."""
    return len(schedule), len(repr(schedule))


def _added(counts: Counter[str], others: Counter[str]) -> Counter[str]:
    """Returns the sums, those of nothing included."""
    sums = Counter(counts)
    sums.update(others)
    return sums
