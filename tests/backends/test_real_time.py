"""Real workers in real time: a tick takes some milliseconds, and a verdict is as exact as the run was."""

import math
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.strangers import PollingWatchdog
from tests.quick import one_in
from timersim.backends import ProcessBackend
from timersim.backends.clients.mp_wire import QueueWire, flush
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.names import BackendError, make_backend
from timersim.backends.process import TRANSIT, Transport
from timersim.backends.rack import from_spec
from timersim.backends.runs import run_delay
from timersim.backends.runs.gated_clock import GatedClock
from timersim.backends.runs.real_run import RealRun
from timersim.backends.runs.recorded_reaper import RecordedReaper
from timersim.lab import (
    Acquire,
    Contract,
    Crash,
    Exit,
    Operation,
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
from timersim.lab.operations import CRASHES
from timersim.lab.record import Attempted, Meddled, ServerPaused, ServerStarted, Skipped
from timersim.local_timer import LocalTimerServer
from timersim.strategies import find_violations, seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

TICK = 0.01
TRANSPORTS = ("local", "file", "socket")


@pytest.fixture(scope="module", params=one_in(3, TRANSPORTS))
def backend(request: pytest.FixtureRequest) -> Iterator[ProcessBackend]:
    """Yields the backend of each transport in real time; nothing of it is left behind."""
    with watch_leftovers() as left:
        made = ProcessBackend(request.param, tick=TICK)
        yield made
        made.close()
    assert left == []


def on(backend: ProcessBackend, *operations: Operation) -> Trace:
    """Runs operations, which a correct server must survive."""
    trace = run(Schedule(operations), backend)
    trace.check()
    return trace


def test_who_is_hung_is_reaped_at_its_expiration(backend: ProcessBackend) -> None:
    """A hung worker is killed when its timer is due, by the clock on the wall, and is really gone."""
    trace = on(backend, Acquire(0, "s", after=10), Acquire(1, "s", after=150), Release(1, "s", gap=2))

    (reap,) = trace.reaps
    assert reap.worker == 0
    assert 10 <= reap.at <= 10 + trace.account.allowance + 1
    assert [(death.worker, death.how) for death in trace.deaths] == [(0, "reaped")]


def test_time_really_passes(backend: ProcessBackend) -> None:
    """A schedule of twenty ticks of ten milliseconds takes a fifth of a second, at least."""
    began = time.monotonic()
    on(backend, Acquire(0, "s", after=20))

    assert time.monotonic() - began >= 20 * TICK


@pytest.mark.slow
@pytest.mark.parametrize("how", CRASHES)
def test_who_crashes_is_not_reaped(backend: ProcessBackend, how: str) -> None:
    """A worker that dies of itself dies so, and its timers with it."""
    trace = on(backend, Acquire(0, "s", after=150), Crash(0, how, gap=2), Exit(1, gap=1))

    words = {"exit": "os._exit"}
    assert {(death.worker, death.how) for death in trace.deaths} == {(0, words.get(how, how)), (1, "exit")}
    assert trace.reaps == []


@pytest.mark.slow
def test_a_paused_server_reaps_when_it_goes_on(backend: ProcessBackend) -> None:
    """Who comes due in a pause is reaped at its end, and what was released in it is not."""
    trace = on(
        backend,
        *(Acquire(0, "s", after=100), Acquire(1, "s", after=100)),
        *(PauseServer(200, gap=5), Release(1, "s", gap=5)),
    )

    (pause,) = trace.of(ServerPaused)
    (reap,) = trace.reaps
    assert reap.worker == 0
    assert pause.until <= reap.at <= pause.until + trace.account.allowance + 1


def test_a_stopped_worker_is_reaped(backend: ProcessBackend) -> None:
    """A worker that SIGSTOP holds is killed as any other; one that went on does what it had to do."""
    trace = on(
        backend,
        *(Acquire(0, "s", after=40), Acquire(1, "s", after=150)),
        *(Pause(0, gap=2), Pause(1), Release(1, "s"), Resume(1, gap=2)),
    )

    assert [reap.worker for reap in trace.reaps] == [0]


def test_who_was_reaped_is_skipped_until_it_starts_again(backend: ProcessBackend) -> None:
    """What a reaped worker would have done is recorded as skipped, and its next incarnation is guarded."""
    trace = on(backend, Acquire(0, "s", after=2), Release(0, "s", gap=100), Start(0), Acquire(0, "s", after=3))

    assert [(reap.worker, reap.incarnation) for reap in trace.reaps] == [(0, 0), (0, 1)]
    assert [event.operation for event in trace.of(Skipped)] == [Release(0, "s", gap=100)]


@pytest.mark.slow
def test_after_stop_and_start_what_is_held_is_guarded(backend: ProcessBackend) -> None:
    """A timer that was acquired before the stop is kept after the start."""
    trace = on(backend, Acquire(0, "s", after=100), StopServer(gap=3), StartServer(gap=120))

    started = trace.of(ServerStarted)[1].at
    assert [reap.at >= started for reap in trace.reaps] == [True]


@pytest.mark.parametrize("transport", ["file", "socket"])
def test_a_call_to_a_stopped_server_is_refused(transport: Transport) -> None:
    """Where there is no server a call raises at once, and that is recorded."""
    with closing(ProcessBackend(transport, tick=TICK)) as backend:
        trace = on(backend, StopServer(), Acquire(0, "s", after=3, gap=2))

    assert [event.fault for event in trace.of(Meddled)] == ["refused"]
    assert trace.reaps == []


@pytest.mark.slow
def test_correct_servers_break_nothing(backend: ProcessBackend) -> None:
    """Ten generated schedules, with everything that the backend can carry out."""
    vocabulary = Vocabulary(tuple(backend.operations))
    for number in range(10):
        on(backend, *seeded_schedule(0, number, vocabulary))


RELEASED_IN_A_PAUSE = Schedule([Acquire(0, "s", after=90), PauseServer(150, gap=50), Release(0, "s", gap=45)])


@pytest.mark.parametrize("transport", one_in(3, TRANSPORTS))
def test_a_server_that_expires_before_it_drains_is_caught(transport: Transport) -> None:
    """Who releases in a pause is killed after it by a server that does not look at the wire first."""
    with closing(make_backend(transport, without="drain-before-expire", tick=TICK)) as broken:
        trace = run(RELEASED_IN_A_PAUSE, broken)

    assert {violation.invariant.id for violation in trace.violations} == {"release-wins", "pause-is-not-silence"}


class TooLate(LocalTimerServer):
    """Sleeps for some ticks before each reap."""

    ticks = 100

    def _reap_worker(self, worker_id: int) -> bool:
        time.sleep(self.ticks * TICK)
        return super()._reap_worker(worker_id)


def test_a_server_that_reaps_too_late_is_caught() -> None:
    """A hundred ticks are more than what an instant can be wrong by."""
    with closing(ProcessBackend(server=TooLate, contract=Contract(), tick=TICK)) as backend:
        trace = run(Schedule([Acquire(0, "s", after=5)]), backend)

    assert [violation.invariant.id for violation in trace.violations] == ["reaped-in-time"]


class TooEarly(LocalTimerServer):
    """Takes every timer for one that is due."""

    def get_expired_timers(self, deadline: float) -> dict[Any, Any]:
        return super().get_expired_timers(deadline + 3600)


def test_a_server_that_reaps_too_early_is_caught() -> None:
    """A timer of a hundred and fifty ticks is not due when it is acquired."""
    with closing(ProcessBackend(server=TooEarly, contract=Contract(), tick=TICK)) as backend:
        trace = run(Schedule([Acquire(0, "s", after=150)]), backend)

    assert [violation.invariant.id for violation in trace.violations] == ["no-early-reap"]


class KillsByHand(LocalTimerServer):
    """Kills as strangers do, with `os.kill`."""

    def _reap_worker(self, worker_id: int) -> bool:
        os.kill(worker_id, signal.SIGKILL)
        return True


def test_a_kill_by_hand_goes_through_the_record() -> None:
    """A server with an `os.kill` of its own is watched as well."""
    with closing(ProcessBackend(server=KillsByHand, tick=TICK)) as backend:
        trace = on(backend, Acquire(0, "s", after=3))

    assert [(reap.worker, reap.outcome) for reap in trace.of(Attempted)] == [(0, "reaped")]


def elsewhere(world: Any) -> PollingWatchdog:
    """Makes a server whose class is of another module."""
    return PollingWatchdog(world.queue, world.max_interval)


def test_a_server_of_another_module_kills_through_the_record_too() -> None:
    """Where a function makes it, the module of its class is known only then, and its `os.kill` is ours all the same."""
    with closing(ProcessBackend(server=elsewhere, contract=Contract(reap_within=20), tick=TICK)) as backend:
        trace = run(Schedule([Acquire(0, "s", after=3)]), backend)

    assert [(reap.worker, reap.outcome) for reap in trace.of(Attempted)] == [(0, "reaped")]


def test_the_verdict_is_no_more_exact_than_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was less exact than the backend has wider windows, and the backend keeps its own."""
    monkeypatch.setattr(RealRun, "imprecision", 9)
    with closing(ProcessBackend("file", tick=TICK)) as backend:
        assert run(Schedule(), backend).contract == replace(backend.contract, transit=9)
        assert backend.contract.transit == TRANSIT


def test_who_does_not_listen_knows_nothing_exactly() -> None:
    """For as long as nobody listened to a worker in a call, so imprecise is when its request arrived."""
    with closing(ProcessBackend("file", tick=TICK)) as backend, backend.open() as world:
        world.start(0)
        world.acquire(0, "s", 100)
        time.sleep(8 * TICK)  # nobody listens meanwhile: that is the point
        world.advance(1)

        assert world.imprecision >= 8


def test_threads_of_a_run_are_asked_how_long_they_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delays of the threads that came since are added up, also of one that has ended; older ones don't count."""

    def tell(thread: int, delay: int) -> None:
        (tmp_path / str(thread)).mkdir(exist_ok=True)
        (tmp_path / str(thread) / "schedstat").write_text(f"9 {delay} 9\n")

    monkeypatch.setattr(run_delay, "TASKS", tmp_path)
    tell(1, 7_000_000)
    delay = run_delay.RunDelay()
    tell(1, 8_000_000)
    assert delay.seconds() == 0
    tell(2, 20_000_000)
    tell(3, 30_000_000)
    assert delay.seconds() == 0.05
    shutil.rmtree(tmp_path / "3")
    tell(2, 21_000_000)
    assert delay.seconds() == 0.051


def test_a_slow_death_makes_a_run_imprecise(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a killed worker takes to die, so late may its reap be recorded."""
    kill = RecordedReaper.kill

    def slow(reaper: RecordedReaper, pid: int) -> bool:
        time.sleep(9 * TICK)  # as long as the death takes
        return kill(reaper, pid)

    monkeypatch.setattr(RecordedReaper, "kill", slow)
    with closing(ProcessBackend("file", tick=TICK)) as backend:
        trace = on(backend, Acquire(0, "s", after=1))

    assert trace.contract.transit >= 9


@pytest.mark.parametrize("tick", [-1, 0, math.nan, math.inf])
def test_a_tick_is_a_time(tick: float) -> None:
    """A tick of no time, or of no end, is refused with what there is instead."""
    with pytest.raises(ValueError, match=r"^a tick is a number of seconds above 0, or None for virtual time: tick="):
        ProcessBackend(tick=tick)


def test_a_saved_schedule_is_run_again_in_real_time() -> None:
    """The tick is a part of what rebuilds a backend."""
    backend = ProcessBackend("file", tick=TICK)

    assert backend.spec == {"name": "file", "tick": TICK}
    assert from_spec(backend.spec).spec == backend.spec
    assert from_spec({**backend.spec, "without": "reap-once"}).spec == {**backend.spec, "without": "reap-once"}


@pytest.mark.parametrize("name", ["memory", "torch-local"])
def test_not_all_backends_have_real_time(name: str) -> None:
    """Who asks for real time where there is none is told where there is."""
    with pytest.raises(
        BackendError, match=f"^{name} has virtual time only; in real time there are local, file, socket$"
    ):
        make_backend(name, tick=TICK)


def test_no_goal_is_missed_where_instants_are_not_exact() -> None:
    """In real time a tie can't be aimed at: a search misses no goal."""
    with closing(ProcessBackend("file", tick=TICK)) as backend:
        report = find_violations(backend, max_examples=1)

    assert report.unreached == []


def test_a_queue_is_emptied_for_the_next_run() -> None:
    """What nobody has read is thrown away, and the queue can be used again."""
    wire = QueueWire(has_reader=True)
    for number in range(3):
        wire.queue.put(number)
    flush(wire.queue, lambda: time.sleep(0.001))
    wire.queue.get()

    assert wire.throw_away()
    assert wire.queue.qsize() == 0
    wire.close()


def test_a_queue_whose_lock_has_died_is_no_longer_used() -> None:
    """Where a writer was killed with the lock, the queue says so."""
    wire = QueueWire(has_reader=True)
    wire.queue._wlock.acquire()

    assert not wire.throw_away()
    wire.queue._wlock.release()
    wire.close()


def test_a_closed_gate_holds_who_has_waited() -> None:
    """A sleep that ends while the gate is closed ends when it opens, and the later one of two closings counts."""
    clock = GatedClock()
    began = clock.monotonic()
    clock.close_until(began + 0.05)
    clock.close_until(began + 0.02)
    assert not clock.is_open
    clock.sleep(0)

    assert clock.monotonic() - began >= 0.05
    assert clock.is_open
