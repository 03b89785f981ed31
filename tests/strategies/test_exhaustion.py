"""Every schedule up to a bound: none is missing, none is there twice, and what is left out is the same."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS, backend_without
from timersim.lab import Acquire, Crash, Exit, Release, Reuse, Schedule, Start, run
from timersim.lab.operations import Operation, ScheduleError
from timersim.lab.record import Skipped
from timersim.lab.report import Report
from timersim.strategies import Bound, every_schedule, exhaust, seeded_schedule
from timersim.strategies.ablations import AblationResult
from timersim.strategies.bounds import NAMES
from timersim.strategies.exhaustion import count, some_schedules
from timersim.strategies.search import find_violations, search_among
from timersim.strategies.vocabulary import Vocabulary

BOUNDS = [
    Bound(size=0),
    Bound(workers=1, size=4),
    Bound(workers=2, size=3),
    Bound(workers=3, size=3, after=[5], gaps=[0]),
    Bound(workers=2, scopes=2, size=3, after=[1], gaps=[0]),
    Bound(workers=2, size=3, after=[1], gaps=[0, 1, 2]),
    Bound(workers=1, size=4, after=[1], gaps=[1, 2]),
    Bound(workers=1, size=4, ops=["exit", "crash:sigkill", "crash:segv", "start", "release"]),
    Bound(workers=1, size=4, ops=["acquire", "exit", "pause", "resume", "start"], after=[1], gaps=[0]),
    Bound(workers=2, size=3, ops=["exit", "reuse", "acquire"], after=[1], gaps=[0, 1]),
    Bound(workers=1, scopes=3, size=3, ops=["exit", "acquire", "flood"], after=[1]),
    Bound(workers=1, size=3, ops=["acquire", "pause-server", "stop-server", "start-server"], ticks=[2, 6]),
]

OWN = {kind for name, kind in NAMES.items() if name in {"acquire", "release", "exit", "pause", "flood"}}
"""What a worker does itself, of what the bounds above have, but for crashes."""


def everything(bound: Bound) -> Iterable[Schedule]:
    """Yields every schedule within a bound, twins and all, by brute force."""
    letters = [operation.but(gap=gap) for operation in bound.alphabet() for gap in bound.gaps]
    return (Schedule(word) for size in range(bound.size + 1) for word in product(letters, repeat=size))


def happening(schedule: Schedule) -> tuple[list[tuple[int, Operation]], int]:
    """Returns what can happen, each at its instant, names in the order in which they occur; and when it is over."""
    now, ended, names, found = 0, set(), {"worker": {}, "scope": {}}, []  # type: ignore[var-annotated]  # of this function alone
    for operation in schedule:
        now += operation.gap
        worker: int = getattr(operation, "worker", -1)
        is_own = type(operation) in OWN or (isinstance(operation, Crash) and operation.how != "sigkill")
        if is_own and worker in ended:
            continue
        changes: dict[str, Any] = {"gap": 0}
        for field, kind in (("worker", "worker"), ("of", "worker"), ("scope", "scope")):
            if hasattr(operation, field):
                number = names[kind].setdefault(getattr(operation, field), len(names[kind]))
                changes[field] = f"s{number}" if kind == "scope" else number
        found.append((now, operation.but(**changes)))
        if isinstance(operation, Exit | Crash):
            ended.add(worker)
        if isinstance(operation, Start | Reuse):
            ended.discard(worker)
    return found, now


def key(schedule: Schedule) -> str:
    """Returns the same for schedules that are the same."""
    return repr(happening(schedule))


@pytest.mark.parametrize("bound", BOUNDS)
def test_none_is_missing_and_none_is_there_twice(bound: Bound) -> None:
    """Of all schedules, by brute force, each is there in one form; no two are equal, or differ in names alone."""
    found = list(every_schedule(bound))

    assert len(set(found)) == len(found)
    assert len({key(schedule) for schedule in found}) == len(found)
    assert {key(schedule) for schedule in found} == {key(schedule) for schedule in everything(bound)}
    assert set(found) <= set(everything(bound))


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_number_is_told_without_making_them(bound: Bound) -> None:
    """`count` tells how many there are."""
    assert count(bound) == sum(1 for _ in every_schedule(bound))


def test_the_smallest_come_first() -> None:
    """Schedules come by their number of operations, the empty one first."""
    sizes = [len(schedule) for schedule in every_schedule(Bound(size=3))]

    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 3)


def told(schedule: Schedule, backend: SimulatedBackend) -> Any:
    """Returns what a run came to, whatever its workers are called: the verdict, and when what happened."""
    trace = run(schedule, backend)
    happened = [(type(event).__name__, event.at) for event in trace.events if not isinstance(event, Skipped)]
    return [violation.invariant.id for violation in trace.violations], trace.exercised, trace.goals, happened


@pytest.mark.parametrize("bound", [*BOUNDS[2:6], *BOUNDS[7:11]])
@pytest.mark.parametrize("safeguard", ["", "key-by-scope"])
def test_what_is_left_out_is_the_same(bound: Bound, safeguard: str) -> None:
    """What is left out comes to what its form that is there comes to, on a correct server and on a broken one."""
    backend = backend_without(safeguard) if safeguard else SimulatedBackend()
    kept = {key(schedule): schedule for schedule in every_schedule(bound)}
    left_out = [schedule for schedule in everything(bound) if kept[key(schedule)] != schedule]

    assert left_out
    for schedule in left_out[:: 1 + len(left_out) // 100]:
        assert told(schedule, backend) == told(kept[key(schedule)], backend), schedule


WITHIN = Bound(workers=2, size=3, after=[5, 1], gaps=[0, 1])

KEYS = {key(schedule) for schedule in every_schedule(WITHIN)}


def test_what_a_search_draws_within_the_bound_is_there() -> None:
    """Each schedule of a seeded search that lies within the bound has its form among all."""
    vocabulary = Vocabulary((Acquire, Release, Exit), max_workers=2, max_scopes=1, max_size=3)
    drawn = {seeded_schedule(5, number, vocabulary) for number in range(5000)}
    within = [s for s in drawn if all(o.gap <= 1 and getattr(o, "after", 1) in WITHIN.after for o in s)]

    assert len(within) > 100
    assert [schedule for schedule in within if key(schedule) not in KEYS] == []


@given(
    st.lists(
        st.builds(lambda o, gap: o.but(gap=gap), st.sampled_from(WITHIN.alphabet()), st.integers(0, 1)), max_size=3
    )
)
def test_what_hypothesis_draws_within_the_bound_is_there(operations: list[Operation]) -> None:
    """Each list of operations within the bound has its form among all."""
    assert key(Schedule(operations)) in KEYS


def test_samples_are_of_full_size_and_from_all_over() -> None:
    """The schedules by which the time is told lie within the bound, and differ."""
    samples = list(some_schedules(WITHIN))

    assert {len(schedule) for schedule in samples} == {3}
    assert set(samples) <= set(every_schedule(WITHIN))
    assert len(set(samples)) > 300


def test_a_correct_server_passes() -> None:
    """Every schedule of up to three operations leaves a correct server's promises kept."""
    report = exhaust(SimulatedBackend(), Bound(size=3))

    assert (report.examples, report.findings, report.known, report.unreached) == (1613, [], [], [])
    assert report.exercised["reaped-in-time"] == 1586


@pytest.mark.slow
def test_a_correct_server_passes_a_larger_bound() -> None:
    """Every schedule of up to four operations leaves a correct server's promises kept, under pauses and stops, too."""
    faults = ["acquire", "release", "pause-server", "stop-server", "start-server"]
    reports = [exhaust(SimulatedBackend(), bound) for bound in (Bound(), Bound(workers=1, ops=faults, after=[2]))]

    assert [(report.examples, report.findings) for report in reports] == [(20_295, []), (11_111, [])]


def test_a_missing_safeguard_is_found_smallest_first() -> None:
    """What is found is as small as it can be, and told as by a search."""
    report = exhaust(backend_without("honour-releases"), Bound(size=2))

    (finding,) = report.findings
    assert finding.schedule == Schedule([Acquire(0, "s0", after=1), Release(0, "s0")])
    assert (finding.invariants, finding.found_at) == (["release-wins", "conservation"], 2)
    searched = find_violations(backend_without("honour-releases"), 100).findings[0]
    assert (finding.schedule, finding.invariants) == (searched.schedule, searched.invariants)


NAMED = [
    "expire-at-the-instant",
    "wait-for-the-expiration",
    "wake-for-expirations",
    "plan-for-the-earliest",
    "honour-releases",
    "re-arm",
    "one-release-is-enough",
    "key-by-scope",
    "key-by-worker",
    "reap-once",
    "forget-the-reaped",
    "take-the-gone-for-gone",
    "signal-the-worker-alone",
    "reap-all-who-are-due",
    "clear-the-reaped-alone",
    "arm-before-answering",
    "answer-what-is-refused",
]
"""The safeguards whose lack three acquires, releases and exits can show."""


def is_named(safeguard: str, size: int) -> bool:
    """Returns whether the lack of a safeguard is found, and named for its own cause, within the bound of this size."""
    ablation = ABLATIONS[safeguard]
    report = exhaust(backend_without(safeguard), Bound(size=size), shrunk=ablation.breaks)
    return AblationResult(ablation, report).is_named


def test_a_bound_finds_what_it_reaches() -> None:
    """Two operations show what reaps twice, and do not show what forgets the second of two releases."""
    assert [is_named(safeguard, 2) for safeguard in ("reap-once", "one-release-is-enough")] == [True, False]


@pytest.mark.slow
def test_a_small_bound_finds_and_names_every_ablation_that_it_reaches() -> None:
    """Three operations show 17 ablations by name, and no others."""
    assert [safeguard for safeguard in ABLATIONS if is_named(safeguard, 3)] == NAMED


def test_an_interrupt_tells_what_was_found_so_far() -> None:
    """After Ctrl-C the report has what was found by then, as it was found."""

    def interrupt(report: Report) -> None:
        if report.examples == 20:
            raise KeyboardInterrupt

    report = exhaust(backend_without("honour-releases"), Bound(size=3), interrupt)

    assert (report.examples, report.is_interrupted) == (20, True)
    assert "release-wins" in report.broken


def test_schedules_of_ones_own_are_searched_as_well() -> None:
    """Whatever yields schedules can be searched; no goal is expected of them."""
    report = search_among([Schedule(), Schedule([Acquire(0, "s0", after=1)])], SimulatedBackend())

    assert (report.examples, report.operations, report.findings, report.unreached) == (2, 1, [], [])


def test_an_operation_that_happens_in_several_ways_is_tried_in_each() -> None:
    """A crash is there in its four ways, or in the one that is named; clocks are stepped forward and back."""
    bound = Bound(workers=1, ops=["crash", "crash:sigkill", "step-wall", "crash-sending:half-written"], ticks=[2])

    assert repr(bound.alphabet()) == (
        '[Crash(0, "sigkill"), Crash(0, "exit"), Crash(0, "abort"), Crash(0, "segv"), StepWall(2), StepWall(-2),'
        ' CrashSending(0, "half written")]'
    )
    assert Bound(ops=list(NAMES)).kinds == list(NAMES.values())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"workers": 0}, "workers: whole numbers from 1 to 10, not 0"),
        ({"scopes": 11}, "scopes: whole numbers from 1 to 10, not 11"),
        ({"size": -1}, "size: whole numbers from 0 to 100, not -1"),
        ({"size": True}, "size: whole numbers from 0 to 100, not True"),
        ({"after": [1, -1]}, "after: whole numbers from 0 to 1,000,000,000, not -1"),
        ({"gaps": [0.5]}, "gaps: whole numbers from 0 to 1,000,000,000, not 0.5"),
        ({"ticks": [0]}, "ticks: whole numbers from 1 to 1,000,000,000, not 0"),
        ({"gaps": []}, "gaps: at least one, separated by commas; there is none"),
        ({"ops": ["acquir"]}, "there is no operation 'acquir'; did you mean acquire? there are start, acquire, "),
        ({"ops": ["exit:kill"]}, "exit happens in one way, without a colon: 'exit:kill'"),
        ({"ops": ["crash:kill"]}, "crash happens in one way of crash:sigkill, crash:exit, crash:abort, crash:segv: "),
    ],
)
def test_a_wrong_bound_is_answered_in_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    """What can't be a bound is said with the rule and the value."""
    with pytest.raises(ScheduleError) as caught:
        Bound(**wrong)

    assert str(caught.value).startswith(sentence)


def test_what_a_backend_cannot_carry_out_is_said_before_it_starts() -> None:
    """An operation that the backend has not is named before anything runs."""
    backend = SimulatedBackend()
    backend.operations -= {Exit}

    with pytest.raises(ScheduleError, match="memory can't carry out Exit; leave it out, or use memory"):
        exhaust(backend, Bound(size=1))
