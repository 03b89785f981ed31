"""Watchdogs on torch's `TimerServer`, as a user of torch would write them. Importing this module needs torch."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from torch.distributed.elastic.timer import TimerRequest, TimerServer


class PidTimerServer(TimerServer):  # type: ignore[misc]  # torch is not read by mypy here
    """Kills the worker's process."""

    def __init__(self, request_queue: Any, max_interval: float, daemon: bool = True) -> None:  # noqa: FBT001, FBT002 - torch's signature
        super().__init__(request_queue, max_interval, daemon)
        self.reaped: list[tuple[Any, float]] = []
        self._timers: dict[tuple[Any, str], TimerRequest] = {}

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        for request in timer_requests:
            key = (request.worker_id, request.scope_id)
            if request.expiration_time < 0:
                self._timers.pop(key, None)
            else:
                self._timers[key] = request

    def clear_timers(self, worker_ids: set[Any]) -> None:
        for key in [key for key in self._timers if key[0] in worker_ids]:
            del self._timers[key]

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        expired: dict[Any, list[TimerRequest]] = {}
        for request in self._timers.values():
            if request.expiration_time <= deadline:
                expired.setdefault(request.worker_id, []).append(request)
        return expired

    def _reap_worker(self, worker_id: Any) -> bool:
        os.kill(worker_id, signal.SIGKILL)
        self.reaped.append((worker_id, time.time()))
        return True


class JobTimerServer(PidTimerServer):
    """Cancels the worker's job, by a call that it was given."""

    def __init__(self, request_queue: Any, max_interval: float, *, cancel: Callable[[Any], bool]) -> None:
        super().__init__(request_queue, max_interval)
        self._cancel = cancel

    def _reap_worker(self, worker_id: Any) -> bool:
        self.reaped.append((worker_id, time.time()))
        return self._cancel(worker_id)
