"""What a server does to its table, recorded: before and after each registration, where it has one to look at."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.run_workers import RunWorkers
from timersim.lab.record import Instant, Recorder, Registered, Table, rounded
from timersim.timer_table import TimerTable


class TableWatch:
    """Looks at the tables of the servers of a run.

    A table is what timersim's servers keep, or torch's: a `TimerTable`, or a dict of requests by worker and scope, as
    `_timers`. `number(request)` returns a request's number in the record, None for a message that is no request of the
    run; `ticks(seconds)` turns a monotonic instant of the clock into one of the record.
    """

    def __init__(
        self,
        recorder: Recorder,
        workers: RunWorkers,
        number: Callable[[Any], int | None],
        ticks: Callable[[float], Instant],
    ) -> None:
        self._recorder = recorder
        self._workers = workers
        self._number = number
        self._ticks = ticks
        self._server: Any = None
        self._last: Table = {}

    def watch(self, server: Any) -> None:
        """Has each registration of `server` recorded from now on; one without a table is left as it is."""
        self._server = server
        register = getattr(server, "register_timers", None)
        if register is None or not isinstance(getattr(server, "_timers", None), TimerTable | dict):
            return

        def register_timers(timer_requests: Sequence[TimerRequest]) -> None:
            before, refused = self._table(), self._refused()
            try:
                register(timer_requests)
            finally:
                if server is self._server:
                    self._enter(timer_requests, self._refused() - refused, before, self._table())

        server.register_timers = register_timers

    def _enter(self, requests: Sequence[Any], refused: int, before: Table, after: Table) -> None:
        """Enters a registration, unless it left everything as the last one had."""
        if requests or not self._last == before == after:
            self._recorder.enter(Registered, tuple(map(self._number, requests)), refused, before, after)
            self._last = after

    def is_armed(self, worker_id: Any, scope: str) -> bool:
        """Returns whether the table holds a timer."""
        return (worker_id, scope) in getattr(self._server, "_timers", ())

    def _table(self) -> Table:
        """Returns the timers of the workers of the run, by who bears the pid."""
        timers = self._server._timers
        table: dict[tuple[int, int, str], Instant] = {}
        for key in timers:
            life = self._workers.life(key[0])
            if life is not None:
                table[(*life, key[1])] = self._due(timers, key)
        return table

    def _due(self, timers: Any, key: Any) -> Instant:
        if isinstance(timers, TimerTable):
            expiration = timers.expiration(key)
            return rounded(self._ticks(math.nan if expiration is None else expiration))
        return rounded(self._ticks(timers[key].expiration_time))

    def _refused(self) -> int:
        return getattr(getattr(self._server, "_refusals", None), "count", 0)
