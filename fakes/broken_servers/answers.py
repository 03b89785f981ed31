"""What servers whose requests carry a sequence do wrong with it, and with their answers."""

from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.pid_server import PidTimerServer
from timersim.sequenced_server import SequencedRequest, SequencedTimerServer


class IgnoresTheSequence(SequencedTimerServer):
    """Answers each request, and registers it whatever its sequence."""

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        reason = PidTimerServer._register(self, request, wall, monotonic)
        if isinstance(request, SequencedRequest):
            request.connection.answer(request.sequence, reason)
        return reason


class TakesTheOvertakenForNew(SequencedTimerServer):
    """Knows a duplicate by the sequence of the last request, and takes every other one for new."""

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        if isinstance(request, SequencedRequest) and request.sequence != request.connection.sequence:
            request.connection.sequence = request.sequence - 1
        return super()._register(request, wall, monotonic)


class AnswersBeforeItArms(SequencedTimerServer):
    """Answers what it takes at once, and registers it in its next pass."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answered: list[TimerRequest] = []

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        for request in timer_requests:
            if isinstance(request, SequencedRequest):
                request.connection.answer(request.sequence)
        before, self._answered = self._answered, timer_requests
        super().register_timers(before)


class AnswersBeforeItLooks(SequencedTimerServer):
    """Answers that a timer is armed, then looks whether it can be: one that it refuses seemed to be armed."""

    def _admit(self, request: TimerRequest) -> str | None:
        if isinstance(request, SequencedRequest):
            request.connection.answer(request.sequence)
        return super()._admit(request)


ABLATIONS = (
    Ablation("heed-the-sequence", IgnoresTheSequence, breaks="replay-safe"),
    Ablation("ignore-the-overtaken", TakesTheOvertakenForNew, breaks="replay-safe"),
    Ablation("arm-before-answering", AnswersBeforeItArms, breaks="acquire-means-armed"),
    Ablation("answer-what-is-refused", AnswersBeforeItLooks, breaks="acquire-means-armed"),
)
