"""Timers over a multiprocessing queue: real processes, really killed, in virtual and in real time."""

import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import pytest

from tests.descriptors import descriptors
from timersim import Clock, LocalTimerClient, LocalTimerServer, MultiprocessingRequestQueue, TimerRequest, expires
from timersim.fakes import VirtualClock
from timersim.incarnation import Incarnation

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

START = 1_000_000.0
"""Where virtual time begins."""

SPAWN = multiprocessing.get_context("spawn")

Worker = subprocess.Popen[bytes]


@pytest.fixture
def spawn() -> Iterator[Callable[[], Worker]]:
    """Makes workers that live until they are killed or their standard input ends."""
    kill = os.kill
    workers: list[Worker] = []

    def make() -> Worker:
        workers.append(
            subprocess.Popen([sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        )
        return workers[-1]

    yield make
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        try:
            worker.wait(LIMIT)
        except subprocess.TimeoutExpired:
            kill(worker.pid, signal.SIGKILL)
            worker.wait(LIMIT)


@pytest.fixture
def worker(spawn: Callable[[], Worker]) -> Worker:
    """One living worker."""
    return spawn()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes each signal, which is not sent."""
    sent: list[int] = []

    def note(target: int, number: int) -> None:
        sent.append(number)

    monkeypatch.setattr(os, "kill", note)
    monkeypatch.setattr(signal, "pidfd_send_signal", note)
    return sent


def end(worker: Worker) -> None:
    """Lets the worker end by itself and takes its exit status: its pid is free."""
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(LIMIT) == 0


def make_zombie(worker: Worker) -> None:
    """Lets the worker end by itself without taking its exit status."""
    assert worker.stdin is not None
    worker.stdin.close()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


class World:
    """A server that is guarding in virtual time, over a queue that is no real one."""

    def __init__(self, max_interval: float = 3600) -> None:
        self.clock = VirtualClock(START)
        self.queue: queue.Queue[Any] = queue.Queue()
        self.server = LocalTimerServer(self.queue, max_interval, clock=self.clock)  # type: ignore[arg-type]  # anything with `get`
        self.server.start()

    def acquire(self, pid: Any, after: float, scope_id: str = "s") -> None:
        """Sends an acquire, due in `after` seconds, and lets the server register it."""
        self.queue.put(TimerRequest(pid, scope_id, self.clock.time() + after))
        self.clock.advance(0)

    def release(self, pid: Any, scope_id: str = "s") -> None:
        """Sends a release, and lets the server register it."""
        self.queue.put(TimerRequest(pid, scope_id, -1))
        self.clock.advance(0)


@pytest.fixture
def world() -> Iterator[World]:
    """A world that is stopped in the end."""
    made = World()
    yield made
    made.server.stop()


# Real processes, virtual time


@pytest.mark.parametrize(("offset", "status"), [(-1, None), (0, -signal.SIGKILL), (1, -signal.SIGKILL)])
def test_a_hung_process_dies_at_its_expiration(offset: int, status: int | None, worker: Worker, world: World) -> None:
    """A process is killed with SIGKILL at its expiration of an hour, not a tick before; its timers are gone then."""
    world.acquire(worker.pid, after=3600)
    world.clock.advance(3600 + offset)

    assert worker.poll() == status
    assert list(world.server._timers) == ([(worker.pid, "s")] if status is None else [])


def test_a_process_that_released_lives(spawn: Callable[[], Worker], world: World) -> None:
    """A process that released in time lives on beside one that hung and was killed."""
    hung, healthy = spawn(), spawn()
    world.acquire(hung.pid, after=60)
    world.acquire(healthy.pid, after=60)
    world.clock.advance(59)
    world.release(healthy.pid)
    world.clock.advance(1000)

    assert hung.wait(LIMIT) == -signal.SIGKILL
    end(healthy)


@pytest.mark.parametrize("ending", [end, make_zombie])
def test_the_timers_of_a_dead_process_are_cleared(
    ending: Callable[[Worker], None], worker: Worker, world: World, signals: list[int]
) -> None:
    """A process that died with its timers armed loses them when they are due, and nobody is signalled."""
    before = descriptors()
    world.acquire(worker.pid, after=60, scope_id="a")
    world.acquire(worker.pid, after=90, scope_id="b")
    ending(worker)
    world.clock.advance(60)

    freed = 1  # the worker's standard input
    assert (list(world.server._timers), signals, descriptors()) == ([], [], before - freed)


def test_a_process_that_is_gone_cannot_acquire(worker: Worker, world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An acquire that arrives after its process ended is refused, with the reason."""
    end(worker)
    world.acquire(worker.pid, after=60)

    assert list(world.server._timers) == []
    assert caplog.messages == [f"Refused a request: no such process: pid={worker.pid}"]


@pytest.mark.parametrize("pid", [1, 0, -1, None], ids=["init", "own group", "everybody", "itself"])
def test_no_server_kills_its_own_or_init(
    pid: int | None, world: World, signals: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Requests for pids of 1 or below and for the server's own are refused, with the rule: nobody is signalled."""
    pid = os.getpid() if pid is None else pid
    world.acquire(pid, after=-1)
    world.acquire(pid, after=60)
    world.clock.advance(100)

    assert (list(world.server._timers), signals) == ([], [])
    assert (
        caplog.messages == [f"Refused a request: only other processes with a pid above 1 can be reaped: pid={pid}"] * 2
    )


class Unspeakable:
    """A worker id that cannot be written down."""

    def __repr__(self) -> str:
        raise RuntimeError("no name today")


NO_PIDS = ["7", 7.0, True, None, (7,), 2**70, -(2**70), 10**5000, Unspeakable()]


@pytest.mark.parametrize("pid", NO_PIDS, ids=range(len(NO_PIDS)))
@pytest.mark.parametrize("expiration", [START + 60, -1], ids=["acquire", "release"])
def test_a_worker_that_is_no_pid_costs_itself_alone(
    pid: Any, expiration: float, worker: Worker, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A request of a worker that cannot be a process changes nothing, an acquire is reported; the next one counts."""
    world.queue.put(TimerRequest(pid, "s", expiration))
    world.queue.put(TimerRequest(worker.pid, "s", START + 60))
    world.clock.advance(0)

    assert list(world.server._timers) == [(worker.pid, "s")]
    assert {record.msg for record in caplog.records} <= {"Refused a request: %s"}
    assert len(caplog.records) == 1 or expiration < 0


@pytest.mark.parametrize(("pid", "shown"), [("7", "'7'"), (7.0, "7.0"), (True, "True"), (None, "None"), ((7,), "(7,)")])
@pytest.mark.parametrize("expiration", [START + 60, -1], ids=["acquire", "release"])
def test_a_worker_that_is_no_pid_is_refused_with_the_reason(
    pid: Any, shown: str, expiration: float, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says of a request whose worker is no whole number what it was instead."""
    world.queue.put(TimerRequest(pid, "s", expiration))
    world.clock.advance(0)

    assert caplog.messages == [f"Refused a request: worker_id is not a pid: {shown}"]


def test_a_release_of_a_process_that_is_gone_counts(
    worker: Worker, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A release that arrives after its process ended disarms its timer, and is no error."""
    world.acquire(worker.pid, after=60)
    end(worker)
    world.release(worker.pid)

    assert (list(world.server._timers), caplog.messages) == ([], [])


def test_a_timer_never_kills_the_next_bearer_of_a_pid(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer of a process that is gone does not reap the new process that bears its pid and acquires for itself."""
    old, new = Life(), Life()
    lives = iter([old, new])
    monkeypatch.setattr(Incarnation, "of", staticmethod(lambda pid: next(lives)))
    world.acquire(4242, after=60, scope_id="old")
    old.living = False
    world.acquire(4242, after=600, scope_id="new")
    world.clock.advance(599)
    assert (old.signals, new.signals, list(world.server._timers)) == ([], [], [(4242, "new")])

    world.clock.advance(1)
    assert (old.signals, new.signals) == ([], [signal.SIGKILL])


class Life(Incarnation):
    """A scripted incarnation that dies of a signal."""

    def __init__(self) -> None:
        self.living = True
        self.signals: list[int] = []

    @property
    def alive(self) -> bool:
        return self.living

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        self.living = False

    def wait(self, clock: Clock, timeout: float) -> bool:
        return not self.living

    def close(self) -> None:
        """Nothing is held."""


def test_a_process_without_timers_holds_no_descriptor(worker: Worker, world: World) -> None:
    """A process is tied to its life while it holds a timer, and no longer."""
    before = descriptors()
    seen = []
    for send in (partial(world.acquire, after=60), world.release):
        for scope in "ab":
            send(worker.pid, scope_id=scope)
            seen.append(descriptors() - before)

    assert seen == [1, 1, 1, 0]


def test_what_is_held_is_guarded_after_a_restart(worker: Worker, world: World) -> None:
    """`start` after `stop` guards what was held before, by the life that was known then."""
    world.acquire(worker.pid, after=60)
    world.server.stop()
    world.clock.advance(100)
    assert worker.poll() is None

    world.server.start()
    world.clock.advance(0)
    assert worker.wait(LIMIT) == -signal.SIGKILL


def test_a_stop_in_virtual_time_takes_no_time(world: World) -> None:
    """`stop` does not wait for `max_interval`, over a queue that is no real one either."""
    world.clock.advance(5)
    world.server.stop()

    assert (world.clock.monotonic(), world.clock.tasks) == (START + 5, [])


# The queue


def take(requests: MultiprocessingRequestQueue, number: int) -> list[TimerRequest]:
    """Takes `number` requests from a queue into which they were put."""
    taken: list[TimerRequest] = []
    limit = time.monotonic() + LIMIT
    while len(taken) < number and time.monotonic() < limit:
        taken += requests.get(number - len(taken), timeout=LIMIT)
    return taken


def test_a_real_queue_gives_what_it_was_given_in_order(mp_queue: "Queue[Any]") -> None:
    """Requests come out of a real queue in the order in which they were put, and it is empty then."""
    requests = MultiprocessingRequestQueue(mp_queue)
    put = [TimerRequest(7, "s", number) for number in range(5)]
    for one in put:
        mp_queue.put(one)

    assert requests.size() == 5
    assert take(requests, 5) == put
    assert (requests.size(), requests.get(1, timeout=0), requests.get(1, timeout=0.02)) == (0, [], [])
    requests.close()


def put_seven(mp_queue: "Queue[Any]") -> None:
    """What another process does: puts seven requests, which are written when it has ended."""
    for number in range(7):
        mp_queue.put(TimerRequest(7, "s", number))


def test_the_size_is_what_a_get_takes_without_waiting(mp_queue: "Queue[Any]") -> None:
    """Of requests that have been written `size` can be taken at once, as torch's contract has it."""
    requests = MultiprocessingRequestQueue(mp_queue)
    writer = SPAWN.Process(target=put_seven, args=(mp_queue,))
    writer.start()
    writer.join(LIMIT)
    assert writer.exitcode == 0
    writer.close()
    assert (requests.size(), len(requests.get(3, timeout=0)), requests.size()) == (7, 3, 4)

    assert [one.expiration_time for one in requests.get(8, timeout=0)] == [3, 4, 5, 6]
    assert requests.size() == 0


@pytest.mark.parametrize("act", ["put", "wake"])
def test_a_get_that_waits_ends_with_a_request_or_a_wake(act: str, mp_queue: "Queue[Any]") -> None:
    """A `get` of a minute ends when another thread puts or wakes; and one that comes after a wake at once."""
    requests = MultiprocessingRequestQueue(mp_queue)
    request = TimerRequest(7, "s", 60.0)
    actor = threading.Timer(0.02, (lambda: mp_queue.put(request)) if act == "put" else requests.wake)
    before = time.monotonic()
    actor.start()
    try:
        assert requests.get(1, timeout=2 * LIMIT) == ([request] if act == "put" else [])
        assert 0.01 <= time.monotonic() - before < LIMIT
        requests.wake()
        assert requests.get(1, timeout=2 * LIMIT) == []
        assert time.monotonic() - before < LIMIT
    finally:
        actor.join()
        requests.close()


def test_a_wake_ends_one_get_only(mp_queue: "Queue[Any]") -> None:
    """After a wake that ended a `get`, the next one waits again: there is no spinning."""
    requests = MultiprocessingRequestQueue(mp_queue)
    actor = threading.Timer(0.02, requests.wake)
    actor.start()
    try:
        assert requests.get(1, timeout=2 * LIMIT) == []
        before = time.monotonic()
        assert requests.get(1, timeout=0.05) == []
        assert time.monotonic() - before >= 0.05
    finally:
        actor.join()
        requests.close()


def test_the_descriptors_of_the_wake_up_are_given_back(mp_queue: "Queue[Any]") -> None:
    """What a queue needs to be woken is given back when it is closed, twice closed too, and when it is dropped."""
    before = descriptors()
    requests = MultiprocessingRequestQueue(mp_queue)

    def change(act: Callable[[], object]) -> int:
        act()
        return descriptors() - before

    counts = [change(partial(requests.get, 1, 0.001)), change(requests.close), change(requests.close)]
    assert (counts, change(partial(requests.get, 1, 0.001))) == ([2, 0, 0], 2)

    del requests
    assert descriptors() == before


class Unreadable:
    """What becomes a pickle that cannot be read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return int, ("not a number",)


def test_a_message_that_cannot_be_read_is_left_out(mp_queue: "Queue[Any]", caplog: pytest.LogCaptureFixture) -> None:
    """A pickle that cannot be read is logged with its reason; the requests around it are taken."""
    requests = MultiprocessingRequestQueue(mp_queue)
    put = [TimerRequest(7, "s", 1), TimerRequest(7, "s", 2)]
    for one in (Unreadable(), put[0], Unreadable(), put[1]):
        mp_queue.put(one)

    assert take(requests, 2) == put
    reason = """ValueError("invalid literal for int() with base 10: 'not a number'")"""
    assert caplog.messages == [f"Refused a request: it cannot be read: {reason}"] * 2
    requests.close()


def test_a_queue_that_cannot_be_read_is_asked_no_more_than_it_should() -> None:
    """A `get` asks a broken or flooded queue as often as it wants requests, and comes back."""

    class BrokenQueue:
        asked = 0

        def qsize(self) -> int:
            return 3

        def get(self, *, block: bool = True, timeout: float | None = None) -> object:
            self.asked += 1
            if self.asked > 10:
                raise queue.Empty
            raise ValueError("the queue is closed")

    broken = BrokenQueue()
    requests = MultiprocessingRequestQueue(broken)  # type: ignore[arg-type]  # anything with `get`

    assert (requests.get(3, timeout=0), broken.asked) == ([], 3)


CLOSED_QUEUE = """
import logging, multiprocessing
from timersim import MultiprocessingRequestQueue

logging.disable()
mp_queue = multiprocessing.get_context("spawn").Queue()
requests = MultiprocessingRequestQueue(mp_queue)
mp_queue.close()
for timeout in (0, 0.01):
    try:
        requests.get(3, timeout)
    except (OSError, ValueError):
        pass
    print("came back")
"""


def test_a_get_from_a_closed_queue_comes_back() -> None:
    """A `get` from a queue that was closed raises or gives nothing; it never spins, so the server can be stopped."""
    command = [sys.executable, "-c", CLOSED_QUEUE]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)

    assert done.stdout.splitlines() == ["came back", "came back"]


def test_a_client_speaks_for_the_process_that_calls() -> None:
    """A client sends torch's requests for its own pid: an acquire with its expiration, a release with -1."""
    sent: queue.Queue[TimerRequest] = queue.Queue()
    client = LocalTimerClient(sent, clock=VirtualClock(START))  # type: ignore[arg-type]  # anything with `put`
    with expires(after=60, scope="load", client=client):
        pass

    assert [sent.get_nowait(), sent.get_nowait()] == [
        TimerRequest(os.getpid(), "load", START + 60),
        TimerRequest(os.getpid(), "load", -1),
    ]


# Real processes, real time


def work(mp_queue: "Queue[Any]", pipe: Connection, after: float, *, hang: bool) -> None:
    """What a worker does: guards a block of `after` seconds, in which it hangs or not; then waits to be ended."""
    block = expires(after=after, scope="load", client=LocalTimerClient(mp_queue))
    with block:
        pipe.send(time.time() + after)
        if hang:
            pipe.recv()
    pipe.send("released")
    pipe.recv()


class SpawnedWorker:
    """A process of multiprocessing that does `work`."""

    def __init__(self, mp_queue: "Queue[Any]", after: float, *, hang: bool) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=work, args=(mp_queue, theirs, after), kwargs={"hang": hang}, daemon=True)
        self.process.start()
        theirs.close()

    def hear(self) -> Any:
        """Returns what the worker says next."""
        assert self.pipe.poll(LIMIT)
        return self.pipe.recv()

    def close(self) -> None:
        """Ends the worker, if it has not ended."""
        self.process.kill()
        self.process.join(LIMIT)
        self.process.close()
        self.pipe.close()


def test_a_hung_worker_is_killed_and_one_that_released_lives(mp_queue: "Queue[Any]") -> None:
    """Of two real workers the one that hangs dies soon after its expiration, the one that was through lives on."""
    server = LocalTimerServer(mp_queue, max_interval=60)
    workers: list[SpawnedWorker] = []
    server.start()
    try:
        healthy = SpawnedWorker(mp_queue, 0.3, hang=False)
        workers.append(healthy)
        healthy_is_due = healthy.hear()
        assert healthy.hear() == "released"
        hung = SpawnedWorker(mp_queue, 0.3, hang=True)
        workers.append(hung)
        hung_is_due = hung.hear()
        hung.process.join(LIMIT)
        died = time.time()

        assert hung.process.exitcode == -signal.SIGKILL
        assert -0.01 <= died - hung_is_due < LIMIT
        assert hung_is_due > healthy_is_due
        assert healthy.process.is_alive()
        healthy.pipe.send("end")
        healthy.process.join(LIMIT)
        assert healthy.process.exitcode == 0
    finally:
        for worker in workers:
            worker.close()
        server.stop()


def test_an_idle_server_stops_at_once(mp_queue: "Queue[Any]") -> None:
    """`stop` of an idle server comes back long before its `max_interval`, and leaves no thread and no descriptor."""
    threads, before = set(threading.enumerate()), descriptors()
    server = LocalTimerServer(mp_queue, max_interval=60)
    for _ in range(3):
        begun = time.monotonic()
        server.start()
        server.stop()
        assert time.monotonic() - begun < LIMIT

    assert (set(threading.enumerate()) - threads, descriptors()) == (set(), before)


def test_a_server_that_guarded_leaves_no_descriptor(mp_queue: "Queue[Any]", worker: Worker) -> None:
    """A server that reaped in real time and was stopped has given every descriptor back."""
    mp_queue.put("the queue's own thread and buffers are there from now on")
    assert mp_queue.get(timeout=LIMIT)
    before = descriptors()
    server = LocalTimerServer(mp_queue, max_interval=60)
    server.start()
    try:
        mp_queue.put(TimerRequest(worker.pid, "s", time.time() + 0.05))
        assert worker.wait(LIMIT) == -signal.SIGKILL
    finally:
        server.stop()

    assert (list(server._timers), descriptors()) == ([], before)


def test_a_server_that_is_dropped_leaves_no_descriptor(mp_queue: "Queue[Any]", worker: Worker) -> None:
    """A server that was stopped while a timer was held, and is dropped, has given every descriptor back."""
    before = descriptors()
    server = LocalTimerServer(mp_queue, max_interval=60)
    server.register_timers([TimerRequest(worker.pid, "s", time.time() + 60)])
    server.start()
    server.stop()
    assert descriptors() == before + 1

    del server
    assert descriptors() == before


def test_an_unreadable_message_costs_itself_alone(mp_queue: "Queue[Any]", worker: Worker) -> None:
    """A server into whose queue nonsense is put reaps the hung worker all the same."""
    server = LocalTimerServer(mp_queue, max_interval=60)
    server.start()
    try:
        for message in (Unreadable(), TimerRequest(worker.pid, "s", time.time() + 0.05), Unreadable(), "nonsense"):
            mp_queue.put(message)
        assert worker.wait(LIMIT) == -signal.SIGKILL
    finally:
        server.stop()


# Together with torch


@pytest.mark.torch
def test_the_requests_of_torchs_client_are_understood(worker: Worker, world: World) -> None:
    """What torch's client puts into the queue arms and releases: the worker dies at its expiration only."""
    torch_timer = pytest.importorskip("torch.distributed.elastic.timer")
    requests = queue.Queue[Any]()
    client = torch_timer.LocalTimerClient(requests)
    client.acquire("a", START + 60)
    client.acquire("b", START + 30)
    client.release("b")
    for _ in range(3):
        request = requests.get_nowait()
        assert type(request) is torch_timer.TimerRequest
        request.worker_id = worker.pid
        world.queue.put(request)
    world.clock.advance(59)
    assert worker.poll() is None

    world.clock.advance(1)
    assert worker.wait(LIMIT) == -signal.SIGKILL


@pytest.mark.torch
def test_our_requests_are_understood_by_torchs_server(mp_queue: "Queue[Any]") -> None:
    """What our client puts into the queue arms and releases with torch's server."""
    torch_timer = pytest.importorskip("torch.distributed.elastic.timer")
    client = LocalTimerClient(mp_queue)
    client.acquire("a", START + 60)
    client.acquire("b", START + 30)
    client.release("b")
    server = torch_timer.LocalTimerServer(mp_queue, max_interval=1)
    server.register_timers([mp_queue.get(timeout=LIMIT) for _ in range(3)])

    assert server.get_expired_timers(START + 59) == {}
    assert server.get_expired_timers(START + 60) == {os.getpid(): [TimerRequest(os.getpid(), "a", START + 60)]}
