"""Clients of a FIFO and of a socket that can stop in the middle of a request, where their worker is to be killed."""

import math
import socket

from timersim.backends.clients.calling import CallClock, Stops
from timersim.file_based_local_timer import FileTimerClient
from timersim.socket_timer import SocketTimerClient


class StoppingFileClient(FileTimerClient):
    """A client of a FIFO that can stop before the write, and after it: a line is written whole, and no lock is held."""

    def __init__(self, path: str, commands: socket.socket) -> None:
        super().__init__(path, clock=CallClock(commands))
        self._stops = Stops(commands)

    def stop_at(self, point: str | None) -> None:
        """Has the next request stop at a point, or at none."""
        self._stops.at = point

    def _write(self, fd: int, line: bytes) -> None:
        self._stops.come_to("buffered")
        super()._write(fd, line)
        self._stops.come_to("flushed")


class StoppingSocketClient(SocketTimerClient):
    """A client of a socket that can stop before it sends: once it has sent it waits for its answer anyway."""

    def __init__(self, path: str, commands: socket.socket) -> None:
        super().__init__(path, clock=CallClock(commands), answer_within=math.inf)
        self._stops = Stops(commands)

    def stop_at(self, point: str | None) -> None:
        """Has the next request stop at a point, or at none."""
        self._stops.at = point

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        self._stops.come_to("buffered")
        super().acquire(scope_id, expiration_time)

    def release(self, scope_id: str) -> None:
        self._stops.come_to("buffered")
        super().release(scope_id)
