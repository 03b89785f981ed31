"""A client on a `multiprocessing.Queue` whose requests are on the wire when its calls return."""

from timersim.backends.clients.mp_wire import flush
from timersim.local_timer import LocalTimerClient

LOOK = 0.0002
"""Seconds until it looks again whether the feeder thread has written."""


class FlushingTimerClient(LocalTimerClient):
    """Waits for the feeder thread of its queue after each put: so whoever looks on knows when a request arrived."""

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        super().acquire(scope_id, expiration_time)
        self._flush()

    def release(self, scope_id: str) -> None:
        super().release(scope_id)
        self._flush()

    def _flush(self) -> None:
        flush(self._mp_queue, lambda: self.clock.sleep(LOOK))
