"""timersim: a laboratory for timers and watchdogs.

This package is a drop-in for torch.distributed.elastic.timer: `import timersim as timer`. Its
laboratory is `timersim.lab`, its fakes are `timersim.fakes`, its strategies `timersim.strategies`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timersim.api import RequestQueue, TimerClient, TimerRequest, TimerServer, configure, expires
    from timersim.clock import Clock, SystemClock
    from timersim.local_timer import LocalTimerClient, LocalTimerServer, MultiprocessingRequestQueue
    from timersim.memory_timer import MemoryRequestQueue, MemoryTimerClient, MemoryTimerServer
    from timersim.reaper import ProcessReaper

__version__ = "0.1.0"

__all__ = [
    "Clock",
    "LocalTimerClient",
    "LocalTimerServer",
    "MemoryRequestQueue",
    "MemoryTimerClient",
    "MemoryTimerServer",
    "MultiprocessingRequestQueue",
    "ProcessReaper",
    "RequestQueue",
    "SystemClock",
    "TimerClient",
    "TimerRequest",
    "TimerServer",
    "configure",
    "expires",
]

_MODULES = {
    "api": ("RequestQueue", "TimerClient", "TimerRequest", "TimerServer", "configure", "expires"),
    "clock": ("Clock", "SystemClock"),
    "local_timer": ("LocalTimerClient", "LocalTimerServer", "MultiprocessingRequestQueue"),
    "memory_timer": ("MemoryRequestQueue", "MemoryTimerClient", "MemoryTimerServer"),
    "reaper": ("ProcessReaper",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
