"""The strategies: generate schedules with Hypothesis, and search with them for what a server does wrong."""

from timersim.strategies.schedules import schedules
from timersim.strategies.search import find_violations

__all__ = ["find_violations", "schedules"]
