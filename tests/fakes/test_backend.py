"""The simulated backend: schedules on any server, with simulated workers, in virtual time."""

from typing import Any

import pytest

from tests.fakes import strangers
from tests.fakes.strangers import (
    CountingWatchdog,
    DeafWatchdog,
    DyingWatchdog,
    EstrangedWatchdog,
    ForgetfulWatchdog,
    GrimWatchdog,
    HastyWatchdog,
    PollingWatchdog,
    SpinningWatchdog,
)
from tests.hash_seeds import output
from timersim.fakes import SimulatedBackend, VirtualClock
from timersim.fakes.servers import ServerError
from timersim.lab import (
    Acquire,
    Contract,
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
    Trace,
    run,
)
from timersim.lab.operations import OPERATIONS
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Ended,
    Left,
    Sent,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Skipped,
    Started,
    WorkerPaused,
    WorkerResumed,
)
from timersim.memory_timer import MemoryTimerServer

BACKEND = SimulatedBackend()


def reaps(trace: Trace) -> list[tuple[int | None, float]]:
    """Returns who was reaped when."""
    return [(reap.worker, reap.at) for reap in trace.reaps]


def broken(trace: Trace) -> list[str]:
    """Returns the ids of the invariants that a trace breaks."""
    return [violation.invariant.id for violation in trace.violations]


# Whole runs


def test_a_hung_worker_is_reaped_when_it_is_due() -> None:
    """The record of the simplest run, event by event."""
    trace = run(Schedule([Acquire(0, "s", after=5)]), BACKEND)

    assert trace.events == [
        ServerStarted(0),
        Started(0, 0, 0),
        Sent(0, 0, 0, 0, "s", 5),
        Arrived(0, 0),
        Attempted(5, 0, 0, "worker 0", "reaped"),
        Died(5, 0, 0, "reaped"),
        Ended(6),
    ]
    assert trace.violations == []


def test_what_arrives_in_a_pause_of_the_server_waits() -> None:
    """A release that arrived while the server was paused wins, although the timer was due before the resume."""
    trace = run(Schedule([Acquire(0, "s", after=5), PauseServer(6, gap=3), Release(0, "s", gap=1)]), BACKEND)

    assert trace.events == [
        ServerStarted(0),
        Started(0, 0, 0),
        Sent(0, 0, 0, 0, "s", 5),
        Arrived(0, 0),
        ServerPaused(3, 9),
        Sent(4, 1, 0, 0, "s", None),
        Arrived(4, 1),
        Ended(10),
    ]
    assert trace.violations == []


def test_what_a_paused_worker_does_happens_at_its_resume() -> None:
    """Operations of a paused worker happen when it resumes, in order, with the instants of that moment."""
    schedule = Schedule(
        [Acquire(0, "s", after=5), Pause(0), Release(0, "s", gap=1), Acquire(0, "t", after=2), Resume(0, gap=2)]
    )
    trace = run(schedule, BACKEND)

    assert trace.events == [
        ServerStarted(0),
        Started(0, 0, 0),
        Sent(0, 0, 0, 0, "s", 5),
        Arrived(0, 0),
        WorkerPaused(0, 0),
        WorkerResumed(3, 0),
        Sent(3, 1, 0, 0, "s", None),
        Arrived(3, 1),
        Sent(3, 2, 0, 0, "t", 5),
        Arrived(3, 2),
        Attempted(5, 0, 0, "worker 0", "reaped"),
        Died(5, 0, 0, "reaped"),
        Ended(6),
    ]
    assert trace.violations == []


def test_operations_of_the_dead_are_skipped() -> None:
    """What a dead worker cannot do, and the start of a living one, are recorded as skipped."""
    schedule = Schedule(
        [Start(0), Start(0), Exit(0, gap=1), Release(0, "s"), Crash(0, "exit"), Start(0, gap=1), Resume(0)]
    )

    assert run(schedule, BACKEND).events == [
        ServerStarted(0),
        Started(0, 0, 0),
        Skipped(0, Start(0)),
        Died(1, 0, 0, "exit"),
        Skipped(1, Release(0, "s")),
        Skipped(1, Crash(0, "exit")),
        Started(2, 0, 1),
        Skipped(2, Resume(0)),
        Ended(2),
    ]


@pytest.mark.parametrize(
    ("operation", "how"),
    [
        (Exit(0, gap=1), "exit"),
        (Crash(0, "sigkill", gap=1), "sigkill"),
        (Crash(0, "exit", gap=1), "os._exit"),
        (Crash(0, "abort", gap=1), "abort"),
        (Crash(0, "segv", gap=1), "segv"),
    ],
)
def test_a_worker_that_is_gone_is_not_reaped(operation: Exit | Crash, how: str) -> None:
    """However a worker ended, the server finds it gone when its timer is due, and a new life is not touched."""
    trace = run(Schedule([Acquire(0, "s", after=5), operation, Start(0)]), BACKEND)

    assert trace.events[4:] == [
        Died(1, 0, 0, how),
        Started(1, 0, 1),
        Attempted(5, 0, 0, "worker 0", "gone"),
        Ended(6),
    ]
    assert trace.violations == []


@pytest.mark.parametrize(("gap", "reaped"), [(4, [(1, 9)]), (5, [(0, 5), (1, 9)]), (6, [(0, 5), (1, 9)])])
def test_a_release_is_in_time_before_the_expiration(gap: int, reaped: list[tuple[int, float]]) -> None:
    """A release spares its worker a tick before the expiration; at that instant the server has had its turn."""
    trace = run(Schedule([Acquire(0, "s", after=5), Acquire(1, "s", after=9), Release(0, "s", gap=gap)]), BACKEND)

    assert (reaps(trace), trace.violations) == (reaped, [])
    assert trace.of(Skipped) == ([] if gap == 4 else [Skipped(gap, Release(0, "s", gap=gap))])


# Pauses and stops of the server


@pytest.mark.parametrize(
    ("first", "second", "gap", "until", "reaped_at"),
    [(10, 3, 1, 10, 10), (3, 5, 1, 6, 6), (3, 1, 2, 3, 3), (3, 2, 2, 4, 4), (3, 3, 3, 6, 3)],
    ids=["inside", "longer", "same end", "a tick longer", "one after the other"],
)
def test_a_pause_within_a_pause_ends_with_the_later_one(
    first: int, second: int, gap: int, until: int, reaped_at: int
) -> None:
    """Of two pauses that overlap the later end counts; between two that do not the server has its turn."""
    trace = run(Schedule([PauseServer(first), Acquire(0, "s", after=1), PauseServer(second, gap=gap)]), BACKEND)

    assert (reaps(trace), trace.of(ServerPaused)[-1].until, trace.violations) == ([(0, reaped_at)], until, [])


@pytest.mark.parametrize(("ticks", "reaped_at"), [(1, 5), (2, 5), (3, 6)])
def test_a_pause_delays_only_what_it_covers(ticks: int, reaped_at: int) -> None:
    """A pause that ends before or at the expiration delays nothing; one that ends after it delays until its end."""
    trace = run(Schedule([Acquire(0, "s", after=5), PauseServer(ticks, gap=3)]), BACKEND)

    assert (reaps(trace), trace.violations) == ([(0, reaped_at)], [])


def test_a_server_guards_again_after_its_restart() -> None:
    """What is held when the server stops is guarded again after its start, and reaped at once where it is overdue."""
    trace = run(Schedule([Acquire(0, "s", after=5), StopServer(gap=1), StartServer(gap=9)]), BACKEND)

    assert trace.events[4:] == [
        ServerStopping(1),
        ServerStopped(1),
        ServerStarted(10),
        Attempted(10, 0, 0, "worker 0", "reaped"),
        Died(10, 0, 0, "reaped"),
        Ended(11),
    ]
    assert trace.violations == []


def test_a_stopped_server_reaps_nobody() -> None:
    """Nobody is reaped while the server is stopped, and nobody has to be."""
    trace = run(Schedule([Acquire(0, "s", after=5), StopServer(gap=1)]), BACKEND)

    assert (reaps(trace), trace.violations) == ([], [])


def test_a_paused_server_obeys_at_its_resume() -> None:
    """A stop and a start that are ordered while the server is paused happen at the end of the pause, in order."""
    schedule = Schedule([PauseServer(3), StopServer(gap=1), StartServer(gap=1), Acquire(0, "s", after=1)])

    assert run(schedule, BACKEND).events[2:] == [
        ServerPaused(0, 3),
        Sent(2, 0, 0, 0, "s", 3),
        Arrived(2, 0),
        ServerStopping(3),
        ServerStopped(3),
        ServerStarted(3),
        Attempted(3, 0, 0, "worker 0", "reaped"),
        Died(3, 0, 0, "reaped"),
        Ended(4),
    ]


# What a backend is


def test_a_backend_promises_what_its_server_can_keep() -> None:
    """Ours reaps at the instant, a stranger's within its interval, and a stated contract is the contract."""

    def function(world: Any) -> MemoryTimerServer:
        return MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)

    class Ours(MemoryTimerServer):
        """A subclass of ours."""

    contract = Contract(reap_within=3)
    promises = [
        SimulatedBackend(max_interval=30),
        SimulatedBackend(Ours, max_interval=30),
        SimulatedBackend(PollingWatchdog, max_interval=30),
        SimulatedBackend(function, max_interval=30),
    ]

    known = {"replay-safe": "requests carry no sequence"}
    ours = Contract(reap_within=0, retry_within=30, identity="pid", survives=frozenset(OPERATIONS), exempt=known)
    assert [backend.contract for backend in promises] == [
        ours,
        ours,
        Contract(reap_within=30),
        Contract(reap_within=30),
    ]
    assert SimulatedBackend(contract=contract).contract is contract
    assert repr(SimulatedBackend(PollingWatchdog, name="mine")) == "SimulatedBackend(PollingWatchdog, name='mine')"


def test_a_backend_can_be_used_again() -> None:
    """Runs of one backend know nothing of one another."""
    schedule = Schedule([Acquire(0, "s", after=5), Acquire(1, "s", after=3, gap=1)])
    first, other, again = run(schedule, BACKEND), run(Schedule([StopServer()]), BACKEND), run(schedule, BACKEND)

    assert (first.events == again.events, first.hash == again.hash, first.hash == other.hash) == (True, True, False)


def test_what_is_no_server_is_an_error_of_the_run() -> None:
    """Something that cannot be a server raises before anything runs."""
    with pytest.raises(ServerError):
        run(Schedule([]), SimulatedBackend(lambda world: None))


# Strangers

HUNG = Schedule([Acquire(0, "s", after=5)])
RELEASED = Schedule([Acquire(0, "s", after=5), Release(0, "s", gap=4)])


@pytest.mark.parametrize("patch", [None, ["tests.fakes.strangers"]])
def test_a_strangers_server_keeps_its_contract(patch: list[str] | None) -> None:
    """A correct stranger's server, unmodified, breaks nothing, and reaps through its own `os.kill`."""
    backend = SimulatedBackend(PollingWatchdog, max_interval=2, patch=patch)
    traces = [run(schedule, backend) for schedule in (HUNG, RELEASED)]

    assert [(reaps(trace), trace.violations) for trace in traces] == [([(0, 6)], []), ([], [])]


@pytest.mark.parametrize(
    ("server", "schedule", "headline"),
    [
        (HastyWatchdog, HUNG, "no-early-reap: worker 0 was reaped at t=2, and is due at t=5 at the earliest"),
        (ForgetfulWatchdog, RELEASED, "release-wins: worker 0 was reaped at t=6, but had released by t=4 (due t=5)"),
        (GrimWatchdog, HUNG, "right-set: pid 0 was to be reaped at t=6, and is no worker"),
        (
            DyingWatchdog,
            HUNG,
            "reaped-in-time: worker 0 was due at t=5 and is alive at t=8; the server died at t=2: KeyError: 's'",
        ),
        (
            SpinningWatchdog,
            HUNG,
            "reaped-in-time: worker 0 was due at t=5 and is alive at t=8; the server died at t=6:"
            " SpinError: spins: 'watcher' ran 1000 times at one instant",
        ),
    ],
)
def test_a_defect_of_a_stranger_is_found(server: type[PollingWatchdog], schedule: Schedule, headline: str) -> None:
    """A defect that was put into a stranger's server breaks the invariant that speaks of it."""
    trace = run(schedule, SimulatedBackend(server, max_interval=2))

    assert trace.violations[0].headline == headline


@pytest.mark.parametrize(
    ("server", "failure"),
    [
        (SpinningWatchdog, ServerFailed(6, "SpinError: spins: 'watcher' ran 1000 times at one instant")),
        (DyingWatchdog, ServerFailed(2, "KeyError: 's'")),
        (
            EstrangedWatchdog,
            ServerFailed(2, "AttributeError: a request has worker_id, scope_id and expiration_time, and no 'deadline'"),
        ),
    ],
)
def test_a_server_that_fails_is_recorded(server: type[PollingWatchdog], failure: ServerFailed) -> None:
    """A server that spins, or whose thread dies, does not end the run: it is recorded when and why it failed."""
    trace = run(HUNG, SimulatedBackend(server, max_interval=2))

    assert trace.of(ServerFailed) == [failure]
    assert broken(trace) == ["reaped-in-time", "watchdog-survives"]


def test_a_server_that_does_not_stop_is_left_behind() -> None:
    """Threads that are still there three intervals after the stop outlived the run."""
    trace = run(HUNG, SimulatedBackend(DeafWatchdog, max_interval=2))

    assert trace.of(Left) == [Left(14, "thread 'reader'"), Left(14, "thread 'watcher'")]
    assert broken(trace) == ["nothing-left"]


def test_table_entries_of_the_dead_are_left_behind() -> None:
    """A table that still holds timers of the dead at the end of the run is left behind."""

    class Hoarder(MemoryTimerServer):
        """Keeps what it should clear, and does not look again."""

        def clear_timers(self, worker_ids: set[Any]) -> None:
            """Does nothing."""

        def get_expired_timers(self, deadline: float) -> Any:
            return {} if self.reaped else super().get_expired_timers(deadline)

    trace = run(HUNG, SimulatedBackend(Hoarder))

    assert trace.of(Left) == [Left(6, "table entries of the dead (1)")]


def test_what_a_stranger_calls_timers_is_its_own_affair() -> None:
    """An attribute `_timers` that is no table of (worker, scope) disturbs no run, and accuses nobody."""
    trace = run(HUNG, SimulatedBackend(CountingWatchdog, max_interval=2))

    assert (reaps(trace), trace.violations) == ([(0, 6)], [])


@pytest.mark.torch
def test_a_stranger_on_torch_is_judged() -> None:
    """A subclass of torch's `TimerServer` that kills by pid runs on schedules, unmodified, and keeps its contract."""
    pytest.importorskip("torch")
    from tests.fakes.torch_strangers import PidTimerServer

    backend = SimulatedBackend(PidTimerServer, max_interval=3)
    traces = [run(schedule, backend) for schedule in (HUNG, RELEASED)]

    assert [(reaps(trace), trace.violations) for trace in traces] == [([(0, 6)], []), ([], [])]


@pytest.mark.torch
def test_torchs_own_drain_is_found_wanting() -> None:
    """Torch judges after one batch of what had arrived before its wait: a backlog hides a release, and we find it."""
    pytest.importorskip("torch")
    from tests.fakes.torch_strangers import JobTimerServer

    def slurm(world: Any) -> JobTimerServer:
        return JobTimerServer(world.queue, max_interval=3, cancel=world.reap)

    schedule = Schedule(
        [Acquire(0, "s", after=5), PauseServer(6, gap=3), Acquire(1, "s", after=99, gap=1), Release(0, "s")]
    )
    trace = run(schedule, SimulatedBackend(slurm, max_interval=3))

    assert broken(trace)[0] == "release-wins"


# Determinism

PROGRAM = """
from tests.fakes.strangers import PollingWatchdog
from timersim.fakes import SimulatedBackend
from timersim.lab import *

schedule = Schedule([
    Acquire(2, "red", after=5), Acquire(1, "green", after=5), Acquire(0, "blue", after=5), Acquire(1, "red", after=4),
    Pause(0, gap=1), Release(0, "blue"), Resume(0, gap=1), PauseServer(4), Crash(2, "sigkill", gap=1), Start(2),
])
for server in ((), (PollingWatchdog,)):
    trace = run(schedule, SimulatedBackend(*server))
    print(trace.hash, [(reap.worker, reap.at) for reap in trace.reaps])
"""


def test_a_run_is_the_same_in_every_process() -> None:
    """The hash of a trace is the same twice, and whatever the hash seed of the process."""
    outputs = [output(PROGRAM, seed) for seed in (0, 0, 1)]

    assert outputs == [outputs[0]] * 3
    assert [line.partition(" ")[2] for line in outputs[0].splitlines()] == ["[(1, 6)]", "[(1, 10)]"]


def test_a_world_that_fails_leaves_no_tasks() -> None:
    """Where a run raises, its tasks are ended and the stranger's modules are given back."""
    clocks: list[VirtualClock] = []

    def server(world: Any) -> PollingWatchdog:
        clocks.append(world.clock)
        return PollingWatchdog(world.queue, world.max_interval)

    def experiment() -> None:
        with SimulatedBackend(server).open() as world:
            world.start(0)
            raise LookupError

    before = vars(strangers).copy()
    with pytest.raises(LookupError):
        experiment()

    assert (clocks[0].tasks, vars(strangers) == before) == ([], True)
