"""Exhaustion: every schedule up to a bound, each once up to the names of its workers and scopes."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from timersim.lab.experiment import Backend
from timersim.lab.operations import (
    Acquire,
    Corrupt,
    Crash,
    CrashSending,
    Delay,
    Drop,
    Duplicate,
    Exit,
    Flood,
    Operation,
    Pause,
    Release,
    Reorder,
    Reuse,
    ScheduleError,
    Stall,
    Start,
)
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies.bounds import Bound
from timersim.strategies.search import Progress, search_among


def exhaust(
    backend: Backend, bound: Bound | None = None, progress: Progress = lambda report: None, shrunk: str | None = None
) -> Report:
    """Runs every schedule within `bound` on `backend` and reports every invariant that they break.

    What is found is shrunk and told as by `find_violations`, of which `progress` and `shrunk` are. An interrupt
    (Ctrl-C) ends it, and the report says so. Raises ScheduleError where the backend can't carry out an operation.

    >>> from timersim.fakes import SimulatedBackend
    >>> report = exhaust(SimulatedBackend(), Bound(size=2))
    >>> report.examples, report.findings
    (123, [])
    """
    bound = bound or Bound()
    check_operations(backend, bound)
    return search_among(every_schedule(bound), backend, progress, shrunk)


def check_operations(backend: Backend, bound: Bound) -> None:
    """Raises ScheduleError where the backend can't carry out an operation of the bound."""
    if missing := [kind.__name__ for kind in bound.kinds if kind not in backend.operations]:
        raise ScheduleError(f"{backend.name} can't carry out {', '.join(missing)}; leave it out, or use memory")


def every_schedule(bound: Bound) -> Iterator[Schedule]:
    """Yields every schedule within a bound once, those with the fewest operations first.

    Of those that differ in nothing but the names of workers, or of scopes, there is one: names are taken in the order
    in which they occur. What a worker was to do itself after its exit or crash never happens, unless it is started
    again, so such an operation is there only where it lets time pass for which no gap is: one of them for all. (Where
    three gaps make a fourth, a few such schedules are there in both forms.)

    >>> bound = Bound(workers=2, size=1, ops=["acquire", "release"], after=[5], gaps=[0])
    >>> for schedule in every_schedule(bound):
    ...     print(schedule)
    Schedule([])
    Schedule([Acquire(0, "s0", after=5)])
    Schedule([Release(0, "s0")])
    """
    steps = _steps(bound)
    for size in range(bound.size + 1):
        for operations in _of_size(size, _State(), steps):
            yield Schedule(operations)


def count(bound: Bound) -> int:
    """Returns how many schedules `every_schedule` yields, without making them.

    >>> count(Bound(workers=2, scopes=1, size=5))
    249729
    """
    steps = _steps(bound)
    ends = Counter([_State()])
    total = 1
    for _ in range(bound.size):
        longer: Counter[_State] = Counter()
        for state, number in ends.items():
            for _, after in steps(state):
                longer[after] += number
        ends = longer
        total += ends.total()
    return total


SAMPLES = 500
"""How many schedules tell how long all will take, at most."""


def some_schedules(bound: Bound) -> Iterator[Schedule]:
    """Yields some schedules of full size from all over a bound, the same ones every time, for an estimate."""
    steps = _steps(bound)
    for number in range(1, SAMPLES + 1):
        state, operations = _State(), []
        for place in range(1, bound.size + 1):
            if choices := steps(state):
                evenly = number * math.hypot(1, place) % 1  # the multiples of an irrational number lie evenly
                operation, state = choices[int(evenly * len(choices))]
                operations.append(operation)
        yield Schedule(operations)


class _State(NamedTuple):
    """What a schedule so far has come to: how many names it has used, who has ended, how long it has merely waited."""

    workers: int = 0
    scopes: int = 0
    ended: frozenset[int] = frozenset()
    waited: int = 0


_Steps = Callable[[_State], list[tuple[Operation, _State]]]


def _of_size(size: int, state: _State, steps: _Steps) -> Iterator[tuple[Operation, ...]]:
    if size == 0:
        yield ()
        return
    for operation, after in steps(state):
        for rest in _of_size(size - 1, after, steps):
            yield operation, *rest


def _steps(bound: Bound) -> _Steps:
    """Returns what tells by which operations a schedule goes on from a state, and to which states."""
    alphabet, gaps = bound.alphabet(), frozenset(bound.gaps)

    @cache
    def steps(state: _State) -> list[tuple[Operation, _State]]:
        found = []
        for gap in bound.gaps:
            if state.waited and (state.waited + gap in gaps or state.waited < gap):
                continue  # the same time passes in one gap, or in the other order
            is_waiting = gap == 0
            for operation in alphabet:
                if _never_happens(operation, state):
                    after = None if is_waiting else state._replace(waited=gap)
                    is_waiting = True
                else:
                    after = _after(state, operation)
                if after is not None:
                    found.append((operation.but(gap=gap), after))
        return found

    return steps


_OWN = (
    *(Acquire, Release, Exit, CrashSending, Pause, Flood),
    *(Delay, Drop, Duplicate, Reorder, Corrupt, Stall),
)
"""What a worker does itself, or what happens to what it sends next; so does each crash but that by SIGKILL."""


def _never_happens(operation: Operation, state: _State) -> bool:
    """Returns whether it is something that a worker was to do after its end.

    It is skipped where the worker is dead. Where it is paused, or in a call, its end is still to come, and what it is
    to do comes behind that, in order.
    """
    if isinstance(operation, Crash):
        return operation.how != "sigkill" and operation.worker in state.ended
    return isinstance(operation, _OWN) and operation.worker in state.ended


def _after(state: _State, operation: Operation) -> _State | None:
    """Returns what an operation leads to; None where it takes a name before its turn."""
    workers, scopes, ended = state.workers, state.scopes, state.ended
    for name in ("worker", "of"):
        number = getattr(operation, name, -1)
        if number > workers:
            return None
        workers = max(workers, number + 1)
    if hasattr(operation, "scope"):
        number = int(operation.scope[1:])
        if number > scopes:
            return None
        scopes = max(scopes, number + 1)
    if isinstance(operation, Exit | Crash):
        ended |= {operation.worker}
    if isinstance(operation, Start | Reuse):
        ended -= {operation.worker}
    return _State(workers, scopes, ended)
