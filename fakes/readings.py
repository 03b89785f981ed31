"""Reading a time that stands still: who waits for it to pass by itself is told, and does not hang."""

import time
from collections.abc import Callable
from typing import TypeVar

from timersim.fakes.clock import VirtualClock
from timersim.fakes.scheduler import SECOND, SpinError
from timersim.fakes.waiting import HOLD_LIMIT

MAX_READINGS = 1_000_000
"""How often the time may be read at one instant."""

LONGEST_GAP = 1.0
"""Real seconds between two readings that count at most: who sits in a debugger does not spin."""

_T = TypeVar("_T")


class Readings:
    """Counts how often somebody else's code reads the time of `clock` at one instant, and how long it took for real."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._instant = -1
        self._number = 0
        self._last = self._spent = 0.0

    def counted(self, read: Callable[[], _T]) -> Callable[[], _T]:
        """Returns a reading that raises SpinError where time is read again and again and nobody lets it pass.

        That is MAX_READINGS times at one instant, or for HOLD_LIMIT seconds of real time. In a task the scheduler
        counts too, and its bound is lower.
        """
        inner = self._clock.counted(read)

        def reading() -> _T:
            self._count()
            return inner()

        return reading

    def _count(self) -> None:
        now, instant = time.monotonic(), self._clock.monotonic_ns
        if instant != self._instant:
            self._instant, self._number, self._spent = instant, 0, 0.0
        else:
            self._spent += min(now - self._last, LONGEST_GAP)
        self._number += 1
        self._last = now
        if self._number > MAX_READINGS or self._spent > HOLD_LIMIT:
            number, self._instant = self._number, -1
            raise SpinError(
                f"spins: the time was read {number} times at t={instant / SECOND!r} and did not pass;"
                " virtual time passes only where somebody sleeps or advances it, not by waiting for what is real"
            )
