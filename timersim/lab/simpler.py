"""What is simpler than an operation: the same with smaller numbers, or another one that often comes to the same."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

from timersim.lab.operations import (
    FLOOD_AFTER,
    Acquire,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Operation,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Reuse,
    SlowReap,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
)

_LEAST = (("gap", 0), ("after", 0), ("ticks", 1), ("later", 0), ("times", 1), ("pick", 0))


def simpler_numbers(operation: Operation) -> Iterator[Operation]:
    """Yields it with smaller numbers and simpler words, one at a time, the simplest first.

    >>> list(simpler_numbers(PauseServer(3)))
    [PauseServer(1), PauseServer(2)]
    """
    for name, least in _LEAST:
        value = getattr(operation, name, least)
        for smaller in dict.fromkeys((least, (least + value) // 2, value - 1)):
            if least <= smaller < value:
                yield operation.but(**{name: smaller})
    for name in ("by", "per_mille"):
        value = getattr(operation, name, 0)
        for size in dict.fromkeys((1, abs(value) // 2, abs(value) - 1)):
            if 0 < size < abs(value):
                yield operation.but(**{name: size if value > 0 else -size})
    for name, words in operation.words.items():
        for word in words[: words.index(getattr(operation, name))]:
            yield operation.but(**{name: word})


def simpler_kinds(operation: Operation) -> Iterator[Sequence[Operation]]:
    """Yields what may stand in its place and says less: what supersedes a timer, takes as long, or ends a worker.

    >>> list(simpler_kinds(RaiseInReap(0, 2, gap=1)))
    [[FailReap(0, 2, gap=1)]]
    """
    gap = operation.gap
    match operation:
        case Acquire(worker, scope):
            yield [Release(worker, scope, gap=gap)]
        case CrashSending(worker):
            yield [Crash(worker, "sigkill", gap=gap)]
        case Crash(worker):
            yield [Exit(worker, gap=gap)]
        case Reuse(worker):
            yield [Start(worker, gap=gap)]
        case RaiseInReap(worker, times):
            yield [FailReap(worker, times, gap=gap)]
        case PauseInPass(_, ticks) | Delay(_, ticks) | Reorder(_, ticks) | Stall(_, ticks) | SlowReap(_, ticks):
            yield [PauseServer(ticks, gap=gap)]
        case Suspend(ticks):
            yield [StepWall(ticks, gap=gap)]
        case Drift(per_mille):
            yield [StepWall(1 if per_mille > 0 else -1, gap=gap)]
        case Flood(worker, scope, times):
            acquire = Acquire(worker, scope, after=FLOOD_AFTER, gap=gap)
            yield [acquire, Release(worker, scope)][:times]


def sorted_at_once(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yields them with two neighbours exchanged that happen at once: faults go first, then who is due sooner.

    >>> list(sorted_at_once([Acquire(0, "s0", after=1, gap=2), FailReap(0, 1)]))
    [[FailReap(0, 1, gap=2), Acquire(0, "s0", after=1)]]
    """
    for index, (first, second) in enumerate(pairwise(operations)):
        if second.gap == 0 and _turn(second) < _turn(first):
            yield [*operations[:index], second.but(gap=first.gap), first.but(gap=0), *operations[index + 2 :]]


def _turn(operation: Operation) -> tuple[bool, bool, int]:
    return not operation.fault, not isinstance(operation, Acquire), getattr(operation, "after", 0)


def in_place_of(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yields them with fewer: what takes the server away and brings it back is one, and requests in a row are.

    >>> list(in_place_of([StopServer(gap=1), Release(0, "s0", gap=2), StartServer(gap=3)]))
    [[PauseServer(5, gap=1), Release(0, "s0", gap=2)]]
    """
    for first, second in combinations(range(len(operations)), 2):
        between, after = operations[first + 1 : second], _late(operations[second + 1 :], operations[second].gap)
        match operations[first], operations[second]:
            case StopServer(gap=gap), StartServer():
                yield [*operations[:first], PauseServer(_ticks(operations, first, second), gap=gap), *between, *after]
            case CrashServer(gap=gap), StartServer(gap=later):
                yield [*operations[:first], RestartServer(gap=gap), *between, *after]
                yield [*operations[:first], *_late(between, gap), RestartServer(gap=later), *operations[second + 1 :]]
                yield [*operations[:first], PauseServer(_ticks(operations, first, second), gap=gap), *between, *after]
            case (FailReap() | RaiseInReap() as once, FailReap() | RaiseInReap() as again) if (
                once.worker == again.worker
            ):
                yield [*operations[:first], once.but(times=once.times + again.times), *between, *after]
    yield from _flooded(operations)
    yield from _duplicated(operations)


def _flooded(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yields them with a flood in place of requests in a row, where there is a fault anyway."""
    if not any(operation.fault for operation in operations):
        return
    for first, second in combinations(range(len(operations) + 1), 2):
        row = operations[first:second]
        if len(row) > 1 and all(
            isinstance(each, Acquire | Release | Flood) and _key(each) == _key(row[0]) for each in row
        ):
            times = sum(getattr(each, "times", 1) for each in row) + isinstance(row[0], Release)
            if times > 2:
                yield [*operations[:first], Flood(*_key(row[0]), times, gap=row[0].gap), *operations[second:]]


def _duplicated(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yields them with a duplicate in place of a worker's second request and of another fault."""
    for first, second in combinations(range(len(operations)), 2):
        pair = operations[first], operations[second]
        if all(isinstance(each, Acquire | Release) for each in pair) and _key(pair[0])[0] == _key(pair[1])[0]:
            for index, operation in enumerate(operations):
                if operation.fault:
                    rest = [each for place, each in enumerate(operations) if place not in {index, second}]
                    place = first - (index < first)
                    duplicate = Duplicate(_key(pair[0])[0], 1, gap=pair[0].gap)
                    yield [*rest[:place], duplicate, pair[0].but(gap=0), *rest[place + 1 :]]


def _key(operation: Any) -> tuple[int, str]:
    return operation.worker, operation.scope


def _ticks(operations: Sequence[Operation], first: int, second: int) -> int:
    return max(1, sum(operation.gap for operation in operations[first + 1 : second + 1]))


def _late(operations: Sequence[Operation], ticks: int) -> list[Operation]:
    """Returns them with so many ticks more before the first."""
    return [operations[0].but(gap=operations[0].gap + ticks), *operations[1:]] if operations else []
