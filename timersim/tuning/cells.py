"""The cells of a sweep: each combination of the grid's values, each repeat with a seed of its own."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from timersim.lab.counts import is_whole

Value = bool | int | float | str | None
"""What a grid holds and an experiment returns: what stands in one cell of a table."""

Results = Mapping[str, Value]

OWN = ("repeat", "seed")
"""The columns that a sweep adds, which no parameter and no result may be called."""


class SweepError(ValueError):
    """Something that is no sweep, or can't be carried out as asked."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of the experiment: its parameters, which repeat it is, and its seed."""

    parameters: dict[str, Value]
    repeat: int
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole sweep as data: the cell of each number is found without making the others.

    >>> plan = Plan({"timeout_s": (1, 2), "ranks": (8,)}, repeats=2, seed=0)
    >>> len(plan), plan.cell(2).parameters, plan.cell(2).repeat
    (4, {'timeout_s': 2, 'ranks': 8}, 0)
    """

    grid: dict[str, tuple[Value, ...]]
    repeats: int
    seed: int
    _combinations: list[tuple[Value, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_combinations", list(product(*self.grid.values())))

    @classmethod
    def of(cls, grid: Mapping[str, Iterable[Any]], repeats: int, seed: int) -> "Plan":
        """Makes the plan of what a user gave; SweepError for what is wrong with it."""
        if not grid:
            raise SweepError("a grid has at least one parameter: grid={}")
        for name, number, least in (("repeats", repeats, 1), ("seed", seed, 0)):
            if not is_whole(number, least):
                raise SweepError(f"{name} is a whole number of at least {least}: {name}={number!r}")
        return cls({name: _values(name, values) for name, values in grid.items()}, int(repeats), int(seed))

    def __len__(self) -> int:
        return len(self._combinations) * self.repeats

    def cell(self, number: int) -> Cell:
        """Returns the cell of that number; the repeats of a combination follow one another."""
        place, repeat = divmod(number, self.repeats)
        parameters = dict(zip(self.grid, self._combinations[place], strict=True))
        return Cell(parameters, repeat, seed_of(self.seed, parameters, repeat))


def seed_of(seed: int, parameters: Results, repeat: int) -> int:
    """Returns the seed of a cell, 63 bits, which depends on these three and on nothing else.

    Not on the grid: a cell that stands in a larger grid keeps its seed, and its result.

    >>> seed_of(0, {"timeout_s": 5, "ranks": 8}, 0) == seed_of(0, {"ranks": 8, "timeout_s": 5}, 0)
    True
    """
    text = json.dumps([seed, sorted(parameters.items()), repeat])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def call(experiment: Callable[..., Any], cell: Cell) -> dict[str, Value]:
    """Returns the results of one call by name; a number alone is called `value`."""
    try:
        returned = experiment(**cell.parameters, seed=cell.seed)
    except Exception as error:
        error.add_note(f"in the cell {shown(cell)} of the sweep")
        raise
    if not isinstance(returned, Mapping):
        returned = {"value": returned}
    if not returned or not all(isinstance(name, str) for name in returned):
        raise SweepError(f"an experiment returns a number, or results by name: {returned!r} in the cell {shown(cell)}")
    for name in returned:
        if name in OWN or name in cell.parameters:
            raise SweepError(f"the result {name!r} is called as a column that the sweep has already; rename it")
    return {name: plain(f"the result {name!r}", value) for name, value in returned.items()}


def shown(cell: Cell) -> str:
    """Returns a cell as the arguments with which to call the experiment again.

    >>> shown(Cell({"timeout_s": 5}, 0, 17))
    'timeout_s=5, seed=17'
    """
    return ", ".join(f"{name}={value!r}" for name, value in (*cell.parameters.items(), ("seed", cell.seed)))


def plain(what: str, value: Any) -> Value:
    """Returns a value as Python's own, also one of numpy's; SweepError for what is no single value."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, Value):
        return value
    raise SweepError(f"{what} is a number, a text, a truth or None: {value!r}; give a text that names it")


def _values(name: Any, values: Any) -> tuple[Value, ...]:
    if not isinstance(name, str) or not name.isidentifier() or name in OWN:
        raise SweepError(f"a parameter is called as an argument, and not {' or '.join(OWN)}: {name!r}")
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise SweepError(f"a grid has for each parameter a sequence of values: {name}={values!r}")
    found = tuple(plain(f"the parameter {name}", value) for value in values)
    if not found:
        raise SweepError(f"a grid has for each parameter at least one value: {name}={values!r}")
    if len({json.dumps(value) for value in found}) < len(found):
        raise SweepError(f"a grid has each value of a parameter once: {name}={list(found)!r}")
    return found
