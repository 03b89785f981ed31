"""A timer server that keeps its timers in a table, by monotonic time."""

import math
from typing import Any

from timersim.api import RequestQueue, TimerRequest, TimerServer, refusal
from timersim.clock import Clock
from timersim.refusals import Refusals
from timersim.timer_table import TimerTable


class TableTimerServer(TimerServer):
    """What the servers of timersim have in common; they differ in their wire and in how they reap.

    A request's wall-clock expiration becomes a monotonic one when it is registered: a later step of
    the wall clock kills nobody and spares nobody. The watchdog sleeps until the next expiration.
    """

    def __init__(
        self,
        request_queue: RequestQueue,
        max_interval: float,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(request_queue, max_interval, daemon, clock=clock)
        self._timers = TimerTable()
        self._refusals = Refusals(self._clock)

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Takes each request in order; one that cannot be registered costs itself alone."""
        wall, monotonic = self._read_clocks()
        for request in timer_requests:
            reason = self._register(request, wall, monotonic)
            if reason is not None:
                self._refusals.log(reason)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers."""
        for worker_id in worker_ids:
            self._timers.disarm_worker(worker_id)

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Returns by worker the timers with an expiration of `deadline` or earlier, a wall-clock instant."""
        wall, monotonic = self._reading if deadline == self._reading[0] else self._read_clocks()
        expired: dict[Any, list[TimerRequest]] = {}
        for worker_id, scope_id in self._timers.due(deadline - wall + monotonic):
            expiration = self._timers.expiration((worker_id, scope_id))
            assert expiration is not None
            request = TimerRequest(worker_id, scope_id, expiration - monotonic + wall)
            expired.setdefault(worker_id, []).append(request)
        return expired

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        """Registers a request by the two clocks; returns why it cannot be, None where it was."""
        reason = self._admit(request)
        if reason is None:
            if request.expiration_time < 0:
                self._disarm(request)
            else:
                self._arm(request, float(request.expiration_time) - wall + monotonic)
        return reason

    def _admit(self, request: TimerRequest) -> str | None:
        """Returns why the request cannot be registered, None where it can."""
        return refusal(request)

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        self._timers.arm((request.worker_id, request.scope_id), expiration)
        if expiration <= self._judged:
            self._judged = -math.inf

    def _disarm(self, request: TimerRequest) -> None:
        self._timers.disarm((request.worker_id, request.scope_id))

    def _next_expiration(self) -> float | None:
        return self._timers.next_expiration(after=self._judged)
