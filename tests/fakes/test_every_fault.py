"""Every fault: what it can break, a server in which it does, and the correct servers in which it does not."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.broken_by_faults import EndsWhenAllAreSilent, ReapsByAnOldList
from timersim.fakes import FakeWorkers, SimulatedBackend, VirtualClock, simulated_world
from timersim.fakes.broken_servers import server_without
from timersim.fakes.faults import WireKind
from timersim.fakes.scheduler import SECOND
from timersim.fakes.servers import ServerMaker
from timersim.fakes.world import SimulatedWorld
from timersim.lab import (
    Acquire,
    Contract,
    Corrupt,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Drop,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Operation,
    Pause,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Reuse,
    Schedule,
    SlowReap,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
    Tie,
    run,
)
from timersim.lab.operations import OPERATIONS
from timersim.lab.record import Attempted, ServerPaused
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper
from timersim.sequenced_server import SequencedTimerServer


def of_incarnations(kind: type[PidTimerServer]) -> Callable[[Any], PidTimerServer]:
    """Returns what makes a server of this kind, which reaps with a `ProcessReaper`."""

    def make(world: Any) -> PidTimerServer:
        reaper = ProcessReaper(clock=world.clock, kernel=world.kernel)
        return kind(world.queue, world.max_interval, clock=world.clock, reaper=reaper)

    return make


PIDS = SimulatedBackend(name="pids")
INCARNATIONS = SimulatedBackend(
    of_incarnations(PidTimerServer), contract=Contract(reap_within=0, retry_within=10), name="incarnations"
)
SEQUENCED = SimulatedBackend(wire="sequenced", name="sequenced")

CORRECT: dict[WireKind, list[SimulatedBackend]] = {"shared": [PIDS, INCARNATIONS], "sequenced": [SEQUENCED]}
"""The correct servers of each wire, under the contracts that they keep."""


@dataclass(frozen=True)
class Row:
    """A fault among the operations of `schedule`: it `breaks` these invariants in `server`, on that wire.

    The server is held to the contract of the correct one that it `claims` to be.
    """

    schedule: Schedule
    breaks: list[str]
    server: ServerMaker
    claims: SimulatedBackend = PIDS
    wire: WireKind = "shared"

    @property
    def fault(self) -> Operation:
        """The fault, of which there is one."""
        (fault,) = (operation for operation in self.schedule if operation.fault)
        return fault

    @property
    def name(self) -> str:
        """The fault, with what it says in words."""
        return " ".join([type(self.fault).__name__, *(str(getattr(self.fault, field)) for field in self.fault.words)])

    @property
    def backend(self) -> SimulatedBackend:
        """The backend of the broken server."""
        return SimulatedBackend(self.server, wire=self.wire, contract=self.claims.contract)

    @property
    def without_fault(self) -> Schedule:
        """The same schedule less the fault, at the same instants: its gap is the next operation's."""
        operations = list(self.schedule)
        index = operations.index(self.fault)
        gap = operations.pop(index).gap
        operations[index:] = [
            operation.but(gap=operation.gap + gap) if number == 0 else operation
            for number, operation in enumerate(operations[index:])
        ]
        return Schedule(operations)


def beating(worker: int) -> list[Operation]:
    """Returns a worker's re-arms of one timer, every 4 ticks from t=8 on, and its release at t=20."""
    return [*(Acquire(worker, "job", after=20, gap=4) for _ in range(3)), Release(worker, "job", gap=4)]


TABLE = [
    # What becomes of workers
    Row(
        Schedule([Acquire(0, "s", after=5), Crash(0, "sigkill", gap=2)]),
        ["dead-stay-dead", "nothing-left"],
        server_without("take-the-gone-for-gone"),
        INCARNATIONS,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Crash(0, "exit", gap=2)]),
        ["dead-stay-dead", "nothing-left"],
        server_without("take-the-gone-for-gone"),
        INCARNATIONS,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Crash(0, "abort", gap=2)]),
        ["dead-stay-dead", "nothing-left"],
        server_without("take-the-gone-for-gone"),
        INCARNATIONS,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Crash(0, "segv", gap=2)]),
        ["dead-stay-dead", "nothing-left"],
        server_without("take-the-gone-for-gone"),
        INCARNATIONS,
    ),
    Row(
        Schedule([Acquire(0, "job", after=20), Acquire(0, "job", after=20, gap=4), Pause(0, gap=1), *beating(0)]),
        ["reaped-in-time", "conservation"],
        server_without("trust-the-silent"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Exit(0, gap=2), Reuse(1, of=0, gap=1)]),
        ["right-incarnation"],
        server_without("signal-incarnations"),
        INCARNATIONS,
    ),
    # What becomes of requests
    Row(
        Schedule([Acquire(0, "s", after=5), CrashSending(0, "buffered", gap=2), Release(0, "s")]),
        ["dead-stay-dead", "nothing-left"],
        server_without("take-the-gone-for-gone"),
        INCARNATIONS,
    ),
    Row(
        Schedule(
            [
                Acquire(1, "job", after=20),
                Acquire(1, "job", after=20, gap=4),
                CrashSending(0, "lock held", gap=1),
                Release(0, "s"),
                *beating(1),
            ]
        ),
        ["reaped-in-time", "conservation"],
        server_without("trust-the-silent"),
    ),
    Row(
        Schedule(
            [
                Acquire(1, "job", after=20),
                Acquire(1, "job", after=20, gap=4),
                CrashSending(0, "half written", gap=1),
                Release(0, "s"),
                *beating(1),
            ]
        ),
        ["reaped-in-time", "watchdog-survives"],
        EndsWhenAllAreSilent,
    ),
    Row(
        Schedule([Acquire(1, "t", after=9), CrashSending(0, "flushed", gap=1), Acquire(0, "s", after=5)]),
        ["reaped-in-time", "watchdog-survives"],
        server_without("outlive-a-sender"),
        INCARNATIONS,
    ),
    Row(
        Schedule([Delay(0, 7), Acquire(0, "s", after=5)]),
        ["reaped-in-time", "conservation"],
        server_without("arm-the-overdue"),
    ),
    Row(
        Schedule([Drop(0), Acquire(0, "s", after=5), Release(0, "s", gap=1), Acquire(0, "s", after=5, gap=1)]),
        ["reaped-in-time", "conservation"],
        server_without("one-release-is-enough"),
    ),
    Row(
        Schedule([Duplicate(0, later=0), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["release-wins", "conservation"],
        server_without("one-release-is-enough"),
    ),
    Row(
        Schedule([Duplicate(0, later=3), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["release-wins", "replay-safe"],
        server_without("heed-the-sequence"),
        SEQUENCED,
        "sequenced",
    ),
    Row(
        Schedule([Reorder(0, 2), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["right-set", "replay-safe"],
        server_without("heed-the-sequence"),
        SEQUENCED,
        "sequenced",
    ),
    Row(
        Schedule([Acquire(1, "t", after=9), Corrupt(0, "garbage", gap=1), Acquire(0, "s", after=5)]),
        ["reaped-in-time", "watchdog-survives", "poison-contained"],
        server_without("outlive-a-bad-message"),
    ),
    Row(
        Schedule([Acquire(0, "a", after=9), Corrupt(0, "nan", gap=1), Acquire(0, "b", after=9)]),
        ["no-early-reap", "poison-contained"],
        server_without("refuse-nan"),
    ),
    Row(
        Schedule(
            [StopServer(), Corrupt(0, "truncated"), Release(0, "s"), Acquire(1, "t", after=9), StartServer(gap=1)]
        ),
        ["reaped-in-time", "restart-guards", "poison-contained"],
        server_without("net-each-message"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Stall(0, 3, gap=1), Release(0, "s"), Acquire(0, "s", after=9, gap=1)]),
        ["reaped-in-time", "conservation"],
        server_without("keep-the-order"),
    ),
    Row(
        Schedule(
            [
                Acquire(0, "s", after=5),
                StopServer(gap=2),
                Flood(1, "f", times=8),
                Release(0, "s", gap=2),
                StartServer(gap=2),
            ]
        ),
        ["release-wins"],
        server_without("drain-all"),
    ),
    # What becomes of the server
    Row(
        Schedule([Acquire(0, "s", after=5), PauseServer(6, gap=3), Release(0, "s", gap=1)]),
        ["release-wins", "pause-is-not-silence"],
        server_without("drain-before-expire"),
    ),
    Row(
        Schedule(
            [
                Acquire(0, "s", after=5),
                PauseInPass("drained", 6, gap=3),
                Acquire(1, "t", after=20),
                Release(0, "s", gap=1),
                Release(1, "t", gap=6),
            ]
        ),
        ["release-wins", "pause-is-not-silence"],
        server_without("read-the-clock-first"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Acquire(1, "t", after=8), PauseInPass("reaping", 6)]),
        ["reaped-in-time", "reap-spares-the-rest", "no-head-of-line"],
        server_without("plan-from-the-judgement"),
    ),
    Row(
        Schedule(
            [Acquire(0, "s", after=5), Acquire(1, "t", after=5), PauseInPass("reaped", 6), Release(1, "t", gap=8)]
        ),
        ["release-wins", "pause-is-not-silence"],
        ReapsByAnOldList,
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), CrashServer(gap=2), Release(0, "s", gap=1), StartServer(gap=1)]),
        ["release-wins", "conservation"],
        server_without("load-before-draining"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Release(0, "s", gap=1), RestartServer(gap=2)]),
        ["release-wins", "conservation"],
        server_without("save-releases"),
    ),
    # What becomes of reaps
    Row(
        Schedule([Acquire(0, "s", after=5), FailReap(0, times=1)]),
        ["reaped-in-time", "failed-reap-retried", "conservation"],
        server_without("retry-a-failed-reap"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), RaiseInReap(0, times=1)]),
        ["reaped-in-time", "failed-reap-retried", "conservation"],
        server_without("exceptions-are-failures"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Acquire(1, "t", after=5), RaiseInReap(0, times=1)]),
        ["reaped-in-time", "no-head-of-line"],
        server_without("net-each-reap"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), SlowReap(0, 6), StopServer(gap=7)]),
        ["silent-after-stop"],
        server_without("wait-for-the-last-pass"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Acquire(1, "t", after=5), SlowReap(0, 6), Release(1, "t", gap=8)]),
        ["release-wins", "pause-is-not-silence"],
        ReapsByAnOldList,
    ),
    # What becomes of the clocks
    Row(
        Schedule([Acquire(0, "s", after=9), StepWall(5, gap=2)]),
        ["no-early-reap", "wall-steps-do-not-matter"],
        server_without("go-by-monotonic-time"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), StepWall(-5, gap=2)]),
        ["wall-steps-do-not-matter", "reaped-in-time"],
        server_without("go-by-monotonic-time"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Suspend(3600, gap=2)]),
        ["no-early-reap", "wall-steps-do-not-matter"],
        server_without("go-by-monotonic-time"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Drift(500, gap=1)]),
        ["no-early-reap", "wall-steps-do-not-matter"],
        server_without("go-by-monotonic-time"),
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Drift(-500, gap=1)]),
        ["wall-steps-do-not-matter", "reaped-in-time"],
        server_without("go-by-monotonic-time"),
    ),
]
"""Each fault, the invariants that it can break, and a server in which it does; ordered by whom it befalls."""


every_row = pytest.mark.parametrize("row", TABLE, ids=[f"{row.name}-{number}" for number, row in enumerate(TABLE)])


def broken(schedule: Schedule, backend: SimulatedBackend) -> list[str]:
    """Returns the ids of the invariants that a run breaks."""
    return [violation.invariant.id for violation in run(schedule, backend).violations]


def test_every_fault_has_a_row() -> None:
    """No fault lacks a row, and none of its words does."""
    words = {
        " ".join([name, *each])
        for name, kind in OPERATIONS.items()
        if kind.fault
        for each in ([(word,) for word in next(iter(kind.words.values()))] if kind.words else [()])
    }

    assert {row.name for row in TABLE} == words


@every_row
def test_a_fault_breaks_what_it_can(row: Row) -> None:
    """In a server with a mistake the fault breaks exactly what its row says."""
    assert broken(row.schedule, row.backend) == row.breaks


@every_row
def test_a_mistake_does_not_show_without_its_fault(row: Row) -> None:
    """With the same schedule less the fault the same server breaks nothing, and reaps whom the correct one reaps."""
    trace, correct = run(row.without_fault, row.backend), run(row.without_fault, row.claims)

    assert [violation.headline for violation in trace.violations] == []
    assert trace.deaths == correct.deaths


@every_row
def test_a_fault_does_not_break_the_correct_servers(row: Row) -> None:
    """The correct servers of the wire break nothing with the fault; one of them is under the broken one's contract."""
    backends = CORRECT[row.wire]

    assert {backend.name: broken(row.schedule, backend) for backend in backends} == {b.name: [] for b in backends}
    assert row.claims in backends


@every_row
def test_a_run_with_a_fault_has_one_trace(row: Row) -> None:
    """A second run of a schedule with a fault has the same trace, event by event."""
    for backend in (row.backend, *CORRECT[row.wire]):
        assert run(row.schedule, backend).hash == run(row.schedule, backend).hash


# Boundaries, on the correct servers

ALL = [PIDS, INCARNATIONS, SEQUENCED]

on_every_wire = pytest.mark.parametrize("backend", ALL, ids=lambda backend: backend.name)


def reaps(schedule: Schedule, backend: SimulatedBackend) -> list[tuple[int | None, float]]:
    """Returns who was reaped when, in a run that breaks nothing."""
    trace = run(schedule, backend)
    trace.check()
    return [(reap.worker, reap.at) for reap in trace.reaps]


@on_every_wire
@pytest.mark.parametrize("at", [8, 9, 10])
@pytest.mark.parametrize("fault", [StepWall(-1), StepWall(1), StepWall(-3600), StepWall(3600), Suspend(1), Drift(999)])
def test_the_wall_does_not_move_what_is_registered(fault: Operation, at: int, backend: SimulatedBackend) -> None:
    """A step, a suspend or a drift a tick before the expiration, at it or after it has the reap where it was."""
    moved = fault.but(gap=at)

    assert reaps(Schedule([Acquire(0, "s", after=9), moved]), backend) == [(0, 9)]


@on_every_wire
@pytest.mark.parametrize(("by", "due"), [(-1, 10), (0, 9), (1, 8), (6, 3), (7, 2), (8, 2), (9, 2)])
def test_a_step_before_the_registration_moves_the_timer(by: int, due: int, backend: SimulatedBackend) -> None:
    """What is on its way when the wall steps is due by the clock that registers it, at its registration at once."""
    schedule = Schedule([StopServer(), Acquire(0, "s", after=9), StepWall(by, gap=1), StartServer(gap=1)])

    assert reaps(schedule, backend) == [(0, due)]


@on_every_wire
@pytest.mark.parametrize(("at", "reaped"), [(4, []), (5, [(0, 5)]), (6, [(0, 5)])])
@pytest.mark.parametrize("request_", [Release(0, "s"), Acquire(0, "s", after=0)], ids=["release", "re-arm"])
def test_a_request_at_the_expiration_comes_too_late(
    request_: Operation, at: int, reaped: list[tuple[int, float]], backend: SimulatedBackend
) -> None:
    """Release or re-arm: a tick before the expiration it wins, at the expiration and after it the reap does."""
    late = request_.but(gap=at)
    re_armed = [(0, 4)] if at == 4 and isinstance(request_, Acquire) else []

    assert reaps(Schedule([Acquire(0, "s", after=5), late]), backend) == [*re_armed, *reaped]


@on_every_wire
@pytest.mark.parametrize("later", [-1, 0, 1])
def test_two_workers_are_reaped_each_at_its_own_instant(later: int, backend: SimulatedBackend) -> None:
    """Workers that are due a tick apart, or at one instant, are reaped then, equals in the order of their acquires."""
    schedule = Schedule([Acquire(0, "s", after=5), Acquire(1, "s", after=5 + later)])

    assert reaps(schedule, backend) == sorted([(0, 5), (1, 5 + later)], key=lambda reap: reap[1])


@on_every_wire
@pytest.mark.parametrize(("ticks", "reaped"), [(4, []), (5, [(0, 5)]), (6, [(0, 5)])])
def test_a_request_that_is_delayed_to_the_expiration_comes_too_late(
    ticks: int, reaped: list[tuple[int, float]], backend: SimulatedBackend
) -> None:
    """A release that the wire holds up arrives in time a tick before the expiration, and too late at it."""
    schedule = Schedule([Acquire(0, "s", after=5), Delay(0, ticks), Release(0, "s")])

    assert reaps(schedule, backend) == reaped


KINDS = {"memory": None, "pids": PidTimerServer, "sequenced": SequencedTimerServer}

of_every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class Watched:
    """A worker that holds a timer of 9 s in a world with one of the correct servers."""

    def __init__(self, world: SimulatedWorld, workers: FakeWorkers | None) -> None:
        self.clock = world.clock
        self._server = world.server
        self._workers = workers
        self._pid = workers.start() if workers else 1
        self.client = world.client(self._pid)

    @property
    def is_alive(self) -> bool:
        """Whether it has not been reaped."""
        return self._workers.alive(self._pid) if self._workers else self._server.reaped == []


@contextmanager
def watched(kind: type[PidTimerServer] | None) -> Iterator[Watched]:
    """Opens a world with a server of this kind, by default one of memory, and a worker."""
    workers: list[FakeWorkers] = []

    def make(world: SimulatedWorld) -> Any:
        if kind is None:
            return MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)
        workers.append(FakeWorkers(world.clock))
        world.kernel = workers[-1]
        return of_incarnations(kind)(world)

    with simulated_world(make) as world:
        yield Watched(world, workers[-1] if workers else None)


Hand = Callable[[VirtualClock, float], None]


def step(clock: VirtualClock, by: float) -> None:
    """Steps the wall clock."""
    clock.step_wall(by)


def suspend(clock: VirtualClock, by: float) -> None:
    """Lets the machine sleep for as long."""
    clock.suspend(abs(by))


def drift(clock: VirtualClock, by: float) -> None:
    """Lets the wall clock run half as fast, or half as fast again."""
    clock.drift(math.copysign(0.5, by))


@of_every_kind
@pytest.mark.parametrize("by", [-3600, -1e-9, 0, 1e-9, 3600])
@pytest.mark.parametrize("move", [step, suspend, drift])
def test_a_timer_is_due_at_its_nanosecond(move: Hand, by: float, kind: type[PidTimerServer] | None) -> None:
    """A worker is reaped at the nanosecond at which it is due, not one sooner, whatever the wall does meanwhile."""
    with watched(kind) as worker:
        worker.client.acquire("s", worker.clock.time() + 9)
        worker.clock.advance(2)
        move(worker.clock, by)
        worker.clock.advance_ns(7 * SECOND - 1)
        alive = [worker.is_alive]
        worker.clock.advance_ns(1)
        alive.append(worker.is_alive)

    assert alive == [True, False]


@of_every_kind
@pytest.mark.parametrize(("early", "alive"), [(-1, False), (0, False), (1, True)])
def test_a_release_by_a_nanosecond(early: int, alive: bool, kind: type[PidTimerServer] | None) -> None:  # noqa: FBT001 - a parameter
    """A release a nanosecond before the expiration wins; at it or after it the worker has been reaped."""
    with watched(kind) as worker:
        worker.client.acquire("s", worker.clock.time() + 9)
        worker.clock.advance_ns(9 * SECOND - early)
        worker.client.release("s")
        worker.clock.advance(60)

        assert worker.is_alive == alive


@of_every_kind
def test_ten_tenths_of_a_second_fire_a_timer_of_one(kind: type[PidTimerServer] | None) -> None:
    """A timer of a second is due after ten advances of a tenth, exactly: not after nine, not after eleven."""
    alive = []
    with watched(kind) as worker:
        worker.client.acquire("s", worker.clock.time() + 1)
        for _ in range(10):
            worker.clock.advance(0.1)
            alive.append(worker.is_alive)

    assert alive == [True] * 9 + [False]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_hundred_thousand_workers_are_reaped(number: int) -> None:
    """Each of many workers that hang at once is reaped at its instant, in the order of the expirations."""
    with simulated_world() as world:
        now = world.clock.time()
        for worker in range(number):
            world.client(worker).acquire("s", now + 1 + worker % 7)
        world.clock.advance(1)
        first = len(world.server.reaped)
        world.clock.advance(6)
        reaped = world.server.reaped

    assert first == len(range(0, number, 7))
    assert reaped == sorted(range(number), key=lambda worker: worker % 7)


def test_a_run_lasts_until_a_timer_is_due_by_a_clock_that_loses() -> None:
    """A wall clock that loses a tenth puts off a request that waits: the run goes on until it is due."""
    late = [Drift(-100), CrashServer(), Acquire(0, "s0", after=11), RestartServer(gap=11), Exit(0)]
    trace = run(Schedule(late), SimulatedBackend())

    assert (trace.violations, trace.end) == ([], 14)
    assert [(attempt.at, attempt.outcome) for attempt in trace.of(Attempted)] == [(12.1, "gone")]


@pytest.mark.parametrize(
    "last", [Release(1, "s0", gap=1), Acquire(1, "s0", after=5, gap=1), Acquire(1, "s1", after=0, gap=1)]
)
def test_what_arrives_while_a_pass_takes_more_between_two_reaps_counts(last: Operation) -> None:
    """A server that is paused when it has taken what arrived between two reaps takes again what came meanwhile."""
    meanwhile = [PauseInPass("drained", 1, gap=20), Acquire(1, "s0", after=0), last]
    schedule = [PauseInPass("reaped", 1), Acquire(0, "s0", after=20), Acquire(1, "s0", after=20), *meanwhile]

    assert run(Schedule(schedule), SimulatedBackend()).violations == []


def test_an_instant_within_a_tick_is_rounded_once() -> None:
    """A reap at the very end of a pause is in time, where that end is a fraction of a tick, too."""
    drifting = [Drift(20), Duplicate(0, 2), SlowReap(0, 2, gap=2), Acquire(0, "s0", after=5)]
    trace = run(Schedule(drifting), SimulatedBackend())

    assert [reap.at for reap in trace.reaps] == [pause.until for pause in trace.of(ServerPaused)] == [8.960000001]
    assert trace.violations == []


def test_what_is_armed_in_the_middle_of_a_pass_is_due_at_once() -> None:
    """A timer that is due when it is registered between two reaps is no prey of the pass, but of the next at once."""
    late = [
        PauseInPass("reaped", 1),
        Acquire(1, "s0", after=1),
        PauseServer(12),
        Acquire(0, "s0", after=0, gap=1),
        Start(1, gap=11),
        Acquire(1, "s0", after=0),
    ]
    trace = run(Schedule(late), SimulatedBackend())

    assert trace.violations == []
    assert [(attempt.at, attempt.worker, attempt.incarnation) for attempt in trace.reaps] == [
        (12, 1, 0),
        (13, 0, 0),
        (13, 1, 1),
    ]


def test_what_an_abandoned_pass_takes_is_guarded_by_the_next_watchdog() -> None:
    """A pass that hangs longer than stop waits takes a request; the watchdog started since reaps for it in time."""
    hanging = [PauseInPass("drained", 11), StopServer(), Acquire(0, "s0", after=0), StartServer()]
    traces = [run(Schedule([*order, *hanging]), SimulatedBackend()) for order in ([], [Tie(1)])]

    assert [trace.violations for trace in traces] == [[], []]
    assert [[(reap.at, reap.worker) for reap in trace.reaps] for trace in traces] == [[(11, 0)], [(11, 0)]]
