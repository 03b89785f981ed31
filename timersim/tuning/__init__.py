"""Tuning: pictures of what a watchdog does."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.tuning.plots import plot_lanes

__all__ = ["plot_lanes"]

__getattr__, __dir__ = attach(__name__, {"plots": ("plot_lanes",)})
