"""timersim: a laboratory for timers and watchdogs.

This package is a drop-in for torch.distributed.elastic.timer: `import timersim as timer`. Its
laboratory is `timersim.lab`, its fakes are `timersim.fakes`, its strategies `timersim.strategies`.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.api import RequestQueue, TimerClient, TimerRequest, TimerServer, configure, expires
    from timersim.clock import Clock, SystemClock
    from timersim.debug_info_logging import log_debug_info_for_expired_timers
    from timersim.file_based_local_timer import FileTimerClient, FileTimerRequest, FileTimerServer
    from timersim.local_timer import LocalTimerClient, LocalTimerServer, MultiprocessingRequestQueue
    from timersim.memory_timer import MemoryRequestQueue, MemoryTimerClient, MemoryTimerServer
    from timersim.reaper import ProcessReaper
    from timersim.socket_timer import SocketTimerClient, SocketTimerServer

__version__ = "0.1.0"

__all__ = [
    "Clock",
    "FileTimerClient",
    "FileTimerRequest",
    "FileTimerServer",
    "LocalTimerClient",
    "LocalTimerServer",
    "MemoryRequestQueue",
    "MemoryTimerClient",
    "MemoryTimerServer",
    "MultiprocessingRequestQueue",
    "ProcessReaper",
    "RequestQueue",
    "SocketTimerClient",
    "SocketTimerServer",
    "SystemClock",
    "TimerClient",
    "TimerRequest",
    "TimerServer",
    "configure",
    "expires",
    "log_debug_info_for_expired_timers",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "api": ("RequestQueue", "TimerClient", "TimerRequest", "TimerServer", "configure", "expires"),
        "clock": ("Clock", "SystemClock"),
        "debug_info_logging": ("log_debug_info_for_expired_timers",),
        "file_based_local_timer": ("FileTimerClient", "FileTimerRequest", "FileTimerServer"),
        "local_timer": ("LocalTimerClient", "LocalTimerServer", "MultiprocessingRequestQueue"),
        "memory_timer": ("MemoryRequestQueue", "MemoryTimerClient", "MemoryTimerServer"),
        "reaper": ("ProcessReaper",),
        "socket_timer": ("SocketTimerClient", "SocketTimerServer"),
    },
)
