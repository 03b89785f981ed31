"""The ledger of a run: what was seen of a server's table, registration by registration."""

from typing import Any

import pytest

from tests.fakes.strangers import PollingWatchdog
from timersim.api import TimerRequest
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import server_without
from timersim.lab import (
    Acquire,
    Corrupt,
    Crash,
    CrashServer,
    Delay,
    Duplicate,
    Exit,
    Operation,
    PauseServer,
    Release,
    RestartServer,
    Reuse,
    Schedule,
    StartServer,
    StepWall,
    StopServer,
    run,
)
from timersim.lab.operations import CORRUPTIONS, Corruption
from timersim.lab.record import Answered, Entry, Instant, Registered
from timersim.memory_timer import MemoryTimerServer

MEMORY = SimulatedBackend()
SEQUENCED = SimulatedBackend(wire="sequenced")

S0 = (0, 0, "s0")
S1 = (0, 0, "s1")

Seen = tuple[Instant, tuple[int | None, ...], int, dict[Any, Instant], dict[Any, Instant]]


def seen(*operations: Operation, backend: SimulatedBackend = MEMORY) -> list[Seen]:
    """Returns when what was registered before 50, how many were refused, and the table before and after."""
    ledger = run(Schedule(operations), backend).ledger
    entries = [entry for entry in ledger if isinstance(entry, Registered) and entry.at < 50]
    return [(e.at, e.requests, e.refused, dict(e.before), dict(e.after)) for e in entries]


def test_an_acquire_and_its_release_are_entered() -> None:
    """Each request is entered with its number, when it was registered, and what that did to the table."""
    assert seen(Acquire(0, "s0", after=50), Release(0, "s0", gap=3)) == [
        (0, (0,), 0, {}, {S0: 50}),
        (3, (1,), 0, {S0: 50}, {}),
    ]


def test_a_re_arm_is_entered_with_both_expirations() -> None:
    """A second acquire of a scope moves its timer."""
    assert seen(Acquire(0, "s0", after=50), Acquire(0, "s0", after=50, gap=3))[1] == (3, (1,), 0, {S0: 50}, {S0: 53})


def test_a_release_of_what_nobody_holds_is_entered_too() -> None:
    """A request that changes nothing is a registration."""
    assert seen(Release(0, "s0", gap=3)) == [(3, (0,), 0, {}, {})]


def test_a_batch_is_one_registration() -> None:
    """What waited for the server is entered at once, in the order of its arrival."""
    waiting = seen(PauseServer(5), Acquire(1, "s0", after=50), Acquire(0, "s0", after=50), Release(1, "s0"))

    assert waiting == [(5, (0, 1, 2), 0, {}, {S0: 50})]


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_bad_message_is_entered_without_a_number(how: Corruption) -> None:
    """A message that is no request of the run has no number; it is refused, and the table stays as it was."""
    bad = seen(Acquire(0, "s0", after=50), Corrupt(0, how), Acquire(0, "s1", after=50, gap=1))

    assert bad[1:] == [(1, (None,), 1, {S0: 50}, {S0: 50})]


def test_a_refused_request_is_entered_with_its_number() -> None:
    """A request that the server turns down is entered, and is not in the table."""

    class RefusesS1(MemoryTimerServer):
        """Turns down one scope."""

        def _admit(self, request: TimerRequest) -> str | None:
            return "not that one" if request.scope_id == "s1" else super()._admit(request)

    entries = seen(
        PauseServer(5), Acquire(0, "s0", after=50), Acquire(0, "s1", after=50), backend=SimulatedBackend(RefusesS1)
    )

    assert entries == [(5, (0, 1), 1, {}, {S0: 50})]


def test_nothing_is_entered_where_nothing_changed() -> None:
    """A pass that takes nothing, and finds the table as it was left, is no entry."""
    assert len(seen(Acquire(0, "s0", after=50), Acquire(1, "s0", after=60))) == 2


def test_what_a_reap_cleared_is_seen_at_the_next_registration() -> None:
    """The timers of who was reaped are in the table at one registration and not at the next."""
    entries = seen(Acquire(0, "s0", after=5), Acquire(1, "s0", after=50), Release(1, "s0", gap=9))

    assert entries[2] == (9, (2,), 0, {(1, 0, "s0"): 50}, {})


def test_a_duplicate_is_entered_with_the_number_of_its_request() -> None:
    """What comes twice is entered twice."""
    entries = seen(Duplicate(0, later=3), Acquire(0, "s0", after=50))

    assert entries == [(0, (0,), 0, {}, {S0: 50}), (3, (0,), 0, {S0: 50}, {S0: 50})]


def test_timers_are_entered_by_monotonic_time() -> None:
    """A timer that was acquired after a step of the wall clock is entered as when it is due."""
    assert seen(StepWall(40), Acquire(0, "s0", after=50, gap=2)) == [(2, (0,), 0, {}, {S0: 52})]


def test_timers_are_entered_by_who_bears_the_pid() -> None:
    """A timer of a pid that was passed on is entered as one of the life that has it now."""
    entries = seen(Acquire(0, "s0", after=50), Exit(0, gap=1), Reuse(1, of=0), Release(1, "s1", gap=1))

    assert entries[-1] == (2, (1,), 0, {(1, 0, "s0"): 50}, {(1, 0, "s0"): 50})


def test_an_entry_says_after_how_many_events_it_was_made() -> None:
    """An entry stands behind the arrival of its request, and before what happened next."""
    record = run(Schedule([Acquire(0, "s0", after=50), Release(0, "s0", gap=3)]), MEMORY)

    assert [type(record.events[entry.position - 1]).__name__ for entry in record.ledger] == ["Arrived", "Arrived"]


def test_a_server_without_a_table_enters_nothing() -> None:
    """A stranger's server, that keeps what it knows to itself, is left as it is."""
    assert seen(Acquire(0, "s0", after=5), backend=SimulatedBackend(PollingWatchdog)) == []


def test_a_table_that_is_a_dict_of_requests_is_one() -> None:
    """A server that keeps its requests by worker and scope, as torch's does, is watched; its times are of its clock."""

    class KeepsRequests(MemoryTimerServer):
        """Keeps a second table of its own beside."""

        def __init__(self, queue: Any, max_interval: float, *, clock: Any, reaper: Any) -> None:
            super().__init__(queue, max_interval, clock=clock, reaper=reaper)
            self._timers: Any = {}

        def register_timers(self, timer_requests: list[TimerRequest]) -> None:
            for request in timer_requests:
                self._timers[request.worker_id, request.scope_id] = TimerRequest(
                    request.worker_id, request.scope_id, self._clock.monotonic() + 7
                )

        def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
            return {}

        def clear_timers(self, worker_ids: set[Any]) -> None:
            pass

        def _next_expiration(self) -> float | None:
            return None

    entries = seen(Acquire(0, "s0", after=5, gap=2), backend=SimulatedBackend(KeepsRequests))

    assert entries == [(2, (0,), 0, {}, {S0: 9})]


# Restarts


def test_after_a_stop_and_a_start_the_table_goes_on() -> None:
    """A server that was stopped and started has its timers still."""
    entries = seen(Acquire(0, "s0", after=50), StopServer(gap=1), StartServer(gap=1), Release(0, "s0", gap=1))

    assert entries[-1] == (3, (1,), 0, {S0: 50}, {})


@pytest.mark.parametrize("crash", [[RestartServer(gap=1)], [CrashServer(gap=1), StartServer()]])
def test_the_successor_of_a_crashed_server_is_watched(crash: list[Operation]) -> None:
    """After a crash the table of the new server is entered, which knows nothing."""
    entries = seen(Acquire(0, "s0", after=50), *crash, Acquire(0, "s1", after=50, gap=1))

    assert entries == [(0, (0,), 0, {}, {S0: 50}), (2, (1,), 0, {}, {S1: 52})]


def test_a_crashed_server_is_watched_no_longer() -> None:
    """What the old server would register, were it not dead, is entered nowhere."""
    made: list[MemoryTimerServer] = []

    def make(world: Any) -> MemoryTimerServer:
        made.append(MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap))
        if len(made) == 2:
            late = TimerRequest(1, "s0", world.clock.time() + 50)
            world.clock.call_later(3, lambda: made[0].register_timers([late]))
        return made[-1]

    entries = seen(Acquire(0, "s0", after=50), RestartServer(gap=1), backend=SimulatedBackend(make))

    assert [entry for entry in entries if entry[0] == 4] == []
    assert entries == [(0, (0,), 0, {}, {S0: 50}), (11, (), 0, {}, {})]


# Answers


def answers(*operations: Operation, safeguard: str | None = None) -> list[Entry]:
    """Returns the answers of a server whose requests carry a sequence."""
    server = None if safeguard is None else server_without(safeguard)
    backend = SimulatedBackend(server, wire="sequenced")
    return [entry for entry in run(Schedule(operations), backend).ledger if isinstance(entry, Answered)]


def test_an_answer_is_entered_with_what_the_table_holds() -> None:
    """An acquire is answered when its timer is armed, a release when it is not any more."""
    told = answers(Acquire(0, "s0", after=50), Release(0, "s0", gap=3))

    assert told == [Answered(0, 4, 0, "", is_armed=True), Answered(3, 6, 1, "", is_armed=False)]


def test_an_answer_that_comes_too_soon_is_seen() -> None:
    """A server that answers before it arms is seen to hold nothing then."""
    told = answers(Acquire(0, "s0", after=50), safeguard="answer-what-is-refused")

    assert told[0] == Answered(0, 4, 0, "", is_armed=False)


def test_a_duplicate_is_answered_as_well() -> None:
    """A duplicate is answered with what the table holds at that time."""
    told = answers(Duplicate(0, later=3), Acquire(0, "s0", after=50), Release(0, "s0", gap=1))

    assert [(a.at, a.request, a.is_armed) for a in told if isinstance(a, Answered)] == [
        (0, 0, True),
        (1, 1, False),
        (3, 0, False),
    ]


def test_who_is_dead_is_answered_nothing() -> None:
    """What a worker sent before it died is registered for nobody, and not answered."""
    assert answers(PauseServer(5), Acquire(0, "s0", after=50), Crash(0, "sigkill", gap=1)) == []


def test_on_a_shared_wire_nothing_is_answered() -> None:
    """Requests without a sequence are not answered."""
    ledger = run(Schedule([Delay(0, 1), Acquire(0, "s0", after=50)]), MEMORY).ledger

    assert {type(entry) for entry in ledger} == {Registered}
