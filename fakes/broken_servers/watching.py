"""How the watching itself ends, or does not: the loop, its start, its stop."""

from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.fakes.broken_servers.requests import LosesTheBatch
from timersim.pid_server import PidTimerServer
from timersim.table_server import TableTimerServer
from timersim.timer_table import TimerTable

PATIENCE = 2.0
"""Seconds after which a pass is taken for ended."""

VIGIL = 3600.0
"""Seconds for which a thread waits for a death."""


class EndsWithAReap(TableTimerServer):
    """Has no net: what a reap raises ends the watchdog."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        return self._reap_worker(worker_id)

    def _watchdog_loop(self) -> None:
        _run_without_a_net(self)


class EndsWithABadMessage(TableTimerServer):
    """Has no net: a bad message ends the watchdog."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        LosesTheBatch.register_timers(self, timer_requests)  # type: ignore[arg-type]  # it needs no more

    def _watchdog_loop(self) -> None:
        _run_without_a_net(self)


class LooksSendersUp(PidTimerServer):
    """Looks up who sent a request, without a net: one that has died since ends the watchdog."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        for request in timer_requests:
            if hasattr(request, "worker_id") and not self._reaper.watch(request.worker_id):
                raise ProcessLookupError(request.worker_id)
        super().register_timers(timer_requests)

    def _watchdog_loop(self) -> None:
        _run_without_a_net(self)


class WakesForTheJudged(TableTimerServer):
    """Plans for the earliest expiration, judged or not: it spins while a worker will not die."""

    def _next_expiration(self) -> float | None:
        return self._timers.next_expiration()


class StopsWithoutWaiting(TableTimerServer):
    """Waits PATIENCE seconds for its last pass, then takes it for ended."""

    def _stop(self) -> None:
        self._stopping.set()
        self._request_queue.wake()
        task, self._watchdog_thread = self._watchdog_thread, None
        if task is not None:
            task.join(PATIENCE)


class StartsOnce(TableTimerServer):
    """Starts its watchdog once: where it was stopped, it stays so."""

    _has_begun = False

    def _start(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            super()._start()


class StartsWithAnEmptyTable(TableTimerServer):
    """Begins with an empty table: who held a timer when it was stopped is not guarded."""

    def _start(self) -> None:
        self._timers = TimerTable()
        super()._start()


class StartsAnother(TableTimerServer):
    """Starts a watchdog, also where one runs already, which nobody will stop."""

    def _start(self) -> None:
        self._watchdog_thread = None
        super()._start()


class LeavesAThread(TableTimerServer):
    """Has a thread wait for each worker that it could not reap, and never ends it."""

    def _retry_later(self, worker_id: Any) -> None:
        super()._retry_later(worker_id)
        self._clock.spawn(lambda: self._clock.sleep(VIGIL), name="vigil")


def _run_without_a_net(server: TableTimerServer) -> None:
    while not server._stop_signaled:
        server._run_watchdog()


ABLATIONS = (
    Ablation("outlive-a-reap", EndsWithAReap, breaks="watchdog-survives"),
    Ablation("outlive-a-bad-message", EndsWithABadMessage, breaks="watchdog-survives"),
    Ablation("outlive-a-sender", LooksSendersUp, breaks="watchdog-survives"),
    Ablation("wake-for-the-unjudged", WakesForTheJudged, breaks="watchdog-survives"),
    Ablation("wait-for-the-last-pass", StopsWithoutWaiting, breaks="silent-after-stop"),
    Ablation("start-again", StartsOnce, breaks="restart-guards"),
    Ablation("keep-timers-over-a-stop", StartsWithAnEmptyTable, breaks="restart-guards"),
    Ablation("start-one-watchdog", StartsAnother, breaks="nothing-left"),
    Ablation("leave-no-thread", LeavesAThread, breaks="nothing-left"),
)
