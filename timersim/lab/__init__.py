"""The laboratory: one experiment, recorded and judged.

A `Schedule` is run on a `Backend` by `run`, which returns a judged `Trace`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timersim.lab import invariants
    from timersim.lab.contract import Contract
    from timersim.lab.experiment import Backend, World, run
    from timersim.lab.invariants import InvariantViolation
    from timersim.lab.saved import saved_schedules
    from timersim.lab.schedule import (
        Acquire,
        Crash,
        Exit,
        Operation,
        Pause,
        PauseServer,
        Release,
        Resume,
        Schedule,
        ScheduleError,
        Start,
        StartServer,
        StopServer,
    )
    from timersim.lab.shrink import shrink
    from timersim.lab.trace import Trace

__all__ = [
    "Acquire",
    "Backend",
    "Contract",
    "Crash",
    "Exit",
    "InvariantViolation",
    "Operation",
    "Pause",
    "PauseServer",
    "Release",
    "Resume",
    "Schedule",
    "ScheduleError",
    "Start",
    "StartServer",
    "StopServer",
    "Trace",
    "World",
    "invariants",
    "run",
    "saved_schedules",
    "shrink",
]

_MODULES = {
    "contract": ("Contract",),
    "experiment": ("Backend", "World", "run"),
    "invariants": ("InvariantViolation",),
    "saved": ("saved_schedules",),
    "schedule": (
        "Acquire", "Crash", "Exit", "Operation", "Pause", "PauseServer", "Release", "Resume", "Schedule", "ScheduleError",
        "Start", "StartServer", "StopServer",
    ),
    "shrink": ("shrink",),
    "trace": ("Trace",),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "invariants":
        return import_module(f"{__name__}.invariants")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
