"""The kernel, as far as a reaper needs one: who bears a pid, who descends from whom, and what became of a child."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

from timersim.clock import Clock
from timersim.incarnation import Incarnation


class Kernel(ABC):
    """What a reaper asks about processes: the machine's own kernel, or a fake of it."""

    @property
    @abstractmethod
    def own_pid(self) -> int:
        """The pid of the process in which the reaper lives, which it never signals."""

    @abstractmethod
    def incarnation(self, pid: int) -> Incarnation:
        """Returns the present incarnation of `pid`, a zombie's too; raises ProcessLookupError where there is none."""

    @abstractmethod
    def descendants(self, ancestor: Incarnation, is_known: Callable[[int], bool]) -> Iterable[Incarnation]:
        """Finds who lives and descends from `ancestor`, but those whose pid is known; none where it is over.

        The process in which the reaper lives is never among them.
        """

    @abstractmethod
    def collect(self, pid: int) -> None:
        """Takes the status of a child that has died, if it is one and has."""

    def hold(self, clock: Clock, what: str) -> AbstractContextManager[None]:
        """Surrounds the wait for deaths, of which `what` says whose; by default time passes in it."""
        return nullcontext()


class SystemKernel(Kernel):
    """The kernel of this machine.

    >>> kernel = SystemKernel()
    >>> with_pid = kernel.incarnation(kernel.own_pid)
    >>> with_pid.alive, [*kernel.descendants(with_pid, lambda pid: True)]
    (True, [])
    >>> with_pid.close()
    """

    @property
    def own_pid(self) -> int:
        return os.getpid()

    def incarnation(self, pid: int) -> Incarnation:
        return Incarnation.of(pid)

    def descendants(self, ancestor: Incarnation, is_known: Callable[[int], bool]) -> Iterable[Incarnation]:
        import psutil

        try:
            children = psutil.Process(ancestor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        if not ancestor.alive:
            return  # they may be those of the pid's next bearer
        for child in children:
            if child.pid == os.getpid() or is_known(child.pid):
                continue
            try:
                incarnation = Incarnation.of(child.pid)
            except ProcessLookupError:
                continue
            if child.is_running() and incarnation.alive:
                yield incarnation
            else:
                incarnation.close()

    def collect(self, pid: int) -> None:
        """Takes the status of a child that has died; it may have been taken already, or be somebody else's child."""
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return

    def hold(self, clock: Clock, what: str) -> AbstractContextManager[None]:
        """Lets virtual time stand still: a real process dies in real time."""
        return clock.hold(what)


SYSTEM_KERNEL = SystemKernel()
"""What a reaper asks unless it is given another one; it has no state."""
