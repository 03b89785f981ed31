"""Traces: the record of a run together with its verdict."""

from dataclasses import dataclass
from typing import Self

from timersim.lab.goals import reached
from timersim.lab.invariants import InvariantViolation, judge
from timersim.lab.oracle import Account
from timersim.lab.reading import read
from timersim.lab.record import Record


@dataclass
class Trace(Record):
    """What happened in one run, judged.

    `violations` are the invariants that it breaks, worst first; `known` those that the contract exempts.
    `exercised` counts the cases of each invariant, `goals` are the situations that it reached.
    """

    account: Account
    violations: list[InvariantViolation]
    known: list[InvariantViolation]
    exercised: dict[str, int]
    goals: list[str]

    @classmethod
    def of_record(cls, record: Record) -> Self:
        """Judges a record."""
        account = read(record)
        broken, exercised = judge(account)
        exempt = record.contract.exempt
        return cls(
            record.schedule,
            record.backend,
            record.contract,
            record.events,
            account,
            [violation for violation in broken if violation.invariant.id not in exempt],
            [violation for violation in broken if violation.invariant.id in exempt],
            exercised,
            reached(account),
            backend_spec=record.backend_spec,
            ledger=record.ledger,
        )

    def check(self) -> None:
        """Raises the worst violation, with the timeline and how to replay it; returns where there is none."""
        __tracebackhide__ = True
        for violation in self.violations:
            raise violation
