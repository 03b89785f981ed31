"""Whom servers reap wrongly: others, again, or by what was true before."""

import signal
from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.table_server import TableTimerServer


class ReapsTwice(TableTimerServer):
    """Makes sure, and reaps each worker once more."""

    def _reap_worker(self, worker_id: Any) -> bool:
        super()._reap_worker(worker_id)  # type: ignore[safe-super]  # the server that this is mixed into has it
        return super()._reap_worker(worker_id)  # type: ignore[safe-super]  # as above


class KeepsTimersOfTheDead(TableTimerServer):
    """Clears the timers for which it reaped, and keeps the worker's others."""

    def clear_timers(self, worker_ids: set[Any]) -> None:
        for key in self._timers.due(self._reading[1]):
            if key[0] in worker_ids:
                self._timers.disarm(key)


class KeepsTheReaped(TableTimerServer):
    """Leaves the timers of whom it reaped where they are, and reaps for them at each pass."""

    def clear_timers(self, worker_ids: set[Any]) -> None:
        pass


class KillsByPid(PidTimerServer):
    """Looks up who bears the pid when it reaps, and kills whoever that is by now."""

    def _reap_worker(self, worker_id: int) -> bool:
        try:
            self._reaper._kernel.incarnation(worker_id).send_signal(signal.SIGKILL)
        except ProcessLookupError:
            return True
        return True


class TakesTheGoneForAFailure(PidTimerServer):
    """Kills by pid, and calls it a failure where there is no such process: the dead are killed again and again."""

    def _reap_worker(self, worker_id: int) -> bool:
        try:
            self._reaper._kernel.incarnation(worker_id).send_signal(signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _clear_the_dead(self) -> None:
        pass


class SignalsTheGroup(MemoryTimerServer):
    """Signals the process group, which it takes for the worker's own."""

    def _reap_worker(self, worker_id: Any) -> bool:
        self._reaper(-worker_id)
        return super()._reap_worker(worker_id)


class EndsItsOwnGroup(MemoryTimerServer):
    """Ends its own process group where a worker can't be reaped."""

    def _reap_worker(self, worker_id: Any) -> bool:
        gone = super()._reap_worker(worker_id)
        if not gone:
            self._reaper(0)
        return gone


class ReapsTheWholeJob(TableTimerServer):
    """Reaps everybody who holds a timer as soon as one has expired."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        expired = super().get_expired_timers(deadline)
        return expired | {worker: [] for worker, _ in self._timers if worker not in expired} if expired else {}


class EndsThePassWithAReap(TableTimerServer):
    """Reaps one worker a pass, and forgets who else is due."""

    _has_reaped = False

    def _reap_expired(self, expired: dict[Any, list[TimerRequest]]) -> set[Any]:
        self._has_reaped = False
        return super()._reap_expired(expired)

    def _attempt_is_due(self, worker_id: Any) -> bool:
        return not self._has_reaped and super()._attempt_is_due(worker_id)

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        self._has_reaped = super()._reap_worker_no_throw(worker_id)
        return self._has_reaped


class ClearsEverybody(TableTimerServer):
    """Clears its table after a reap, for the job is over."""

    def clear_timers(self, worker_ids: set[Any]) -> None:
        super().clear_timers({worker for worker, _ in self._timers} if worker_ids else set())


ABLATIONS = (
    Ablation("reap-once", ReapsTwice, breaks="reaped-once"),
    Ablation("clear-the-dead", KeepsTimersOfTheDead, breaks="dead-stay-dead"),
    Ablation("forget-the-reaped", KeepsTheReaped, breaks="dead-stay-dead"),
    Ablation("take-the-gone-for-gone", TakesTheGoneForAFailure, breaks="dead-stay-dead", is_for_simulation=True),
    Ablation("signal-incarnations", KillsByPid, breaks="right-incarnation", is_for_simulation=True),
    Ablation("signal-the-worker-alone", SignalsTheGroup, breaks="right-set"),
    Ablation("spare-the-servers-group", EndsItsOwnGroup, breaks="right-set"),
    Ablation("reap-the-expired-alone", ReapsTheWholeJob, breaks="no-early-reap"),
    Ablation("reap-all-who-are-due", EndsThePassWithAReap, breaks="reap-spares-the-rest"),
    Ablation("clear-the-reaped-alone", ClearsEverybody, breaks="reap-spares-the-rest"),
)
