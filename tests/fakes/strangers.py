"""A watchdog as somebody else would write it: no clock, threads of its own, real time, `os.kill`."""

import os
import queue
import signal
import threading
from time import sleep, time
from typing import Any


class PollingWatchdog:
    """Looks once in `max_interval` for whoever is overdue, and kills by pid."""

    def __init__(self, requests: Any, max_interval: float) -> None:
        self.made_at = time()
        self.killed: list[int] = []
        self._requests = requests
        self._interval = max_interval
        self._overdue_at: dict[tuple[int, str], float] = {}
        self._is_stopped = True
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts its two threads."""
        self._is_stopped = False
        self._inbox: queue.Queue[Any] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, name="reader", daemon=True),
            threading.Thread(target=self._watch, name="watcher", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits for both to end."""
        self._is_stopped = True
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        while not self._is_stopped:
            for request in self._requests.get(1, self._interval):
                self._inbox.put(request)

    def _watch(self) -> None:
        while not self._is_stopped:
            self._take_what_arrived()
            for (pid, scope), overdue_at in list(self._overdue_at.items()):
                if self._is_overdue(overdue_at) and (pid, scope) in self._overdue_at:
                    self._kill(pid)
            sleep(self._interval)

    def _take_what_arrived(self) -> None:
        while True:
            try:
                request = self._inbox.get_nowait()
            except queue.Empty:
                return
            self._register(request)

    def _register(self, request: Any) -> None:
        key = (request.worker_id, request.scope_id)
        if request.expiration_time < 0:
            self._overdue_at.pop(key, None)
        else:
            self._overdue_at[key] = request.expiration_time

    def _is_overdue(self, overdue_at: float) -> bool:
        return overdue_at <= time()

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)
        except ProcessLookupError:
            pass
        self._overdue_at = {key: at for key, at in self._overdue_at.items() if key[0] != pid}


class HastyWatchdog(PollingWatchdog):
    """Finds everybody overdue three seconds too early."""

    def _is_overdue(self, overdue_at: float) -> bool:
        return overdue_at <= time() + 3


class ForgetfulWatchdog(PollingWatchdog):
    """Takes no note of releases."""

    def _register(self, request: Any) -> None:
        if request.expiration_time >= 0:
            super()._register(request)


class GrimWatchdog(PollingWatchdog):
    """Kills its whole process group when somebody is overdue."""

    def _kill(self, pid: int) -> None:
        os.kill(0, signal.SIGKILL)
        super()._kill(pid)


class SpinningWatchdog(PollingWatchdog):
    """Does not sleep once somebody is overdue."""

    def _kill(self, pid: int) -> None:
        while True:
            sleep(0)


class DyingWatchdog(PollingWatchdog):
    """Dies of the first request."""

    def _register(self, request: Any) -> None:
        raise KeyError(request.scope_id)


class EstrangedWatchdog(PollingWatchdog):
    """Knows requests of another make."""

    def _register(self, request: Any) -> None:
        self._overdue_at[request.worker_id, request.scope_id] = request.deadline


class DeafWatchdog(PollingWatchdog):
    """Does not stop when it is told to."""

    def stop(self) -> None:
        """Does nothing."""


class CountingWatchdog(PollingWatchdog):
    """Keeps a number of timers by worker, under the name that tables have elsewhere."""

    def __init__(self, requests: Any, max_interval: float) -> None:
        super().__init__(requests, max_interval)
        self._timers: dict[int, int] = {}

    def _register(self, request: Any) -> None:
        super()._register(request)
        self._timers[request.worker_id] = self._timers.get(request.worker_id, 0) + 1
