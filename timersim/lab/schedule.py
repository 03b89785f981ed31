"""Schedules: the whole input of an experiment as data, operations with the gaps between them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, overload

from timersim.announcements import announced

CRASHES = ("sigkill", "exit")
"""How a worker can crash: killed by somebody else, or by `os._exit` of its own."""


MOST = 1_000_000_000
"""The largest number in an operation: thirty years of seconds."""


class ScheduleError(ValueError):
    """Something that is no schedule."""


class Operation:
    """One step of a schedule. Its `gap` is how many ticks pass before it.

    The repr is Python that rebuilds it; a gap of 0 is left out.

    >>> Acquire(0, "load", after=5, gap=2)
    Acquire(0, "load", after=5, gap=2)
    """

    __slots__ = ()

    gap: int
    fault: ClassVar[bool] = False
    """Whether it makes the world worse."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name, least)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ScheduleError(f"{name} is a whole number of at least {least}: {self!r}")
            if value > MOST:
                raise ScheduleError(f"{name} is a whole number of at most {MOST:,}")
        if not isinstance(getattr(self, "scope", ""), str):
            raise ScheduleError(f"scope is a text: {self!r}")
        if getattr(self, "how", CRASHES[0]) not in CRASHES:
            raise ScheduleError(f"how is one of {', '.join(CRASHES)}: {self!r}")

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]  # each subclass is a dataclass
        gap = values.pop("gap")
        words = [f"after={value!r}" if name == "after" else _literal(value) for name, value in values.items()]
        return f"{type(self).__name__}({', '.join([*words, f'gap={gap!r}'] if gap else words)})"


@dataclass(frozen=True, slots=True, repr=False)
class Start(Operation):
    """Starts the worker: a new incarnation. A worker whose first operation this is not runs from the beginning."""

    worker: int
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Acquire(Operation):
    """The worker acquires the timer of `scope`, due `after` ticks from now."""

    worker: int
    scope: str
    _: KW_ONLY
    after: int
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Release(Operation):
    """The worker releases the timer of `scope`."""

    worker: int
    scope: str
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Exit(Operation):
    """The worker ends as it should, whatever it holds."""

    worker: int
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Crash(Operation):
    """The worker dies at once: `how` is "sigkill", from outside, or "exit", by `os._exit`."""

    fault: ClassVar[bool] = True

    worker: int
    how: str
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Pause(Operation):
    """The worker is stopped, as by SIGSTOP; its operations wait until it resumes."""

    fault: ClassVar[bool] = True

    worker: int
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Resume(Operation):
    """The worker goes on where it was paused."""

    worker: int
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class PauseServer(Operation):
    """The server does nothing for `ticks` ticks; what arrives meanwhile waits."""

    fault: ClassVar[bool] = True

    ticks: int
    _: KW_ONLY
    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class StopServer(Operation):
    """The server's `stop` is called."""

    gap: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class StartServer(Operation):
    """The server's `start` is called."""

    gap: int = 0


OPERATIONS: dict[str, type[Operation]] = {
    kind.__name__: kind
    for kind in (Start, Acquire, Release, Exit, Crash, Pause, Resume, PauseServer, StopServer, StartServer)
}

_LEAST = {"gap": 0, "worker": 0, "after": 0, "ticks": 1}


@announced
class Schedule(Sequence[Operation]):
    """Operations in order; what an experiment runs.

    >>> Schedule([Acquire(0, "load", after=5), Release(0, "load", gap=1)])
    Schedule([Acquire(0, "load", after=5), Release(0, "load", gap=1)])
    """

    __slots__ = ("_operations",)

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._operations = tuple(operations)
        for operation in self._operations:
            if not isinstance(operation, Operation):
                raise ScheduleError(f"a schedule is made of operations: {operation!r}")

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
        return sorted(worker for worker, operation in first.items() if not isinstance(operation, Start))

    @property
    def faults(self) -> list[str]:
        """The names of the faults in it, in alphabetical order."""
        return sorted({type(operation).__name__ for operation in self if operation.fault})

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
        return cls(map(_from_object, objects))


def to_object(operation: Operation) -> dict[str, Any]:
    """Returns the operation as an object of JSON.

    >>> to_object(PauseServer(6, gap=3))
    {'operation': 'PauseServer', 'ticks': 6, 'gap': 3}
    """
    values = {field.name: getattr(operation, field.name) for field in fields(operation)}  # type: ignore[arg-type]  # each subclass is a dataclass
    return {"operation": type(operation).__name__, **values}


def _from_object(value: object) -> Operation:
    if not isinstance(value, dict) or value.get("operation") not in list(OPERATIONS):
        raise ScheduleError(f"an operation is an object with one of {', '.join(OPERATIONS)}, not: {value!r:.80}")
    arguments = {name: argument for name, argument in value.items() if name != "operation"}
    try:
        return OPERATIONS[value["operation"]](**arguments)
    except TypeError as error:
        raise ScheduleError(f"{value['operation']}: {error}") from None


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) and value.isascii() else repr(value)
