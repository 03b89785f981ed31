"""The strategies: generate schedules with Hypothesis, and search generated ones for what a server does wrong."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.strategies.schedules import schedules
    from timersim.strategies.search import find_violations, seeded_schedule

__all__ = ["find_violations", "schedules", "seeded_schedule"]

__getattr__, __dir__ = attach(__name__, {"schedules": ("schedules",), "search": ("find_violations", "seeded_schedule")})
