"""The fakes: virtual time, simulated workers, and worlds made of them."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.fakes.backend import SimulatedBackend
    from timersim.fakes.clock import VirtualClock
    from timersim.fakes.faults import FaultyReaper, FaultyRequestQueue
    from timersim.fakes.hang_guard import HangError
    from timersim.fakes.patched_time import patch_time
    from timersim.fakes.scheduler import Deadlock, SpinError
    from timersim.fakes.waiting import HoldTimeout
    from timersim.fakes.workers import FakeWorkers, StraySignalError, WorkerStatus
    from timersim.fakes.world import SimulatedWorld, simulated_world

__all__ = [
    "Deadlock",
    "FakeWorkers",
    "FaultyReaper",
    "FaultyRequestQueue",
    "HangError",
    "HoldTimeout",
    "SimulatedBackend",
    "SimulatedWorld",
    "SpinError",
    "StraySignalError",
    "VirtualClock",
    "WorkerStatus",
    "patch_time",
    "simulated_world",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "backend": ("SimulatedBackend",),
        "clock": ("VirtualClock",),
        "faults": ("FaultyReaper", "FaultyRequestQueue"),
        "hang_guard": ("HangError",),
        "patched_time": ("patch_time",),
        "scheduler": ("Deadlock", "SpinError"),
        "waiting": ("HoldTimeout",),
        "workers": ("FakeWorkers", "StraySignalError", "WorkerStatus"),
        "world": ("SimulatedWorld", "simulated_world"),
    },
)
