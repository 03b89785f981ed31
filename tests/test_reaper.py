"""The reaper on real processes: it ends one life of a pid, or nobody."""

import errno
import logging
import math
import os
import queue
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.descriptors import descriptors
from timersim import LocalTimerServer, TimerRequest
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
    """A reap waits DEATH_LIMIT for the death; where it does not come the next one signals and does not wait."""
    life = Life(4242, dies=False)
    give_lives(monkeypatch, life)

    assert (reaper(4242), reaper(4242)) == (False, False)
    assert life.signals == [signal.SIGKILL] * 2
    assert life.waited == pytest.approx([DEATH_LIMIT], abs=0.05)


def test_a_worker_that_ends_just_before_the_signal_is_gone(
    reaper: ProcessReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes too late is no error: the worker is gone."""
    life = Life(4242, error=ProcessLookupError)
    give_lives(monkeypatch, life)

    assert (reaper(4242), life.signals) == (True, [signal.SIGKILL])


# Escalation: SIGTERM, a grace, SIGKILL

SPEAKS = "import os, signal, time; os.write(1, b'x'); time.sleep(1000)"
DEAF = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'x'); time.sleep(1000)"
START = 1_000_000.0


@pytest.fixture
def hire() -> Iterator[Callable[[str], Worker]]:
    """What starts a process that runs `code`, and waits for its first byte; every one is gone at the end."""
    hired: list[Worker] = []

    def start(code: str) -> Worker:
        hired.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE))
        assert hired[-1].stdout is not None
        assert select.select([hired[-1].stdout], [], [], LIMIT)[0]
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.wait()
        assert worker.stdout is not None
        worker.stdout.close()


class Guard:
    """A server in virtual time whose reaper gives a grace."""

    def __init__(self, grace: float) -> None:
        self.clock = VirtualClock(START)
        self.reaper = ProcessReaper(clock=self.clock, grace=grace)
        requests: Any = queue.Queue()
        self.server = LocalTimerServer(requests, 3600, clock=self.clock, reaper=self.reaper)
        self.requests = requests
        self.server.start()

    def acquire(self, worker: Worker, after: float, scope: str = "s") -> None:
        """Sends an acquire, due in `after` seconds."""
        self.requests.put(TimerRequest(worker.pid, scope, self.clock.time() + after))
        self.clock.advance(0)


@pytest.fixture
def guard() -> Iterator[Guard]:
    """A server that gives a grace of 10 seconds."""
    made = Guard(10)
    yield made
    made.server.stop()
    made.clock.close()


@pytest.mark.parametrize(("offset", "status"), [(-1, None), (0, -signal.SIGTERM), (1, -signal.SIGTERM)])
def test_who_obeys_sigterm_is_gone_at_its_expiration(
    offset: int, status: int | None, guard: Guard, hire: Callable[[str], Worker]
) -> None:
    """With a grace a worker is sent SIGTERM at its expiration; one that obeys is gone then, and has no timers."""
    worker = hire(SPEAKS)
    guard.acquire(worker, 60)
    guard.clock.advance(60 + offset)

    assert (worker.poll(), len(guard.server._timers)) == (status, status is None)


@pytest.mark.parametrize(("offset", "status"), [(-1, None), (0, -signal.SIGKILL), (1, -signal.SIGKILL)])
def test_who_ignores_sigterm_is_killed_when_the_grace_is_over(
    offset: int, status: int | None, guard: Guard, hire: Callable[[str], Worker]
) -> None:
    """A worker that ignores SIGTERM is killed when its grace of 10 seconds is over, and not a second before."""
    worker = hire(DEAF)
    guard.acquire(worker, 60)
    guard.clock.advance(70 + offset)

    assert (worker.poll(), len(guard.server._timers)) == (status, status is None)


def test_a_grace_is_no_failure(guard: Guard, hire: Callable[[str], Worker], caplog: pytest.LogCaptureFixture) -> None:
    """A worker in its grace is told once and reported as no error; requests meanwhile don't hasten its end."""
    worker, other = hire(DEAF), hire(SPEAKS)
    guard.acquire(worker, 60)
    with caplog.at_level(logging.INFO, "timersim.api"):
        guard.clock.advance(60)
        for number in range(9):
            guard.clock.advance(1)
            guard.acquire(other, 3600, f"s{number}")
        assert worker.poll() is None
        assert [retry.interval for retry in guard.server._retries.values()] == [0]
        guard.clock.advance(1)

    assert worker.wait(LIMIT) == -signal.SIGKILL
    assert [record.getMessage() for record in caplog.records] == [
        f"Reaping worker_id=[{worker.pid}]. Expired timers: ['s']",
        f"Told worker=[{worker.pid}] to end. It has 10.0 s",
        f"Reaping worker_id=[{worker.pid}]. Expired timers: ['s']",
        f"Successfully reaped worker=[{worker.pid}]",
    ]


def test_others_are_reaped_while_one_has_its_grace(guard: Guard, hire: Callable[[str], Worker]) -> None:
    """While a worker has its grace others are told to end at their instants, and have graces of their own."""
    first, second, obeying = hire(DEAF), hire(DEAF), hire(SPEAKS)
    for worker, after in ((first, 60), (second, 63), (obeying, 65)):
        guard.acquire(worker, after)
    seen = []
    for instant in (64, 65, 69, 70, 72, 73):
        guard.clock.advance_to(START + instant)
        seen.append([worker.poll() for worker in (first, second, obeying)])

    assert seen == [
        [None, None, None],
        [None, None, -signal.SIGTERM],
        [None, None, -signal.SIGTERM],
        [-signal.SIGKILL, None, -signal.SIGTERM],
        [-signal.SIGKILL, None, -signal.SIGTERM],
        [-signal.SIGKILL, -signal.SIGKILL, -signal.SIGTERM],
    ]


def test_who_releases_in_its_grace_lives_and_is_told_anew(guard: Guard, hire: Callable[[str], Worker]) -> None:
    """A worker that releases in its grace is spared, and has the whole grace when it expires again."""
    worker = hire(DEAF)
    guard.acquire(worker, 60)
    guard.clock.advance(65)
    guard.requests.put(TimerRequest(worker.pid, "s", -1))
    guard.clock.advance(1000)
    guard.acquire(worker, 60)
    guard.clock.advance(69)
    assert worker.poll() is None

    guard.clock.advance(1)
    assert worker.wait(LIMIT) == -signal.SIGKILL


@pytest.mark.parametrize("grace", [-1, -0.001, math.nan])
def test_a_grace_that_is_none_is_refused_by_name(grace: float) -> None:
    """A grace below 0 is refused with the rule and the value."""
    with pytest.raises(ValueError, match=rf"^grace is a number of seconds of at least 0: grace={grace!r}$"):
        ProcessReaper(grace=grace)


def test_a_signal_of_its_own_has_no_grace(hire: Callable[[str], Worker]) -> None:
    """A reap with a signal is that signal at once, SIGKILL included; no grace begins."""
    worker = hire(DEAF)
    reaper = ProcessReaper(grace=10)

    assert (reaper(worker.pid, signal.SIGTERM), reaper.grace_left(worker.pid), worker.poll()) == (False, 0.0, None)
    assert (reaper(worker.pid, signal.SIGKILL), worker.wait(LIMIT)) == (True, -signal.SIGKILL)
    reaper.close()


# Zombies


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("collect", [True, False])
def test_a_reaped_child_is_a_zombie_until_it_is_waited_for(*, collect: bool, worker: Worker) -> None:
    """With `collect` a reaped child leaves no zombie; without it one, from which `wait` gets the signal."""
    reaper = ProcessReaper(collect=collect)
    assert reaper(worker.pid)

    assert psutil.pid_exists(worker.pid) is not collect
    assert worker.wait(LIMIT) == (0 if collect else -signal.SIGKILL)  # 0 is what subprocess makes of one that is lost
    reaper.close()


def test_somebody_elses_child_is_reaped_and_not_collected(hire: Callable[[str], Worker]) -> None:
    """With `collect` a process that is not our child is reaped all the same, without an error."""
    code = "import os, time; pid = os.fork(); pid and os.write(1, b'%d\\n' % pid); time.sleep(1000)"
    worker = hire(code)
    assert worker.stdout is not None
    grandchild = int(worker.stdout.readline())
    reaper = ProcessReaper(collect=True)

    assert (reaper(grandchild), psutil.Process(grandchild).status(), worker.poll()) == (True, "zombie", None)
    reaper.close()
