"""A request queue behind a descriptor: it waits for it, reads what has arrived, and hands that out in order."""

import math
from abc import abstractmethod
from collections import deque

from timersim.api import RequestQueue, TimerRequest
from timersim.clock import Clock, SystemClock
from timersim.wakeup import Wakeup


class DescriptorRequestQueue(RequestQueue):
    """What the FIFO and the socket have in common; they differ in how they read."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._requests: deque[TimerRequest] = deque()
        self._wakeup = Wakeup()

    @abstractmethod
    def fileno(self) -> int:
        """Returns the descriptor that is readable when there is something to read."""

    @abstractmethod
    def _read(self) -> None:
        """Reads what has arrived, without waiting, and appends its requests."""

    def _patience(self) -> float:
        """Returns after how many seconds to read again though nothing is readable."""
        return math.inf

    def size(self) -> int:
        """Returns how many requests have arrived; what is there is read for it."""
        self._read()
        return len(self._requests)

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        """Takes up to `size` requests; waits for that many, `timeout` seconds at most."""
        end = self._clock.monotonic() + timeout
        self._read()
        while len(self._requests) < size and not self._wakeup.is_set:
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            self._clock.wait_readable([self._wakeup.fileno(), self.fileno()], min(left, self._patience()))
            self._read()
        self._wakeup.clear()
        return [self._requests.popleft() for _ in range(min(size, len(self._requests)))]

    def wake(self) -> None:
        """Ends a `get` that waits, with what there is."""
        self._wakeup.set()

    def close(self) -> None:
        """Gives the descriptors back; a later `get` makes new ones."""
        self._wakeup.close()
