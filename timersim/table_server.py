"""A timer server that keeps its timers in a table, by monotonic time."""

import math
from typing import Any

from timersim.api import RequestQueue, TimerRequest, TimerServer, refusal, shown
from timersim.clock import Clock
from timersim.refusals import Refusals
from timersim.timer_table import TimerTable

STEP = 0.001
"""Seconds by which the two clocks must have moved apart to count as a step: they are never read at one instant."""


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
        self._ahead = math.nan
        self._refusals = Refusals(self._clock)

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Takes each request in order; one that cannot be registered costs itself alone."""
        wall, monotonic = self._read_clocks()
        for request in timer_requests:
            try:
                reason = self._register(request, wall, monotonic)
            except (Exception, SystemExit) as error:
                reason = f"it cannot be looked at: {shown(error)}"
            if reason is not None:
                self._refusals.log(reason)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers."""
        for worker_id in worker_ids:
            self._timers.disarm_worker(worker_id)

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Returns by worker the timers with an expiration of `deadline` or earlier, a wall-clock instant."""
        wall, monotonic = self._reading if deadline == self._reading[0] else self._read_clocks()
        ahead = self._wall_ahead(wall, monotonic)
        instant = monotonic if deadline == wall else deadline - ahead
        expired: dict[Any, list[TimerRequest]] = {}
        for worker_id, scope_id in self._timers.due(instant):
            expiration = self._timers.expiration((worker_id, scope_id))
            assert expiration is not None
            request = TimerRequest(worker_id, scope_id, expiration + ahead)
            expired.setdefault(worker_id, []).append(request)
        return expired

    def _is_still_expired(self, worker_id: Any) -> bool:
        for _ in range(2):  # what arrives while the first are taken counts, too; a flood must not hold it up
            self.register_timers(self._take_arrived())
        scopes = self._timers.scopes(worker_id)
        return any(self._timers.expiration((worker_id, scope)) <= self._reading[1] for scope in scopes)  # type: ignore[operator]  # each is armed

    def _wall_ahead(self, wall: float, monotonic: float) -> float:
        """Returns the wall clock less the monotonic one: the same number until it steps, so that equals stay equal."""
        ahead = wall - monotonic
        if not abs(ahead - self._ahead) < STEP:
            self._ahead = ahead
        return self._ahead

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        """Registers a request by the two clocks; returns why it cannot be, None where it was."""
        reason = self._admit(request)
        if reason is None:
            if request.expiration_time < 0:
                self._disarm(request)
            else:
                self._arm(request, float(request.expiration_time) - self._wall_ahead(wall, monotonic))
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
