"""One check for both kernels: what happens to real processes happens to simulated ones, and to the reaper of each.

What no test can bring about on the machine at hand is left to tests/fakes/test_workers.py: an uninterruptible sleep,
and a death that takes its time. When init takes the status of an orphan is init's business, so one that has ended
counts as gone. To choose the pid of the next process, and to lose the permission to signal, one has to be root: for
others those two claims are checked on the fake alone, and the skip says so. A real process needs a moment to
stop, in which the kernel gives it a SIGTERM first, so these tests see it stopped before they go on.
"""

import os
import select
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from timersim import ProcessReaper
from timersim.fakes import FakeWorkers, VirtualClock
from timersim.incarnation import start_ticks
from timersim.kernel import SYSTEM_KERNEL, Kernel

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

START = 1_000_000.0

GRACE = 30.0

STUBBORN = 0.25
"""Seconds that a reaper waits where somebody is not going to die; who is killed is dead in a hundredth."""

NOBODY = 65534
"""A user who may signal none of root's processes."""


OPEN_PIDFD = os.pidfd_open
"""For the end of a test in which there are none."""


class Lab(ABC):
    """Workers whose parent is this process, and what can be done to them; the same words for both kernels."""

    kernel: Kernel

    def __init__(self) -> None:
        self.clock = VirtualClock(START)

    @abstractmethod
    def start(self, *, parent: int | None = None, ignores: Collection[int] = (), blocks: Collection[int] = ()) -> int:
        """Starts a worker and returns its pid."""

    @abstractmethod
    def start_foreign(self) -> int:
        """Starts a worker that may not be signalled in `unprivileged`."""

    @abstractmethod
    def unprivileged(self) -> AbstractContextManager[None]:
        """Takes away the permission to signal others' processes, in the block."""

    @abstractmethod
    def kill(self, pid: int, number: int) -> None:
        """Signals a worker."""

    @abstractmethod
    def unblock(self, pid: int, number: int) -> None:
        """Has the worker block a signal no more."""

    @abstractmethod
    def exit(self, pid: int, status: int) -> None:
        """Has the worker end by itself."""

    @abstractmethod
    def crash(self, pid: int, number: int) -> None:
        """Has the worker die of a signal of its own."""

    @abstractmethod
    def wait(self, pid: int, *, by: int | None = None) -> int | None:
        """Takes the status of a child of ours, or of the worker `by`; None while it lives."""

    @abstractmethod
    def state(self, pid: int) -> str:
        """Returns in which state the worker is, once it has had time to act on what was sent to it."""

    @abstractmethod
    def parent(self, pid: int) -> int | None:
        """Returns the parent's pid, None where that is nobody whom we know."""

    @abstractmethod
    def close(self) -> None:
        """Ends who is left."""

    def reaper(
        self, *, grace: float = 0.0, tree: bool = False, collect: bool = False, death_limit: float = LIMIT
    ) -> ProcessReaper:
        """Makes a reaper of this kernel's processes."""
        return ProcessReaper(
            clock=self.clock, kernel=self.kernel, grace=grace, tree=tree, collect=collect, death_limit=death_limit
        )


class FakeLab(Lab):
    """Simulated workers."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = self.workers = FakeWorkers(self.clock)

    def start(self, *, parent: int | None = None, ignores: Collection[int] = (), blocks: Collection[int] = ()) -> int:
        return self.workers.start(parent=parent, ignores=ignores, blocks=blocks)

    def start_again(self, pid: int) -> None:
        self.workers.start(pid)

    def start_foreign(self) -> int:
        return self.workers.start(owned=False)

    def unprivileged(self) -> AbstractContextManager[None]:
        return nullcontext()

    def kill(self, pid: int, number: int) -> None:
        self.workers.kill(pid, number)

    def unblock(self, pid: int, number: int) -> None:
        self.workers.unblock(pid, number)

    def exit(self, pid: int, status: int) -> None:
        self.workers.exit(pid, status)

    def crash(self, pid: int, number: int) -> None:
        self.workers.crash(pid, number)

    def wait(self, pid: int, *, by: int | None = None) -> int | None:
        return self.workers.wait(pid, by=by)

    def state(self, pid: int) -> str:
        return self.workers.status(pid).state

    def parent(self, pid: int) -> int | None:
        [parent] = [parent for each, parent, _ in self.workers.table() if each == pid]
        return None if parent == 1 else parent

    def close(self) -> None:
        self.clock.close()


CODE = """
import os, resource, signal, sys

def serve(name, ignores, blocks):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for number in ignores:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, blocks)
    commands, answers = open(name + ".in"), open(name + ".out", "w")

    def say(*words):
        print(*words, file=answers, flush=True)

    say("ready", os.getpid())
    for line in iter(commands.readline, ""):
        verb, *words = line.split()
        if verb == "exit":
            os._exit(int(words[0]))
        elif verb == "crash":
            if int(words[0]) != signal.SIGKILL:
                signal.signal(int(words[0]), signal.SIG_DFL)
            os.kill(os.getpid(), int(words[0]))
        elif verb == "unblock":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [int(words[0])])
        elif verb == "ping":
            say("pong", words[0])
        elif verb == "fork":
            if os.fork() == 0:
                serve(words[0], eval(words[1]), eval(words[2]))
        elif verb == "wait":
            try:
                pid, status = os.waitpid(int(words[0]), os.WNOHANG)
                say("waited", os.waitstatus_to_exitcode(status) if pid else None)
            except ChildProcessError:
                say("waited", "nobody")
    os._exit(0)

serve(sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3]))
"""
"""A real worker: it does what it reads, and ends when nobody is left to write."""


class Channel:
    """A worker's two FIFOs and its pidfd."""

    def __init__(self, name: str) -> None:
        self.name = name
        for end in (".in", ".out"):
            os.mkfifo(name + end)
        self._commands = os.open(name + ".in", os.O_RDWR)
        self._answers = os.open(name + ".out", os.O_RDWR | os.O_NONBLOCK)
        self._read = b""
        self._pings = 0
        self.pid = 0
        self.pidfd = -1
        self.started = 0

    def meet(self) -> int:
        """Waits for the worker's first word; returns its pid."""
        self.pid = int(self.answer("ready"))
        self.pidfd = OPEN_PIDFD(self.pid)
        self.started = start_ticks(self.pid)
        return self.pid

    def tell(self, *words: object) -> None:
        """Tells the worker to do something."""
        os.write(self._commands, (" ".join(map(str, words)) + "\n").encode())

    def answer(self, verb: str) -> str:
        """Waits for an answer."""
        end = time.monotonic() + LIMIT
        while (found := self._find(verb)) is None:
            assert time.monotonic() < end
            select.select([self._answers], [], [], LIMIT)
        return found

    def is_idle(self) -> Callable[[float], bool]:
        """Returns a question that the worker answers when it has nothing else to do, asked for so many seconds."""
        self._pings += 1
        self.tell("ping", self._pings)

        def answered(seconds: float) -> bool:
            select.select([self._answers], [], [], seconds)
            return self._find("pong", str(self._pings)) is not None

        return answered

    def _find(self, verb: str, word: str = "") -> str | None:
        if select.select([self._answers], [], [], 0)[0]:
            self._read += os.read(self._answers, 4096)
        while b"\n" in self._read:
            line, _, self._read = self._read.partition(b"\n")
            found, said = line.decode().split()
            if found == verb and word in ("", said):
                return said
        return None

    def close(self) -> None:
        """Ends the worker if it lives, waits for its end, and gives the descriptors back."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        assert select.select([self.pidfd], [], [], LIMIT)[0]
        for fd in (self.pidfd, self._commands, self._answers):
            os.close(fd)


class RealLab(Lab):
    """Real processes of the real kernel."""

    kernel = SYSTEM_KERNEL

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._channels: list[Channel] = []

    def start(self, *, parent: int | None = None, ignores: Collection[int] = (), blocks: Collection[int] = ()) -> int:
        channel = Channel(str(self._folder / str(len(self._channels))))
        words = [
            channel.name,
            *(repr([int(each) for each in numbers]).replace(" ", "") for numbers in (ignores, blocks)),
        ]
        if parent is None:
            os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", CODE, *words], os.environ)
        else:
            self._channel(parent).tell("fork", *words)
        self._channels.append(channel)
        return channel.meet()

    def start_foreign(self) -> int:
        if os.getuid() != 0:
            pytest.skip("who is not root can't start what it may not signal: this is checked on the fake alone")
        return self.start()

    @contextmanager
    def unprivileged(self) -> Iterator[None]:
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    def kill(self, pid: int, number: int) -> None:
        os.kill(pid, number)

    def unblock(self, pid: int, number: int) -> None:
        self._channel(pid).tell("unblock", int(number))

    def exit(self, pid: int, status: int) -> None:
        self._channel(pid).tell("exit", status)

    def crash(self, pid: int, number: int) -> None:
        self._channel(pid).tell("crash", int(number))

    def wait(self, pid: int, *, by: int | None = None) -> int | None:
        if self.state(pid) != "gone" and by is not None:
            self._channel(by).tell("wait", pid)
            said = self._channel(by).answer("waited")
            if said == "nobody":
                raise ChildProcessError
            return None if said == "None" else int(said)
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None

    def state(self, pid: int) -> str:
        is_idle = self._channel(pid).is_idle()
        end = time.monotonic() + LIMIT
        while True:
            assert time.monotonic() < end
            letter = self._stat(pid)[0]
            if letter == "T":
                return "stopped"
            if letter == "gone" or (letter == "Z" and self.parent(pid) is None):
                return "gone"
            if letter == "Z":
                return "zombie"
            if is_idle(0.001):
                return "running"

    def parent(self, pid: int) -> int | None:
        parent = int(self._stat(pid)[1])
        return parent if parent in {os.getpid(), *(channel.pid for channel in self._channels)} else None

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        for channel in self._channels:
            try:
                os.waitpid(channel.pid, 0)
            except ChildProcessError:
                continue
        self.clock.close()

    def _channel(self, pid: int) -> Channel:
        return [channel for channel in self._channels if channel.pid == pid][-1]

    def _stat(self, pid: int) -> list[str]:
        """Returns the letter of the state and the parent, ["gone", "0"] where the life is over; proc_pid_stat(5)."""
        with suppress(FileNotFoundError, ProcessLookupError):
            if start_ticks(pid) == self._channel(pid).started:
                return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        return ["gone", "0"]


@pytest.fixture(params=["fake", "pidfd", "psutil"])
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Lab]:
    """A fake kernel, and the real one with incarnations of both kinds; nothing is left of its workers."""
    if request.param == "psutil":
        monkeypatch.delattr(os, "pidfd_open")
    made = FakeLab() if request.param == "fake" else RealLab(tmp_path)
    yield made
    made.close()


def answers(*calls: Callable[[], object]) -> list[object]:
    """Returns what each call returns, or the name of the OSError that it raises."""
    found: list[object] = []
    for call in calls:
        try:
            found.append(call())
        except OSError as error:
            found.append(type(error).__name__)
    return found


# Signals


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGUSR1, signal.SIGRTMAX])
def test_a_fatal_signal_is_the_status_of_the_dead(number: int, lab: Lab) -> None:
    """Who is killed is a zombie until its parent waits, once, and has died of that signal."""
    pid = lab.start()
    seen: list[object] = [lab.state(pid), lab.wait(pid), lab.kill(pid, number)]
    seen += [lab.state(pid), lab.wait(pid), lab.state(pid), *answers(lambda: lab.wait(pid))]

    assert seen == ["running", None, None, "zombie", -number, "gone", "ChildProcessError"]


@pytest.mark.parametrize("number", [0, signal.SIGCONT, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH])
def test_a_signal_that_asks_or_says_nothing_changes_nothing(number: int, lab: Lab) -> None:
    """Signal 0 and those that are nothing by default leave the worker as it was."""
    pid = lab.start()

    assert (lab.kill(pid, number), lab.state(pid), lab.wait(pid)) == (None, "running", None)


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_a_zombie_takes_every_signal_in_peace(number: int, lab: Lab) -> None:
    """A signal to a zombie is no error, and changes neither its state nor its status."""
    pid = lab.start()
    lab.exit(pid, 3)

    assert (lab.state(pid), lab.kill(pid, number), lab.state(pid), lab.wait(pid)) == ("zombie", None, "zombie", 3)


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGKILL, -1, 65])
def test_nobody_takes_no_signal(number: int, lab: Lab) -> None:
    """For a pid that nobody bears every signal is an error, also what is none."""
    pid = lab.start()
    lab.exit(pid, 0)
    assert lab.wait(pid) == 0

    assert answers(lambda: lab.kill(pid, number)) == ["ProcessLookupError"]


@pytest.mark.parametrize(("number", "answer"), [(-1, "OSError"), (0, None), (64, None), (65, "OSError")])
def test_the_signals_are_those_from_0_to_64(number: int, answer: str | None, lab: Lab) -> None:
    """What is beyond is refused, and hurts nobody; a zombie takes it no more than the living."""
    pid, zombie = lab.start(ignores={64}), lab.start()
    lab.exit(zombie, 0)
    assert lab.state(zombie) == "zombie"

    assert answers(lambda: lab.kill(pid, number), lambda: lab.kill(zombie, number)) == [answer, answer]
    assert lab.state(pid) == "running"


def test_who_ignores_sigterm_dies_of_sigkill(lab: Lab) -> None:
    """An ignored signal does nothing, then and later; SIGKILL can't be ignored."""
    pid = lab.start(ignores={signal.SIGTERM})
    seen: list[object] = [lab.kill(pid, signal.SIGTERM), lab.state(pid), lab.kill(pid, signal.SIGKILL)]

    assert [*seen, lab.state(pid), lab.wait(pid)] == [None, "running", None, "zombie", -signal.SIGKILL]


def test_a_blocked_signal_waits_until_it_is_unblocked(lab: Lab) -> None:
    """A blocked SIGTERM does nothing until it is unblocked, whatever else is; then the worker dies of it."""
    pid = lab.start(blocks={signal.SIGTERM, signal.SIGUSR1})
    lab.kill(pid, signal.SIGTERM)
    seen = [lab.state(pid)]
    lab.unblock(pid, signal.SIGUSR1)
    seen.append(lab.state(pid))
    lab.unblock(pid, signal.SIGTERM)

    assert ([*seen, lab.state(pid)], lab.wait(pid)) == (["running", "running", "zombie"], -signal.SIGTERM)


def test_who_blocks_and_ignores_a_signal_survives_it(lab: Lab) -> None:
    """A signal that is blocked and ignored does nothing once it is unblocked."""
    pid = lab.start(blocks={signal.SIGTERM}, ignores={signal.SIGTERM})
    lab.kill(pid, signal.SIGTERM)
    lab.unblock(pid, signal.SIGTERM)

    assert lab.state(pid) == "running"


def test_who_blocks_everything_is_stopped_and_killed_all_the_same(lab: Lab) -> None:
    """SIGSTOP and SIGKILL can't be blocked."""
    pid = lab.start(blocks=signal.valid_signals())
    seen: list[object] = []
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
        lab.kill(pid, number)
        seen.append(lab.state(pid))

    assert (seen, lab.wait(pid)) == (["running", "stopped", "running", "zombie"], -signal.SIGKILL)


def test_who_is_stopped_takes_sigterm_when_it_goes_on(lab: Lab) -> None:
    """A stopped worker takes SIGTERM when it is continued."""
    pid = lab.start()
    seen = []
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT):
        lab.kill(pid, number)
        seen.append(lab.state(pid))

    assert (seen, lab.wait(pid)) == (["stopped", "stopped", "stopped", "zombie"], -signal.SIGTERM)


def test_who_is_stopped_dies_of_sigkill_at_once(lab: Lab) -> None:
    """A stopped worker dies of SIGKILL without being continued, also where SIGTERM came first."""
    pid = lab.start()
    lab.kill(pid, signal.SIGSTOP)
    assert lab.state(pid) == "stopped"
    for number in (signal.SIGTERM, signal.SIGKILL):
        lab.kill(pid, number)

    assert (lab.state(pid), lab.wait(pid)) == ("zombie", -signal.SIGKILL)


def test_what_pends_comes_in_the_order_of_the_numbers(lab: Lab) -> None:
    """Of several signals that pend the lowest comes first, and is what the worker dies of."""
    pid = lab.start()
    lab.kill(pid, signal.SIGSTOP)
    assert lab.state(pid) == "stopped"
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCONT):
        lab.kill(pid, number)

    assert (lab.state(pid), lab.wait(pid)) == ("zombie", -signal.SIGHUP)


def test_a_stop_that_pends_is_taken_back(lab: Lab) -> None:
    """SIGCONT takes back a blocked stop that pends."""
    pid = lab.start(blocks={signal.SIGTSTP})
    seen = []
    for number in (signal.SIGTSTP, signal.SIGCONT):
        lab.kill(pid, number)
        seen.append(lab.state(pid))
    lab.unblock(pid, signal.SIGTSTP)

    assert [*seen, lab.state(pid)] == ["running", "running", "running"]


def test_a_stop_that_can_be_ignored_is(lab: Lab) -> None:
    """Who ignores SIGTSTP is not stopped by it, and is by SIGSTOP."""
    pid = lab.start(ignores={signal.SIGTSTP})
    seen = []
    for number in (signal.SIGTSTP, signal.SIGSTOP):
        lab.kill(pid, number)
        seen.append(lab.state(pid))

    assert seen == ["running", "stopped"]


# Ends of their own


@pytest.mark.parametrize(("given", "status"), [(0, 0), (3, 3), (255, 255), (256, 0), (-1, 255)])
def test_an_exit_status_is_a_byte(given: int, status: int, lab: Lab) -> None:
    """Of what a worker exits with the kernel keeps the lowest byte."""
    pid = lab.start()
    lab.exit(pid, given)

    assert (lab.state(pid), lab.wait(pid)) == ("zombie", status)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_is_the_status_of_the_dead(number: int, lab: Lab) -> None:
    """Who crashes has died of that signal."""
    pid = lab.start()
    lab.crash(pid, number)

    assert (lab.state(pid), lab.wait(pid)) == ("zombie", -number)


# Parents and children


def test_only_its_parent_waits_for_a_process(lab: Lab) -> None:
    """A grandchild is nobody's child but its parent's: who waits for another's, or for itself, is told so."""
    worker = lab.start()
    child, other = lab.start(parent=worker), lab.start()
    lab.exit(child, 3)
    assert lab.state(child) == "zombie"

    assert answers(lambda: lab.wait(child), lambda: lab.wait(child, by=other)) == ["ChildProcessError"] * 2
    assert (lab.state(child), lab.wait(child, by=worker), lab.state(child)) == ("zombie", 3, "gone")


def test_a_living_grandchild_is_waited_for_by_its_parent_alone(lab: Lab) -> None:
    """A wait for somebody who lives is None to the parent, and an error to everybody else."""
    worker = lab.start()
    child = lab.start(parent=worker)

    assert (lab.parent(child), lab.wait(child, by=worker)) == (worker, None)
    assert answers(lambda: lab.wait(child)) == ["ChildProcessError"]


def test_an_orphan_lives_on_with_another_parent(lab: Lab) -> None:
    """Whose parent ends lives on, as the child of nobody whom we know; its end leaves us no zombie."""
    worker = lab.start()
    child = lab.start(parent=worker)
    lab.kill(worker, signal.SIGKILL)
    seen = [lab.state(worker), lab.state(child), lab.parent(child)]
    lab.kill(child, signal.SIGTERM)

    assert (seen, lab.state(child)) == (["zombie", "running", None], "gone")
    assert answers(lambda: lab.wait(child)) == ["ChildProcessError"]


def test_a_zombie_goes_with_its_parent(lab: Lab) -> None:
    """A zombie whose parent ends without having waited is gone."""
    worker = lab.start()
    child = lab.start(parent=worker)
    lab.exit(child, 3)
    seen = [lab.state(child)]
    lab.exit(worker, 0)

    assert [*seen, lab.state(worker), lab.state(child)] == ["zombie", "zombie", "gone"]


def test_whose_parent_ignores_sigchld_leaves_no_zombie(lab: Lab) -> None:
    """A child of who ignores SIGCHLD is gone when it ends, and can't be waited for."""
    worker = lab.start(ignores={signal.SIGCHLD})
    child = lab.start(parent=worker)
    lab.exit(child, 3)

    assert (lab.state(child), lab.state(worker)) == ("gone", "running")


def test_a_stopped_parent_keeps_its_zombies(lab: Lab) -> None:
    """A stopped parent's child that is killed is its zombie."""
    worker = lab.start()
    child = lab.start(parent=worker)
    lab.kill(worker, signal.SIGSTOP)
    lab.kill(child, signal.SIGKILL)

    assert (lab.state(worker), lab.state(child), lab.parent(child)) == ("stopped", "zombie", worker)


# The reaper


def test_a_reaped_worker_is_dead_by_sigkill(lab: Lab) -> None:
    """A reap kills its worker, which is a zombie then, and no other; the second one finds it gone."""
    pid, bystander = lab.start(), lab.start()
    reaper = lab.reaper()
    seen = [reaper.watch(pid), reaper.is_alive(pid), reaper(pid), reaper.is_over(pid), reaper(pid)]

    assert (seen, lab.state(pid), lab.wait(pid)) == ([True] * 5, "zombie", -signal.SIGKILL)
    assert lab.state(bystander) == "running"
    reaper.close()


@pytest.mark.parametrize("is_taken", [False, True])
def test_the_dead_are_not_watched_and_their_reap_is_done(*, is_taken: bool, lab: Lab) -> None:
    """A zombie, and a pid that nobody bears, can't be watched; a reap has nothing to do."""
    pid = lab.start()
    lab.exit(pid, 3)
    assert lab.state(pid) == "zombie"
    if is_taken:
        assert lab.wait(pid) == 3
    reaper = lab.reaper()

    assert (reaper.watch(pid), reaper(pid), reaper.watched()) == (False, True, [])
    assert lab.state(pid) == ("gone" if is_taken else "zombie")


def test_a_stopped_worker_is_reaped(lab: Lab) -> None:
    """A stopped worker is alive, and a reap kills it."""
    pid = lab.start()
    lab.kill(pid, signal.SIGSTOP)
    assert lab.state(pid) == "stopped"
    reaper = lab.reaper()

    assert (reaper.watch(pid), reaper(pid), lab.wait(pid)) == (True, True, -signal.SIGKILL)
    reaper.close()


def test_who_obeys_sigterm_needs_no_grace(lab: Lab) -> None:
    """With a grace a worker that obeys has died of SIGTERM."""
    pid = lab.start()
    reaper = lab.reaper(grace=GRACE)

    assert (reaper(pid), lab.wait(pid)) == (True, -signal.SIGTERM)
    reaper.close()


@pytest.mark.parametrize("way", ["ignores", "blocks", "stopped"])
def test_who_does_not_obey_sigterm_is_killed_when_the_grace_is_over(way: str, lab: Lab) -> None:
    """Who ignores SIGTERM, blocks it or is stopped lives until the grace is over, not a second less."""
    pid = lab.start(
        ignores={signal.SIGTERM} if way == "ignores" else (), blocks={signal.SIGTERM} if way == "blocks" else ()
    )
    if way == "stopped":
        lab.kill(pid, signal.SIGSTOP)
        assert lab.state(pid) == "stopped"
    reaper = lab.reaper(grace=GRACE, death_limit=STUBBORN)
    seen: list[object] = [reaper(pid), reaper(pid), lab.wait(pid)]
    lab.clock.advance_to(START + GRACE - 1)
    seen += [reaper(pid), reaper.grace_left(pid), lab.wait(pid)]
    lab.clock.advance_to(START + GRACE)
    seen += [reaper(pid), reaper.grace_left(pid), lab.wait(pid)]

    assert seen == [False, False, None, False, 1.0, None, True, 0.0, -signal.SIGKILL]
    reaper.close()


def test_a_worker_goes_with_its_tree(lab: Lab) -> None:
    """With `tree` children and grandchildren die with the worker; without it they live, as do bystanders."""
    outcomes = []
    for tree in (True, False):
        worker, bystander = lab.start(), lab.start()
        child = lab.start(parent=worker)
        grandchild = lab.start(parent=child)
        reaper = lab.reaper(tree=tree)
        outcomes.append((reaper(worker), [lab.state(pid) for pid in (worker, child, grandchild, bystander)]))
        reaper.close()

    assert outcomes == [
        (True, ["zombie", "gone", "gone", "running"]),
        (True, ["zombie", "running", "running", "running"]),
    ]


def test_a_stubborn_descendant_is_killed_after_the_grace(lab: Lab) -> None:
    """Where the worker obeys SIGTERM and its grandchild does not, the grandchild is killed after the grace."""
    worker = lab.start()
    child = lab.start(parent=worker)
    grandchild = lab.start(parent=child, ignores={signal.SIGTERM})
    reaper = lab.reaper(grace=GRACE, tree=True, death_limit=STUBBORN)
    seen: list[object] = [reaper(worker), lab.state(worker), lab.state(child), lab.state(grandchild)]
    lab.clock.advance_to(START + GRACE)

    assert seen == [False, "zombie", "gone", "running"]
    assert (reaper(worker), lab.state(grandchild)) == (True, "gone")
    reaper.close()


def test_who_left_the_tree_is_spared(lab: Lab) -> None:
    """Whose parent had ended before the reap descends from the worker no more."""
    worker = lab.start()
    child = lab.start(parent=worker)
    grandchild = lab.start(parent=child)
    lab.exit(child, 0)
    assert lab.wait(child, by=worker) == 0
    reaper = lab.reaper(tree=True)

    assert (reaper(worker), lab.state(worker), lab.state(grandchild)) == (True, "zombie", "running")
    reaper.close()


def test_the_descendants_are_the_living_that_are_not_known(lab: Lab) -> None:
    """A kernel finds children and grandchildren that live, without those that are known; of the dead, none."""
    worker, child_of_ours = lab.start(), lab.start()
    child, dead = lab.start(parent=worker), lab.start(parent=worker)
    grandchild = lab.start(parent=child)
    lab.exit(dead, 0)
    assert (lab.state(dead), lab.parent(child_of_ours)) == ("zombie", lab.kernel.own_pid)
    root = lab.kernel.incarnation(worker)

    def found(*known: int) -> set[int]:
        incarnations = list(lab.kernel.descendants(root, known.__contains__))
        for each in incarnations:
            each.close()
        return {each.pid for each in incarnations}

    assert (found(), found(child), found(child, grandchild)) == ({child, grandchild}, {grandchild}, set())
    lab.kill(worker, signal.SIGKILL)
    assert (lab.state(worker), found()) == ("zombie", set())
    root.close()


def test_with_collect_a_reaped_child_is_no_zombie(lab: Lab) -> None:
    """With `collect` nothing is left of a reaped child, and its status can't be had any more."""
    pid = lab.start()
    reaper = lab.reaper(collect=True)

    assert (reaper(pid), lab.state(pid)) == (True, "gone")
    assert answers(lambda: lab.wait(pid)) == ["ChildProcessError"]
    reaper.close()


def test_somebody_elses_child_is_not_collected(lab: Lab) -> None:
    """With `collect` a worker's child that is reaped is the worker's zombie."""
    worker = lab.start()
    child = lab.start(parent=worker)
    reaper = lab.reaper(collect=True)

    assert (reaper(child), lab.state(child), lab.wait(child, by=worker)) == (True, "zombie", -signal.SIGKILL)
    reaper.close()


@pytest.mark.parametrize("lab", ["fake"], indirect=True)
def test_a_reap_spares_the_next_bearer_of_a_pid(lab: FakeLab) -> None:
    """Where a watched life is over and its pid reused, a reap signals nobody until the pid is watched anew.

    On the fake alone: the next pid of the real kernel can only be chosen for the whole machine, where other programs
    would be given it.
    """
    pid = lab.start()
    reaper = lab.reaper(tree=True)
    assert reaper.watch(pid)
    former = lab.kernel.incarnation(pid)
    lab.exit(pid, 0)
    assert lab.wait(pid) == 0
    lab.start_again(pid)
    child = lab.start(parent=pid)
    told = answers(lambda: former.send_signal(signal.SIGKILL))
    seen: list[object] = [former.alive, reaper.is_over(pid), reaper(pid), lab.state(pid), lab.state(child)]
    former.close()

    assert (told, seen) == (["ProcessLookupError"], [False, True, True, "running", "running"])
    assert (reaper.watch(pid), reaper(pid), lab.wait(pid), lab.state(child)) == (True, True, -signal.SIGKILL, "gone")
    reaper.close()


@pytest.mark.parametrize("tree", [False, True])
def test_a_worker_that_is_not_ours_is_not_signalled(*, tree: bool, lab: Lab) -> None:
    """Without the permission every signal is an error, signal 0 too, and a reap has failed; the worker lives."""
    pid = lab.start_foreign()
    reaper = lab.reaper(tree=tree)
    with lab.unprivileged():
        told = answers(*(lambda number=number: lab.kill(pid, number) for number in (0, signal.SIGTERM, signal.SIGKILL)))
        told += [*answers(lambda: lab.kill(pid, 65)), reaper(pid), reaper.is_alive(pid)]

    assert (told, lab.state(pid)) == (["PermissionError"] * 3 + ["OSError", False, True], "running")
    reaper.close()
