"""The search for causes: without a fault, and with one kind of fault at a time."""

from typing import Any

from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, Contract, Crash, PauseServer, Schedule, StopServer
from timersim.memory_timer import MemoryTimerServer
from timersim.strategies.causes import Cause, causes, find_causes


class OneAtATime(MemoryTimerServer):
    """Takes one request a pass, whatever has come: it needs a pause of the server to show."""

    def _take_arrived(self) -> Any:
        return self._request_queue.get(1, 0)


class Forgetful(MemoryTimerServer):
    """Reaps nobody: it needs no fault to show."""

    def _reap_expired(self, expired: dict[Any, Any]) -> set[Any]:
        return set(expired)


def backend_of(server: type[MemoryTimerServer]) -> SimulatedBackend:
    """Returns a backend of which the plain faults are tried."""
    return SimulatedBackend(server, contract=Contract(reap_within=10), patch=())


def test_what_needs_no_fault_is_found_without_one() -> None:
    """A server that reaps nobody is found by one acquire, and no fault is held responsible for it."""
    report = find_causes(backend_of(Forgetful), max_examples=20)

    [first, *others] = [finding for finding in report.findings if "reaped-in-time" in finding.invariants]
    assert (len(first.schedule), first.faults, others) == (1, [], [])


def test_what_needs_a_fault_names_it() -> None:
    """Of each finding that takes a fault the same schedule without that fault breaks nothing of the kind."""
    report = find_causes(backend_of(OneAtATime), max_examples=40)

    assert report.findings
    for finding in report.findings:
        assert len(finding.faults) <= 1


def test_timersim_s_own_server_has_no_causes() -> None:
    """With every fault that there is, timersim's own server breaks nothing."""
    report = find_causes(SimulatedBackend(), max_examples=5)

    assert (report.findings, {finding.invariants[0] for finding in report.known} <= {"replay-safe"}) == ([], True)
    assert report.examples == 5 * (10 + len(causes(SimulatedBackend())) - 1)


def test_the_same_seed_finds_the_same() -> None:
    """The same seed gives the same findings after the same schedules, another one others."""
    first, again, other = (
        [
            (finding.invariants, finding.schedule, finding.examples)
            for finding in find_causes(backend_of(OneAtATime), 40, seed).findings
        ]
        for seed in (0, 0, 1)
    )

    assert first
    assert first == again != other


def test_a_cause_is_taken_where_nothing_breaks_without_it() -> None:
    """A schedule takes a cause unless it breaks the same without it; of each, where every kind has to be there."""
    schedule = Schedule([PauseServer(1), Crash(0, "sigkill"), StopServer(), Acquire(0, "s0", after=0)])

    def breaks(without: Schedule) -> bool:
        return any(isinstance(operation, PauseServer) for operation in without)

    assert Cause().is_taken(schedule, breaks)
    assert Cause((PauseServer,)).is_taken(schedule, breaks)
    assert not Cause((Crash,)).is_taken(schedule, breaks)
    assert Cause((PauseServer, Crash)).is_taken(schedule, breaks)
    assert not Cause((PauseServer, Crash), of_each=True).is_taken(schedule, breaks)
