"""Runs the steps of a job, each under a timer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from job_runner import BUG


@dataclass
class Step:
    """What is done, and how many seconds it may take."""

    name: str
    limit: float
    work: Callable[[], Any]


class Runner:
    """Runs steps; `timers` has `acquire(name, due)` and `release(name)`."""

    def __init__(self, timers: Any, now: Callable[[], float] = time.time) -> None:
        self.timers, self.now = timers, now

    def run(self, steps: list[Step]) -> list[Any]:
        """Returns what the steps have returned; a step that raises ends the job."""
        return [self.run_step(step) for step in steps]

    def run_step(self, step: Step) -> Any:
        """Runs one step; its timer is released however it ends."""
        self.timers.acquire(step.name, self.now() + step.limit)
        if BUG == "keeps-failed-steps":
            result = step.work()
            self.timers.release(step.name)
            return result
        try:
            return step.work()
        finally:
            self.timers.release(step.name)
