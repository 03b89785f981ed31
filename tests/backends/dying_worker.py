"""A worker of a job, for the tests of the ways to die: it enters a guarded block, and does there what it is told.

It says `guarded` in the block and `released` after it, over a pipe. `python dying_worker.py FILE-OR-SOCKET PATH PIPE`
is one that `subprocess` has started.
"""

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from timersim import FileTimerClient, LocalTimerClient, SocketTimerClient, SystemClock, expires
from timersim.api import TimerClient

START = 1_000_000.0
"""What the wall clock of every worker shows, and where the server's virtual time begins."""

AFTER = 60.0
"""Seconds after which the block is due."""


class Still(SystemClock):
    """A clock on which it is START; a worker makes no other use of the wall clock."""

    def time(self) -> float:
        """Returns START."""
        return START


def client_of(transport: str, address: Any, number: int = signal.SIGKILL) -> TimerClient:
    """Returns a client: `address` is the queue or the path, `number` with what a file's worker is to be reaped."""
    if transport == "local":
        return LocalTimerClient(address, clock=Still())
    if transport == "file":
        return FileTimerClient(address, number, clock=Still())
    return SocketTimerClient(address, clock=Still())


def work(pipe: Connection, *address: Any) -> None:
    """Enters the block, does there the `WAYS` that it is told, one after the other, and then waits for its end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    client = client_of(*address)
    with expires(after=AFTER, scope="step", client=client):
        pipe.send("guarded")
        while (way := pipe.recv()) != "leave":
            WAYS[way](pipe)
    pipe.send("released")
    pipe.recv()


def neglect(pipe: Connection, *address: Any) -> None:
    """Starts a worker, says its pid, and does not wait for it before SIGTERM."""
    pid = os.fork()
    if pid == 0:
        work(pipe, *address)
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    pipe.send(pid)
    signal.sigwait([signal.SIGTERM])
    os.waitpid(pid, 0)


def raises(pipe: Connection) -> None:
    """Raises what nobody catches."""
    raise RuntimeError("a bug in the step")


def deadlocks(pipe: Connection) -> None:
    """Waits for a lock that it holds itself."""
    lock = threading.Lock()
    with lock, lock:
        """It does not get here."""


def hangs_in_native_code(pipe: Connection) -> None:
    """Waits in a native call for ever, with the GIL, and heeds no signal that Python handles."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
    native = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(128)  # all zero: unlocked
    native.pthread_mutex_lock(mutex)
    pipe.send("locked")
    native.pthread_mutex_lock(mutex)


def becomes_another_program(pipe: Connection) -> None:
    """Execs, by which its pipe is closed."""
    os.set_inheritable(pipe.fileno(), False)  # noqa: FBT003 - it has no name
    os.execvp("sleep", ["sleep", "1000"])


def ignores_sigterm(pipe: Connection) -> None:
    """Ignores SIGTERM from now on."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send("deaf")


def spins(pipe: Connection) -> None:
    """Computes for ever."""
    while True:
        """Nothing is found."""


def stays(pipe: Connection) -> None:
    """Says its pid and waits for ever."""
    pipe.send(os.getpid())
    while True:
        signal.pause()


def fork(then: Callable[[], None]) -> None:
    """Has a child do something, and nothing after it."""
    if os.fork() == 0:
        then()
        os._exit(0)


def founds_a_family(pipe: Connection) -> None:
    """Starts a child with a child, and the same in a session of their own; all stay, five processes with itself."""

    def parent() -> None:
        fork(lambda: stays(pipe))
        stays(pipe)

    def leader() -> None:
        os.setsid()
        parent()

    fork(parent)
    fork(leader)
    stays(pipe)


WAYS: dict[str, Callable[[Connection], object]] = {
    "raises": raises,
    "exits": lambda pipe: sys.exit(3),
    "ends at once": lambda pipe: os._exit(4),
    "aborts": lambda pipe: os.abort(),
    "faults": lambda pipe: ctypes.CDLL(None).strlen(None),
    "deadlocks": deadlocks,
    "hangs in native code": hangs_in_native_code,
    "waits for input": lambda pipe: os.read(os.pipe()[0], 1),
    "spins": spins,
    "becomes another program": becomes_another_program,
    "ignores SIGTERM": ignores_sigterm,
    "founds a family": founds_a_family,
}
"""What a worker can be told to do in its block."""


if __name__ == "__main__":
    work(Connection(int(sys.argv[3])), sys.argv[1], sys.argv[2])
