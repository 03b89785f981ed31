"""Operations: the steps of a schedule, and the faults among them, as frozen data."""

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args

CRASHES = ("sigkill", "exit", "abort", "segv")
"""How a worker can crash, the simplest first: by SIGKILL of somebody else, or its own `os._exit`, abort or fault."""

SendingPoint = Literal["buffered", "lock held", "half written", "flushed"]

SENDING: tuple[SendingPoint, ...] = get_args(SendingPoint)
"""How far a request can have come when its worker is killed: in the last three it holds the lock of a shared wire."""

Corruption = Literal["garbage", "nan", "truncated"]

CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
"""What can come of a request on its way: something else, a request without a time, or half of one."""

POINTS = ("drained", "reaping", "reaped")
"""Where in a pass the server can be paused: it has taken requests, it is about to reap, it has reaped."""

FLOOD_AFTER = 20
"""How many ticks from now the timers of a flood are due."""

MOST = 1_000_000_000
"""The largest number in an operation: thirty years of seconds."""

_RANGES = {
    "gap": (0, MOST),
    "worker": (0, MOST),
    "of": (0, MOST),
    "after": (0, MOST),
    "ticks": (1, MOST),
    "later": (0, MOST),
    "by": (-MOST, MOST),
    "per_mille": (-999, 999),
    "times": (1, MOST),
    "pick": (0, MOST),
}
"""The whole numbers that a field may have: its least and its most."""


class ScheduleError(ValueError):
    """Something that is no schedule."""


@dataclass(frozen=True, slots=True, repr=False)
class Operation:
    """One step of a schedule. Its `gap` is how many ticks pass before it.

    The repr is Python that rebuilds it; a gap of 0 is left out.

    >>> Acquire(0, "load", after=5, gap=2)
    Acquire(0, "load", after=5, gap=2)
    """

    _: KW_ONLY
    gap: int = 0

    fault: ClassVar[bool] = False
    """Whether it makes the world worse."""
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The fields that are one of some words, and which."""

    def __post_init__(self) -> None:
        for name in filter(_RANGES.__contains__, self.__dataclass_fields__):
            value, (least, most) = getattr(self, name), _RANGES[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ScheduleError(f"{name} is a whole number of at least {least}: {self!r}")
            if value > most:
                raise ScheduleError(f"{name} is a whole number of at most {most:,}")
        if not isinstance(getattr(self, "scope", ""), str):
            raise ScheduleError(f"scope is a text: {self!r}")
        for name, words in self.words.items():
            if getattr(self, name) not in words:
                raise ScheduleError(f"{name} is one of {', '.join(words)}: {self!r}")

    def but(self, **changes: Any) -> Self:
        """Returns the same operation with other values of some fields.

        >>> Acquire(0, "load", after=5).but(after=7, gap=2)
        Acquire(0, "load", after=7, gap=2)
        """
        return replace(self, **changes)

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        gap = values.pop("gap")
        words = [f"after={value!r}" if name == "after" else _literal(value) for name, value in values.items()]
        return f"{type(self).__name__}({', '.join([*words, f'gap={gap!r}'] if gap else words)})"


@dataclass(frozen=True, slots=True, repr=False)
class Fault(Operation):
    """An operation that makes the world worse."""

    fault: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, repr=False)
class Start(Operation):
    """Starts the worker: a new incarnation. A worker whose first operation this is not runs from the beginning."""

    worker: int


@dataclass(frozen=True, slots=True, repr=False)
class Acquire(Operation):
    """The worker acquires the timer of `scope`, due `after` ticks from now."""

    worker: int
    scope: str
    _: KW_ONLY
    after: int


@dataclass(frozen=True, slots=True, repr=False)
class Release(Operation):
    """The worker releases the timer of `scope`."""

    worker: int
    scope: str


@dataclass(frozen=True, slots=True, repr=False)
class Exit(Operation):
    """The worker ends as it should, whatever it holds."""

    worker: int


@dataclass(frozen=True, slots=True, repr=False)
class Crash(Fault):
    """The worker dies at once: by SIGKILL from outside, or of its own: by `os._exit` ("exit"), abort or a fault."""

    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"how": CRASHES}

    worker: int
    how: str


@dataclass(frozen=True, slots=True, repr=False)
class Pause(Fault):
    """The worker is stopped, as by SIGSTOP; its operations wait until it resumes."""

    worker: int


@dataclass(frozen=True, slots=True, repr=False)
class Resume(Operation):
    """The worker goes on where it was paused."""

    worker: int


@dataclass(frozen=True, slots=True, repr=False)
class PauseServer(Fault):
    """The server does nothing for `ticks` ticks; what arrives meanwhile waits."""

    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class StopServer(Operation):
    """The server's `stop` is called."""


@dataclass(frozen=True, slots=True, repr=False)
class StartServer(Operation):
    """The server's `start` is called."""


@dataclass(frozen=True, slots=True, repr=False)
class Reuse(Fault):
    """Starts the worker with the pid that worker `of` bore; both are dead till then."""

    worker: int
    of: int


@dataclass(frozen=True, slots=True, repr=False)
class CrashSending(Fault):
    """The worker is killed while it sends its next request, which has come as far as `at`."""

    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"at": SENDING}

    worker: int
    at: SendingPoint


@dataclass(frozen=True, slots=True, repr=False)
class Delay(Fault):
    """The worker's next request lies in its buffer for `ticks` ticks; those after it wait behind it."""

    worker: int
    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class Drop(Fault):
    """The worker's next request is lost."""

    worker: int


@dataclass(frozen=True, slots=True, repr=False)
class Duplicate(Fault):
    """The worker's next request arrives, and once more `later` ticks later."""

    worker: int
    later: int


@dataclass(frozen=True, slots=True, repr=False)
class Reorder(Fault):
    """The worker's next request arrives `ticks` ticks later; those after it overtake it."""

    worker: int
    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class Corrupt(Fault):
    """The worker's next request arrives as something that is none."""

    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"how": CORRUPTIONS}

    worker: int
    how: Corruption


@dataclass(frozen=True, slots=True, repr=False)
class Stall(Fault):
    """The worker stalls for `ticks` ticks in the middle of its next request, with the lock of a shared wire."""

    worker: int
    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class Flood(Fault):
    """The worker sends `times` requests at once: it acquires and releases `scope` in turn."""

    worker: int
    scope: str
    times: int


@dataclass(frozen=True, slots=True, repr=False)
class PauseInPass(Fault):
    """The server is paused for `ticks` ticks when it comes to this point of a pass next."""

    words: ClassVar[Mapping[str, tuple[str, ...]]] = {"at": POINTS}

    at: str
    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class CrashServer(Fault):
    """The server is killed: its timers are forgotten. `StartServer` starts a new one."""


@dataclass(frozen=True, slots=True, repr=False)
class RestartServer(Fault):
    """The server is killed, and a new one is started at once."""


@dataclass(frozen=True, slots=True, repr=False)
class FailReap(Fault):
    """The next `times` reaps of the worker fail."""

    worker: int
    times: int


@dataclass(frozen=True, slots=True, repr=False)
class RaiseInReap(Fault):
    """The next `times` reaps of the worker raise."""

    worker: int
    times: int


@dataclass(frozen=True, slots=True, repr=False)
class SlowReap(Fault):
    """The next reap of the worker takes `ticks` ticks."""

    worker: int
    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class StepWall(Fault):
    """The wall clock steps by `by` ticks, forward or back."""

    by: int


@dataclass(frozen=True, slots=True, repr=False)
class Suspend(Fault):
    """The machine sleeps for `ticks` ticks: the wall clock goes on, the monotonic one does not."""

    ticks: int


@dataclass(frozen=True, slots=True, repr=False)
class Drift(Fault):
    """From now on the wall clock gains `per_mille` thousandths of each tick, or loses them."""

    per_mille: int


@dataclass(frozen=True, slots=True, repr=False)
class Tie(Operation):
    """At the next instant at which several things are ready, the one numbered `pick` goes first, counted round."""

    pick: int


OPERATIONS: dict[str, type[Operation]] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Operation) and kind not in {Operation, Fault}
}
"""Every operation by its name, in the order above."""

PLAIN = (Acquire, Release, PauseServer, Crash, Exit, Start, Pause, Resume, StopServer, StartServer)
"""The operations that every backend can carry out, the simplest first."""

EVERYTHING = (*PLAIN, *(kind for kind in OPERATIONS.values() if kind not in PLAIN))
"""All operations, those that every backend can carry out first."""


def to_object(operation: Operation) -> dict[str, Any]:
    """Returns the operation as an object of JSON.

    >>> to_object(PauseServer(6, gap=3))
    {'operation': 'PauseServer', 'ticks': 6, 'gap': 3}
    """
    values = {field.name: getattr(operation, field.name) for field in fields(operation)}
    gap = values.pop("gap")
    return {"operation": type(operation).__name__, **values, "gap": gap}


def from_object(value: object) -> Operation:
    """Rebuilds what `to_object` returned; raises ScheduleError for anything else."""
    if not isinstance(value, dict) or value.get("operation") not in list(OPERATIONS):
        raise ScheduleError(f"an operation is an object with one of {', '.join(OPERATIONS)}, not: {value!r:.80}")
    arguments = {name: argument for name, argument in value.items() if name != "operation"}
    try:
        return OPERATIONS[value["operation"]](**arguments)
    except TypeError as error:
        raise ScheduleError(f"{value['operation']}: {error}") from None


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) and value.isascii() else repr(value)
