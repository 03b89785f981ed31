"""Tuning: which timeout, which interval, and pictures of what a watchdog does.

Needs what `pip install 'timersim[tuning]'` brings: pandas, scipy and matplotlib.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach
from timersim.tuning.libraries import said

if TYPE_CHECKING:
    from timersim.tuning.latency import LatencyError, ReapLatency, latency_table, reap_latency
    from timersim.tuning.plots import plot_lanes
    from timersim.tuning.step_times import StepTimesError
    from timersim.tuning.sweeps import SweepError, sweep
    from timersim.tuning.timeouts import (
        FalseReaps,
        Timeout,
        UncertainTimeoutWarning,
        choose_timeout,
        choose_timeouts,
        false_reap_probability,
        timeout_table,
        timeout_tradeoff,
    )

__all__ = [
    "FalseReaps",
    "LatencyError",
    "ReapLatency",
    "StepTimesError",
    "SweepError",
    "Timeout",
    "UncertainTimeoutWarning",
    "choose_timeout",
    "choose_timeouts",
    "false_reap_probability",
    "latency_table",
    "plot_lanes",
    "reap_latency",
    "sweep",
    "timeout_table",
    "timeout_tradeoff",
]

_getattr, __dir__ = attach(
    __name__,
    {
        "latency": ("LatencyError", "ReapLatency", "latency_table", "reap_latency"),
        "plots": ("plot_lanes",),
        "step_times": ("StepTimesError",),
        "sweeps": ("SweepError", "sweep"),
        "timeouts": (
            *("FalseReaps", "Timeout", "UncertainTimeoutWarning", "choose_timeout", "choose_timeouts"),
            *("false_reap_probability", "timeout_table", "timeout_tradeoff"),
        ),
    },
)

__getattr__ = said(_getattr)
