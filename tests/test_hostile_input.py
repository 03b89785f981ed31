"""Hostile input: whatever is sent, no valid request is lost, nobody innocent is signalled, who hangs dies in time."""

import fcntl
import math
import multiprocessing
import os
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import timersim.api
from tests.quick import one_in
from timersim import (
    FileTimerRequest,
    FileTimerServer,
    LocalTimerClient,
    LocalTimerServer,
    MemoryRequestQueue,
    MemoryTimerServer,
    TimerRequest,
)
from timersim.fakes import VirtualClock
from timersim.incarnation import Incarnation
from timersim.refusals import MOST

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

START = 1_000_000.0
"""Where virtual time begins."""

MESSAGES = 10_000

SPAWN = multiprocessing.get_context("spawn")

Worker = subprocess.Popen[bytes]


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A virtual clock at START."""
    made = VirtualClock(START)
    yield made
    made.close()


@pytest.fixture
def hire() -> Iterator[Callable[..., Worker]]:
    """What starts a process that sleeps, or runs `code`; every one is gone at the end."""
    hired: list[Worker] = []

    def start(code: str = "import time; time.sleep(1000)", **options: Any) -> Worker:
        hired.append(subprocess.Popen([sys.executable, "-c", code], **options))
        return hired[-1]

    yield start
    for worker in hired:
        worker.kill()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Notes each signal as (pid, number), and sends it to children of this process only."""
    noted: list[tuple[int, int]] = []
    of = Incarnation.of

    def noting(pid: int) -> Incarnation:
        incarnation = of(pid)
        send = incarnation.send_signal

        def send_signal(number: int) -> None:
            noted.append((pid, number))
            if parent(pid) == os.getpid():
                send(number)

        monkeypatch.setattr(incarnation, "send_signal", send_signal)
        return incarnation

    monkeypatch.setattr(Incarnation, "of", staticmethod(noting))
    return noted


def parent(pid: int) -> int:
    """Returns the pid of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


NOBODY = 2**22 + 1
"""A pid above those that Linux gives: nobody comes to bear it while other tests start processes."""


def dead_pid() -> int:
    """Returns the pid of a process that has ended and was waited for."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait(LIMIT)
    return child.pid


def check_log(caplog: pytest.LogCaptureFixture, seconds: float) -> None:
    """Asserts that refusals were logged with reasons, at most MOST a minute, and that nothing has failed."""
    reasons = [each for each in caplog.messages if each.startswith("Refused a request: ")]
    others = {record.msg for record in caplog.records} - {
        "Refused a request: %s",
        "Refused %s requests more than were logged",
        "Refused more than %s requests; the next ones are counted for %s s",
    }
    assert others == set()
    assert MOST <= len(reasons) <= MOST * (1 + seconds // 60)


# Objects, in memory


class FailsToHash:
    """Cannot be hashed, and says so with an error of its own."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash today")


class FailsToCompare:
    """Has the hash of another worker, and cannot be compared with it."""

    def __init__(self, like: object) -> None:
        self.like = like

    def __hash__(self) -> int:
        return hash(self.like)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison today")


class FailsToSpeak:
    """Cannot be written down."""

    def __repr__(self) -> str:
        raise RuntimeError("no name today")


class FailsToFloat(float):
    """A number that cannot be converted."""

    def __float__(self) -> float:
        raise RuntimeError("no float today")


class FailsToOrder(float):
    """A number that cannot be ordered."""

    def __lt__(self, other: float) -> bool:
        raise RuntimeError("no order today")


class UnhashableText(str):
    """A text that cannot be hashed."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("no hash today")


class IncomparableText(str):
    """A text with the hash of its equal that cannot be compared with it."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison today")


class FailsWhenRead:
    """Something whose attributes raise, the first `times` excepted."""

    def __init__(self, error: BaseException, times: int = 0) -> None:
        self.error, self.times = error, times

    @property
    def worker_id(self) -> str:
        self.times -= 1
        if self.times < 0:
            raise self.error
        return "odd"

    scope_id = "s"
    expiration_time = 60.0


class Subclass(TimerRequest):
    """A request as somebody else may have refined it."""


FAR = START + 1e9

Make = Callable[[random.Random], object]

OBJECTS: dict[str, Make] = {
    "something else": lambda r: r.choice([None, 5, "load", b"\xff", [], {}, (), object(), TimerRequest, math.nan, len]),
    "NaN": lambda r: TimerRequest("hung", "s0", math.nan),
    "beyond floats": lambda r: TimerRequest("hung", "s0", r.choice([1, -1]) * 10**400),
    "beyond writing": lambda r: TimerRequest("hung", "s0", r.choice([1, -1]) * 10**5000),
    "no number": lambda r: TimerRequest(
        "hung",
        "s0",
        r.choice([None, "60", b"60", 1j, [60], Decimal(60), FailsToSpeak()]),  # type: ignore[arg-type]  # that is the point
    ),
    "truth": lambda r: TimerRequest("hung", "s0", r.choice([True, False])),
    "fails to float": lambda r: TimerRequest("hung", "s0", FailsToFloat(60)),
    "fails to order": lambda r: TimerRequest("hung", "s0", FailsToOrder(60)),
    "no hash": lambda r: TimerRequest(r.choice([["hung"], {"hung"}, {}, bytearray(b"hung"), FailsToHash()]), "s0", FAR),
    "fails to compare": lambda r: TimerRequest(FailsToCompare(r.choice(["hung", "innocent"])), "s0", FAR),
    "no text": lambda r: TimerRequest("hung", r.choice([None, 5, b"s0", ["s0"], FailsToSpeak()]), FAR),  # type: ignore[arg-type]  # that is the point
    "unhashable text": lambda r: TimerRequest("hung", UnhashableText("s0"), FAR),
    "incomparable text": lambda r: TimerRequest("hung", IncomparableText("s0"), FAR),
    "fails when read": lambda r: FailsWhenRead(r.choice([RuntimeError("no"), AttributeError("no"), SystemExit(3)])),
    "fails when read again": lambda r: FailsWhenRead(r.choice([RuntimeError("no"), SystemExit(3)]), times=1),
}
"""What is refused, each with a reason."""

ODDITIES: dict[str, Make] = {
    "endless": lambda r: TimerRequest("odd", "s", math.inf),
    "long past": lambda r: TimerRequest("odd", "s", -math.inf),
    "fraction": lambda r: TimerRequest("odd", "s", Fraction(r.randrange(10**6), 7) + int(FAR)),  # type: ignore[arg-type]  # a number, if no float
    "subclass": lambda r: Subclass("odd", "s", FAR),
    "no worker": lambda r: TimerRequest(r.choice([None, (), 1.5, math.nan, frozenset(), True]), "", FAR),
}
"""What is odd, and a request all the same."""


class Memory:
    """A memory server in virtual time whose reaps are noted, as (worker, seconds since START)."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.queue = MemoryRequestQueue(clock=clock)
        self.reaps: list[tuple[Any, float]] = []
        self.server = MemoryTimerServer(self.queue, reaper=self._reap)
        self.server.start()
        clock.advance(0)

    def _reap(self, worker_id: Any) -> bool:
        self.reaps.append((worker_id, self.clock.time() - START))
        return True

    def put(self, message: object) -> None:
        """Puts anything."""
        self.queue.put(message)  # type: ignore[arg-type]  # that is the point

    @property
    def is_alive(self) -> bool:
        """Whether the watchdog runs."""
        return self.server._watchdog_thread is not None and self.server._watchdog_thread.alive


@pytest.mark.parametrize("kind", [*OBJECTS, *ODDITIES])
@pytest.mark.parametrize("first", ["hostile", "valid"])
def test_an_object_costs_itself_alone(
    kind: str, first: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is put beside a valid request, in the same pass, that one counts; what is refused is logged once."""
    memory = Memory(clock)
    make = OBJECTS.get(kind) or ODDITIES[kind]
    messages = [make(random.Random(0)), TimerRequest("hung", "s0", START + 60)]
    for message in messages if first == "hostile" else reversed(messages):
        memory.put(message)
    memory.put(TimerRequest("innocent", "s0", START + 60))
    memory.put(TimerRequest("innocent", "s0", -1))
    clock.advance(59)
    assert memory.reaps == []

    clock.advance(1)
    assert (memory.reaps, memory.is_alive) == ([("hung", 60.0)], True)
    assert memory.server._refusals.count == (kind in OBJECTS)
    assert [each.split(":")[0] for each in caplog.messages] == ["Refused a request"] * (kind in OBJECTS)


@pytest.mark.parametrize("seed", range(2))
def test_ten_thousand_hostile_objects_cost_themselves_alone(
    seed: int, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Among 10,000 hostile objects no valid request is lost, each hung worker is reaped at its instant, no other is."""
    print(f"random.Random({seed})")  # noqa: T201 - shown where the test fails
    source = random.Random(seed)
    memory = Memory(clock)
    refused, held = 0, set()
    for number in range(MESSAGES):
        kind = source.choice([*OBJECTS, *ODDITIES])
        refused += kind in OBJECTS
        memory.put((OBJECTS.get(kind) or ODDITIES[kind])(source))
        if number % 100 == 0:
            memory.put(TimerRequest(f"hung {number // 100}", "s0", START + 60 + number // 100))
            memory.put(TimerRequest("innocent", f"s{number}", START + 3600))
            memory.put(TimerRequest("innocent", f"s{number}", START + 61))
            memory.put(TimerRequest("innocent", f"s{number - 100}", -1))
            held = {f"s{number}"}
        if number % 10 == 0:
            clock.advance(0.03)
    memory.put(TimerRequest("innocent", f"s{MESSAGES - 100}", START + 3600))
    clock.advance(0)
    assert set(memory.server._timers.scopes("innocent")) == held

    clock.advance_to(START + 159)
    assert memory.reaps == [(f"hung {number}", 60.0 + number) for number in range(100)]
    assert (memory.is_alive, memory.server._refusals.count) == (True, refused)
    check_log(caplog, 159)


# Pickles, through a queue of multiprocessing


class Raises:
    """What becomes a pickle that raises when it is loaded."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Callable[..., object], tuple[type[BaseException]]]:
        return _raise, (self.error,)


def _raise(error: type[BaseException]) -> object:
    raise error("not today")


class Liar(int):
    """A pid that says of itself that it is any number but what it is."""

    def __le__(self, other: int) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class Garbage(bytes):
    """Bytes that are sent as they are, in the place of a pickle."""


class RefinedRequest(TimerRequest):
    """A request of a class that the server does not know by name."""

    __slots__ = ("sequence",)

    def __init__(self, worker_id: int, scope_id: str, expiration_time: float) -> None:
        super().__init__(worker_id, scope_id, expiration_time)
        self.sequence = 7


def pickles(source: random.Random, dead: int) -> object:
    """Draws what a pickle may hold; all of it is refused."""
    pid: Any = source.choice(
        [0, -1, 1, dead, 2**70, -(2**70), None, "7", 7.5, True, (7,), Liar(1), Liar(os.getppid()), os.getpid()]
    )
    return source.choice(
        [
            Raises(source.choice([ValueError, RuntimeError, EOFError, OSError, MemoryError, SystemExit])),
            Garbage(source.randbytes(source.randrange(1, 300))),
            TimerRequest(pid, "s0", START + source.choice([-1, 0, 1, 60, 3600])),
            RefinedRequest(pid, "s0", START + source.choice([-1, 0, 1, 60, 3600])),
            TimerRequest(source.choice([0, dead]), "s0", source.choice([math.nan, None, "60", True])),  # type: ignore[arg-type]  # that is the point
            source.choice([None, 5, "load", b"\xff", [], {}, (), Subclass, math.nan]),
        ]
    )


class Local:
    """A local server in virtual time, over a real queue."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.queue: Queue[Any] = SPAWN.Queue()
        self.server = LocalTimerServer(self.queue, clock=clock)
        self.server.start()
        clock.advance(0)

    def put(self, *messages: object) -> None:
        """Sends them in order, and waits till the server has taken them."""
        for message in messages:
            if isinstance(message, Garbage):
                self._settle()
                self.queue._sem.acquire()  # type: ignore[attr-defined]  # nothing public writes raw bytes
                with self.queue._wlock:  # type: ignore[attr-defined]  # as above
                    self.queue._writer.send_bytes(message)  # type: ignore[attr-defined]  # as above
            else:
                self.queue.put(message)
        self._settle()

    def _settle(self) -> None:
        end = time.monotonic() + LIMIT
        while self.queue.qsize():
            assert time.monotonic() < end, "the server takes nothing any more"
            self.queue._reader.poll(0.01)  # type: ignore[attr-defined]  # nothing public waits and takes nothing
            self.clock.advance(0)

    def refused(self) -> int:
        """Returns how many messages were refused, as pickles and as requests."""
        return self.server._requests._refusals.count + self.server._refusals.count

    def close(self) -> None:
        """Stops the server and gives everything back."""
        self.server.stop()
        self.queue.close()
        self.queue.join_thread()


@pytest.fixture
def local(clock: VirtualClock) -> Iterator[Local]:
    """A local server that is stopped in the end."""
    made = Local(clock)
    yield made
    made.close()


@pytest.mark.parametrize("error", [ValueError, EOFError, MemoryError, SystemExit])
def test_a_pickle_that_raises_costs_itself_alone(
    error: type[BaseException], local: Local, hire: Callable[..., Worker]
) -> None:
    """A pickle that raises when it is loaded, SystemExit included, is refused; the watchdog goes on."""
    hung = hire()
    local.put(Raises(error))
    local.put(TimerRequest(hung.pid, "s0", START + 60))
    local.clock.advance(60)

    assert (hung.wait(LIMIT), local.refused()) == (-signal.SIGKILL, 1)


@pytest.mark.parametrize("pid", [0, 1, -1])
def test_a_pid_that_lies_is_refused(pid: int, local: Local, signalled: list[tuple[int, int]]) -> None:
    """A pid of a class that compares as it likes is refused: nobody is signalled."""
    local.put(TimerRequest(Liar(pid), "s0", START))
    local.clock.advance(60)

    assert (signalled, list(local.server._timers), local.refused()) == ([], [], 1)


@pytest.mark.parametrize("seed", range(2))
def test_ten_thousand_hostile_pickles_cost_themselves_alone(
    seed: int,
    local: Local,
    hire: Callable[..., Worker],
    signalled: list[tuple[int, int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Among 10,000 hostile pickles no valid request is lost, who hangs dies at its instant, nobody else does."""
    print(f"random.Random({seed})")  # noqa: T201 - shown where the test fails
    source = random.Random(seed)
    hung, innocent, refined, dead = hire(), hire(), hire(), dead_pid()
    for number in range(0, MESSAGES, 100):
        local.put(
            *(pickles(source, dead) for _ in range(50)),
            TimerRequest(hung.pid, f"s{number}", START + 60 + number),
            TimerRequest(innocent.pid, f"s{number}", START + 60),
            RefinedRequest(refined.pid, f"s{number}", START + 90),
            *(pickles(source, dead) for _ in range(50)),
            TimerRequest(innocent.pid, f"s{number}", -1),
        )
        local.clock.advance(0.5)
    scopes = [f"s{number}" for number in range(0, MESSAGES, 100)]
    table = local.server._timers
    assert [table.scopes(each.pid) for each in (hung, innocent, refined)] == [scopes, [], scopes]
    local.clock.advance_to(START + 59.5)
    assert signalled == []

    local.clock.advance_to(START + 60)
    assert (hung.wait(LIMIT), signalled) == (-signal.SIGKILL, [(hung.pid, signal.SIGKILL)])
    local.clock.advance_to(START + 90)
    assert (refined.wait(LIMIT), signalled[1:], innocent.poll()) == (
        -signal.SIGKILL,
        [(refined.pid, signal.SIGKILL)],
        None,
    )
    task = local.server._watchdog_thread
    assert task is not None
    assert (task.alive, local.refused()) == (True, MESSAGES)
    check_log(caplog, 2 * 90)  # two who refuse


def write_and_stay(mp_queue: "Queue[Any]", scope: str, told: "Event") -> None:
    """What a worker does: acquires a scope, and stays."""
    LocalTimerClient(mp_queue).acquire(scope, time.time() + 3600)
    told.set()
    time.sleep(1000)


def test_a_writer_killed_inside_a_write_silences_the_others_and_stop_returns(
    hire: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker killed inside a write of an `mp.Queue` silences the others, as the contract says; `stop` comes back."""
    monkeypatch.setattr(timersim.api, "STOP_LIMIT", 0.5)
    mp_queue: Queue[Any] = SPAWN.Queue()
    server = LocalTimerServer(mp_queue)
    known = hire()
    server.register_timers([TimerRequest(known.pid, "s0", time.time() + 1.0)])
    reader, written = mp_queue._reader.fileno(), [SPAWN.Event(), SPAWN.Event()]  # type: ignore[attr-defined]  # its pipe
    writers = [
        SPAWN.Process(target=write_and_stay, args=(mp_queue, scope, told), daemon=True)
        for scope, told in zip(["x" * 1_000_000, "short"], written, strict=True)
    ]
    task = None
    try:
        writers[0].start()
        assert written[0].wait(LIMIT)
        end = time.monotonic() + LIMIT
        while waiting(reader) < 60_000:  # of a megabyte: the pipe is full, and the writer inside its write
            assert time.monotonic() < end
            time.sleep(0.01)
        writers[0].kill()
        writers[0].join(LIMIT)
        writers[1].start()
        assert written[1].wait(LIMIT)

        server.start()
        task = server._watchdog_thread
        with pytest.raises(subprocess.TimeoutExpired):
            known.wait(2.0)  # it is due after one
        begun = time.monotonic()
        server.stop()
        assert 0.4 <= time.monotonic() - begun < LIMIT
        assert caplog.messages == ["The watchdog of LocalTimerServer hangs in its queue; it will reap nobody"]
        assert list(server._timers) == [(known.pid, "s0")]
    finally:
        for writer in writers:
            if writer.pid is not None:
                writer.kill()
                writer.join(LIMIT)
                writer.close()
        mp_queue._writer.close()  # type: ignore[attr-defined]  # the end of the pipe ends the read that hangs
        if task is not None:
            task.join(LIMIT)
        server._requests.close()
        mp_queue.close()
    assert task is not None
    assert (task.alive, known.poll()) == (False, None)


def waiting(fd: int) -> int:
    """Returns how many bytes a pipe holds."""
    number: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
    return number


# Lines, through a FIFO


def line(pid: int, scope: str, expiration: float) -> bytes:
    """Returns a request's line."""
    return FileTimerRequest(pid, scope, expiration, signal.SIGKILL).to_json().encode() + b"\n"


def spoiled(source: random.Random, pid: int) -> bytes:
    """Draws a request's line of `pid`, cut or with bytes in the place of others; never a longer number than it had."""
    data = bytearray(line(pid, "x" * source.randrange(40), START + 1)[:-1])
    kind = source.randrange(4)
    if kind == 0:
        return bytes(data[: source.randrange(len(data))])  # half a line: the next one is on the same line
    if kind == 1:
        return bytes(data[source.randrange(1, len(data)) :]) + b"\n"
    if kind == 2:
        data = data.replace(b'"version": 1', f'"version": {source.choice(["2", "0", "null", "[]", "1.5"])}'.encode())
    for _ in range(source.randrange(1, 4)):
        data[source.randrange(len(data))] = source.choice(b'\x00\xff{}[]"\\,:')
    return bytes(data) + b"\n"


@pytest.mark.parametrize("seed", range(2))
def test_ten_thousand_spoiled_lines_cost_themselves_alone(
    seed: int,
    clock: VirtualClock,
    tmp_path: Path,
    hire: Callable[..., Worker],
    signalled: list[tuple[int, int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Among 10,000 spoiled lines, halves before valid ones included, no valid one is lost; each line counts once."""
    print(f"random.Random({seed})")  # noqa: T201 - shown where the test fails
    source = random.Random(seed)
    server = FileTimerServer(str(tmp_path / "fifo"), "run", clock=clock)
    server.start()
    hung, innocent = hire(), hire()
    sent = bytearray()

    def send(data: bytes) -> None:
        os.write(fd, data)
        sent.extend(data)

    fd = os.open(tmp_path / "fifo", os.O_WRONLY)
    for number in range(MESSAGES):
        send(spoiled(source, NOBODY))
        if number % 100 == 0:
            send(line(hung.pid, f"s{number}", START + 60 + number))
            send(line(innocent.pid, f"s{number}", START + 60))
        if number % 100 == 50:
            send(line(innocent.pid, f"s{number - 50}", -1))
        if number % 20 == 0:
            clock.advance(0.1)
    send(b"\n")
    os.close(fd)
    clock.advance(0)
    scopes = [f"s{number}" for number in range(0, MESSAGES, 100)]
    assert [server._timers.scopes(each.pid) for each in (hung, innocent)] == [scopes, []]
    assert len([each for each in sent.split(b"\n") if each]) == server._request_count + server._fifo._refusals.count
    assert server._refusals.count == server._request_count - 300

    clock.advance_to(START + 60)
    assert (hung.wait(LIMIT), innocent.poll()) == (-signal.SIGKILL, None)
    assert signalled == [(hung.pid, signal.SIGKILL)]
    task = server._watchdog_thread
    assert task is not None
    assert task.alive
    check_log(caplog, 2 * 60)  # two who refuse
    server.stop()


def test_what_never_becomes_a_line_is_not_kept(clock: VirtualClock, tmp_path: Path) -> None:
    """Of bytes without a newline no more than the longest line is kept, in which a valid line may begin."""
    server = FileTimerServer(str(tmp_path / "fifo"), "run", clock=clock)
    server._fifo.fileno()
    fd = os.open(tmp_path / "fifo", os.O_WRONLY)
    valid = line(4242, "s", START)
    for data in (b"x" * 50_000, b"x" * 50_000, b"x" * 50_000 + valid[:60]):
        os.write(fd, data)
        assert (server._fifo.size(), len(server._fifo._buffer)) == (0, select.PIPE_BUF)
    os.write(fd, valid[60:])
    os.close(fd)

    assert server._fifo.get(2, timeout=0) == [FileTimerRequest(4242, "s", START, signal.SIGKILL)]
    assert server._fifo._refusals.count == 3
    server.stop()


HUNG = """
import time, timersim
client = timersim.FileTimerClient({path!r})
with timersim.expires(after=60, client=client): pass
with timersim.expires(after={after}, client=client):
    print(time.time() + {after}, flush=True)
    time.sleep(1000)
"""

FLOOD = """
import fcntl, os
fd = os.open({path!r}, os.O_WRONLY)
fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, {size})
while True:
    os.write(fd, {data})
"""


def hang(path: Path, after: float, hire: Callable[..., Worker]) -> tuple[Worker, float]:
    """Has a real worker hang in its second block; returns it and when it is due, as the wall clock says."""
    hung = hire(HUNG.format(path=str(path), after=after), stdout=subprocess.PIPE)
    assert hung.stdout is not None
    assert select.select([hung.stdout], [], [], LIMIT)[0]
    return hung, float(hung.stdout.readline())


def lateness(hung: Worker, due: float) -> float:
    """Returns how many seconds after its expiration a worker was dead."""
    assert hung.wait(LIMIT) == -signal.SIGKILL
    return time.time() - due


FLOODS = {
    "no line": "b'x' * 300_000",
    "long lines": "b'{' * 1_000_000 + b'\\n'",
    "nested": "b'{\"\":' * 300_000 + b'\\n'",
    "lines": "b'{}' * 300 + b'\\n'",
    "short lines": "b'x\\n' * 300_000",
    "empty lines": "b'\\n' * 300_000",
}


@pytest.mark.parametrize("flood", one_in(4, FLOODS))
def test_a_flood_delays_a_reap_by_no_more_than_a_pipe_full(
    flood: str, tmp_path: Path, hire: Callable[..., Worker]
) -> None:
    """While a client floods a large FIFO, who has acquired dies soon after its expiration all the same."""
    path = tmp_path / "fifo"
    server = FileTimerServer(str(path), "run", max_interval=60)
    server.start()
    try:
        size = 2**18 if flood == "short lines" else 2**20  # of those a megabyte takes seconds
        hung, due = hang(path, 1.0, hire)
        hire(FLOOD.format(path=str(path), data=FLOODS[flood], size=size), stderr=subprocess.DEVNULL)
        assert -0.01 <= lateness(hung, due) < LIMIT / 2
    finally:
        server.stop()


WRITER = "import os, time; fd = os.open({path!r}, os.O_WRONLY); os.write(fd, {data}); time.sleep(1000)"


@pytest.mark.parametrize("fate", [None, signal.SIGSTOP, signal.SIGKILL], ids=["stays", "is stopped", "is killed"])
def test_a_writer_inside_its_write_holds_nobody_up(
    fate: signal.Signals | None, tmp_path: Path, hire: Callable[..., Worker]
) -> None:
    """A client that is stopped or killed in the middle of a write, or stays after half a line, delays no other one."""
    path = tmp_path / "fifo"
    server = FileTimerServer(str(path), "run", max_interval=60)
    half = line(4242, "s", START)[:50]
    data = half if fate is None else half * 2_000
    writer = hire(WRITER.format(path=str(path), data=repr(half) if fate is None else f"{half!r} * 2_000"))
    end = time.monotonic() + LIMIT
    while waiting(server._fifo.fileno()) < min(len(data), 65_536 - select.PIPE_BUF + 1):
        assert time.monotonic() < end
        time.sleep(0.01)
    if fate is not None:
        os.kill(writer.pid, fate)
        os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    server.start()
    try:
        assert -0.01 <= lateness(*hang(path, 0.5, hire)) < 1
    finally:
        server.stop()
    assert writer.poll() == (-signal.SIGKILL if fate is signal.SIGKILL else None)
