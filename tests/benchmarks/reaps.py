"""From a timer's expiration to the death of its worker, against a loop that sleeps, spins, kills and waits."""

import multiprocessing
import os
import select
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from timersim import (
    FileTimerClient,
    FileTimerServer,
    LocalTimerClient,
    LocalTimerServer,
    SocketTimerClient,
    SocketTimerServer,
    TimerClient,
)

from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import compare

AFTER = 0.03
SPIN = 0.0003
MAX_INTERVAL = 60


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured, on each transport."""
    for name in ("local", "file", "socket"):
        what = f"expiration to dead, {name}"
        yield Benchmark(what, "sleep, spin, SIGKILL, waitpid", Target("<=", 1.5), partial(measured, name))


def measured(name: str, size: Size) -> Result:
    """Times both sides; the medians."""
    times = size.times(40, 3)
    return in_time(compare(partial(ours, name, times), partial(floor, times), size.rounds(7)), "ms")


def ours(name: str, times: int) -> float:
    """With a server whose max_interval is a minute, and a worker that is hung; the median."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "timers")
        server: LocalTimerServer | FileTimerServer | SocketTimerServer
        client: TimerClient
        if name == "local":
            queue = multiprocessing.get_context("spawn").Queue()
            server, client = LocalTimerServer(queue, MAX_INTERVAL), LocalTimerClient(queue)
        elif name == "file":
            server, client = FileTimerServer(path, "benchmark", MAX_INTERVAL), FileTimerClient(path)
        else:
            server, client = SocketTimerServer(path, MAX_INTERVAL), SocketTimerClient(path)
        server.start()
        taken = [_one(client) for _ in range(times)]
        server.stop()
    return statistics.median(taken)


def _one(client: TimerClient) -> float:
    due = time.time() + AFTER
    pid = os.fork()
    if pid == 0:
        client.acquire("s", due)
        time.sleep(1_000)  # hung, till it is killed
    pidfd = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll(10_000)
    dead = time.time()
    os.close(pidfd)
    os.waitpid(pid, 0)
    return dead - due


def floor(times: int) -> float:
    """By hand; the median."""
    taken = []
    for _ in range(times):
        due = time.time() + AFTER
        pid = os.fork()
        if pid == 0:
            time.sleep(1_000)  # hung, till it is killed
        # The floor has no wake-up to pay for: it sleeps nearly there, and spins.
        time.sleep(due - SPIN - time.time())
        while time.time() < due:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        taken.append(time.time() - due)
    return statistics.median(taken)
