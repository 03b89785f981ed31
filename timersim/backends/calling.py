"""The clock of a worker of the process backend: what its client waits for, and for how long, is told or left out."""

import math
import os
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
