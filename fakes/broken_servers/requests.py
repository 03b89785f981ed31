"""What servers do wrong with requests: they lose them, mistake them, or take one thing for another."""

from collections import Counter
from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.table_server import TableTimerServer

SILENCE = 8.0
"""Seconds without a request after which a worker has lost its timers."""

ENOUGH = 2
"""How many requests of a backlog are taken where one does not take all."""


class ForgetsReleases(TableTimerServer):
    """Registers what is acquired, and nothing else."""

    def _disarm(self, request: TimerRequest) -> None:
        pass


class KeepsTheFirst(TableTimerServer):
    """Keeps a timer that is armed as it is: a second acquire of its scope changes nothing."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        if (request.worker_id, request.scope_id) not in self._timers:
            super()._arm(request, expiration)


class Counts(TableTimerServer):
    """Counts the acquires and the releases of a scope, and holds its timer while there are more of those."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held: Counter[tuple[Any, str]] = Counter()

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        key = request.worker_id, request.scope_id
        self._held[key] += 1
        if self._held[key] > 0:
            super()._arm(request, expiration)

    def _disarm(self, request: TimerRequest) -> None:
        key = request.worker_id, request.scope_id
        self._held[key] -= 1
        if self._held[key] <= 0:
            super()._disarm(request)


class TakesReleasesLast(TableTimerServer):
    """Registers what a batch acquires before what it releases: who re-enters a block in one batch is not guarded."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        super().register_timers(sorted(timer_requests, key=_is_release))


class DropsTheStale(TableTimerServer):
    """Drops what is due when it arrives: it must have been left long ago."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        if expiration > self._clock.monotonic():
            super()._arm(request, expiration)


class CutsTheBacklog(TableTimerServer):
    """Takes all of a backlog, and throws away what is more than it can hold."""

    def _take_arrived(self) -> list[TimerRequest]:
        return super()._take_arrived()[:ENOUGH]


class DropsTheSilent(TableTimerServer):
    """Takes a worker of which it has not heard for SILENCE seconds for gone, and drops its timers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heard: dict[Any, float] = {}

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        super().register_timers(timer_requests)
        now = self._clock.monotonic()
        self._heard |= {request.worker_id: now for request in timer_requests if hasattr(request, "worker_id")}
        self.clear_timers({worker for worker, heard in self._heard.items() if now - heard >= SILENCE})


class LosesTheBatch(TableTimerServer):
    """Registers without a net: a bad message costs those that came with it."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        wall, monotonic = self._read_clocks()
        for request in timer_requests:
            if request.expiration_time < 0:
                self._disarm(request)
            else:
                self._arm(request, request.expiration_time - self._wall_ahead(wall, monotonic))


class TakesWhatIsNotLaterForExpired(TableTimerServer):
    """Looks for what is later than now, and takes the rest for expired: so is what is not a number."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        expired: dict[Any, list[TimerRequest]] = {}
        for worker_id, scope_id in self._timers:
            expiration = self._timers.expiration((worker_id, scope_id))
            assert expiration is not None
            if not expiration > self._reading[1]:
                expired.setdefault(worker_id, []).append(TimerRequest(worker_id, scope_id, expiration))
        return expired

    def _admit(self, request: TimerRequest) -> str | None:
        return None


def _is_release(request: TimerRequest) -> bool:
    return getattr(request, "expiration_time", 0) < 0


ABLATIONS = (
    Ablation("honour-releases", ForgetsReleases, breaks="release-wins"),
    Ablation("re-arm", KeepsTheFirst, breaks="release-wins"),
    Ablation("one-release-is-enough", Counts, breaks="release-wins"),
    Ablation("keep-the-order", TakesReleasesLast, breaks="reaped-in-time"),
    Ablation("arm-the-overdue", DropsTheStale, breaks="conservation"),
    Ablation("keep-the-backlog", CutsTheBacklog, breaks="conservation"),
    Ablation("trust-the-silent", DropsTheSilent, breaks="reaped-in-time"),
    Ablation("net-each-message", LosesTheBatch, breaks="poison-contained"),
    Ablation("refuse-nan", TakesWhatIsNotLaterForExpired, breaks="poison-contained"),
)
