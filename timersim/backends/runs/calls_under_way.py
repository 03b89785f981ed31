"""The calls of real workers that have not returned: what they say is heard while time passes, and how late."""

import math
from collections.abc import Callable

from timersim.backends.wires.wire import Call
from timersim.clock import SystemClock


class CallsUnderWay:
    """The calls of a run in real time, one a worker at most; `says(call, word)` is called with what each one says.

    That is "asks" where its request lies in the server's socket, and in the end "done", "raised", or nothing from one
    that was killed.

    `deafness` is the longest time, in seconds, for which nobody listened though a call was under way, or by which the
    listener was late: so much later than it happened may something have been heard.
    """

    def __init__(self, says: Callable[[Call, bytes], None]) -> None:
        self.deafness = 0.0
        self._says = says
        self._clock = SystemClock()
        self._calls: dict[int, Call] = {}
        self._heard_at = math.inf

    def __contains__(self, worker: int) -> bool:
        return worker in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def workers(self) -> list[int]:
        """Returns the workers that are in a call."""
        return list(self._calls)

    def make(self, call: Call) -> None:
        """Has a worker make a call, and does not wait for it."""
        if not self._calls:
            self._heard_at = self._clock.monotonic()
        self._calls[call.worker] = call
        call.process.send(*call.command)

    def hear(self, until: float, awaited: int | None = None) -> list[int] | None:
        """Waits till some worker says something, and returns whose calls have returned.

        None: the monotonic clock has come to `until`, or the descriptor `awaited` is readable.
        """
        calling = {call.process.commands.fileno(): call for call in self._calls.values()}
        began = self._clock.monotonic()
        fds = [*calling, *([] if awaited is None else [awaited])]
        ready = self._clock.wait_readable(fds, max(0.0, until - began))
        now = self._clock.monotonic()
        is_deaf_since = min(began, self._heard_at) if calling else began
        late = began - is_deaf_since if ready or until <= began else max(began - is_deaf_since, now - until)
        self.deafness = max(self.deafness, late)
        self._heard_at = now
        if not ready or awaited in ready:
            return None
        return [worker for fd in ready for worker in self._hear(calling[fd])]

    def _hear(self, call: Call) -> list[int]:
        word = call.process.answer()
        if word == b"greets":
            return []
        self._says(call, word)
        if word == b"asks":
            return []
        del self._calls[call.worker]
        return [call.worker]
