"""Who bears which pid in a run, and what becomes of a reap: the kernel's side of a simulated world."""

import errno
import os
from collections.abc import Callable
from itertools import count
from typing import Any

from timersim.fakes.life import FIRST_PID, IDLE, STOPPING
from timersim.lab.record import Attempted, Instant, Recorder

HARMLESS_SIGNALS = STOPPING | IDLE | {0}
"""What does not end a worker that does nothing about it."""


class RunWorkers:
    """The workers of one run by their pids. A reap is answered as the kernel would, and recorded.

    `end(worker)` is what ends a living worker and returns whether it is gone. Where it `leaves_zombies`, as simulated
    workers do, one that was reaped is a zombie for the rest of that instant: the kernel takes a second signal.
    `reached` is called before and after each reap, with the point of a pass that it is.
    """

    def __init__(
        self, recorder: Recorder, end: Callable[[int], bool] = lambda worker: True, *, leaves_zombies: bool = True
    ) -> None:
        self._recorder = recorder
        self._end = end
        self._leaves_zombies = leaves_zombies
        self.reached: Callable[[str], None] = lambda point: None
        self._lives: dict[Any, tuple[int, int]] = {}
        self._pids: dict[int, Any] = {}
        self._reaped_at: dict[tuple[int, int], Instant] = {}

    def start(self, worker: int, pid: int | None = None, *, is_chosen: bool = False) -> int:
        """Starts a new incarnation, which bears `pid`, by default one that nobody has borne.

        Where that `is_chosen` by the schedule, who bore it before is recorded; what a real kernel happens to give is
        no part of a trace.
        """
        if pid is None:
            pid = next(pid for pid in count(FIRST_PID + len(self._lives)) if pid not in self._lives)
        self._recorder.started(worker, self._lives.get(pid) if is_chosen else None)
        self._lives[pid] = worker, self._recorder.incarnation(worker)
        self._pids[worker] = pid
        return pid

    def pid(self, worker: int) -> int:
        """Returns the pid of the worker's latest incarnation."""
        return self._pids[worker]  # type: ignore[no-any-return]  # keyed by what `start` returned

    def life(self, pid: Any) -> tuple[int, int] | None:
        """Returns the worker and the incarnation that bears or bore `pid`, None for a stranger."""
        return self._lives.get(pid)

    def is_alive(self, pid: Any) -> bool:
        """Returns whether a living worker bears `pid`."""
        life = self._lives.get(pid)
        return life is not None and self._recorder.alive(life[0]) and self._recorder.incarnation(life[0]) == life[1]

    def reap(self, worker_id: Any, life: tuple[int, int] | None = None) -> bool:
        """Ends the worker with this pid; returns whether it is gone, which one that nobody bears is.

        With a `life`, that one alone: ProcessLookupError where its pid has passed to another.
        """
        self.reached("reaping")
        if life is not None and self.life(worker_id) != life:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        is_gone = self._reap(worker_id)
        self.reached("reaped")
        return is_gone

    def _reap(self, worker_id: Any) -> bool:
        life = self._lives.get(worker_id)
        if life is None:
            self._recorder.add(Attempted, None, None, _stranger(worker_id), "gone")
            return True
        worker, incarnation = life
        if self.is_alive(worker_id):
            return self._reap_living(worker, incarnation)
        outcome = "reaped" if self._is_zombie(life) else "gone"
        self._recorder.add(Attempted, worker, incarnation, f"worker {worker}", outcome)
        return True

    def kill(self, pid: int, number: int, life: tuple[int, int] | None = None) -> None:
        """Does what `os.kill` does, to the workers of this run alone; every other target is recorded, never hit.

        A question (signal 0) and a signal that ends nobody are no attempts.
        """
        exists = self._exists(pid)
        is_attempt = number not in HARMLESS_SIGNALS or (number != 0 and pid not in self._lives)
        if is_attempt and not self.reap(pid, life):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if not exists:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def _exists(self, pid: int) -> bool:
        """Returns whether the kernel would take a signal for `pid`: also for a zombie, for itself, and for groups."""
        life = self._lives.get(pid)
        if life is None:
            return pid <= 1 or pid == os.getpid()
        return self.is_alive(pid) or self._is_zombie(life)

    def _is_zombie(self, life: tuple[int, int]) -> bool:
        return self._leaves_zombies and self._reaped_at.get(life) == self._recorder.now()

    def _reap_living(self, worker: int, incarnation: int) -> bool:
        target = f"worker {worker}"
        try:
            is_gone = self._end(worker)
        except Exception:  # recorded, and raised on: what a server makes of it is what is tested
            self._recorder.add(Attempted, worker, incarnation, target, "raised")
            raise
        if not (self._recorder.alive(worker) and self._recorder.incarnation(worker) == incarnation):
            self._recorder.add(Attempted, worker, incarnation, target, "gone")  # it took its time, and the worker died
            return True
        self._recorder.add(Attempted, worker, incarnation, target, "reaped" if is_gone else "failed")
        if is_gone:
            self._reaped_at[worker, incarnation] = self._recorder.now()
            self._recorder.died(worker, "reaped")
        return is_gone


def _stranger(worker_id: Any) -> str:
    """Names a target that is no worker, without a number that differs from run to run."""
    if worker_id == os.getpid():
        return "the server itself"
    if isinstance(worker_id, int) and worker_id > 1:
        return "a process that is no worker"
    return f"pid {worker_id}" if isinstance(worker_id, int) else f"{worker_id!r}"
