"""Requests a second, from one client process and from eight, till the server has registered them."""

import importlib
import multiprocessing
import os
import select
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
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

from .row import Benchmark, Result, Size, Target, in_rates
from .side_by_side import compare

LIMIT = 60.0
MAX_INTERVAL = 1
"""Seconds; torch's server takes so long to stop."""


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured, from one client process and from eight."""
    for clients in (1, 8):
        for name in ("local", "file"):
            what = f"requests, {name} from {clients}"
            yield Benchmark(what, "torch's LocalTimer", Target(">=", 1), partial(beside_torch, name, clients))
        against = "a bare SEQPACKET round trip"
        yield Benchmark(f"requests, socket from {clients}", against, Target(">=", 0.5), partial(beside_echo, clients))


def beside_torch(name: str, clients: int, size: Size) -> Result | None:
    """Times a transport and torch's, where torch is installed."""
    if find_spec("torch") is None:
        return None
    times = size.times(20_000 // clients, 100)
    return in_rates(compare(partial(ours, name, clients, times), partial(torchs, clients, times), size.rounds(7)))


def beside_echo(clients: int, size: Size) -> Result:
    """Times the socket and a bare one."""
    times = size.times(20_000 // clients, 100)
    return in_rates(compare(partial(ours, "socket", clients, times), partial(echo, clients, times), size.rounds(7)))


def ours(name: str, clients: int, times: int) -> float:
    """Seconds a request over a transport of timersim's."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "timers")
        client: Callable[[], TimerClient]
        if name == "local":
            queue = multiprocessing.get_context("spawn").Queue()
            server, client = _counting(LocalTimerServer)(queue, MAX_INTERVAL), partial(LocalTimerClient, queue)
        elif name == "file":
            server = _counting(FileTimerServer)(path, "benchmark", MAX_INTERVAL)
            client = partial(FileTimerClient, path)
        else:
            server, client = _counting(SocketTimerServer)(path, MAX_INTERVAL), partial(SocketTimerClient, path)
        return _served(server, client, clients, times)


def torchs(clients: int, times: int) -> float:
    """Seconds a request over torch's queue."""
    torch = importlib.import_module("torch.distributed.elastic.timer")
    queue = multiprocessing.get_context("spawn").Queue()
    server = _counting(torch.LocalTimerServer)(queue, MAX_INTERVAL)
    return _served(server, lambda: torch.LocalTimerClient(queue), clients, times)


def _counting(kind: type[Any]) -> type[Any]:
    """Returns a server that counts what it has registered, and says when it was the last."""

    class Counting(kind):  # type: ignore[misc]  # mypy wants a base that it knows; this is a server's class, whichever
        awaited = 0
        complete: threading.Event

        def register_timers(self, timer_requests: list[Any]) -> None:
            super().register_timers(timer_requests)
            self.awaited -= len(timer_requests)
            if self.awaited <= 0:
                self.complete.set()

    return Counting


def _served(server: Any, client: Callable[[], TimerClient], clients: int, times: int) -> float:
    server.awaited = clients * times
    server.complete = threading.Event()
    go, begin = os.pipe()
    done, end = os.pipe()
    children = [_fork(partial(_send, client, times, go, done)) for _ in range(clients)]
    server.start()
    begun = time.perf_counter()
    os.write(begin, b"g" * clients)
    if not server.complete.wait(LIMIT):
        raise TimeoutError(f"{server.awaited} requests have not come")
    taken = time.perf_counter() - begun
    os.write(end, b"e" * clients)
    for child in children:
        os.waitpid(child, 0)
    server.stop()
    return taken / (clients * times)


def _send(client: Callable[[], TimerClient], times: int, go: int, done: int) -> None:
    os.read(go, 1)
    own = client()
    for number in range(times):
        own.acquire(f"s{number % 10}", 4e9)
    os.read(done, 1)


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # it may go no further than this child
            traceback.print_exc()
        finally:
            os._exit(0)
    return pid


def echo(clients: int, times: int) -> float:
    """Seconds a round trip of forty bytes, and thirty back, between processes over a bare SEQPACKET socket."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(clients)]
    children = [_fork(partial(_ask, theirs, times)) for _, theirs in pairs]
    poller = select.epoll()
    served = {mine.fileno(): mine for mine, _ in pairs}
    for fd in served:
        poller.register(fd, select.EPOLLIN)
    begun = time.perf_counter()
    left = clients * times
    while left:
        for fd, _ in poller.poll():
            served[fd].recv(1_000)
            served[fd].send(b"a" * 30)
            left -= 1
    taken = time.perf_counter() - begun
    for child in children:
        os.waitpid(child, 0)
    return taken / (clients * times)


def _ask(link: socket.socket, times: int) -> None:
    for _ in range(times):
        link.send(b"r" * 40)
        link.recv(1_000)
