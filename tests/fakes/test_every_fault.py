"""Every fault: what it can break, a server in which it does, and the correct servers in which it does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.fakes.broken_by_faults import (
    Counts,
    DropsTheSilent,
    DropsTheStale,
    EndsWhenAllAreSilent,
    EndsWithABadMessage,
    GivesUp,
    GoesByTheWall,
    IgnoresTheSequence,
    JudgesByALaterClock,
    KillsByPid,
    LetsAnExceptionOut,
    LoadsAfterItDrained,
    LooksSendersUp,
    LosesTheBatch,
    PlansAfterItReaped,
    ReapsByAnOldList,
    SavesAcquiresAlone,
    StopsWithoutWaiting,
    TakesAnExceptionForDone,
    TakesReleasesLast,
    TakesTheGoneForAFailure,
    TakesTwoAPass,
    TakesWhatIsNotLaterForExpired,
)
from timersim.fakes import FakeWorkers, SimulatedBackend, VirtualClock, simulated_world
from timersim.fakes.broken_servers import without
from timersim.fakes.faults import WireKind
from timersim.fakes.servers import ServerMaker
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
    Resume,
    Reuse,
    Schedule,
    SlowReap,
    Stall,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
    run,
)
from timersim.lab.operations import OPERATIONS
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper


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
            replace(operation, gap=operation.gap + gap) if number == 0 else operation  # type: ignore[type-var]  # each is a dataclass
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
        TakesTheGoneForAFailure,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Crash(0, "exit", gap=2)]),
        ["dead-stay-dead", "nothing-left"],
        TakesTheGoneForAFailure,
    ),
    Row(
        Schedule([Acquire(0, "job", after=20), Acquire(0, "job", after=20, gap=4), Pause(0, gap=1), *beating(0)]),
        ["reaped-in-time"],
        DropsTheSilent,
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Exit(0, gap=2), Reuse(1, of=0, gap=1)]),
        ["right-incarnation"],
        KillsByPid,
        INCARNATIONS,
    ),
    # What becomes of requests
    Row(
        Schedule([Acquire(0, "s", after=5), CrashSending(0, "buffered", gap=2), Release(0, "s")]),
        ["dead-stay-dead", "nothing-left"],
        TakesTheGoneForAFailure,
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
        ["reaped-in-time"],
        DropsTheSilent,
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
        ["reaped-in-time"],
        EndsWhenAllAreSilent,
    ),
    Row(
        Schedule([Acquire(1, "t", after=9), CrashSending(0, "flushed", gap=1), Acquire(0, "s", after=5)]),
        ["reaped-in-time"],
        of_incarnations(LooksSendersUp),
        INCARNATIONS,
    ),
    Row(Schedule([Delay(0, 7), Acquire(0, "s", after=5)]), ["reaped-in-time"], DropsTheStale),
    Row(
        Schedule([Drop(0), Acquire(0, "s", after=5), Release(0, "s", gap=1), Acquire(0, "s", after=5, gap=1)]),
        ["reaped-in-time"],
        Counts,
    ),
    Row(
        Schedule([Duplicate(0, later=0), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["release-wins"],
        Counts,
    ),
    Row(
        Schedule([Duplicate(0, later=3), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["release-wins"],
        of_incarnations(IgnoresTheSequence),
        SEQUENCED,
        "sequenced",
    ),
    Row(
        Schedule([Reorder(0, 2), Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        ["right-set"],
        of_incarnations(IgnoresTheSequence),
        SEQUENCED,
        "sequenced",
    ),
    Row(
        Schedule([Acquire(1, "t", after=9), Corrupt(0, "garbage", gap=1), Acquire(0, "s", after=5)]),
        ["reaped-in-time"],
        EndsWithABadMessage,
    ),
    Row(
        Schedule([Acquire(0, "a", after=9), Corrupt(0, "nan", gap=1), Acquire(0, "b", after=9)]),
        ["no-early-reap"],
        TakesWhatIsNotLaterForExpired,
    ),
    Row(
        Schedule([StopServer(), Corrupt(0, "truncated"), Release(0, "s"), Acquire(1, "t", after=9), StartServer(gap=1)]),
        ["reaped-in-time"],
        LosesTheBatch,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Stall(0, 3, gap=1), Release(0, "s"), Acquire(0, "s", after=9, gap=1)]),
        ["reaped-in-time"],
        TakesReleasesLast,
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
        TakesTwoAPass,
    ),
    # What becomes of the server
    Row(
        Schedule([Acquire(0, "s", after=5), PauseServer(6, gap=3), Release(0, "s", gap=1)]),
        ["release-wins"],
        without("drain-before-expire", MemoryTimerServer),
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
        ["release-wins"],
        JudgesByALaterClock,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Acquire(1, "t", after=8), PauseInPass("reaping", 6)]),
        ["reaped-in-time"],
        PlansAfterItReaped,
    ),
    Row(
        Schedule(
            [Acquire(0, "s", after=5), Acquire(1, "t", after=5), PauseInPass("reaped", 6), Release(1, "t", gap=8)]
        ),
        ["release-wins"],
        ReapsByAnOldList,
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), CrashServer(gap=2), Release(0, "s", gap=1), StartServer(gap=1)]),
        ["release-wins"],
        LoadsAfterItDrained,
    ),
    Row(
        Schedule([Acquire(0, "s", after=9), Release(0, "s", gap=1), RestartServer(gap=2)]),
        ["release-wins"],
        SavesAcquiresAlone,
    ),
    # What becomes of reaps
    Row(
        Schedule([Acquire(0, "s", after=5), FailReap(0, times=1)]),
        ["reaped-in-time", "failed-reap-retried"],
        GivesUp,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), RaiseInReap(0, times=1)]),
        ["reaped-in-time", "failed-reap-retried"],
        TakesAnExceptionForDone,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), Acquire(1, "t", after=5), RaiseInReap(0, times=1)]),
        ["reaped-in-time"],
        LetsAnExceptionOut,
    ),
    Row(
        Schedule([Acquire(0, "s", after=5), SlowReap(0, 6), StopServer(gap=7)]),
        ["silent-after-stop"],
        StopsWithoutWaiting,
    ),
    # What becomes of the clocks
    Row(Schedule([Acquire(0, "s", after=9), StepWall(5, gap=2)]), ["no-early-reap"], GoesByTheWall),
    Row(Schedule([Acquire(0, "s", after=9), StepWall(-5, gap=2)]), ["reaped-in-time"], GoesByTheWall),
    Row(Schedule([Acquire(0, "s", after=9), Suspend(3600, gap=2)]), ["no-early-reap"], GoesByTheWall),
    Row(Schedule([Acquire(0, "s", after=9), Drift(500, gap=1)]), ["no-early-reap"], GoesByTheWall),
    Row(Schedule([Acquire(0, "s", after=9), Drift(-500, gap=1)]), ["reaped-in-time"], GoesByTheWall),
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
    """With the same schedule less the fault the same server does what the correct one does, which breaks nothing."""
    trace, correct = run(row.without_fault, row.backend), run(row.without_fault, row.claims)

    assert [violation.headline for violation in trace.violations] == []
    assert trace.events == correct.events


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
