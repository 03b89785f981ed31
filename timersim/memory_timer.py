"""Timers inside one process: the queue is memory, a worker is whatever the reaper can end."""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any

from timersim.api import RequestQueue, TimerClient, TimerRequest
from timersim.clock import Clock, SystemClock
from timersim.table_server import TableTimerServer

__all__ = ["MemoryRequestQueue", "MemoryTimerClient", "MemoryTimerServer"]


class MemoryRequestQueue(RequestQueue):
    """A queue in memory; any thread may put.

    >>> queue = MemoryRequestQueue()
    >>> queue.put(TimerRequest(1, "load", 60.0))
    >>> queue.size(), queue.get(1, timeout=0)
    (1, [TimerRequest(1, 'load', 60.0)])
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._requests: deque[TimerRequest] = deque()
        self._woken = False
        self._changed = threading.Condition()

    def put(self, request: TimerRequest) -> None:
        """Adds a request; never blocks."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify()

    def size(self) -> int:
        """Returns how many requests wait to be taken."""
        return len(self._requests)

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        """Takes up to `size` requests; waits for that many, `timeout` seconds at most."""
        self.clock.wait(lambda seconds: self._has(size, seconds), timeout)
        with self._changed:
            self._woken = False
            taken = list(islice(self._requests, size))
            for _ in taken:
                self._requests.popleft()
        return taken

    def wake(self) -> None:
        """Ends a `get` that waits, with what there is."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def _has(self, size: int, seconds: float) -> bool:
        if len(self._requests) >= size or self._woken:
            return True
        if seconds <= 0:
            return False
        with self._changed:
            return self._changed.wait_for(lambda: self._has(size, 0), min(seconds, threading.TIMEOUT_MAX))


class MemoryTimerClient(TimerClient):
    """The client of `MemoryTimerServer`; `worker_id` is what its reaper will be given."""

    def __init__(self, queue: MemoryRequestQueue, worker_id: Hashable) -> None:
        self.clock = queue.clock
        self.worker_id = worker_id
        self._queue = queue

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""
        self._queue.put(TimerRequest(self.worker_id, scope_id, expiration_time))

    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`."""
        self._queue.put(TimerRequest(self.worker_id, scope_id, -1))


class MemoryTimerServer(TableTimerServer):
    """The watchdog of `MemoryTimerClient`s.

    `reaper(worker_id)` ends a worker and returns whether it is gone; it may raise, and is called again
    until the worker is gone. `reaped` lists the workers that are, in order. Its clock is the queue's, unless given.

    >>> queue = MemoryRequestQueue()
    >>> server = MemoryTimerServer(queue, max_interval=60, reaper=lambda worker_id: True)
    >>> MemoryTimerClient(queue, worker_id=7).acquire("load", expiration_time=0)
    >>> server._run_watchdog()
    >>> server.reaped
    [7]
    """

    def __init__(
        self,
        queue: RequestQueue,
        max_interval: float = 60,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        clock: Clock | None = None,
        reaper: Callable[[Any], bool],
    ) -> None:
        super().__init__(queue, max_interval, daemon, clock=clock or getattr(queue, "clock", None))
        self._reaper = reaper
        self.reaped: list[Any] = []

    def _reap_worker(self, worker_id: Any) -> bool:
        if not self._reaper(worker_id):
            return False
        self.reaped.append(worker_id)
        return True
