"""The zygote: a lean process that forks workers on request; it and they run this file.

It is started by path with `python -I -S`, and imports next to nothing: a fork costs what the forked process has
mapped. Its first message is the pickled queue over which the workers send. It serves one socket, whose end
ends it and every worker: the death of the process that started it leaves nobody and nothing behind.
What is pickled is the queue, or ("flushed", queue), ("file", path) or ("socket", path).

Requests of the zygote: `fork` with a descriptor (answered by the pid), `wait` with a pid (answered by the exit
status, as os.waitstatus_to_exitcode gives it). Commands of a worker: acquire, release (answered: done, or raised
where the call raised for want of a server; before that by what `CallClock` says), stop_at (a point, or none: there
the next request stops, and says so), exit, crash (how).
"""

import ctypes
import faulthandler
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

MESSAGE_LIMIT = 65_536
"""Bytes of the longest message, in either direction."""

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

LIBC = ctypes.CDLL(None)
"""Loaded before the forks, each of which would have to load it."""


def serve(control: socket.socket) -> None:
    """Serves requests until the other end is closed, then ends every worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # sent to all where the driver dies while a worker is stopped
    wire = pickle.loads(control.recv(MESSAGE_LIMIT))
    client = client_maker(wire)  # imported once, before the forks
    control.send(b"ready")
    workers: set[int] = set()
    with suppress(ConnectionError):  # who asked was killed in the middle of a request
        _obey(control, client, workers)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    for pid in workers:
        os.waitpid(pid, 0)
    if isinstance(wire, tuple) and isinstance(wire[1], str):
        _take_away(wire[1])


def _obey(control: socket.socket, client: Callable[[socket.socket], Any], workers: set[int]) -> None:
    """Serves requests until the other end is closed."""
    while True:
        message, fds, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, 1)
        if not message:
            return
        request, *arguments = pickle.loads(message)
        if request == "fork":
            pid = _fork(control, fds[0], client)
            workers.add(pid)
            control.send(pickle.dumps(pid))
        else:
            _, status = os.waitpid(arguments[0], 0)
            workers.discard(arguments[0])
            control.send(pickle.dumps(os.waitstatus_to_exitcode(status)))


def _take_away(path: str) -> None:
    """Takes the FIFO or the socket away, and the directory that was made for it, which who was killed has left."""
    from pathlib import Path

    with suppress(OSError):
        Path(path).unlink(missing_ok=True)
        Path(path).parent.rmdir()


def client_maker(wire: Any) -> Callable[[socket.socket], Any]:
    """Returns what makes a worker's client, given the socket over which it gets its commands.

    `wire` is the queue, or ("flushed", queue), ("file", path) or ("socket", path).
    """
    if not isinstance(wire, tuple):
        from timersim.backends.clients.mp_wire import StoppingQueueClient

        return partial(StoppingQueueClient, wire)
    transport, path = wire
    if transport == "flushed":
        from timersim.backends.clients.flushing import FlushingTimerClient

        return lambda commands: FlushingTimerClient(path)
    from timersim.backends.clients.stopping import StoppingFileClient, StoppingSocketClient

    return partial(StoppingFileClient if transport == "file" else StoppingSocketClient, path)


def _fork(control: socket.socket, fd: int, client: Callable[[socket.socket], Any]) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _die_with(zygote)
        commands = socket.socket(fileno=fd)
        try:
            work(commands, client(commands))
        except ConnectionError:
            os._exit(1)  # nobody is left to give commands
        sys.exit(0)
    os.close(fd)
    return pid


def work(commands: socket.socket, client: Any) -> None:
    """Says that it is ready, then obeys commands until told to exit, or until nobody is left to give any."""
    commands.send(b"ready")
    while message := commands.recv(MESSAGE_LIMIT):
        command, *arguments = pickle.loads(message)
        if command == "exit":
            return
        if command == "crash":
            crash(*arguments)
        try:
            getattr(client, command)(*arguments)
        except (ConnectionError, RuntimeError):
            commands.send(b"raised")
        else:
            commands.send(b"done")
    os._exit(0)


def crash(how: str) -> None:
    """Dies in this way, without a core and a word: a limit does not keep the kernel from giving a core to a program."""
    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    LIBC.prctl(PR_SET_DUMPABLE, 0)
    if how == "abort":
        os.abort()
    elif how == "segv":
        LIBC.strlen(None)
    os._exit(1)


def _die_with(zygote: int) -> None:
    """Has the kernel kill this process when the zygote dies, were it stopped or hung."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)  # it died before it could be watched


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    serve(socket.socket(fileno=int(sys.argv[1])))
