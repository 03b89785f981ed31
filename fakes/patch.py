"""Bending somebody else's modules to our time: their names `time`, `threading`, `queue` and `os.kill` become ours."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.threads import VirtualQueues, VirtualThreading

Kill = Callable[[int, int], None]


@contextmanager
def patched(modules: Sequence[str], clock: VirtualClock, kill: Kill) -> Iterator[None]:
    """Until the end of the block, the named modules see `clock`, tasks for threads, and `kill` for `os.kill`.

    Only the names in these modules change, whatever they are called there: `import time as t` and
    `from time import sleep` are found. Source and classes stay as they are.

    >>> import types, sys
    >>> module = sys.modules["stranger"] = types.ModuleType("stranger")
    >>> exec("from time import time as now", module.__dict__)
    >>> with patched(["stranger"], VirtualClock(start=1_000_000), lambda pid, number: None):
    ...     module.now()
    1000000.0
    """
    replacements = _replacements(clock, kill)
    changed: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in map(import_module, modules):
            _refuse_threads(module)
            for name, value in list(vars(module).items()):
                replacement = replacements.get(id(value))
                if replacement is not None:
                    changed.append((module, name, value))
                    setattr(module, name, replacement)
        yield
    finally:
        for module, name, value in reversed(changed):
            setattr(module, name, value)


class PatchError(TypeError):
    """A module that cannot be bent to our time; the text says why."""


def _refuse_threads(module: ModuleType) -> None:
    """Refuses a class that is a real thread: its base is bound to real time."""
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, threading.Thread) and value.__module__ == module.__name__:
            raise PatchError(
                f"{module.__name__}.{name} is a subclass of threading.Thread, which stays in real time;"
                " let it have a thread (threading.Thread(target=…)) instead of being one"
            )


def default_modules(server: object) -> list[str]:
    """Returns the modules of a server's class and of its bases, without the standard library's and timersim's.

    Of a class the same; of a function that makes a server, the module in which it is written.
    """
    if isinstance(server, FunctionType):
        names = [server.__module__]
    else:
        kind = server if isinstance(server, type) else type(server)
        names = [base.__module__ for base in kind.__mro__]
    return [n for n in dict.fromkeys(names) if n.partition(".")[0] not in _NEVER and n in sys.modules]


_NAMES = (
    *("kill", "Thread", "Timer", "Event", "Lock", "RLock", "Condition"),
    *("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"),
)
_NEVER = sys.stdlib_module_names | {"timersim"}


def _replacements(clock: VirtualClock, kill: Kill) -> dict[int, Any]:
    """Returns by the identity of each original what stands in for it."""
    threads, queues = VirtualThreading(clock), VirtualQueues(clock)
    times = {
        "time": clock.time,
        "monotonic": clock.monotonic,
        "perf_counter": clock.monotonic,
        "sleep": clock.sleep,
        "time_ns": lambda: clock.time_ns,
        "monotonic_ns": lambda: clock.monotonic_ns,
        "perf_counter_ns": lambda: clock.monotonic_ns,
    }
    faces: list[tuple[ModuleType, Any]] = [
        (time, _Face(time, times)),
        (os, _Face(os, {"kill": kill})),
        (threading, threads),
        (queue, queues),
    ]
    found = {id(module): face for module, face in faces}
    for module, face in faces:
        for name in (*times, *_NAMES):
            if hasattr(module, name) and getattr(face, name) is not getattr(module, name):
                found[id(getattr(module, name))] = getattr(face, name)
    return found


class _Face:
    """A module with some of its names replaced."""

    def __init__(self, module: ModuleType, names: dict[str, Any]) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
