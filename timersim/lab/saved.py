"""Failing test cases as files: NAME.timersim.json, from which `replay` makes the run again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.operations import ScheduleError, to_object
from timersim.lab.schedule import Schedule
from timersim.lab.specs import is_found_afresh

SUFFIX = ".timersim.json"
VERSION = 1

FAILURES = Path("timersim-failures")
"""The folder, in the current one, to which failing test cases are saved that were reported."""


@dataclass(frozen=True, slots=True)
class SavedSchedule:
    """A schedule with the invariants that it broke, and what rebuilds the backend on which it did."""

    name: str
    invariants: Sequence[str]
    backend: Mapping[str, Any]
    schedule: Schedule

    def save(self, folder: Path) -> Path:
        """Writes it to `folder`, which is made where there is none, and returns its file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}{SUFFIX}"
        content = {
            "timersim": VERSION,
            "invariants": list(self.invariants),
            "backend": dict(self.backend),
            "schedule": [to_object(operation) for operation in self.schedule],
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


def named(invariants: Sequence[str], backend: Mapping[str, Any], schedule: Schedule) -> SavedSchedule:
    """Gives a failing test case its name: its first invariant, and four digits of its content's hash."""
    digest = hashlib.sha256(repr((sorted(backend.items(), key=str), schedule)).encode()).hexdigest()[:4]
    return SavedSchedule(f"{invariants[0]}-{digest}", invariants, backend, schedule)


def of_violation(violation: InvariantViolation) -> SavedSchedule | None:
    """Returns the failing test case of a violation as a file's content; None where nothing rebuilds its backend."""
    record = violation.record
    if record.backend_spec is None or not is_found_afresh(record.backend_spec):
        return None
    return named([violation.invariant.id], record.backend_spec, record.schedule)


def load(path: Path) -> SavedSchedule:
    """Reads a saved schedule; raises ScheduleError, naming the file, for anything else."""
    if path.is_char_device():
        raise ScheduleError(f"{path} is no saved schedule: it is a device")  # /dev/zero never ends
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScheduleError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"{path} is no saved schedule: not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("timersim") != VERSION:
        raise ScheduleError(f'{path} is no saved schedule: it has no "timersim": {VERSION}')
    invariants, backend = content.get("invariants"), content.get("backend")
    if not isinstance(invariants, list) or not invariants or not all(isinstance(name, str) for name in invariants):
        raise ScheduleError(f'{path} is no saved schedule: "invariants" is no list of names')
    if unknown := [name for name in invariants if name not in INVARIANTS]:
        raise ScheduleError(f"{path} names an invariant that there is not: {unknown[0]!r}")
    if not isinstance(backend, dict):
        raise ScheduleError(f'{path} is no saved schedule: "backend" is no object')
    try:
        schedule = Schedule.from_objects(content.get("schedule"))
    except ScheduleError as error:
        raise ScheduleError(f"{path} is no saved schedule: {error}") from None
    return SavedSchedule(path.name.removesuffix(SUFFIX), tuple(invariants), backend, schedule)


def saved_schedules(folder: str | Path) -> list[SavedSchedule]:
    """Returns the saved schedules of a folder and those below it, sorted by name; for `parametrize`.

    >>> import tempfile
    >>> saved_schedules(tempfile.mkdtemp())
    []
    """
    return sorted(map(load, Path(folder).rglob(f"*{SUFFIX}")), key=lambda saved: saved.name)
