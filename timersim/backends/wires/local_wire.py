"""The wire of torch's local timers: a `multiprocessing.Queue`, read by a task of the run."""

import math
from collections import defaultdict, deque
from typing import Any

from timersim.backends.clients.mp_wire import QueueFace, QueueWire
from timersim.backends.wires.wire import SURVIVED, Call, Line, Wire, wait_for
from timersim.backends.workers.pool import Worker
from timersim.fakes.clock import VirtualClock
from timersim.lab.contract import Contract
from timersim.lab.operations import SENDING
from timersim.local_timer import LocalTimerServer, MultiprocessingRequestQueue

HAZARDS = {
    "acquire-means-armed": "the queue's feeder thread sends after put has returned, and dies with its process",
    "death-contained": "who is killed with the queue's lock takes it along",
}
"""What a `multiprocessing.Queue` can't keep, and why."""


class LocalWire(Wire):
    """Workers that put into one queue, of which a server sees a face."""

    server = LocalTimerServer
    sending = SENDING

    def __init__(self, *, is_real_time: bool = False) -> None:
        self._queue = QueueWire(has_reader=is_real_time)
        self._kind = "flushed" if is_real_time else ""

    @staticmethod
    def contract(*, is_ours: bool, max_interval: int) -> Contract:
        if not is_ours:
            return Contract(reap_within=max_interval)
        return Contract(reap_within=0, survives=SURVIVED, exempt=HAZARDS)

    def to_pass(self) -> tuple[Any, list[int]]:
        return self._queue.to_pass(self._kind)

    def arguments(self, max_interval: float) -> dict[str, Any]:
        return {"mp_queue": self._queue.queue, "max_interval": max_interval}

    def throw_away(self) -> bool:
        return self._queue.throw_away()

    @property
    def address(self) -> Any:
        return (self._kind, self._queue.queue) if self._kind else self._queue.queue

    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        return _LocalLine(clock, self._queue)

    def close(self) -> None:
        self._queue.close()


class _LocalLine(Line):
    """A worker has put when its call returns; its feeder thread writes. While that is owed, time stands still.

    Once a worker was killed with the queue's lock nothing more can come: what the others put stays under way, and their
    feeder threads wait for real until they are killed, in the run or at its end.
    """

    sending = SENDING

    def __init__(self, clock: VirtualClock, wire: QueueWire) -> None:
        super().__init__(clock)
        self._wire = wire
        self.mp_queue = QueueFace(clock)
        self.queue = MultiprocessingRequestQueue(self.mp_queue, clock=clock)
        self._under_way: defaultdict[int, deque[int]] = defaultdict(deque)
        self._is_silenced = False
        self._exiting: set[int] = set()
        clock.spawn(self._pump, name="pump")

    def make(self, call: Call) -> None:
        if self._is_silenced:
            self.let_be(call.process)
        self._under_way[call.process.pid].append(call.number)
        says = 2 if call.process.pid in self._crashing else 1
        call.process.send(*call.command)
        said = {call.hear() for _ in range(says)} - {b"done"}
        while not self._is_silenced and said <= {b"flushed"} and not self._wire.is_drained():
            wait_for(self._wire.fileno(), f"worker {call.worker}: {call.command[0]}")
            self._read()
        if said:
            self.has_stopped(call, *said)
        elif not self._is_silenced:
            self._wire.pass_lock()

    def has_stopped(self, call: Call, said: bytes) -> None:
        """Has a worker killed; in all points but the first it has the lock, and takes it along."""
        if said != b"buffered":
            self._is_silenced = True
            self.meddled(call.number, "lock held")
        self.kill(call.worker)

    def is_calling(self, process: Worker) -> bool:
        return process.pid in self._exiting

    def is_stuck(self, process: Worker) -> bool:
        return bool(self._under_way[process.pid])

    def exits(self, process: Worker) -> bool:
        """Returns whether a worker ends: its exit waits for its feeder thread, and that perhaps for the lock."""
        if self._under_way[process.pid]:
            self._exiting.add(process.pid)
        return process.pid not in self._exiting

    def forget(self, process: Worker) -> None:
        super().forget(process)
        self._exiting.discard(process.pid)
        lost = self._under_way.pop(process.pid, ())
        for number in lost:
            self.meddled(number, "lost")
        self._wire.lose(len(lost))

    def end(self) -> None:
        if self._is_silenced:
            self._wire.mend()

    def number(self, request: Any) -> int | None:
        number, _ = self._numbers.get(id(request), (None, request))
        return number

    def _pump(self) -> None:
        """Reads the wire as soon as something is there."""
        while True:
            self.clock.wait_readable([self._wire.fileno()], math.inf)
            self._read()

    def _read(self) -> None:
        for request in self._wire.read():
            number = self._under_way[request.worker_id].popleft()
            self._numbers[id(request)] = number, request
            self.recorder.arrived(number)
            self.mp_queue.deliver(request)
