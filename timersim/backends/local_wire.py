"""The wire of torch's local timers: a `multiprocessing.Queue`, read by a task of the run."""

import math
from collections import defaultdict, deque
from typing import Any

from timersim.backends.mp_wire import QueueFace, QueueWire
from timersim.backends.wire import Call, Line, Wire, wait_for
from timersim.fakes.clock import VirtualClock
from timersim.lab.contract import Contract
from timersim.local_timer import LocalTimerServer, MultiprocessingRequestQueue


class LocalWire(Wire):
    """Workers that put into one queue, of which a server sees a face."""

    server = LocalTimerServer

    def __init__(self) -> None:
        self._queue = QueueWire()

    @staticmethod
    def contract(*, is_ours: bool, max_interval: int) -> Contract:
        return Contract(reap_within=0 if is_ours else max_interval)

    def to_pass(self) -> tuple[Any, list[int]]:
        return self._queue.to_pass()

    @property
    def address(self) -> Any:
        return self._queue.queue

    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        return _LocalLine(clock, self._queue)

    def close(self) -> None:
        self._queue.close()


class _LocalLine(Line):
    """A worker has put when its call returns; its feeder thread writes. While that is owed, time stands still."""

    def __init__(self, clock: VirtualClock, wire: QueueWire) -> None:
        super().__init__(clock)
        self._wire = wire
        self.mp_queue = QueueFace(clock)
        self.queue = MultiprocessingRequestQueue(self.mp_queue, clock=clock)
        self._under_way: defaultdict[int, deque[int]] = defaultdict(deque)
        clock.spawn(self._pump, name="pump")

    def make(self, call: Call) -> None:
        self._under_way[call.process.pid].append(call.number)
        call.make()
        while not self._wire.is_drained():
            wait_for(self._wire.fileno(), f"worker {call.worker}: {call.command[0]}")
            self._read()
        self._wire.pass_lock()

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
