"""Turns: one task at a time in a block, on any clock."""

import math
import threading

from timersim.clock import Clock


class Turns:
    """A lock that is waited for on a clock, so that in virtual time the world goes on meanwhile.

    >>> from timersim import SystemClock
    >>> turns = Turns(SystemClock())
    >>> with turns:
    ...     print("alone")
    alone
    """

    __slots__ = ("_clock", "_lock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._clock.wait(lambda seconds: self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)), math.inf)

    def __exit__(self, *_: object) -> None:
        self._lock.release()
