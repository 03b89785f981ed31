"""Virtual time for modules that take no clock: what they read, how they sleep, and what never hangs."""

import asyncio
import datetime
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

import timersim
from timersim.fakes import SimulatedWorld, SpinError, VirtualClock, patch_time, simulated_world
from timersim.fakes import readings as readings_module
from timersim.fakes import scheduler as scheduler_module
from timersim.fakes.patch import PatchError
from timersim.fakes.readings import Readings

START = 1_000_000_000
"""The ninth of September 2001, 01:46:40 UTC."""

UTC = datetime.UTC
Make = Callable[..., ModuleType]


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock at START."""
    return VirtualClock(START)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an importable module of a source."""

    def make(source: str, name: str = "a_module") -> ModuleType:
        made = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        exec(source, made.__dict__)
        return made

    return make


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The machine's zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def plain(moment: datetime.date) -> tuple[type, datetime.date]:
    """Returns a date or datetime with its exact type, which equality does not tell."""
    return type(moment), moment


# What is read


@pytest.mark.parametrize("source", ["import datetime", "import datetime as datetime"])
def test_a_module_with_datetime_reads_the_clock(clock: VirtualClock, module: Make, source: str) -> None:
    """Through the module `datetime`, a reading is the clock's in the block, and the machine's before and after."""
    made = module(source)

    with patch_time(clock, ["a_module"]):
        clock.advance(20)
        inside = made.datetime.datetime.now(UTC)
    outside = made.datetime.datetime.now(UTC)

    assert plain(inside) == (datetime.datetime, datetime.datetime(2001, 9, 9, 1, 47, tzinfo=UTC))
    assert outside.year > 2001
    assert made.datetime is datetime


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("from datetime import datetime, UTC", "datetime.now(UTC)"),
        ("from datetime import datetime as dt, UTC", "dt.now(tz=UTC)"),
        ("from datetime import datetime, UTC; now = datetime.now", "now(UTC)"),
        ("from datetime import datetime, UTC\ndef stamp(now=datetime.now): return now(UTC)", "stamp()"),
        (
            "from datetime import datetime, UTC\nfrom dataclasses import dataclass, field\n"
            "@dataclass\nclass Event:\n    at: datetime = field(default_factory=datetime.now)",
            "Event().at.astimezone(UTC)",
        ),
    ],
)
def test_every_way_to_datetime_leads_to_the_clock(clock: VirtualClock, module: Make, source: str, call: str) -> None:
    """However a module came by `datetime`, it reads the clock; afterwards everything is what it was."""
    made = module(source)
    before = dict(vars(made))

    with patch_time(clock, ["a_module"]):
        reading = eval(call, made.__dict__)

    assert plain(reading) == (datetime.datetime, datetime.datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC))
    assert eval(call, made.__dict__).year > 2001
    assert {name: value for name, value in vars(made).items() if before[name] is not value} == {}


def test_local_time_is_the_machines_zone(clock: VirtualClock, module: Make, zone: str) -> None:
    """What is naive is local, in every zone: all readings are of one instant."""
    made = module("import time; from datetime import date, datetime, UTC")
    here = datetime.datetime.fromtimestamp(START, ZoneInfo(zone)).replace(tzinfo=None)

    with patch_time(clock, ["a_module"]):
        readings = (
            made.datetime.now(),
            made.datetime.today(),
            made.datetime.now().astimezone(UTC),
            made.datetime.now().timestamp(),
            made.datetime.fromtimestamp(made.time.time()),
            made.datetime(*made.time.localtime()[:6]),
            made.time.mktime(made.datetime.now().timetuple()),
            made.time.ctime(),
            made.time.asctime(),
            made.time.strftime("%H:%M:%S"),
        )
        universal = (made.datetime.utcnow(), made.datetime(*made.time.gmtime()[:6]))

    at = datetime.datetime(2001, 9, 9, 1, 46, 40)
    text = here.ctime()
    assert readings == (here, here, at.replace(tzinfo=UTC), START, here, here, START, text, text, here.strftime("%X"))
    assert universal == (at, at)


def test_a_day_begins_at_midnight(clock: VirtualClock, module: Make, zone: str) -> None:
    """The date is the old one a microsecond before local midnight, and the new one at it and after."""
    made = module("from datetime import date, datetime")
    midnight = datetime.datetime(2001, 9, 10, tzinfo=ZoneInfo(zone)).timestamp()

    with patch_time(clock, [made]):
        clock.advance_ns(int(midnight) * 10**9 - clock.time_ns - 1000)
        days = [made.date.today()]
        for _ in range(2):
            clock.advance_ns(1000)
            days.append(made.date.today())

    assert list(map(plain, days)) == [(datetime.date, datetime.date(2001, 9, day)) for day in (9, 10, 10)]


def test_a_time_that_is_given_is_the_time(clock: VirtualClock, module: Make) -> None:
    """The functions of `time` that are told a time ask nobody: they give what they give outside of the block."""
    made = module("import time")
    given = [
        "time.localtime(0)",
        "time.gmtime(0)",
        "time.ctime(0)",
        "time.asctime(time.gmtime(0))",
        "time.strftime('%Y', time.gmtime(0))",
    ]

    outside = [eval(call, made.__dict__) for call in given]
    with patch_time(clock, [made]):
        inside = [eval(call, made.__dict__) for call in given]

    assert inside == outside


@pytest.mark.parametrize("microsecond", [0, 1, 100_000, 249_999, 250_000, 250_001, 700_000, 999_999])
@pytest.mark.parametrize("year", [1970, 2001, 2026, 2100])
def test_a_clock_started_at_a_moment_reads_that_moment(module: Make, year: int, microsecond: int) -> None:
    """A clock that starts at a moment's timestamp reads that very moment, to the microsecond, in all ways."""
    made = module("import time; from datetime import datetime, UTC")
    moment = datetime.datetime(year, 3, 4, 5, 6, 7, microsecond, tzinfo=UTC)

    with patch_time(VirtualClock(moment.timestamp()), [made]):
        seen = (made.datetime.now(UTC), made.datetime.utcnow().replace(tzinfo=UTC), made.time.time())

    assert seen == (moment, moment, moment.timestamp())


def test_an_hour_that_comes_twice_is_told_apart(module: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hour that a zone repeats, `now(tz)` and the naive `now()` are the right one of the two."""
    made = module("from datetime import datetime")
    second_half_past_two = datetime.datetime(2025, 10, 26, 1, 30, tzinfo=UTC).timestamp()
    berlin = ZoneInfo("Europe/Berlin")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        with patch_time(VirtualClock(second_half_past_two), [made]):
            moments = [made.datetime.now(berlin), made.datetime.now()]
            instants = [moment.timestamp() for moment in moments]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert [(moment.hour, moment.fold) for moment in moments] == [(2, 1), (2, 1)]
    assert instants == [second_half_past_two] * 2


def test_the_wall_clock_steps_and_monotonic_time_does_not(clock: VirtualClock, module: Make) -> None:
    """A step of the wall clock is seen by what reads it, and not by monotonic time."""
    made = module("import time; from datetime import datetime, UTC")

    with patch_time(clock, [made]):
        clock.step_wall(-40)
        seen = (made.time.time(), made.time.time_ns(), made.datetime.now(UTC), made.time.monotonic())

    assert seen == (START - 40, (START - 40) * 10**9, datetime.datetime(2001, 9, 9, 1, 46, tzinfo=UTC), START)


def test_freezegun_reads_the_same(module: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's zone is UTC, whatever freezegun can freeze reads the same at the same instant."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    expressions = [
        *("time.time()", "time.monotonic()", "time.perf_counter()", "time.monotonic_ns()", "time.perf_counter_ns()"),
        *("time.strftime('%c')", "time.localtime()[:8]", "time.gmtime()[:8]", "date.today()", "datetime.today()"),
        *("datetime.now()", "datetime.now(UTC)", "datetime.now(ZoneInfo('Asia/Tokyo'))", "datetime.utcnow()"),
        *("datetime.now().timestamp()", "datetime.fromtimestamp(7)", "datetime.fromisoformat('2001-01-01')"),
        *("datetime.min", "datetime.max", "date.min", "datetime.combine(date.today(), datetime.min.time())"),
        *("isinstance(real.now(), datetime)", "isinstance(real.today(), date)", "isinstance(7, datetime)"),
        *("issubclass(real, datetime)", "issubclass(datetime, date)", "issubclass(date, datetime)"),
    ]
    made = module(
        "import time; from datetime import date, datetime, UTC; from zoneinfo import ZoneInfo; import datetime as d\n"
        "real = type(datetime(2000, 1, 1))\n"
    )

    def read() -> list[Any]:
        return [eval(expression, made.__dict__) for expression in expressions]

    moment = datetime.datetime(2021, 3, 4, 5, 6, 7, 250_000)
    clock = VirtualClock(moment.replace(tzinfo=UTC).timestamp())
    with freeze_time(moment):
        frozen = read()
    with patch_time(clock, [made]):
        ours = read()

    assert dict(zip(expressions, ours, strict=True)) == dict(zip(expressions, frozen, strict=True))


def test_in_a_users_freeze_the_named_modules_read_the_clock(clock: VirtualClock, module: Make) -> None:
    """In freezegun's block the modules that are named read the clock, and what is frozen is so again after ours."""
    made = module("import time, datetime; from datetime import datetime as dt; from time import time as now")

    def years() -> tuple[int, ...]:
        return (
            made.dt.utcnow().year,
            made.datetime.datetime.utcnow().year,
            made.time.gmtime(made.now()).tm_year,
            made.time.gmtime().tm_year,
        )

    with freeze_time("2031-01-01"):
        with patch_time(clock, [made]):
            inner = years()
        frozen = years()

    assert (inner, frozen) == ((2001,) * 4, (2031,) * 4)
    assert (made.dt, made.datetime, made.now) == (datetime.datetime, datetime, time.time)


def test_what_datetime_gives_is_plain(clock: VirtualClock, module: Make) -> None:
    """What is made in the block is of the standard library's own types, so it outlives the block and can be pickled."""
    made = module("from datetime import date, datetime, timedelta")

    with patch_time(clock, [made]):
        moments = [
            made.datetime.now(),
            made.datetime(2001, 1, 1),
            made.datetime.now() + made.timedelta(1),
            made.datetime.fromisoformat("2001-01-01"),
            made.datetime.strptime("2001", "%Y"),
            made.datetime.combine(made.date(2001, 1, 1), made.datetime.min.time()),
        ]
        days = [made.date(2001, 1, 1), made.date.today(), made.datetime.now().date(), made.date.fromordinal(9)]
        assert all(isinstance(moment, made.datetime) and isinstance(moment, made.date) for moment in moments)
        assert [isinstance(day, made.datetime) for day in days] == [False] * 4

    assert ({type(m) for m in moments}, {type(d) for d in days}) == ({datetime.datetime}, {datetime.date})
    assert pickle.loads(pickle.dumps((moments, days))) == (moments, days)
    assert moments[0].timestamp() == START


def test_two_clocks_do_not_meet(module: Make) -> None:
    """Two modules live in two times at once."""
    first, second = module("import datetime"), module("import datetime", "another_module")

    with patch_time(VirtualClock(START), [first]), patch_time(VirtualClock(0), [second]):
        years = [made.datetime.datetime.now(UTC).year for made in (first, second, sys.modules[__name__])]

    assert years[:2] == [2001, 1970]
    assert years[2] > 2001


def test_a_reading_of_an_instance_takes_no_instance(clock: VirtualClock, module: Make) -> None:
    """A class's `now = time.time` is called through an instance as the builtin is, without the instance."""
    made = module(
        "import time\nclass Holder:\n"
        "    now, still, rest = time.time, staticmethod(time.monotonic), time.sleep\n"
        "    @staticmethod\n    def stamp(read=time.time): return read()\n"
    )
    before = dict(vars(made.Holder))

    with patch_time(clock, [made]):
        holder = made.Holder()
        holder.rest(5)
        seen = (holder.now(), made.Holder.now(), holder.still(), holder.stamp())

    assert seen == (START + 5,) * 4
    assert {n for n, value in vars(made.Holder).items() if before[n] is not value} == set()
    assert made.Holder.stamp() > START + 10**8


# Sleeping


def test_outside_of_tasks_a_sleep_advances_the_clock(clock: VirtualClock, module: Make) -> None:
    """Outside of any task a sleep lets time pass, and what falls due on the way happens at its instant."""
    made, log = module("import time"), list[float]()
    clock.call_later(3, lambda: log.append(made.time.time()))

    with patch_time(clock, [made]) as given:
        made.time.sleep(0)
        made.time.sleep(10)

    assert (given, log, clock.time()) == (clock, [START + 3], START + 10)


def test_in_a_task_a_sleep_blocks_the_task(clock: VirtualClock, module: Make) -> None:
    """In a task a sleep blocks the task alone: two that sleep meet in the order of their instants."""
    made = module("import time\nlog = []\ndef nap(n):\n    time.sleep(n)\n    log.append((n, time.monotonic()))\n")

    with patch_time(clock, [made]):
        for seconds in (60, 30):
            clock.spawn(partial(made.nap, seconds), name=f"nap {seconds}")
        clock.advance(60)

    assert made.log == [(30, START + 30), (60, START + 60)]


@pytest.mark.parametrize("seconds", [-1, -1e-9, float("nan")])
def test_a_sleep_that_is_none_is_an_error(clock: VirtualClock, module: Make, seconds: float) -> None:
    """What `time.sleep` refuses is refused, with the same kind of error, and no time passes."""
    made = module("import time")

    with pytest.raises(ValueError, match=r"."):
        time.sleep(seconds)
    with patch_time(clock, [made]), pytest.raises(ValueError, match=r"."):
        made.time.sleep(seconds)

    assert clock.time() == START


# Threads

POLLER = """
import queue, threading, time
log = []
def poll():
    for _ in range(3):
        time.sleep(30)
        log.append(time.monotonic())
class Own(threading.Thread):
    def run(self):
        log.append("ran")
"""


def test_with_threads_a_thread_is_a_task(clock: VirtualClock, module: Make) -> None:
    """With `threads`, threads and queues of the module are the clock's: they sleep and wait in its time."""
    made = module(POLLER)

    with patch_time(clock, [made], threads=True):
        made.threading.Thread(target=made.poll).start()
        with pytest.raises(made.queue.Empty):
            made.queue.Queue().get(timeout=70)
        with pytest.raises(PatchError, match=r"is a subclass of threading\.Thread"):
            made.Own()

    assert made.log == [START + 30, START + 60]
    assert clock.time() == START + 70


def test_without_threads_threads_are_real_and_may_not_sleep(clock: VirtualClock, module: Make) -> None:
    """Without `threads` a thread is a real one: it may read the time, and its sleep is an error that says why."""
    made, errors = module(POLLER), list[str]()

    def sleep() -> None:
        try:
            errors.append(repr(made.time.time()))
            made.time.sleep(1)
        except RuntimeError as error:
            errors.append(str(error))

    with patch_time(clock, [made]):
        assert made.threading is threading
        thread = threading.Thread(target=sleep)
        thread.start()
        thread.join(10)
        own = made.Own()
        own.start()
        own.join(10)

    assert errors == [repr(float(START)), "virtual time has one thread: time is advanced from another one"]
    assert made.log == ["ran"]


def test_what_a_real_thread_reads_is_not_the_tasks(
    clock: VirtualClock, module: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that waits for a real thread is not charged with the thread's readings, nor is its turn given away."""
    monkeypatch.setattr(scheduler_module, "MAX_ANSWERS", 3)
    made, seen = module("import time"), list[float]()

    def body() -> None:
        thread = threading.Thread(target=lambda: seen.extend(made.time.time() for _ in range(5)))
        thread.start()
        thread.join(10)
        made.time.sleep(1)

    with patch_time(clock, [made]):
        task = clock.spawn(body, name="theirs")
        clock.advance(1)

    assert (seen, task.alive) == ([START] * 5, False)


# What may be named


@pytest.mark.parametrize(
    "name",
    [
        *("subprocess", "asyncio.events", "psutil", "greenlet", "timersim.fakes.clock"),
        *("hypothesis.core", "pytest", "_pytest.runner", "pluggy", "xdist", "freezegun.api", "dateutil.tz"),
    ],
)
def test_what_waits_for_real_things_is_refused(clock: VirtualClock, module: Make, name: str) -> None:
    """Modules that must stay in real time are refused before anything is changed, by name and as modules."""
    made = module("import time")
    text = (
        f"{name} stays in real time, as the standard library, pytest, Hypothesis, psutil and timersim do:"
        " they wait for what is real, or time the tests; name the modules that call it"
    )

    for named in (name, ModuleType(name)):
        with pytest.raises(PatchError) as raised, patch_time(clock, [made, named]):
            raise AssertionError("the block ran")
        assert str(raised.value) == text
    assert made.time is time


@pytest.mark.parametrize("modules", ["a_module", sys.modules[__name__]])
def test_a_single_module_is_no_list(clock: VirtualClock, modules: Any) -> None:
    """A single name is not taken for a list of letters."""
    with pytest.raises(ValueError, match=r"^modules is a list of modules or of their names: modules="):
        patch_time(clock, modules).__enter__()


def test_a_module_that_is_none_is_an_import_error(clock: VirtualClock, module: Make) -> None:
    """A name that can't be imported raises what an import raises, and nothing is changed."""
    made = module("import time")

    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        patch_time(clock, [made, "no_such_module_here"]).__enter__()
    assert made.time is time


def test_modules_that_are_not_named_stay(clock: VirtualClock, module: Make) -> None:
    """Neither `time` and `datetime` themselves nor another module's names change, and no stack frame decides."""
    made = module("import time, datetime")
    other = module("import time, datetime\ndef read(): return time.time(), datetime.datetime.now()", "another_module")
    vars(made)["ask"], before = other.read, (time.time, time.sleep, datetime.datetime, datetime.date)

    with patch_time(clock, [made]):
        inside = (time.time, time.sleep, datetime.datetime, datetime.date)
        seconds, moment = made.ask()

    assert inside == before
    assert seconds > START + 10**8
    assert moment.year > 2001


# What would hang

HEAD = """
import sys, types
from timersim.fakes import SpinError, VirtualClock, patch_time
module = sys.modules["a_module"] = types.ModuleType("a_module")
exec(SOURCE, module.__dict__)
clock = VirtualClock()
with patch_time(clock, ["a_module"]):
    try:
        outcome = module.trap()
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
print(outcome, clock.monotonic() - 1_000_000.0)
"""


def lived(source: str, *, limit: float = 20) -> str:
    """Returns what `trap` of a module of this source gives, in a process of its own, and how much time passed."""
    head = f"SOURCE = {source!r}\n{HEAD}"
    done = subprocess.run([sys.executable, "-c", head], capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


REAL_WAITS = {
    "queue.get": "import queue\ndef wait():\n"
    "  try: queue.Queue().get(timeout=0.05)\n  except queue.Empty: return 'empty'",
    "mp.Queue.get": "import multiprocessing as mp, queue\ndef wait():\n  try: mp.Queue().get(timeout=0.05)\n"
    "  except queue.Empty: return 'empty'",
    "Event.wait": "import threading\ndef wait(): return threading.Event().wait(0.05)",
    "Condition.wait_for": "import threading\ndef wait():\n  c = threading.Condition()\n"
    "  with c: return c.wait_for(lambda: False, 0.05)",
    "select": "import select\ndef wait(): return select.select([], [], [], 0.05)",
    "Popen.wait": "import subprocess, sys\ndef wait():\n  p = subprocess.Popen([sys.executable, '-c', 'input()'],"
    " stdin=subprocess.PIPE)\n  try: p.wait(timeout=0.05)\n  except subprocess.TimeoutExpired: return 'timeout'\n"
    "  finally:\n    p.kill(); p.communicate()",
    "psutil.wait_procs": "import psutil, subprocess, sys\ndef wait():\n  p = subprocess.Popen([sys.executable, '-c',"
    " 'input()'], stdin=subprocess.PIPE)\n"
    "  try: return len(psutil.wait_procs([psutil.Process(p.pid)], timeout=0.05)[1])\n"
    "  finally:\n    p.kill(); p.communicate()",
    "asyncio.sleep": "import asyncio\ndef wait(): return asyncio.run(asyncio.sleep(0.05, 'slept'))",
    "asyncio.wait_for": "import asyncio\ndef wait():\n  async def f():\n    try:\n"
    "      await asyncio.wait_for(asyncio.Event().wait(), 0.05)\n    except TimeoutError: return 'timeout'\n"
    "  return asyncio.run(f())",
}


@pytest.mark.parametrize("name", REAL_WAITS)
def test_waits_for_real_things_take_real_time(name: str) -> None:
    """What the standard library and psutil wait for ends after as much real time as it says; no virtual time passes."""
    source = (
        "import time\nfrom timersim import SystemClock\nfrom datetime import datetime\n"
        f"{REAL_WAITS[name]}\n"
        "def trap():\n  began = SystemClock().monotonic()\n  wait()\n"
        "  return SystemClock().monotonic() - began >= 0.05\n"
    )

    assert lived(source) == "True 0.0"


DEADLINES = {
    "monotonic": "end = time.monotonic() + 5\n  while time.monotonic() < end: pass",
    "perf_counter, saved": "end = real() + 5\n  while real() < end: pass",
    "datetime": "end = datetime.now() + timedelta(seconds=5)\n  while datetime.now() < end: pass",
    "localtime": "end = time.mktime(time.localtime()) + 5\n  while time.mktime(time.localtime()) < end: pass",
}


@pytest.mark.parametrize("name", DEADLINES)
def test_a_loop_until_a_deadline_is_an_error(name: str) -> None:
    """Who reads the time and never sleeps is told so, and does not hang."""
    source = (
        "import time\nimport timersim.fakes.readings as r\nr.MAX_READINGS = 50_000  # a loaded machine needs its time\n"
        "real = time.perf_counter\nfrom datetime import datetime, timedelta\n"
        f"def trap():\n  {DEADLINES[name]}\n"
    )

    assert lived(source) == (
        "SpinError: spins: the time was read 50001 times at t=1000000.0 and did not pass; virtual time passes only"
        " where somebody sleeps or advances it, not by waiting for what is real 0.0"
    )


SLOW_DEADLINES = {
    "Event.wait": "import threading\ndef trap():\n  end = time.monotonic() + 5\n"
    "  while time.monotonic() < end: threading.Event().wait(0.02)",
    "asyncio.sleep": "import asyncio\nasync def f():\n  end = time.monotonic() + 5\n"
    "  while time.monotonic() < end: await asyncio.sleep(0.02)\ndef trap(): asyncio.run(f())",
    "a real thread": "import threading\ndef trap():\n  said = []\n"
    "  def poll():\n    end = time.monotonic() + 5\n"
    "    try:\n      while time.monotonic() < end: threading.Event().wait(0.02)\n"
    "    except Exception as error: said.append(error)\n"
    "  t = threading.Thread(target=poll); t.start(); t.join(); raise said[0]",
}


@pytest.mark.parametrize("name", SLOW_DEADLINES)
def test_a_loop_that_waits_for_real_things_until_a_deadline_is_an_error(name: str) -> None:
    """Who reads the time between waits in real time is told after some seconds of them, and does not hang."""
    source = f"import time\nimport timersim.fakes.readings as r\nr.HOLD_LIMIT = 0.5\n{SLOW_DEADLINES[name]}\n"

    outcome = lived(source)

    assert outcome.startswith("SpinError: spins: the time was read ")
    assert outcome.endswith("not by waiting for what is real 0.0")


def test_a_loop_that_sleeps_until_a_deadline_ends(clock: VirtualClock, module: Make) -> None:
    """Who sleeps between two looks at the time gets there."""
    made = module(
        "import time\ndef trap():\n  end = time.monotonic() + 5\n  while time.monotonic() < end: time.sleep(1)\n"
    )

    with patch_time(clock, [made]):
        made.trap()

    assert clock.monotonic() == START + 5


def test_a_task_that_reads_and_does_nothing_else_is_ended(clock: VirtualClock, module: Make) -> None:
    """In a task a loop until a deadline ends the task as spinning, by name."""
    made = module("from datetime import datetime, timedelta\ndef trap(end): \n  while datetime.now() < end: pass\n")

    with patch_time(clock, [made]):
        clock.spawn(lambda: made.trap(datetime.datetime.max), name="theirs")
        with pytest.raises(SpinError, match=r"^spins: 'theirs' waited 100000 times for what was there already"):
            clock.advance(5)


def test_hypothesis_deadline_counts_real_milliseconds() -> None:
    """Examples in which hours of virtual time pass are no slower than they are, and shrink as ever."""
    source = """
import time
from hypothesis import find, given, settings, strategies as st
@settings(max_examples=50, deadline=200, database=None)
@given(st.integers(0, 9))
def body(n):
    began = time.perf_counter()
    time.sleep(3600)
    assert time.perf_counter() - began == 3600
def trap():
    body()
    return find(st.integers(), lambda n: time.sleep(600) or n > 1000, settings=settings(database=None))
"""
    outcome, passed = lived(source).split()

    assert outcome == "1001"
    assert float(passed) >= 36_000


def test_a_child_process_lives_in_real_time() -> None:
    """A child of a patched module asks its own machine."""
    source = (
        "import subprocess, sys\ndef trap():\n"
        "  code = 'import time; print(time.time() > 1_500_000_000)'\n"
        "  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=10)\n"
        "  return done.stdout.strip()"
    )

    assert lived(source) == "True 0.0"


# Readings that stand still


def test_as_many_readings_as_are_allowed_are_allowed(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is for one instant: as many readings are allowed, one more raises, and when time passes all is new."""
    monkeypatch.setattr(readings_module, "MAX_READINGS", 3)
    read = Readings(clock).counted(clock.time)

    first = [read() for _ in range(3)]
    clock.advance(1)
    second = [read() for _ in range(3)]
    with pytest.raises(SpinError, match=r"the time was read 4 times at t=1000000001\.0 and did not pass"):
        read()
    clock.advance(1)

    third = [read() for _ in range(3)]
    assert (first, second, third) == ([START] * 3, [START + 1] * 3, [START + 2] * 3)


def test_real_seconds_between_readings_count_up_to_one_each(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long gap is somebody's debugger and counts as a second; what raises is more than the limit together."""
    machine = VirtualClock()
    monkeypatch.setattr(readings_module, "time", SimpleNamespace(monotonic=machine.monotonic))
    monkeypatch.setattr(readings_module, "HOLD_LIMIT", 2.0)
    read = Readings(clock).counted(clock.time)

    for gap in (0, 3600, 0.5, 0.5):
        machine.advance(gap)
        read()
    machine.advance(0.001)

    with pytest.raises(SpinError, match="the time was read 5 times"):
        read()


# Event loops


def test_a_coroutine_does_not_sleep_in_virtual_time(clock: VirtualClock, module: Make) -> None:
    """In a coroutine a sleep in virtual time is an error that names the coroutine and says the way out."""
    made = module("import time\nasync def nap(): time.sleep(5)\n")

    async def poll() -> None:
        clock.sleep(5)

    texts = []
    with patch_time(clock, [made]):
        for coroutine in (poll(), made.nap()):
            with pytest.raises(RuntimeError) as raised:
                asyncio.run(coroutine)
            texts.append(str(raised.value))
        clock.advance(1)

    assert texts == [
        f"can't sleep in virtual time inside a running event loop: the coroutine {name!r} would stop its loop, and what"
        " else the loop runs waits in real time, which the clock can't see; await asyncio.sleep(…), which takes real"
        " time, or have the test say how much passes: clock.advance(…)"
        for name in ("test_a_coroutine_does_not_sleep_in_virtual_time.<locals>.poll", "nap")
    ]
    assert clock.time() == START + 1


def test_nor_does_it_in_a_callback(clock: VirtualClock) -> None:
    """In a callback of a loop it is the callback that is named."""
    loop, errors = asyncio.new_event_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: errors.append(str(context["exception"])))
    loop.call_soon(clock.sleep, 5)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    (error,) = errors
    assert error.startswith(
        "can't sleep in virtual time inside a running event loop: the callback 'Waiting.sleep' would stop its loop,"
    )
    assert clock.time() == START


def test_nor_in_a_coroutine_of_a_task(clock: VirtualClock, module: Make) -> None:
    """A task may run a loop, and a sleep in a coroutine of it is an error, as outside of tasks."""
    made = module("import time\nasync def nap(): time.sleep(5)\n")

    with patch_time(clock, [made]):
        clock.spawn(lambda: asyncio.run(made.nap()), name="theirs")
        with pytest.raises(RuntimeError, match="the coroutine 'nap' would stop its loop"):
            clock.advance(10)


def test_a_coroutine_reads_and_waits_for_what_comes_in_virtual_time(clock: VirtualClock, module: Make) -> None:
    """A coroutine may read virtual time, and wait for what comes in it: only a sleep is for its own sake."""
    made = module("import time, asyncio\nasync def read():\n  await asyncio.sleep(0)\n  return time.time()\n")

    async def wait() -> bool:
        clock.call_later(3, lambda: came.append(3))
        return clock.wait(lambda _: bool(came), 5)

    came = list[int]()

    with patch_time(clock, [made]):
        assert (asyncio.run(made.read()), asyncio.run(wait()), clock.time()) == (START, True, START + 3)


def test_the_cells_of_a_notebook_let_time_pass(clock: VirtualClock) -> None:
    """A notebook's kernel runs ordinary cells from a coroutine of its own; in them time passes as anywhere."""
    kernel: dict[str, Any] = {"__name__": "IPython.core.interactiveshell"}
    exec("async def run_code(cell): cell()", kernel)

    asyncio.run(kernel["run_code"](lambda: clock.sleep(5)))

    assert clock.time() == START + 5


def test_a_worlds_timers_are_taken_and_given_back_in_coroutines() -> None:
    """`expires` works inside `async def`: what it guards is reaped when the time is up, and not when it was left."""

    async def work(world: SimulatedWorld, rank: str) -> float:
        with timersim.expires(after=60, client=world.client(rank)):
            await asyncio.sleep(0)
            return world.clock.time()

    async def hang(world: SimulatedWorld) -> None:
        timersim.expires(after=60, client=world.client("rank 2")).__enter__()
        await asyncio.sleep(0)

    async def everybody(world: SimulatedWorld) -> tuple[float, float, None]:
        first, second, third = await asyncio.gather(work(world, "rank 0"), work(world, "rank 1"), hang(world))
        return first, second, third

    with simulated_world() as world:
        results = asyncio.run(everybody(world))
        world.clock.advance(59)
        before = list(world.server.reaped)
        world.clock.advance(1)

        assert (results, before, world.server.reaped) == ((1e6, 1e6, None), [], ["rank 2"])


def test_a_coroutine_may_say_how_much_time_passes() -> None:
    """A test that is a coroutine opens a world, advances its clock, and leaves it."""

    async def test() -> list[Any]:
        with simulated_world() as world:
            with timersim.expires(after=60, client=world.client("rank 1")):
                world.clock.advance(59)
            with timersim.expires(after=60, client=world.client("rank 2")):
                await asyncio.sleep(0)
                world.clock.advance(60)
            return list(world.server.reaped)

    assert asyncio.run(test()) == ["rank 2"]


# Who imports what


@pytest.mark.parametrize(
    ("statements", "imported"),
    [
        ("import timersim", []),
        ("import timersim.fakes", []),
        ("from timersim.fakes import patch_time, VirtualClock", []),
        ("import timersim.fakes as f\nwith f.simulated_world(): pass", []),
        ("import timersim.fakes as f\nwith f.patch_time(f.VirtualClock(), []): pass", ["freezegun"]),
    ],
)
def test_freezegun_is_imported_where_it_is_used(statements: str, imported: list[str]) -> None:
    """Only who patches time pays for freezegun."""
    code = f"import sys\n{statements}\nprint([n for n in ('freezegun',) if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == repr(imported)


def test_the_name_is_the_function_whatever_was_imported_first() -> None:
    """No module of the package bears the function's name, so importing modules doesn't hide it."""
    code = (
        "import pkgutil, importlib, timersim.fakes as f\n"
        "for m in pkgutil.iter_modules(f.__path__): importlib.import_module('timersim.fakes.' + m.name)\n"
        "print(callable(f.patch_time))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "True"
