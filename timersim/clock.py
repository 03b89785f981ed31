"""The clock: what answers every question about time, and runs what takes time."""

import select
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

FD_SETSIZE = 1_024
"""Below it descriptors can be waited for in microseconds, with select; others in milliseconds, with poll."""

LONGEST_POLL = 1_000_000.0
"""Seconds of the longest single `poll`, which takes a C int of milliseconds; a longer wait makes several."""


class Task(ABC):
    """Something that runs beside its maker: a thread, or a task in virtual time."""

    name: str

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it has been started and has not ended."""

    @abstractmethod
    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended, `timeout` seconds at most (for ever by default)."""


class Clock(ABC):
    """What the timers of timersim ask about time; passed in, never patched in."""

    @abstractmethod
    def time(self) -> float:
        """Returns the wall clock, in seconds since the epoch; it may step."""

    @abstractmethod
    def monotonic(self) -> float:
        """Returns the monotonic clock, in seconds; it never steps."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Lets `seconds` pass."""

    @abstractmethod
    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        """Waits until `poll` is true, `timeout` seconds at most; returns whether it was.

        `poll(seconds)` blocks at most `seconds` and says whether the awaited thing is there.
        """

    @abstractmethod
    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        """Waits until one of the descriptors is readable, `timeout` seconds at most.

        Returns the readable ones in the order of `fds`; none of them after `timeout`.
        """

    @abstractmethod
    def spawn(self, target: Callable[[], object], *, name: str, daemon: bool = True) -> Task:
        """Starts `target` beside the caller and returns its task."""

    def hold(self, what: str) -> AbstractContextManager[None]:
        """Lets virtual time stand still in the block, while a real process owes an answer; `what` says which.

        A clock on which real time passes anyway has nothing to hold.
        """
        return nullcontext()


class SystemClock(Clock):
    """The clock of the machine, for production: real time, real threads.

    >>> SystemClock().wait(lambda seconds: True, timeout=60)
    True
    """

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        return poll(timeout)

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        end = time.monotonic() + timeout
        while not (ready := _readable(fds, min(max(0.0, timeout), LONGEST_POLL))):
            timeout = end - time.monotonic()
            if timeout <= 0:
                break
        return ready

    def spawn(self, target: Callable[[], object], *, name: str, daemon: bool = True) -> Task:
        return _ThreadTask(target, name, daemon)


class _ThreadTask(Task):
    def __init__(self, target: Callable[[], object], name: str, daemon: bool) -> None:  # noqa: FBT001 - private
        self.name = name
        self._target = target
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        """Runs the target; where the kernel lets it, with waits that end a tenth of a millisecond sooner."""
        with suppress(OSError):
            Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_bytes(b"1")
        self._target()


def _readable(fds: Sequence[int], seconds: float) -> list[int]:
    if max(fds, default=0) < FD_SETSIZE:
        return select.select(fds, [], [], seconds)[0]
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    ready = {fd for fd, _ in poller.poll(seconds * 1000)}
    return [fd for fd in fds if fd in ready]
