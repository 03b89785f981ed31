"""Refusals: why messages could not be registered, in the log, without letting a flood of them flood it."""

import logging
import math

from timersim.clock import Clock

logger = logging.getLogger(__name__)

MOST, INTERVAL = 20, 60.0
"""How many refusals are logged with their reason in so many seconds; the others are counted."""


class Refusals:
    """Counts refusals, and logs the first MOST of each INTERVAL, and then how many more there were.

    >>> from timersim import SystemClock
    >>> refusals = Refusals(SystemClock())
    >>> refusals.log("not a timer request: str")
    >>> refusals.count
    1
    """

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self._clock = clock
        self._begun = -math.inf
        self._first = 0

    def log(self, reason: str) -> None:
        """Counts a refusal, and logs its reason unless there were too many of late."""
        now = self._clock.monotonic()
        if now - self._begun >= INTERVAL:
            unlogged = self.count - self._first - MOST
            if unlogged > 0:
                logger.warning("Refused %s requests more than were logged", unlogged)
            self._begun, self._first = now, self.count
        self.count += 1
        if self.count - self._first <= MOST:
            logger.warning("Refused a request: %s", reason)
        elif self.count - self._first == MOST + 1:
            logger.warning("Refused more than %s requests; the next ones are counted for %s s", MOST, INTERVAL)
