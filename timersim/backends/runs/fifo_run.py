"""A run with simulated workers whose requests go as lines over a real FIFO, which the server reads in virtual time."""

import json
import os
from collections import defaultdict
from io import FileIO
from typing import Any

from timersim.api import TimerRequest
from timersim.fakes.clock import VirtualClock
from timersim.fakes.faults import FaultyRequestQueue, WireKind
from timersim.fakes.simulated_run import RecordedQueue, SimulatedRun
from timersim.file_based_local_timer import FileTimerRequest
from timersim.lab.operations import Corruption
from timersim.lab.record import Meddled


class FifoRun(SimulatedRun):
    """A run whose simulated workers write to the FIFO at `path` that the server has made there."""

    def __init__(self, max_interval: int, path: str) -> None:
        self._path = path
        self._sent: defaultdict[tuple[int, str, float], list[int]] = defaultdict(list)
        self._numbers: dict[int, tuple[int, Any]] = {}
        arguments = {"file_path": path, "run_id": "timersim", "max_interval": max_interval}
        super().__init__(max_interval, "fifo", arguments=arguments)
        self.server.gone = self._sent.clear

    def untie(self) -> None:
        """Gives back what workers that stall have open."""
        assert isinstance(self._queue, FifoQueue)
        self._queue.untie()

    def sent(self, request: Any) -> None:
        """Takes note of a request that can be read from now on."""
        self._sent[_content(request)].append(request.number)

    def _new_queue(self, clock: VirtualClock, wire: WireKind) -> FaultyRequestQueue:
        return FifoQueue(clock, self, self._path)

    def _number(self, request: Any) -> int | None:
        """Returns the number of what the server read: the oldest request that says the same."""
        if id(request) not in self._numbers:
            numbers = self._sent.get(_content(request))
            if not numbers:
                return None
            self._numbers[id(request)] = numbers.pop(0), request  # which keeps its id from being used again
        return self._numbers[id(request)][0]


class FifoQueue(RecordedQueue):
    """The workers' end of the FIFO: each request is a line; who stalls has it open, and has written nothing yet."""

    def __init__(self, clock: VirtualClock, run: FifoRun, path: str) -> None:
        super().__init__(clock, run, "fifo")
        self._fifo_run = run
        self._path = path
        self._held: dict[Any, FileIO] = {}

    def untie(self) -> None:
        """Closes what is open still."""
        for writer in self._held.values():
            writer.close()
        self._held.clear()

    def forget(self, worker_id: Any, *, flush: bool = False) -> None:
        super().forget(worker_id, flush=flush)
        self._let_go(worker_id)

    def _stall(self, letter: Any) -> None:
        self._let_go(letter.request.worker_id)
        writer = self._open()
        if writer is not None:
            self._held[letter.request.worker_id] = writer
        super()._stall(letter)

    def _go_on(self, worker_id: Any) -> None:
        writer = self._held.get(worker_id)
        super()._go_on(worker_id)
        if worker_id not in self._stopped and writer is self._held.get(worker_id):  # else it stalls once more
            self._let_go(worker_id)

    def _arrive(self, request: TimerRequest, corruption: Corruption | None = None) -> None:
        writer = self._held.pop(request.worker_id, None) or self._open()
        if writer is None:
            self._refuse(request)
            return
        with writer:
            try:
                written = writer.write(_line(request, corruption))
            except OSError:  # nobody reads it any more
                written = None
        if not written:  # or the pipe is full
            self._refuse(request)
            return
        if corruption is None:
            self._fifo_run.sent(request)
            self.on_arrival(request)
        else:
            self.on_fault("corrupted", request, 0.0)

    def _open(self) -> FileIO | None:
        """Opens the FIFO as torch's client does; None where no server has it open."""
        try:
            return FileIO(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK), "w")
        except OSError:
            return None

    def _refuse(self, request: TimerRequest) -> None:
        recorder = self._fifo_run.recorder
        recorder.add(Meddled, request.number, "refused", recorder.now())  # type: ignore[attr-defined]  # one of the run's

    def _let_go(self, worker_id: Any) -> None:
        writer = self._held.pop(worker_id, None)
        if writer is not None:
            writer.close()


def _content(request: Any) -> tuple[int, str, float]:
    return request.worker_id, request.scope_id, request.expiration_time


def _line(request: TimerRequest, corruption: Corruption | None) -> bytes:
    """Returns a request as its client writes it, or what came of it."""
    signal = 9 if request.expiration_time >= 0 else 0
    expiration = float("nan") if corruption == "nan" else request.expiration_time
    line = FileTimerRequest(request.worker_id, request.scope_id, expiration, signal).to_json()
    match corruption:
        case "garbage":
            line = "\0 no request"
        case "truncated":
            line = json.dumps({"version": 1, "pid": request.worker_id})
    return line.encode() + b"\n"
