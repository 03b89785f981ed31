"""Tuning: which timeout, which interval, and pictures of what a watchdog does.

Needs what `pip install 'timersim[tuning]'` brings: pandas, scipy and matplotlib.
"""

from typing import TYPE_CHECKING

from timersim.lazy import attach
from timersim.tuning.libraries import said

if TYPE_CHECKING:
    from timersim.tuning.plots import plot_lanes
    from timersim.tuning.sweeps import SweepError, sweep

__all__ = ["SweepError", "plot_lanes", "sweep"]

_getattr, __dir__ = attach(
    __name__,
    {
        "plots": ("plot_lanes",),
        "sweeps": ("SweepError", "sweep"),
    },
)

__getattr__ = said(_getattr)
