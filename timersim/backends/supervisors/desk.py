"""The desk: the laboratory's end of the tasks that hang, what it hears of them, and how late."""

import os
import signal
import socket
import struct
from contextlib import suppress

from timersim.backends.private_path import SOCKET_PATH, PrivatePath
from timersim.backends.runs.run_delay import run_delay
from timersim.backends.supervisors.task import WORD_LIMIT, HangingTask
from timersim.clock import SystemClock
from timersim.fakes.waiting import HOLD_LIMIT

CREDENTIALS = struct.Struct("3i")
"""What SO_PEERCRED says: pid, uid, gid, of socket(7)."""


class RunningTask:
    """A task that has begun: its line, and the process that it runs in, by a pidfd.

    `is_over` once its line has ended; it `has_finished` where it said so before.
    """

    def __init__(self, number: int, line: socket.socket, pid: int, pidfd: int) -> None:
        self.number = number
        self.line = line
        self.pid = pid
        self.pidfd = pidfd
        self.is_over = False
        self.has_finished = False
        self.waited = 0.0
        self._waited_before = run_delay(pid)

    def tell(self, word: str) -> None:
        """Has it do what `word` says; it may be over."""
        with suppress(ConnectionError):
            self.line.send(word.encode())

    def signal(self, number: int) -> None:
        """Sends its process a signal; it may be gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def look(self) -> None:
        """Takes note of how long its process has been ready to run since it began, and had no processor."""
        self.waited = max(self.waited, run_delay(self.pid) - self._waited_before)


class Desk:
    """Where tasks report: it makes them, and hears when they begin, finish and end.

    `deafness` is by how many seconds something may have been heard later than it happened: for so long nobody listened,
    or so late was who did.
    """

    def __init__(self) -> None:
        self.deafness = 0.0
        self._clock = SystemClock()
        self._place = PrivatePath("desk", longest=SOCKET_PATH)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self._place.path)
        self._listener.listen()
        self._made = 0
        self._callers: dict[int, socket.socket] = {}
        self._running: dict[int, RunningTask] = {}
        self._processes: dict[int, int] = {}
        self._pidfds: list[int] = []
        self._heard_at = self._clock.monotonic()

    def make(self) -> HangingTask:
        """Returns a new task, for a supervisor to run."""
        self._made += 1
        return HangingTask(self._place.path, self._made)

    def hear(self, until: float) -> list[RunningTask]:
        """Waits until something happens, the monotonic clock's `until` at most; returns the tasks of which it did."""
        lines = {task.line.fileno(): task for task in self._running.values()}
        began = self._clock.monotonic()
        fds = [self._listener.fileno(), *self._callers, *lines]
        ready = self._clock.wait_readable(fds, max(0.0, until - began))
        now = self._clock.monotonic()
        away = began - self._heard_at if lines else 0.0
        self.deafness = max(self.deafness, away, 0.0 if ready else now - max(until, began))
        self._heard_at = now
        for task in lines.values():
            task.look()
        heard = [self._hear(lines[fd]) for fd in ready if fd in lines]
        callers = [self._begin(fd) for fd in ready if fd in self._callers]
        heard += [task for task in callers if task is not None]
        if self._listener.fileno() in ready:
            caller = self._listener.accept()[0]
            self._callers[caller.fileno()] = caller
        return heard

    def living(self) -> list[int]:
        """Returns the processes that have run tasks and live still, by their pidfds."""
        return [pidfd for pidfd in self._pidfds if self.lives(pidfd)]

    def lives(self, pidfd: int) -> bool:
        """Returns whether a process lives."""
        return not self._clock.wait_readable([pidfd], 0)

    def hosts(self, pidfd: int) -> bool:
        """Returns whether a task runs in a process."""
        return any(task.pidfd == pidfd for task in self._running.values())

    def kill(self, pidfd: int) -> bool:
        """Kills a process, and waits for its death; returns whether it lived till then."""
        if not self.lives(pidfd):
            return False
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:  # it has ended since
            return False
        self._clock.wait_readable([pidfd], HOLD_LIMIT)
        return True

    def end(self, seconds: float) -> int:
        """Lets the processes that have run tasks end by themselves, and kills the others; returns how many those were.

        This process is never one of them.
        """
        limit = self._clock.monotonic() + seconds
        while (living := self._others()) and self._clock.monotonic() < limit:
            self._clock.wait_readable(living[:1], limit - self._clock.monotonic())
        return sum(self.kill(pidfd) for pidfd in living)

    def close(self) -> None:
        """Gives back every descriptor; who hangs still is let go. A second time it does nothing."""
        for line in [self._listener, *self._callers.values(), *(task.line for task in self._running.values())]:
            line.close()
        while self._pidfds:
            os.close(self._pidfds.pop())
        self._place.close()

    def _others(self) -> list[int]:
        return [pidfd for pidfd in self.living() if pidfd != self._processes.get(os.getpid())]

    def _begin(self, fd: int) -> RunningTask | None:
        """Hears which task it is that calls, and knows its process by what the kernel says."""
        line = self._callers.pop(fd)
        pid = CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))[0]
        word = line.recv(WORD_LIMIT)
        pidfd = self._pidfd(pid, line) if word else None
        if pidfd is None:
            line.close()  # it was ended before it could say anything
            return None
        task = self._running[int(word)] = RunningTask(int(word), line, pid, pidfd)
        return task

    def _pidfd(self, pid: int, line: socket.socket) -> int | None:
        """Returns what stands for the process at the other end of `line`; None for one that was ended.

        Whose line is open and silent when its pidfd is there was alive by then, so the pid is borne by nobody else.
        """
        known = self._processes.get(pid)
        if known is not None and self.lives(known):
            return known
        try:
            found = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if not _is_silent(line):
            os.close(found)
            return None
        self._processes[pid] = found
        self._pidfds.append(found)
        return found

    def _hear(self, task: RunningTask) -> RunningTask:
        try:
            word = task.line.recv(WORD_LIMIT)
        except ConnectionError:
            word = b""
        if word == b"finished":
            task.has_finished = True
        task.is_over = True
        task.look()
        task.line.close()
        del self._running[task.number]
        return task


def _is_silent(line: socket.socket) -> bool:
    """Returns whether a line is open, and nothing is to be read from it."""
    try:
        line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False
