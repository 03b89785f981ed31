"""The kernel of a simulated run, for a `ProcessReaper`: its processes are the workers, and signals are recorded."""

import os
from collections.abc import Callable, Iterable

from timersim.clock import Clock
from timersim.fakes.run_workers import RunWorkers
from timersim.incarnation import Incarnation
from timersim.kernel import Kernel


class RunKernel(Kernel):
    """Knows the workers of a run as processes without children."""

    def __init__(self, workers: RunWorkers) -> None:
        self._workers = workers

    @property
    def own_pid(self) -> int:
        return os.getpid()

    def incarnation(self, pid: int) -> Incarnation:
        return WorkerIncarnation(self._workers, pid)

    def descendants(self, ancestor: Incarnation, is_known: Callable[[int], bool]) -> Iterable[Incarnation]:
        return ()

    def collect(self, pid: int) -> None:
        """Nothing is left of a worker whose status nobody took."""


class WorkerIncarnation(Incarnation):
    """One life of a worker."""

    def __init__(self, workers: RunWorkers, pid: int) -> None:
        self.pid = pid
        self._workers = workers
        self._life = workers.life(pid)
        if self._life is None:
            raise ProcessLookupError(pid)

    @property
    def alive(self) -> bool:
        return self._workers.life(self.pid) == self._life and self._workers.is_alive(self.pid)

    def send_signal(self, number: int) -> None:
        if self._workers.life(self.pid) != self._life:
            raise ProcessLookupError(self.pid)
        self._workers.kill(self.pid, number, self._life)

    def wait(self, clock: Clock, timeout: float) -> bool:
        return clock.wait(lambda _: not self.alive, timeout)

    def close(self) -> None:
        """Nothing is held."""
