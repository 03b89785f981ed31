"""Ablations: a correct server with one safeguard taken out, to see that the laboratory notices."""

from typing import Any

from timersim.api import TimerRequest
from timersim.table_server import TableTimerServer


class _ExpiresBeforeItRegisters(TableTimerServer):
    """Judges by what it knew before it took what waits in the queue."""

    def _run_watchdog(self) -> None:
        requests = self._drain()
        expired = self.get_expired_timers(self._reading[0])
        self._reap_expired(expired)
        self._judged = self._reading[1]
        self.register_timers(requests)


class _ExpiresAfterTheExpiration(TableTimerServer):
    """Compares with `<` where `<=` is right."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        return {
            worker_id: later
            for worker_id, timers in super().get_expired_timers(deadline).items()
            if (later := [timer for timer in timers if timer.expiration_time < deadline])
        }


class _ForgetsReleases(TableTimerServer):
    """Registers what is acquired, and nothing else."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        super().register_timers([r for r in timer_requests if not getattr(r, "expiration_time", 0) < 0])


class _ReapsTwice(TableTimerServer):
    """Makes sure, and reaps each worker once more."""

    def _reap_worker(self, worker_id: Any) -> bool:
        super()._reap_worker(worker_id)  # type: ignore[safe-super]  # the server that this is mixed into has it
        return super()._reap_worker(worker_id)  # type: ignore[safe-super]  # as above


class _KeepsTimersOfTheDead(TableTimerServer):
    """Clears the timers for which it reaped, and keeps the worker's others."""

    def clear_timers(self, worker_ids: set[Any]) -> None:
        for key in self._timers.due(self._reading[1]):
            if key[0] in worker_ids:
                self._timers.disarm(key)


ABLATIONS: dict[str, Any] = {
    "drain-before-expire": _ExpiresBeforeItRegisters,
    "expire-at-the-instant": _ExpiresAfterTheExpiration,
    "honour-releases": _ForgetsReleases,
    "reap-once": _ReapsTwice,
    "clear-the-dead": _KeepsTimersOfTheDead,
}
"""By the name of the safeguard, what takes it out."""


def without(safeguard: str, server: type[TableTimerServer]) -> type[TableTimerServer]:
    """Returns `server` with one safeguard taken out; KeyError for a safeguard that there is not.

    >>> from timersim import MemoryTimerServer
    >>> without("reap-once", MemoryTimerServer).__name__
    'MemoryTimerServer without reap-once'
    """
    return type(f"{server.__name__} without {safeguard}", (ABLATIONS[safeguard], server), {})
