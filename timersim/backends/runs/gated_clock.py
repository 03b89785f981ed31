"""A clock of real time with a gate: while it is closed, whoever has waited on the clock does not go on."""

import math
import time
from collections.abc import Callable, Sequence

from timersim.clock import SystemClock


class GatedClock(SystemClock):
    """The clock of a server that can be paused. It is between two passes that it waits; what it has begun it ends.

    >>> clock = GatedClock()
    >>> began = clock.monotonic()
    >>> clock.close_until(began + 0.05)
    >>> clock.sleep(0.01)
    >>> clock.monotonic() - began >= 0.05
    True
    """

    def __init__(self) -> None:
        self._opens = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether nobody is held."""
        return time.monotonic() >= self._opens

    def close_until(self, instant: float) -> None:
        """Closes the gate until an instant of the monotonic clock, or until later where it is closed longer."""
        self._opens = max(self._opens, instant)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._pass()

    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        is_there = super().wait(poll, timeout)
        self._pass()
        return is_there

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        ready = super().wait_readable(fds, timeout)
        self._pass()
        return ready

    def _pass(self) -> None:
        while (left := self._opens - time.monotonic()) > 0:
            time.sleep(left)
