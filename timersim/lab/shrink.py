"""Shrinking: the smallest schedule that still fails, by delta debugging."""

from collections.abc import Callable, Iterator

from timersim.lab.operations import FLOOD_AFTER, Acquire, Flood, Operation, Release
from timersim.lab.schedule import Schedule

MAX_RUNS = 500
"""How many schedules a shrink may run; it ends with the smallest so far."""


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], max_runs: int = MAX_RUNS) -> Schedule:
    """Returns a smaller schedule for which `fails` still holds: fewer operations, then smaller numbers.

    Blocks of operations go first, with their gaps or without; then gaps, then fields. Ends when no step
    helps any more, or after `max_runs` calls of `fails`.

    >>> from timersim.lab import Acquire, Release
    >>> fails = lambda s: any(type(operation) is Acquire for operation in s)
    >>> shrink(Schedule([Release(1, "b"), Acquire(2, "a", after=7, gap=3), Release(2, "a")]), fails)
    Schedule([Acquire(0, "s0", after=0)])
    """
    tried = {schedule}
    progress = True
    while progress:
        progress = False
        for candidate in _candidates(schedule):
            if candidate in tried:
                continue
            if len(tried) > max_runs:
                return schedule
            tried.add(candidate)
            if fails(candidate):
                schedule, progress = candidate, True
                break
    return schedule


def _candidates(schedule: Schedule) -> Iterator[Schedule]:
    yield from _without_blocks(schedule)
    yield from _renumbered(schedule)
    for index, operation in enumerate(schedule):
        for simpler in _simpler(operation):
            yield _with(schedule, index, simpler)
    yield from _with_moved_gaps(schedule)
    yield from _without_floods(schedule)


def _without_blocks(schedule: Schedule) -> Iterator[Schedule]:
    size = len(schedule)
    while size:
        for start in range(0, len(schedule) - size + 1, max(1, size // 2)):
            before, removed, after = schedule[:start], schedule[start : start + size], schedule[start + size :]
            yield Schedule([*before, *after])
            lost = sum(operation.gap for operation in removed)
            if lost and after:
                yield Schedule([*before, after[0].but(gap=after[0].gap + lost), *after[1:]])
        size //= 2


def _renumbered(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with the workers counted from 0, and the scopes of each from s0."""
    workers = {worker: number for number, worker in enumerate(schedule.workers)}
    scopes: dict[tuple[int, str], str] = {}
    counts: dict[int, int] = {}
    renamed = []
    for operation in schedule:
        changes: dict[str, object] = {}
        if hasattr(operation, "worker"):
            changes["worker"] = workers[operation.worker]
        if hasattr(operation, "scope"):
            key = operation.worker, operation.scope  # type: ignore[attr-defined]  # who has a scope has a worker
            if key not in scopes:
                scopes[key] = f"s{counts.get(key[0], 0)}"
                counts[key[0]] = counts.get(key[0], 0) + 1
            changes["scope"] = scopes[key]
        renamed.append(operation.but(**changes))
    yield Schedule(renamed)
    for scope in dict.fromkeys(getattr(operation, "scope", "s0") for operation in schedule):
        yield Schedule([o.but(scope="s0") if getattr(o, "scope", None) == scope else o for o in schedule])
    for worker in schedule.workers[1:]:
        yield Schedule([o.but(worker=0) if getattr(o, "worker", None) == worker else o for o in schedule])


def _without_floods(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with a flood's first requests in the flood's place, which needs no fault."""
    for i, operation in enumerate(schedule):
        if isinstance(operation, Flood):
            acquire = Acquire(operation.worker, operation.scope, after=FLOOD_AFTER, gap=operation.gap)
            requests = [acquire, Release(operation.worker, operation.scope)][: operation.times]
            yield Schedule([*schedule[:i], *requests, *schedule[i + 1 :]])


def _simpler(operation: Operation) -> Iterator[Operation]:
    for name, least in (("gap", 0), ("after", 0), ("ticks", 1), ("later", 0), ("times", 1), ("pick", 0)):
        value = getattr(operation, name, least)
        for smaller in dict.fromkeys((least, (least + value) // 2, value - 1)):
            if least <= smaller < value:
                yield operation.but(**{name: smaller})
    for name, words in operation.words.items():
        for word in words[: words.index(getattr(operation, name))]:
            yield operation.but(**{name: word})


def _with_moved_gaps(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with a tick taken from an expiration and from a gap that lies before it at once."""
    for i, first in enumerate(schedule):
        if not getattr(first, "after", 0):
            continue
        for j in range(i + 1, len(schedule)):
            if schedule[j].gap:
                shorter = _with(schedule, i, first.but(after=first.after - 1))  # type: ignore[attr-defined]  # it has an `after`
                yield _with(shorter, j, schedule[j].but(gap=schedule[j].gap - 1))


def _with(schedule: Schedule, index: int, operation: Operation) -> Schedule:
    return Schedule([*schedule[:index], operation, *schedule[index + 1 :]])
