"""The wire of the file timers: a FIFO, on which the server of a run waits for real."""

import pickle
from typing import Any

from timersim.backends.private_path import PrivatePath
from timersim.backends.wires.wire import NEEDS_LOCK, REFUSED_WHILE_STOPPED, SURVIVED, Line, Wire
from timersim.fakes.clock import VirtualClock
from timersim.file_based_local_timer import FileTimerServer
from timersim.lab.contract import Contract


class FileWire(Wire):
    """Workers that write to one FIFO.

    A worker has written when its call returns, and the clock looks at the FIFO before time goes on. While the server
    is stopped there is no FIFO, and a call is refused.
    """

    server = FileTimerServer
    seldom = REFUSED_WHILE_STOPPED | NEEDS_LOCK

    def __init__(self, *, is_real_time: bool = False) -> None:
        self._place = PrivatePath("fifo")

    @staticmethod
    def contract(*, is_ours: bool, max_interval: int) -> Contract:
        return Contract(reap_within=0, survives=SURVIVED) if is_ours else Contract(reap_within=max_interval)

    def to_pass(self) -> tuple[Any, list[int]]:
        return pickle.dumps(self.address), []

    @property
    def address(self) -> Any:
        return "file", self._place.path

    def arguments(self, max_interval: float) -> dict[str, Any]:
        return {"file_path": self._place.path, "run_id": "timersim", "max_interval": max_interval}

    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        line = Line(clock)
        line.arguments = self.arguments(max_interval)
        return line

    def close(self) -> None:
        self._place.close()
