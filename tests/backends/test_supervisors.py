"""Supervisors that are no timer servers: their tasks really hang, and are really killed, in real time."""

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pebble import ProcessPool

from tests.data.supervisors import (
    CannotStart,
    EndsPolitely,
    GoesDeaf,
    HasOtherMethods,
    IsSlowToBegin,
    KillsEarly,
    KillsTheWrongOne,
    LeavesThemBehind,
    LosesTasks,
    NeverKills,
    PollingSupervisor,
    RaisesInStop,
    RunsThemInThreads,
)
from timersim.backends import SupervisorBackend, no_leftovers
from timersim.backends.names import BackendError, make_backend
from timersim.backends.rack import from_spec
from timersim.backends.supervisors import supervised_run
from timersim.fakes.servers import ServerError
from timersim.lab import (
    Acquire,
    Backend,
    Contract,
    Crash,
    Exit,
    Operation,
    Pause,
    Release,
    Resume,
    Schedule,
    Start,
    Trace,
    run,
)
from timersim.lab.record import Died, Left, Sent, ServerFailed, Skipped
from timersim.strategies import find_violations

TICK = 0.01
"""Whose task is to finish, or to be stopped, has a second for it: a busy machine keeps a process waiting."""

PROMPT = Contract(reap_within=3)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever a supervisor does, nothing of it outlives a test."""
    with no_leftovers():
        yield


def on(supervisor: Callable[[], Any], *operations: Operation, contract: Contract = PROMPT) -> Trace:
    """Runs operations on a supervisor."""
    return run(Schedule(operations), SupervisorBackend(supervisor, tick=TICK, contract=contract))


def deaths(trace: Trace) -> list[tuple[int, int, str]]:
    """Returns who died, in which life, and how."""
    return [(death.worker, death.incarnation, death.how) for death in trace.of(Died)]


def broken(trace: Trace) -> list[str]:
    """Returns the ids of the invariants that a trace breaks."""
    return [violation.invariant.id for violation in trace.violations]


def test_who_hangs_is_killed_and_who_finishes_is_not() -> None:
    """A task that hangs is killed when its time is up, one that finishes before that is not, and the next one runs."""
    trace = on(
        PollingSupervisor,
        Acquire(0, "s", after=20),
        Acquire(1, "s", after=120),
        Release(1, "s", gap=1),
        Acquire(1, "s", after=120),
        Release(1, "s", gap=1),
    )

    assert (deaths(trace), broken(trace)) == ([(0, 0, "reaped")], [])
    assert len(trace.of(Sent)) == 5


@pytest.mark.parametrize(
    ("how", "died"),
    [
        ("sigkill", "sigkill"),
        pytest.param("exit", "os._exit", marks=pytest.mark.slow),
        pytest.param("abort", "abort", marks=pytest.mark.slow),
        pytest.param("segv", "segv", marks=pytest.mark.slow),
    ],
)
def test_a_crash_is_no_reap(how: str, died: str) -> None:
    """Whose process dies of something else was not reaped, and lives again once it is started."""
    trace = on(
        PollingSupervisor,
        Acquire(0, "s", after=120),
        Crash(0, how),
        Start(0),
        Acquire(0, "s", after=20),
    )

    assert (deaths(trace), broken(trace)) == ([(0, 0, died), (0, 1, "reaped")], [])


def test_what_cannot_be_is_skipped() -> None:
    """A worker is in one task at a time, releases no other, and has no process where it has had no task."""
    impossible = [Acquire(0, "s", after=5), Acquire(0, "other", after=5), Release(0, "other"), Release(1, "s")]
    impossible += [Pause(1), Crash(1, "sigkill"), Crash(1, "abort")]

    trace = on(PollingSupervisor, Acquire(0, "s", after=120), *impossible, Release(0, "s"))

    assert [event.operation for event in trace.of(Skipped)] == impossible
    assert broken(trace) == []


def test_a_stopped_process_is_killed_or_finishes_after_it() -> None:
    """What a stopped worker would do waits for its resume; who is due is killed though it is stopped."""
    trace = on(
        PollingSupervisor,
        Acquire(0, "s", after=120),
        Acquire(1, "s", after=60),
        Pause(0),
        Pause(1),
        Release(0, "s"),
        Resume(0, gap=1),
    )

    assert (deaths(trace), broken(trace)) == ([(1, 0, "reaped")], [])
    assert trace.of(Skipped) == []


def test_who_is_stopped_goes_on_when_the_run_is_over() -> None:
    """A stop that asks is heard by everybody: whose process the laboratory has stopped is resumed before it."""
    supervisor = EndsPolitely()

    on(lambda: supervisor, Acquire(0, "s", after=5), Pause(0))

    assert supervisor.exits == [-signal.SIGTERM]


def test_what_a_supervisor_cannot_do_is_refused() -> None:
    """A worker does not end but with its task: a schedule in which one exits is refused."""
    with pytest.raises(ValueError, match=r"^the backend 'supervisor' can't carry out Exit\(0\)$"):
        on(PollingSupervisor, Exit(0))


@pytest.mark.parametrize(
    ("supervisor", "operations", "invariants"),
    [
        (NeverKills, [Acquire(0, "s", after=5)], ["reaped-in-time"]),
        (KillsTheWrongOne, [Acquire(0, "s", after=40), Acquire(1, "s", after=150)], ["no-early-reap"]),
        pytest.param(KillsEarly, [Acquire(0, "s", after=200)], ["no-early-reap"], marks=pytest.mark.slow),
        (EndsPolitely, [Acquire(0, "s", after=80), Pause(0)], ["reaped-in-time"]),
        (GoesDeaf, [Acquire(0, "s", after=120), Crash(0, "sigkill"), Acquire(1, "s", after=5)], ["watchdog-survives"]),
        (LosesTasks, [Acquire(0, "s", after=60), Acquire(1, "s", after=5)], ["watchdog-survives"]),
        (RaisesInStop, [], ["watchdog-survives"]),
    ],
)
def test_a_broken_supervisor_is_found_out(
    supervisor: Callable[[], Any],
    operations: list[Operation],
    invariants: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each mistake breaks the invariant that speaks of it."""
    if supervisor is LosesTasks:  # its task does not begin, however long one waits
        monkeypatch.setattr(supervised_run, "BEGIN_LIMIT", 0.1)
        monkeypatch.setattr(supervised_run, "START_LIMIT", 0.1)

    assert broken(on(supervisor, *operations))[:1] == invariants


def test_it_is_said_why_a_supervisor_has_failed() -> None:
    """What its own call raised is the reason, and nothing more is asked of it."""
    crash = [Acquire(0, "s", after=120), Crash(0, "sigkill")]
    trace = on(GoesDeaf, *crash, Acquire(1, "s", after=5), Acquire(2, "s", after=5))

    assert [event.reason for event in trace.of(ServerFailed)] == ["submit raised RuntimeError: the pool is broken"]
    assert [type(event.operation) for event in trace.of(Skipped)] == [Acquire, Acquire]


def test_a_supervisor_that_leaves_processes_is_found_out() -> None:
    """What hangs on after `stop` is recorded as left behind, and ended."""
    supervisor = LeavesThemBehind()

    trace = on(lambda: supervisor, Acquire(0, "s", after=5))
    for process, _ in supervisor.processes:
        process.join()
        process.close()

    assert broken(trace) == ["reaped-in-time", "nothing-left"]
    assert trace.of(Left)[0].what == "a process that ran tasks, and that stop has not ended"


@pytest.mark.slow
def test_who_is_slow_to_begin_is_known_less_exactly() -> None:
    """From the submission to the beginning of a task nobody knows when its time begins to count."""
    trace = on(IsSlowToBegin, Acquire(0, "s", after=20))

    assert (trace.contract.transit >= 0.3 / TICK, broken(trace)) == (True, [])


def test_a_task_that_was_ended_before_it_began_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose time is up before its process has begun is skipped: the next one shows that the supervisor is there."""
    monkeypatch.setattr(supervised_run, "BEGIN_LIMIT", 0.1)
    trace = on(PollingSupervisor, Acquire(0, "s", after=0), Acquire(1, "s", after=100))

    assert (deaths(trace)[-1:], broken(trace)) == ([(1, 0, "reaped")], [])


@pytest.mark.parametrize(
    ("supervisor", "sentence"),
    [
        (7, "7 is no supervisor: it can't be called; give a class, or a function supervisor()"),
        (
            HasOtherMethods,
            "HasOtherMethods is no supervisor: start(port: int) -> None is called as start(): missing a required"
            " argument: 'port'; submit(task: Any) -> None is called as submit(task, timeout): too many positional"
            " arguments; stop() is missing",
        ),
        (CannotStart, "CannotStart.start() raised OSError: no license"),
    ],
)
def test_what_is_no_supervisor_is_told_why(supervisor: Any, sentence: str) -> None:
    """Whatever is missing is said, all of it at once, before anything runs."""
    with pytest.raises(ServerError, match=f"^{re.escape(sentence)}$"):
        on(supervisor)


def test_a_task_in_the_laboratorys_own_process_is_refused() -> None:
    """A supervisor of threads is told what it lacks, rather than killed together with the laboratory."""
    sentence = r"^RunsThemInThreads\.submit\(\) runs the task in this process; give each task a process of its own$"
    with pytest.raises(ServerError, match=sentence):
        on(RunsThemInThreads, Acquire(0, "s", after=5))


@pytest.mark.parametrize("tick", [0, -1, float("inf"), float("nan")])
def test_a_tick_is_a_time(tick: float) -> None:
    """A tick of no time, or of no end, is refused."""
    with pytest.raises(ValueError, match=r"^a tick is a number of seconds above 0: tick="):
        SupervisorBackend(PollingSupervisor, tick=tick)


def test_a_backend_is_rebuilt_from_its_spec() -> None:
    """The name of the adapter, the tick and the contract are what a saved schedule needs."""
    backend = SupervisorBackend(PollingSupervisor, tick=TICK, contract=PROMPT)
    spec = {
        "name": "supervisor",
        "server": "tests.data.supervisors:PollingSupervisor",
        "contract": {"reap_within": 3},
        "tick": TICK,
    }

    assert backend.spec == spec
    assert from_spec(spec).spec == spec
    assert from_spec(spec).contract == replace(PROMPT, transit=2)
    assert SupervisorBackend(lambda: PollingSupervisor()).spec is None


MINE = SupervisorBackend(PollingSupervisor, tick=0.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "a supervisor is one of your own: timersim check --supervisor my_module:Supervisor"),
        (
            {"server": "tests.data.supervisors:PollingSupervisor", "without": "reap-once"},
            "a supervisor is one of your own: timersim check --supervisor my_module:Supervisor",
        ),
        ({"server": "tests.data.supervisors"}, "a supervisor is named MODULE:NAME, as in my_module:my_supervisor:"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    """A supervisor needs a name, and is its own."""
    with pytest.raises(BackendError, match=f"^{re.escape(sentence)}"):
        make_backend("supervisor", **arguments)


def test_a_backend_can_stand_for_a_supervisor() -> None:
    """Who has stated a tick and a contract names the backend."""
    assert make_backend("supervisor", server=f"{__name__}:MINE") is MINE


@pytest.mark.slow
def test_a_search_draws_what_a_supervisor_can_do() -> None:
    """A search on a correct supervisor finds nothing, with one scope a worker, and misses no goal."""
    report = find_violations(SupervisorBackend(PollingSupervisor, tick=TICK, contract=PROMPT), max_examples=2, seed=3)

    assert (report.findings, report.unreached, report.kills > 0) == ([], [], True)


class PebblePool:
    """pebble's pool, as docs/your-server.md has it."""

    def start(self) -> None:
        """Makes a pool, which starts with its first task."""
        self.pool = ProcessPool(max_workers=5)

    def submit(self, task: Any, timeout: float) -> None:
        """Schedules a task; a timeout of 0 is none to pebble."""
        self.pool.schedule(task, timeout=timeout or 0.001)

    def stop(self) -> None:
        """Ends it, with what runs."""
        self.pool.stop()
        self.pool.join()


POLLED = Contract(reap_within=0.1 / TICK + 1)
"""pebble looks ten times a second for tasks whose time is up."""


def test_pebble_kills_who_hangs_and_spares_who_finishes() -> None:
    """A task of pebble's pool that hangs is killed, one that finishes is not, and one that crashes is replaced."""
    trace = on(
        PebblePool,
        Acquire(0, "s", after=20),
        Acquire(1, "s", after=120),
        Acquire(2, "s", after=120),
        Release(1, "s", gap=5),
        Crash(2, "sigkill"),
        Acquire(1, "s", after=20, gap=5),
        contract=POLLED,
    )

    assert sorted(deaths(trace)) == [(0, 0, "reaped"), (1, 0, "reaped"), (2, 0, "sigkill")]
    assert broken(trace) == []


@pytest.mark.slow
def test_pebble_takes_a_timeout_of_0_for_none() -> None:
    """A task whose time is up at once is never killed by pebble."""

    class AsItIs(PebblePool):
        def submit(self, task: Any, timeout: float) -> None:
            self.pool.schedule(task, timeout=timeout)

    assert broken(on(AsItIs, Acquire(0, "s", after=0), contract=POLLED)) == ["reaped-in-time"]


@pytest.mark.slow
def test_pebble_takes_its_time_with_a_stopped_process() -> None:
    """Who is stopped does not hear pebble's SIGTERM, and pebble's SIGKILL comes three seconds later."""
    assert broken(on(PebblePool, Acquire(0, "s", after=30), Pause(0), contract=POLLED)) == ["reaped-in-time"]


@pytest.mark.slow
def test_pebble_breaks_where_an_idle_worker_dies() -> None:
    """An idle process that is killed while nothing runs takes the whole pool along."""
    trace = on(
        PebblePool,
        Acquire(0, "s", after=120),
        Release(0, "s", gap=1),
        Crash(0, "sigkill", gap=5),
        Acquire(1, "s", after=5, gap=100),
        contract=POLLED,
    )

    failures = [event.reason for event in trace.of(ServerFailed)]
    assert failures == ["submit raised RuntimeError: Unexpected error within the Pool"]
    assert broken(trace) == ["watchdog-survives"]


@pytest.mark.slow
def test_a_search_on_pebble() -> None:
    """Twenty generated schedules, in which no process is stopped and none dies idle, break nothing."""
    backend: Backend = SupervisorBackend(PebblePool, tick=0.02, contract=Contract(reap_within=6))
    backend.operations = frozenset({Acquire, Release})

    assert find_violations(backend, max_examples=20).findings == []
