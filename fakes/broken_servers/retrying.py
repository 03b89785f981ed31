"""What servers do wrong with a reap that fails, raises, or takes its time."""

from typing import Any

from timersim.api import RETRY_INTERVAL, TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.table_server import TableTimerServer


class GivesUp(TableTimerServer):
    """Forgets who could not be reaped."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        super()._reap_worker_no_throw(worker_id)
        return True


class TakesAnExceptionForDone(TableTimerServer):
    """Reports what a reap raises, and goes on as after one that went well."""

    def _reap_worker(self, worker_id: Any) -> bool:
        try:
            return super()._reap_worker(worker_id)  # type: ignore[safe-super]  # the server that this is mixed into has it
        except OSError:
            return True


class LetsAnExceptionOut(TableTimerServer):
    """Has no net for a single reap: what one raises costs the others of its pass a second."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        return self._reap_worker(worker_id)


class TriesAgainAtOnce(TableTimerServer):
    """Looks at a worker that is not gone again in its next pass, which follows at once."""

    def _retry_later(self, worker_id: Any) -> None:
        super()._retry_later(worker_id)
        self._retries[worker_id].at = self._clock.monotonic()


class RetriesByAList(TableTimerServer):
    """Retries whom it could not reap until they are gone, whatever they have released or re-armed since."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        expired = super().get_expired_timers(deadline)
        return expired | {worker_id: [] for worker_id in self._retries if worker_id not in expired}


class EndsThePassWithAFailure(TableTimerServer):
    """Ends its pass with the first reap that fails: who will not die stands before the others."""

    _has_failed = False

    def _reap_expired(self, expired: dict[Any, list[TimerRequest]]) -> set[Any]:
        self._has_failed = False
        return super()._reap_expired(expired)

    def _attempt_is_due(self, worker_id: Any) -> bool:
        return not self._has_failed and super()._attempt_is_due(worker_id)

    def _retry_later(self, worker_id: Any) -> None:
        self._has_failed = True
        super()._retry_later(worker_id)


class WaitsForADeath(TableTimerServer):
    """Stays with a worker until it is gone, and looks at nobody else meanwhile."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        while not super()._reap_worker_no_throw(worker_id):
            if self._clock.wait(self._stopping.wait, RETRY_INTERVAL):
                return False
        return True


ABLATIONS = (
    Ablation("retry-a-failed-reap", GivesUp, breaks="failed-reap-retried"),
    Ablation("wait-before-a-retry", TriesAgainAtOnce, breaks="failed-reap-retried"),
    Ablation("exceptions-are-failures", TakesAnExceptionForDone, breaks="failed-reap-retried"),
    Ablation("retry-while-it-stands", RetriesByAList, breaks="release-wins"),
    Ablation("net-each-reap", LetsAnExceptionOut, breaks="no-head-of-line"),
    Ablation("go-on-after-a-failure", EndsThePassWithAFailure, breaks="no-head-of-line"),
    Ablation("wait-for-nobody", WaitsForADeath, breaks="no-head-of-line"),
)
