"""Tasks in virtual time, and the groups in which they live, pause and die together."""

import math
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Protocol

from greenlet import greenlet

from timersim.clock import Task


class TaskGroup:
    """Tasks that live, pause and die together, as the threads of one simulated process do.

    `on_error(task, error)` is told of an exception that leaves one of its tasks; without it the exception
    stops the run. A task belongs to the group in which it was made, as does what it spawns itself.
    `muted` is for ever: a process that was killed, whose tasks do nothing any more while they unwind.
    """

    __slots__ = ("deferred", "muted", "name", "on_error", "paused", "tasks")

    def __init__(self, name: str, on_error: "Callable[[Task, BaseException], None] | None" = None) -> None:
        self.name = name
        self.on_error = on_error
        self.paused = False
        self.muted = False
        self.tasks: dict[VirtualTask, None] = {}
        self.deferred: list[VirtualTask] = []


class Timed(Protocol):
    """What waits in the clock's heap for its instant; `_due` is its valid entry's serial."""

    _due: int | None

    @property
    def name(self) -> str: ...

    def _fire(self) -> None: ...


class Call:
    """A call that is due at an instant; `cancel` takes it back."""

    __slots__ = ("_due", "_name", "_target")

    def __init__(self, target: Callable[[], object], name: str = "") -> None:
        self._due: int | None = None
        self._target = target
        self._name = name

    @property
    def name(self) -> str:
        """Its name; unless it was given one, that of what it calls."""
        return self._name or str(getattr(self._target, "__qualname__", repr(self._target)))

    def cancel(self) -> None:
        """Takes the call back; nothing changes where it was made already."""
        self._due = None

    def _fire(self) -> None:
        self._target()


class Host(Protocol):
    """What a task needs of its scheduler."""

    @property
    def current(self) -> "VirtualTask | None": ...

    def make_ready(self, task: "VirtualTask") -> None: ...

    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool: ...


class VirtualTask(Task):
    """A task in virtual time."""

    __slots__ = (
        "_alive",
        "_answer",
        "_answers",
        "_due",
        "_error",
        "_greenlet",
        "_host",
        "_instant",
        "_turns",
        "daemon",
        "group",
        "name",
        "waits_for",
    )

    def __init__(self, host: Host, target: Callable[[], object], name: str, *, daemon: bool) -> None:
        self.name = name
        self.daemon = daemon
        self.group = current_group.get()
        self.waits_for = "its first turn"
        self._host = host
        self._due: int | None = None
        self._answer: object = None
        self._error: BaseException | None = None
        self._alive = True
        self._instant = -1
        self._turns = 0
        self._answers = 0
        self._greenlet = greenlet(target)
        self._greenlet.gr_context = copy_context()

    def __repr__(self) -> str:
        return f"<task {self.name!r} waits for {self.waits_for}>" if self._alive else f"<task {self.name!r} ended>"

    @property
    def alive(self) -> bool:
        return self._alive

    def join(self, timeout: float | None = None) -> None:
        if self._host.current is self:
            raise RuntimeError(f"a task can't join itself: {self.name!r}")
        self._host.wait(lambda _: not self._alive, math.inf if timeout is None else timeout)

    def _fire(self) -> None:
        self._answer = False
        self._host.make_ready(self)


current_group: ContextVar[TaskGroup | None] = ContextVar("timersim task group", default=None)
"""The group in which tasks are made; a task's own makes its tasks in the same."""
