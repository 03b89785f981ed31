"""Bounds of an exhaustion: what its schedules are made of, and how much of it there may be."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from itertools import product
from typing import Any

from timersim.lab.operations import MOST, OPERATIONS, Operation, ScheduleError

NAMES = {re.sub("(?<=[a-z])(?=[A-Z])", "-", name).lower(): kind for name, kind in OPERATIONS.items()}
"""Every operation by its name in lower case, with hyphens: `pause-server` is PauseServer."""

_RANGES = {
    "workers": (1, 10),
    "scopes": (1, 10),
    "size": (0, 100),
    "after": (0, MOST),
    "gaps": (0, MOST),
    "ticks": (1, MOST),
}
"""The whole numbers that each may be: beyond them nobody sees the end."""


class BoundError(ScheduleError):
    """A value that a bound can't have: its `name`, and the `rule` with the value."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name}: {rule}")
        self.name = name
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Bound:
    """What the schedules of an exhaustion are made of: up to so many workers, scopes and operations.

    `ops` are names of operations, as in "pause-server". One that happens in several ways is tried in each of them;
    "crash:sigkill" is that way alone. Timers are due `after` ticks from their acquire, `gaps` are what passes before an
    operation, and `ticks` stand for every other number: for how long, how often, by how much (forward and back). Raises
    ScheduleError for a value that can't be.

    >>> Bound(workers=1, size=2, ops=["acquire", "release"], after=[5])
    Bound(workers=1, scopes=1, size=2, ops=('acquire', 'release'), after=(5,), gaps=(0, 1), ticks=(3,))
    """

    workers: int = 2
    scopes: int = 1
    size: int = 4
    ops: Iterable[str] = ("acquire", "release", "exit")
    after: Iterable[int] = (1, 2)
    gaps: Iterable[int] = (0, 1)
    ticks: Iterable[int] = (3,)

    def __post_init__(self) -> None:
        for name in ("ops", "after", "gaps", "ticks"):
            values = tuple(dict.fromkeys(getattr(self, name)))
            if not values:
                raise BoundError(name, "at least one, separated by commas; there is none")
            object.__setattr__(self, name, values)
        for name in _RANGES:
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else [value]:
                _check(name, number)
        self.alphabet()

    def to_object(self) -> dict[str, object]:
        """Returns it as an object of JSON."""
        return asdict(self)

    @property
    def kinds(self) -> list[type[Operation]]:
        """The kinds of its operations, each once."""
        return list(dict.fromkeys(_named(op)[0] for op in self.ops))

    def alphabet(self) -> list[Operation]:
        """Returns every operation within it, without its gap, in the order of `ops`."""
        operations: dict[Operation, None] = {}
        for kind, word in map(_named, self.ops):
            names = [field.name for field in fields(kind) if field.name != "gap"]
            ranges = [[word] if word and name in kind.words else self._values(kind, name) for name in names]
            for values in product(*ranges):
                fitting: dict[str, Any] = dict(zip(names, values, strict=True))
                operations[kind(**fitting)] = None
        return list(operations)

    def _values(self, kind: type[Operation], name: str) -> Sequence[object]:
        """Returns the values of a field."""
        if name in kind.words:
            return kind.words[name]
        if name in {"worker", "of"}:
            return range(self.workers)
        if name == "scope":
            return [f"s{number}" for number in range(self.scopes)]
        if name in {"by", "per_mille"}:
            return [number for ticks in self.ticks for number in (ticks, -ticks)]
        return tuple(self.after if name == "after" else self.ticks)


def _check(name: str, value: object) -> None:
    least, most = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BoundError(name, f"whole numbers from {least} to {most:,}, not {value!r}")


def _named(op: str) -> tuple[type[Operation], str]:
    """Returns the operation of a name, and the way in which it happens, "" for each of them."""
    name, colon, way = op.partition(":")
    if name not in NAMES:
        near = "".join(f"did you mean {each}? " for each in get_close_matches(name, NAMES, n=1))
        raise ScheduleError(f"there is no operation {name!r}; {near}there are {', '.join(NAMES)}")
    words = [word for words in NAMES[name].words.values() for word in words]
    word = way.replace("-", " ")
    if colon and word not in words:
        ways = ", ".join(f"{name}:{word.replace(' ', '-')}" for word in words)
        raise ScheduleError(f"{name} happens in one way{f' of {ways}' if ways else ', without a colon'}: {op!r}")
    return NAMES[name], word
