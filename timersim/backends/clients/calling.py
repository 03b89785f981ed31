"""What the client of a real worker is given: a clock that waits for answers alone, and where it is to stop."""

import math
import os
import signal
import socket
from collections.abc import Sequence

from timersim.clock import SystemClock


class CallClock(SystemClock):
    """A clock on which looking again takes no time, and an answer is waited for as long as it takes.

    Time is virtual, and this process has no hand in it. Before it waits for an answer it says so on `commands`: its
    packet lies in the server's socket then, "greets" for the first one of a connection, "asks" for a request.
    """

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self._greeted = 0

    def sleep(self, seconds: float) -> None:
        """Takes no time: what is not there now is not there at this instant."""

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        connection = os.fstat(fds[0]).st_ino
        self._commands.send(b"asks" if connection == self._greeted else b"greets")
        self._greeted = connection
        return super().wait_readable(fds, math.inf)


class Stops:
    """The point at which a worker is to stop in its next request.

    It says so on `commands` when it has come there: how it dies then, and by whom, is for who told it.
    """

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self.at: str | None = None

    def come_to(self, point: str) -> None:
        """Says that the request has come to this point and stays there, where it is the one; else goes on."""
        if point != self.at:
            return
        self.at = None
        self._commands.send(point.encode())
        while True:
            signal.pause()
