"""Every way to die and to hang, for real: workers as a job has them, guarded over each transport in virtual time."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe, forkserver, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.backends import dying_worker
from tests.backends.dying_worker import AFTER, START
from timersim import FileTimerServer, LocalTimerServer, SocketTimerServer
from timersim.fakes import VirtualClock
from timersim.reaper import ProcessReaper

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from timersim.pid_server import PidTimerServer

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

MAX_INTERVAL = 20.0
"""Within how many virtual seconds the server forgets a worker that is gone; it is less than AFTER."""

GRACE = 5.0
"""Virtual seconds between SIGTERM and SIGKILL, where a test asks for them."""


class Process:
    """Any process of a test, known by a descriptor of its life."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        return not select.select([self.fd], [], [], 0)[0]

    def signal(self, number: int) -> None:
        """Sends it a signal, as somebody outside of the job does."""
        SEND(self.fd, number)

    def close(self) -> None:
        """Ends it, if it lives, and sees it end."""
        if self.alive:
            self.signal(signal.SIGKILL)
        assert select.select([self.fd], [], [], LIMIT)[0]
        os.close(self.fd)


SEND = signal.pidfd_send_signal
"""What the tests' own signals go through; the server's are noted."""


class Worker(Process):
    """A worker of the job, with a pipe to tell it what to do."""

    def __init__(self, started: "BaseProcess | subprocess.Popen[bytes]", pipe: Connection, clock: VirtualClock) -> None:
        assert started.pid is not None
        super().__init__(started.pid)
        self.started = started
        self.pipe = pipe
        self._clock = clock

    def hear(self) -> Any:
        """Returns what it says next, while the server runs and virtual time stands still."""
        with self._clock.hold(f"pid {self.pid}: an answer"):
            self._clock.wait_readable([self.pipe.fileno()], LIMIT)
        assert self.pipe.poll(0)
        return self.pipe.recv()

    def rests(self) -> None:
        """Waits until it waits for something: it is not on its way into a call any more."""
        end = time.monotonic() + LIMIT
        while psutil.Process(self.pid).status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < end

    def ends(self) -> int | None:
        """Waits for its end, while the server runs, and returns its status."""
        with self._clock.hold(f"pid {self.pid}: its end"):
            self._clock.wait_readable([self.fd], LIMIT)
        return self.status()

    def status(self) -> int | None:
        """Returns the status with which it has ended, None where it lives."""
        if self.alive:
            return None
        if isinstance(self.started, subprocess.Popen):
            return self.started.wait(LIMIT)
        self.started.join(LIMIT)
        return self.started.exitcode

    def close(self) -> None:
        """Ends it, if it lives, and takes its status."""
        super().close()
        self.pipe.close()
        if isinstance(self.started, subprocess.Popen):
            self.started.wait(LIMIT)
        else:
            self.started.join(LIMIT)
            self.started.close()


class Job:
    """A server in virtual time, and its workers."""

    def __init__(self, transport: str, folder: Path, *, grace: float = 0.0, tree: bool = False) -> None:
        self.clock = VirtualClock(START)
        self.transport = transport
        self.reaper = ProcessReaper(clock=self.clock, grace=grace, tree=tree)
        path = str(folder / "timers")
        self.address: tuple[Any, ...] = (transport, path)
        self._queue: Any = None
        self.server: PidTimerServer
        common: dict[str, Any] = {"max_interval": MAX_INTERVAL, "clock": self.clock, "reaper": self.reaper}
        if transport == "local":
            self._queue = get_context("spawn").Queue()
            self.address = (transport, self._queue)
            self.server = LocalTimerServer(self._queue, **common)
        elif transport == "file":
            self.address = (transport, path, signal.SIGTERM if grace else signal.SIGKILL)
            self.server = FileTimerServer(path, "job", **common)
        else:
            self.server = SocketTimerServer(path, **common)
        self.processes: list[Process] = []
        self.server.start()
        self.clock.advance(0)

    def start(self, method: str = "forkserver", target: Callable[..., None] = dying_worker.work) -> Worker:
        """Starts a worker by one of the ways that users have."""
        ours, theirs = Pipe()
        if method == "subprocess":
            command = [sys.executable, dying_worker.__file__, *map(str, self.address[:2]), str(theirs.fileno())]
            started: Any = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        else:
            started = get_context(method).Process(target=target, args=(theirs, *self.address))  # type: ignore[attr-defined]  # of each of its contexts
            started.start()
        theirs.close()
        self.processes.append(Worker(started, ours, self.clock))
        return self.processes[-1]  # type: ignore[return-value]  # it is the one just made

    def meet(self, pid: int) -> Process:
        """Takes a process that somebody else has started among those that are gone at the end."""
        self.processes.append(Process(pid))
        return self.processes[-1]

    def guarded(self, method: str = "forkserver") -> Worker:
        """Starts a worker that is in its block, with a timer that the server holds."""
        worker = self.start(method)
        assert worker.hear() == "guarded"
        self.until(lambda: worker.pid in self.held)
        return worker

    @property
    def held(self) -> list[Any]:
        """The pids whose timers the server holds."""
        return sorted(pid for pid, _ in self.server._timers)

    def until(self, happened: Callable[[], bool]) -> None:
        """Lets the server run until something has happened, while virtual time stands still."""
        with self.clock.hold("the server"):
            self.clock.wait(lambda _: happened(), LIMIT)
        assert happened()

    def close(self) -> None:
        """Ends the job: nobody is left of it."""
        for process in self.processes:
            process.close()
        self.server.stop()
        self.reaper.close()
        self.clock.close()
        if self._queue is not None:
            self._queue.close()
            self._queue.join_thread()


Open = Callable[..., Job]


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> Iterator[None]:
    """Has the server from which workers are forked import once what they need, and ends it."""
    get_context("forkserver").set_forkserver_preload(["__main__", dying_worker.__name__])
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # nothing public ends it
    get_context("forkserver").set_forkserver_preload(["__main__"])


@pytest.fixture
def open_job(tmp_path: Path) -> Iterator[Open]:
    """Yields what opens a job over a transport; it is closed at the end."""
    opened: list[Job] = []

    def make(transport: str, **options: Any) -> Job:
        opened.append(Job(transport, tmp_path, **options))
        return opened[-1]

    yield make
    for job in opened:
        job.close()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes the signals that a server sends, and sends them."""
    sent: list[int] = []

    def note(fd: int, number: int) -> None:
        sent.append(number)
        SEND(fd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", note)
    return sent


on_each_transport = pytest.mark.parametrize("transport", ["local", "file", "socket"])


# Who dies by itself


@on_each_transport
@pytest.mark.parametrize(("way", "status"), [("raises", 1), ("exits", 3)])
def test_who_leaves_its_block_by_an_exception_has_released(
    way: str, status: int, transport: str, open_job: Open, signals: list[int]
) -> None:
    """An exception that nobody catches, SystemExit too, releases the timer on its way; no signal is sent."""
    job = open_job(transport)
    bystander, worker = job.guarded(), job.guarded()
    worker.pipe.send(way)

    assert worker.ends() == status
    job.until(lambda: job.held == [bystander.pid])
    job.clock.advance(AFTER - 1)
    assert (signals, bystander.alive) == ([], True)


@on_each_transport
@pytest.mark.parametrize(
    ("way", "status"),
    [("ends at once", 4), ("aborts", -signal.SIGABRT), ("faults", -signal.SIGSEGV)],
)
def test_who_dies_in_its_block_is_let_be(
    way: str, status: int, transport: str, open_job: Open, signals: list[int]
) -> None:
    """Who dies by os._exit, abort or a fault releases nothing; its timers are cleared, and no signal is sent."""
    job = open_job(transport)
    bystander, worker = job.guarded(), job.guarded()
    worker.pipe.send(way)

    assert worker.ends() == status
    assert job.held == sorted([bystander.pid, worker.pid])
    job.clock.advance(MAX_INTERVAL)
    assert (job.held, signals, bystander.alive) == ([bystander.pid], [], True)


@on_each_transport
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_is_killed_by_somebody_else_is_let_be(
    number: int, transport: str, open_job: Open, signals: list[int]
) -> None:
    """Who is ended from outside, as by the OOM killer, is not signalled again, and its timers are cleared."""
    job = open_job(transport)
    bystander, worker = job.guarded(), job.guarded()
    worker.signal(number)

    assert worker.ends() == (1 if number == signal.SIGINT else -number)  # Ctrl-C is an exception
    job.clock.advance(MAX_INTERVAL)
    assert (job.held, signals, bystander.alive) == ([bystander.pid], [], True)


# Who hangs


@on_each_transport
@pytest.mark.parametrize("way", ["spins", "deadlocks", "waits for input", "hangs in native code"])
def test_who_hangs_is_reaped_when_it_is_due(way: str, transport: str, open_job: Open, signals: list[int]) -> None:
    """However a worker hangs, in Python or in native code with the GIL, it is killed when it is due, and not before."""
    job = open_job(transport)
    worker = job.guarded()
    worker.pipe.send(way)
    if way == "hangs in native code":
        assert worker.hear() == "locked"
    job.clock.advance(AFTER - 1)
    assert (worker.alive, signals) == (True, [])

    job.clock.advance(1)
    assert (worker.ends(), signals, job.held) == (-signal.SIGKILL, [signal.SIGKILL], [])


@on_each_transport
def test_who_becomes_another_program_is_guarded_on(transport: str, open_job: Open, signals: list[int]) -> None:
    """A worker that execs in its block keeps its pid and its timer: the program that it became is reaped."""
    job = open_job(transport)
    worker = job.guarded()
    worker.pipe.send("becomes another program")
    with pytest.raises(EOFError):
        worker.hear()  # its end of the pipe is closed by the exec
    assert psutil.Process(worker.pid).cmdline() == ["sleep", "1000"]
    job.clock.advance(AFTER - 1)
    assert (worker.alive, job.held) == (True, [worker.pid])

    job.clock.advance(1)
    assert (worker.ends(), signals, job.held) == (-signal.SIGKILL, [signal.SIGKILL], [])


@on_each_transport
def test_who_is_stopped_is_reaped_when_it_is_due(transport: str, open_job: Open, signals: list[int]) -> None:
    """A worker under SIGSTOP does nothing more, and is killed when it is due."""
    job = open_job(transport)
    worker = job.guarded()
    worker.signal(signal.SIGSTOP)
    worker.pipe.send("leave")
    job.clock.advance(AFTER - 1)
    assert (worker.alive, job.held) == (True, [worker.pid])

    job.clock.advance(1)
    assert (worker.ends(), signals, job.held) == (-signal.SIGKILL, [signal.SIGKILL], [])


@on_each_transport
def test_who_goes_on_in_time_lives(transport: str, open_job: Open, signals: list[int]) -> None:
    """A worker that was stopped, and goes on and releases before it is due, lives."""
    job = open_job(transport)
    worker = job.guarded()
    worker.signal(signal.SIGSTOP)
    worker.pipe.send("leave")
    job.clock.advance(AFTER - 1)
    worker.signal(signal.SIGCONT)
    assert worker.hear() == "released"
    job.until(lambda: job.held == [])
    job.clock.advance(AFTER)

    assert (worker.alive, signals) == (True, [])
    worker.pipe.send("end")
    assert worker.ends() == 0


@on_each_transport
@pytest.mark.parametrize("way", ["ignores SIGTERM", "hangs in native code"])
def test_who_does_not_heed_sigterm_is_killed_after_it(
    way: str, transport: str, open_job: Open, signals: list[int]
) -> None:
    """Who ignores SIGTERM, or can't come to its handler, is killed after its grace; on a file, a second later."""
    job = open_job(transport, grace=GRACE)
    bystander, worker = job.guarded(), job.guarded()
    bystander.pipe.send("leave")
    assert bystander.hear() == "released"
    job.until(lambda: len(job.held) == 1)  # a queue's lock may be held by who hangs from now on
    worker.pipe.send(way)
    assert worker.hear() in {"deaf", "locked"}
    worker.rests()
    grace = 1 if transport == "file" else GRACE
    job.clock.advance(AFTER)
    job.clock.advance(grace - 1 / 8)
    assert (worker.alive, {*signals}) == (True, {signal.SIGTERM})

    job.clock.advance(1 / 8)
    assert (worker.ends(), signals[-1], job.held) == (-signal.SIGKILL, signal.SIGKILL, [])
    assert bystander.alive


# Who is not alone


@on_each_transport
@pytest.mark.parametrize("tree", [False, True])
def test_a_hung_worker_and_its_descendants(*, tree: bool, transport: str, open_job: Open) -> None:
    """With `tree` children and grandchildren go with the worker, in a session of their own too; else it goes alone."""
    job = open_job(transport, tree=tree)
    worker = job.guarded()
    worker.pipe.send("founds a family")
    pids = {worker.hear() for _ in range(5)}
    family = [job.meet(pid) for pid in pids - {worker.pid}]
    sessions = [os.getsid(pid) for pid in pids]
    assert (len(pids), sorted(map(sessions.count, {*sessions}))) == (5, [2, 3])
    job.clock.advance(AFTER - 1)
    assert [each.alive for each in (worker, *family)] == [True] * 5

    job.clock.advance(1)
    assert (worker.ends(), [each.alive for each in family]) == (-signal.SIGKILL, [not tree] * 4)
    assert job.held == []


@on_each_transport
@pytest.mark.parametrize("way", ["ends at once", "spins"])
def test_a_worker_for_which_nobody_waits(way: str, transport: str, open_job: Open, signals: list[int]) -> None:
    """A zombie whose parent does not wait is gone: its timers are cleared, and it is not signalled again and again."""
    job = open_job(transport)
    parent = job.start(target=dying_worker.neglect)
    (pid,) = {parent.hear(), parent.hear()} - {"guarded"}
    worker = job.meet(pid)
    job.until(lambda: job.held == [pid])
    parent.pipe.send(way)
    if way == "ends at once":
        assert select.select([worker.fd], [], [], LIMIT)[0]
    job.clock.advance(AFTER)
    assert select.select([worker.fd], [], [], LIMIT)[0]
    assert (psutil.Process(pid).status(), job.held) == (psutil.STATUS_ZOMBIE, [])

    job.clock.advance(1000)
    assert signals == ([signal.SIGKILL] if way == "spins" else [])
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    parent.signal(signal.SIGTERM)
    assert (parent.ends(), psutil.pid_exists(pid)) == (0, False)


# However it was started


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("method", "transport"),
    [
        (method, transport)
        for method in ("subprocess", "spawn", "forkserver", "fork")
        for transport in ("local", "file", "socket")
        if (method, transport) != ("subprocess", "local")  # a queue is handed on by multiprocessing alone
    ],
)
def test_workers_are_guarded_however_they_were_started(
    method: str, transport: str, open_job: Open, signals: list[int]
) -> None:
    """Of three workers the hung one is reaped, the dead one let be, and the one that released lives and ends well."""
    job = open_job(transport)
    hung, dead, healthy = workers = [job.start(method) for _ in range(3)]
    assert [worker.hear() for worker in workers] == ["guarded"] * 3
    job.until(lambda: len(job.held) == 3)
    healthy.pipe.send("leave")
    assert healthy.hear() == "released"
    job.until(lambda: healthy.pid not in job.held)  # before anybody dies, who may take a queue's lock along
    dead.pipe.send("ends at once")
    assert dead.ends() == 4
    hung.pipe.send("waits for input")
    job.clock.advance(AFTER)

    assert (hung.ends(), job.held, signals) == (-signal.SIGKILL, [], [signal.SIGKILL])
    healthy.pipe.send("end")
    assert healthy.ends() == 0
