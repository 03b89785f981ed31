"""Turns: one task at a time in a block, on any clock."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from timersim.clock import Clock


class Turns:
    """A lock that is waited for on a clock, so that in virtual time the world goes on meanwhile.

    >>> from timersim import SystemClock
    >>> turns = Turns(SystemClock())
    >>> with turns.take():
    ...     print("alone")
    alone
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Waits until nobody else is in such a block, and keeps others out of this one."""
        self._clock.wait(lambda seconds: self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)), math.inf)
        try:
            yield
        finally:
            self._lock.release()
