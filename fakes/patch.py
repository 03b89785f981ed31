"""Bending somebody else's modules to our time: their `time`, `threading`, `queue`, `os.kill` and `open` become ours."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import BuiltinMethodType, CellType, FunctionType, ModuleType
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.fifo_open import opened_on
from timersim.fakes.loops import refuse_inside_a_loop
from timersim.fakes.readings import Readings
from timersim.fakes.threads import VirtualQueues, VirtualThreading

Kill = Callable[[int, int], None]


@contextmanager
def patched(modules: Sequence[str], clock: VirtualClock, kill: Kill) -> Iterator[None]:
    """Until the end of the block, the named modules see `clock`, tasks for threads, and `kill` for `os.kill`.

    Where they `open` a FIFO to read it they wait on the clock. Only what these modules hold changes, whatever it is
    called there: `import time as t`, `from time import sleep` and `def f(now=time.time)` are found. A subclass of
    Thread, which is bound to real time, raises PatchError when one is made.

    >>> import types, sys
    >>> module = sys.modules["stranger"] = types.ModuleType("stranger")
    >>> exec("from time import time as now", module.__dict__)
    >>> with patched(["stranger"], VirtualClock(start=1_000_000), lambda pid, number: None):
    ...     module.now()
    1000000.0
    """
    if not modules:
        yield  # as with timersim's own servers: nothing needs to be made to stand in
        return
    replacements = [*time_replacements(clock), *thread_replacements(clock), (os.kill, kill)]
    found = [import_module(name) for name in modules]
    with opened_on(clock, found), bent(found, [*replacements, (os, Face(os, {"kill": kill}))]):
        yield


@contextmanager
def bent(modules: Iterable[ModuleType], replacements: Iterable[tuple[object, Any]]) -> Iterator[None]:
    """Until the end of the block, `modules` hold of each pair (original, replacement) the replacement.

    Where they hold it: as names, as attributes of their classes, as defaults of their functions, and in the functions'
    closures, which is where a dataclass keeps `field(default_factory=time.time)`.
    """
    found = {id(original): replacement for original, replacement in replacements}
    undo: list[Callable[[], None]] = []
    try:
        for module in modules:
            holders: list[ModuleType | type] = [module, *_own_classes(module)]
            for holder in holders:
                undo += _bend(holder, module.__name__, found)
        yield
    finally:
        for step in reversed(undo):
            step()


def _own_classes(module: ModuleType) -> list[type]:
    return [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]


def _bend(holder: ModuleType | type, module: str, replacements: dict[int, Any]) -> Iterator[Callable[[], None]]:
    """Replaces what a module or a class of it holds; yields how each is put back."""
    threads_bent = id(threading.Thread) in replacements
    for name, value in list(vars(holder).items()):
        held = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        replacement = _in_place_of(held, replacements)
        if isinstance(value, type) and issubclass(value, threading.Thread) and value.__module__ == module:
            replacement = _refused(value) if threads_bent else None
        if replacement is not None:
            # a function of ours would take the instance for its first argument, where a builtin does not
            bound = isinstance(holder, type) and isinstance(replacement, FunctionType)
            yield partial(setattr, holder, name, value)
            setattr(holder, name, staticmethod(replacement) if bound else replacement)
        elif isinstance(held, FunctionType) and held.__module__ == module:
            yield from _bend_function(held, replacements)


def _bend_function(function: FunctionType, replacements: dict[int, Any]) -> Iterator[Callable[[], None]]:
    """Replaces what a function holds by its defaults and its closure; yields how each is put back."""
    positional, named = function.__defaults__, function.__kwdefaults__
    values = (*(positional or ()), *(named or {}).values())
    if any(_in_place_of(value, replacements) is not None for value in values):
        yield partial(setattr, function, "__defaults__", positional)
        yield partial(setattr, function, "__kwdefaults__", named)
        function.__defaults__ = positional and tuple(_or_itself(value, replacements) for value in positional)
        function.__kwdefaults__ = named and {key: _or_itself(value, replacements) for key, value in named.items()}
    for cell in function.__closure__ or ():
        value = _contents(cell)
        replacement = _in_place_of(value, replacements)
        if replacement is not None:
            yield partial(setattr, cell, "cell_contents", value)
            cell.cell_contents = replacement


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty still
        return None


def _in_place_of(value: object, replacements: dict[int, Any]) -> Any:
    """Returns what stands in for `value`, None where nothing does.

    `datetime.now` is a new object each time that somebody asks for it, so it is known by its owner.
    """
    if isinstance(value, BuiltinMethodType) and isinstance(value.__self__, type):
        owner = replacements.get(id(value.__self__))
        return None if owner is None else getattr(owner, value.__name__)
    return replacements.get(id(value))


def _or_itself(value: object, replacements: dict[int, Any]) -> Any:
    replacement = _in_place_of(value, replacements)
    return value if replacement is None else replacement


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
    *("Thread", "Timer", "Event", "Lock", "RLock", "Condition"),
    *("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"),
)
_NEVER = sys.stdlib_module_names | {"timersim"}


def time_replacements(clock: VirtualClock, readings: Readings | None = None) -> list[tuple[object, Any]]:
    """Returns what stands in for `time` and for what it holds; what reads the time is counted by `readings`."""
    counted = (readings or Readings(clock)).counted
    wall, wall_ns = counted(clock.time), counted(lambda: clock.time_ns)
    monotonic, monotonic_ns = counted(clock.monotonic), counted(lambda: clock.monotonic_ns)

    def sleep(seconds: float, /) -> None:
        refuse_inside_a_loop()
        clock.sleep(seconds)

    times: dict[str, Callable[..., object]] = {"time": wall, "time_ns": wall_ns, "sleep": sleep}
    times |= {"monotonic": monotonic, "perf_counter": monotonic}
    times |= {"monotonic_ns": monotonic_ns, "perf_counter_ns": monotonic_ns}
    times |= _calendar(wall)
    return _pairs(time, Face(time, times), times)


def _calendar(now: Callable[[], float]) -> dict[str, Callable[..., object]]:
    """Returns the functions of `time` that read it where they are not given one."""

    def told(function: Callable[[float], object]) -> Callable[..., object]:
        return lambda seconds=None, /: function(now() if seconds is None else seconds)

    def local(fields: Any) -> Any:
        return time.localtime(now()) if fields is None else fields

    return {
        "localtime": told(time.localtime),
        "gmtime": told(time.gmtime),
        "ctime": told(time.ctime),
        "asctime": lambda fields=None, /: time.asctime(local(fields)),
        "strftime": lambda form, fields=None, /: time.strftime(form, local(fields)),
    }


def thread_replacements(clock: VirtualClock) -> list[tuple[object, Any]]:
    """Returns what stands in for `threading` and `queue`, and for what they hold."""
    threads, queues = VirtualThreading(clock), VirtualQueues(clock)
    return [*_pairs(threading, threads, _NAMES), *_pairs(queue, queues, _NAMES)]


def _pairs(module: ModuleType, face: Any, names: Iterable[str]) -> list[tuple[object, Any]]:
    """Returns the module with its face, and each of `names` that the face has otherwise."""
    found = [(getattr(module, name), getattr(face, name)) for name in names if hasattr(module, name)]
    return [(module, face), *((original, ours) for original, ours in found if ours is not original)]


class Face:
    """A module with some of its names replaced."""

    def __init__(self, module: ModuleType, names: dict[str, Any]) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
