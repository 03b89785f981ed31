"""Real workers, really killed, while time is virtual."""

import gc
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hash_seeds import output
from tests.quick import one_in
from timersim.api import TimerRequest
from timersim.backends import ProcessBackend
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.names import make_backend
from timersim.backends.process import Transport
from timersim.backends.workers.pool import PoolError
from timersim.fakes import SimulatedBackend
from timersim.file_based_local_timer import FileTimerServer
from timersim.lab import (
    Acquire,
    Crash,
    Exit,
    Pause,
    PauseServer,
    Release,
    Resume,
    Schedule,
    Start,
    StartServer,
    StopServer,
    run,
)
from timersim.lab.contract import Contract
from timersim.lab.experiment import World
from timersim.lab.operations import CRASHES, OPERATIONS
from timersim.lab.record import (
    Attempted,
    Event,
    Meddled,
    Registered,
    Sent,
    ServerPaused,
    ServerStarted,
    ServerStopping,
)
from timersim.local_timer import LocalTimerServer
from timersim.strategies import find_violations, seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

LIMIT = 10.0
"""Real seconds within which everything here must have happened."""


TRANSPORTS: tuple[Transport, ...] = ("local", "file", "socket")


@pytest.fixture(scope="module", params=TRANSPORTS)
def backend(request: pytest.FixtureRequest) -> Iterator[ProcessBackend]:
    """Yields a backend of each transport, whose processes are gone at the end."""
    backend = ProcessBackend(request.param)
    yield backend
    backend.close()


def zygote_of(backend: ProcessBackend) -> psutil.Process:
    """Returns the process from which the backend's workers come."""
    assert backend._pool is not None
    return psutil.Process(backend._pool.pid)


def gone_within(processes: list[psutil.Process], limit: float) -> bool:
    """Waits for the end of processes that are not all our children."""
    end = time.monotonic() + limit
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_an_hour_takes_no_time_and_ends_in_a_real_death(backend: ProcessBackend) -> None:
    """A timer of an hour expires at once, and the process that held it is dead."""
    run(Schedule([Start(0)]), backend)
    workers = {child.pid for child in zygote_of(backend).children()}
    began = time.monotonic()

    trace = run(Schedule([Acquire(0, "s0", after=3600)]), backend)

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 3600)]
    assert trace.violations == []
    assert time.monotonic() - began < LIMIT
    assert len(workers - {child.pid for child in zygote_of(backend).children()}) == 1


def test_who_releases_in_time_lives_on_and_is_used_again(backend: ProcessBackend) -> None:
    """A worker that released is alive after the run, and no process was made for the next run."""
    schedule = Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4)])
    run(schedule, backend)
    assert backend._pool is not None
    forks, children = backend._pool.forks, {child.pid for child in zygote_of(backend).children()}

    assert [run(schedule, backend).reaps for _ in range(5)] == [[]] * 5

    assert backend._pool.forks == forks
    assert {child.pid for child in zygote_of(backend).children()} == children


def test_the_ledger_numbers_the_requests_of_real_workers(backend: ProcessBackend) -> None:
    """What real workers send is entered with its number and its worker, one by one and as a backlog.

    Over a socket the worker that acquires during the pause releases when it was answered: that is no part of it.
    """
    one_by_one = [Acquire(1, "s0", after=50), Acquire(0, "s0", after=60, gap=1), Release(1, "s0", gap=1)]
    backlog = [PauseServer(3), Acquire(0, "s1", after=50), Acquire(1, "s1", after=50), Release(0, "s1")]
    trace = run(Schedule([*one_by_one, *backlog, Release(0, "s0", gap=4), Release(1, "s1")]), backend)
    first, second, third = (1, 0, "s0"), (0, 0, "s0"), (1, 0, "s1")

    entries = [entry for entry in trace.ledger if isinstance(entry, Registered)]
    if backend.name == "socket":
        assert [entry.after for entry in entries[3:5]] == [
            {second: 61, third: 52, (0, 0, "s1"): 52},
            {second: 61, third: 52},
        ]
        entries[3:5] = [replace(entries[4], requests=entries[3].requests + entries[4].requests)]
    assert [entry.requests for entry in entries] == [(0,), (1,), (2,), (3, 4, 5), (6,), (7,)]
    assert [entry.after for entry in entries] == [
        {first: 50},
        {first: 50, second: 61},
        {second: 61},
        {second: 61, third: 52},
        {third: 52},
        {},
    ]
    assert (trace.violations, [entry.refused for entry in entries]) == ([], [0] * 6)
    assert trace.exercised["conservation"] > 0


class LosesTheFirst(FileTimerServer):
    """A server that drops the first of several requests."""

    def _drain(self) -> list[TimerRequest]:
        requests = super()._drain()
        return requests[1:] or requests


def test_a_request_is_known_by_what_it_says() -> None:
    """Two that say the same are numbered as they came, and one that is left out by the server is nobody else's."""
    alike = [Acquire(0, "s0", after=50), Release(0, "s0"), Release(0, "s0")]
    other = [PauseServer(1, gap=1), Acquire(0, "s0", after=50), Acquire(0, "s0", after=60), Release(0, "s0", gap=2)]
    with closing(ProcessBackend("file", server=LosesTheFirst)) as backend:
        trace = run(Schedule([*alike, *other]), backend)

    entries = [entry for entry in trace.ledger if isinstance(entry, Registered)]
    assert [entry.requests for entry in entries] == [(0,), (1,), (2,), (4,), (5,)]
    assert [violation.invariant.id for violation in trace.violations] == ["conservation"]


def test_each_death_costs_one_fork(backend: ProcessBackend) -> None:
    """A run with three deaths, of each kind one, has three workers forked anew at most."""
    run(Schedule([Acquire(0, "s0", after=1), Crash(1, "sigkill"), Crash(2, "exit")]), backend)
    assert backend._pool is not None
    forks = backend._pool.forks

    run(Schedule([Start(0), Start(1), Start(2)]), backend)

    assert backend._pool.forks - forks <= 3


def test_each_way_to_die_is_seen(backend: ProcessBackend) -> None:
    """An exit, each crash and a reap are deaths of their own, each with the status that it has to have."""
    crashes = [Crash(number, how) for number, how in enumerate(CRASHES, 1)]
    trace = run(Schedule([Exit(0), *crashes, Acquire(5, "s0", after=2)]), backend)

    assert [(death.worker, death.how) for death in trace.deaths] == [
        (0, "exit"),
        (1, "sigkill"),
        (2, "os._exit"),
        (3, "abort"),
        (4, "segv"),
        (5, "reaped"),
    ]


@pytest.mark.parametrize("how", CRASHES)
def test_a_crash_has_the_same_hash_on_simulated_and_on_real_workers(how: str, backend: ProcessBackend) -> None:
    """However a worker with a timer crashes, its server does the same for simulated and for real workers."""
    schedule = Schedule([Acquire(0, "s0", after=5), Crash(0, how, gap=2), Start(0, gap=1), Acquire(0, "s1", after=1)])
    real, model = run(schedule, backend), run(schedule, SimulatedBackend())

    assert (real.hash, real.violations) == (model.hash, [])


CRASHING = """
from timersim.backends import ProcessBackend
from timersim.lab import Crash, Schedule, run
from timersim.lab.operations import CRASHES, OPERATIONS

backend = ProcessBackend()
run(Schedule([Crash(number, how) for number, how in enumerate(CRASHES)]), backend)
backend.close()
"""


def test_a_crash_leaves_no_core_and_no_noise(tmp_path: Path) -> None:
    """Workers that crash write nothing to the terminal and no core, though their limit and PYTHONFAULTHANDLER allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import resource; resource.setrlimit(resource.RLIMIT_CORE, ({hard}, {hard}))\n{CRASHING}",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert (done.stdout, done.stderr, [*tmp_path.iterdir()]) == (b"", b"", [])


def test_a_paused_worker_is_stopped_for_real_and_can_be_reaped(backend: ProcessBackend) -> None:
    """A worker under SIGSTOP is reaped all the same, and what it was to do is never done."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Pause(0), Release(0, "s0", gap=1)]), backend)

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 5)]
    assert len(trace.requests) == 1


def test_a_resumed_worker_does_what_it_was_to_do(backend: ProcessBackend) -> None:
    """What a worker was to do while it was stopped it does when it resumes, in order."""
    trace = run(
        Schedule(
            [Acquire(0, "s0", after=9), Pause(0), Release(0, "s0", gap=1), Acquire(0, "s1", after=2), Resume(0, gap=2)]
        ),
        backend,
    )

    assert [(sent.at, sent.scope, sent.expiration) for sent in trace.requests] == [
        (0, "s0", 9),
        (3, "s0", None),
        (3, "s1", 5),
    ]
    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 5)]


def test_the_server_stops_starts_and_pauses_on_real_processes(backend: ProcessBackend) -> None:
    """Who comes due while the server is away is reaped when it is back."""
    trace = run(
        Schedule(
            [
                Acquire(0, "s0", after=2),
                StopServer(gap=1),
                StartServer(gap=4),
                Acquire(1, "s0", after=2),
                PauseServer(6),
            ]
        ),
        backend,
    )

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 5), (1, 11)]
    assert trace.violations == []


DIFFERENCES: dict[str, Collection[str]] = {
    "local": (),
    "file": ("who asks a stopped server is refused",),
    "socket": ("who asks a stopped server is refused", "who asks a paused server waits for its answer"),
}
"""What real workers do otherwise than simulated ones, on a wire that takes in what is sent at any time."""


def is_the_same(real: list[Event], model: list[Event], differences: Collection[str]) -> bool:
    """Returns whether two traces are the same, or so up to a request with which one of the differences begins."""
    is_stopped, paused_until, met = False, 0.0, 0
    for here, there in zip_longest(real, model):
        if here != there:
            break
        match here:
            case ServerStopping() | ServerStarted():
                is_stopped = isinstance(here, ServerStopping)
            case ServerPaused(_, until):
                paused_until = until
            case Sent(at):
                met += is_stopped and "who asks a stopped server is refused" in differences
                met += at < paused_until and "who asks a paused server waits for its answer" in differences
    else:
        return True
    return met > 0


def test_simulated_and_real_workers_give_the_same_trace(backend: ProcessBackend) -> None:
    """The same schedules on simulated workers and on real processes give the same events, but for the differences.

    And for one thing: a real server knows from the pid that a worker is gone, and attempts nothing.
    """
    simulated = SimulatedBackend(wire="sequenced" if backend.name == "socket" else "shared")
    same = 0
    for number in range(60):
        schedule = seeded_schedule(5, number, Vocabulary(max_size=10))
        real, model = (
            [e for e in run(schedule, each).events if not isinstance(e, Attempted) or e.outcome != "gone"]
            for each in (backend, simulated)
        )
        assert is_the_same(real, model, DIFFERENCES[backend.name]), schedule
        same += real == model
    assert same >= (30 if DIFFERENCES[backend.name] else 60)


@pytest.mark.parametrize("transport", ["file", "socket"])
def test_who_asks_a_stopped_server_is_refused(transport: Transport) -> None:
    """A FIFO or a socket is there while the server is: a release is refused, and what was acquired stands."""
    schedule = Schedule(
        [
            Acquire(0, "s0", after=5),
            StopServer(gap=1),
            Release(0, "s0", gap=1),
            Acquire(1, "s0", after=1),
            StartServer(),
        ]
    )
    with closing(ProcessBackend(transport)) as backend:
        trace = run(schedule, backend)

    refused = [(event.at, event.request) for event in trace.events if isinstance(event, Meddled)]
    assert (refused, [(reap.worker, reap.at) for reap in trace.reaps]) == ([(2, 1), (2, 2)], [(0, 5)])
    assert trace.violations == []


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_three_hundred_schedules_break_nothing_and_leave_nothing(transport: Transport) -> None:
    """A search on real processes finds nothing, kills often, and leaves nothing behind.

    That is: no process, thread, descriptor or semaphore, and no directory with a FIFO or a socket.
    """
    with watch_leftovers() as left, closing(ProcessBackend(transport)) as backend:
        report = find_violations(backend, max_examples=300)

    assert report.findings == []
    assert report.unreached == []
    assert report.kills >= 300
    assert left == []


@pytest.mark.parametrize("transport", ["file", "socket"])
def test_a_run_that_is_cut_short_leaves_nothing(transport: Transport) -> None:
    """Where a worker is killed from outside, what its run held is given back all the same, once it is closed."""
    with watch_leftovers() as left, closing(ProcessBackend(transport)) as backend:
        backend.warm()
        for child in zygote_of(backend).children():
            child.kill()
        with pytest.raises(PoolError):
            run(Schedule([Acquire(0, "s0", after=1)]), backend)

    assert left == []


@pytest.mark.parametrize("transport", one_in(3, TRANSPORTS))
def test_an_ablation_is_found_on_real_processes(transport: Transport) -> None:
    """A server that forgets releases is found on real processes, too."""
    backend = make_backend(transport, without="honour-releases")

    report = find_violations(backend, max_examples=20)
    backend.close()

    assert "release-wins" in report.seen


def test_the_zygote_takes_its_workers_with_it() -> None:
    """When the zygote is killed, its workers end, a stopped one too, and the next run starts others."""
    backend = ProcessBackend()
    backend.warm()
    zygote = zygote_of(backend)
    workers = zygote.children()
    workers[0].suspend()
    zygote.kill()

    assert gone_within(workers, LIMIT)
    with pytest.raises(PoolError):
        run(Schedule([Acquire(worker, "s0", after=1) for worker in range(5)]), backend)
    assert run(Schedule([Acquire(0, "s0", after=1)]), backend).violations == []
    backend.close()


def test_a_worker_killed_from_outside_ends_the_run_with_a_sentence() -> None:
    """A worker that somebody else kills is named, and the backend can be used again."""
    backend = ProcessBackend()
    backend.warm()
    for child in zygote_of(backend).children():
        child.kill()

    with pytest.raises(PoolError, match=r"^(worker 0 ended when told to acquire|the worker with pid .* Broken pipe)$"):
        run(Schedule([Acquire(0, "s0", after=1)]), backend)
    assert run(Schedule([Acquire(0, "s0", after=1)]), backend).violations == []
    backend.close()


def kill_and_see_dead(process: psutil.Process) -> None:
    """Kills a process that may not be our child, and waits for its end, of every thread, and that of its children."""
    processes = [process, *process.children()]
    pidfd = os.pidfd_open(process.pid)  # to psutil it is a zombie as soon as its first thread is one
    process.kill()
    assert select.select([pidfd], [], [], LIMIT)[0] == [pidfd]
    os.close(pidfd)
    assert gone_within(processes, LIMIT)


@pytest.mark.parametrize(
    "then",
    [
        lambda world: world.acquire(0, "s1", 5),
        lambda world: world.exit(0),
        lambda world: world.crash(0, "sigkill"),
        lambda world: [world.start(worker) for worker in range(1, 5)],
        lambda world: world.advance(10),
        lambda world: None,
    ],
    ids=["acquire", "exit", "crash", "start", "reap", "end"],
)
@pytest.mark.parametrize(
    "server", [LocalTimerServer, lambda world: ReapsTheDeadToo(world)], ids=["ours", "reaps the dead too"]
)
def test_a_zygote_that_dies_in_a_run_is_named(then: Callable[[World], object], server: Any) -> None:
    """Whatever was to happen next, a run whose zygote was killed ends with a sentence; the next one is as ever."""
    backend = ProcessBackend(server=server, contract=Contract())

    def perform() -> None:
        with backend.open() as world:
            world.start(0)
            world.acquire(0, "s0", 5)
            kill_and_see_dead(zygote_of(backend))
            then(world)

    with pytest.raises(PoolError, match=r"^the zygote, and every worker with it, ended with status -9$"):
        perform()
    assert [reap.at for reap in run(Schedule([Acquire(0, "s0", after=1)]), backend).reaps] == [1]
    backend.close()


def test_a_pool_whose_zygote_has_ended_knows_nothing_of_strays() -> None:
    """Where the zygote was killed, strays are no longer looked for: its workers may live for a moment yet."""
    with closing(ProcessBackend()) as backend:
        backend.warm()
        assert backend._pool is not None
        kill_and_see_dead(zygote_of(backend))

        with pytest.raises(PoolError, match=r"^the zygote has ended$"):
            backend._pool.strays()


class ReapsTheDeadToo(LocalTimerServer):
    """A server that does not look whether a worker is gone before it reaps it, and goes on when that raises."""

    def __init__(self, world: Any) -> None:
        super().__init__(world.mp_queue, world.max_interval, clock=world.clock)
        self._reap = world.reap

    def _reap_worker(self, worker_id: int) -> bool:
        return bool(self._reap(worker_id))

    def _clear_the_dead(self) -> None:
        """It knows of none."""


@pytest.mark.parametrize("gap", [4, 5])
def test_a_worker_that_somebody_else_kills_in_a_run_accuses_no_server(gap: int) -> None:
    """A worker that is killed while its timer runs ends the run with a sentence, also after a reap of another."""
    backend = ProcessBackend()

    def perform() -> None:
        with backend.open() as world:
            for worker in range(2):
                world.start(worker)
                world.acquire(worker, "s0", 5 + 10 * worker)
            pid = world.workers.pid(1)  # type: ignore[attr-defined]  # of a run with real processes
            world.advance(gap)
            kill_and_see_dead(psutil.Process(pid))
            world.advance(20)

    with pytest.raises(PoolError, match=r"^worker 1 was ended by somebody else in the middle of a run$"):
        perform()
    assert run(Schedule([Acquire(0, "s0", after=1)]), backend).violations == []
    backend.close()


DRIVER = """
import signal
import sys
import psutil
from timersim.backends import ProcessBackend

from timersim.backends.private_path import private_directories

backend = ProcessBackend(sys.argv[1])
backend.warm()
zygote = psutil.Process(backend._pool.pid)
print(*private_directories())
with backend.open() as world:
    if "run" in sys.argv:
        for worker in range(3):
            world.start(worker)
            world.acquire(worker, "s0", 5 * worker + 5)
            world.advance(0)
        world.pause(1)
        world.crash(0, "sigkill")
        world.start(0)
    print(zygote.pid, *(child.pid for child in zygote.children()), flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("when", ["warm", "run"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_driver_that_is_killed_leaves_nobody(when: str, transport: Transport) -> None:
    """SIGKILL of the process that runs the backend ends all others in a second, a stopped one too; nothing is left."""
    command = [sys.executable, "-c", DRIVER, transport, when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout is not None
        directories = [Path(path) for path in driver.stdout.readline().split()]
        processes = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
        assert [path.is_dir() for path in directories] == [True] * (transport != "local")
        driver.kill()

    assert len(processes) == 4
    assert gone_within(processes, 1.0)
    assert not any(path.exists() for path in directories)


def test_an_unknown_transport_is_refused_by_name() -> None:
    """A transport that there is not is named."""
    with pytest.raises(ValueError, match=r"^the transport is local or file or socket: transport='pigeon'$"):
        ProcessBackend("pigeon")  # type: ignore[arg-type]  # that is the point


def test_a_stopped_zygote_does_not_keep_its_backend_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zygote that does not end within its limit is killed, and its workers with it."""
    monkeypatch.setattr("timersim.backends.workers.pool.END_LIMIT", 0.2)
    backend = ProcessBackend()
    backend.warm()
    zygote = zygote_of(backend)
    processes = [zygote, *zygote.children()]
    zygote.suspend()

    backend.close()

    assert gone_within(processes, LIMIT)


def test_a_backend_that_is_dropped_leaves_nobody() -> None:
    """A backend that nobody closed ends its processes when it is collected."""
    backend = ProcessBackend()
    backend.warm()
    zygote = zygote_of(backend)
    processes = [zygote, *zygote.children()]
    del backend
    gc.collect()

    assert gone_within(processes, LIMIT)


HASHES = """
from timersim.backends.names import make_backend
from timersim.lab import run
from timersim.strategies import seeded_schedule

for name in ("memory", "local", "file", "socket"):
    backend = make_backend(name)
    for _ in range({times}):
        print(name, [run(seeded_schedule(3, number), backend).hash for number in range({schedules})])
    backend.close()
"""


@pytest.mark.parametrize(("times", "schedules"), [(2, 8), pytest.param(5, 15, marks=pytest.mark.slow)])
def test_a_trace_has_the_same_hash_in_every_process(times: int, schedules: int) -> None:
    """The same schedules have the same hashes each time, and under PYTHONHASHSEED 0 and 1, on every backend."""
    program = HASHES.format(times=times, schedules=schedules)
    printed = [output(program, seed).splitlines() for seed in (0, 1)]

    assert printed[0] == printed[1]
    assert len(printed[0]) == 4 * times
    assert len(set(printed[0])) == 4


@pytest.mark.parametrize("tick", [None, 0.01], ids=["virtual time", "real time"])
@pytest.mark.parametrize("transport", ["local", "file", "socket"])
def test_what_a_backend_promises_to_survive_it_can_carry_out(transport: Transport, tick: float | None) -> None:
    """Schedules by the contract of a backend have no operation that it can't carry out."""
    backend = ProcessBackend(transport, tick=tick)

    assert {OPERATIONS[name] for name in backend.contract.survives} <= backend.operations
