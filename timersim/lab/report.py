"""The report: what a search on one backend did and found."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from timersim.lab.case import faults, headline, rule, story
from timersim.lab.goals import GOALS
from timersim.lab.hints import how_to_replay, to_paste
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.invariants.duties import lateness
from timersim.lab.layout import Line, paragraph, plain
from timersim.lab.operations import to_object
from timersim.lab.record import Died, Instant
from timersim.lab.saved import SavedSchedule, named
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace


@dataclass(slots=True)
class Finding:
    """What breaks the `invariants`: a shrunk schedule.

    It was found after `examples` schedules, in one of `found_at` operations. It may be no more than what the finding of
    the invariant `within` shows, in a situation that it does not take.
    `violation` is None where a rerun no longer showed it, which on real processes can happen.
    """

    invariants: list[str]
    schedule: Schedule
    examples: int
    found_at: int
    violation: InvariantViolation | None
    replay: str = ""
    is_shrunk: bool = True
    within: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """What it is sorted by: the worst harm that it does, then the order of the invariants."""
        return min(INVARIANTS[name].rank for name in self.invariants)

    @property
    def faults(self) -> list[str]:
        """The faults without which it does not happen."""
        return self.schedule.faults

    def saved(self, backend: Mapping[str, Any]) -> SavedSchedule:
        """Returns it as a file's content."""
        return named(self.invariants, backend, self.schedule)

    def to_text(self) -> str:
        """Returns the failing test case as a person reads it."""
        return plain(self.to_lines())

    def to_lines(self) -> list[Line]:
        """Returns the same as lines of pieces, for whoever has colours."""
        shrunk = f"shrunk to {len(self.schedule)}" if self.is_shrunk else "not shrunk"
        found = f"{plural(self.examples, 'schedule')}, {plural(self.found_at, 'operation')} {shrunk}"
        others = self.invariants[1:]
        return [
            *headline(self.violation.headline if self.violation else f"{self.invariants[0]}: seen once, and not again"),
            *(rule(self.violation) if self.violation else []),
            *paragraph(f"found after {found}; {faults(self.schedule)}"),
            *(paragraph(f"breaks as well: {', '.join(others)}") if others else []),
            *to_paste(self.schedule),
            *(story(self.violation) if self.violation else []),
            *(how_to_replay(self.replay, self.schedule) if self.replay else []),
        ]

    def to_object(self) -> dict[str, Any]:
        """Returns it as an object of JSON."""
        return {
            "invariants": self.invariants,
            "schedule": [to_object(operation) for operation in self.schedule],
            "operations": len(self.schedule),
            "faults": self.faults,
            "examples": self.examples,
            "within": self.within,
            "headline": self.violation.headline if self.violation else "",
            "timeline": self.violation.timeline.splitlines() if self.violation else [],
            "replay": self.replay,
        }


@dataclass(slots=True)
class Report:
    """What a search on `backend` did, in numbers, and what it found, worst first.

    `seen` are the invariants that were broken, before anything is shrunk; `known` are the findings that the
    backend's contract exempts, which has a reason for each invariant in `exempt`. `reachable` are the goals that a
    search on the backend can come to.
    """

    backend: str
    seed: int
    backend_spec: Mapping[str, Any] | None = None
    examples: int = 0
    operations: int = 0
    seconds: float = 0
    reaps: int = 0
    kills: int = 0
    worst_lateness: Instant = -math.inf
    allowed_lateness: Instant = 0
    exercised: Counter[str] = field(default_factory=Counter)
    goals: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(GOALS, 0)))
    seen: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    known: list[Finding] = field(default_factory=list)
    exempt: Mapping[str, str] = field(default_factory=dict)
    reachable: Collection[str] = ()
    is_cut_short: bool = False
    is_interrupted: bool = False

    def count(self, trace: Trace, *, is_real: bool) -> None:
        """Adds a run's numbers."""
        self.examples += 1
        self.operations += len(trace.schedule)
        self.reaps += len(trace.reaps)
        if is_real:
            self.kills += sum(death.how in {"reaped", "sigkill"} for death in trace.of(Died))
        self.seen |= {violation.invariant.id for violation in trace.violations}
        self.exercised.update(trace.exercised)
        self.goals.update(trace.goals)
        self.worst_lateness = max(self.worst_lateness, max(lateness(trace.account), default=-math.inf))
        self.allowed_lateness = max(self.allowed_lateness, trace.account.allowance)

    @property
    def broken(self) -> set[str]:
        """The ids of the invariants that do not hold."""
        return {name for finding in self.findings for name in finding.invariants}

    @property
    def no_longer(self) -> list[str]:
        """The exempt invariants that there were cases of, and that nothing broke; none after an interrupt."""
        if self.is_interrupted:
            return []
        known = {name for finding in self.known for name in finding.invariants}
        return [name for name in self.exempt if self.exercised[name] and name not in known]

    @property
    def unreached(self) -> list[str]:
        """The goals that could have been reached, and were not."""
        return [goal for goal in self.reachable if not self.goals[goal]]

    def to_object(self) -> dict[str, Any]:
        """Returns it as an object of JSON, an element of `runs`."""
        return {
            "backend": self.backend,
            "seed": self.seed,
            "examples": self.examples,
            "operations": self.operations,
            "seconds": round(self.seconds, 3),
            "reaps": self.reaps,
            "kills": self.kills,
            "exercised": dict(self.exercised),
            "goals": dict(self.goals),
            "unreached": self.unreached,
            "violations": [finding.to_object() for finding in self.findings],
            "known": [finding.to_object() for finding in self.known],
            "no_longer": self.no_longer,
        }


def plural(number: int, noun: str) -> str:
    """Returns a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
