"""The reaper: ends a worker process, and never another one that came to bear its pid."""

import logging
import signal
from typing import Protocol

from timersim.clock import Clock, SystemClock
from timersim.incarnation import Incarnation
from timersim.kernel import SYSTEM_KERNEL, Kernel
from timersim.process_tree import descendants, freeze

logger = logging.getLogger(__name__)

DEATH_LIMIT = 0.25
"""Seconds that a reap waits for the death after a signal; who is signalled so once more is not waited for again."""


class NotReapableError(ValueError):
    """A worker that no server may signal: a pid of 1 or below, or the server's own."""


class Reaper(Protocol):
    """What ends a worker: returns True when the worker is gone, False when it is not."""

    def __call__(self, worker_id: int, /) -> bool: ...


class _Quarry:
    """A watched worker: its incarnation, its descendants as far as they are known, and what was done to it."""

    __slots__ = ("awaited", "descendants", "escalates_at", "itself")

    def __init__(self, itself: Incarnation) -> None:
        self.itself = itself
        self.descendants: dict[int, Incarnation] = {}
        self.awaited = 0
        self.escalates_at: float | None = None

    def living(self) -> list[Incarnation]:
        """Returns who of them lives."""
        return [each for each in (self.itself, *self.descendants.values()) if each.alive]

    def close(self) -> None:
        """Gives back what identified them."""
        for each in (self.itself, *self.descendants.values()):
            each.close()


class ProcessReaper:
    """Reaps processes of this machine, each by its incarnation.

    `watch` ties a pid to the life that it has now; a reap signals that life or nobody. It is SIGKILL at once; with
    a `grace` of some seconds it is SIGTERM first, and SIGKILL when the grace is over. With `tree` the worker's
    descendants go with it, also those that it starts meanwhile; who has left the tree, as a daemon does, lives. A
    reaped child of this process stays a zombie till somebody waits for it, as `subprocess` and `multiprocessing`
    do; with `collect` the reaper does. It waits `death_limit` seconds for the death, of a whole tree together.
    `kernel` is whose processes they are: this machine's, or those of `timersim.fakes.FakeWorkers`.

    >>> import subprocess, sys
    >>> worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    >>> reaper = ProcessReaper()
    >>> reaper.watch(worker.pid), reaper(worker.pid), worker.wait()
    (True, True, -9)
    >>> reaper.close(); worker.stdin.close()
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        grace: float = 0.0,
        tree: bool = False,
        collect: bool = False,
        death_limit: float = DEATH_LIMIT,
        kernel: Kernel | None = None,
    ) -> None:
        if not grace >= 0:
            raise ValueError(f"grace is a number of seconds of at least 0: grace={grace!r}")
        self._clock = clock or SystemClock()
        self._grace = grace
        self._tree = tree
        self._collect = collect
        self._death_limit = death_limit
        self._kernel = kernel or SYSTEM_KERNEL
        self._watched: dict[int, _Quarry] = {}

    def watch(self, pid: int) -> bool:
        """Ties `pid` to its present incarnation, unless the tied one still lives.

        Returns False where there is no such living process. Raises NotReapableError for a pid of 1 or
        below and for the pid of this process.
        """
        if pid <= 1 or pid == self._kernel.own_pid:
            raise NotReapableError(f"only other processes with a pid above 1 can be reaped: pid={pid}")
        if self.is_alive(pid):
            return True
        self.forget(pid)
        try:
            incarnation = self._kernel.incarnation(pid)
        except ProcessLookupError:
            return False
        if not incarnation.alive:
            incarnation.close()
            return False
        self._watched[pid] = _Quarry(incarnation)
        return True

    def is_alive(self, pid: int) -> bool:
        """Returns whether `pid` is tied to a life, and that life goes on."""
        known = self._watched.get(pid)
        return known is not None and known.itself.alive

    def is_over(self, pid: int) -> bool:
        """Returns whether the life to which `pid` is tied is over, and those that a reap found to descend from it."""
        known = self._watched.get(pid)
        return known is not None and not known.living()

    def watched(self) -> list[int]:
        """Returns the pids that are tied to a life."""
        return list(self._watched)

    def forget(self, pid: int) -> None:
        """Unties `pid`, if it is tied."""
        known = self._watched.pop(pid, None)
        if known is not None:
            known.close()

    def __call__(self, pid: int, number: int | None = None) -> bool:
        """Signals the watched incarnation of `pid` and sees it dead; returns whether it is gone.

        A pid that nobody watched is watched first. With `number` it is that signal. False: it is not dead
        yet, or we lack the permission. Raises NotReapableError as `watch` does.
        """
        if pid not in self._watched and not self.watch(pid):
            return True
        quarry = self._watched[pid]
        if number is None:
            number = self._escalated(quarry)
        try:
            self._signal(quarry, number)
        except PermissionError:
            logger.exception("No permission to kill pid=%s", pid)
            return False
        if not self._see_dead(quarry, number):
            return False
        if self._collect:
            self._kernel.collect(pid)
        return True

    def grace_left(self, pid: int) -> float:
        """Returns for how many seconds the worker, that was told to end, may still do so before it is killed."""
        quarry = self._watched.get(pid)
        if quarry is None or quarry.escalates_at is None:
            return 0.0
        return max(0.0, quarry.escalates_at - self._clock.monotonic())

    def close(self) -> None:
        """Unties every pid and gives their descriptors back."""
        for pid in list(self._watched):
            self.forget(pid)

    def _escalated(self, quarry: _Quarry) -> int:
        """Returns what to signal now: 0, which is nothing, while a grace runs."""
        if not self._grace:
            return signal.SIGKILL
        now = self._clock.monotonic()
        if quarry.escalates_at is None:
            quarry.escalates_at = now + self._grace
            return signal.SIGTERM
        return signal.SIGKILL if now >= quarry.escalates_at else 0

    def _signal(self, quarry: _Quarry, number: int) -> None:
        """Signals who of them lives, the worker first; PermissionError where one may not be signalled."""
        if self._tree:
            find = freeze if number == signal.SIGKILL else descendants
            find(quarry.itself, quarry.descendants, self._kernel)
        refused: PermissionError | None = None
        for each in quarry.living():
            try:
                each.send_signal(number)
            except ProcessLookupError:
                continue  # it died by itself meanwhile
            except PermissionError as error:
                refused = error
        if refused is not None:
            raise refused

    def _see_dead(self, quarry: _Quarry, number: int) -> bool:
        """Waits for their deaths, the first time after this signal; returns whether all of them are gone."""
        if number not in {0, quarry.awaited}:
            quarry.awaited = number
            with self._kernel.hold(self._clock, f"pid {quarry.itself.pid}: death"):
                limit = self._clock.monotonic() + self._death_limit
                for each in quarry.living():
                    each.wait(self._clock, max(0.0, limit - self._clock.monotonic()))
        return not quarry.living()
