"""The laboratory: one experiment, recorded and judged.

A `Schedule` is run on a `Backend` by `run`, which returns a judged `Trace`.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.lab.contract import Contract
    from timersim.lab.experiment import Backend, World, run
    from timersim.lab.figure import draw
    from timersim.lab.invariants import InvariantViolation
    from timersim.lab.operations import (
        Acquire,
        Corrupt,
        Crash,
        CrashSending,
        CrashServer,
        Delay,
        Drift,
        Drop,
        Duplicate,
        Exit,
        FailReap,
        Flood,
        Operation,
        Pause,
        PauseInPass,
        PauseServer,
        RaiseInReap,
        Release,
        Reorder,
        RestartServer,
        Resume,
        Reuse,
        ScheduleError,
        SlowReap,
        Stall,
        Start,
        StartServer,
        StepWall,
        StopServer,
        Suspend,
        Tie,
    )
    from timersim.lab.saved import SavedSchedule, saved_schedules
    from timersim.lab.schedule import Schedule
    from timersim.lab.shrink import shrink
    from timersim.lab.trace import Trace

__all__ = [
    "Acquire",
    "Backend",
    "Contract",
    "Corrupt",
    "Crash",
    "CrashSending",
    "CrashServer",
    "Delay",
    "Drift",
    "Drop",
    "Duplicate",
    "Exit",
    "FailReap",
    "Flood",
    "InvariantViolation",
    "Operation",
    "Pause",
    "PauseInPass",
    "PauseServer",
    "RaiseInReap",
    "Release",
    "Reorder",
    "RestartServer",
    "Resume",
    "Reuse",
    "SavedSchedule",
    "Schedule",
    "ScheduleError",
    "SlowReap",
    "Stall",
    "Start",
    "StartServer",
    "StepWall",
    "StopServer",
    "Suspend",
    "Tie",
    "Trace",
    "World",
    "draw",
    "run",
    "saved_schedules",
    "shrink",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "contract": ("Contract",),
        "experiment": ("Backend", "World", "run"),
        "figure": ("draw",),
        "invariants": ("InvariantViolation",),
        "saved": ("SavedSchedule", "saved_schedules"),
        "operations": (
            *("Acquire", "Corrupt", "Crash", "CrashSending", "CrashServer", "Delay", "Drift"),
            *("Drop", "Duplicate", "Exit", "FailReap", "Flood", "Operation", "Pause"),
            *("PauseInPass", "PauseServer", "RaiseInReap", "Release", "Reorder", "RestartServer", "Resume"),
            *("Reuse", "ScheduleError", "SlowReap", "Stall", "Start", "StartServer", "StepWall"),
            *("StopServer", "Suspend", "Tie"),
        ),
        "schedule": ("Schedule",),
        "shrink": ("shrink",),
        "trace": ("Trace",),
    },
)
