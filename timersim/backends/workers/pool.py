"""The pool: real worker processes, forked by a zygote, handed out and taken back."""

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import timersim
from timersim.backends.workers import zygote

END_LIMIT = 5.0
"""Seconds that the zygote has to end its workers and itself."""


CRASH_STATUS = {"sigkill": -signal.SIGKILL, "exit": 1, "abort": -signal.SIGABRT, "segv": -signal.SIGSEGV}
"""With which status a worker ends, by how it crashes: a signal's number, negative, or an exit code."""


class PoolError(RuntimeError):
    """The zygote or a worker of it is not what it has to be."""


class Worker:
    """One real process that obeys commands."""

    __slots__ = ("__weakref__", "_close_pidfd", "commands", "pid", "pidfd")

    def __init__(self, pid: int, commands: socket.socket) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._close_pidfd = weakref.finalize(self, os.close, self.pidfd)
        self.commands = commands

    def send(self, *command: Any) -> None:
        """Gives it a command."""
        try:
            self.commands.send(pickle.dumps(command))
        except OSError as error:
            raise PoolError(f"the worker with pid {self.pid} can't be told to {command[0]}: {error.strerror}") from None

    def answer(self) -> bytes:
        """Returns what it answers; nothing where it has ended."""
        try:
            return self.commands.recv(zygote.MESSAGE_LIMIT)
        except ConnectionError:
            return b""

    @property
    def has_ended(self) -> bool:
        """Whether it is dead, waited for or not."""
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return bool(poller.poll(0))

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """Gives its descriptors back."""
        self.commands.close()
        self._close_pidfd()


class WorkerPool(Protocol):
    """Where workers come from, and where they go: by `take`, and by `give_back` alive or `bury` dead."""

    forks: int
    """How many processes it has started for them."""

    @property
    def pid(self) -> int | None:
        """The pid of the process from which they come; None where that is this one, or multiprocessing's."""

    @property
    def status(self) -> int | None:
        """The exit status with which that process has ended, and every worker with it; None where it has not."""

    def take(self) -> Worker: ...

    def give_back(self, worker: Worker) -> None: ...

    def bury(self, worker: Worker) -> int: ...

    def strays(self) -> list[int]: ...

    def close(self) -> None: ...


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def living_pools() -> "list[Pool]":
    """Returns the pools of this process that nobody has dropped."""
    return list(_pools)


class Pool:
    """Workers that put into one queue, of which `pickled` is the pickle and `fds` the descriptors.

    A worker that lives when it is given back is handed out again: a run costs one fork for each death.
    """

    def __init__(self, pickled: bytes, fds: Sequence[int]) -> None:
        self._idle: list[Worker] = []
        self._out: dict[int, Worker] = {}
        self.forks = 0
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            root = Path(timersim.__file__).parent.parent
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", zygote.__file__, str(theirs.fileno()), str(root)],
                pass_fds=[theirs.fileno(), *fds],
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for who started it
            )
        self._control = ours
        self._end = weakref.finalize(self, _end, ours, self._process, self._idle, self._out)
        _pools.add(self)
        self._send(pickled)
        if self._receive() != b"ready":
            raise PoolError("the zygote ended before it was ready")

    @property
    def pid(self) -> int:
        """The zygote's pid."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status of the zygote, None while it lives."""
        return self._process.poll()

    @property
    def descriptors(self) -> set[int]:
        """The descriptors of its workers, who come and go while it is kept."""
        workers = [*self._idle, *self._out.values()]
        return {descriptor for worker in workers for descriptor in (worker.pidfd, worker.commands.fileno())}

    def take(self) -> Worker:
        """Hands out a worker, forked where none is idle."""
        worker = self._idle.pop() if self._idle else self._fork()
        self._out[worker.pid] = worker
        return worker

    def give_back(self, worker: Worker) -> None:
        """Takes a living worker back."""
        del self._out[worker.pid]
        self._idle.append(worker)

    def bury(self, worker: Worker) -> int:
        """Takes the exit status of a worker that is dead, as a negative signal number or a code."""
        del self._out[worker.pid]
        worker.close()
        self._send(pickle.dumps(("wait", worker.pid)))
        return int(pickle.loads(self._receive()))

    def strays(self) -> list[int]:
        """Returns the zygote's children that are neither idle nor handed out: nobody should be there.

        Raises PoolError where the zygote has ended, which its workers may not have noticed yet.
        """
        if self.status is not None:
            raise PoolError("the zygote has ended")
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        known = {worker.pid for worker in self._idle} | self._out.keys()
        return [pid for pid in map(int, children.split()) if pid not in known]

    def close(self) -> None:
        """Ends every worker and the zygote, and waits for its end."""
        self._end()

    def _fork(self) -> Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._send(pickle.dumps(("fork",)), theirs.fileno())
                pid = int(pickle.loads(self._receive()))
            if ours.recv(zygote.MESSAGE_LIMIT) != b"ready":
                raise PoolError(f"the worker with pid {pid} ended before it was ready")
        except BaseException:
            ours.close()
            raise
        self.forks += 1
        return Worker(pid, ours)

    def _send(self, message: bytes, *fds: int) -> None:
        try:
            socket.send_fds(self._control, [message], fds)
        except OSError as error:
            raise PoolError(f"the zygote can't be asked: {error.strerror}") from None

    def _receive(self) -> bytes:
        try:
            message = self._control.recv(zygote.MESSAGE_LIMIT)
        except ConnectionError:
            message = b""
        if not message:
            raise PoolError("the zygote has ended")
        return message


_: type[WorkerPool] = Pool


def _end(
    control: socket.socket, process: "subprocess.Popen[bytes]", idle: list[Worker], out: dict[int, Worker]
) -> None:
    """Lets the zygote end itself and its workers; one that does not is killed, and takes them along."""
    for worker in (*idle, *out.values()):
        worker.close()
    idle.clear()
    out.clear()
    control.close()
    try:
        process.wait(END_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
