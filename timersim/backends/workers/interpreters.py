"""Full interpreters as workers: processes that multiprocessing starts, by spawn, forkserver or fork.

The same seam as the pool's, for code that needs more than the lean workers of the zygote have.
"""

import multiprocessing
import select
import signal
import socket
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal

from timersim.backends.workers import child
from timersim.backends.workers.pool import PoolError, Worker, WorkerPool

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

StartMethod = Literal["spawn", "forkserver", "fork"]

START_LIMIT = 60.0
"""Seconds of real time that an interpreter may take until it is ready, with all that its function's module imports."""


class InterpreterPool:
    """Workers that send over one wire, each a full interpreter, started by a `method` of multiprocessing.

    Without a `function` they obey commands; who lives when it is given back is handed out again. With one each calls
    it, with what is `given` of what a worker can have. `wire` is the queue, or ("file", path) or ("socket", path).
    """

    pid = None
    status = None

    def __init__(
        self, method: StartMethod, wire: Any, function: child.Function | None = None, given: Sequence[str] = ()
    ) -> None:
        self._context: Any = multiprocessing.get_context(method)
        self._method = method
        self._wire = wire
        self._function = function
        self._given = given
        self.forks = 0
        self._idle: list[Worker] = []
        self._workers: dict[int, tuple[Worker, BaseProcess]] = {}
        _note_fork_server(method)
        self._leash, self._held = multiprocessing.Pipe(duplex=False)
        arguments = self._workers, self._leash, self._held
        self._end = util.Finalize(self, _end, arguments, exitpriority=10)  # before multiprocessing waits for its own

    def take(self) -> Worker:
        """Hands out a worker, started where none is idle."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            self.bury(worker)
        return self._start()

    def give_back(self, worker: Worker) -> None:
        """Takes a living worker back."""
        self._idle.append(worker)

    def bury(self, worker: Worker) -> int:
        """Takes the exit status of a worker that is dead, as a negative signal number or a code."""
        _, process = self._workers.pop(worker.pid)
        worker.close()
        process.join()
        status = process.exitcode
        process.close()
        assert status is not None
        return status

    def strays(self) -> list[int]:
        """Returns none: whom it has started it has handed out, or it is idle."""
        return []

    def close(self) -> None:
        """Ends every worker, and the fork server where it is here for them alone."""
        self._end()
        self._idle.clear()

    def _start(self) -> Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = self._context.Process(target=child.begin, args=self._arguments(theirs), name="timersim worker")
            with warnings.catch_warnings():  # a fork of a process with threads: the hang guard is one
                warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
                process.start()
        self.forks += 1
        worker = Worker(process.pid, ours)
        self._workers[worker.pid] = worker, process
        said = worker.answer() if select.select([ours], [], [], START_LIMIT)[0] else b"it was not ready in time"
        if said != b"ready":
            worker.signal(signal.SIGKILL)
            self.bury(worker)
            raise PoolError(
                f"a worker started by {self._method} ended before it was ready{_reason(said, self._function)}"
            )
        return worker

    def _arguments(self, commands: socket.socket) -> tuple[Any, ...]:
        held = self._held if self._method == "fork" else None
        return commands, self._leash, held, self._wire, self._function, self._given


_: type[WorkerPool] = InterpreterPool


def _reason(said: bytes, function: child.Function | None) -> str:
    if not said:
        return ""
    what = said.decode(errors="replace")
    if isinstance(function, str) and said != b"it was not ready in time":
        return (
            f": it can't import {function}: {what}; let the module be found by a new interpreter that is started here"
        )
    return f": {what}"


def _end(workers: "dict[int, tuple[Worker, BaseProcess]]", leash: Connection, held: Connection) -> None:
    """Kills every worker, takes their statuses, and gives back the rest. At a program's exit the pidfds may be gone."""
    held.close()
    for worker, _ in workers.values():
        with suppress(OSError):
            worker.signal(signal.SIGKILL)
    for worker, process in workers.values():
        process.join()
        process.close()
        worker.close()
    workers.clear()
    leash.close()
    _end_fork_server()


_fork_server_is_ours = False


def _note_fork_server(method: StartMethod) -> None:
    """Notes that multiprocessing's fork server, one for the life of a process, was not there before it is ours."""
    global _fork_server_is_ours
    if method == "forkserver" and forkserver._forkserver._forkserver_pid is None:  # type: ignore[attr-defined]  # nothing public tells
        _fork_server_is_ours = True


def _end_fork_server() -> None:
    """Ends the fork server that was started for workers of ours, unless somebody else has come to use it."""
    global _fork_server_is_ours
    if _fork_server_is_ours and not multiprocessing.active_children():
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # nothing public ends it
        _fork_server_is_ours = False
