"""The fakes: virtual time, simulated workers, and worlds made of them."""

from timersim.fakes.backend import SimulatedBackend
from timersim.fakes.clock import Deadlock, SpinError, VirtualClock
from timersim.fakes.patch import patched
from timersim.fakes.workers import FakeWorkers
from timersim.fakes.world import SimulatedWorld, simulated_world

__all__ = [
    "Deadlock",
    "FakeWorkers",
    "SimulatedBackend",
    "SimulatedWorld",
    "SpinError",
    "VirtualClock",
    "patched",
    "simulated_world",
]
