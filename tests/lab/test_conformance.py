"""Conformance: a difference counts as explained only where the record of the real run shows why."""

from collections.abc import Sequence

import pytest

from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import backend_without
from timersim.lab import Acquire, Contract, Crash, Pause, PauseServer, Release, Schedule, StartServer, StopServer, run
from timersim.lab.conformance import (
    GONE,
    REFUSED,
    TIE,
    WAITS,
    Cause,
    Difference,
    Explanation,
    compare,
    differences,
)
from timersim.lab.invariants import INVARIANTS
from timersim.lab.operations import PLAIN
from timersim.lab.record import (
    Answered,
    Arrived,
    Attempted,
    Died,
    Ended,
    Entry,
    Event,
    Meddled,
    Record,
    Sent,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Skipped,
    Started,
    WorkerPaused,
)
from timersim.lab.retelling import retold
from timersim.lab.trace import Trace
from timersim.strategies import seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

MODEL = SimulatedBackend()

BEGINNING: list[Event] = [ServerStarted(0), Started(0, 0, 0)]

GUARDED = Vocabulary(tuple(kind for kind in PLAIN if kind not in {StopServer, StartServer}))
"""What is drawn where the server is never stopped."""

HELD = Schedule([Acquire(0, "s0", after=5)])


def told_by_hand(events: Sequence[Event], ledger: Sequence[Entry] = (), end: int = 20) -> Trace:
    """Judges what a real run might have come to; it knows neither goals nor the server's table."""
    contract = Contract(order="sequence", exempt=dict.fromkeys(["conservation", "acquire-means-armed"], "by hand"))
    record = Record(HELD, "real", contract, [*BEGINNING, *events, Ended(end)], ledger=list(ledger))
    return Trace.of_record(record)


def explained(schedule: Schedule, real: Trace) -> list[Difference]:
    """Returns the differences between the model's run of a schedule and a real one, as `compare` has them."""
    return differences(run(schedule, MODEL), real, run(retold(real), MODEL))


@pytest.mark.parametrize("number", range(0, 200, 10))
def test_what_is_told_again_happens_again(number: int) -> None:
    """A world that is told again to the server that was in it has the same reaps: but for ties, where it stops."""
    for each in range(number, number + 10):
        trace = run(seeded_schedule(31, each, GUARDED), MODEL)
        again = run(retold(trace), MODEL)

        assert [repr(reap) for reap in again.reaps] == [repr(reap) for reap in trace.reaps]
        assert [repr(death) for death in again.deaths] == [repr(death) for death in trace.deaths]
        assert [(r.at, r.scope, r.expiration) for r in again.requests] == [
            (r.at, r.scope, r.expiration) for r in trace.requests
        ]


def test_two_runs_of_the_same_are_no_difference() -> None:
    """Nothing is said of runs that are equal."""
    assert [compare(seeded_schedule(3, number), MODEL, SimulatedBackend()) for number in range(50)] == [[]] * 50


@pytest.mark.parametrize(
    "safeguard", ["honour-releases", "drain-before-expire", "key-by-scope", "wake-for-expirations"]
)
def test_a_broken_server_is_not_explained(safeguard: str) -> None:
    """What a server does with a safeguard taken out nothing accounts for, were no invariant there to say so."""
    broken = backend_without(safeguard, contract=Contract(exempt=dict.fromkeys(INVARIANTS, "only compared")))
    found = [each for number in range(400) for each in compare(seeded_schedule(5, number), MODEL, broken)]

    assert "the servers reap differently" in {difference.explanation.text for difference in found}


def test_a_violation_is_not_explained() -> None:
    """What breaks an invariant is no matter of how a wire is made."""
    found = compare(Schedule([Acquire(0, "s0", after=1), Release(0, "s0")]), MODEL, backend_without("honour-releases"))

    assert "release-wins is broken on memory" in {difference.explanation.text for difference in found}


STOPPED = Schedule([StopServer(), Acquire(0, "s0", after=5)])


def test_a_call_that_a_stopped_server_refuses_is_the_wires_way() -> None:
    """Memory keeps the request, so it differs; the reap that never comes follows from it, and is not told apart."""
    sent = Sent(0, 0, 0, 0, "s0", 5)
    real = told_by_hand([ServerStopping(0), ServerStopped(0), sent, Meddled(0, 0, "refused", 0), ServerStarted(9)])

    assert explained(Schedule([*STOPPED, StartServer(gap=9)]), real) == [
        Difference(REFUSED, "worker 0's acquire of s0 at t=0 is refused")
    ]


def test_a_call_that_a_server_refuses_which_is_there_is_not_explained() -> None:
    """A refusal needs a stop in the record."""
    real = told_by_hand([Sent(0, 0, 0, 0, "s0", 5), Meddled(0, 0, "refused", 0)])

    assert "a request is refused though the server is there" in texts(explained(HELD, real))


WORLDS = Explanation(Cause.UNEXPLAINED, "the worlds differ")

LATE = Explanation(Cause.UNEXPLAINED, "a request is late though the server is there")

PAUSED = Schedule([PauseServer(6), Acquire(0, "s0", after=5)])


@pytest.mark.parametrize(
    ("arrives", "answered", "reasons"),
    [(6, 6, {WAITS}), (0, 6, {WAITS}), (0, 4, {LATE}), (3, 6, {LATE, WAITS}), (7, 7, {LATE})],
)
def test_a_call_may_wait_as_long_as_the_server_is_paused(
    arrives: int, answered: int, reasons: set[Explanation]
) -> None:
    """It arrives, and is answered, at once or when the pause ends: not before, and not later."""
    events = [ServerPaused(0, 6), Sent(0, 0, 0, 0, "s0", 5), Arrived(arrives, 0)]
    reap = [Attempted(answered, 0, 0, "worker 0", "reaped"), Died(answered, 0, 0, "reaped")]
    answer = Answered(answered, 3, 0, "", is_armed=True)
    real = told_by_hand([*events, *reap], [answer])

    assert reasons == {each.explanation for each in explained(PAUSED, real)} & {WAITS, LATE}


def test_a_request_that_never_arrives_is_not_explained() -> None:
    """What is neither refused nor arrived while the server is there was lost."""
    real = told_by_hand([Sent(0, 0, 0, 0, "s0", 5)])

    assert texts(explained(HELD, real)) == ["a request is late though the server is there"]


def test_who_is_gone_is_found_by_one_alone() -> None:
    """Memory's server finds out by a reap that a worker is gone; that the real one makes no attempt is its way."""
    crashed = Schedule([*HELD, Crash(0, "sigkill", gap=1)])
    real = told_by_hand([Sent(0, 0, 0, 0, "s0", 5), Arrived(0, 0), Died(1, 0, 0, "sigkill")])

    assert [each.explanation for each in explained(crashed, real)] == [GONE]


def test_an_attempt_that_takes_the_living_for_gone_is_not_explained() -> None:
    """Who is gone has died."""
    real = told_by_hand([Sent(0, 0, 0, 0, "s0", 5), Arrived(0, 0), Attempted(5, 0, 0, "worker 0", "gone")])

    assert "somebody who lives is taken for gone" in texts(explained(HELD, real))


@pytest.mark.parametrize("late", [0, 1])
def test_a_reap_may_go_either_way_at_the_instant_of_a_release_and_at_no_other(late: int) -> None:
    """A release at the expiration is a tie; one a tick later is none, and a worker that is spared is not explained."""
    released = Schedule([*HELD, Release(0, "s0", gap=5 + late)])
    sent = [Sent(0, 0, 0, 0, "s0", 5), Arrived(0, 0), Sent(5 + late, 1, 0, 0, "s0", None), Arrived(5 + late, 1)]
    found = [each.explanation for each in explained(released, told_by_hand(sent))]

    assert (found == [TIE]) == (late == 0)
    assert (Cause.UNEXPLAINED in {each.cause for each in found}) == (late == 1)


@pytest.mark.parametrize(("paused", "explanation"), [(5, TIE), (4, WORLDS)])
def test_what_a_worker_comes_to_may_go_either_way_at_the_instant_of_its_reap(
    paused: int, explanation: Explanation
) -> None:
    """A worker that is paused as it is reaped may not come to that; one that is paused before does."""
    sent = [Sent(0, 0, 0, 0, "s0", 5), Arrived(0, 0)]
    pause = Skipped(paused, Pause(0, gap=paused))
    reap = [Attempted(5, 0, 0, "worker 0", "reaped"), Died(5, 0, 0, "reaped")]
    model = told_by_hand([*sent, WorkerPaused(paused, 0), *reap])
    real = told_by_hand([*sent, *([pause, *reap] if paused < 5 else [*reap, pause])])

    assert [each.explanation for each in differences(model, real, real)] == [explanation]


def texts(found: list[Difference]) -> list[str]:
    """Returns what is said of differences."""
    return [difference.explanation.text for difference in found]
