"""Trees of real processes: who descends from a reaped worker goes with it, and nobody else."""

import os
import queue
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from timersim import LocalTimerServer, ProcessReaper, TimerRequest
from timersim.clock import Clock
from timersim.fakes import VirtualClock
from timersim.incarnation import Incarnation

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

START = 1_000_000.0
"""Where virtual time begins."""

MARKER = "TIMERSIM_TEST_TREE"

FORKS = """
import os, signal, sys, time

def fork(then):
    pid = os.fork()
    if pid == 0:
        then()
        os._exit(0)
    return pid

def stay():
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(1000)
"""
"""What each worker here begins with; who stays writes its pid."""

FAMILY = """
def parent():
    fork(stay)
    stay()

def leader():
    os.setsid()
    fork(parent)
    stay()

fork(parent); fork(leader); stay()
"""
"""Six processes in three generations, of which three are in a session of their own."""


class Family:
    """A worker with all its descendants, which are known by a mark in their environment."""

    def __init__(self, code: str, number: int) -> None:
        self.mark = uuid.uuid4().hex
        self.worker = subprocess.Popen(
            [sys.executable, "-c", FORKS + code], stdout=subprocess.PIPE, env=os.environ | {MARKER: self.mark}
        )
        self.pids = [int(self.read_line()) for _ in range(number)]

    def read_line(self) -> bytes:
        """Returns the next line that one of them has written."""
        assert self.worker.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.worker.stdout], [], [], LIMIT)[0]
            line += os.read(self.worker.stdout.fileno(), 1)
        return line

    def living(self) -> list[int]:
        """Returns the pids of those that live, zombies excluded."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return sorted(found)

    def close(self) -> None:
        """Ends whoever is left."""
        end = time.monotonic() + LIMIT
        while living := self.living():
            assert time.monotonic() < end
            for pid in living:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.worker.wait(LIMIT)
        assert self.worker.stdout is not None
        self.worker.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[[str, int], Family]]:
    """What starts a family by its code, and waits for so many pids of it; all are gone in the end."""
    started: list[Family] = []

    def make(code: str, number: int) -> Family:
        started.append(Family(code, number))
        return started[-1]

    yield make
    for family in started:
        family.close()


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START."""
    made = VirtualClock(START)
    yield made
    made.close()


@pytest.fixture(params=["pidfd", "psutil"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an incarnation is known by; a claim with it holds for both."""
    if request.param == "psutil":
        monkeypatch.delattr(os, "pidfd_open")
    return str(request.param)


@pytest.mark.usefixtures("kind")
def test_a_worker_goes_with_all_its_descendants(start: Callable[[str, int], Family]) -> None:
    """With `tree` children, grandchildren and who has a session of its own die too; a bystander lives."""
    family, bystander = start(FAMILY, 6), start("stay()", 1)
    assert family.living() == sorted(family.pids)
    reaper = ProcessReaper(tree=True)

    assert (reaper(family.worker.pid), family.living()) == (True, [])
    assert (family.worker.wait(LIMIT), bystander.living()) == (-signal.SIGKILL, bystander.pids)
    reaper.close()


def test_without_tree_the_descendants_live(start: Callable[[str, int], Family]) -> None:
    """Without `tree` the worker dies alone."""
    family = start(FAMILY, 6)
    reaper = ProcessReaper()

    assert (reaper(family.worker.pid), family.living()) == (True, sorted({*family.pids} - {family.worker.pid}))
    reaper.close()


def test_who_left_the_tree_before_the_reap_lives(start: Callable[[str, int], Family]) -> None:
    """A daemon whose parent has ended before the reap is found no more: nothing says whose it was."""
    family = start("pid = fork(lambda: (os.setsid(), fork(stay))); os.waitpid(pid, 0); stay()", 2)
    daemon = [pid for pid in family.pids if pid != family.worker.pid]
    reaper = ProcessReaper(tree=True)

    assert (reaper(family.worker.pid), family.living()) == (True, daemon)
    reaper.close()


STORM = """
def more():
    for _ in range(2):
        fork(lambda: time.sleep(1000))
    time.sleep(1000)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for number in range(400):
    fork(more)
    if number == 5:
        os.write(1, b"1\\n")
    time.sleep(0.002)
stay()
"""


def test_who_forks_all_the_time_is_ended_wholly(start: Callable[[str, int], Family]) -> None:
    """Of a worker that starts parents of children continually nothing survives a reap, which is not sat out."""
    family = start(STORM, 1)
    reaper = ProcessReaper(tree=True)
    assert len(family.living()) > 5

    assert (reaper(family.worker.pid), family.living()) == (True, [])
    assert family.worker.stdout is not None
    assert family.worker.stdout.read() == b""  # it would have written once it was through
    reaper.close()


WATCHDOG = """
import subprocess
code = '''
import os
from timersim import ProcessReaper
parent = os.getppid()
reaper = ProcessReaper(tree=True)
gone = reaper(parent)
print(gone, os.getpid() in reaper._watched[parent].descendants, flush=True)
'''
fork(stay)
watchdog = subprocess.Popen([sys.executable, "-c", code])
stay()
"""


def test_a_reaper_in_the_tree_spares_itself_alone(start: Callable[[str, int], Family]) -> None:
    """A watchdog that reaps its own parent with its tree ends its siblings and not itself, and says so."""
    family = start(WATCHDOG, 2)

    assert family.read_line() == b"True False\n"
    assert family.worker.wait(LIMIT) == -signal.SIGKILL
    assert not {*family.pids} & {*family.living()}


STUBBORN_CHILD = """
def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stay()

fork(stubborn); stay()
"""


@pytest.mark.parametrize("max_interval", [5, 3600])
def test_a_descendant_that_ignores_sigterm_is_killed_after_the_grace(
    max_interval: float, clock: VirtualClock, start: Callable[[str, int], Family]
) -> None:
    """Where the worker obeys SIGTERM and its child does not, the child is killed when the grace is over, not before."""
    family = start(STUBBORN_CHILD, 2)
    child = [pid for pid in family.pids if pid != family.worker.pid]
    requests: Any = queue.Queue()
    reaper = ProcessReaper(clock=clock, grace=30, tree=True)
    server = LocalTimerServer(requests, max_interval, clock=clock, reaper=reaper)
    server.start()
    requests.put(TimerRequest(family.worker.pid, "s", START + 60))
    clock.advance(60)
    assert (family.worker.wait(LIMIT), family.living()) == (-signal.SIGTERM, child)
    clock.advance(29)
    assert family.living() == child

    clock.advance(1)
    assert (family.living(), list(server._timers), reaper.watched()) == ([], [], [])
    server.stop()


GROWING_CHILD = """
def growing():
    signal.signal(signal.SIGTERM, lambda *_: fork(stay))
    stay()

fork(growing); stay()
"""


def test_who_is_started_in_the_grace_is_killed_after_it(
    clock: VirtualClock, start: Callable[[str, int], Family]
) -> None:
    """What a descendant starts in the grace ends with it, though the worker itself has long obeyed."""
    family = start(GROWING_CHILD, 2)
    reaper = ProcessReaper(clock=clock, grace=30, tree=True)
    answers: list[bool] = []
    clock.spawn(lambda: answers.append(reaper(family.worker.pid)), name="reap")
    clock.advance(0)
    assert (answers, family.worker.wait(LIMIT)) == ([False], -signal.SIGTERM)
    started = int(family.read_line())
    assert started in family.living()
    clock.advance(30)

    assert (reaper(family.worker.pid), family.living()) == (True, [])
    reaper.close()


class Untouchable(Incarnation):
    """The life of a process that may not be signalled, such as one of another user."""

    def __init__(self, real: Incarnation) -> None:
        self.pid = real.pid
        self._real = real

    @property
    def alive(self) -> bool:
        return self._real.alive

    def send_signal(self, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    def wait(self, clock: Clock, timeout: float) -> bool:
        return not self.alive

    def close(self) -> None:
        self._real.close()


def test_a_descendant_that_may_not_be_signalled_spares_nobody_else(
    start: Callable[[str, int], Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one of the tree may not be signalled all others die, and the reap has failed, to be tried again."""
    family = start(FAMILY, 6)
    untouchable = max(pid for pid in family.pids if psutil.Process(pid).ppid() == family.worker.pid)
    of = Incarnation.of
    monkeypatch.setattr(Incarnation, "of", lambda pid: Untouchable(of(pid)) if pid == untouchable else of(pid))
    reaper = ProcessReaper(tree=True)

    assert (reaper(family.worker.pid), family.worker.wait(LIMIT)) == (False, -signal.SIGKILL)
    end = time.monotonic() + LIMIT
    while family.living() != [untouchable]:  # the deaths of a reap that failed are not waited for
        assert time.monotonic() < end
    os.kill(untouchable, signal.SIGKILL)
    reaper.close()


def test_the_next_bearer_of_a_pid_has_no_part_in_the_tree(start: Callable[[str, int], Family]) -> None:
    """Where the watched life is over and its pid is another's, the other's children are left alone."""
    bystander = start(FAMILY, 6)

    class Over(Untouchable):
        @property
        def alive(self) -> bool:
            return False

        def send_signal(self, number: int) -> None:
            raise ProcessLookupError

    pid = bystander.worker.pid
    reaper = ProcessReaper(tree=True)
    assert reaper.watch(pid)
    quarry = reaper._watched[pid]
    quarry.itself = Over(quarry.itself)

    assert (reaper(pid), bystander.living()) == (True, sorted(bystander.pids))
    assert all(psutil.Process(each).status() != psutil.STATUS_STOPPED for each in bystander.pids)
    reaper.close()
