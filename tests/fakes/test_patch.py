"""Bending a stranger's modules: their names for time, threads, queues and `os.kill` become ours, and theirs again."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from timersim.fakes import SpinError, VirtualClock
from timersim.fakes.patch import PatchError, default_modules, patched
from timersim.memory_timer import MemoryTimerServer

START = 1_000_000.0


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock at START."""
    return VirtualClock()


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Makes an importable module of a source."""

    def make(source: str, name: str = "a_stranger") -> ModuleType:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, module.__dict__)
        return module

    return make


def no_kill(pid: int, number: int) -> None:
    """Kills nobody."""


Make = Callable[..., ModuleType]


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        ("import time", "time.time()"),
        ("import time", "time.monotonic()"),
        ("import time", "time.perf_counter()"),
        ("import time as t", "t.time()"),
        ("from time import time", "time()"),
        ("from time import time as now, sleep", "now()"),
        ("from time import monotonic", "monotonic()"),
        ("from time import perf_counter", "perf_counter()"),
    ],
)
def test_every_way_to_the_time_leads_to_the_clock(
    clock: VirtualClock, stranger: Make, source: str, expression: str
) -> None:
    """However a module came by the time, it is asked of the clock in the block, and of the machine outside."""
    module = stranger(source)

    with patched(["a_stranger"], clock, no_kill):
        inside = eval(expression, module.__dict__)
    outside = eval(expression, module.__dict__)

    assert (inside, abs(outside - START) > 1) == (START, True)


@pytest.mark.parametrize("name", ["time_ns", "monotonic_ns", "perf_counter_ns"])
@pytest.mark.parametrize("source", ["import time", "from time import time_ns, monotonic_ns, perf_counter_ns"])
def test_nanoseconds_are_the_clocks_too(clock: VirtualClock, stranger: Make, source: str, name: str) -> None:
    """The hands in nanoseconds are the clock's as well."""
    module = stranger(source)

    with patched(["a_stranger"], clock, no_kill):
        reading = (vars(module).get(name) or getattr(module.time, name))()

    assert reading == 10**15


@pytest.mark.parametrize(
    ("source", "call"),
    [("import time", "time.sleep(9)"), ("import time as t", "t.sleep(9)"), ("from time import sleep", "sleep(9)")],
)
def test_every_sleep_is_virtual(clock: VirtualClock, stranger: Make, source: str, call: str) -> None:
    """However a module came by `sleep`, it sleeps by the clock."""
    module = stranger(source)

    with patched(["a_stranger"], clock, no_kill):
        eval(call, module.__dict__)

    assert clock.monotonic() == START + 9


def test_what_else_a_module_offers_stays(clock: VirtualClock, stranger: Make) -> None:
    """The other names of the modules that are bent are those of the standard library."""
    module = stranger("import time, os, threading, queue")

    with patched(["a_stranger"], clock, no_kill):
        found = (module.time.strptime, module.os.getpid, module.threading.get_ident, module.queue.Empty)

    assert found == (time.strptime, os.getpid, threading.get_ident, queue.Empty)


@pytest.mark.parametrize(
    ("source", "prefix"), [("import threading", "threading."), ("from threading import Thread, Event, Lock", "")]
)
def test_threads_are_tasks(clock: VirtualClock, stranger: Make, source: str, prefix: str) -> None:
    """However a module came by its threads and locks, they are tasks of the clock and wait by it."""
    module = stranger(source)
    body = f"""
log = []
event, lock = {prefix}Event(), {prefix}Lock()
def body():
    with lock:
        log.append(event.wait(60))
{prefix}Thread(target=body, name="theirs").start()
"""

    with patched(["a_stranger"], clock, no_kill):
        exec(body, module.__dict__)
        names = [task.name for task in clock.tasks]
        clock.advance(60)

    assert (names, module.log) == (["theirs"], [False])


@pytest.mark.parametrize(("source", "prefix"), [("import queue", "queue."), ("from queue import Queue, Empty", "")])
def test_queues_wait_by_the_clock(clock: VirtualClock, stranger: Make, source: str, prefix: str) -> None:
    """However a module came by its queues, they wait by the clock."""
    module = stranger(source)

    with patched(["a_stranger"], clock, no_kill), pytest.raises(queue.Empty):
        eval(f"{prefix}Queue().get(timeout=60)", module.__dict__)

    assert clock.monotonic() == START + 60


@pytest.mark.parametrize(
    ("source", "call"),
    [("import os", "os.kill(7, 9)"), ("import os as o", "o.kill(7, 9)"), ("from os import kill", "kill(7, 9)")],
)
def test_a_kill_never_reaches_the_kernel(clock: VirtualClock, stranger: Make, source: str, call: str) -> None:
    """However a module came by `os.kill`, what it kills is told to us."""
    module, kills = stranger(source), list[tuple[int, int]]()

    with patched(["a_stranger"], clock, lambda pid, number: kills.append((pid, number))):
        eval(call, module.__dict__)

    assert kills == [(7, 9)]


EVERYTHING = """
import os, queue, threading, time, time as t
from os import kill
from queue import Queue, SimpleQueue
from threading import Condition, Event, Lock, RLock, Thread, Timer
from time import monotonic, perf_counter, sleep, time as now
"""


@pytest.mark.parametrize("error", [None, LookupError("lost")])
def test_everything_is_put_back(clock: VirtualClock, stranger: Make, error: Exception | None) -> None:
    """At the end of the block every name is what it was, also when the block raises."""
    module = stranger(EVERYTHING)
    before = dict(vars(module))

    try:
        with patched(["a_stranger"], clock, no_kill):
            changed = {name for name, value in before.items() if vars(module)[name] is not value}
            if error is not None:
                raise error
    except LookupError as raised:
        assert raised is error  # noqa: PT017 - it comes from the block above

    assert changed == before.keys() - {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__"}
    assert all(vars(module)[name] is value for name, value in before.items())
    assert vars(module).keys() == before.keys()


def test_everything_is_put_back_where_a_module_cannot_be_imported(clock: VirtualClock, stranger: Make) -> None:
    """A name that is no module is an error, and what was changed before it is put back."""
    module = stranger("from time import time")

    with pytest.raises(ModuleNotFoundError), patched(["a_stranger", "no_such_module_here"], clock, no_kill):
        raise AssertionError("the block ran")

    assert module.time is time.time


def test_modules_that_are_not_named_stay(clock: VirtualClock, stranger: Make) -> None:
    """Other modules, and those of the standard library, keep their names."""
    stranger("import time")
    other = stranger("import time; from os import kill", "another_stranger")
    standard = (time.time, time.sleep, os.kill, threading.Thread, threading.Event, queue.Queue, queue.threading)  # type: ignore[attr-defined]  # private

    with patched(["a_stranger"], clock, no_kill):
        untouched = (other.time, other.kill)
        inside = (time.time, time.sleep, os.kill, threading.Thread, threading.Event, queue.Queue, queue.threading)  # type: ignore[attr-defined]  # private

    assert (untouched, inside) == ((time, os.kill), standard)


def test_source_and_classes_stay_as_they_are(clock: VirtualClock, stranger: Make) -> None:
    """Only the names of the module change: what its classes are made of does not, and its own names stay."""
    module = stranger("import threading\nclass Lock:\n    pass\nfirst = 1\ndef time():\n    return 3\n")

    with patched(["a_stranger"], clock, no_kill):
        found: tuple[Any, ...] = (module.Lock.__name__, module.first, module.time())

    assert found == ("Lock", 1, 3)


def test_by_default_the_modules_of_a_servers_classes_are_bent(stranger: Make) -> None:
    """By default it is the module of the class and those of its bases, not the standard library's nor timersim's."""
    base = stranger("import abc\nclass Base(abc.ABC):\n    pass", "a_base").Base
    server = stranger("class Plain: pass", "a_stranger").Plain
    derived: Any = type("Derived", (server, base, MemoryTimerServer), {"__module__": "a_stranger"})
    vanished = type("Vanished", (server,), {"__module__": "no_such_module_here"})

    assert default_modules(derived.__new__(derived)) == ["a_stranger", "a_base"]
    assert default_modules(vanished()) == ["a_stranger"]
    assert default_modules(object()) == []


BINDS = """
import threading
import time

def default(now=time.time, *, pause=time.sleep):
    return now, pause

class Holder:
    now = time.time
    def method(self, read=time.monotonic):
        return read

class Worker(threading.Thread):
    pass
"""


@pytest.fixture
def binding(stranger: Callable[..., ModuleType]) -> ModuleType:
    """Returns a module that bound what it needs in every way there is."""
    return stranger(BINDS)


def test_defaults_and_class_attributes_are_bent_and_put_back(binding: ModuleType) -> None:
    """What a function or a class of the module holds of time is ours in the block, and its own after it."""
    clock = VirtualClock(start=500)
    before = (binding.default(), binding.Holder.now, binding.Holder().method())

    with patched([binding.__name__], clock, lambda pid, number: None):
        now, pause = binding.default()
        pause(5)
        assert (now(), binding.Holder.now(), binding.Holder().method()()) == (505, 505, 505)

    assert (binding.default(), binding.Holder.now, binding.Holder().method()) == before


def test_a_subclass_of_thread_is_refused_when_one_is_made(binding: ModuleType) -> None:
    """A module with a subclass of Thread may be bent; only who makes one is told that it stays in real time."""
    with patched([binding.__name__], VirtualClock(), lambda pid, number: None), pytest.raises(PatchError) as raised:
        binding.Worker()

    assert str(raised.value) == (
        f"{binding.__name__}.Worker is a subclass of threading.Thread, which stays in real time;"
        " let it have a thread (threading.Thread(target=…)) instead of being one"
    )
    assert not binding.Worker().is_alive()


def test_who_reads_the_time_and_does_nothing_else_is_ended(binding: ModuleType) -> None:
    """A loop until a time that never comes by itself is ended as spinning, and does not hang the world."""
    clock = VirtualClock(start=500)

    with patched([binding.__name__], clock, lambda pid, number: None):

        def busy() -> None:
            while binding.time.time() < 501:
                pass

        clock.spawn(busy, name="busy")
        with pytest.raises(SpinError, match=r"^spins: 'busy' waited 100000 times for what was there already"):
            clock.advance(5)
