"""The processes of a run in real time: who lives, who is being ended, and with which status each has to have died."""

import signal
from collections.abc import Callable

from timersim.backends.runs.recorded_reaper import RecordedReaper
from timersim.backends.wires.wire import wait_for
from timersim.backends.workers.pool import PoolError, Worker, WorkerPool
from timersim.clock import SystemClock


class RunProcesses:
    """The processes by their workers' numbers: they come from a pool, and after the run go back to it, alive or dead.

    Whoever ends a worker says in `dying` with which status it will end: the server may be faster with it.
    `longest_death` is how many seconds it took at most until one that was reaped was dead.
    """

    def __init__(self, pool: WorkerPool, reaper: RecordedReaper) -> None:
        self.dying: dict[int, int] = {}
        self.longest_death = 0.0
        self._pool = pool
        self._reaper = reaper
        self._clock = SystemClock()
        self._living: dict[int, Worker] = {}
        self._dead: list[tuple[int, Worker, tuple[int, ...]]] = []

    def __contains__(self, worker: int) -> bool:
        return worker in self._living

    def __getitem__(self, worker: int) -> Worker:
        return self._living[worker]

    def __setitem__(self, worker: int, process: Worker) -> None:
        self._living[worker] = process

    def reap(self, worker: int) -> bool:
        """Kills for real, with the library's own reaper; returns whether the worker is gone."""
        began = self._clock.monotonic()
        is_gone = self._reaper.kill(self[worker].pid)
        self.longest_death = max(self.longest_death, self._clock.monotonic() - began)
        if is_gone:
            self.see_dead(worker, -signal.SIGKILL, self.dying.get(worker, -signal.SIGKILL))
        return is_gone

    def see_dead(self, worker: int, *statuses: int) -> None:
        """Waits for the worker's end. Its status, one of these, is taken after the run."""
        process = self._living.pop(worker)
        wait_for(process.pidfd, f"worker {worker}: death")
        self._dead.append((worker, process, statuses))

    def give_back(self, is_paused: Callable[[int], bool]) -> None:
        """Gives the survivors back, and takes the statuses of the dead.

        Raises PoolError where somebody else has ended a worker.
        """
        for worker, process in self._living.items():
            if process.has_ended:
                raise PoolError(f"worker {worker} was ended by somebody else in the middle of a run")
            if is_paused(worker):
                process.signal(signal.SIGCONT)
            self._pool.give_back(process)
        for worker, process, statuses in self._dead:
            if (status := self._pool.bury(process)) not in statuses:
                raise PoolError(f"worker {worker} ended with status {status}, not {statuses[0]}")
