"""What goes wrong around a server: reaps that hang, fail or raise, workers that cannot die, wall clocks that step."""

import multiprocessing
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from timersim import (
    Clock,
    FileTimerRequest,
    FileTimerServer,
    LocalTimerServer,
    MemoryRequestQueue,
    MemoryTimerServer,
    ProcessReaper,
    SocketTimerServer,
    SystemClock,
    TimerRequest,
)
from timersim.fakes import VirtualClock
from timersim.incarnation import Incarnation
from timersim.table_server import TableTimerServer

LIMIT = 10.0
"""Real seconds within which what was begun must have ended."""

START = 1_000_000.0
"""Where virtual time begins."""

SPAWN = multiprocessing.get_context("spawn")

Worker = subprocess.Popen[bytes]
Make = Callable[[Path, Clock, ProcessReaper, float], TableTimerServer]


def memory(path: Path, clock: Clock, reaper: ProcessReaper, max_interval: float) -> TableTimerServer:
    """Makes a memory server whose workers are processes."""
    return MemoryTimerServer(MemoryRequestQueue(clock=clock), max_interval, clock=clock, reaper=reaper)


def local(path: Path, clock: Clock, reaper: ProcessReaper, max_interval: float) -> TableTimerServer:
    """Makes a local server, in virtual time over a queue that is no real one."""
    requests: Any = queue.Queue() if isinstance(clock, VirtualClock) else SPAWN.Queue()
    return LocalTimerServer(requests, max_interval, clock=clock, reaper=reaper)


def file(path: Path, clock: Clock, reaper: ProcessReaper, max_interval: float) -> TableTimerServer:
    """Makes a file server."""
    return FileTimerServer(str(path / "fifo"), "run", max_interval, clock=clock, reaper=reaper)


def socket(path: Path, clock: Clock, reaper: ProcessReaper, max_interval: float) -> TableTimerServer:
    """Makes a socket server."""
    return SocketTimerServer(str(path / "socket"), max_interval, clock=clock, reaper=reaper)


MAKERS: list[Make] = [memory, local, file, socket]


class Bench:
    """A server of one kind, with requests that are put where its wire puts them."""

    def __init__(self, make: Make, path: Path) -> None:
        self._make = make
        self._path = path
        self.server: TableTimerServer

    def set_up(
        self, *, clock: Clock | None = None, reaper: ProcessReaper | None = None, max_interval: float = 3600
    ) -> TableTimerServer:
        """Makes the server, in virtual time by default."""
        self.clock = clock or VirtualClock(START)
        self.server = self._make(self._path, self.clock, reaper or ProcessReaper(clock=self.clock), max_interval)
        return self.server

    def acquire(self, pid: int, after: float, scope: str = "s") -> None:
        """Sends an acquire, due in `after` seconds."""
        self._send(FileTimerRequest(pid, scope, self.clock.time() + after, signal.SIGKILL))

    def release(self, pid: int, scope: str = "s") -> None:
        """Sends a release."""
        self._send(FileTimerRequest(pid, scope, -1))

    def _send(self, request: FileTimerRequest) -> None:
        requests: Any = self.server._request_queue
        if isinstance(self.server, MemoryTimerServer):
            requests.put(request)
        elif isinstance(self.server, LocalTimerServer):
            requests._mp_queue.put(request)
        elif isinstance(self.server, FileTimerServer):
            with Path(self.server._file_path).open("ab", buffering=0) as fifo:
                fifo.write(request.to_json().encode() + b"\n")
        else:
            requests._requests.append(request)
            requests.wake()

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass."""
        assert isinstance(self.clock, VirtualClock)
        self.clock.advance(seconds)

    @property
    def now(self) -> float:
        """Seconds since START."""
        return self.clock.monotonic() - START


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """One bench for each kind of server; the server is stopped in the end."""
    made = Bench(request.param, tmp_path)
    yield made
    made.server.stop()
    if isinstance(made.clock, VirtualClock):
        made.clock.close()
    elif isinstance(made.server, LocalTimerServer):
        requests: Any = made.server._requests._mp_queue
        requests.close()
        requests.join_thread()


@pytest.fixture
def hire() -> Iterator[Callable[[], Worker]]:
    """What starts a process that sleeps; every one is gone at the end."""
    hired: list[Worker] = []

    def start() -> Worker:
        hired.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)"]))
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.wait()


class Life(Incarnation):
    """A scripted incarnation: of each signal it dies, or what is next in `fates` happens; `signals` says when."""

    def __init__(self, pid: int, clock: Clock, fates: list[OSError | None] | None = None, *, dies: bool = True) -> None:
        self.pid = pid
        self.signals: list[float] = []
        self._living = True
        self._clock = clock
        self._fates = fates or []
        self._dies = dies

    @property
    def alive(self) -> bool:
        return self._living

    def send_signal(self, number: int) -> None:
        self.signals.append(self._clock.monotonic() - START)
        fate = self._fates.pop(0) if self._fates else None
        if fate is not None:
            raise fate
        self._living = not self._dies

    def wait(self, clock: Clock, timeout: float) -> bool:
        return not self._living

    def close(self) -> None:
        """Nothing is held."""


def give_lives(monkeypatch: pytest.MonkeyPatch, *lives: Life) -> None:
    """Has each pid tied to its scripted life."""
    by_pid = {life.pid: life for life in lives}
    monkeypatch.setattr(Incarnation, "of", staticmethod(by_pid.__getitem__))


# Start and stop


def test_a_server_that_was_stopped_and_started_guards_what_was_armed(bench: Bench, hire: Callable[[], Worker]) -> None:
    """While a server is stopped nobody is reaped; once it is started who is due is, the others at their instants."""
    server = bench.set_up()
    due, later, released = hire(), hire(), hire()
    server.start()
    for worker, after in ((due, 60), (later, 200), (released, 200)):
        bench.acquire(worker.pid, after)
    bench.advance(1)
    server.stop()
    bench.advance(99)
    assert [worker.poll() for worker in (due, later, released)] == [None, None, None]

    server.start()
    bench.release(released.pid)
    bench.advance(0)
    assert (due.wait(LIMIT), later.poll()) == (-signal.SIGKILL, None)
    bench.advance(99)
    assert later.poll() is None
    bench.advance(1)
    assert (later.wait(LIMIT), released.poll()) == (-signal.SIGKILL, None)


def test_a_server_that_was_started_twice_is_one_watchdog(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `start`, at once or later, changes nothing: there is one task, and who expires is signalled once."""
    server = bench.set_up()
    life = Life(4242, bench.clock)
    give_lives(monkeypatch, life)
    server.start()
    server.start()
    bench.acquire(4242, 60)
    bench.advance(30)
    server.start()
    bench.advance(300)

    assert isinstance(bench.clock, VirtualClock)
    assert (len(bench.clock.tasks), life.signals) == (1, [60])
    server.stop()
    assert bench.clock.tasks == []


class SlowReaper(ProcessReaper):
    """Notes when a reap begins and ends, and ends it when it is told to."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, pid: int, number: int | None = None) -> bool:
        self.notes.append("reap begins")
        self.begun.set()
        assert self.go_on.wait(LIMIT)
        gone = super().__call__(pid, number)
        self.notes.append("reap ends")
        return gone


def test_a_stop_waits_for_the_reap_and_nothing_is_reaped_after_it(bench: Bench, hire: Callable[[], Worker]) -> None:
    """`stop` during a reap returns after it has ended; the next one who is due is spared for good."""
    notes: list[str] = []
    reaper = SlowReaper(notes)
    server = bench.set_up(clock=SystemClock(), reaper=reaper, max_interval=60)
    workers = [hire(), hire()]
    server.register_timers([FileTimerRequest(worker.pid, "s", 1.0, signal.SIGKILL) for worker in workers])

    def stop() -> None:
        server.stop()
        notes.append("stopped")

    stopper = threading.Thread(target=stop)
    server.start()
    try:
        assert reaper.begun.wait(LIMIT)
        task = server._watchdog_thread
        stopper.start()
        stopper.join(0.2)
        assert stopper.is_alive()
    finally:
        reaper.go_on.set()
        stopper.join(LIMIT)
    assert task is not None
    task.join(LIMIT)

    assert (notes, task.alive) == (["reap begins", "reap ends", "stopped"], False)
    assert (workers[0].wait(LIMIT), workers[1].poll()) == (-signal.SIGKILL, None)


def test_an_idle_server_stops_at_once(bench: Bench, hire: Callable[[], Worker]) -> None:
    """`stop` of a server that waits, for nothing or for an hour, does not wait for its `max_interval`."""
    server = bench.set_up(clock=SystemClock(), max_interval=60)
    worker = hire()
    for _ in range(2):
        server.start()
        bench.acquire(worker.pid, 3600)
        end = time.monotonic() + LIMIT
        while not len(server._timers):
            assert time.monotonic() < end
            time.sleep(0.001)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < LIMIT / 2


# Reaps that fail


def test_a_reap_that_is_not_permitted_is_tried_until_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reap that fails three times with PermissionError is tried at 0, 1, 3 and 7 s after the expiration, no more."""
    server = bench.set_up()
    life = Life(4242, bench.clock, [PermissionError(1, "no"), PermissionError(1, "no"), PermissionError(1, "no")])
    give_lives(monkeypatch, life)
    server.start()
    bench.acquire(4242, 60)
    bench.advance(4000)

    assert (life.signals, list(server._timers)) == ([60, 61, 63, 67], [])


@pytest.mark.parametrize("error", [OSError(5, "broken"), SystemExit(3)], ids=repr)
def test_a_reap_that_raises_is_tried_again(
    error: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reap that raises, SystemExit included, is reported and tried again; the others are reaped at their instants."""
    server = bench.set_up()
    lives = [Life(4242, bench.clock, [error]), Life(4243, bench.clock), Life(4244, bench.clock)]
    give_lives(monkeypatch, *lives)
    server.start()
    for life, after in zip(lives, (60, 60, 60.5), strict=True):
        bench.acquire(life.pid, after)
    bench.advance(4000)

    assert [life.signals for life in lives] == [[60, 61], [60], [60.5]]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "The reap of worker=[4242] raised",
        "Error reaping worker=[4242]. The next attempt is in 1.0 s",
    ]


def test_a_worker_that_cannot_die_is_tried_ever_more_rarely(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over an hour its attempts double up to `max_interval`, no pass is idle, and another is reaped at its instant."""
    server = bench.set_up(max_interval=60)
    immortal, other = Life(4242, bench.clock, dies=False), Life(4243, bench.clock)
    give_lives(monkeypatch, immortal, other)
    passes: list[float] = []
    judge = server.get_expired_timers

    def count(deadline: float) -> dict[Any, list[TimerRequest]]:
        passes.append(bench.now)
        return judge(deadline)

    monkeypatch.setattr(server, "get_expired_timers", count)
    server.start()
    bench.acquire(4242, 10)
    bench.acquire(4243, 100.5)
    bench.advance(3600)

    attempts = [10, 11, 13, 17, 25, 41, *range(73, 3601, 60)]
    assert (immortal.signals, other.signals) == (attempts, [100.5])
    assert passes == [0, *sorted([*attempts, 100.5])]


def test_a_worker_that_cannot_die_is_still_tried_after_a_week(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it has failed, the next attempt is `max_interval` later; another is reaped at its instant."""
    server = bench.set_up(max_interval=60)
    immortal, other = Life(4242, bench.clock, dies=False), Life(4243, bench.clock)
    give_lives(monkeypatch, immortal, other)
    server.start()
    bench.acquire(4242, 10)
    week = 7 * 24 * 3600
    bench.acquire(4243, week - 0.5)
    bench.advance(week)

    assert immortal.signals == [10, 11, 13, 17, 25, 41, *range(73, week + 1, 60)]
    assert other.signals == [week - 0.5]


@pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit(3)], ids=repr)
def test_a_log_event_that_raises_ends_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A `log_event` that raises each time, SystemExit included, is reported; who is due is reaped, who fails again."""
    told: list[str] = []

    def log_event(name: str, request: FileTimerRequest | None) -> None:
        told.append(name)
        raise error

    clock = VirtualClock(START)
    server = FileTimerServer(str(tmp_path / "fifo"), "run", 60, clock=clock, log_event=log_event)
    lives = [Life(4242, clock, [PermissionError(1, "no")]), Life(4243, clock)]
    give_lives(monkeypatch, *lives)
    server.register_timers([FileTimerRequest(life.pid, "s", START + life.pid - 4242, signal.SIGTERM) for life in lives])
    server.start()
    clock.advance(5)
    assert [life.signals for life in lives] == [[0, 1], [1]]
    assert (server._watchdog_thread is not None, len(clock.tasks)) == (True, 1)

    server.stop()
    assert [name for name in caplog.messages if name.startswith("log_event")] == [
        f"log_event raised at {name!r}" for name in told
    ]
    assert set(told) == {"watchdog started", "timer expired", "kill worker process", "watchdog stopped"}


# The wall clock


@pytest.mark.parametrize("by", [3600, -3600], ids=["forward", "back"])
def test_a_step_of_the_wall_clock_reaps_nobody_early_and_spares_nobody(
    by: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers that are live when the wall clock steps are due at their old distance; those armed after it at theirs."""
    server = bench.set_up()
    assert isinstance(bench.clock, VirtualClock)
    before, after, released = (Life(pid, bench.clock) for pid in (4242, 4243, 4244))
    give_lives(monkeypatch, before, after, released)
    server.start()
    bench.acquire(4242, 60)
    bench.acquire(4244, 60)
    bench.advance(30)
    bench.clock.step_wall(by)
    bench.acquire(4243, 60)
    bench.advance(29)
    bench.release(4244)
    assert (before.signals, after.signals) == ([], [])

    bench.advance(1)
    assert (before.signals, after.signals) == ([60], [])
    bench.clock.step_wall(-2 * by)
    bench.advance(4000)
    assert (before.signals, after.signals, released.signals) == ([60], [90], [])
