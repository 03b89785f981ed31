"""Waiting in virtual time: for conditions and for real descriptors, and for real processes while time stands still."""

import math
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from timersim.fakes.loops import refuse_inside_a_loop
from timersim.fakes.scheduler import SECOND, Deadlock, Scheduler, nanoseconds
from timersim.fakes.tasks import VirtualTask

HOLD_LIMIT = 10.0
"""How many real seconds a real process may owe an answer while time stands still."""


class HoldTimeout(RuntimeError):
    """A real process owes an answer for longer than the limit, in real time."""


class Waiting(Scheduler):
    """What tasks wait for, and what waits outside of any task: then the world runs meanwhile."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._polls: dict[VirtualTask, Callable[[float], bool]] = {}
        self._readers: dict[VirtualTask, Sequence[int]] = {}
        self._holds: list[tuple[VirtualTask | None, str]] = []

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time can't go backwards: sleep({seconds!r})")
        task = self._task_of_caller()
        if self._is_held_by(task):
            time.sleep(seconds)
        elif task is None:
            refuse_inside_a_loop()
            self._run(self._now + nanoseconds(seconds), with_driver=True)
        elif seconds == 0:
            self._yield(task)
        else:
            self._block(task, seconds, "its sleep")

    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        task = self._task_of_caller()
        if poll(0):
            self._count_answer(task)
            return True
        if task is None:
            return self._wait_outside(lambda: poll(0), timeout)
        if self._is_held_by(task):
            return poll(min(timeout, HOLD_LIMIT)) or self._time_out(timeout)
        if timeout <= 0:
            self._yield(task)
        else:
            self._polls[task] = poll
            try:
                if self._block(task, timeout, "a condition"):
                    return True
            finally:
                self._polls.pop(task, None)
        return poll(0)

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        task = self._task_of_caller()
        ready = _readable(fds, 0)
        if ready:
            self._count_answer(task)
            return ready
        if task is None:
            self._wait_outside(lambda: _readable(fds, 0), timeout, fds)
        elif self._is_held_by(task):
            ready = _readable(fds, min(timeout, HOLD_LIMIT))
            if not ready:
                self._time_out(timeout)
            return ready
        elif timeout <= 0:
            self._yield(task)
        else:
            self._readers[task] = fds
            try:
                self._block(task, timeout, f"descriptors {list(fds)}")
            finally:
                self._readers.pop(task, None)
        return _readable(fds, 0)

    @contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """Lets time stand still while a real process owes an answer; `what` says who owes what.

        Waits inside the block are waits in real time, HOLD_LIMIT seconds at most; then HoldTimeout is raised. In a
        task's own block nothing else runs meanwhile; outside of tasks what real descriptors wake runs, and what
        is merely due does not.
        """
        hold = self._current, what
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)

    def _ask_polls(self) -> None:
        for task, poll in list(self._polls.items()):
            if task.group is not None and task.group.paused:
                continue
            try:
                if not poll(0):
                    continue
                task._answer = True
            except Exception as error:
                task._error = error
            self._wake(task, self._polls)

    def _ask_descriptors(self, seconds: float, also: Sequence[int] = ()) -> None:
        """Wakes the tasks whose descriptors are readable; waits up to `seconds` of real time for one."""
        waiting = {t: fds for t, fds in self._readers.items() if t.group is None or not t.group.paused}
        fds = [fd for wanted in waiting.values() for fd in wanted]
        ready = set(_readable([*fds, *also], seconds))
        for task, wanted in waiting.items():
            if ready.intersection(wanted):
                self._wake(task, self._readers)

    def _wake(
        self,
        task: VirtualTask,
        waiting: "dict[VirtualTask, Callable[[float], bool]] | dict[VirtualTask, Sequence[int]]",
    ) -> None:
        waiting.pop(task)
        task._due = None
        self._ready.append(task)

    def _run_held(self, fds: Sequence[int], limit: float, *, is_final: bool) -> None:
        """Waits in real time for one descriptor, and runs what it wakes; at the instant `limit` it may give up."""
        while (left := limit - time.monotonic()) > 0 and not self._ready and not _readable(fds, 0):
            self._ask_descriptors(left, fds)
        if left <= 0 and is_final:
            self._give_up()
        for _ in range(len(self._ready)):
            self._run_next()

    def _is_held_by(self, task: VirtualTask | None) -> bool:
        return bool(self._holds) and any(owner is task for owner, _ in self._holds)

    def _time_out(self, timeout: float) -> bool:
        """Returns False where a wait in real time had a limit of its own, and it was the shorter."""
        if timeout > HOLD_LIMIT:
            self._give_up()
        return False

    def _give_up(self) -> NoReturn:
        owed = "; ".join(what for _, what in self._holds)
        raise HoldTimeout(f"no answer within {HOLD_LIMIT} s of real time: {owed}")

    def _wait_outside(self, poll: Callable[[], object], timeout: float, fds: Sequence[int] = ()) -> bool:
        """Waits where no task does: in real time under a hold, else by letting virtual time pass."""
        if self._is_held_by(None):
            self._admit()
            try:
                self._enter()
                began = time.monotonic()
                while not poll():
                    if time.monotonic() - began >= timeout:
                        return False
                    self._run_held(fds, began + min(timeout, HOLD_LIMIT), is_final=timeout > HOLD_LIMIT)
            finally:
                self._running = False  # as in `_run`
                self._leave()
            return True
        target = None if math.isinf(timeout) else self._now + nanoseconds(timeout)
        if self._run(target, poll):
            return True
        if target is None:
            raise Deadlock(f"nothing can happen any more at t={self._now / SECOND!r}: {self._describe_tasks()}")
        return False

    def _run(self, target: int | None, until: Callable[[], object] | None = None, *, with_driver: bool = False) -> bool:
        owed = [what for owner, what in self._holds if owner is None]
        if owed:
            raise RuntimeError(f"time stands still while an answer is owed: {'; '.join(owed)}")
        return super()._run(target, until, with_driver=with_driver)

    def _look_around(self) -> None:
        if self._polls:
            self._ask_polls()
        if self._readers and not self._ready:
            self._ask_descriptors(0)

    def _bury(self, task: VirtualTask, error: BaseException | None) -> None:
        self._polls.pop(task, None)
        self._readers.pop(task, None)
        super()._bury(task, error)


def _readable(fds: Sequence[int], seconds: float) -> list[int]:
    """Returns the readable descriptors, waiting up to `seconds` of real time for the first."""
    if not fds:
        return []
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    ready = {fd for fd, _ in poller.poll(seconds * 1000)}
    return [fd for fd in fds if fd in ready]
