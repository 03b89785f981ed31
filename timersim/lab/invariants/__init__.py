"""Invariants: named claims about every trace, each with what the world says against it."""

from timersim.lab.invariants import duties, ends, reaps, tables  # noqa: F401 - they register what they claim
from timersim.lab.invariants.registry import INVARIANTS, Breach, Cases, Harm, Invariant, InvariantViolation
from timersim.lab.oracle import Account

__all__ = ["INVARIANTS", "Breach", "Cases", "Harm", "Invariant", "InvariantViolation", "judge"]

for _entry in sorted(INVARIANTS.values(), key=lambda entry: entry.harm):
    INVARIANTS[_entry.id] = INVARIANTS.pop(_entry.id)
    globals()[_entry.violation.__name__] = _entry.violation


def judge(account: Account) -> tuple[list[InvariantViolation], dict[str, int]]:
    """Returns the first violation of each broken invariant, worst first, and how many cases each one had."""
    violations: list[InvariantViolation] = []
    exercised: dict[str, int] = {}
    for entry in INVARIANTS.values():
        cases = list(entry.judge(account))
        exercised[entry.id] = len(cases)
        breaches = [case for case in cases if case is not None]
        if breaches:
            violations.append(entry.violation(account.record, breaches[0]))
    return violations, exercised
