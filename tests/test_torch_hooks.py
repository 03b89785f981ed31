"""The private hooks that code written for torch touches: ours has each, or a reason why not."""

import inspect
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import timersim
from timersim import FileTimerServer, LocalTimerServer

torch_timer: ModuleType = pytest.importorskip("torch.distributed.elastic.timer")
pytestmark = pytest.mark.torch
torch_queue = pytest.importorskip("torch.distributed.elastic.timer.local_timer").MultiprocessingRequestQueue

LIMIT = 10.0
"""Real seconds within which something must have happened."""

MAKES: dict[str, Callable[[Any, Path], Any]] = {
    "FileTimerClient": lambda package, folder: package.FileTimerClient(str(folder / "fifo")),
    "FileTimerRequest": lambda package, folder: package.FileTimerRequest(7, "s", 60.0),
    "FileTimerServer": lambda package, folder: package.FileTimerServer(str(folder / package.__name__), "run"),
    "LocalTimerClient": lambda package, folder: package.LocalTimerClient(queue.Queue()),
    "LocalTimerServer": lambda package, folder: package.LocalTimerServer(queue.Queue()),
    "MultiprocessingRequestQueue": lambda package, folder: getattr(package, "MultiprocessingRequestQueue", torch_queue)(
        queue.Queue()
    ),
    "TimerRequest": lambda package, folder: package.TimerRequest(7, "s", 60.0),
}

ABSENT = {
    ("FileTimerClient", "_open_non_blocking"): "`_open` returns a descriptor, since a line is one write; no text file",
    ("FileTimerServer", "_get_requests"): "the FIFO is a request queue of its own, `_fifo`, which is never half read",
    ("FileTimerServer", "_is_client_started"): "it says when opening has ceased to block, which ours never does",
    ("FileTimerServer", "_run_once"): "`run_once` stops the loop and makes the last pass itself",
}

PARAMETERS = {
    ("FileTimerServer", "_run_watchdog"): "`fd` is gone: the descriptor belongs to the server",
    ("FileTimerServer", "_reap_worker"): "the worker is `worker_id`, as with every server; the signal may be left out",
}

TYPES = {
    ("FileTimerServer", "_timers"): "a table, by time and by worker: len, in and iteration over keys are a dict's",
    ("LocalTimerServer", "_timers"): "a table, by time and by worker: len, in and iteration over keys are a dict's",
}


@pytest.fixture
def hire() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Yields what starts a process that waits; every one is gone at the end."""
    hired: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        hired.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.communicate()


def members(made: Any) -> dict[str, Any]:
    """Returns what an object has, private names included."""
    return {name: getattr(made, name) for name in dir(made) if not name.startswith(("__", "_abc_"))}


def parameters(function: Any) -> list[str]:
    """Returns the names of a function's parameters."""
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", MAKES)
def test_each_hook_is_there(name: str, tmp_path: Path) -> None:
    """What torch's objects have, private names included, ours have, by the same parameters; or a reason is given."""
    theirs, ours = (members(MAKES[name](package, tmp_path)) for package in (torch_timer, timersim))
    both = theirs.keys() & ours.keys()
    methods = {hook for hook in both if inspect.isroutine(theirs[hook])}
    values = both - methods

    assert {(name, hook) for hook in theirs.keys() - ours.keys()} == {key for key in ABSENT if key[0] == name}
    differing = {(name, hook) for hook in methods if parameters(theirs[hook]) != parameters(ours[hook])}
    assert differing == {key for key in PARAMETERS if key[0] == name}
    kinds = {(name, hook) for hook in values if type(theirs[hook]).__name__ != type(ours[hook]).__name__}
    assert kinds == {key for key in TYPES if key[0] == name}


@pytest.mark.parametrize("package", [torch_timer, timersim], ids=["torch", "timersim"])
def test_the_hooks_of_a_local_server_work(package: ModuleType, hire: Callable[[], Any]) -> None:
    """A walk through a server that was never started: a pass by hand registers, keeps, reaps and clears."""
    requests: queue.Queue[Any] = queue.Queue()
    server = package.LocalTimerServer(requests, max_interval=0.01)
    hung, busy = hire(), hire()
    assert (server._watchdog_thread, server._stop_signaled, server._daemon, server._max_interval) == (
        None,
        False,
        True,
        0.01,
    )
    server._run_watchdog()
    for pid, expiration in ((busy.pid, time.time() + 60), (hung.pid, time.time() - 60)):
        requests.put(torch_timer.TimerRequest(pid, "s", expiration))
    assert (server._request_queue.size(), len(server._timers)) == (2, 0)
    while server._request_queue.size():
        server._run_watchdog()

    assert (hung.wait(LIMIT), busy.poll()) == (-signal.SIGKILL, None)
    assert (list(server._timers), (busy.pid, "s") in server._timers) == ([(busy.pid, "s")], True)
    assert server._get_scopes([torch_timer.TimerRequest(7, "a", 1.0)]) == ["a"]
    assert (server._reap_worker(busy.pid), busy.wait(LIMIT)) == (True, -signal.SIGKILL)
    assert server._reap_worker_no_throw(busy.pid)
    server.stop()
    assert server._stop_signaled


@pytest.mark.parametrize("package", [torch_timer, timersim], ids=["torch", "timersim"])
def test_the_hooks_of_a_file_server_work(package: ModuleType, tmp_path: Path, hire: Callable[[], Any]) -> None:
    """A walk through a file server: requests are counted and kept, `run_once` ends it, a reap takes its signal."""
    path = str(tmp_path / "fifo")
    server = package.FileTimerServer(path, "run", max_interval=0.01)
    client = package.FileTimerClient(path)
    first, second = hire(), hire()
    assert (server._watchdog_thread, server._stop_signaled, server._request_count) == (None, False, 0)
    assert (server._run_id, server._file_path) == ("run", path)
    server.start()
    watchdog = server._watchdog_thread
    for worker in (first, second):
        client._send_request(package.FileTimerRequest(worker.pid, "s", time.time() + 60, signal.SIGKILL))
    client._send_request(package.FileTimerRequest(second.pid, "s", -1))
    server.run_once()
    watchdog.join(LIMIT)

    assert (server._request_count, list(server._timers)) == (3, [(first.pid, "s")])
    assert (server._watchdog_thread, Path(path).exists()) == (None, False)
    assert (server.is_process_running(first.pid), package.FileTimerServer.is_process_running(first.pid)) == (True, True)
    assert (server._reap_worker(first.pid, signal.SIGTERM), first.wait(LIMIT)) == (True, -signal.SIGTERM)
    assert not server.is_process_running(first.pid)
    assert abs(server.get_last_progress_time() - time.time()) < LIMIT


def test_our_hooks_never_end_their_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`_reap_worker` with the server's own pid raises and signals nobody; torch's would end this test."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda fd, number: sent.append((fd, number)))
    server = LocalTimerServer(queue.Queue())  # type: ignore[arg-type]  # anything with `get`
    with pytest.raises(
        ValueError, match=rf"^only other processes with a pid above 1 can be reaped: pid={os.getpid()}$"
    ):
        server._reap_worker(os.getpid())

    assert (server._reap_worker_no_throw(os.getpid()), sent) == (False, [])


def test_torchs_file_requests_keep_their_signal(tmp_path: Path, hire: Callable[[], Any]) -> None:
    """A request object of torch's, given to our file server by hand, is reaped with the signal that it carries."""
    server = FileTimerServer(str(tmp_path / "fifo"), "run", max_interval=0.01)
    worker = hire()
    try:
        server.register_timers([torch_timer.FileTimerRequest(worker.pid, "s", time.time() - 60, signal.SIGTERM)])
        server._run_watchdog()

        assert worker.wait(LIMIT) == -signal.SIGTERM
    finally:
        server.stop()
