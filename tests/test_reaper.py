"""The reaper on real processes: it ends one life of a pid, or nobody."""

import errno
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from timersim.clock import Clock
from timersim.fakes import VirtualClock
from timersim.incarnation import Incarnation
from timersim.reaper import DEATH_LIMIT, NotReapableError, ProcessReaper, Reaper

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

REAL_KILL = os.kill
"""For the end of a test, where `os.kill` may still be another."""

Worker = subprocess.Popen[bytes]

_: type[Reaper] = ProcessReaper


@pytest.fixture(params=["pidfd", "psutil"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an incarnation is known by; a claim with it holds for both."""
    if request.param == "psutil":
        monkeypatch.delattr(os, "pidfd_open")
    return str(request.param)


@pytest.fixture
def spawn() -> Iterator[Callable[[], Worker]]:
    """Makes workers that live until they are killed or their standard input ends."""
    workers: list[Worker] = []

    def make() -> Worker:
        workers.append(
            subprocess.Popen([sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        )
        return workers[-1]

    yield make
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        try:
            worker.wait(LIMIT)
        except subprocess.TimeoutExpired:
            REAL_KILL(worker.pid, signal.SIGKILL)
            worker.wait(LIMIT)


@pytest.fixture
def worker(spawn: Callable[[], Worker]) -> Worker:
    """One living worker."""
    return spawn()


@pytest.fixture
def reaper() -> Iterator[ProcessReaper]:
    """A reaper that is closed in the end."""
    made = ProcessReaper()
    yield made
    made.close()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes each signal, which is not sent; signal 0 only asks, and is."""
    sent: list[int] = []
    kill = os.kill

    def note(pid: int, number: int) -> None:
        if number:
            sent.append(number)
        else:
            kill(pid, number)

    monkeypatch.setattr(os, "kill", note)
    monkeypatch.setattr(signal, "pidfd_send_signal", note)
    return sent


def end(worker: Worker) -> None:
    """Lets the worker end by itself and takes its exit status: its pid is free."""
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(LIMIT) == 0


def make_zombie(worker: Worker) -> None:
    """Lets the worker end by itself without taking its exit status."""
    assert worker.stdin is not None
    worker.stdin.close()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


def descriptors() -> int:
    """Counts the descriptors of this process; those of what nobody holds any more are closed first."""
    gc.collect()
    return psutil.Process().num_fds()


class Life(Incarnation):
    """A scripted incarnation."""

    def __init__(self, pid: int, *, dies: bool = True, error: type[OSError] | None = None) -> None:
        self.pid = pid
        self.living = True
        self.closed = False
        self.signals: list[int] = []
        self.waited: list[float] = []
        self._dies = dies
        self._error = error

    @property
    def alive(self) -> bool:
        return self.living

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        if self._error is not None:
            self.living = self._error is not ProcessLookupError
            raise self._error
        self.living = not self._dies

    def wait(self, clock: Clock, timeout: float) -> bool:
        self.waited.append(timeout)
        return not self.living

    def close(self) -> None:
        self.closed = True


def give_lives(monkeypatch: pytest.MonkeyPatch, *lives: Life) -> None:
    """Has pids tied to these incarnations, one after the other."""
    waiting = iter(lives)
    monkeypatch.setattr(Incarnation, "of", staticmethod(lambda pid: next(waiting)))


@pytest.mark.usefixtures("kind")
def test_a_reaped_worker_is_dead_by_sigkill(worker: Worker, reaper: ProcessReaper) -> None:
    """A reap kills the worker with SIGKILL and sees it dead before it says so."""
    assert reaper.watch(worker.pid)
    assert reaper(worker.pid)
    assert worker.poll() == -signal.SIGKILL


@pytest.mark.usefixtures("kind")
def test_a_worker_that_nobody_watched_is_reaped_too(worker: Worker, reaper: ProcessReaper) -> None:
    """A reap of a pid that was not watched ties it first."""
    assert reaper(worker.pid)
    assert worker.wait(LIMIT) == -signal.SIGKILL


@pytest.mark.usefixtures("kind")
def test_a_reap_leaves_every_other_worker_alone(spawn: Callable[[], Worker], reaper: ProcessReaper) -> None:
    """A reap kills the one that it was asked for and no other that it watches."""
    victim, bystander = spawn(), spawn()
    assert (reaper.watch(victim.pid), reaper.watch(bystander.pid)) == (True, True)

    assert reaper(victim.pid)
    assert victim.wait(LIMIT) == -signal.SIGKILL
    end(bystander)


@pytest.mark.usefixtures("kind")
def test_one_sigkill_is_sent_to_the_living(worker: Worker, reaper: ProcessReaper, signals: list[int]) -> None:
    """A living worker is sent SIGKILL, once; the reap has failed where the worker then lives on."""
    assert (reaper.watch(worker.pid), reaper(worker.pid), signals) == (True, False, [signal.SIGKILL])


@pytest.mark.usefixtures("kind")
def test_a_life_that_is_over_is_never_signalled(worker: Worker, reaper: ProcessReaper, signals: list[int]) -> None:
    """A watched worker that ended is gone: nobody is signalled, whoever has its pid now."""
    assert reaper.watch(worker.pid)
    end(worker)

    assert (reaper(worker.pid), reaper(worker.pid), signals) == (True, True, [])


@pytest.mark.usefixtures("kind")
def test_a_zombie_is_gone(worker: Worker, reaper: ProcessReaper, signals: list[int]) -> None:
    """A watched worker that ended and was not waited for is gone, and is not signalled."""
    assert reaper.watch(worker.pid)
    make_zombie(worker)

    assert (reaper(worker.pid), signals) == (True, [])


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("ending", [end, make_zombie])
def test_the_dead_cannot_be_watched(ending: Callable[[Worker], None], worker: Worker, signals: list[int]) -> None:
    """A pid without a living process is not watched, its reap is done, and no descriptor is left."""
    before = descriptors()
    reaper = ProcessReaper()
    ending(worker)
    freed = 1  # the worker's standard input

    assert (reaper.watch(worker.pid), reaper(worker.pid), reaper.watched(), signals) == (False, True, [], [])
    assert descriptors() == before - freed


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("pid", [1, 0, -1, None], ids=["init", "own group", "everybody", "itself"])
def test_nobody_but_another_worker_can_be_reaped(pid: int | None, reaper: ProcessReaper, signals: list[int]) -> None:
    """A pid of 1 or below and this process's own are refused, with the rule and the pid."""
    pid = os.getpid() if pid is None else pid
    message = rf"^only other processes with a pid above 1 can be reaped: pid={pid}$"

    with pytest.raises(NotReapableError, match=message):
        reaper.watch(pid)
    with pytest.raises(NotReapableError, match=message):
        reaper(pid)
    assert (reaper.watched(), signals) == ([], [])


@pytest.mark.usefixtures("kind")
def test_a_worker_that_may_not_be_signalled_is_not_gone(
    worker: Worker, reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reap without the permission to signal has failed, and says so in the log."""
    kill = os.kill

    def refuse(pid: int, number: int) -> None:
        if number:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        kill(pid, number)

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with caplog.at_level(logging.ERROR, "timersim.reaper"):
        assert not reaper(worker.pid)

    assert caplog.messages == [f"No permission to kill pid={worker.pid}"]
    assert worker.poll() is None


@pytest.mark.usefixtures("kind")
def test_an_incarnation_is_alive_until_its_end(worker: Worker) -> None:
    """An incarnation is alive until its process ends, a zombie and a pid that is free are not."""
    incarnation = Incarnation.of(worker.pid)
    try:
        seen = [incarnation.alive]
        make_zombie(worker)
        seen.append(incarnation.alive)
        worker.wait(LIMIT)
        seen.append(incarnation.alive)

        assert (incarnation.pid, seen) == (worker.pid, [True, False, False])
    finally:
        incarnation.close()


@pytest.mark.usefixtures("kind")
def test_an_incarnation_that_is_over_takes_no_signal(worker: Worker) -> None:
    """A signal to a life that is over raises ProcessLookupError."""
    incarnation = Incarnation.of(worker.pid)
    try:
        end(worker)
        with pytest.raises(ProcessLookupError):
            incarnation.send_signal(signal.SIGKILL)
    finally:
        incarnation.close()


@pytest.mark.usefixtures("kind")
def test_there_is_no_incarnation_of_a_pid_that_is_free(worker: Worker) -> None:
    """A pid that nobody bears has no incarnation."""
    end(worker)

    with pytest.raises(ProcessLookupError):
        Incarnation.of(worker.pid)


@pytest.mark.usefixtures("kind")
def test_a_wait_for_the_living_takes_its_timeout(worker: Worker) -> None:
    """A wait for somebody who lives on says False, exactly after its timeout."""
    clock = VirtualClock()
    before = clock.monotonic()
    incarnation = Incarnation.of(worker.pid)
    try:
        assert (incarnation.wait(clock, 1.0), clock.monotonic() - before) == (False, 1.0)
    finally:
        incarnation.close()


@pytest.mark.usefixtures("kind")
def test_a_wait_for_the_dead_takes_no_time(worker: Worker) -> None:
    """A wait for somebody who ended says True at once."""
    clock = VirtualClock()
    before = clock.monotonic()
    incarnation = Incarnation.of(worker.pid)
    try:
        make_zombie(worker)
        assert (incarnation.wait(clock, 1.0), clock.monotonic() - before) == (True, 0.0)
    finally:
        incarnation.close()


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("way", ["close", "forget", "drop"])
def test_descriptors_are_given_back(way: str, spawn: Callable[[], Worker]) -> None:
    """What the reaper held is given back when it is closed, when it forgets, and when it is dropped."""
    workers = [spawn(), spawn()]
    before = descriptors()
    reaper: ProcessReaper | None = ProcessReaper()
    assert reaper is not None
    for worker in workers:
        assert reaper.watch(worker.pid)
        assert reaper.watch(worker.pid)
    assert reaper.watched() == [worker.pid for worker in workers]

    if way == "close":
        reaper.close()
        assert reaper.watched() == []
    elif way == "forget":
        for worker in workers:
            reaper.forget(worker.pid)
        assert reaper.watched() == []
    else:
        reaper = None

    assert descriptors() == before


def test_to_forget_a_pid_that_nobody_watched_does_nothing(reaper: ProcessReaper) -> None:
    """A pid that is not tied can be forgotten."""
    reaper.forget(4242)

    assert reaper.watched() == []


def test_a_kernel_without_pidfds_is_served_by_psutil(
    worker: Worker, reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python knows pidfds and the kernel does not, workers are known by pid and start time."""

    def unknown(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)

    assert reaper(worker.pid)
    assert worker.wait(LIMIT) == -signal.SIGKILL


def test_a_reap_never_turns_to_the_next_bearer_of_a_pid(reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a watched life is over and its pid has a new bearer, a reap signals neither."""
    old, new = Life(4242), Life(4242)
    give_lives(monkeypatch, old, new)
    reaper.watch(4242)
    old.living = False

    assert (reaper(4242), old.signals, new.signals) == (True, [], [])


def test_a_pid_is_tied_anew_once_its_life_is_over(reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """To watch a pid keeps the life that it is tied to, and takes the new one when that is over."""
    old, new = Life(4242), Life(4242)
    give_lives(monkeypatch, old, new)
    assert (reaper.watch(4242), reaper.watch(4242), old.closed) == (True, True, False)

    old.living = False
    assert (reaper.watch(4242), old.closed, new.closed) == (True, True, False)
    assert (reaper(4242), old.signals, new.signals) == (True, [], [signal.SIGKILL])


def test_a_worker_that_will_not_die_is_not_gone(reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reap waits DEATH_LIMIT for the death, and has failed where it does not come; the next signals and does not wait."""
    life = Life(4242, dies=False)
    give_lives(monkeypatch, life)

    assert (reaper(4242), reaper(4242)) == (False, False)
    assert (life.signals, life.waited) == ([signal.SIGKILL] * 2, [DEATH_LIMIT])


def test_a_worker_that_ends_just_before_the_signal_is_gone(
    reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes too late is no error: the worker is gone."""
    life = Life(4242, error=ProcessLookupError)
    give_lives(monkeypatch, life)

    assert (reaper(4242), life.signals) == (True, [signal.SIGKILL])
