"""What an `acquire` that has returned is worth when its process is killed at once: on each wire what it promises."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timersim import FileTimerServer, SocketTimerServer, TimerServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import Queue

    from timersim.pid_server import PidTimerServer

TRIES = 20
FAR = 4e9

DYING = """
import os, signal, sys
import timersim

client = timersim.{client}(sys.argv[1])
client.acquire("s", {far})
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_after_acquire(client: str, path: str) -> int:
    """Runs a process that is killed as soon as its `acquire` has returned; returns its pid."""
    with subprocess.Popen([sys.executable, "-c", DYING.format(client=client, far=FAR), path]) as process:
        assert process.wait(10) == -signal.SIGKILL
    return process.pid


@pytest.mark.parametrize("client", ["FileTimerClient", "SocketTimerClient"])
def test_an_acquire_that_returned_has_reached_the_server(client: str, tmp_path: Path) -> None:
    """Over the FIFO and over the socket each request is there, however soon its process dies after it."""
    path = str(tmp_path / "timers")
    kinds: dict[str, Callable[[], PidTimerServer]] = {
        "FileTimerClient": lambda: FileTimerServer(path, "run"),
        "SocketTimerClient": lambda: SocketTimerServer(path),
    }
    server = kinds[client]()
    arrived = note_arrivals(server)
    server.start()

    pids = [die_after_acquire(client, path) for _ in range(TRIES)]
    server.stop()

    assert arrived == pids


def note_arrivals(server: TimerServer) -> list[int]:
    """Has the pid of each request noted that the server is given to register."""
    arrived: list[int] = []
    register = server.register_timers

    def noting(requests: list[Any]) -> None:
        arrived.extend(request.worker_id for request in requests)
        register(requests)

    server.register_timers = noting  # type: ignore[method-assign, assignment]  # it listens in
    return arrived


def put_and_die(queue: "Queue[Any]") -> None:
    """Acquires and is killed."""
    from timersim import LocalTimerClient

    LocalTimerClient(queue).acquire("s", FAR)
    os.kill(os.getpid(), signal.SIGKILL)


def test_over_a_queue_an_acquire_may_be_lost() -> None:
    """`LocalTimerClient` promises no more than its buffer: some of twenty requests die with their process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for _ in range(TRIES):
        process = context.Process(target=put_and_die, args=(queue,))
        process.start()
        process.join(20)
        assert process.exitcode == -signal.SIGKILL
        process.close()
    arrived = 0
    while not queue.empty():
        queue.get(timeout=1)
        arrived += 1
    queue.close()
    queue.join_thread()

    assert arrived < TRIES
