"""Timers over a FIFO: real pipes, real processes, hostile lines."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from timersim import FileTimerClient, FileTimerRequest, FileTimerServer, TimerRequest
from timersim.fakes import VirtualClock
from timersim.fifo import FifoRequestQueue

LIMIT = 10.0
START = 1_000_000.0

Worker = subprocess.Popen[bytes]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Returns where the FIFO is to be."""
    return str(tmp_path / "fifo")


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Yields a virtual clock at START."""
    clock = VirtualClock(START)
    yield clock
    clock.close()


@pytest.fixture
def server(path: str, clock: VirtualClock) -> Iterator[FileTimerServer]:
    """Yields a server in virtual time that has been started."""
    server = FileTimerServer(path, "run", max_interval=60, clock=clock)
    server.start()
    clock.advance(0)
    yield server
    server.stop()


@pytest.fixture
def hire() -> Iterator[Callable[..., Worker]]:
    """Yields what starts a process that waits, or runs `code`; every one is gone at the end."""
    hired: list[Worker] = []

    def start(code: str = "import time; time.sleep(1000)") -> Worker:
        hired.append(subprocess.Popen([sys.executable, "-c", code]))
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.wait()


def write(path: str, data: bytes) -> None:
    """Writes bytes into the FIFO, as anybody may."""
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, data)
    os.close(fd)


def line(pid: int, scope: str, expiration: float, number: int = signal.SIGKILL) -> bytes:
    """Returns a request's line."""
    return FileTimerRequest(pid, scope, expiration, number).to_json().encode() + b"\n"


def test_a_worker_is_reaped_at_its_expiration(
    server: FileTimerServer, clock: VirtualClock, path: str, hire: Callable[..., Worker]
) -> None:
    """A process is killed with the signal of its request at its expiration, and not a tick before."""
    worker = hire()
    write(path, line(worker.pid, "s", START + 60, signal.SIGTERM))

    clock.advance(59)
    assert worker.poll() is None
    clock.advance(1)

    assert worker.wait(LIMIT) == -signal.SIGTERM
    assert len(server._timers) == 0


def test_a_release_spares_its_worker(
    server: FileTimerServer, clock: VirtualClock, path: str, hire: Callable[..., Worker]
) -> None:
    """Who releases in time lives, and the server counts what it was sent."""
    worker = hire()
    write(path, line(worker.pid, "s", START + 60) + line(worker.pid, "s", -1, 0))
    clock.advance(3600)

    assert (worker.poll(), server._request_count, len(server._timers)) == (None, 2, 0)


def test_a_timer_without_a_signal_reaps_nobody(path: str, clock: VirtualClock, hire: Callable[..., Worker]) -> None:
    """A worker of whose expired timers none has a signal loses them and lives; with one that has it dies by that."""
    events: list[tuple[str, int | None]] = []
    server = FileTimerServer(
        path, "run", clock=clock, log_event=lambda name, r: events.append((name, None if r is None else r.worker_pid))
    )
    server.start()
    spared, reaped = hire(), hire()
    lines = line(spared.pid, "s", START + 5, 0) + line(reaped.pid, "a", START + 4, 0)
    write(path, lines + line(reaped.pid, "b", START + 5, signal.SIGUSR1))
    clock.advance(5)
    server.stop()

    assert (spared.poll(), reaped.wait(LIMIT), len(server._timers)) == (None, -signal.SIGUSR1, 0)
    assert events[0] == ("watchdog started", None)
    assert events[-1] == ("watchdog stopped", None)
    assert ("kill worker process", reaped.pid) in events
    assert ("kill worker process", spared.pid) not in events


def test_who_ignores_the_signal_is_killed_by_the_next_attempt(
    server: FileTimerServer, clock: VirtualClock, path: str, hire: Callable[..., Worker]
) -> None:
    """A worker that ignores SIGTERM is killed with SIGKILL a retry later."""
    reader, writer = os.pipe()
    code = f"import os, signal, time; signal.signal(15, signal.SIG_IGN); os.write({writer}, b'x'); time.sleep(1000)"
    worker = subprocess.Popen([sys.executable, "-c", code], pass_fds=[writer])
    try:
        assert select.select([reader], [], [], LIMIT)[0]
        write(path, line(worker.pid, "s", START + 5, signal.SIGTERM))
        clock.advance(5)
        assert worker.poll() is None
        clock.advance(1)
        assert worker.wait(LIMIT) == -signal.SIGKILL
    finally:
        worker.kill()
        worker.wait()
        os.close(reader)
        os.close(writer)


def test_a_log_event_that_raises_harms_nothing(path: str, clock: VirtualClock, hire: Callable[..., Worker]) -> None:
    """A callback that raises is reported; the worker is reaped all the same, and the next one too."""

    def raising(name: str, request: FileTimerRequest | None) -> None:
        raise RuntimeError("no disk")

    server = FileTimerServer(path, "run", clock=clock, log_event=raising)
    server.start()
    first, second = hire(), hire()
    write(path, line(first.pid, "s", START + 5) + line(second.pid, "s", START + 6))
    clock.advance(6)
    server.stop()

    assert (first.wait(LIMIT), second.wait(LIMIT)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_an_expiration_is_told_once(path: str, clock: VirtualClock, hire: Callable[..., Worker]) -> None:
    """While a worker that is not gone waits for its next reap, passes tell nothing of its expiration again."""
    told: list[str] = []
    server = FileTimerServer(path, "run", clock=clock, log_event=lambda name, request: told.append(name))
    server.start()
    stubborn, busy = hire(), hire()
    stubborn.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, stubborn.pid, os.WSTOPPED)  # who is stopped does not die of SIGTERM
    write(path, line(stubborn.pid, "s", START + 5, signal.SIGTERM))
    clock.advance(5)
    for _ in range(9):
        write(path, line(busy.pid, "s", START + 60))
        clock.advance(0.1)
    assert told == ["watchdog started", "timer expired"]
    clock.advance(1)
    server.stop()

    assert stubborn.wait(LIMIT) == -signal.SIGKILL
    assert told == ["watchdog started", "timer expired", "kill worker process", "watchdog stopped"]


def test_the_server_never_signals_itself(server: FileTimerServer, clock: VirtualClock, path: str) -> None:
    """A request for the server's own pid, for 0, 1 and -1 is refused, and this process goes on."""
    write(path, b"".join(line(pid, "s", START + 1) for pid in (os.getpid(), 0, 1, -1)))
    clock.advance(10)

    assert (server._request_count, len(server._timers)) == (4, 0)


HOSTILE = [
    b"",
    b"\n\n",
    b"not json\n",
    b"[1, 2]\n",
    b"{}\n",
    b'{"pid": "7", "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"pid": 7, "scope_id": 5, "expiration_time": 1, "signal": 9}\n',
    b'{"pid": 7, "scope_id": "s", "expiration_time": NaN, "signal": 9}\n',
    b'{"pid": 7, "scope_id": "s", "expiration_time": 1e999, "signal": 9}\n',
    b'{"pid": 7, "scope_id": "s", "expiration_time": "soon", "signal": 9}\n',
    b'{"pid": 7, "scope_id": "s", "expiration_time": 1, "signal": 99}\n',
    b'{"pid": 7, "scope_id": "s", "expiration_time": 1, "signal": null}\n',
    b'{"version": 2, "pid": 7, "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"pid": 0, "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"pid": -1, "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"pid": 1, "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"pid": 99999999999999999999, "scope_id": "s", "expiration_time": 1, "signal": 9}\n',
    b'{"version": 1, "pid": 7, "scope_id": "s", "expi',
    b"\xff\xfe\x00\x80\n",
    b"[" * 3000 + b"\n",
    b"x" * 6000,
    b'{"a":' * 700,
]


def test_ten_thousand_hostile_messages_cost_themselves_alone(
    server: FileTimerServer, clock: VirtualClock, path: str, hire: Callable[..., Worker]
) -> None:
    """Of 10,000 hostile messages mixed with valid requests no valid one is lost, and nobody innocent is signalled."""
    source = random.Random(0)
    worker, innocent = hire(), hire()
    fd = os.open(path, os.O_WRONLY)
    for number in range(10_000):
        os.write(fd, source.choice(HOSTILE))
        if number % 100 == 0:
            os.write(fd, line(worker.pid, f"s{number // 100}", START + 60 + number // 100))
        if number % 10 == 0:
            clock.advance(0.001)
    os.close(fd)
    clock.advance(0)

    assert server._timers.scopes(worker.pid) == [f"s{number}" for number in range(100)]
    clock.advance_to(START + 59)
    assert worker.poll() is None
    clock.advance(1)
    assert (worker.wait(LIMIT), innocent.poll()) == (-signal.SIGKILL, None)
    assert server._watchdog_thread is not None
    assert server._watchdog_thread.alive


@pytest.mark.parametrize("length", [select.PIPE_BUF - 1, select.PIPE_BUF, select.PIPE_BUF + 1])
def test_a_line_is_as_long_as_the_pipe_takes_in_one_piece(server: FileTimerServer, path: str, length: int) -> None:
    """A request of PIPE_BUF bytes with its newline is sent; one byte more is refused, and nothing is sent."""
    client = FileTimerClient(path)
    empty = len(line(os.getpid(), "", 1.5))
    scope = "s" * (length - empty)

    if length <= select.PIPE_BUF:
        client.acquire(scope, 1.5)
        assert server._fifo.size() == 1
    else:
        with pytest.raises(
            RuntimeError, match=rf"^a request has at most {select.PIPE_BUF} bytes as a line: {length} for "
        ):
            client.acquire(scope, 1.5)
        assert server._fifo.size() == 0


def test_a_client_waits_while_the_fifo_is_full(path: str) -> None:
    """A client that finds the FIFO full waits until there is room; nothing is lost, and nothing raises."""
    with closing(FifoRequestQueue(path, json.dumps)) as fifo:  # type: ignore[arg-type]  # nothing is parsed here
        fifo.make()
        fifo.fileno()
        assert fifo._ends is not None
        os.set_blocking(fifo._ends[1], False)
        written = 0
        while True:
            try:
                written += os.write(fifo._ends[1], b"x" * 4096)
            except BlockingIOError:
                break
        clock = VirtualClock(START)
        clock.call_later(0.5, lambda: os.read(fifo._ends[0], 65_536) if fifo._ends else None)

        FileTimerClient(path, clock=clock).acquire("s", START + 60)

        assert clock.time() == START + 0.5


def test_without_a_server_a_client_is_told_within_a_second(path: str) -> None:
    """A client that finds nobody looks ten times, a tenth of a second apart, then raises BrokenPipeError."""
    clock = VirtualClock(START)

    with pytest.raises(BrokenPipeError, match=r"could not send the request, since no FileTimerServer reads it"):
        FileTimerClient(path, clock=clock).acquire("s", START + 60)
    assert clock.time() == pytest.approx(START + 0.9)


def test_a_server_that_is_started_again_guards_again(
    path: str, clock: VirtualClock, hire: Callable[..., Worker]
) -> None:
    """`stop` takes the FIFO away and is prompt; `start` makes it again, and guards whoever held a timer."""
    server = FileTimerServer(path, "run", max_interval=60, clock=clock)
    server.start()
    worker = hire()
    write(path, line(worker.pid, "s", START + 60))
    clock.advance(1)
    server.stop()
    assert (Path(path).exists(), clock.time()) == (False, START + 1)
    clock.advance(100)
    assert worker.poll() is None

    server.start()
    clock.advance(0)
    assert worker.wait(LIMIT) == -signal.SIGKILL
    server.stop()


@pytest.mark.parametrize("released", [False, True])
def test_what_arrived_before_the_stop_is_known_after_the_start(
    path: str,
    clock: VirtualClock,
    hire: Callable[..., Worker],
    released: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A server that is stopped before its watchdog has looked takes what lies in the FIFO along."""
    server = FileTimerServer(path, "run", max_interval=60, clock=clock)
    server.start()
    worker = hire()
    write(path, line(worker.pid, "s", START + 60) + (line(worker.pid, "s", -1) if released else b""))
    server.stop()
    server.start()
    clock.advance(60)

    assert (worker.poll() if released else worker.wait(LIMIT)) == (None if released else -signal.SIGKILL)
    server.stop()


def test_a_server_stops_also_where_what_arrived_cannot_be_registered(path: str, clock: VirtualClock) -> None:
    """Where a subclass raises over what had arrived, that is logged, and the FIFO is taken away all the same."""

    class Raises(FileTimerServer):
        def register_timers(self, timer_requests: list[TimerRequest]) -> None:
            raise OSError("no room")

    server = Raises(path, "run", max_interval=60, clock=clock)
    server.start()
    write(path, line(os.getpid(), "s", START + 60))
    server.stop()

    assert not Path(path).exists()


def test_run_once_makes_one_more_pass(path: str, clock: VirtualClock, hire: Callable[..., Worker]) -> None:
    """`run_once` takes in what has arrived, reaps who is due, and ends the server."""
    server = FileTimerServer(path, "run", max_interval=60, clock=clock)
    server.start()
    clock.advance(0)
    worker, other = hire(), hire()
    write(path, line(worker.pid, "s", START) + line(other.pid, "s", START + 60))

    server.run_once()

    assert (worker.wait(LIMIT), other.poll(), list(server._timers)) == (-signal.SIGKILL, None, [(other.pid, "s")])
    assert (server._request_count, Path(path).exists()) == (2, False)


def test_another_file_is_never_taken_away(tmp_path: Path) -> None:
    """A path at which there is something else than a FIFO is refused, and what is there stays."""
    (tmp_path / "notes").write_text("mine")

    with pytest.raises(FileExistsError, match=r"^a FIFO is made at a path where nothing is, or a FIFO: .*notes$"):
        FileTimerServer(str(tmp_path / "notes"), "run")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_real_server_and_a_real_client(path: str, hire: Callable[..., Worker]) -> None:
    """In real time a process that hangs in its second block dies soon after that one's expiration; `stop` is prompt."""
    server = FileTimerServer(path, "run", max_interval=60)
    server.start()
    code = (
        f"import time, timersim; client = timersim.FileTimerClient({path!r})\n"
        "with timersim.expires(after=5, client=client): pass\n"
        "with timersim.expires(after=0.2, client=client): time.sleep(1000)\n"
    )
    worker = hire(code)
    try:
        assert worker.wait(LIMIT) == -signal.SIGKILL
        assert server._request_count == 3
    finally:
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < LIMIT / 2
