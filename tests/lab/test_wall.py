"""The wall clock of a run against its monotonic clock: when a request is due whose expiration the wall clock gave."""

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, Delay, Drift, Schedule, StepWall, Suspend, run
from timersim.lab.record import Event, Instant, Sent, WallDrifts, WallStepped
from timersim.lab.wall import SLACK, WallHand

Window = tuple[Instant, Instant]


def window(events: list[Event], registered: Instant) -> Window:
    """Returns when the request that was sent is due, at the earliest and at the latest."""
    index, sent = next((i, event) for i, event in enumerate(events) if isinstance(event, Sent))
    assert sent.expiration is not None
    return WallHand(events).window(sent.expiration, (index, sent.at), registered)


def sent(at: Instant) -> Sent:
    """Returns a request for a timer that is due at 60 of the wall clock."""
    return Sent(at, 0, 0, 0, "s", 60)


def doubtful(earliest: Instant, latest: Instant) -> Window:
    """Returns a window as wide as the doubt about a clock that drifts has it."""
    return round(earliest - SLACK, 9), round(latest + SLACK, 9)


# Steps


@pytest.mark.parametrize("registered", [9, 10, 11])
def test_a_wall_clock_that_never_moves_is_the_monotonic_one(registered: Instant) -> None:
    """Where the wall clock never stepped a request is due at its expiration, whenever it was registered."""
    assert window([sent(9)], registered) == (60, 60)


@pytest.mark.parametrize(("by", "due"), [(5, 55), (-5, 65)])
@pytest.mark.parametrize(("at", "registered"), [(10, 10), (11, 11), (11, 90)])
def test_a_step_before_the_request_was_sent_moves_its_due(
    by: int, due: Instant, at: Instant, registered: Instant
) -> None:
    """What is sent after a step, in the same tick too, is due by the clock as it was then."""
    assert window([WallStepped(10, by), sent(at)], registered) == (due, due)


@pytest.mark.parametrize(("by", "both"), [(5, (55, 60)), (-5, (60, 65))])
@pytest.mark.parametrize("at", [9, 10])
@pytest.mark.parametrize("registered", [10, 11])
def test_a_step_while_the_request_is_under_way_leaves_its_due_open(
    by: int, both: Window, at: Instant, registered: Instant
) -> None:
    """What was sent before a step and registered in its tick or later is due by either hand."""
    assert window([sent(at), WallStepped(10, by)], registered) == both


@pytest.mark.parametrize("by", [5, -5])
def test_a_step_after_the_request_was_registered_moves_nothing(by: int) -> None:
    """What was registered a tick before a step is due as if there had been none."""
    assert window([sent(9), WallStepped(10, by)], registered=9) == (60, 60)


@pytest.mark.parametrize(
    ("at", "registered", "expected"),
    [
        (8, 9, (60, 60)),
        (8, 10, (55, 60)),
        (8, 11, (55, 60)),
        (8, 12, (52, 60)),
        (10, 10, (55, 55)),
        (10, 11, (55, 55)),
        (10, 12, (52, 55)),
        (12, 12, (52, 52)),
    ],
)
def test_of_several_steps_those_count_that_came_on_the_way(at: Instant, registered: Instant, expected: Window) -> None:
    """Of two steps forward those before the sending move the window, those on the way widen it."""
    steps: list[Event] = [WallStepped(10, 5), WallStepped(12, 3)]
    position = sum(step.at <= at for step in steps)

    assert window([*steps[:position], sent(at), *steps[position:]], registered) == expected


@pytest.mark.parametrize(("registered", "expected"), [(9, (60, 60)), (10, (55, 60)), (11, (55, 60)), (12, (55, 60))])
def test_a_step_that_was_taken_back_on_the_way_may_have_been_seen(registered: Instant, expected: Window) -> None:
    """A step forward that was followed by the same one back leaves open whether it was seen."""
    assert window([sent(9), WallStepped(10, 5), WallStepped(12, -5)], registered) == expected


def test_steps_that_were_over_before_the_request_was_sent_are_forgotten() -> None:
    """A step and the same one back, both before the sending, change nothing."""
    assert window([WallStepped(1, 5), WallStepped(2, -5), sent(2)], registered=3) == (60, 60)


def test_steps_at_one_instant_count_in_their_order() -> None:
    """At one instant the order of the record says which step was before the sending."""
    events: list[Event] = [WallStepped(10, 5), sent(10), WallStepped(10, 3)]

    assert window(events, registered=10) == (52, 55)


# Drifts


@pytest.mark.parametrize(
    ("at", "registered", "expected"),
    [
        (10, 10, doubtful(60, 60)),
        (10, 11, doubtful(59.9, 60)),
        (20, 20, doubtful(59, 59)),
        (20, 30, doubtful(58, 59)),
    ],
)
def test_a_wall_clock_that_gains_has_requests_due_earlier(at: Instant, registered: Instant, expected: Window) -> None:
    """By a clock that gains a tenth in each tick what is sent later is due earlier, and what lies longer as well."""
    assert window([WallDrifts(10, 100), sent(at)], registered) == expected


@pytest.mark.parametrize(
    ("at", "registered", "expected"),
    [(10, 11, doubtful(60, 60.1)), (20, 20, doubtful(61, 61)), (20, 21, doubtful(61, 61.1))],
)
def test_a_wall_clock_that_loses_has_requests_due_later(at: Instant, registered: Instant, expected: Window) -> None:
    """By a clock that loses a tenth in each tick what is sent later is due later, and what lies longer as well."""
    assert window([WallDrifts(10, -100), sent(at)], registered) == expected


@pytest.mark.parametrize(
    ("registered", "expected"),
    [(9, (60, 60)), (10, doubtful(60, 60)), (11, doubtful(59.9, 60)), (20, doubtful(59, 60))],
)
def test_a_drift_that_begins_on_the_way_widens_the_window(registered: Instant, expected: Window) -> None:
    """A drift counts from its beginning to the registration; one that begins a tick after it leaves no doubt."""
    assert window([sent(9), WallDrifts(10, 100)], registered) == expected


@pytest.mark.parametrize(
    ("at", "registered", "expected"),
    [
        (15, 19, doubtful(59.1, 59.5)),
        (15, 20, doubtful(59, 59.5)),
        (15, 21, doubtful(59, 59.5)),
        (21, 90, doubtful(59, 59)),
    ],
)
def test_a_drift_that_has_ended_leaves_the_clock_where_it_was(
    at: Instant, registered: Instant, expected: Window
) -> None:
    """After a drift the wall clock stays as far ahead as it had come."""
    drift, end = WallDrifts(10, 100), WallDrifts(20, 0)
    events: list[Event] = [drift, sent(at), end] if at < 20 else [drift, end, sent(at)]

    assert window(events, registered) == expected


def test_a_new_rate_takes_the_place_of_the_one_before() -> None:
    """Two drifts do not add up; the second goes on from where the first has come."""
    assert window([WallDrifts(0, 100), WallDrifts(10, -200), sent(20)], registered=20) == doubtful(61, 61)


@pytest.mark.parametrize(
    ("registered", "expected"), [(19, doubtful(59.1, 59.5)), (20, doubtful(54, 59.5)), (25, doubtful(53.5, 59.5))]
)
def test_a_step_does_not_end_a_drift(registered: Instant, expected: Window) -> None:
    """A clock that drifts goes on drifting after a step, from where it was put."""
    assert window([WallDrifts(10, 100), sent(15), WallStepped(20, 5)], registered) == expected


# When it shows an instant


def crossings(expiration: Instant, *events: Event, since: Instant = 0) -> Window:
    """Returns when the wall clock comes to an expiration for the first time, and for the last."""
    return WallHand(events).crossings(expiration, since)


@pytest.mark.parametrize(("since", "at"), [(0, 60), (59, 60), (60, 60), (61, 61)])
def test_a_wall_clock_that_never_moves_comes_to_an_instant_then(since: Instant, at: Instant) -> None:
    """Without a step it comes to an expiration at that instant, or is past it already."""
    assert crossings(60, since=since) == (at, at)


@pytest.mark.parametrize(("expiration", "at"), [(9, 9), (10, 10), (11, 10), (14, 10), (15, 10), (16, 11), (60, 55)])
def test_a_step_forward_comes_to_all_that_it_passes(expiration: Instant, at: Instant) -> None:
    """A step across an expiration comes to it at once; what lies beyond comes as much earlier."""
    assert crossings(expiration, WallStepped(10, 5)) == (at, at)


@pytest.mark.parametrize(
    ("expiration", "both"), [(4, (4, 4)), (5, (5, 5)), (6, (6, 11)), (9, (9, 14)), (10, (10, 15)), (11, (16, 16))]
)
def test_a_step_back_comes_to_what_it_passes_again(expiration: Instant, both: Window) -> None:
    """What a step back passes comes a second time; what comes before it is past for good."""
    assert crossings(expiration, WallStepped(10, -5)) == both


@pytest.mark.parametrize(
    ("since", "both"), [(7, (8, 13)), (8, (8, 13)), (10, (10, 13)), (11, (13, 13)), (13, (13, 13)), (14, (14, 14))]
)
def test_what_was_before_does_not_count(since: Instant, both: Window) -> None:
    """What was shown before the request arrived is not shown to it."""
    assert crossings(8, WallStepped(10, -5), since=since) == both


@pytest.mark.parametrize(
    ("expiration", "both"),
    [
        *((11, (10, 10)), (12, (10, 10)), (13, (10, 13)), (15, (10, 15))),
        *((16, (11, 16)), (17, (12, 17)), (18, (18, 18))),
    ],
)
def test_a_step_forward_and_back(expiration: Instant, both: Window) -> None:
    """What a step forward came to, and one back took away, comes twice; what it left past is past."""
    assert crossings(expiration, WallStepped(10, 5), WallStepped(12, -5)) == both


def test_of_several_steps_back_the_last_says_when_it_comes_for_good() -> None:
    """An expiration that is passed three times comes first and last."""
    assert crossings(8, WallStepped(10, -5), WallStepped(14, -5)) == (8, 18)
    assert crossings(8, WallStepped(10, -5), WallStepped(14, -5), since=10) == (10, 18)


def test_steps_at_one_instant_are_passed_through() -> None:
    """Two steps at one instant show what lies between them, as a server that looks just then sees it."""
    assert crossings(12, WallStepped(10, 5), WallStepped(10, -5)) == (10, 12)


@pytest.mark.parametrize(
    ("expiration", "drift", "at"),
    [(10, 1000, 10), (11, 1000, 10.5), (30, 1000, 20), (30, -500, 50), (10, -500, 10), (9, -500, 9)],
)
def test_a_drift_brings_what_comes_after_it_forward_or_puts_it_off(
    expiration: Instant, drift: int, at: Instant
) -> None:
    """A clock that gains comes to an expiration earlier, one that loses later, within the doubt about drifts."""
    assert crossings(expiration, WallDrifts(10, drift)) == doubtful(at, at)


def test_a_drift_goes_on_from_where_a_step_has_put_it() -> None:
    """A step in a drift moves the clock, which goes on drifting; the end of the drift leaves it ahead."""
    drift, step, end = WallDrifts(10, 1000), WallStepped(20, -5), WallDrifts(30, 0)

    assert crossings(29, drift, step) == doubtful(19.5, 22)
    assert crossings(45, drift, end) == doubtful(30 - 2.5, 30 - 2.5)
    assert crossings(60, drift, end) == doubtful(40, 40)
    assert crossings(60, drift, end, since=45) == doubtful(45, 45)


# In a run


@pytest.mark.parametrize(
    ("fault", "recorded", "expected"),
    [
        (StepWall(5, gap=2), WallStepped(2, 5), (5, 10)),
        (StepWall(-5, gap=2), WallStepped(2, -5), (10, 15)),
        (Suspend(5, gap=2), WallStepped(2, 5), (5, 10)),
        (Drift(-500, gap=2), WallDrifts(2, -500), doubtful(10, 11)),
    ],
)
def test_a_suspend_is_a_step_forward(fault: StepWall | Suspend | Drift, recorded: Event, expected: Window) -> None:
    """A machine that sleeps is one whose wall clock steps; what was under way is due by one of the two hands."""
    trace = run(Schedule([Delay(0, 4), Acquire(0, "s", after=10), fault]), SimulatedBackend())
    ((guard,),) = trace.account.guards.values()

    assert [event for event in trace.events if isinstance(event, WallStepped | WallDrifts)] == [recorded]
    assert ((guard.due, guard.latest), trace.violations) == (expected, [])


@pytest.mark.parametrize("fault", [StepWall(50, gap=2), StepWall(-50, gap=2), Suspend(50, gap=2), Drift(500, gap=2)])
def test_what_is_registered_is_due_by_monotonic_time(fault: StepWall | Suspend | Drift) -> None:
    """Once a request is registered no hand of the wall clock moves its due."""
    trace = run(Schedule([Acquire(0, "s", after=10), fault]), SimulatedBackend())
    ((guard,),) = trace.account.guards.values()

    assert ((guard.due, guard.latest), [reap.at for reap in trace.reaps]) == ((10, 10), [10])
