"""The file of a sweep that can be gone on with: a line that says which sweep it is, then a line for each cell."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from timersim.tuning.batches import Done
from timersim.tuning.cells import Plan, SweepError, Value

KIND = "timersim sweep"


class PartialFile:
    """What was computed of a sweep, in a file to which each batch is appended.

    `done` is what was there. A last line that is cut off, as a kill leaves it, is taken away. Raises SweepError for a
    file of another sweep, and for one that is no such file; neither is touched; and for one that can't be written.
    """

    def __init__(self, path: Path, experiment: str, plan: Plan) -> None:
        self._path = path
        self._head = {
            "kind": KIND, "experiment": experiment, "seed": plan.seed, "repeats": plan.repeats,
            "grid": {name: list(values) for name, values in plan.grid.items()},
        }  # fmt: skip
        self.done: dict[int, dict[str, Value]] = {}
        try:
            whole = self._read(len(plan)) if path.exists() else 0
            self._file = path.open("r+b" if path.exists() else "x+b")
        except OSError as error:
            raise SweepError(f"partial={str(path)!r} can't be written: {error.strerror}; name another file") from None
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write([self._head])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, done: Iterable[Done]) -> None:
        """Writes what was done of the sweep."""
        self._write([number, results] for number, results in done)

    def _write(self, lines: Iterable[object]) -> None:
        self._file.write(b"".join(map(_line, lines)))
        self._file.flush()

    def _read(self, cells: int) -> int:
        """Reads the file; returns how many of its bytes are whole lines."""
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if _line(self._head).startswith(data):
            return 0
        try:
            head, *lines = [json.loads(line) for line in data[:whole].splitlines()]
            if head["kind"] != KIND:
                raise ValueError
            self.done = {int(number): dict(results) for number, results in lines}
            if not self.done.keys() <= set(range(cells)) and _line(head) == _line(self._head):
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise SweepError(f"{self._path} is no file of a sweep; name another one, or remove it") from None
        for name, value in self._head.items():
            if _line(head.get(name)) != _line(value):  # as text, in which a NaN is a NaN
                raise SweepError(
                    f"{self._path} is of another sweep: its {name} is {head.get(name)!r}, not {value!r};"
                    " name another file, or remove it"
                )
        return whole


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def name_of(experiment: Any) -> str:
    """Returns by what name an experiment is known again: of a partial also what was filled in, where it is plain.

    >>> name_of(partial(print, 5, flush=True))
    'builtins.print(5, flush=True)'
    """
    if isinstance(experiment, partial):
        given = [_known(value) for value in experiment.args]
        given += [f"{name}={_known(value)}" for name, value in sorted(experiment.keywords.items())]
        return f"{name_of(experiment.func)}({', '.join(given)})"
    named = experiment if hasattr(experiment, "__qualname__") else type(experiment)
    return f"{named.__module__}.{named.__qualname__}"


def _known(value: object) -> str:
    return repr(value) if isinstance(value, Value) else type(value).__name__
