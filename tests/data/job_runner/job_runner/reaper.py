"""Cancels the jobs that hold a timer for too long: a thread that looks now and then."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from job_runner import BUG


def kill(pid: int) -> None:
    """Kills a job that is a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Reaper:
    """Reads requests (`worker_id`, `scope_id`, `expiration_time`) and looks every `interval` seconds."""

    def __init__(
        self,
        requests: Any,
        cancel: Callable[[Any], object] = kill,
        interval: float = 5,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.requests, self.cancel, self.interval, self.now = requests, cancel, interval, now
        self.due: dict[tuple[Any, str], float] = {}
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Looks from now on, in a thread."""
        self.stopping.clear()
        self.thread = threading.Thread(target=self.watch, name="reaper", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()

    def watch(self) -> None:
        """Looks until it is stopped."""
        while not self.stopping.is_set():
            self.look()
            self.stopping.wait(self.interval)

    def look(self) -> None:
        """Takes note of what was requested, and cancels who is overdue."""
        for request in self.requests.get(self.requests.size(), 0):
            self.note(request.worker_id, request.scope_id, request.expiration_time)
        early = 3 if BUG == "reaps-early" else 0
        for job in {job for (job, _), due in self.due.items() if due <= self.now() + early}:
            self.cancel(job)
            if BUG == "forgets-the-others":
                self.due = {}
            elif BUG != "cancels-twice":
                self.due = {key: due for key, due in self.due.items() if key[0] != job}

    def note(self, job: Any, step: str, due: float) -> None:
        """Notes when a step is due; a negative instant releases it."""
        if due >= 0:
            self.due[job, step] = due
        elif BUG != "forgets-releases":
            self.due.pop((job, step), None)
