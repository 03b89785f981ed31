"""The laboratory: one experiment, recorded and judged.

A `Schedule` is run on a `Backend` by `run`, which returns a judged `Trace`.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.lab.contract import Contract
    from timersim.lab.experiment import Backend, World, run
    from timersim.lab.invariants import InvariantViolation
    from timersim.lab.saved import SavedSchedule, saved_schedules
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
    "SavedSchedule",
    "Schedule",
    "ScheduleError",
    "Start",
    "StartServer",
    "StopServer",
    "Trace",
    "World",
    "run",
    "saved_schedules",
    "shrink",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "contract": ("Contract",),
        "experiment": ("Backend", "World", "run"),
        "invariants": ("InvariantViolation",),
        "saved": ("SavedSchedule", "saved_schedules"),
        "schedule": (
            *("Acquire", "Crash", "Exit", "Operation", "Pause", "PauseServer", "Release", "Resume"),
            *("Schedule", "ScheduleError", "Start", "StartServer", "StopServer"),
        ),
        "shrink": ("shrink",),
        "trace": ("Trace",),
    },
)
