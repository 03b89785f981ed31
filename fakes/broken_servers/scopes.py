"""What servers do wrong with scopes: the timer of one block is taken for that of another."""

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.table_server import TableTimerServer


class HasOneTimerAWorker(TableTimerServer):
    """Keys its timers by the worker alone: the scopes of a worker share one."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        super()._arm(_of_the_worker(request), expiration)

    def _disarm(self, request: TimerRequest) -> None:
        super()._disarm(_of_the_worker(request))


class HasOneTimerAScope(TableTimerServer):
    """Keys its timers by the scope alone: of the workers that hold it, the last one has it."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        self._disarm(request)
        super()._arm(request, expiration)

    def _disarm(self, request: TimerRequest) -> None:
        for worker_id, scope_id in list(self._timers):
            if scope_id == request.scope_id:
                super()._disarm(TimerRequest(worker_id, scope_id, -1))


class ReleasesTheWorker(TableTimerServer):
    """Takes a release for the end of all that its worker does."""

    def _disarm(self, request: TimerRequest) -> None:
        self.clear_timers({request.worker_id})


class MovesAllOfAWorker(TableTimerServer):
    """Takes an acquire for a sign of life, and puts off the worker's other timers as well."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        for scope in self._timers.scopes(request.worker_id):
            self._timers.arm((request.worker_id, scope), expiration)
        super()._arm(request, expiration)


def _of_the_worker(request: TimerRequest) -> TimerRequest:
    return TimerRequest(request.worker_id, "", request.expiration_time)


ABLATIONS = (
    Ablation("key-by-scope", HasOneTimerAWorker, breaks="scope-isolation"),
    Ablation("key-by-worker", HasOneTimerAScope, breaks="scope-isolation"),
    Ablation("release-one-scope", ReleasesTheWorker, breaks="scope-isolation"),
    Ablation("re-arm-one-scope", MovesAllOfAWorker, breaks="scope-isolation"),
)
