"""A timer server whose workers are processes of this machine, known by their pid."""

import errno
from typing import Any

from timersim.api import RequestQueue, TimerRequest, shown
from timersim.clock import Clock
from timersim.reaper import ProcessReaper
from timersim.table_server import TableTimerServer


class PidTimerServer(TableTimerServer):
    """Ties each worker to the life that its pid has when its acquire is registered, and reaps that life alone.

    A pid's next bearer is safe: a worker that is gone loses its timers. A pid of 1 or below and the
    server's own are refused.
    """

    def __init__(
        self,
        request_queue: RequestQueue,
        max_interval: float,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        clock: Clock | None = None,
        reaper: ProcessReaper | None = None,
    ) -> None:
        super().__init__(request_queue, max_interval, daemon, clock=clock)
        self._reaper = reaper or ProcessReaper(clock=clock)
        self._swept = self._clock.monotonic()

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers, and what tied them to their pids."""
        super().clear_timers(worker_ids)
        for pid in worker_ids:
            self._reaper.forget(pid)

    def _drain(self) -> list[TimerRequest]:
        """Takes what has arrived, and forgets the dead once in every max_interval."""
        requests = super()._drain()
        if self._reading[1] - self._swept >= self._max_interval:
            self._swept = self._reading[1]
            self._clear_the_dead()
        return requests

    def _reap_worker(self, worker_id: int) -> bool:
        return self._reaper(worker_id)

    def _grace_left(self, worker_id: int) -> float:
        return self._reaper.grace_left(worker_id)

    def _disarm(self, request: TimerRequest) -> None:
        super()._disarm(request)
        if not self._timers.scopes(request.worker_id):
            self._reaper.forget(request.worker_id)

    def _admit(self, request: TimerRequest) -> str | None:
        reason = super()._admit(request)
        if reason is not None:
            return reason
        pid = request.worker_id
        if type(pid) is not int:  # a subclass may compare as it likes
            return f"worker_id is not a pid: {shown(pid)}"
        if request.expiration_time < 0:
            return None
        try:
            if self._reaper.is_alive(pid):
                return None
            if pid in self._reaper.watched() and not self._reaper.is_over(pid):
                return f"what descends from a former pid={pid} is not gone yet"
            self.clear_timers({pid})
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
        self._clear_the_dead()
        return self._reaper.watch(pid)

    def _clear_the_dead(self) -> None:
        self.clear_timers({worker for worker in self._reaper.watched() if self._reaper.is_over(worker)})
