"""Tuning: which timeout, which interval, and pictures of what a watchdog does.

Needs what `pip install 'timersim[tuning]'` brings: pandas, scipy and matplotlib.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach
from timersim.tuning.libraries import said

if TYPE_CHECKING:
    from timersim.tuning.clocks import ClockStory, jumping_clocks, plot_clocks
    from timersim.tuning.example_steps import example_step_times
    from timersim.tuning.latency import LatencyError, ReapLatency, detection_time, latency_table, reap_latency
    from timersim.tuning.plots import plot_lanes, plot_timeline
    from timersim.tuning.plots_of_numbers import plot_heatmap, plot_latency, plot_tradeoff
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
    "ClockStory",
    "FalseReaps",
    "LatencyError",
    "ReapLatency",
    "StepTimesError",
    "SweepError",
    "Timeout",
    "UncertainTimeoutWarning",
    "choose_timeout",
    "choose_timeouts",
    "detection_time",
    "example_step_times",
    "false_reap_probability",
    "jumping_clocks",
    "latency_table",
    "plot_clocks",
    "plot_heatmap",
    "plot_lanes",
    "plot_latency",
    "plot_timeline",
    "plot_tradeoff",
    "reap_latency",
    "sweep",
    "timeout_table",
    "timeout_tradeoff",
]

_getattr, __dir__ = attach(
    __name__,
    {
        "clocks": ("ClockStory", "jumping_clocks", "plot_clocks"),
        "example_steps": ("example_step_times",),
        "latency": ("LatencyError", "ReapLatency", "detection_time", "latency_table", "reap_latency"),
        "plots": ("plot_lanes", "plot_timeline"),
        "plots_of_numbers": ("plot_heatmap", "plot_latency", "plot_tradeoff"),
        "step_times": ("StepTimesError",),
        "sweeps": ("SweepError", "sweep"),
        "timeouts": (
            *("FalseReaps", "Timeout", "UncertainTimeoutWarning", "choose_timeout", "choose_timeouts"),
            *("false_reap_probability", "timeout_table", "timeout_tradeoff"),
        ),
    },
)

__getattr__ = said(_getattr)
