"""A timer server whose requests carry a sequence and come from somebody known, and are answered."""

from typing import Protocol

from timersim.api import TimerRequest
from timersim.incarnation import Incarnation
from timersim.pid_server import PidTimerServer


class Connection(Protocol):
    """What connects a worker: who it is, and the sequence of its last request that was registered."""

    incarnation: Incarnation | None
    sequence: int

    def answer(self, sequence: int, reason: str | None = None) -> bool:
        """Answers the request with this `sequence`; returns False where nobody waits for the answer any more."""


class SequencedRequest(TimerRequest):
    """A request with the `connection` on which it came, and its `sequence` there."""

    __slots__ = ("connection", "sequence")

    def __init__(
        self, worker_id: int, scope_id: str, expiration_time: float, sequence: int, connection: Connection
    ) -> None:
        super().__init__(worker_id, scope_id, expiration_time)
        self.sequence = sequence
        self.connection = connection


class SequencedTimerServer(PidTimerServer):
    """Registers each `SequencedRequest` once, for the process that sent it, and answers it.

    A duplicate changes nothing, nor does a request that later ones have overtaken. One whose answer nobody waits for
    any more is taken back.
    """

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        """Registers a request and answers it; one whose answer nobody waits for any more is taken back."""
        if not isinstance(request, SequencedRequest):
            return super()._register(request, wall, monotonic)
        connection = request.connection
        if request.sequence <= connection.sequence:
            connection.answer(request.sequence)
            return None  # a duplicate
        connection.sequence = request.sequence
        key = request.worker_id, request.scope_id
        before = self._timers.expiration(key)
        reason = super()._register(request, wall, monotonic)
        if not connection.answer(request.sequence, reason) and reason is None:
            self._disarm(request)
            if before is not None and self._watch(request.worker_id):
                self._timers.arm(key, before)
        return reason

    def _admit(self, request: TimerRequest) -> str | None:
        reason = super()._admit(request)
        if reason is None and isinstance(request, SequencedRequest):
            sender = request.connection.incarnation
            if sender is None or not sender.alive:
                return f"its sender has gone: pid={request.worker_id}"
        return reason
