"""Timers over a `multiprocessing.Queue`: workers are processes of this machine, known by their pid."""

import os
import pickle
import queue
import select
from typing import TYPE_CHECKING, Any

from timersim.api import RequestQueue, TimerClient, TimerRequest
from timersim.clock import Clock, SystemClock
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper
from timersim.refusals import Refusals
from timersim.wakeup import Wakeup

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

__all__ = ["LocalTimerClient", "LocalTimerServer", "MultiprocessingRequestQueue"]

SLICE = 0.1
"""Seconds of the longest single `get` of a queue that has no descriptor to wait for."""


class LocalTimerClient(TimerClient):
    """The client of `LocalTimerServer`: each request speaks for the process that makes it.

    `acquire` returns when the request is in this process's buffer; one that is still there when the
    process dies is lost with it.
    """

    def __init__(self, mp_queue: "Queue[Any]", *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._mp_queue = mp_queue

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""
        self._mp_queue.put(TimerRequest(os.getpid(), scope_id, expiration_time))

    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`."""
        self._mp_queue.put(TimerRequest(os.getpid(), scope_id, -1))


class MultiprocessingRequestQueue(RequestQueue):
    """A `multiprocessing.Queue`, or anything with its `qsize` and `get`, as a request queue.

    Of a real one the descriptor is waited for, so that `wake` works at once; anything else is asked to
    wait itself, through the clock.
    """

    def __init__(self, mp_queue: "Queue[Any]", *, clock: Clock | None = None) -> None:
        self._mp_queue = mp_queue
        self._clock = clock or SystemClock()
        self._reader = getattr(mp_queue, "_reader", None)
        self._arrived = select.poll()
        if self._reader is not None:
            self._arrived.register(self._reader, select.POLLIN)
        self._wakeup = Wakeup()
        self._refusals = Refusals(self._clock)

    def size(self) -> int:
        """Returns how many requests were put; the last may still be in a writer's buffer."""
        return self._mp_queue.qsize()

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        """Takes up to `size` requests; waits for that many, `timeout` seconds at most.

        A message that cannot be read counts as one that was taken. Raises ValueError for a queue that is closed.
        """
        if getattr(self._mp_queue, "_closed", False):
            raise ValueError("the queue of requests is closed")
        requests: list[TimerRequest] = []
        end = self._clock.monotonic() + timeout
        for _ in range(size):
            if self._take(requests, 0):
                continue
            left = end - self._clock.monotonic()
            if left <= 0 or not self._wait(requests, left):
                break
        self._wakeup.clear()
        return requests

    def wake(self) -> None:
        """Ends a `get` that waits, with what there is."""
        self._wakeup.set()

    def close(self) -> None:
        """Gives the descriptors of the wake-up back; the next `get` that waits makes new ones."""
        self._wakeup.close()

    def _wait(self, requests: list[TimerRequest], timeout: float) -> bool:
        """Waits for a request and takes it; False where none came, or where `wake` ended the wait."""
        if self._reader is None:
            taken = len(requests)
            self._clock.wait(lambda seconds: self._take_or_wake(requests, seconds), timeout)
            return len(requests) > taken
        fd = self._reader.fileno()
        ready = self._clock.wait_readable([self._wakeup.fileno(), fd], timeout)
        return fd in ready and not self._wakeup.is_set and self._take(requests, 0)

    def _take_or_wake(self, requests: list[TimerRequest], seconds: float) -> bool:
        """Waits for a request in slices, since a queue's own wait can't be ended."""
        end = self._clock.monotonic() + seconds
        while not self._wakeup.is_set:
            left = end - self._clock.monotonic()
            if self._take(requests, min(max(0.0, left), SLICE)):
                break
            if left <= SLICE:
                return False
        return True

    def _next(self, seconds: float) -> Any:
        """Returns the next message; of a real queue in half the time of its `get`, which makes a selector for each."""
        queued: Any = self._mp_queue  # the parts that its own `get` uses
        if self._reader is None:
            return queued.get(block=seconds > 0, timeout=seconds)
        if not queued._rlock.acquire(block=False):
            raise queue.Empty
        try:
            if not self._arrived.poll(0):
                raise queue.Empty
            message = self._reader.recv_bytes()
            queued._sem.release()
        finally:
            queued._rlock.release()
        return pickle.loads(message)

    def _take(self, requests: list[TimerRequest], seconds: float) -> bool:
        try:
            requests.append(self._next(seconds))
        except queue.Empty:
            return False
        except (Exception, SystemExit) as error:
            self._refusals.log(f"it cannot be read: {error!r}")
        return True


class LocalTimerServer(PidTimerServer):
    """The watchdog of `LocalTimerClient`s, which are processes of this machine.

    What stays with this wire, as with torch's: requests carry no sequence, so a late release disarms a
    newer timer; a request in a worker's buffer dies with it; a worker killed inside a write silences the
    others and keeps the watchdog in its read.

    >>> import multiprocessing
    >>> server = LocalTimerServer(multiprocessing.get_context("spawn").Queue(), max_interval=60)
    >>> server.start(); server.stop()
    """

    def __init__(
        self,
        mp_queue: "Queue[Any]",
        max_interval: float = 60,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        clock: Clock | None = None,
        reaper: ProcessReaper | None = None,
    ) -> None:
        self._requests = MultiprocessingRequestQueue(mp_queue, clock=clock)
        super().__init__(self._requests, max_interval, daemon, clock=clock, reaper=reaper)

    def stop(self) -> None:
        """Stops the watchdog; when this returns, nothing is reaped any more."""
        super().stop()
        self._requests.close()
