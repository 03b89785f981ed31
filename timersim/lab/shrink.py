"""Shrinking: the smallest schedule that still fails, by delta debugging."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations, pairwise

from timersim.lab.operations import Operation
from timersim.lab.schedule import Schedule
from timersim.lab.simpler import in_place_of, simpler_kinds, simpler_numbers, sorted_at_once
from timersim.lab.specs import MAX_INTERVAL

MAX_RUNS = 500
"""How many schedules a shrink may run; it ends with the smallest so far."""


def shrink(
    schedule: Schedule,
    fails: Callable[[Schedule], bool],
    max_runs: int = MAX_RUNS,
    kinds: Iterable[type[Operation]] = (),
) -> Schedule:
    """Returns a smaller schedule for which `fails` still holds: fewer operations, then simpler ones, smaller numbers.

    Blocks of operations go first, with their gaps or without, then any two; then gaps, then fields. Where nothing of
    that helps, an operation may become one of a simpler kind, or go and more time passes for it. No other kinds than
    `kinds` and those of the schedule come in. Ends when no step helps any more, or after `max_runs` calls of `fails`.

    >>> from timersim.lab import Acquire, Release
    >>> fails = lambda s: any(type(operation) is Acquire for operation in s)
    >>> shrink(Schedule([Release(1, "b"), Acquire(2, "a", after=7, gap=3), Release(2, "a")]), fails)
    Schedule([Acquire(0, "s0", after=0)])
    """
    tried, known = {schedule}, {*kinds, *map(type, schedule)}
    progress = True
    while progress:
        progress = False
        for candidate in _candidates(schedule):
            if candidate in tried or not known.issuperset(map(type, candidate)):
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
    yield from _without_pairs(schedule)
    yield from map(Schedule, in_place_of(schedule))
    yield from _renumbered(schedule)
    for index, operation in enumerate(schedule):
        for simpler in simpler_numbers(operation):
            yield _with(schedule, index, [simpler])
    yield from _with_moved_gaps(schedule)
    yield from _sooner(schedule)
    for index, operation in enumerate(schedule):
        for kinds in simpler_kinds(operation):
            yield _with(schedule, index, kinds)
    yield from map(Schedule, sorted_at_once(schedule))
    yield from _instead(schedule)


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


def _without_pairs(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it without two operations that don't stand side by side; the others happen when they did."""
    for pair in combinations(schedule, 2):
        yield schedule.without(partial(_is_one_of, pair))


def _is_one_of(operations: Iterable[Operation], operation: Operation) -> bool:
    """Returns whether it is one of them itself; another may be equal to it."""
    return any(operation is each for each in operations)


def _renumbered(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with the workers counted from 0, and the scopes of each from s0."""
    named = [operation.worker for operation in schedule if hasattr(operation, "worker")]
    yield _counted(schedule, list(dict.fromkeys(named)))
    yield _counted(schedule, schedule.workers)
    for scope in dict.fromkeys(getattr(operation, "scope", "s0") for operation in schedule):
        yield Schedule([o.but(scope="s0") if getattr(o, "scope", None) == scope else o for o in schedule])
    for worker in schedule.workers[1:]:
        yield Schedule([o.but(worker=0) if getattr(o, "worker", None) == worker else o for o in schedule])


def _counted(schedule: Schedule, order: Sequence[int]) -> Schedule:
    workers = {worker: number for number, worker in enumerate(order)}
    scopes: dict[tuple[int, str], str] = {}
    counts: dict[int, int] = {}
    renamed = []
    for operation in schedule:
        changes: dict[str, object] = {}
        if hasattr(operation, "worker"):
            changes["worker"] = workers[operation.worker]
        if hasattr(operation, "of"):
            changes["of"] = workers.get(operation.of, operation.of)
        if hasattr(operation, "scope"):
            key = operation.worker, operation.scope  # type: ignore[attr-defined]  # who has a scope has a worker
            if key not in scopes:
                scopes[key] = f"s{counts.get(key[0], 0)}"
                counts[key[0]] = counts.get(key[0], 0) + 1
            changes["scope"] = scopes[key]
        renamed.append(operation.but(**changes))
    return Schedule(renamed)


def _with_moved_gaps(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with a tick taken from an expiration and a gap before it at once, or an operation sooner by its gap."""
    for i, first in enumerate(schedule):
        if not getattr(first, "after", 0):
            continue
        for j in range(i + 1, len(schedule)):
            if schedule[j].gap:
                shorter = _with(schedule, i, [first.but(after=first.after - 1)])  # type: ignore[attr-defined]  # it has an `after`
                yield _with(shorter, j, [schedule[j].but(gap=schedule[j].gap - 1)])
    for i, (first, second) in enumerate(pairwise(schedule)):
        if first.gap:
            sooner = [first.but(gap=0), second.but(gap=first.gap + second.gap)]
            yield Schedule([*schedule[:i], *sooner, *schedule[i + 2 :]])


def _sooner(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it with the expirations that are not at once so much sooner, all of them."""
    afters = [after for operation in schedule if (after := getattr(operation, "after", 0))]
    for less in dict.fromkeys([min(afters), min(afters) - 1, 1]) if len(afters) > 1 else []:
        yield Schedule([o.but(after=o.after - less) if getattr(o, "after", 0) else o for o in schedule])  # type: ignore[attr-defined]  # as above


def _instead(schedule: Schedule) -> Iterator[Schedule]:
    """Yields it without an operation, and for it all at once, or later, or in another order, or with another word."""
    for index, operation in enumerate(schedule):
        rest = Schedule([*schedule[:index], *schedule[index + 1 :]])
        yield from map(Schedule, sorted_at_once(rest))
        yield Schedule([o.but(gap=0) for o in rest])
        yield Schedule([o.but(gap=0, after=0) if hasattr(o, "after") else o.but(gap=0) for o in rest])
        for more in (1, MAX_INTERVAL):
            if index < len(rest):
                yield _with(rest, index, [rest[index].but(gap=rest[index].gap + operation.gap + more)])
            yield Schedule([o.but(after=o.after + more) if hasattr(o, "after") else o for o in rest])
        yield Schedule([o.but(after=max(1, o.after)) if hasattr(o, "after") else o for o in rest])
        for other, said in enumerate(rest):
            for name, words in said.words.items():
                for word in words:
                    yield _with(rest, other, [said.but(**{name: word})])


def _with(schedule: Schedule, index: int, operations: Sequence[Operation]) -> Schedule:
    return Schedule([*schedule[:index], *operations, *schedule[index + 1 :]])
