"""Schedules: the whole input of an experiment as data, operations with the gaps between them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from timersim.announcements import announced
from timersim.lab.operations import Operation, Reuse, ScheduleError, Start, from_object, to_object


@announced
class Schedule(Sequence[Operation]):
    """Operations in order; what an experiment runs.

    >>> from timersim.lab import Acquire, Release
    >>> Schedule([Acquire(0, "load", after=5), Release(0, "load", gap=1)])
    Schedule([Acquire(0, "load", after=5), Release(0, "load", gap=1)])
    """

    __slots__ = ("_operations",)

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._operations = tuple(operations)
        for operation in self._operations:
            if not isinstance(operation, Operation):
                raise ScheduleError(f"a schedule is made of operations: {operation!r}")

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations)

    def __len__(self) -> int:
        return len(self._operations)

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> "Schedule": ...
    def __getitem__(self, index: int | slice) -> "Operation | Schedule":
        if isinstance(index, slice):
            return Schedule(self._operations[index])
        return self._operations[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._operations == other._operations

    def __hash__(self) -> int:
        return hash(self._operations)

    def __repr__(self) -> str:
        return f"Schedule([{', '.join(map(repr, self._operations))}])"

    @property
    def workers(self) -> list[int]:
        """The workers that it names, in ascending order."""
        return sorted({operation.worker for operation in self if hasattr(operation, "worker")})

    @property
    def running_at_first(self) -> list[int]:
        """The workers that run from the beginning: all but those whose first operation starts them."""
        first: dict[int, Operation] = {}
        for operation in self:
            if hasattr(operation, "worker"):
                first.setdefault(operation.worker, operation)
        return sorted(worker for worker, operation in first.items() if not isinstance(operation, Start | Reuse))

    @property
    def faults(self) -> list[str]:
        """The names of the faults in it, in alphabetical order."""
        return sorted({type(operation).__name__ for operation in self if operation.fault})

    def without(self, is_left_out: Callable[[Operation], bool]) -> "Schedule":
        """Returns it without some of its operations; the others happen when they did.

        Raises ScheduleError where that takes a gap that no operation can have.

        >>> from timersim.lab import Acquire, PauseServer
        >>> schedule = Schedule([PauseServer(2, gap=3), Acquire(0, "load", after=5, gap=1)])
        >>> schedule.without(lambda operation: isinstance(operation, PauseServer))
        Schedule([Acquire(0, "load", after=5, gap=4)])
        """
        kept, gap = [], 0
        for operation in self:
            gap += operation.gap
            if not is_left_out(operation):
                kept.append(operation.but(gap=gap))
                gap = 0
        return Schedule(kept)

    def to_json(self) -> str:
        """Returns it as a JSON list, an object an operation."""
        return json.dumps([to_object(operation) for operation in self])

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        """Rebuilds what `to_json` returned; raises ScheduleError for anything else."""
        try:
            objects = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ScheduleError(f"not JSON: {error}") from None
        return cls.from_objects(objects)

    @classmethod
    def from_objects(cls, objects: object) -> "Schedule":
        """Rebuilds a schedule from the list that its JSON holds; raises ScheduleError for anything else."""
        if not isinstance(objects, list):
            raise ScheduleError(f"a schedule is a list of operations, not: {objects!r:.80}")
        return cls(map(from_object, objects))
