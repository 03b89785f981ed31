"""The reaper: ends a worker process, and never another one that came to bear its pid."""

import errno
import logging
import math
import os
import select
import signal
import weakref
from abc import ABC, abstractmethod
from typing import Protocol

from timersim.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

DEATH_LIMIT = 1.0
"""How many seconds a reap waits for the death of a signalled worker before it counts as failed."""


class NotReapableError(ValueError):
    """A worker that no server may signal: a pid of 1 or below, or the server's own."""


class Reaper(Protocol):
    """What ends a worker: returns True when the worker is gone, False when it is not."""

    def __call__(self, worker_id: int, /) -> bool: ...


class Incarnation(ABC):
    """One life of a process: its pid together with what tells it from the pid's next bearer."""

    pid: int

    @staticmethod
    def of(pid: int) -> "Incarnation":
        """Returns the present incarnation of `pid`; raises ProcessLookupError where there is none."""
        if hasattr(os, "pidfd_open"):
            try:
                return _PidfdIncarnation(pid)
            except OSError as error:
                if error.errno not in {errno.ENOSYS, errno.EPERM}:
                    raise
        return _PsutilIncarnation(pid)

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""

    @abstractmethod
    def send_signal(self, number: int) -> None:
        """Sends a signal to this life of the process alone; ProcessLookupError when it is over."""

    @abstractmethod
    def wait(self, clock: Clock, timeout: float) -> bool:
        """Waits for its end, `timeout` seconds at most; returns whether it ended."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what identified it; no other method may be called then."""


class _PidfdIncarnation(Incarnation):
    """By a pidfd (Linux 5.3): the kernel itself ties it to one life."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._close = weakref.finalize(self, os.close, self._fd)

    @property
    def alive(self) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return not poller.poll(0)

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self._fd, number)

    def wait(self, clock: Clock, timeout: float) -> bool:
        return bool(clock.wait_readable([self._fd], timeout))

    def close(self) -> None:
        self._close()


class _PsutilIncarnation(Incarnation):
    """By pid and start time, as psutil reads them: for systems without pidfd."""

    _POLL_INTERVAL = 0.01

    def __init__(self, pid: int) -> None:
        import psutil

        self.pid = pid
        self._psutil = psutil
        try:
            self._process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            raise ProcessLookupError(pid) from None

    @property
    def alive(self) -> bool:
        try:
            return self._process.is_running() and self._process.status() != self._psutil.STATUS_ZOMBIE
        except self._psutil.NoSuchProcess:
            return False

    def send_signal(self, number: int) -> None:
        try:
            self._process.send_signal(number)
        except self._psutil.NoSuchProcess:
            raise ProcessLookupError(self.pid) from None
        except self._psutil.AccessDenied as error:
            raise PermissionError(str(error)) from None

    def wait(self, clock: Clock, timeout: float) -> bool:
        for _ in range(math.ceil(timeout / self._POLL_INTERVAL)):
            if not self.alive:
                return True
            clock.sleep(self._POLL_INTERVAL)
        return not self.alive

    def close(self) -> None:
        """Nothing is held."""


class ProcessReaper:
    """Reaps processes of this machine, with SIGKILL unless told otherwise, each by its incarnation.

    `watch` ties a pid to the life that it has now; a reap signals that life or nobody.

    >>> import subprocess, sys
    >>> worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    >>> reaper = ProcessReaper()
    >>> reaper.watch(worker.pid), reaper(worker.pid), worker.wait()
    (True, True, -9)
    >>> reaper.close(); worker.stdin.close()
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._watched: dict[int, Incarnation] = {}

    def watch(self, pid: int) -> bool:
        """Ties `pid` to its present incarnation, unless the tied one still lives.

        Returns False where there is no such living process. Raises NotReapableError for a pid of 1 or
        below and for the pid of this process.
        """
        if pid <= 1 or pid == os.getpid():
            raise NotReapableError(f"only other processes with a pid above 1 can be reaped: pid={pid}")
        known = self._watched.get(pid)
        if known is not None and known.alive:
            return True
        self.forget(pid)
        try:
            incarnation = Incarnation.of(pid)
        except ProcessLookupError:
            return False
        if not incarnation.alive:
            incarnation.close()
            return False
        self._watched[pid] = incarnation
        return True

    def is_over(self, pid: int) -> bool:
        """Returns whether the life to which `pid` is tied is over."""
        known = self._watched.get(pid)
        return known is not None and not known.alive

    def watched(self) -> list[int]:
        """Returns the pids that are tied to a life."""
        return list(self._watched)

    def forget(self, pid: int) -> None:
        """Unties `pid`, if it is tied."""
        known = self._watched.pop(pid, None)
        if known is not None:
            known.close()

    def __call__(self, pid: int, number: int = signal.SIGKILL) -> bool:
        """Signals the watched incarnation of `pid` and sees it dead; returns whether it is gone.

        A pid that nobody watched is watched first. False: it would not die within DEATH_LIMIT, or we
        lack the permission. Raises NotReapableError as `watch` does.
        """
        if pid not in self._watched and not self.watch(pid):
            return True
        incarnation = self._watched[pid]
        try:
            if incarnation.alive:
                incarnation.send_signal(number)
        except ProcessLookupError:
            return True
        except PermissionError:
            logger.exception("No permission to kill pid=%s", pid)
            return False
        with self._clock.hold(f"pid {pid}: death"):
            return incarnation.wait(self._clock, DEATH_LIMIT)

    def close(self) -> None:
        """Unties every pid and gives their descriptors back."""
        for pid in list(self._watched):
            self.forget(pid)
