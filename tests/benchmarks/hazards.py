"""How often a kill in real time costs a request, or the voice of the other workers: how it ends is for the scheduler.

A worker is killed by SIGKILL from outside as soon as its `acquire` has returned: is the request lost? And one as soon
as the server has read its request, after which another worker acquires: is that one heard?
"""

import logging
import multiprocessing
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from timersim import (
    FileTimerClient,
    FileTimerServer,
    LocalTimerClient,
    LocalTimerServer,
    SocketTimerClient,
    SocketTimerServer,
    TimerClient,
)

from .row import Benchmark, Figure, Result, Size, Target

FAR = 4e9
MAX_INTERVAL = 60

LIMIT = 20.0
"""Seconds within which what must come has come."""

PATIENCE = 0.25
"""Seconds after which a worker that has acquired and is not heard counts as silenced."""

KINDS: dict[str, tuple[Any, Any]] = {
    "local": (LocalTimerServer, LocalTimerClient),
    "file": (FileTimerServer, FileTimerClient),
    "socket": (SocketTimerServer, SocketTimerClient),
}


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is counted on each transport: no kill may cost anything, but on a queue, which can't help it."""
    for hazard, trial in (("a request lost", _Trial.is_kept), ("rest silenced", _Trial.is_heard)):
        for name in KINDS:
            target = None if name == "local" else Target("<=", 0)
            yield Benchmark(f"kills, {name}, {hazard}", "all of the kills", target, partial(counted, name, trial))


def counted(name: str, trial: "Callable[[_Trial], bool]", size: Size) -> Result:
    """Counts the kills that cost something."""
    logging.getLogger("timersim").addHandler(logging.NullHandler())  # that the dead are refused is no news here
    times = size.times(60, 2)
    costly = sum(not trial(_Trial(name)) for _ in range(times))
    return Result(Figure(costly, "kills"), Figure(times, "kills"), costly / times)


class _Trial:
    """A server of one transport, and two workers that acquire when they are told to."""

    def __init__(self, name: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        context = multiprocessing.get_context("fork")
        kind, client = KINDS[name]
        address: Any = context.Queue() if name == "local" else str(Path(self._folder.name) / "timers")
        self._pipes, self._workers = [], []
        for _ in range(2):  # before there is a thread
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs, client, address), daemon=True)
            worker.start()
            theirs.close()
            self._pipes.append(ours)
            self._workers.append(worker)
        arguments = (address, "benchmark", MAX_INTERVAL) if name == "file" else (address, MAX_INTERVAL)
        self._server = _noting(kind)(*arguments)
        self._server.start()

    def is_kept(self) -> bool:
        """Kills a worker whose acquire has returned; returns whether its request comes."""
        self._pipes[0].send("acquire")
        self._pipes[0].recv()
        self._workers[0].kill()
        self._workers[0].join(LIMIT)
        return self._end(is_there=self._server.first.wait(PATIENCE))

    def is_heard(self) -> bool:
        """Kills a worker whose request was read; returns whether the request of the other one comes."""
        self._server.victim = self._workers[0]
        self._pipes[0].send("acquire")
        if not self._server.first.wait(LIMIT):
            raise TimeoutError("a request has not come")
        self._workers[0].join(LIMIT)
        self._pipes[1].send("acquire")
        return self._end(is_there=self._server.second.wait(PATIENCE))

    def _end(self, *, is_there: bool) -> bool:
        for worker in self._workers:
            worker.kill()
            worker.join(LIMIT)
            worker.close()
        self._server.stop()
        self._folder.cleanup()
        return is_there


def _noting(kind: Any) -> Any:
    """Returns a server that says when it has read a first and a second request, and kills a victim at the first."""

    class Noting(kind):  # type: ignore[misc]  # mypy wants a base that it knows; this is a server's class, whichever
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.first, self.second = threading.Event(), threading.Event()
            self.victim: Any = None

        def register_timers(self, timer_requests: list[Any]) -> None:
            if self.victim is not None and not self.first.is_set():
                self.victim.kill()
            for _ in timer_requests:
                (self.second if self.first.is_set() else self.first).set()
            super().register_timers(timer_requests)

    return Noting


def _work(pipe: Connection, client: type[TimerClient], address: Any) -> None:
    """Acquires when it is told to, says that this has returned, and stays."""
    own = client(address)  # type: ignore[call-arg]  # each kind takes its address
    pipe.recv()
    own.acquire("s", FAR)
    pipe.send("acquired")
    pipe.recv()
