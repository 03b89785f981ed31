"""When servers judge wrongly: by the wrong clock, by an old reading, or asleep."""

import math
from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.table_server import STEP, TableTimerServer
from timersim.timer_table import Key

COALESCED = 1.0
"""Seconds by which a wake-up takes along what is due later."""


class ExpiresBeforeItRegisters(TableTimerServer):
    """Judges by what it knew before it took what waits in the queue."""

    def _run_watchdog(self) -> None:
        requests = self._drain()
        expired = self.get_expired_timers(self._reading[0])
        self._reap_expired(expired)
        self._judged = self._reading[1]
        self.register_timers(requests)


class TakesOneAPass(TableTimerServer):
    """Takes one request a pass, and judges by that."""

    def _take_arrived(self) -> list[TimerRequest]:
        return []


class JudgesByALaterClock(TableTimerServer):
    """Takes what there is, reads the clock then, and judges: what arrived in between is not in it."""

    def _drain(self) -> list[TimerRequest]:
        requests = self._request_queue.get(max(1, self._request_queue.size()), self._seconds_to_next_pass())
        self._reading = self._read_clocks()
        return requests


class ExpiresAfterTheExpiration(TableTimerServer):
    """Compares with `<` where `<=` is right."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        return {
            worker_id: later
            for worker_id, timers in super().get_expired_timers(deadline).items()
            if (later := [timer for timer in timers if timer.expiration_time < deadline])
        }


class CoalescesExpirations(TableTimerServer):
    """Takes along what is due within the next second whenever it is awake, so as not to wake again so soon."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        return super().get_expired_timers(deadline + COALESCED)


class GoesByTheWall(TableTimerServer):
    """Asks the wall clock each second who is due, and knows no other."""

    def _read_clocks(self) -> tuple[float, float]:
        wall = self._clock.time()
        return wall, wall

    def _seconds_to_next_pass(self) -> float:
        return 1.0


class FollowsTheWall(TableTimerServer):
    """Moves its timers when the wall clock steps, so that they are due at the time that was said."""

    def _drain(self) -> list[TimerRequest]:
        before = self._ahead
        requests = super()._drain()
        stepped = self._wall_ahead(*self._reading) - before
        if abs(stepped) >= STEP:
            for key in list(self._timers):
                self._timers.arm(key, _expiration(self, key) - stepped)
        return requests


class ReadsTheWallOnce(TableTimerServer):
    """Works out once how far the wall clock is ahead, and registers by that ever after."""

    def _wall_ahead(self, wall: float, monotonic: float) -> float:
        if math.isnan(self._ahead):
            self._ahead = wall - monotonic
        return self._ahead


class SleepsTheInterval(TableTimerServer):
    """Sleeps for max_interval where no request comes, whoever is due meanwhile."""

    def _next_expiration(self) -> float | None:
        return None


class PlansForTheLatest(TableTimerServer):
    """Sleeps until the timer that was armed last is due."""

    _latest: float | None = None

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        self._latest = expiration
        super()._arm(request, expiration)

    def _next_expiration(self) -> float | None:
        is_ahead = self._latest is not None and self._judged < self._latest < math.inf
        return self._latest if is_ahead else super()._next_expiration()


class PlansAfterItReaped(TableTimerServer):
    """Reads the clock again after the reaps, to plan its sleep: for what came due meanwhile it does not wake."""

    def _run_watchdog(self) -> None:
        super()._run_watchdog()
        self._judged = self._clock.monotonic()


def _expiration(server: TableTimerServer, key: Key) -> float:
    expiration = server._timers.expiration(key)
    assert expiration is not None
    return expiration


ABLATIONS = (
    Ablation("drain-before-expire", ExpiresBeforeItRegisters, breaks="release-wins"),
    Ablation("drain-all", TakesOneAPass, breaks="pause-is-not-silence"),
    Ablation("read-the-clock-first", JudgesByALaterClock, breaks="pause-is-not-silence"),
    Ablation("expire-at-the-instant", ExpiresAfterTheExpiration, breaks="reaped-in-time"),
    Ablation("wait-for-the-expiration", CoalescesExpirations, breaks="no-early-reap"),
    Ablation("go-by-monotonic-time", GoesByTheWall, breaks="wall-steps-do-not-matter"),
    Ablation("let-the-wall-step", FollowsTheWall, breaks="wall-steps-do-not-matter"),
    Ablation("read-both-clocks", ReadsTheWallOnce, breaks="no-early-reap"),
    Ablation("wake-for-expirations", SleepsTheInterval, breaks="reaped-in-time"),
    Ablation("plan-for-the-earliest", PlansForTheLatest, breaks="reaped-in-time"),
    Ablation("plan-from-the-judgement", PlansAfterItReaped, breaks="reaped-in-time"),
)
