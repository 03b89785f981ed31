"""Incarnations: one life of a process, never mistaken for the next one that comes to bear its pid."""

import errno
import math
import os
import select
import signal
import weakref
from abc import ABC, abstractmethod
from pathlib import Path

from timersim.clock import Clock


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
        self._close.atexit = False  # a watchdog that is a daemon may look at it to the end of the program
        self._poller = select.poll()
        self._poller.register(self._fd, select.POLLIN)

    @property
    def alive(self) -> bool:
        return not self._poller.poll(0)

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


def start_ticks(pid: int) -> int:
    """Returns when a process started, in ticks of the kernel since the boot; ProcessLookupError where there is none.

    From field 22 of /proc/PID/stat, proc_pid_stat(5).

    >>> start_ticks(os.getpid()) == start_ticks(os.getpid())
    True
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, "no such process", str(pid)) from None
    return int(stat.rpartition(")")[2].split()[19])
