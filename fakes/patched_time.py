"""Virtual time for code that takes no clock: what modules read of `time` and `datetime`, and their sleeps."""

import datetime
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.patch import Face, PatchError, bent, thread_replacements, time_replacements
from timersim.fakes.readings import Readings

_REAL = sys.stdlib_module_names | {
    *("timersim", "greenlet", "psutil", "freezegun", "dateutil"),
    *("pytest", "_pytest", "pluggy", "xdist", "hypothesis"),
}
"""What waits for real things, or times the tests themselves."""


@contextmanager
def patch_time(
    clock: VirtualClock, modules: Iterable[str | ModuleType], *, threads: bool = False
) -> Iterator[VirtualClock]:
    """Until the end of the block, the code of `modules` lives in the time of `clock`, which the block is given.

    There `time.time`, `monotonic`, `perf_counter` (each with `_ns`), `localtime`, `gmtime`, `ctime`, `asctime` and
    `strftime`, `datetime.now`, `utcnow` and `today`, and `date.today` read the clock. `time.sleep` blocks a task on it,
    and outside of any task advances it. With `threads`, `threading` and `queue` are the clock's too: threads are tasks.

    `modules` are modules or their names, each for itself: a package's name doesn't stand for its submodules. Nothing
    else changes, neither `time` itself nor any other module, so a call stack never decides what the time is.

    >>> import sys, types
    >>> module = sys.modules["night_watch"] = types.ModuleType("night_watch")
    >>> exec('''
    ... import time
    ... from datetime import datetime, timezone
    ... def watch(hours):
    ...     time.sleep(3600 * hours)
    ...     return datetime.now(timezone.utc)
    ... ''', module.__dict__)
    >>> with patch_time(VirtualClock(start=1_000_000_000), ["night_watch"]):
    ...     print(module.watch(hours=8))
    2001-09-09 09:46:40+00:00

    What stays in real time:

    - The standard library, pytest, Hypothesis, psutil and timersim, which are refused as `modules`: `queue.get`,
      `Event.wait`, `Popen.wait(timeout=…)`, `psutil.wait_procs` and `asyncio.sleep` wait for real things, as long as
      they say. Hypothesis's deadline counts real milliseconds. A child process lives in real time.
    - CPU time (`process_time`, `thread_time`), `clock_gettime`, and what C extensions ask themselves.
    - What was taken out of a module before the block: an attribute of an instance, an item of a list or a dict. What
      the module itself holds is found whatever its name, `real = time.perf_counter` too; who wants real time asks
      `timersim.SystemClock().monotonic()`.
    - A class of the module's own that is a subclass of datetime: `Stamp.now()`.

    What `datetime` gives are plain `datetime.datetime` objects, good for pickles and databases, and local time is that
    of the machine's zone, as ever: `datetime.now().timestamp()` is `time.time()`. In the block `type(x) is datetime` is
    False, and `isinstance(x, datetime)` is as true as it was.
    A `freeze_time` of freezegun's goes around the block, not into it.

    Raises PatchError for a module that must stay in real time, and ValueError where `modules` is a single name. Where
    time can't pass, the code in the block raises rather than hangs: SpinError in a loop that reads the time at one
    instant and does not sleep (`while monotonic() < deadline`), RuntimeError for `time.sleep` in another thread (let
    it be a task: `threads=True`) or in a coroutine.
    """
    if isinstance(modules, str | ModuleType):
        raise ValueError(f"modules is a list of modules or of their names: modules={modules!r}")
    found = [_importable(module) for module in modules]
    readings = Readings(clock)
    replacements = [*time_replacements(clock, readings), *_date_replacements(clock, readings)]
    if threads:
        replacements += thread_replacements(clock)
    with bent(found, replacements):
        yield clock


def _importable(module: str | ModuleType) -> ModuleType:
    name = module if isinstance(module, str) else module.__name__
    if name.partition(".")[0] in _REAL:
        raise PatchError(
            f"{name} stays in real time, as the standard library, pytest, Hypothesis, psutil and timersim do:"
            " they wait for what is real, or time the tests; name the modules that call it"
        )
    return import_module(module) if isinstance(module, str) else module


def _date_replacements(clock: VirtualClock, readings: Readings) -> list[tuple[object, Any]]:
    """Returns what stands in for `datetime` and its two classes.

    What is a date or a datetime is freezegun's to say; the objects are plain ones. Its own are of no use where nothing
    is frozen (a naive `timestamp()` raises IndexError), and an hour wrong in the hour that a zone repeats.
    """
    from freezegun.api import FakeDateMeta, FakeDatetimeMeta, real_date, real_datetime

    class Dates(FakeDateMeta):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_date(*args, **kwargs)

    class Datetimes(FakeDatetimeMeta):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_datetime(*args, **kwargs)

    present = readings.counted(clock.time)

    class VirtualDate(real_date, metaclass=Dates):
        @classmethod
        def today(cls) -> Any:
            return real_date.fromtimestamp(present())

    class VirtualDatetime(real_datetime, metaclass=Datetimes):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real_datetime.fromtimestamp(present(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return real_datetime.fromtimestamp(present(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return real_datetime.fromtimestamp(present())

    face = Face(datetime, {"date": VirtualDate, "datetime": VirtualDatetime})
    return [(datetime, face), (datetime.date, VirtualDate), (datetime.datetime, VirtualDatetime)]
