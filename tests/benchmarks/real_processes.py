"""A schedule on real processes, in virtual time: three workers, ten operations, with a real kill and without.

The floor is a warm pool by hand: a zygote, workers that acknowledge each message, all pinned to one core.
"""

import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from timersim.backends import ProcessBackend
from timersim.backends.process import Transport
from timersim.lab import Acquire, Release, Schedule, Start, run

from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import compare

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PAIRS = [operation for worker in (1, 2, 1, 2) for operation in (Acquire(worker, "s", after=9), Release(worker, "s"))]
"""Eight messages of the two who live."""

KILL = Schedule([Acquire(0, "s", after=5), *PAIRS, Start(0, gap=6)])
"""Worker 0 is hung: it is killed at t=5, and another takes its place."""

CALM = Schedule([Acquire(0, "s", after=5), *PAIRS, Release(0, "s", gap=1)])

WORKERS = 3


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured: the targets are those of the socket, the other transports are beside it."""
    transports: tuple[Transport, ...] = ("socket", "local", "file")
    for transport in transports:
        for name, schedule, limit in (("a kill", KILL, 2), ("no kill", CALM, 4)):
            target = Target("<=", limit) if transport == "socket" else None
            what = f"real processes, {transport}, {name}"
            yield Benchmark(what, "a warm pool by hand", target, partial(measured, transport, schedule))
    against = "multiprocessing spawn for each; the ratio: how much sooner"
    yield Benchmark("real processes, none spawned", against, Target(">=", 40), beside_spawn)


def measured(transport: Transport, schedule: Schedule, size: Size) -> Result:
    """Times both sides."""
    times = size.times(400, 10)
    by_hand = partial(floor, times, kills=schedule is KILL)
    return in_time(compare(partial(ours, transport, schedule, times), by_hand, size.rounds(7)), "ms")


def beside_spawn(size: Size) -> Result:
    """Times the socket beside processes that are spawned for each schedule."""
    socket_side, spawn_side = partial(ours, "socket", KILL, size.times(400, 10)), partial(spawned, size.times(10, 1))
    result = in_time(compare(socket_side, spawn_side, size.rounds(7)), "ms")
    return replace(result, ratio=1 / result.ratio)


def ours(transport: Transport, schedule: Schedule, times: int) -> float:
    """The whole of `run`, with trace and verdict; seconds a schedule."""
    backend = ProcessBackend(transport, pin=True)
    backend.warm()
    run(schedule, backend)
    assert backend._pool is not None
    forks = backend._pool.forks
    begun = perf_counter()
    for _ in range(times):
        trace = run(schedule, backend)
    taken = (perf_counter() - begun) / times
    kills = 1 if schedule is KILL else 0
    assert (len(trace.reaps), trace.violations) == (kills, [])
    assert backend._pool.forks - forks == kills * times
    backend.close()
    return taken


def floor(times: int, *, kills: bool) -> float:
    """By hand; seconds a schedule."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("bare_zygote.py")), str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    workers = [_forked(control) for _ in range(WORKERS)]
    begun = perf_counter()
    for _ in range(times):
        messages = [0, 1, 1, 2, 2, 1, 1, 2, 2] if kills else [0, 1, 1, 2, 2, 1, 1, 2, 2, 0]
        for worker in messages:
            commands = workers[worker][1]
            commands.send(b"command")
            commands.recv(64)
        if kills:
            pid, commands = workers[0]
            pidfd = os.pidfd_open(pid)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [])
            os.close(pidfd)
            commands.close()
            control.send(str(pid).encode())
            control.recv(64)
            workers[0] = _forked(control)
    taken = (perf_counter() - begun) / times
    control.close()
    for _, commands in workers:
        commands.close()
    zygote.wait()
    return taken


def spawned(times: int) -> float:
    """With processes of multiprocessing's for each schedule; seconds a schedule."""
    context = multiprocessing.get_context("spawn")
    begun = perf_counter()
    for _ in range(times):
        pairs = [context.Pipe() for _ in range(WORKERS + 1)]
        processes = [context.Process(target=echo, args=(theirs,)) for _, theirs in pairs]
        for process in processes[:WORKERS]:
            process.start()
        for worker in (0, 1, 1, 2, 2, 1, 1, 2, 2):
            pairs[worker][0].send("command")
            pairs[worker][0].recv()
        processes[0].kill()
        processes[0].join()
        processes[WORKERS].start()
        for (ours, _), process in list(zip(pairs, processes, strict=True))[1:]:
            ours.send(None)
            process.join()
    return (perf_counter() - begun) / times


def echo(commands: "Connection[str, str | None]") -> None:
    """Answers each message till it is told to end."""
    while (command := commands.recv()) is not None:
        commands.send(command)


def _forked(control: socket.socket) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(control, [b"fork"], [theirs.fileno()])
    theirs.close()
    pid = int(control.recv(64))
    ours.recv(64)
    return pid, ours
