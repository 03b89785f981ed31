"""Tuning: which timeout, which interval, and pictures of what a watchdog does.

Needs what `pip install 'timersim[tuning]'` brings: pandas, scipy and matplotlib.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach
from timersim.tuning.libraries import said

if TYPE_CHECKING:
    from timersim.tuning.latency import LatencyError, ReapLatency, latency_table, reap_latency
    from timersim.tuning.plots import plot_lanes
    from timersim.tuning.sweeps import SweepError, sweep

__all__ = ["LatencyError", "ReapLatency", "SweepError", "latency_table", "plot_lanes", "reap_latency", "sweep"]

_getattr, __dir__ = attach(
    __name__,
    {
        "latency": ("LatencyError", "ReapLatency", "latency_table", "reap_latency"),
        "plots": ("plot_lanes",),
        "sweeps": ("SweepError", "sweep"),
    },
)

__getattr__ = said(_getattr)
