"""The server of a run as a process: how it starts, stops, pauses, crashes and fails, and what is recorded of it."""

import os
import signal
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Self

import pytest

from tests.fakes.broken_by_faults import EndsWhenAllAreSilent
from timersim.fakes import SimulatedBackend, VirtualClock
from timersim.fakes.run_workers import RunWorkers
from timersim.fakes.server_control import ServerControl
from timersim.fakes.tasks import TaskGroup
from timersim.lab import (
    Acquire,
    CrashServer,
    Operation,
    PauseInPass,
    Release,
    RestartServer,
    Schedule,
    StartServer,
    StopServer,
    run,
)
from timersim.lab.operations import POINTS
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Ended,
    Event,
    Instant,
    Left,
    Meddled,
    Recorder,
    Sent,
    ServerCrashed,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Started,
)
from timersim.memory_timer import MemoryTimerServer

START = 1_000_000.0

INTERVAL = 10
"""Ticks from the start of a watchdog, and from one pass of it, to the next."""

Log = list[tuple[Instant, str]]


class Bench:
    """A server that can be controlled: a watchdog that passes every INTERVAL, and logs what it does and when."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.recorder = Recorder(lambda: int(self.clock.monotonic() - START))
        self.log: Log = []
        self.points: Sequence[str] = POINTS
        self.stop_takes = 0
        self.is_deaf = False
        self.fails_at: Instant | None = None
        self.made = 0
        self.watchdog_thread: object = None
        group = TaskGroup("server")
        workers = RunWorkers(self.recorder)
        self.control = ServerControl(self.recorder, self.clock, group, workers, self.make)
        self.control.begin(self.make(group))

    def make(self, group: TaskGroup) -> "Watchdog":
        """Makes the next watchdog."""
        self.made += 1
        return Watchdog(self, self.made)

    def at(self, instant: Instant) -> Self:
        """Goes to an instant."""
        self.clock.advance_to(START + instant)
        return self

    def say(self, text: str) -> None:
        """Writes down what happens now."""
        self.log.append((self.recorder.now(), text))

    @property
    def events(self) -> list[Event]:
        """What was recorded."""
        return self.recorder.events

    @property
    def passes(self) -> list[Instant]:
        """When a watchdog had drained."""
        return [at for at, text in self.log if text == "drained"]


class Watchdog:
    """A watchdog without workers; it says who it is when it starts, and when it ends."""

    def __init__(self, bench: Bench, number: int) -> None:
        self._bench = bench
        self._number = number
        self._stopping = False

    @property
    def _watchdog_thread(self) -> object:
        return self._bench.watchdog_thread

    def start(self) -> None:
        self._stopping = False
        self._bench.say(f"{self._number} starts")
        self._task = self._bench.clock.spawn(self._watch, name=f"watchdog {self._number}")

    def stop(self) -> None:
        self._stopping = True
        if not self._bench.is_deaf:
            self._task.join()
        if self._bench.stop_takes:
            self._bench.clock.sleep(self._bench.stop_takes)

    def _watch(self) -> None:
        bench = self._bench
        try:
            while not bench.clock.wait(lambda _: self._stopping and not bench.is_deaf, INTERVAL):
                for point in bench.points:
                    bench.control.reached(point)
                    bench.say(point)
                if bench.recorder.now() == bench.fails_at:
                    raise LookupError("no such worker")
        finally:
            bench.say(f"{self._number} is muted" if bench.clock.is_muted else f"{self._number} ends")


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A watchdog that has started at 0; its clock is closed at the end."""
    made = Bench()
    yield made
    made.clock.close()


def test_a_server_starts_when_it_begins(bench: Bench) -> None:
    """A server that begins is started at once, and passes in its time."""
    assert (bench.log, bench.events, bench.control.is_down) == ([(0, "1 starts")], [ServerStarted(0)], False)
    assert bench.at(25).passes == [10, 20]


# Pauses


@pytest.mark.parametrize(("ticks", "passed"), [(2, 10), (3, 10), (4, 11)])
def test_a_paused_server_does_nothing_until_its_resume(bench: Bench, ticks: int, passed: Instant) -> None:
    """What falls due in a pause happens at its end; a pause that ends at that instant changes nothing."""
    bench.at(7).control.pause(ticks)

    assert bench.at(15).passes == [passed]
    assert bench.events[1:] == [ServerPaused(7, 7 + ticks)]


@pytest.mark.parametrize(("ticks", "until"), [(3, 15), (6, 15), (7, 15), (8, 16)])
def test_a_pause_within_a_pause_ends_with_the_later_one(bench: Bench, ticks: int, until: Instant) -> None:
    """Two pauses that overlap are over when both are, and the record says until when."""
    bench.at(5).control.pause(10)
    bench.at(8).control.pause(ticks)

    assert bench.at(18).passes == [until]
    assert bench.events[1:] == [ServerPaused(5, 15), ServerPaused(8, until)]


def test_a_pause_after_a_pause_is_another_one(bench: Bench) -> None:
    """A pause that begins when another has ended lasts as long as it says."""
    bench.at(5).control.pause(7)
    bench.at(12).control.pause(3)

    assert bench.at(30).passes == [12, 22]
    assert bench.events[1:] == [ServerPaused(5, 12), ServerPaused(12, 15)]


@pytest.mark.parametrize("point", POINTS)
def test_a_server_is_paused_at_a_point_of_a_pass(bench: Bench, point: str) -> None:
    """A pass goes on at the end of the pause where it was caught, once: the next pass is not caught."""
    bench.at(3).control.pause_in_pass(point, 5)
    caught = POINTS.index(point)
    bench.at(25)

    assert bench.log[1:] == [
        *((10 if index < caught else 15, each) for index, each in enumerate(POINTS)),
        *((25, each) for each in POINTS),
    ]
    assert bench.events[1:] == [ServerPaused(10, 15, point)]


def test_each_point_of_one_pass_can_have_its_pause(bench: Bench) -> None:
    """A pass that is caught at each point takes as long as all the pauses."""
    for ticks, point in enumerate(POINTS, start=1):
        bench.control.pause_in_pass(point, ticks)
    bench.at(20)

    assert bench.log[1:] == [(11, "drained"), (13, "reaping"), (16, "reaped")]
    assert bench.events[1:] == [
        ServerPaused(10, 11, "drained"),
        ServerPaused(11, 13, "reaping"),
        ServerPaused(13, 16, "reaped"),
    ]


def test_pauses_at_one_point_catch_one_pass_each(bench: Bench) -> None:
    """Two pauses at the same point catch two passes, in the order in which they were asked for."""
    bench.control.pause_in_pass("reaping", 3)
    bench.control.pause_in_pass("reaping", 4)
    bench.at(40)

    assert bench.events[1:] == [ServerPaused(10, 13, "reaping"), ServerPaused(23, 27, "reaping")]
    assert bench.passes == [10, 23, 37]


def test_who_goes_on_is_not_caught_again_at_the_same_point_and_instant(bench: Bench) -> None:
    """Where one pass reaps two workers, the second pause waits for the next pass."""
    bench.points = ["drained", "reaping", "reaping"]
    bench.control.pause_in_pass("reaping", 3)
    bench.control.pause_in_pass("reaping", 4)
    bench.at(30)

    assert bench.log[1:] == [
        *[(10, "drained"), (13, "reaping"), (13, "reaping")],
        *[(23, "drained"), (27, "reaping"), (27, "reaping")],
    ]


def test_a_pause_while_a_pass_is_caught_ends_with_the_later_one(bench: Bench) -> None:
    """A server that is paused while it is caught in a pass goes on when both are over."""
    bench.control.pause_in_pass("drained", 3)
    bench.at(11).control.pause(10)
    bench.at(30)

    assert bench.events[1:] == [ServerPaused(10, 13, "drained"), ServerPaused(11, 21)]
    assert bench.passes == [21]


def test_who_is_no_task_of_the_server_is_not_caught(bench: Bench) -> None:
    """A point that is reached outside of any task catches nobody, and the pause waits."""
    bench.control.pause_in_pass("drained", 3)
    bench.control.reached("drained")

    assert bench.events[1:] == []
    assert bench.at(20).passes == [13]


# Crashes


def test_a_crashed_server_does_nothing_any_more(bench: Bench) -> None:
    """A server that crashed is muted while it unwinds, and passes no more; a second crash is none."""
    bench.at(15).control.crash()
    bench.control.crash()
    bench.at(60)

    assert bench.log == [(0, "1 starts"), *((10, point) for point in POINTS), (15, "1 is muted")]
    assert (bench.events[1:], bench.control.is_down, bench.clock.tasks) == ([ServerCrashed(15)], True, [])


def test_after_a_crash_another_server_is_started(bench: Bench) -> None:
    """A start after a crash makes a new server, which passes in its own time."""
    bench.at(5).control.crash()
    bench.at(8).control.start()
    bench.at(20)

    assert (bench.made, bench.control.is_down, bench.passes) == (2, False, [18])
    assert bench.log[:3] == [(0, "1 starts"), (5, "1 is muted"), (8, "2 starts")]
    assert bench.events[1:] == [ServerCrashed(5), ServerStarted(8)]


def test_a_restart_is_a_crash_and_a_start(bench: Bench) -> None:
    """A crash and a start at one instant leave a new server that runs."""
    bench.at(5).control.crash()
    bench.control.start()
    bench.at(20)

    assert (bench.made, bench.passes) == (2, [15])
    assert bench.events[1:] == [ServerCrashed(5), ServerStarted(5)]


def test_a_server_can_crash_again_and_again(bench: Bench) -> None:
    """Each server can crash, and each start after it makes another."""
    for instant in (2, 4, 6):
        bench.at(instant).control.crash()
        bench.control.start()
    bench.at(16)

    assert (bench.made, bench.passes) == (4, [16])


@pytest.mark.parametrize("again", [False, True])
def test_a_crash_ends_the_pause(bench: Bench, again: bool) -> None:  # noqa: FBT001 - a parameter
    """The pause of a server that crashed is not that of the next, and a pause of the next ends in its own time."""
    bench.at(5).control.pause(20)
    bench.at(7).control.crash()
    bench.at(8).control.start()
    if again:
        bench.at(17).control.pause(3)
    bench.at(24)

    assert bench.passes == ([20] if again else [18])
    assert bench.events[1:] == [
        ServerPaused(5, 25),
        ServerCrashed(7),
        ServerStarted(8),
        *([ServerPaused(17, 20)] if again else []),
    ]


def test_the_resume_of_who_crashed_does_not_end_the_pause_of_the_next(bench: Bench) -> None:
    """The next server stays paused when the pause of the crashed one would have been over."""
    bench.at(5).control.pause(10)
    bench.at(7).control.crash()
    bench.control.start()
    bench.at(14).control.pause(8)

    assert bench.at(30).passes == [22]


@pytest.mark.parametrize("point", POINTS)
def test_who_crashes_in_a_pass_does_not_end_it(bench: Bench, point: str) -> None:
    """A server that crashes where it was caught in a pass does nothing of the rest; the next begins anew."""
    bench.control.pause_in_pass(point, 20)
    bench.at(12).control.crash()
    bench.control.start()
    bench.at(25)

    done = POINTS[: POINTS.index(point)]
    assert bench.log[1:] == [
        *((10, each) for each in done),
        *[(12, "1 is muted"), (12, "2 starts")],
        *((22, each) for each in POINTS),
    ]


def test_pauses_that_were_to_come_are_those_of_the_server_that_crashed(bench: Bench) -> None:
    """A pause at a point that the crashed server had not come to catches nobody any more."""
    bench.control.pause_in_pass("reaping", 5)
    bench.at(5).control.crash()
    bench.control.start()
    bench.at(20)

    assert (bench.passes, bench.events[1:]) == ([15], [ServerCrashed(5), ServerStarted(5)])


# Stops and starts


def test_a_server_that_was_stopped_passes_no_more_until_it_is_started(bench: Bench) -> None:
    """A stop ends the passes, and a start of the same server begins them anew."""
    bench.at(15).control.stop()
    bench.at(38).control.start()
    bench.at(50)

    assert (bench.made, bench.passes) == (1, [10, 48])
    assert bench.events[1:] == [ServerStopping(15), ServerStopped(15), ServerStarted(38)]


def test_what_is_asked_of_a_paused_server_happens_at_its_resume_in_order(bench: Bench) -> None:
    """A stop and a start that fall into a pause happen at its end, one after the other."""
    bench.at(5).control.pause(10)
    bench.at(6).control.stop()
    bench.at(7).control.start()
    bench.at(30)

    assert bench.events[1:] == [ServerPaused(5, 15), ServerStopping(15), ServerStopped(15), ServerStarted(15)]
    assert bench.passes[-1] == 25


def test_a_start_waits_for_the_stop_before_it(bench: Bench) -> None:
    """A start that is asked for while a stop takes its time happens when that has returned."""
    bench.stop_takes = 3
    bench.at(5).control.stop()
    bench.at(6).control.start()
    bench.at(20)

    assert bench.events[1:] == [ServerStopping(5), ServerStopped(8), ServerStarted(8)]
    assert bench.passes == [18]


def test_a_crash_while_a_stop_is_under_way_ends_that_too(bench: Bench) -> None:
    """A stop of a server that crashes meanwhile never returns, and what was asked for after it does not happen."""
    bench.stop_takes = 3
    bench.at(5).control.stop()
    bench.at(6).control.start()
    bench.control.crash()
    down = bench.at(20).control.is_down
    bench.control.start()
    bench.at(30)

    assert bench.events[1:] == [ServerStopping(5), ServerCrashed(6), ServerStarted(20)]
    assert (down, bench.made, bench.passes) == (True, 2, [30])


def test_a_crash_in_a_pause_forgets_what_was_asked_for(bench: Bench) -> None:
    """A stop that waited for the end of a pause does not happen to the next server."""
    bench.at(5).control.pause(10)
    bench.at(6).control.stop()
    bench.at(7).control.crash()
    bench.at(8).control.start()
    bench.at(20)

    assert bench.events[1:] == [ServerPaused(5, 15), ServerCrashed(7), ServerStarted(8)]
    assert bench.passes == [18]


def test_a_server_that_crashed_can_not_be_stopped(bench: Bench) -> None:
    """A stop of a server that is down is nothing, and is not recorded."""
    bench.at(5).control.crash()
    bench.control.stop()
    bench.at(6).control.start()
    bench.at(20)

    assert (bench.events[1:], bench.passes) == ([ServerCrashed(5), ServerStarted(6)], [16])


def test_a_server_can_crash_while_it_is_stopped(bench: Bench) -> None:
    """A server that is stopped can crash; the start after it is that of another one."""
    bench.at(5).control.stop()
    bench.at(6).control.crash()
    bench.at(7).control.start()
    bench.at(20)

    assert bench.events[1:] == [ServerStopping(5), ServerStopped(5), ServerCrashed(6), ServerStarted(7)]
    assert (bench.made, bench.passes) == (2, [17])


def test_an_exception_that_leaves_the_server_is_recorded(bench: Bench) -> None:
    """A server whose task ends by an exception has failed; so has the next one, after a crash."""
    bench.fails_at = 10
    bench.at(12).control.crash()
    bench.control.start()
    bench.fails_at = 22
    bench.at(30)

    assert bench.events[1:] == [
        ServerFailed(10, "LookupError: no such worker"),
        ServerCrashed(12),
        ServerStarted(12),
        ServerFailed(22, "LookupError: no such worker"),
    ]


# The end of a run


def test_a_server_that_runs_is_stopped_at_the_end(bench: Bench) -> None:
    """At the end of a run the server is stopped, which is no event of the run, and nothing is left of it."""
    bench.at(5).control.finish(30)

    assert (bench.events[1:], bench.log[1:], bench.clock.tasks) == ([], [(5, "1 ends")], [])


def test_a_server_that_is_stopped_or_down_is_not_stopped_again() -> None:
    """At the end of a run a server that was stopped, and one that has crashed, is left alone."""
    stopped, down = Bench(), Bench()
    stopped.at(5).control.stop()
    stopped.at(6).control.finish(30)
    down.at(5).control.crash()
    down.at(6).control.finish(30)

    assert stopped.events[1:] == [ServerStopping(5), ServerStopped(5)]
    assert down.events[1:] == [ServerCrashed(5)]


def test_a_paused_server_is_resumed_at_the_end(bench: Bench) -> None:
    """At the end of a run a pause is over, and pauses that were to come do not come."""
    bench.control.pause_in_pass("drained", 50)
    bench.at(5).control.pause(50)
    bench.at(20).control.finish(30)

    assert (bench.events[1:], bench.log[-1]) == ([ServerPaused(5, 55)], (20, "1 ends"))


def test_a_server_that_does_not_stop_is_left(bench: Bench) -> None:
    """A thread that goes on when the limit is over is recorded as left, and what is due after that does not happen."""
    bench.is_deaf = True
    bench.at(5).control.finish(30)

    assert bench.events[1:] == [Left(40, "thread 'watchdog 1'")]
    assert bench.passes == [10, 20, 30, 40]


GONE = "it had ended its watchdog by itself"


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_watchdog_that_ended_by_itself_has_failed(kind: str) -> None:
    """A server whose watchdog is not there any more at the end has failed, unless it was stopped or is unknown."""
    watching, ended, stopped, unknown = (Bench() for _ in range(4))
    for each, is_there in ((watching, True), (ended, False), (stopped, False)):
        thread = SimpleNamespace(is_alive=lambda is_there=is_there: is_there)
        each.watchdog_thread = thread if kind == "thread" else SimpleNamespace(alive=is_there)
    stopped.at(4).control.stop()
    for each in (watching, ended, stopped, unknown):
        each.at(5).control.finish(30)

    assert ended.events[1:] == [ServerFailed(5, GONE)]
    assert stopped.events[1:] == [ServerStopping(4), ServerStopped(4)]
    assert watching.events[1:] == unknown.events[1:] == []


def test_a_watchdog_that_failed_has_failed_once(bench: Bench) -> None:
    """Of a server that ended by an exception it is not said that it ended by itself, too."""
    bench.fails_at = 10
    bench.watchdog_thread = SimpleNamespace(alive=False)
    bench.at(12).control.finish(30)

    assert bench.events[1:] == [ServerFailed(10, "LookupError: no such worker")]


# In a run


@pytest.mark.parametrize(
    ("operations", "failures"),
    [
        ([], [ServerFailed(41, GONE)]),
        ([StopServer(gap=30)], []),
        ([StopServer(gap=9), StartServer()], [ServerFailed(41, GONE)]),
    ],
)
def test_a_watchdog_that_ends_in_a_run_is_seen(operations: list[Operation], failures: list[Event]) -> None:
    """A server that ends its watchdog when all are silent has failed, unless it was stopped."""
    trace = run(Schedule([Acquire(0, "s0", after=40), *operations]), SimulatedBackend(EndsWhenAllAreSilent))

    assert trace.of(ServerFailed) == failures
    assert ("watchdog-survives" in [each.invariant.id for each in trace.violations]) == bool(failures)


def test_a_server_that_was_restarted_has_forgotten() -> None:
    """A crash forgets the timer that had arrived, and what is sent to the next server is guarded."""
    schedule = Schedule([Acquire(0, "s", after=5), RestartServer(gap=1), Acquire(1, "s", after=2)])
    trace = run(schedule, SimulatedBackend())

    assert trace.events[:-1] == [
        *[ServerStarted(0), Started(0, 0, 0), Started(0, 1, 0), Sent(0, 0, 0, 0, "s", 5), Arrived(0, 0)],
        *[ServerCrashed(1), ServerStarted(1), Sent(1, 1, 1, 0, "s", 3), Arrived(1, 1)],
        *[Attempted(3, 1, 0, "worker 1", "reaped"), Died(3, 1, 0, "reaped")],
    ]
    assert (trace.violations, type(trace.events[-1])) == ([], Ended)


def test_on_a_shared_wire_what_is_sent_to_a_server_that_is_down_waits_for_the_next() -> None:
    """A request that arrives between a crash and a start is taken by the next server."""
    schedule = Schedule([CrashServer(), Acquire(0, "s", after=2, gap=1), StartServer(gap=4)])
    trace = run(schedule, SimulatedBackend())

    assert ([(reap.worker, reap.at) for reap in trace.reaps], trace.violations) == ([(0, 5)], [])


def test_on_a_connection_what_is_sent_to_a_server_that_is_down_is_refused() -> None:
    """Where a connection ends with the server a request that finds none never arrives."""
    schedule = Schedule([CrashServer(), Acquire(0, "s", after=2, gap=1), StartServer(gap=4)])
    trace = run(schedule, SimulatedBackend(wire="sequenced"))

    assert trace.events[:-1] == [
        *[ServerStarted(0), Started(0, 0, 0), ServerCrashed(0)],
        *[Sent(1, 0, 0, 0, "s", 3), Meddled(1, 0, "refused", 1), ServerStarted(5)],
    ]
    assert trace.violations == []


@pytest.mark.parametrize(("point", "reaps"), [("drained", []), ("reaping", [(0, 11)]), ("reaped", [(0, 5)])], ids=str)
def test_a_release_comes_too_late_for_who_was_about_to_reap(point: str, reaps: list[tuple[int, Instant]]) -> None:
    """A release in the pause saves a worker where the server had only drained, not where it was about to reap."""
    schedule = Schedule(
        [Acquire(0, "s", after=5), PauseInPass(point, 6, gap=4), Release(0, "s", gap=3), Release(0, "s", gap=9)]
    )
    trace = run(schedule, SimulatedBackend())

    assert ([(reap.worker, reap.at) for reap in trace.reaps], trace.violations) == (reaps, [])


class EndsItself(MemoryTimerServer):
    """Ends its own process whenever a timer is due, as an agent does that wants to be started again."""

    def _reap_expired(self, expired: dict[Any, Any]) -> set[Any]:
        gone = super()._reap_expired(expired) if self.reaps_first else set()
        if expired:
            os.kill(os.getpid(), signal.SIGTERM)
        return gone

    reaps_first = True


class EndsItselfForNothing(EndsItself):
    """Does so without having reaped anybody."""

    reaps_first = False


@pytest.mark.parametrize(
    ("server", "reasons"),
    [(EndsItself, []), (EndsItselfForNothing, ["it ended its own process, and had reaped nobody"])],
)
def test_a_server_that_signals_its_own_process_ends(server: type[EndsItself], reasons: list[str]) -> None:
    """A signal to its own process ends a server at that instant, another one can start; for nothing it has failed."""
    backend = SimulatedBackend(server, patch=[__name__])
    trace = run(Schedule([Acquire(0, "s0", after=5), StartServer(gap=8), Acquire(1, "s0", after=5)]), backend)

    assert [event.at for event in trace.of(ServerCrashed)] == [5, 13]
    assert [event.reason for event in trace.of(ServerFailed)] == reasons * 2
    assert [reap.at for reap in trace.reaps] == ([5, 13] if server is EndsItself else [])
    assert [event.what for event in trace.of(Left)] == []
