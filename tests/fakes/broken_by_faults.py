"""Servers with a mistake each that only a rare fault shows, and those of a design of their own."""

from typing import Any

from timersim.api import RequestQueue, TimerRequest
from timersim.clock import Clock
from timersim.memory_timer import MemoryTimerServer

IDLE = 12.0
"""Seconds without a request of anybody after which the job is over."""


class ReapsByAnOldList(MemoryTimerServer):
    """Judges once a pass: who released while another one was reaped is reaped all the same."""

    def _is_still_expired(self, worker_id: Any) -> bool:
        return True


class EndsWhenAllAreSilent(MemoryTimerServer):
    """Takes IDLE seconds without a request for the end of the job, and ends."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._heard = self._clock.monotonic()

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers, and ends where there was nothing to register for long."""
        super().register_timers(timer_requests)
        now = self._clock.monotonic()
        if timer_requests:
            self._heard = now
        elif now - self._heard >= IDLE:
            self._stopping.set()
