"""Hypothesis strategies for schedules."""

from collections.abc import Iterable
from functools import cache

from hypothesis import strategies as st

from timersim.lab.contract import Contract
from timersim.lab.counts import check_counts
from timersim.lab.operations import EVERYTHING, OPERATIONS, PLAIN, Operation, Tie
from timersim.lab.schedule import Schedule
from timersim.strategies.choices import generate
from timersim.strategies.vocabulary import Vocabulary, kinds_under


def schedules(
    *,
    max_workers: int = 3,
    max_scopes: int = 2,
    max_size: int = 12,
    faults: Iterable[type[Operation]] | None = None,
    contract: Contract | None = None,
) -> st.SearchStrategy[Schedule]:
    """Generates schedules of acquires, releases, deaths, pauses, and stops and starts of the server.

    Instants crowd around expirations; each example leaves out kinds of operations at random. They shrink to
    one worker, one scope, no fault and no gap, and none is discarded. Unless it is said which faults may occur, those
    do that every backend can carry out. `faults` are the ones that may, `Tie` among them; with a `contract`, say that
    of the backend, also those that it survives may, as in `find_violations`. Raises ValueError for a bound below 1, for
    a fault that is none, and for both `faults` and a contract.

    >>> from hypothesis import find
    >>> find(schedules(), lambda schedule: len(schedule) > 0)
    Schedule([Acquire(0, "s0", after=5)])
    >>> find(schedules(contract=Contract(survives=frozenset({"Drop"}))), lambda schedule: "Drop" in schedule.faults)
    Schedule([Drop(0)])
    """
    check_counts(ValueError, max_workers=max_workers, max_scopes=max_scopes, max_size=max_size)
    if faults is not None and contract is not None:
        raise ValueError("which faults may occur is said by `faults` or by a contract, not by both: leave one out")
    kinds = _kinds(faults) if contract is None else kinds_under(contract)
    return _schedules(Vocabulary(kinds, max_workers, max_scopes, max_size))


def _kinds(faults: Iterable[type[Operation]] | None) -> tuple[type[Operation], ...]:
    wanted = None if faults is None else tuple(faults)
    for fault in wanted or ():
        if fault not in OPERATIONS.values() or not (fault.fault or fault is Tie):
            known = ", ".join(kind.__name__ for kind in OPERATIONS.values() if kind.fault or kind is Tie)
            raise ValueError(f"faults are among {known}: faults has {getattr(fault, '__name__', fault)!r}")
    if wanted is None:
        return PLAIN
    return tuple(kind for kind in EVERYTHING if kind in wanted or (kind in PLAIN and not kind.fault))


@st.composite
def _schedules(draw: st.DrawFn, vocabulary: Vocabulary) -> Schedule:
    return generate(lambda n: draw(_below(n)), vocabulary)


@cache
def _below(n: int) -> st.SearchStrategy[int]:
    return st.integers(0, n - 1)
