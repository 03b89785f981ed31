"""The search for causes: without a fault, and with one kind of fault at a time."""

from typing import Any

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, Contract, Crash, PauseServer, Schedule, StopServer, run
from timersim.lab.report import Report
from timersim.lab.shrink import shrink
from timersim.memory_timer import MemoryTimerServer
from timersim.strategies.cause import Cause, causes
from timersim.strategies.causes import find_causes


class OneAtATime(MemoryTimerServer):
    """Takes one request a pass, whatever has come: it needs a pause of the server to show."""

    def _take_arrived(self) -> Any:
        return self._request_queue.get(1, 0)


class Forgetful(MemoryTimerServer):
    """Reaps nobody: it needs no fault to show."""

    def _reap_expired(self, expired: dict[Any, Any]) -> set[Any]:
        return set(expired)


class SparesTheThird(MemoryTimerServer):
    """Doesn't reap the third worker: seldom met, and no fault has to do with it."""

    def _reap_expired(self, expired: dict[Any, Any]) -> set[Any]:
        return super()._reap_expired({worker: timers for worker, timers in expired.items() if worker % 3 != 2})


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
    backend = backend_of(OneAtATime)

    findings = [finding for finding in find_causes(backend, max_examples=40).findings if finding.faults]

    assert findings
    for finding in findings:
        [fault] = finding.faults
        healthy = Schedule([each for each in finding.schedule if type(each).__name__ != fault])
        assert not set(finding.invariants) & {violation.invariant.id for violation in run(healthy, backend).violations}


def test_a_fault_that_only_happens_to_be_there_is_no_cause() -> None:
    """What was missed without a fault, and met beside one, is not put down to the fault."""
    report = find_causes(backend_of(SparesTheThird), max_examples=3, seed=1)

    broken = {name for finding in report.findings for name in finding.invariants}
    assert {"reap-spares-the-rest", "reaped-in-time"} <= broken
    assert [finding.faults for finding in report.findings if finding.faults] == []


@pytest.mark.parametrize("examples", [3, 20, 199])
def test_what_an_interrupted_cause_has_caught_is_told(examples: int) -> None:
    """Ctrl-C after so many schedules: what they have broken is told as it was caught, and no other cause is tried."""

    def interrupt(report: Report) -> None:
        if report.examples == examples:
            raise KeyboardInterrupt

    report = find_causes(backend_of(Forgetful), max_examples=20, progress=interrupt)

    [finding] = [finding for finding in report.findings if "reaped-in-time" in finding.invariants]
    assert (finding.is_shrunk, finding.found_at) == (False, len(finding.schedule))
    assert finding.violation is not None
    assert (report.is_interrupted, report.examples) == (True, examples)


def test_what_a_rerun_does_not_show_is_a_finding_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was broken and shrunk, as on real processes, and then no more, is told as seen once."""

    class UntilShrunk(Forgetful):
        is_well = False

        def _reap_expired(self, expired: dict[Any, Any]) -> set[Any]:
            return MemoryTimerServer._reap_expired(self, expired) if self.is_well else super()._reap_expired(expired)

    def shrink_and_mend(*arguments: Any) -> Schedule:
        smaller = shrink(*arguments)
        UntilShrunk.is_well = True
        return smaller

    monkeypatch.setattr("timersim.strategies.causes.shrink", shrink_and_mend)

    report = find_causes(backend_of(UntilShrunk), max_examples=20)

    assert {finding.violation for finding in report.findings} == {None}
    [finding] = [finding for finding in report.findings if finding.invariants == ["reaped-in-time"]]
    assert finding.to_text().startswith("reaped-in-time: seen once, and not again")


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
