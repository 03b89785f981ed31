"""The scheduler of virtual time: runs tasks one at a time, and jumps to the next due instant when all are blocked."""

import heapq
import math
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import NoReturn, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from timersim.fakes import hang_guard
from timersim.fakes.hang_guard import HangError
from timersim.fakes.tasks import TaskGroup, Timed, VirtualTask, current_group

SECOND = 1_000_000_000
"""Nanoseconds in a second: what the scheduler counts in."""

MAX_TURNS = 1_000
"""How often one task may run at one instant before it counts as spinning, where few others could have woken it."""

TURNS_FOR_EACH = 4
"""How often it may for each task that runs at that instant, where many do: a watchdog is woken by each worker."""

MAX_ANSWERS = 100_000
"""How often one task may wait at one instant for what is there already."""

MAX_TURNED = 2_000_000
"""How often all tasks together may run at one instant."""

MAX_FIRED = 200_000
"""How much may fall due at one instant."""

MAX_DEATHS = 100
"""How often a task is told to end, and how often it may ask the clock for more, before it counts as one that can't."""

EXACT = 9_000_000
"""Seconds of which a float can still tell the nanoseconds; of a date in this century it can't."""


_T = TypeVar("_T")
_E = TypeVar("_E", bound=BaseException | None)


class Deadlock(RuntimeError):
    """Nothing can happen any more, and the awaited thing has not."""


class SpinError(RuntimeError):
    """A task runs again and again at one instant, so time cannot go on."""


class Scheduler(ABC):
    """Tasks, what is due when, and the present instant, in nanoseconds from `start`."""

    def __init__(self, start: int) -> None:
        self._now = start
        self._serial = count()
        self._heap: list[tuple[int, int, Timed]] = []
        self._ready: deque[VirtualTask] = deque()
        self._tasks: dict[VirtualTask, None] = {}
        self._current: VirtualTask | None = None
        self._thread = threading.get_ident()
        self._running = False
        self._fired = self._turned = self._awake = 0
        self._compact_at = 64
        self._on_jump: Callable[[], None] | None = None
        self._hang: tuple[VirtualTask | None, HangError] | None = None
        self.choose: Callable[[int], int] | None = None
        """Which of `n` alternatives at one instant goes first: `choose(n)`, modulo n; None, as 0 always: the eldest.

        It is asked where n > 1: for tasks that are ready, those of paused groups left out; for what is due; and for
        what is due when an advance ends, where the last alternative is the driver, who called it: it then goes on
        first, and what is due waits for the next advance.
        """

    def spawn(self, target: Callable[[], object], *, name: str, daemon: bool = True) -> VirtualTask:
        self._refuse_the_muted()
        task = VirtualTask(self, target, name, daemon=daemon)
        if task.group is not None:
            if task.group.muted:
                raise RuntimeError(f"the group {task.group.name!r} was killed: what lives again is a new TaskGroup")
            task.group.tasks[task] = None
        self._tasks[task] = None
        self._ready.append(task)
        return task

    @property
    def current(self) -> VirtualTask | None:
        """The task that runs, None outside of any."""
        return self._current

    @property
    def tasks(self) -> list[VirtualTask]:
        """The tasks that have not ended, in the order of their making."""
        return list(self._tasks)

    @abstractmethod
    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        """Waits until `poll` is true, `timeout` seconds at most; returns whether it was."""

    def make_ready(self, task: VirtualTask) -> None:
        """Has the task run at this instant, after those that are ready already."""
        self._ready.append(task)

    @contextmanager
    def group(self, group: TaskGroup) -> Iterator[None]:
        """Makes tasks that are spawned in the block members of `group`."""
        token = current_group.set(group)
        try:
            yield
        finally:
            current_group.reset(token)

    def pause(self, group: TaskGroup) -> None:
        """Stops the group's tasks where they are; time goes on without them."""
        group.paused = True

    def resume(self, group: TaskGroup) -> None:
        """Lets the group's tasks go on; what fell due meanwhile happens now."""
        group.paused = False
        self._ready.extend(group.deferred)
        group.deferred.clear()

    def kill(self, group: TaskGroup, *, mute: bool = False) -> None:
        """Ends the group's tasks: each unwinds, so its `finally` blocks run, as at an exit or a SIGTERM.

        `mute` is for SIGKILL and `os._exit`, after which a process does nothing: its clock then refuses, with
        GreenletExit, all but the reading of time, and `is_muted` has its wire drop what it would send.
        """
        if self._current is not None and self._current in group.tasks:
            raise RuntimeError(f"a task can't end itself: {self._current.name!r}")
        group.muted = group.muted or mute
        self._end_all(list(group.tasks))

    @property
    def is_muted(self) -> bool:
        """Whether the caller is a task of a process that was killed, and only unwinds: nobody hears it any more."""
        task = self._current
        return task is not None and task.group is not None and task.group.muted and task._greenlet is getcurrent()

    def close(self) -> None:
        """Ends every task; each unwinds."""
        self._end_all(list(self._tasks))

    def _run(self, target: int | None, until: Callable[[], object] | None = None, *, with_driver: bool = False) -> bool:
        """Runs the world to `target` (None: to the end), or until `until()` holds; returns whether it does.

        `with_driver` makes the caller an alternative to what is due at `target`.
        """
        self._admit()
        try:
            self._enter()
            while True:
                self._settle()
                if until is not None and until():
                    return True
                due = self._next_due()
                if due is None or (target is not None and due > target):
                    break
                if self.choose is None:
                    self._fire(due, heapq.heappop(self._heap)[2])
                elif not self._fire_chosen(self.choose, due, with_driver=with_driver and due == target):
                    break
            if target is not None and target > self._now:
                self._jump(target)
            return until is not None and bool(until())
        except KeyboardInterrupt as interrupt:
            raise self._hang_of(None, interrupt) from None
        finally:
            self._running = False  # at once: in a call, a timeout's signal could come before it
            self._leave()

    def _fire(self, due: int, timed: Timed) -> None:
        """Sets the clock to the next due instant and lets happen what is due then."""
        if due > self._now:
            self._jump(due)
        self._fired += 1
        timed._due = None
        if self._fired > MAX_FIRED:
            raise SpinError(f"spins: {MAX_FIRED} things fell due at t={due / SECOND!r}; the next is {timed.name!r}")
        timed._fire()

    def _fire_chosen(self, choose: Callable[[int], int], due: int, *, with_driver: bool) -> bool:
        """Lets happen what is chosen of that which is due at an instant; returns False where that is the driver."""
        tied = sorted(entry for entry in self._heap if entry[0] == due and entry[2]._due == entry[1])
        alternatives = len(tied) + with_driver
        chosen = choose(alternatives) % alternatives if alternatives > 1 else 0
        if chosen < len(tied):
            self._fire(due, tied[chosen][2])
        return chosen < len(tied)

    def _jump(self, instant: int) -> None:
        """Sets the clock to a later instant, and the other hands with it."""
        self._fired = self._turned = self._awake = 0
        self._now = instant
        if self._on_jump is not None:
            self._on_jump()

    def _admit(self) -> None:
        """Raises RuntimeError where time can't be advanced now by the caller."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("virtual time has one thread: time is advanced from another one")
        if self._current is not None and self._current._greenlet is getcurrent():
            raise RuntimeError(f"time can't be advanced from inside a task: {self._current.name!r}; let it sleep")
        if self._running:
            raise RuntimeError("time is being advanced already: by a call of this clock")

    def _enter(self) -> None:
        self._running = True
        hang_guard.watch(self)

    def _leave(self) -> None:
        hang_guard.leave(self)
        if self._hang is not None:
            self._hang_of(None, HangError())

    @abstractmethod
    def _is_held_by(self, task: VirtualTask | None) -> bool:
        """Returns whether the task, or the driver, is in a `hold` of its own."""

    def _settle(self) -> None:
        """Runs all that can run at this instant."""
        while True:
            while self._ready:
                self._run_next()
            self._look_around()
            if not self._ready:
                return

    @abstractmethod
    def _look_around(self) -> None:
        """Makes ready who waits for something that is there."""

    def _run_next(self) -> None:
        """Lets the first of the ready tasks have its turn, or keeps it for when its group resumes."""
        if self.choose is not None and len(self._ready) > 1:
            self._choose_ready(self.choose)
        task = self._ready.popleft()
        if task.group is not None and task.group.paused:
            task.group.deferred.append(task)
        elif task._alive:
            self._turn(task)

    def _choose_ready(self, choose: Callable[[int], int]) -> None:
        """Puts the chosen of the tasks that can run before the others."""
        able = [task for task in self._ready if task._alive and (task.group is None or not task.group.paused)]
        if len(able) > 1:
            task = able[choose(len(able)) % len(able)]
            self._ready.remove(task)
            self._ready.appendleft(task)

    def _turn(self, task: VirtualTask) -> None:
        """Lets the task run until it blocks or ends."""
        if task._instant != self._now:
            task._instant, task._turns, task._answers = self._now, 0, 0
            self._awake += 1
        task._turns += 1
        self._turned += 1
        if self._turned > MAX_TURNED:
            raise SpinError(f"spins: tasks ran {MAX_TURNED} times at one instant; the next is {task.name!r}")
        if task._answers > MAX_ANSWERS:
            self._end(task, SpinError(f"spins: {task.name!r} waited {MAX_ANSWERS} times for what was there already"))
        elif task._turns > MAX_TURNS and task._turns > TURNS_FOR_EACH * self._awake:
            self._end(task, SpinError(f"spins: {task.name!r} ran {task._turns - 1} times at one instant"))
        else:
            self._switch(task)

    def counted(self, read: Callable[[], _T]) -> Callable[[], _T]:
        """Returns a reading of the time such that a task that does nothing but read is ended as spinning."""

        def reading() -> _T:
            task = self._current
            if task is not None and task._greenlet is getcurrent():
                self._count_answer(task)
            return read()

        return reading

    def _count_answer(self, task: VirtualTask | None) -> None:
        """Counts a wait that was over at once; the one too many gives the turn away, and the task is ended."""
        if task is not None:
            task._answers += 1
            if task._answers > MAX_ANSWERS:
                self._yield(task)

    def _switch(self, task: VirtualTask, thrown: BaseException | None = None) -> None:
        body = task._greenlet
        try:
            body.parent = getcurrent()
        except ValueError:
            raise RuntimeError(f"{task.name!r} can't be ended by a task that it is ending itself") from None
        outer, self._current = self._current, task
        error: BaseException | None = None
        try:
            if thrown is None:
                body.switch()
            else:
                body.throw(thrown)
        except BaseException as raised:
            error = raised
        finally:
            self._current = outer
        if self._hang is not None:
            hang = self._hang_of(task, error)
            if not body.dead and isinstance(hang, HangError):
                self._end(task, hang)
                return
            error = hang
        if body.dead:
            self._bury(task, error)
        elif error is not None:
            raise error  # an interrupt that came when the task had given its turn back

    def _hang_of(self, task: VirtualTask | None, error: _E) -> HangError | _E:
        """Returns the HangError of a task that the guard has accused, in the place of what has come of it."""
        if self._hang is None:
            return error
        hang_guard.disarm(self)
        (accused, hang), self._hang = self._hang, None
        if accused is not task:
            return error
        return hang if error is None else hang.with_traceback(error.__traceback__)

    def _bury(self, task: VirtualTask, error: BaseException | None) -> None:
        task._alive = False
        task._due = None
        self._tasks.pop(task, None)
        group = task.group
        if group is not None:
            group.tasks.pop(task, None)
        if group is not None and group.on_error is not None and isinstance(error, Exception | SystemExit):
            group.on_error(task, error)
            return
        if error is None or isinstance(error, SystemExit):
            return
        error.add_note(f"in task {task.name!r} at t={self._now / SECOND!r}")
        raise error

    def _end_all(self, tasks: Sequence[VirtualTask]) -> None:
        """Unwinds each of the tasks, and raises the first error afterwards."""
        errors: list[BaseException] = []
        hang_guard.watch(self)
        try:
            for task in tasks:
                try:
                    self._end(task)
                except Exception as error:
                    errors.append(error)
        finally:
            hang_guard.leave(self)
        if errors:
            raise errors[0]

    def _end(self, task: VirtualTask, error: BaseException | None = None) -> None:
        """Unwinds the task; `error`, or what its `finally` blocks raise, is then what has ended it."""
        if not task._alive:
            return
        if task is self._current:
            raise RuntimeError(f"a task can't end itself: {task.name!r}")
        if task._greenlet:
            try:
                self._unwind(task)
            except Exception:
                if error is None:
                    raise
        task._greenlet = greenlet(_nothing)
        if task.alive or error is not None:
            self._bury(task, error)

    def _unwind(self, task: VirtualTask) -> None:
        """Has the task end where it waits; raises RuntimeError where it catches that each time, and leaves it there."""
        body = task._greenlet
        task._answers = 0
        for _ in range(MAX_DEATHS):
            self._switch(task, GreenletExit())
            if body.dead:
                return
        self._bury(task, None)
        raise RuntimeError(f"{task.name!r} can't be ended: it catches GreenletExit, and goes on")

    def _task_of_caller(self) -> VirtualTask | None:
        task = self._current
        if task is not None:
            if task._greenlet is not getcurrent():
                raise RuntimeError(
                    "virtual time has one thread: this call comes from another one, or from inside a poll"
                )
            if task.group is not None and task.group.muted:
                self._refuse(task)
        return task

    def _refuse_the_muted(self) -> None:
        if self._current is not None and self.is_muted:
            self._refuse(self._current)

    def _refuse(self, task: VirtualTask) -> NoReturn:
        """Ends a muted task that asks for more; one that asks again and again has no more turn."""
        task._answers += 1
        if task._answers > MAX_DEATHS:
            task._greenlet.parent.switch()  # type: ignore[union-attr]  # as in _park
        raise GreenletExit

    def _block(self, task: VirtualTask, timeout: float, what: str) -> object:
        if not math.isinf(timeout):
            self._schedule(task, self._now + nanoseconds(timeout))
        return self._park(task, what)

    def _yield(self, task: VirtualTask) -> None:
        self._ready.append(task)
        self._park(task, "its turn")

    def _park(self, task: VirtualTask, what: str) -> object:
        task.waits_for = what
        task._greenlet.parent.switch()  # type: ignore[union-attr]  # who lets a task run is its parent
        if task._error is not None:
            error, task._error = task._error, None
            raise error
        return task._answer

    def _schedule(self, timed: Timed, due: int) -> None:
        serial = next(self._serial)
        timed._due = serial
        heapq.heappush(self._heap, (due, serial, timed))
        if len(self._heap) > self._compact_at:
            self._heap = [entry for entry in self._heap if entry[2]._due == entry[1]]
            heapq.heapify(self._heap)
            self._compact_at = 2 * len(self._heap) + 64

    def _next_due(self) -> int | None:
        heap = self._heap
        while heap:
            due, serial, timed = heap[0]
            if timed._due == serial:
                return due
            heapq.heappop(heap)
        return None

    def _describe_tasks(self) -> str:
        return ", ".join(map(repr, self._tasks)) or "there is no task"


def _nothing() -> None:
    """The body of a task that was ended before its first turn."""


def nanoseconds(seconds: float) -> int:
    """Converts to whole nanoseconds; a positive time is never none."""
    if not math.isfinite(seconds):
        raise ValueError(f"not a time in seconds: {seconds!r}")
    if seconds > EXACT:
        whole = int(seconds)
        return whole * SECOND + round((seconds - whole) * SECOND)
    return max(1, round(seconds * SECOND)) if seconds > 0 else 0
