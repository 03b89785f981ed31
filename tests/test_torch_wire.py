"""timersim and torch over one wire: the client of the one, the server of the other, real processes, real kills."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import timersim

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from multiprocessing.queues import Queue

torch_timer: ModuleType = pytest.importorskip("torch.distributed.elastic.timer")
pytestmark = pytest.mark.torch

LIMIT = 60.0
"""Real seconds within which a process must have done what it was told to, the import of torch included."""

AFTER = 0.5
"""Seconds that a block has, the one that hangs and the one that is left in time."""

SPAWN = multiprocessing.get_context("spawn")


def work(guard: Callable[..., Any], client: Any, pipe: Connection) -> None:
    """What a worker does, each step when it is told to: enters a guarded block, leaves it, ends."""
    pipe.recv()
    due = time.time() + AFTER
    with guard(after=AFTER, scope="block", client=client):
        pipe.send(due)
        pipe.recv()
    pipe.send("left")
    pipe.recv()


def serve(path: str, pipe: Connection) -> None:
    """What a process does in which torch's file server runs, which kills the one that it runs in."""
    server = torch_timer.FileTimerServer(path, "run", max_interval=0.05)
    server.start()
    pipe.send("started")
    pipe.recv()
    server.stop()


class Hand:
    """A process that says and hears things; `end` ends it."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process: BaseProcess = SPAWN.Process(target=target, args=(*args, theirs))
        self.process.start()
        theirs.close()

    def hear(self) -> Any:
        """Returns what it says next."""
        assert self.pipe.poll(LIMIT)
        return self.pipe.recv()

    def status(self) -> int | None:
        """Returns its exit code when it has ended; None where it does not."""
        self.process.join(LIMIT)
        return self.process.exitcode

    def end(self) -> None:
        """Ends it, if it has not ended."""
        self.process.kill()
        self.process.join(LIMIT)
        self.process.close()
        self.pipe.close()


Hire = Callable[..., Hand]


@pytest.fixture
def hire() -> Iterator[Hire]:
    """Yields what starts a process; every one is gone at the end."""
    hired: list[Hand] = []

    def start(target: Callable[..., None], *args: Any) -> Hand:
        hired.append(Hand(target, *args))
        return hired[-1]

    yield start
    for hand in hired:
        hand.end()


def outcome(guard: Callable[..., Any], client: Any, hire: Hire) -> tuple[int | None, int | None]:
    """Returns the exit codes of two workers: one that left its block in time, and one that hangs in its own.

    The one that left is told to end when the other is dead, whose expiration was the later one.
    """
    finished, hung = (hire(work, guard, client) for _ in range(2))
    for step in ("enter", "leave"):
        finished.pipe.send(step)
    finished.hear()
    assert finished.hear() == "left"
    hung.pipe.send("enter")
    due = hung.hear()
    killed = hung.status()
    assert time.time() >= due
    finished.pipe.send("end")
    return finished.status(), killed


SPARED_AND_KILLED = (0, -signal.SIGKILL)

GUARDS = [
    pytest.param(torch_timer.expires, id="torch.expires"),
    pytest.param(timersim.expires, id="timersim.expires"),
]


@pytest.mark.parametrize("guard", GUARDS)
def test_torchs_client_and_our_server_over_a_queue(
    guard: Callable[..., Any], mp_queue: "Queue[Any]", hire: Hire
) -> None:
    """Our server kills who hangs in a block of torch's client, and spares who left one in time."""
    server = timersim.LocalTimerServer(mp_queue, max_interval=60)
    server.start()
    try:
        assert outcome(guard, torch_timer.LocalTimerClient(mp_queue), hire) == SPARED_AND_KILLED
    finally:
        server.stop()


@pytest.mark.parametrize("guard", GUARDS)
def test_our_client_and_torchs_server_over_a_queue(
    guard: Callable[..., Any], mp_queue: "Queue[Any]", hire: Hire
) -> None:
    """Torch's server kills who hangs in a block of our client, and spares who left one in time."""
    server = torch_timer.LocalTimerServer(mp_queue, max_interval=0.05)
    server.start()
    watchdog = server._watchdog_thread
    try:
        assert outcome(guard, timersim.LocalTimerClient(mp_queue), hire) == SPARED_AND_KILLED
    finally:
        server.stop()
        watchdog.join(LIMIT)  # torch's `stop` waits for max_interval only


def test_torchs_client_and_our_server_over_a_fifo(tmp_path: Path, hire: Hire) -> None:
    """Our file server kills who hangs in a block of torch's client, spares who left one in time, and goes on."""
    server = timersim.FileTimerServer(str(tmp_path / "fifo"), "run", max_interval=60)
    server.start()
    try:
        client = torch_timer.FileTimerClient(str(tmp_path / "fifo"))
        assert outcome(torch_timer.expires, client, hire) == SPARED_AND_KILLED
        assert (server._request_count, len(server._timers)) == (3, 0)
    finally:
        server.stop()
    assert list(tmp_path.iterdir()) == []


def test_our_client_and_torchs_server_over_a_fifo(tmp_path: Path, hire: Hire) -> None:
    """Torch's file server kills who hangs in a block of our client, then its own process; who left in time lives."""
    serving = hire(serve, str(tmp_path / "fifo"))
    assert serving.hear() == "started"

    assert outcome(timersim.expires, timersim.FileTimerClient(str(tmp_path / "fifo")), hire) == SPARED_AND_KILLED
    assert serving.status() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_torchs_client_chooses_the_signal(number: signal.Signals, tmp_path: Path, hire: Hire) -> None:
    """A worker of torch's client, that hangs, dies of the signal which that client was given."""
    server = timersim.FileTimerServer(str(tmp_path / "fifo"), "run", max_interval=60)
    server.start()
    try:
        hung = hire(work, torch_timer.expires, torch_timer.FileTimerClient(str(tmp_path / "fifo"), signal=number))
        hung.pipe.send("enter")
        assert hung.status() == -number
    finally:
        server.stop()


def test_requests_of_both_packages_share_one_queue(mp_queue: "Queue[Any]", hire: Hire) -> None:
    """Workers of torch's client and of ours hang on one queue: our server kills them both."""
    server = timersim.LocalTimerServer(mp_queue, max_interval=60)
    server.start()
    try:
        hung = [hire(work, package.expires, package.LocalTimerClient(mp_queue)) for package in (torch_timer, timersim)]
        for one in hung:
            one.pipe.send("enter")
        assert [one.status() for one in hung] == [-signal.SIGKILL, -signal.SIGKILL]
    finally:
        server.stop()
