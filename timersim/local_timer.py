"""Timers over a `multiprocessing.Queue`: workers are processes of this machine, known by their pid."""

import errno
import logging
import os
import queue
import weakref
from typing import TYPE_CHECKING, Any

from timersim.api import RequestQueue, TimerClient, TimerRequest, shown
from timersim.clock import Clock, SystemClock
from timersim.reaper import ProcessReaper
from timersim.table_server import TableTimerServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import Queue

__all__ = ["LocalTimerClient", "LocalTimerServer", "MultiprocessingRequestQueue"]

logger = logging.getLogger(__name__)

LONGEST_GET = 1_000_000.0
"""Seconds of the longest single `get`, since a queue takes no endless timeout."""


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
        self._woken = False
        self._wake_fds: tuple[int, int] | None = None

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
            left = end - self._clock.monotonic()
            if not self._take(requests, 0) and not (left > 0 and self._wait(requests, left)):
                break
        self._woken = False
        return requests

    def wake(self) -> None:
        """Ends a `get` that waits, with what there is."""
        self._woken = True
        if self._wake_fds is not None:
            os.write(self._wake_fds[1], b"w")

    def close(self) -> None:
        """Gives the descriptors of the wake-up back; the next `get` that waits makes new ones."""
        if self._wake_fds is not None:
            self._close_wake_fds()
            self._wake_fds = None

    def _wait(self, requests: list[TimerRequest], timeout: float) -> bool:
        """Waits for a request and takes it; False where none came, or where `wake` ended the wait."""
        if self._reader is None:
            taken = len(requests)
            self._clock.wait(lambda seconds: self._woken or self._take(requests, seconds), timeout)
            return len(requests) > taken
        woken, fd = self._wake_fd(), self._reader.fileno()
        ready = [] if self._woken else self._clock.wait_readable([woken, fd], timeout)
        if woken in ready:
            os.read(woken, 4096)
        return fd in ready and self._take(requests, 0)

    def _take(self, requests: list[TimerRequest], seconds: float) -> bool:
        try:
            requests.append(self._mp_queue.get(block=seconds > 0, timeout=min(seconds, LONGEST_GET)))
        except queue.Empty:
            return False
        except Exception as error:
            logger.warning("Refused a request: it cannot be read: %r", error)
        return True

    def _wake_fd(self) -> int:
        if self._wake_fds is None:
            self._wake_fds = os.pipe()
            self._close_wake_fds: Callable[[], object] = weakref.finalize(self, _close, *self._wake_fds)
        return self._wake_fds[0]


class LocalTimerServer(TableTimerServer):
    """The watchdog of `LocalTimerClient`s, which are processes of this machine.

    A worker is tied to the life of its pid when its acquire is registered, and reaped by that: its
    pid's next bearer is safe. What stays with this wire, as with torch's: requests carry no sequence,
    so a late release disarms a newer timer; a request in a worker's buffer dies with it; a worker
    killed inside a write can silence the others.

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
        super().__init__(self._requests, max_interval, daemon, clock=clock)
        self._reaper = reaper or ProcessReaper(clock=clock)

    def stop(self) -> None:
        """Stops the watchdog; when this returns, nothing is reaped any more."""
        super().stop()
        self._requests.close()

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Takes each request in order; an acquire ties its worker to the life that its pid has now."""
        super().register_timers(timer_requests)
        for request in timer_requests:
            pid = getattr(request, "worker_id", None)
            if isinstance(pid, int) and not self._timers.scopes(pid):
                self._reaper.forget(pid)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers, and what tied them to their pids."""
        super().clear_timers(worker_ids)
        for pid in worker_ids:
            self._reaper.forget(pid)

    def _reap_worker(self, worker_id: int) -> bool:
        return self._reaper(worker_id)

    def _admit(self, request: TimerRequest) -> str | None:
        reason = super()._admit(request)
        if reason is not None:
            return reason
        pid = request.worker_id
        if isinstance(pid, bool) or not isinstance(pid, int):
            return f"worker_id is not a pid: {shown(pid)}"
        if request.expiration_time < 0:
            return None
        if self._reaper.is_over(pid):
            self._timers.disarm_worker(pid)
        try:
            return None if self._watch(pid) else f"no such process: pid={pid}"
        except (ValueError, OverflowError, OSError) as error:
            return str(error)

    def _watch(self, pid: int) -> bool:
        """Ties the pid to its life; where descriptors have run out, those of the dead are given back first."""
        try:
            return self._reaper.watch(pid)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
        self.clear_timers({worker for worker in self._reaper.watched() if self._reaper.is_over(worker)})
        return self._reaper.watch(pid)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
