"""The adapter: what shows a supervisor to the laboratory, and how it is started and stopped."""

from collections.abc import Callable
from typing import Protocol

from timersim.backends.supervisors.task import HangingTask
from timersim.clock import SystemClock
from timersim.fakes.servers import ServerError

STOP_LIMIT = 30.0
"""Seconds that a supervisor may take to stop; after that its thread is left behind."""


class Supervisor(Protocol):
    """What runs tasks with a timeout, as an adapter of a few lines shows it to the laboratory."""

    def start(self) -> None:
        """Starts whatever runs tasks."""

    def submit(self, task: HangingTask, timeout: float) -> object:
        """Has `task()` run in a process of its own, which is to be killed `timeout` seconds later.

        Four at a time have to run at once. What it returns is not looked at.
        """

    def stop(self) -> None:
        """Ends everything: afterwards there is no process and no thread of it."""


def started(make: Callable[[], Supervisor]) -> Supervisor:
    """Makes a supervisor and has it start; raises ServerError where it can't."""
    supervisor = make()
    try:
        supervisor.start()
    except Exception as error:
        name = type(supervisor).__qualname__
        raise ServerError(f"{name}.start() raised {type(error).__name__}: {error}") from error
    return supervisor


def stopped(supervisor: Supervisor) -> str:
    """Has a supervisor stop, and returns what it raised; it is waited for STOP_LIMIT seconds."""
    failure = []

    def stop() -> None:
        try:
            supervisor.stop()
        except Exception as error:  # recorded: what a supervisor's own call raises is a verdict on it
            failure.append(f"stop raised {type(error).__name__}: {error}")

    SystemClock().spawn(stop, name="supervisor stop").join(STOP_LIMIT)
    return "".join(failure)
