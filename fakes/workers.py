"""A simulated process table: workers that live, are signalled and die as the kernel has it, in virtual time."""

import errno
import math
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Literal

from timersim.clock import Clock
from timersim.fakes.clock import VirtualClock
from timersim.fakes.life import FIRST_PID, IDLE, LAST_SIGNAL, STOPPING, UNCATCHABLE, Life
from timersim.incarnation import Incarnation
from timersim.kernel import Kernel

OWN_PID = FIRST_PID - 1
"""The pid of the simulated process that watches, unless another one is given."""

INIT_PID = 1

State = Literal["running", "stopped", "zombie", "gone"]

OnDeath = Callable[[int, int, int], object]
"""What is told of a death: the pid, the number of its incarnation, and its status."""


class StraySignalError(RuntimeError):
    """A signal that would have hit more than a worker: init, a group, everybody, or the watching process itself."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What became of a pid's latest incarnation: its state, and once it is over its status.

    The status is as `subprocess` gives it: 0 to 255 of its own, -9 for SIGKILL. It is None for the living, and for
    a pid that nobody has borne, which is "gone".
    """

    state: State
    exit_status: int | None = None


class FakeWorkers(Kernel):
    """A process table in virtual time, which answers signals and waits as the kernel of Linux does.

    A worker is known by its pid, and each life of a pid, an incarnation, by its number from 0. It is the `kernel` of
    a `ProcessReaper`, with which a server reaps simulated workers by the very code that kills real ones; its `kill` is
    what `os.kill` is. Nothing in it is real or random. `own_pid` is that of the process that watches, the parent of
    whoever is given no other. There are no sessions, process groups or threads, and a worker runs no code: what it
    does by itself, the test does for it.

    >>> from timersim import ProcessReaper
    >>> workers = FakeWorkers(VirtualClock())
    >>> pid = workers.start(ignores={signal.SIGTERM})
    >>> workers.kill(pid, signal.SIGTERM); workers.status(pid)
    WorkerStatus(state='running', exit_status=None)
    >>> ProcessReaper(kernel=workers)(pid), workers.status(pid), workers.wait(pid)
    (True, WorkerStatus(state='zombie', exit_status=-9), -9)
    """

    def __init__(self, clock: VirtualClock, *, own_pid: int = OWN_PID) -> None:
        self.astray: list[tuple[int, int]] = []
        """The signals that would have hit more than a worker, as (pid, number); none of them was sent."""
        self._clock = clock
        self._itself = Life(own_pid, 0, None)
        self._init = Life(INIT_PID, 0, None)
        self._latest: dict[int, Life] = {}
        self._present: dict[int, Life] = {}
        self._free = count(FIRST_PID)
        self._on_death: list[OnDeath] = []

    # Their lives

    def start(
        self,
        pid: int | None = None,
        parent: int | None = None,
        *,
        ignores: Collection[int] = (),
        blocks: Collection[int] = (),
        immortal: bool = False,
        owned: bool = True,
        dies_after: float | Mapping[int, float] = 0.0,
    ) -> int:
        """Starts a worker and returns its pid: a new one, or the given one, which is reused if it is free.

        `parent` is a living worker or 1 (init), by default the watching process. The worker ignores and blocks these
        signals; SIGKILL and SIGSTOP it can't, and naming them changes nothing. An immortal one is in an uninterruptible
        sleep until `make_mortal`. One that is not `owned` may not be signalled by us. `dies_after` is how many
        virtual seconds pass from a fatal signal to the death, or that by signals: `{SIGTERM: 5.0}` is at once
        for others. Raises ValueError for a pid that is borne or can't be, and for a parent that does not live.

        >>> workers = FakeWorkers(VirtualClock())
        >>> workers.start(), workers.start(pid=4242), workers.start(parent=4242)
        (5000001, 4242, 5000002)
        """
        bearer = self._itself if parent is None else self._living_parent(parent)
        _check_delays(dies_after)
        if pid is None:
            pid = next(self._free)
            while pid in self._latest or pid == self._itself.pid:
                pid = next(self._free)
        elif pid <= INIT_PID or pid == self._itself.pid:
            raise ValueError(f"a worker's pid is above 1 and not that of who watches: start(pid={pid!r})")
        elif pid in self._present:
            raise ValueError(f"a pid has one bearer until its status is taken: {pid} is {self.status(pid).state}")
        former = self._latest.get(pid)
        life = Life(pid, 0 if former is None else former.number + 1, bearer)
        if ignores:
            life.ignores = frozenset(ignores) - UNCATCHABLE
        if blocks:
            life.blocks = frozenset(blocks) - UNCATCHABLE
        life.immortal = immortal
        life.owned = owned
        life.dies_after = dies_after
        bearer.children[life] = None
        self._latest[pid] = self._present[pid] = life
        return pid

    def exit(self, pid: int, status: int = 0) -> None:
        """Ends a worker by itself; of `status` the kernel keeps the lowest byte.

        Raises ProcessLookupError where no living worker bears `pid`, and RuntimeError where it can't do
        anything by itself: it is stopped or immortal.
        """
        self._die(self._acting(pid), status & 0xFF)

    def crash(self, pid: int, number: int) -> None:
        """Ends a worker by a signal of its own making, such as SIGSEGV or SIGABRT, which none escapes.

        Raises what `exit` does, and ValueError for a signal that nobody dies of.
        """
        if not 0 < number <= LAST_SIGNAL or number in STOPPING or number in IDLE:
            raise ValueError(f"nobody crashes of signal {int(number)}")
        self._die(self._acting(pid), -number)

    def wait(self, pid: int, *, by: int | None = None) -> int | None:
        """Takes the status of a child of the watching process, or of the worker `by`: `waitpid` with WNOHANG.

        Returns None while the child lives; once it returned the status the pid is free. Raises
        ChildProcessError where there is no such child: only its parent waits for a process.

        >>> workers = FakeWorkers(VirtualClock())
        >>> pid = workers.start()
        >>> workers.wait(pid), workers.exit(pid, 3), workers.wait(pid), workers.status(pid).state
        (None, None, 3, 'gone')
        """
        life = self._present.get(pid)
        parent = self._itself if by is None else self._present.get(by)
        if life is None or parent is None or life.parent is not parent:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        if life.status is not None:
            self._free_pid(life)
        return life.status

    # Signals

    def kill(self, pid: int, number: int) -> None:
        """Does to workers what `os.kill` does to processes.

        Signal 0 is a question, and a zombie takes every signal in peace. Raises ProcessLookupError where nobody bears
        `pid`, OSError (EINVAL) for what is no signal, PermissionError for who is not ours. A pid of 1 or below and
        the watching process's own name no worker but init, groups and everybody: to ask is allowed, and a
        signal is not sent but noted in `astray` and raises StraySignalError.
        """
        life = self._present.get(pid)
        if life is None:
            if pid > INIT_PID and pid != self._itself.pid:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            self._refuse_stray(pid, number)
            return
        self._kill(life, number)

    def unblock(self, pid: int, number: int) -> None:
        """Has the worker block a signal no more; one that pends reaches it.

        Raises what `exit` does.
        """
        life = self._acting(pid)
        life.blocks -= {number}
        self._doom(life, life.deliver())

    def make_mortal(self, pid: int) -> None:
        """Ends the uninterruptible sleep of a worker; what was sent to it meanwhile reaches it.

        Raises ProcessLookupError where no living worker bears `pid`.
        """
        life = self._living(pid)
        life.immortal = False
        self._doom(life, life.fate or life.deliver())

    # What is known of them

    def status(self, pid: int) -> WorkerStatus:
        """Returns the state of the pid's latest incarnation, and its status where that is over."""
        life = self._latest.get(pid)
        if life is None:
            return WorkerStatus("gone")
        return WorkerStatus(self._state(life), life.status)

    def alive(self, pid: int) -> bool:
        """Returns whether a living worker bears `pid`: running or stopped, not a zombie."""
        life = self._present.get(pid)
        return life is not None and life.status is None

    def incarnation_number(self, pid: int) -> int:
        """Returns the number of the pid's latest incarnation, from 0; ProcessLookupError where there was none."""
        if pid not in self._latest:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return self._latest[pid].number

    def table(self) -> list[tuple[int, int, State]]:
        """Lists who bears a pid, zombies too, as (pid, parent's pid, state), in the order of their starts.

        >>> workers = FakeWorkers(VirtualClock())
        >>> child = workers.start(parent=workers.start())
        >>> workers.kill(5000001, signal.SIGKILL); workers.table()
        [(5000001, 5000000, 'zombie'), (5000002, 1, 'running')]
        """
        return [(life.pid, life.parent.pid, self._state(life)) for life in self._present.values() if life.parent]

    def on_death(self, callback: OnDeath) -> None:
        """Has `callback(pid, incarnation number, status)` called at the instant of each death, after the others.

        The worker is dead and its children are orphans by then.
        """
        self._on_death.append(callback)

    # What a reaper asks

    @property
    def own_pid(self) -> int:
        return self._itself.pid

    def incarnation(self, pid: int) -> Incarnation:
        life = self._present.get(pid)
        if life is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return _FakeIncarnation(self, life)

    def descendants(self, ancestor: Incarnation, is_known: Callable[[int], bool]) -> Iterable[Incarnation]:
        if not ancestor.alive:
            return []
        lineage = [self._present[ancestor.pid]]
        for life in lineage:
            lineage.extend(life.children)
        return [_FakeIncarnation(self, life) for life in lineage[1:] if life.status is None and not is_known(life.pid)]

    def collect(self, pid: int) -> None:
        try:
            self.wait(pid)
        except ChildProcessError:
            return

    # The insides

    def _signal(self, life: Life, number: int) -> None:
        """Signals this life, whoever bears its pid by now; ProcessLookupError where its status was taken."""
        if self._present.get(life.pid) is not life:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        self._kill(life, number)

    def _living(self, pid: int) -> Life:
        life = self._present.get(pid)
        if life is None or life.status is not None:
            raise ProcessLookupError(errno.ESRCH, f"no living worker bears pid {pid!r}")
        return life

    def _acting(self, pid: int) -> Life:
        """Returns the living worker, which is about to do something by itself."""
        life = self._living(pid)
        if life.stopped or life.immortal:
            hindrance = "stopped" if life.stopped else "immortal"
            raise RuntimeError(f"a worker that is {hindrance} does nothing by itself: pid={pid}")
        return life

    def _living_parent(self, pid: int) -> Life:
        if pid == INIT_PID:
            return self._init
        if pid == self._itself.pid:
            return self._itself
        if not self.alive(pid):
            raise ValueError(f"a parent lives: start(parent={pid!r})")
        return self._present[pid]

    def _state(self, life: Life) -> State:
        if life.status is None:
            return "stopped" if life.stopped else "running"
        return "zombie" if self._present.get(life.pid) is life else "gone"

    def _refuse_stray(self, pid: int, number: int) -> None:
        if number == 0:
            return
        self.astray.append((pid, int(number)))
        whom = {0: "its own group", INIT_PID: "init", -1: "everybody", self._itself.pid: "who watches"}
        raise StraySignalError(f"signal {int(number)} for {whom.get(pid, 'a group')}: kill({pid}, {int(number)})")

    def _kill(self, life: Life, number: int) -> None:
        if not 0 <= number <= LAST_SIGNAL:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not life.owned:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if number and life.status is None:
            self._doom(life, life.receive(number))

    def _doom(self, life: Life, number: int | None) -> None:
        """Has the worker die of a fatal signal: of several of that one of which it is dead first."""
        if number is None:
            return
        if life.immortal:
            life.fate = life.fate or number
            return
        delay = life.delay(number)
        if not delay:
            self._die(life, -number)
        elif life.due is None or self._clock.monotonic() + delay < life.due_at:
            self._die_later(life, number, delay)

    def _die_later(self, life: Life, number: int, delay: float) -> None:
        if life.due is not None:
            life.due.cancel()
        life.fate = number
        life.stopped = False
        life.due_at = self._clock.monotonic() + delay
        life.due = self._clock.call_later(delay, lambda: self._die(life, -number), name=f"pid {life.pid}: death")

    def _die(self, life: Life, status: int) -> None:
        """Ends a life: its children pass to init, and it is a zombie if somebody may want its status."""
        if life.due is not None:
            life.due.cancel()
        life.status = status
        orphans, life.children = life.children, {}
        for orphan in orphans:
            self._pass_to_init(orphan)
        assert life.parent is not None
        if life.parent is self._init or signal.SIGCHLD in life.parent.ignores:
            self._free_pid(life)
        for told in tuple(self._on_death):
            told(life.pid, life.number, status)

    def _pass_to_init(self, orphan: Life) -> None:
        orphan.parent = self._init
        self._init.children[orphan] = None
        if orphan.status is not None:
            self._free_pid(orphan)

    def _free_pid(self, life: Life) -> None:
        assert life.parent is not None
        del life.parent.children[life], self._present[life.pid]


class _FakeIncarnation(Incarnation):
    """By the life itself."""

    def __init__(self, workers: FakeWorkers, life: Life) -> None:
        self.pid = life.pid
        self._workers = workers
        self._life = life

    @property
    def alive(self) -> bool:
        return self._life.status is None

    def send_signal(self, number: int) -> None:
        self._workers._signal(self._life, number)

    def wait(self, clock: Clock, timeout: float) -> bool:
        """Waits in the time of `clock`, which passes."""
        return clock.wait(lambda _: self._life.status is not None, timeout)

    def close(self) -> None:
        """Nothing is held."""


def _check_delays(dies_after: float | Mapping[int, float]) -> None:
    for delay in dies_after.values() if isinstance(dies_after, Mapping) else (dies_after,):
        if not 0 <= delay < math.inf:
            raise ValueError(f"dies_after is a number of seconds of at least 0: dies_after={dies_after!r}")
