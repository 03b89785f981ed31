"""The search: what it finds, how it tells it, and when it ends."""

import subprocess
import sys
from functools import cache
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from timersim import MemoryTimerServer, TimerRequest
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import backend_without, without
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.goals import GOALS
from timersim.lab.invariants import INVARIANTS
from timersim.lab.operations import (
    EVERYTHING,
    OPERATIONS,
    Acquire,
    Exit,
    Release,
    StartServer,
)
from timersim.lab.report import Finding, Report
from timersim.lab.schedule import Schedule
from timersim.strategies import find_violations, search, seeded_schedule
from timersim.strategies.vocabulary import Vocabulary, vocabulary_of

START = 1_000_000

NAMED_FOR = {
    "drain-before-expire": "pause-is-not-silence",
    "expire-at-the-instant": "reaped-in-time",
    "honour-releases": "release-wins",
    "reap-once": "reaped-once",
    "clear-the-dead": "dead-stay-dead",
}


@cache
def searched(safeguard: str) -> Report:
    """Returns what a short search finds in a server without a safeguard."""
    return find_violations(broken(safeguard), max_examples=300)


class ThreeFaults(MemoryTimerServer):
    """Is wrong in three ways that have nothing to do with one another; the third is rare."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Forgets re-arms, and acquires that are due when they arrive."""
        for request in timer_requests:
            is_acquire = request.expiration_time >= 0
            is_rearm = is_acquire and (request.worker_id, request.scope_id) in self._timers
            is_overdue = is_acquire and request.expiration_time <= self._clock.time()
            if not is_rearm and not is_overdue:
                super().register_timers([request])

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Reaps pid 1 as well where two scopes of a worker come due at one instant."""
        expired = super().get_expired_timers(deadline)
        for timers in expired.values():
            if len({timer.expiration_time for timer in timers}) < len(timers):
                self._reaper(1)
        return expired


def broken(safeguard: str, **arguments: Any) -> SimulatedBackend:
    """Returns a backend whose server lacks a safeguard."""
    return SimulatedBackend(without(safeguard, MemoryTimerServer), **arguments)


def told(report: Report) -> dict[str, Any]:
    """Returns a report as JSON, without what differs from run to run."""
    written = report.to_object()
    written.pop("seconds")
    return written


@pytest.mark.parametrize(
    ("number", "exercised", "reached"), [(600, 5, 1), pytest.param(2000, 20, 5, marks=pytest.mark.slow)]
)
def test_a_correct_server_breaks_nothing(number: int, exercised: int, reached: int) -> None:
    """In many schedules a correct server breaks no invariant; each is exercised, and each goal is reached."""
    report = find_violations(SimulatedBackend(), max_examples=number)

    assert (report.findings, report.seen, report.unreached, report.no_longer) == ([], set(), [], [])
    assert [finding.invariants for finding in report.known] == [["replay-safe"]]
    assert (report.examples, report.is_cut_short, report.is_interrupted) == (number, False, False)
    assert [name for name in INVARIANTS if report.exercised[name] < exercised] == [
        "death-contained",
        "acquire-means-armed",
    ]
    assert [name for name in GOALS if report.goals[name] < reached] == []
    assert (report.worst_lateness, report.allowed_lateness) == (0, 0)


@pytest.mark.parametrize("safeguard", NAMED_FOR)
def test_a_missing_safeguard_is_found_and_named(safeguard: str) -> None:
    """In 300 schedules the lack of a safeguard is found, named for its invariant and shrunk to a few operations."""
    backend, report = broken(safeguard), searched(safeguard)

    assert NAMED_FOR[safeguard] in report.broken
    assert report.broken <= report.seen
    for finding in report.findings:
        assert len(finding.schedule) <= 6
        assert finding.violation is not None
        assert finding.violation.record.schedule == finding.schedule
        broken_by = {violation.invariant.id for violation in run(finding.schedule, backend).violations}
        assert set(finding.invariants) <= broken_by
        assert 1 <= finding.examples <= 300
        assert len(finding.schedule) <= finding.found_at


def test_a_missing_drain_shrinks_to_what_waited_behind_an_absence() -> None:
    """The lack of the drain is told by a reap of a worker that was released or re-armed in time."""
    report = searched("drain-before-expire")

    assert report.findings[0].invariants == ["pause-is-not-silence", "release-wins"]
    assert len(report.findings[0].schedule) == 3


def test_a_forgotten_release_shrinks_to_an_acquire_and_its_release() -> None:
    """A server that ignores releases is told by one acquire and one release."""
    report = searched("honour-releases")

    first, *others = report.findings
    assert first.invariants == ["release-wins", "conservation"]
    assert [type(operation) for operation in first.schedule] == [Acquire, Release]
    assert {finding.within for finding in others} <= {"release-wins"}


@pytest.mark.parametrize(("safeguard", "cause"), [
    ("drain-all", "pause-is-not-silence"), ("go-by-monotonic-time", "wall-steps-do-not-matter")
])  # fmt: skip
def test_only_a_smaller_finding_may_be_the_same(safeguard: str, cause: str) -> None:
    """A cause that is shrunk is told for itself, whatever greater schedules show without its situation."""
    report = find_violations(backend_without(safeguard), max_examples=500, shrunk=cause)

    assert any(cause in finding.invariants and not finding.within for finding in report.findings)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_report(seed: int) -> None:
    """Two searches with one seed report the same."""
    first, second = (find_violations(broken("reap-once"), 60, seed) for _ in range(2))

    assert told(first) == told(second)
    assert first.seed == seed


def test_another_seed_draws_other_schedules() -> None:
    """The seed decides which schedules are drawn, and so does the number."""
    drawn = {seed: [seeded_schedule(seed, number) for number in range(50)] for seed in (0, 1)}

    assert drawn[0] == [seeded_schedule(0, number) for number in range(50)]
    assert drawn[0] != drawn[1]
    assert len(set(drawn[0])) > 40


def test_a_search_runs_the_seeded_schedules() -> None:
    """A longer search begins with the schedules of a shorter one: their number alone decides."""
    operations = sum(len(seeded_schedule(3, number, Vocabulary(EVERYTHING))) for number in range(30))

    assert find_violations(SimulatedBackend(), 30, seed=3).operations == operations


def test_three_independent_faults_are_three_findings() -> None:
    """Faults that have nothing to do with one another are each found in one search, the rare one too."""
    report = find_violations(SimulatedBackend(ThreeFaults), max_examples=200)

    own = [finding for finding in report.findings if not finding.within]
    assert [finding.invariants[0] for finding in own] == ["release-wins", "right-set", "reaped-in-time"]
    rearmed, rare, overdue = (finding.schedule for finding in own)
    assert {o.scope for o in rare if isinstance(o, Acquire)} == {"s0", "s1"}
    assert [type(o) for o in rearmed] == [Acquire, Acquire]
    assert overdue == Schedule([Acquire(0, "s0", after=0)])


def test_a_rare_fault_is_rare() -> None:
    """Fewer than one in ten schedules shows the rare one of the three."""
    traces = [run(seeded_schedule(0, number), SimulatedBackend(ThreeFaults)) for number in range(120)]
    showing = sum("right-set" in {v.invariant.id for v in trace.violations} for trace in traces)

    assert 0 < showing < 12


class _Merging(MemoryTimerServer):
    """Whenever it reaps, reaps pid 1 besides, and a second time whom it reaped."""

    def _reap_worker(self, worker_id: Any) -> bool:
        self._reaper(1)
        super()._reap_worker(worker_id)
        return super()._reap_worker(worker_id)


def test_what_one_schedule_breaks_is_one_finding_the_worst_first() -> None:
    """Invariants that are broken by one and the same shrunk schedule are one finding, named for the worst."""
    drawn = [Schedule([Acquire(1, "s0", after=after), Acquire(0, "s1", after=5, gap=1)]) for after in (3, 20)]
    report = search.search_among(drawn, SimulatedBackend(_Merging))

    assert report.findings[0].invariants == ["right-set", "reaped-once"]
    assert [finding for finding in report.findings[1:] if finding.invariants[0] in report.findings[0].invariants] == []
    assert report.findings[0].schedule == Schedule([Acquire(0, "s0", after=0)])


class _Everything(MemoryTimerServer):
    """Breaks what leaves things behind first, then what spares the hung, then what kills the healthy."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        return {
            worker_id: timers
            for worker_id, timers in super().get_expired_timers(deadline).items()
            if all(timer.expiration_time < deadline for timer in timers) or self._reaper(1) is None
        }


def test_findings_come_worst_first() -> None:
    """Findings are ordered by the harm that they do, whichever was found first."""
    report = find_violations(SimulatedBackend(_Everything), max_examples=60)
    ranks = [finding.rank for finding in report.findings]

    assert len(ranks) > 1
    assert ranks == sorted(ranks)
    assert report.findings[0].invariants[0] == "right-set"


def test_what_the_contract_exempts_is_known() -> None:
    """A finding of an exempt invariant stands among the known, and the others where they stood."""
    contract = Contract(exempt={"reaped-once": "it makes sure"})
    report = find_violations(broken("reap-once", contract=contract), max_examples=100)

    assert [finding.invariants for finding in report.known] == [["reaped-once"]]
    assert [finding.invariants for finding in report.findings] == [["dead-stay-dead"]]
    assert report.known[0].schedule == Schedule([Acquire(0, "s0", after=0)])


def test_progress_is_told_after_each_schedule() -> None:
    """The progress is called with the growing report after each schedule."""
    seen: list[tuple[int, bool]] = []
    find_violations(broken("reap-once"), 5, progress=lambda report: seen.append((report.examples, bool(report.seen))))

    assert [examples for examples, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[-1][1]


def interrupt_at(examples: int) -> Any:
    """Returns a progress that is interrupted after so many schedules."""

    def progress(report: Report) -> None:
        if report.examples == examples:
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_is_reported_and_not_raised() -> None:
    """An interrupt ends the search; the report says so, with the numbers that it had."""
    report = find_violations(SimulatedBackend(), 100, progress=interrupt_at(7))

    assert (report.is_interrupted, report.examples, report.findings) == (True, 7, [])
    assert report.seconds > 0
    assert sum(report.exercised.values()) > 0


def test_an_interrupted_search_still_says_what_it_saw() -> None:
    """What was seen broken before the interrupt is in the report."""
    report = find_violations(broken("reap-once"), 100, progress=interrupt_at(20))

    assert report.is_interrupted
    assert "reaped-once" in report.seen


def test_an_interrupted_search_still_knows_what_is_known() -> None:
    """What the contract exempts and was seen before the interrupt is known, and not called held."""
    contract = Contract(exempt={"reaped-once": "it makes sure"})
    report = find_violations(broken("reap-once", contract=contract), 100, progress=interrupt_at(20))

    assert [finding.invariants for finding in report.known] == [["reaped-once"]]
    assert report.no_longer == []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a search find that a millisecond has passed each time it asks, whatever it took."""
    instants = count(START)
    monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=lambda: next(instants) / 1000))


@pytest.mark.usefixtures("asked")
def test_a_time_limit_ends_a_search() -> None:
    """A search ends at its time limit, and says that it was cut short."""
    report = find_violations(SimulatedBackend(), max_examples=10**9, time_limit=0.3)

    assert 0 < report.examples <= 300
    assert (report.is_cut_short, report.is_interrupted) == (True, False)


@pytest.mark.usefixtures("asked")
def test_a_time_limit_keeps_what_was_found() -> None:
    """What was found before the limit is reported, shrunk or not."""
    report = find_violations(broken("reap-once"), max_examples=10**9, time_limit=0.3)

    assert report.is_cut_short
    assert {name for finding in report.findings for name in finding.invariants} >= {"reaped-once"}


def test_a_time_limit_that_is_not_reached_changes_nothing() -> None:
    """A search that ends before its limit is not cut short, and reports the same."""
    limited = find_violations(broken("reap-once"), 30, time_limit=60)

    assert not limited.is_cut_short
    assert told(limited) == told(find_violations(broken("reap-once"), 30))


@pytest.mark.parametrize("value", [0, -1, 2.5, "9", None])
def test_a_number_of_examples_that_is_none_is_refused_by_name(value: Any) -> None:
    """A number of examples that is no whole number of at least 1 is refused at once."""
    with pytest.raises(ValueError, match="max_examples") as refused:
        find_violations(SimulatedBackend(), max_examples=value)

    assert str(refused.value) == f"max_examples is a whole number of at least 1: max_examples={value!r}"


@pytest.mark.parametrize("lacking", sorted(OPERATIONS))
def test_a_search_asks_for_nothing_that_the_backend_cannot_carry_out(lacking: str) -> None:
    """On a backend that lacks an operation the search does without it, and raises nothing."""
    backend = SimulatedBackend()
    backend.operations -= {OPERATIONS[lacking]}

    assert OPERATIONS[lacking] not in vocabulary_of(backend).kinds
    assert find_violations(backend, max_examples=40).examples == 40


def test_a_search_on_a_backend_that_can_do_little() -> None:
    """A backend of three operations is searched with these three."""
    backend = SimulatedBackend()
    backend.operations = frozenset({Acquire, Exit, StartServer})

    assert find_violations(backend, max_examples=100).examples == 100


def test_each_finding_is_shrunk_for_its_own_invariant() -> None:
    """Each invariant has its own smallest schedule: a smaller one that breaks another is no substitute."""
    report = find_violations(broken("reap-once"), max_examples=100)
    schedules: dict[str, Finding] = {finding.invariants[0]: finding for finding in report.findings}

    assert {"reaped-once", "dead-stay-dead"} <= schedules.keys()
    assert len(schedules["reaped-once"].schedule) == 1
    assert len(schedules["dead-stay-dead"].schedule) == 2


LOUD = """
from timersim.fakes import SimulatedBackend
from timersim.strategies import find_violations
print(find_violations(SimulatedBackend(), 60).findings)
"""


def test_a_search_is_silent_on_standard_error() -> None:
    """What the servers log of injected faults is not shouted where nobody has configured logging."""
    done = subprocess.run([sys.executable, "-c", LOUD], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")
