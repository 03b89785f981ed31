"""Bending somebody else's modules to our time: their names `time`, `threading`, `queue` and `os.kill` become ours."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.threads import VirtualQueues, VirtualThreading

Kill = Callable[[int, int], None]


@contextmanager
def patched(modules: Sequence[str], clock: VirtualClock, kill: Kill) -> Iterator[None]:
    """Until the end of the block, the named modules see `clock`, tasks for threads, and `kill` for `os.kill`.

    Only the names in these modules change, whatever they are called there, and the defaults of their functions:
    `import time as t`, `from time import sleep` and `def f(now=time.time)` are found. A subclass of Thread, which is
    bound to real time, raises PatchError when one is made.

    >>> import types, sys
    >>> module = sys.modules["stranger"] = types.ModuleType("stranger")
    >>> exec("from time import time as now", module.__dict__)
    >>> with patched(["stranger"], VirtualClock(start=1_000_000), lambda pid, number: None):
    ...     module.now()
    1000000.0
    """
    replacements = _replacements(clock, kill)
    undo: list[Callable[[], None]] = []
    try:
        for module in map(import_module, modules):
            holders: list[ModuleType | type] = [module, *_own_classes(module)]
            for holder in holders:
                undo += _bend(holder, module.__name__, replacements)
        yield
    finally:
        for step in reversed(undo):
            step()


def _own_classes(module: ModuleType) -> list[type]:
    return [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]


def _bend(holder: ModuleType | type, module: str, replacements: dict[int, Any]) -> Iterator[Callable[[], None]]:
    """Replaces what a module or a class of it holds; yields how each is put back."""
    for name, value in list(vars(holder).items()):
        replacement = replacements.get(id(value))
        if isinstance(value, type) and issubclass(value, threading.Thread) and value.__module__ == module:
            replacement = _refused(value)
        if replacement is not None:
            yield partial(setattr, holder, name, value)
            setattr(holder, name, replacement)
        elif isinstance(value, FunctionType) and value.__module__ == module:
            yield from _bend_defaults(value, replacements)


def _bend_defaults(function: FunctionType, replacements: dict[int, Any]) -> Iterator[Callable[[], None]]:
    positional, named = function.__defaults__, function.__kwdefaults__
    if any(id(value) in replacements for value in (*(positional or ()), *(named or {}).values())):
        yield partial(setattr, function, "__defaults__", positional)
        yield partial(setattr, function, "__kwdefaults__", named)
        function.__defaults__ = positional and tuple(replacements.get(id(value), value) for value in positional)
        function.__kwdefaults__ = named and {key: replacements.get(id(value), value) for key, value in named.items()}


def _refused(thread: type) -> type:
    """Returns a class in place of a subclass of Thread, of which none can be made."""

    def refuse(*_: object, **__: object) -> None:
        raise PatchError(
            f"{thread.__module__}.{thread.__qualname__} is a subclass of threading.Thread, which stays in real time;"
            " let it have a thread (threading.Thread(target=…)) instead of being one"
        )

    return type(thread.__name__, (thread,), {"__init__": refuse})


class PatchError(TypeError):
    """A module that cannot be bent to our time; the text says why."""


def importable(modules: Sequence[str] | None) -> Sequence[str] | None:
    """Returns the modules that are to be bent; raises ValueError for a name that is none, before anything runs."""
    if isinstance(modules, str):
        raise ValueError(f"patch is a list of the names of modules: patch={modules!r}")
    for name in modules or ():
        try:
            import_module(name)
        except ImportError as error:
            raise ValueError(f"patch names a module that can't be imported: {error}") from None
    return modules


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
    wall, wall_ns = clock.counted(clock.time), clock.counted(lambda: clock.time_ns)
    monotonic, monotonic_ns = clock.counted(clock.monotonic), clock.counted(lambda: clock.monotonic_ns)
    times: dict[str, Callable[..., object]] = {"time": wall, "time_ns": wall_ns, "sleep": clock.sleep}
    times |= {"monotonic": monotonic, "perf_counter": monotonic}
    times |= {"monotonic_ns": monotonic_ns, "perf_counter_ns": monotonic_ns}
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
