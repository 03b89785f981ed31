"""The task that hangs: it waits to be told to finish, or to crash, in whatever process a supervisor runs it."""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

LOOK = 1.0
"""Seconds after which a task looks whether the process that started it is there still."""

WORD_LIMIT = 64
"""Bytes of the longest message, in either direction."""


class HangingTask:
    """A task that hangs until the laboratory has it finish, or crash.

    A supervisor calls it, `task()`, in a process of its own: it can be pickled, and is a plain function of no
    arguments to a pool. To a supervisor of commands `argv` is one that does the same.
    """

    __slots__ = ("address", "number")

    def __init__(self, address: str, number: int) -> None:
        self.address = address
        self.number = number

    def __call__(self) -> None:
        hang(self.address, self.number)

    def __repr__(self) -> str:
        return f"HangingTask({self.number})"

    @property
    def argv(self) -> list[str]:
        """The command that hangs as the task does."""
        return [sys.executable, "-I", "-S", __file__, self.address, str(self.number)]


def hang(address: str, number: int) -> None:
    """Says that the task has begun, and waits for a word: to crash, or to finish, which it answers.

    Where the laboratory is gone, or the process that started this one, it ends by itself, and says nothing.
    """
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line, suppress(ConnectionError, FileNotFoundError):
        line.settimeout(LOOK)
        line.connect(address)
        line.send(b"%d" % number)
        word = b"wait"
        while word == b"wait" and os.getppid() == parent:
            with suppress(TimeoutError):
                word = line.recv(WORD_LIMIT)
        if word.startswith(b"crash "):
            from timersim.backends.workers.zygote import crash

            crash(word.removeprefix(b"crash ").decode())
        if word == b"finish":
            line.send(b"finished")


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[3]))  # a lean interpreter, which finds nothing but the standard library
    hang(sys.argv[1], int(sys.argv[2]))
