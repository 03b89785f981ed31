"""The strategies: generate schedules and requests with Hypothesis, and search for what a server does wrong."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.strategies.bounds import Bound
    from timersim.strategies.exhaustion import every_schedule, exhaust
    from timersim.strategies.requests import timer_requests
    from timersim.strategies.schedules import schedules
    from timersim.strategies.search import find_violations, seeded_schedule

__all__ = ["Bound", "every_schedule", "exhaust", "find_violations", "schedules", "seeded_schedule", "timer_requests"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "bounds": ("Bound",),
        "exhaustion": ("every_schedule", "exhaust"),
        "requests": ("timer_requests",),
        "schedules": ("schedules",),
        "search": ("find_violations", "seeded_schedule"),
    },
)
