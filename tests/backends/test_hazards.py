"""Real workers that are killed while they send, at each point that their wire has."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest

import psutil
import pytest

from tests.hash_seeds import output
from tests.quick import one_in
from timersim.backends import ProcessBackend
from timersim.backends.clients.mp_wire import QueueWire
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.process import Transport
from timersim.backends.wires.wire import hear, wait_for
from timersim.backends.workers.pool import Pool
from timersim.fakes import SimulatedBackend
from timersim.lab import (
    Acquire,
    Crash,
    CrashSending,
    Exit,
    Pause,
    PauseServer,
    Release,
    Schedule,
    Start,
    StartServer,
    StopServer,
    Trace,
    run,
)
from timersim.lab.operations import PLAIN, SENDING, SendingPoint
from timersim.lab.record import Arrived, Attempted, Died, Ended, Event, Meddled, Sent, ServerStarted, Skipped, Started
from timersim.strategies import find_violations, seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

LOCKED: tuple[SendingPoint, ...] = ("lock held", "half written", "flushed")
"""The points at which a writer of a queue holds its lock."""

TRANSPORTS: tuple[Transport, ...] = ("local", "file", "socket")

POINTS = [("local", at) for at in SENDING] + [
    (name, at) for name in ("file", "socket") for at in ("buffered", "flushed")
]


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, ProcessBackend]]:
    """Yields a backend of each transport, whose processes are gone at the end."""
    made: dict[str, ProcessBackend] = {name: ProcessBackend(name) for name in TRANSPORTS}
    yield made
    for backend in made.values():
        backend.close()


@pytest.fixture
def local(backends: dict[str, ProcessBackend]) -> ProcessBackend:
    """Returns the one whose wire is a queue."""
    return backends["local"]


def killed(at: SendingPoint) -> Schedule:
    """Worker 0 is killed while it acquires; then worker 1, which is guarded, and worker 2, which is not, acquire."""
    sending = [CrashSending(0, at), Acquire(1, "s0", after=5), Acquire(0, "s0", after=9)]
    return Schedule([*sending, Acquire(1, "s1", after=2, gap=1), Acquire(2, "s0", after=2, gap=1)])


def without_the_gone(trace: Trace) -> list[Event]:
    """Returns the events, but for the attempts on who is gone: a real server knows that from the pid."""
    return [event for event in trace.events if not isinstance(event, Attempted) or event.outcome != "gone"]


# One run


@pytest.mark.parametrize("at", SENDING)
def test_on_a_queue_real_workers_do_as_simulated_ones(at: SendingPoint, local: ProcessBackend) -> None:
    """At each point the trace is that of simulated workers on a shared wire."""
    assert without_the_gone(run(killed(at), local)) == without_the_gone(run(killed(at), SimulatedBackend()))


@pytest.mark.parametrize("at", SENDING)
def test_on_a_socket_real_workers_do_as_simulated_ones(at: SendingPoint, backends: dict[str, ProcessBackend]) -> None:
    """A packet is sent or not: at each point the trace is that of simulated workers with connections."""
    real, model = run(killed(at), backends["socket"]), run(killed(at), SimulatedBackend(wire="sequenced"))

    assert (real.hash, real.violations, real.known) == (model.hash, [], [])


@pytest.mark.parametrize("at", SENDING)
def test_over_a_fifo_it_goes_as_over_a_socket(at: SendingPoint, backends: dict[str, ProcessBackend]) -> None:
    """A line is written or not: at each point the trace is the same over a FIFO as over a socket."""
    file, socket = run(killed(at), backends["file"]), run(killed(at), backends["socket"])

    assert (file.hash, file.violations, file.known) == (socket.hash, [], [])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_release_is_lost_as_an_acquire_is(transport: str, backends: dict[str, ProcessBackend]) -> None:
    """Who is killed before its release was written is dead, and its release has not arrived."""
    schedule = Schedule([Acquire(0, "s0", after=5), CrashSending(0, "buffered", gap=1), Release(0, "s0")])
    trace = run(schedule, backends[transport])

    assert (trace.of(Arrived), trace.of(Meddled)) == ([Arrived(0, 0)], [Meddled(1, 1, "lost", 1)])
    assert (trace.deaths, trace.violations, trace.known) == ([Died(1, 0, 0, "sigkill")], [], [])


def test_a_half_written_request_silences_the_rest(local: ProcessBackend) -> None:
    """Nobody is heard after it: who was guarded before is reaped for that, and who was not is never reaped."""
    trace = run(killed("half written"), local)

    assert trace.events == [
        ServerStarted(0),
        *(Started(0, worker, 0) for worker in range(3)),
        Sent(0, 0, 1, 0, "s0", 5),
        Arrived(0, 0),
        Sent(0, 1, 0, 0, "s0", 9),
        Meddled(0, 1, "lock held", 0),
        Meddled(0, 1, "lost", 0),
        Died(0, 0, 0, "sigkill"),
        Sent(1, 2, 1, 0, "s1", 3),
        Sent(2, 3, 2, 0, "s0", 4),
        Meddled(5, 2, "lost", 5),
        Attempted(5, 1, 0, "worker 1", "reaped"),
        Died(5, 1, 0, "reaped"),
        Ended(10),
    ]
    assert (trace.violations, [known.headline for known in trace.known]) == (
        [],
        [
            "death-contained: worker 1's acquire of s1 at t=1 never arrived: worker 0 was killed with the lock at t=0",
            "acquire-means-armed: worker 0's acquire of s0 at t=0 returned, and never arrived",
        ],
    )


def test_a_request_in_its_buffer_dies_with_its_process(local: ProcessBackend) -> None:
    """It is lost though its acquire has returned, and it alone: the others are heard."""
    trace = run(killed("buffered"), local)

    assert trace.of(Meddled) == [Meddled(0, 1, "lost", 0)]
    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(1, 3), (2, 4)]
    assert [known.invariant.id for known in trace.known] == ["acquire-means-armed"]


def test_who_is_silenced_hangs_in_its_exit(local: ProcessBackend) -> None:
    """An exit waits for the feeder thread, and that for the lock of the dead: it is skipped, and the worker reaped."""
    schedule = Schedule(
        [CrashSending(0, "flushed"), Acquire(1, "s0", after=5), Release(0, "s0"), Release(1, "s0"), Exit(1)]
    )
    trace = run(schedule, local)

    assert (trace.of(Skipped), [(death.worker, death.how) for death in trace.deaths]) == (
        [Skipped(0, Exit(1))],
        [(0, "sigkill"), (1, "reaped")],
    )


def test_who_has_said_nothing_since_exits_as_ever(local: ProcessBackend) -> None:
    """A silent worker has nothing under way, and ends."""
    trace = run(Schedule([Acquire(1, "s0", after=5), CrashSending(0, "flushed"), Release(0, "s0"), Exit(1)]), local)

    assert [(death.worker, death.how) for death in trace.deaths] == [(0, "sigkill"), (1, "exit")]


def test_who_is_silenced_comes_to_no_point(local: ProcessBackend) -> None:
    """Who was to be killed while it sends lives on where the lock is gone: its request gets no farther than that."""
    told = [CrashSending(1, "buffered"), CrashSending(0, "lock held"), Release(0, "s0"), CrashSending(2, "flushed")]
    trace = run(Schedule([*told, Release(1, "s0"), Release(2, "s0"), Release(2, "s1")]), local)

    assert [(death.worker, death.how) for death in trace.deaths] == [(0, "sigkill")]
    assert (len(trace.requests), len(trace.of(Arrived))) == (4, 0)


@pytest.mark.parametrize(("transport", "at"), POINTS)
def test_only_the_next_request_is_concerned(
    transport: str, at: SendingPoint, backends: dict[str, ProcessBackend]
) -> None:
    """A worker that sends nothing more in its run sends as ever in the next."""
    run(Schedule([Acquire(0, "s0", after=50), Release(0, "s0"), CrashSending(0, at)]), backends[transport])
    trace = run(Schedule([Acquire(worker, "s0", after=2) for worker in range(3)]), backends[transport])

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 2), (1, 2), (2, 2)]


def test_over_a_socket_who_waits_for_its_answer_is_killed_when_it_has_asked(
    backends: dict[str, ProcessBackend],
) -> None:
    """While the server is paused a worker greets and waits; it is killed when it has asked, and its server goes on."""
    schedule = Schedule([PauseServer(3), CrashSending(0, "flushed", gap=1), Acquire(0, "s0", after=5), Start(0, gap=5)])
    trace = run(schedule, backends["socket"])

    assert [(event.at, type(event)) for event in trace.events if getattr(event, "at", 0) == 3] == [
        (3, Arrived),
        (3, Died),
    ]
    assert (trace.violations, trace.reaps) == ([], [])


@pytest.mark.parametrize("transport", ["file", "socket"])
def test_who_is_refused_has_not_sent(transport: str, backends: dict[str, ProcessBackend]) -> None:
    """A worker that finds no server is killed after the next request that it can send."""
    away = [StopServer(), CrashSending(0, "flushed"), Acquire(0, "s0", after=5), StartServer(gap=1)]
    trace = run(Schedule([*away, Acquire(0, "s0", after=5)]), backends[transport])

    assert trace.of(Meddled) == [Meddled(0, 0, "refused", 0)]
    assert (trace.of(Arrived), trace.deaths) == ([Arrived(1, 1)], [Died(1, 0, 0, "sigkill")])


# The next run


@pytest.mark.parametrize("at", LOCKED)
def test_the_run_after_a_death_with_the_lock_is_as_ever(at: SendingPoint, local: ProcessBackend) -> None:
    """The queue is mended: the same pool, the same traces, and who was stuck is there no more."""
    schedule = Schedule([Acquire(worker, f"s{scope}", after=3) for worker in range(4) for scope in range(2)])
    before = run(schedule, local)
    pool = local._pool
    silenced = Schedule([CrashSending(0, at), *schedule, Pause(1), Crash(2, "abort"), Exit(3)])
    assert run(silenced, local).hash == run(silenced, local).hash
    after = run(schedule, local)

    assert (after.events, local._pool) == (before.events, pool)
    assert (after.violations, after.known) == ([], [])


@pytest.mark.parametrize("transport", one_in(3, TRANSPORTS))
def test_a_hundred_kills_leave_nothing_behind(transport: Transport) -> None:
    """After runs with kills at each point no worker is there but those that can be used, and at the end nobody."""
    with watch_leftovers() as left, closing(ProcessBackend(transport)) as backend:
        for number in range(100):
            run(killed(SENDING[number % len(SENDING)]), backend)
        assert isinstance(backend._pool, Pool)
        children = {child.pid for child in psutil.Process(backend._pool.pid).children()}
        idle = {worker.pid for worker in backend._pool._idle}

    assert (children, left) == (idle, [])


# The same everywhere

HASHES = """
from timersim.backends import ProcessBackend
from timersim.lab import run
from timersim.lab.operations import SENDING
from tests.backends.test_hazards import TRANSPORTS, killed

for name in TRANSPORTS:
    backend = ProcessBackend(name)
    for at in SENDING:
        print(name, at, run(killed(at), backend).hash, run(killed(at), backend).hash)
    backend.close()
"""


def test_the_hash_is_the_same_twice_and_in_any_process() -> None:
    """Each kill has one hash, in each run, and whatever PYTHONHASHSEED is."""
    said = [output(HASHES, seed) for seed in (1, 2)]

    assert said[0] == said[1]
    assert [line.split()[-1] for line in said[0].splitlines()] == [line.split()[-2] for line in said[0].splitlines()]
    assert len(said[0].splitlines()) == len(TRANSPORTS) * len(SENDING)


@pytest.mark.slow
def test_a_hundred_schedules_on_simulated_and_on_real_workers(local: ProcessBackend) -> None:
    """With kills among everything else the traces are the same, up to an exit that hangs."""
    seen = 0
    for number in range(100):
        schedule = seeded_schedule(9, number, Vocabulary((*PLAIN, CrashSending)))
        trace = run(schedule, local)
        real, model = without_the_gone(trace), without_the_gone(run(schedule, SimulatedBackend()))
        differing = next((here for here, there in zip_longest(real, model) if here != there), None)
        assert differing is None or (isinstance(differing, Skipped) and isinstance(differing.operation, Exit)), schedule
        assert trace.violations == []
        seen += bool(trace.of(Meddled))
    assert seen >= 10


# What a search finds


@pytest.mark.slow
def test_a_search_on_a_queue_lists_what_is_known() -> None:
    """Both hazards are found, each shrunk to what it needs, and listed as known; nothing else is found."""
    with closing(ProcessBackend("local")) as backend:
        report = find_violations(backend, max_examples=200)

    assert (report.findings, report.unreached, report.no_longer) == ([], [], [])
    assert [(finding.invariants, len(finding.schedule), finding.faults) for finding in report.known] == [
        (["death-contained"], 3, ["CrashSending"]),
        (["acquire-means-armed"], 2, ["CrashSending"]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["file", "socket"])
def test_a_search_on_the_other_wires_finds_nothing(transport: Transport) -> None:
    """Kills while sending are drawn there as well, and nothing is known or found."""
    with closing(ProcessBackend(transport)) as backend:
        report = find_violations(backend, max_examples=200)

    assert (report.findings, report.known, report.exempt, report.unreached) == ([], [], {}, [])
    assert report.goals["a crash before the flush"] >= 5


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_points_that_a_wire_lacks_are_not_drawn_there(transport: Transport) -> None:
    """A backend says which points its wire has, and schedules are drawn with these."""
    sending = ProcessBackend(transport).sending
    vocabulary = Vocabulary((Acquire, CrashSending), sending=sending)
    drawn = {op.at for n in range(50) for op in seeded_schedule(0, n, vocabulary) if isinstance(op, CrashSending)}

    assert drawn == set(sending) == {at for name, at in POINTS if name == transport}


# One process


@pytest.mark.parametrize("is_by_itself", [True, False])
@pytest.mark.parametrize(
    ("at", "holds_lock", "written"),
    [("buffered", False, 0), ("lock held", True, 0), ("half written", True, 1 / 2), ("flushed", True, 1)],
)
def test_how_a_writer_leaves_its_queue(*, at: str, holds_lock: bool, written: float, is_by_itself: bool) -> None:
    """Killed by itself or from outside, it leaves the lock and the pipe as they were at that point."""
    wire = QueueWire()
    with closing(wire), closing(Pool(*wire.to_pass())) as pool:
        worker = pool.take()
        worker.send("stop_at", at)
        assert hear(worker, "it", "stop_at") == b"done"
        worker.send("acquire", "s0", 4e9)
        assert {hear(worker, "it", "acquire") for _ in range(2)} == {b"done", at.encode()}
        if is_by_itself:
            worker.send("crash", "sigkill")
        else:
            worker.signal(signal.SIGKILL)
        wait_for(worker.pidfd, "its death")

        assert pool.bury(worker) == -signal.SIGKILL
        assert wire._queue._wlock.acquire(block=False) != holds_lock
        frame = bytearray()
        if written:
            frame += os.read(wire.fileno(), 65_536)
        with pytest.raises(BlockingIOError):
            os.read(wire.fileno(), 1)
        length = 4 + int.from_bytes(frame[:4], "big")
        assert len(frame) == (int(length * written) if written else 0)
        assert wire._queue.qsize() == 1


@pytest.mark.parametrize("at", LOCKED)
def test_a_mended_queue_is_as_new(at: str) -> None:
    """After a death with its lock nothing of before is there: the next request is read, and nothing more is owed."""
    wire = QueueWire()
    with closing(wire), closing(Pool(*wire.to_pass())) as pool:
        dead, other = pool.take(), pool.take()
        dead.send("stop_at", at)
        assert hear(dead, "it", "stop_at") == b"done"
        dead.send("acquire", "s0", 4e9)
        assert {hear(dead, "it", "acquire") for _ in range(2)} == {b"done", at.encode()}
        dead.signal(signal.SIGKILL)
        wait_for(dead.pidfd, "its death")
        pool.bury(dead)
        wire.mend()
        assert wire.is_drained()

        other.send("acquire", "s1", 4e9)
        wait_for(wire.fileno(), "its request")
        assert [(request.worker_id, request.scope_id) for request in wire.read()] == [(other.pid, "s1")]
        assert wire.is_drained()
