"""The search of every ablation: whether the laboratory finds each missing safeguard, and what it calls it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from timersim.fakes.broken_servers import ABLATIONS, Ablation, backend_without
from timersim.lab.operations import to_object
from timersim.lab.report import Finding, Report
from timersim.strategies.search import find_violations

EXAMPLES = 500
"""How many schedules are searched for each unless it is said; `timersim check` runs no fewer in memory."""


@dataclass(frozen=True, slots=True)
class AblationResult:
    """What the search of one ablation came to."""

    ablation: Ablation
    report: Report

    @property
    def is_named(self) -> bool:
        """Whether the invariant that the ablation breaks was found broken."""
        return any(self.ablation.breaks in finding.invariants for finding in self.report.findings if not finding.within)

    @property
    def finding(self) -> Finding | None:
        """The smallest that is named for its own cause; where nothing is, the smallest that was found, not shrunk."""
        own = [finding for finding in self.report.findings if self.ablation.breaks in finding.invariants]
        return min(own or self.report.findings, key=lambda finding: len(finding.schedule), default=None)

    @property
    def found_by(self) -> list[str]:
        """The invariants that were broken, its own first, then those of the finding."""
        names = [name for finding in self.report.findings for name in finding.invariants]
        first = self.finding.invariants if self.finding else []
        own = [self.ablation.breaks] if self.is_named else []
        return list(dict.fromkeys([*own, *first, *names]))

    def to_object(self) -> dict[str, Any]:
        """Returns it as an object of JSON."""
        finding = self.finding
        return {
            "safeguard": self.ablation.safeguard,
            "breaks": self.ablation.breaks,
            "is_named": self.is_named,
            "found_by": self.found_by,
            "examples": finding.examples if finding else None,
            "operations": len(finding.schedule) if finding else None,
            "faults": finding.faults if finding else [],
            "schedule": [to_object(operation) for operation in finding.schedule] if finding else [],
        }


def search_ablations(
    max_examples: int = EXAMPLES, seed: int = 0, safeguards: Iterable[str] = tuple(ABLATIONS)
) -> Iterator[AblationResult]:
    """Searches the broken server of each safeguard, under the correct one's contract; yields what it came to.

    Only what is named for the ablation's own cause is shrunk.

    >>> (result,) = search_ablations(max_examples=100, safeguards=["honour-releases"])
    >>> result.found_by[:2], result.finding.schedule
    (['release-wins', 'conservation'], Schedule([Acquire(0, "s0", after=1), Release(0, "s0")]))
    """
    for safeguard in safeguards:
        cause = ABLATIONS[safeguard].breaks
        report = find_violations(backend_without(safeguard), max_examples, seed, shrunk=cause)
        yield AblationResult(ABLATIONS[safeguard], report)
        if report.is_interrupted:
            return
