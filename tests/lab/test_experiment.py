"""The experiment: what a schedule makes happen in a world, and for how long."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World, run
from timersim.lab.operations import (
    OPERATIONS,
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.record import (
    Attempted,
    Ended,
    Event,
    Instant,
    Left,
    Recorder,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Skipped,
)
from timersim.lab.schedule import Schedule


class PaperWorld(World):
    """A world that only writes down what it is asked for; nobody is ever reaped in it."""

    def __init__(self) -> None:
        self.now: Instant = 0
        self.recorder = Recorder(lambda: self.now)
        self.calls: list[tuple[object, ...]] = []

    def _called(self, *call: object) -> None:
        self.calls.append((self.now, *call))

    def advance(self, ticks: Instant) -> None:
        self.now += ticks

    def start(self, worker: int) -> None:
        self._called("start", worker)
        self.recorder.started(worker)

    def acquire(self, worker: int, scope: str, after: int) -> None:
        self._called("acquire", worker, scope, after)
        self.recorder.arrived(self.recorder.sent(worker, scope, self.now + after))

    def release(self, worker: int, scope: str) -> None:
        self._called("release", worker, scope)
        self.recorder.arrived(self.recorder.sent(worker, scope, None))

    def exit(self, worker: int) -> None:
        self._called("exit", worker)
        self.recorder.died(worker, "exit")

    def crash(self, worker: int, how: str) -> None:
        self._called("crash", worker, how)
        self.recorder.died(worker, how)

    def pause(self, worker: int) -> None:
        self._called("pause", worker)
        self.recorder.worker_paused(worker)

    def resume(self, worker: int) -> None:
        self._called("resume", worker)
        self.recorder.worker_resumed(worker)

    def pause_server(self, ticks: int) -> None:
        self._called("pause server", ticks)
        self.recorder.add(ServerPaused, self.now + ticks)

    def stop_server(self) -> None:
        self._called("stop server")
        self.recorder.add(ServerStopping)

    def start_server(self) -> None:
        self._called("start server")
        self.recorder.add(ServerStarted)


class PaperBackend(Backend):
    """A backend of paper worlds; `left` is found when one is closed."""

    name = "paper"
    operations = frozenset(OPERATIONS.values())

    def __init__(self, contract: Contract | None = None, world: type[PaperWorld] = PaperWorld) -> None:
        self.contract = contract or Contract()
        self.make = world
        self.opened: list[PaperWorld] = []

    @contextmanager
    def open(self) -> Iterator[World]:
        world = self.make()
        self.opened.append(world)
        yield world
        world.recorder.add(Left, "paper")


def calls(*operations: Operation) -> list[tuple[object, ...]]:
    """Returns what a world is asked for, with the instants."""
    backend = PaperBackend()
    run(Schedule(operations), backend)
    return backend.opened[0].calls


def skipped(*operations: Operation) -> list[Event]:
    """Returns what of a schedule is skipped."""
    return [*run(Schedule(operations), PaperBackend()).of(Skipped)]


def end(*operations: Operation, contract: Contract | None = None) -> Instant:
    """Returns when a run is over."""
    return run(Schedule(operations), PaperBackend(contract)).end


def test_each_operation_happens_after_its_gap() -> None:
    """Each operation is asked of the world in order, its gap after the one before."""
    assert calls(
        Acquire(0, "s0", after=5, gap=1),
        Release(0, "s0", gap=2),
        PauseServer(6),
        StopServer(gap=1),
        StartServer(gap=3),
        Exit(0),
        Start(0, gap=1),
        Crash(0, "exit"),
        Start(0),
        Crash(0, "sigkill", gap=4),
    ) == [
        (0, "start", 0),
        (1, "acquire", 0, "s0", 5),
        (3, "release", 0, "s0"),
        (3, "pause server", 6),
        (4, "stop server"),
        (7, "start server"),
        (7, "exit", 0),
        (8, "start", 0),
        (8, "crash", 0, "exit"),
        (8, "start", 0),
        (12, "crash", 0, "sigkill"),
    ]


def test_workers_run_from_the_beginning_unless_they_are_started() -> None:
    """All workers are started at the beginning, in ascending order, but those that the schedule starts first."""
    assert calls(Exit(2), Start(1, gap=3), Exit(0)) == [
        (0, "start", 0),
        (0, "start", 2),
        (0, "exit", 2),
        (3, "start", 1),
        (3, "exit", 0),
    ]


@pytest.mark.parametrize(
    "late", [Acquire(0, "s0", after=5), Release(0, "s0"), Exit(0), Crash(0, "exit"), Crash(0, "sigkill"), Pause(0)]
)
def test_an_operation_of_a_dead_worker_is_skipped(late: Operation) -> None:
    """What a dead worker should do is skipped, and recorded as skipped at its instant."""
    backend = PaperBackend()
    trace = run(Schedule([Exit(0, gap=2), late, Start(0)]), backend)

    assert trace.of(Skipped) == [Skipped(2, late)]
    assert backend.opened[0].calls == [(0, "start", 0), (2, "exit", 0), (2, "start", 0)]


def test_a_start_of_a_living_worker_is_skipped() -> None:
    """A worker that lives, paused or not, can't be started."""
    assert skipped(Exit(1), Pause(0), Start(0), Resume(0, gap=1), Start(0)) == [
        Skipped(0, Start(0)),
        Skipped(1, Start(0)),
    ]


def test_a_resume_of_who_is_not_paused_is_skipped() -> None:
    """A worker that is not paused, or is dead, can't be resumed."""
    assert skipped(Resume(0), Pause(0), Crash(0, "sigkill"), Resume(0, gap=1)) == [
        Skipped(0, Resume(0)),
        Skipped(1, Resume(0, gap=1)),
    ]


def test_what_a_paused_worker_does_happens_when_it_resumes_in_order() -> None:
    """The operations of a paused worker are kept, and happen in order when it resumes; other workers go on."""
    assert calls(
        Pause(0),
        Acquire(0, "s0", after=5, gap=1),
        Acquire(1, "s0", after=5, gap=1),
        Release(0, "s0", gap=1),
        Crash(0, "exit", gap=1),
        Resume(0, gap=6),
    ) == [
        (0, "start", 0),
        (0, "start", 1),
        (0, "pause", 0),
        (2, "acquire", 1, "s0", 5),
        (10, "resume", 0),
        (10, "acquire", 0, "s0", 5),
        (10, "release", 0, "s0"),
        (10, "crash", 0, "exit"),
    ]


def test_what_follows_a_kept_exit_is_skipped_at_the_resume() -> None:
    """What was kept behind an exit finds the worker dead."""
    operations = [Pause(0), Exit(0), Release(0, "s0"), Resume(0, gap=3)]

    assert skipped(*operations) == [Skipped(3, Release(0, "s0"))]


class CallingWorld(PaperWorld):
    """A world in which an acquire returns only at t=5."""

    def __init__(self) -> None:
        super().__init__()
        self.calling: set[int] = set()

    def acquire(self, worker: int, scope: str, after: int) -> None:
        super().acquire(worker, scope, after)
        if self.now < 5:
            self.calling.add(worker)

    def is_calling(self, worker: int) -> bool:
        return worker in self.calling

    def advance(self, ticks: Instant) -> None:
        super().advance(ticks)
        if self.now >= 5 and self.calling:
            self.returned(self.calling.pop())


def test_what_a_worker_does_after_a_call_happens_when_that_has_returned_in_order() -> None:
    """Also when that is after the last operation; what comes from outside does not wait."""
    backend = PaperBackend(world=CallingWorld)
    schedule = [Acquire(0, "s0", after=9), Release(0, "s0", gap=1), Pause(0), Exit(0), Acquire(1, "s0", after=1, gap=1)]
    trace = run(Schedule([*schedule, Release(1, "s0"), Crash(1, "sigkill", gap=1)]), backend)

    assert backend.opened[0].calls[2:] == [
        (0, "acquire", 0, "s0", 9),
        (2, "acquire", 1, "s0", 1),
        (3, "crash", 1, "sigkill"),
        (10, "release", 0, "s0"),
        (10, "pause", 0),
    ]
    assert [(event.at, event.operation) for event in trace.of(Skipped)] == [(3, Release(1, "s0")), (11, Exit(0))]


def test_a_resume_in_a_call_ends_the_pause_that_waits_for_it() -> None:
    """A pause and its resume both come while the worker is in a call: it pauses and goes on when that has returned."""
    backend = PaperBackend(world=CallingWorld)
    schedule = [Acquire(0, "s0", after=9), Pause(0, gap=1), Release(0, "s0"), Resume(0, gap=1), StopServer(gap=8)]
    trace = run(Schedule(schedule), backend)

    assert [call[1] for call in backend.opened[0].calls[1:]] == ["acquire", "pause", "resume", "release", "stop server"]
    assert trace.of(Skipped) == []


def test_a_kept_pause_keeps_what_is_behind_it() -> None:
    """A second pause is kept as well; what follows it waits for the second resume."""
    assert calls(Pause(0), Pause(0), Release(0, "s0"), Resume(0, gap=1), Resume(0, gap=1)) == [
        (0, "start", 0),
        (0, "pause", 0),
        (1, "resume", 0),
        (1, "pause", 0),
        (2, "resume", 0),
        (2, "release", 0, "s0"),
    ]


def test_sigkill_does_not_wait_for_a_resume() -> None:
    """A paused worker can be killed from outside at once; what it kept does not happen in its next life."""
    assert calls(Pause(0), Release(0, "s0"), Crash(0, "sigkill", gap=1), Start(0), Pause(0), Resume(0)) == [
        (0, "start", 0),
        (0, "pause", 0),
        (1, "crash", 0, "sigkill"),
        (1, "start", 0),
        (1, "pause", 0),
        (1, "resume", 0),
    ]


def test_an_empty_schedule_lasts_as_long_as_a_reap_may_take() -> None:
    """Without operations a run lasts as long as a reap may take by the contract, in whole ticks, and one more."""
    assert end() == 1
    assert end(contract=Contract(reap_within=10, retry_within=3, transit=0.5)) == 12


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([Acquire(0, "s0", after=5)], 6),
        ([Acquire(0, "s0", after=5), Acquire(0, "s1", after=3, gap=1)], 6),
        ([Acquire(0, "s0", after=5), Release(0, "s0", gap=9)], 10),
        ([PauseServer(20, gap=3)], 24),
        ([PauseServer(20), PauseServer(3)], 21),
        ([StopServer(gap=7)], 8),
        ([StopServer(), StartServer(gap=8)], 9),
        ([Exit(0, gap=50)], 50),
    ],
)
def test_a_run_goes_on_until_nothing_is_due(operations: list[Operation], expected: Instant) -> None:
    """A run goes on until the last expiration, pause, stop or start must have had its effect."""
    assert end(*operations) == expected


@pytest.mark.parametrize(("failed", "expected"), [(4, 24), (19, 24), (20, 24), (21, 25)])
def test_a_run_goes_on_until_what_failed_in_a_pause_is_tried_again(failed: Instant, expected: Instant) -> None:
    """Where a reap fails before the end of a pause at 20, a retry within 3 ticks counts from there."""

    class Failing(PaperWorld):
        def exit(self, worker: int) -> None:
            self.recorder.add(Attempted, 1, 0, "worker 1", "failed")

    operations = [PauseServer(20), Exit(0, gap=int(failed))]

    assert run(Schedule(operations), PaperBackend(Contract(retry_within=3), world=Failing)).end == expected


def test_a_run_goes_on_for_what_happens_at_its_end() -> None:
    """What the world does while the run comes to its end makes it last longer."""

    class Reacting(PaperWorld):
        def advance(self, ticks: Instant) -> None:
            super().advance(ticks)
            if 5 <= self.now < 20:
                self.acquire(0, "s0", 7)

    trace = run(Schedule([Acquire(0, "s0", after=5)]), PaperBackend(world=Reacting))

    assert [(sent.at, sent.expiration) for sent in trace.requests] == [(0, 5), (6, 13), (14, 21)]
    assert trace.end == 22


def test_the_end_is_recorded_before_the_world_is_closed() -> None:
    """What is recorded while the world is closed stands behind the end, and is judged."""
    trace = run(Schedule(), PaperBackend())

    assert trace.events == [Ended(1), Left(1, "paper")]
    assert [violation.headline for violation in trace.violations] == ["nothing-left: paper outlived the run"]


def test_a_trace_names_its_schedule_backend_and_contract() -> None:
    """A trace says what was run, on what, and what had been promised."""
    schedule, contract = Schedule([Exit(0)]), Contract(reap_within=4)
    trace = run(schedule, PaperBackend(contract))

    assert (trace.schedule, trace.backend, trace.contract) == (schedule, "paper", contract)


def test_what_a_backend_cannot_carry_out_is_refused_before_it_is_opened() -> None:
    """An operation that the backend can't carry out raises, naming both, and nothing has happened."""
    backend = PaperBackend()
    backend.operations = frozenset({Acquire})

    with pytest.raises(ValueError, match="can't carry out") as refused:
        run(Schedule([Acquire(0, "s0", after=5), PauseServer(6, gap=3)]), backend)

    assert str(refused.value) == "the backend 'paper' can't carry out PauseServer(6, gap=3)"
    assert backend.opened == []


def test_a_correct_server_reaps_the_hung_and_spares_the_others() -> None:
    """On a correct server the hung are reaped at their expiration, and nobody else."""
    trace = run(
        Schedule([Acquire(0, "s0", after=5), Acquire(1, "s0", after=5), Release(1, "s0", gap=4), Exit(2, gap=30)]),
        SimulatedBackend(),
    )

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 5)]
    assert [(death.worker, death.at, death.how) for death in trace.deaths] == [(0, 5, "reaped"), (2, 34, "exit")]
    assert trace.violations == []


def test_the_same_schedule_gives_the_same_run() -> None:
    """A run in virtual time is the same each time."""
    schedule = Schedule([Acquire(0, "s0", after=5), PauseServer(6, gap=3), Release(0, "s0", gap=1)])

    assert run(schedule, SimulatedBackend()).events == run(schedule, SimulatedBackend()).events
