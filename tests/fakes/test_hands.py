"""The hands of virtual time: the wall clock steps, drifts and passes while the machine sleeps; what is due by it."""

import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timersim.fakes import VirtualClock

START = 1_000_000.0
START_NS = 10**15
SECOND = 10**9


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock at START."""
    return VirtualClock()


def gained(clock: VirtualClock) -> int:
    """Returns how far the wall clock is ahead of the monotonic one, in nanoseconds."""
    return clock.time_ns - clock.monotonic_ns


# Drift


@pytest.mark.parametrize(("rate", "gain"), [(0.001, 60_000_000), (-0.001, -60_000_000), (0.3, 18 * SECOND), (0.0, 0)])
def test_a_drift_moves_the_wall_alone(clock: VirtualClock, rate: float, gain: int) -> None:
    """A wall clock that drifts gains its rate in each monotonic second, exactly; the monotonic one gains nothing."""
    clock.drift(rate)
    before = gained(clock)
    clock.advance(60)

    assert (before, gained(clock), clock.monotonic_ns) == (0, gain, START_NS + 60 * SECOND)


def test_a_drift_is_seen_at_each_instant_on_the_way(clock: VirtualClock) -> None:
    """What falls due on the way reads the wall clock as it has drifted by then."""
    log: list[float] = []
    clock.drift(0.5)
    for seconds in (1, 2, 4):
        clock.call_later(seconds, lambda: log.append(clock.time() - START))

    clock.advance(10)

    assert (log, clock.time() - START) == ([1.5, 3, 6], 15)


def test_a_new_rate_goes_on_from_where_the_wall_is(clock: VirtualClock) -> None:
    """A new rate takes the place of the one before; the wall clock does not jump by it, nor by the drift's end."""
    gains: list[int] = []
    for rate in (0.5, -0.25, 0.0):
        clock.drift(rate)
        gains.append(gained(clock))
        clock.advance(4)
        gains.append(gained(clock))

    assert gains == [second * SECOND for second in (0, 2, 2, 1, 1, 1)]


def test_what_is_below_a_nanosecond_is_kept_from_rate_to_rate(clock: VirtualClock) -> None:
    """A rate that is set again and again gains what it would have gained at once."""
    for _ in range(10):
        clock.drift(0.1)
        clock.advance_ns(1)

    assert gained(clock) == 1


@pytest.mark.parametrize("rate", [-1.0, -1.5, math.inf, -math.inf, math.nan])
def test_a_rate_lets_the_wall_go_on(clock: VirtualClock, rate: float) -> None:
    """A rate by which the wall clock would stand still, go back or be nowhere is an error, and changes nothing."""
    clock.drift(0.5)

    with pytest.raises(ValueError, match="rate") as raised:
        clock.drift(rate)

    clock.advance(2)
    assert str(raised.value) == f"the rate of a drift is finite and above -1: drift({rate!r})"
    assert gained(clock) == SECOND


# Suspend


def test_a_suspend_passes_on_the_wall_alone(clock: VirtualClock) -> None:
    """While the machine sleeps wall time passes and monotonic time does not: what was set by it loses nothing."""
    log: list[float] = []
    clock.call_later(5, lambda: log.append(clock.monotonic() - START))
    clock.advance(3)

    clock.suspend(3600)
    slept = clock.time() - START, clock.monotonic() - START
    clock.advance(1.999999999)
    before = list(log)
    clock.advance_ns(1)

    assert (slept, before, log) == ((3603, 3), [], [5])


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_drift_rests_in_a_suspend(clock: VirtualClock, rate: float) -> None:
    """A drift counts in monotonic seconds, of which none pass in a suspend or by a step."""
    clock.drift(rate)
    clock.suspend(3600)
    clock.step_wall(-600)
    stepped = gained(clock)
    clock.advance(2)

    assert (stepped, gained(clock)) == (3000 * SECOND, (3000 + 2 * rate) * SECOND)


def test_a_suspend_goes_forwards(clock: VirtualClock) -> None:
    """A suspend of less than nothing is an error that says so."""
    with pytest.raises(ValueError, match="backwards") as raised:
        clock.suspend(-3)

    assert (str(raised.value), clock.time()) == ("time can't go backwards: suspend(-3)", START)


# Calls by the wall


@pytest.mark.parametrize(("late", "called"), [(-1, []), (0, [5]), (1, [5])])
def test_a_call_by_the_wall_is_made_at_its_instant(clock: VirtualClock, late: int, called: list[float]) -> None:
    """Without steps a call by the wall is made when as much time has passed, not a nanosecond sooner."""
    log: list[float] = []
    clock.call_at_wall(START + 5, lambda: log.append(clock.time() - START))

    clock.advance_ns(5 * SECOND + late)

    assert log == called


@pytest.mark.parametrize(("late", "called"), [(-1, []), (0, [2]), (1, [2])])
@pytest.mark.parametrize("hand", ["step_wall", "suspend"])
def test_a_hand_that_passes_the_instant_makes_it_due(
    clock: VirtualClock, hand: str, late: int, called: list[int]
) -> None:
    """A step forward, or a suspend, across the instant makes the call due at the present one, once."""
    log: list[int] = []
    clock.call_at_wall(START + 60, lambda: log.append(int(clock.monotonic() - START)))
    clock.advance(2)

    getattr(clock, hand)(58 + late / SECOND)
    clock.advance(0)
    first = list(log)
    clock.step_wall(-3600)
    clock.advance(7200)

    assert first == called
    assert len(log) == 1


def test_a_step_back_makes_it_later(clock: VirtualClock) -> None:
    """After a step back the wall clock reaches the instant later, and the call is made then."""
    log: list[float] = []
    clock.call_at_wall(START + 5, lambda: log.append(clock.monotonic() - START))
    clock.advance(3)

    clock.step_wall(-10)
    clock.advance(100)

    assert log == [15]


def test_a_call_in_the_past_of_the_wall_is_due_at_once(clock: VirtualClock) -> None:
    """A call at an instant that the wall clock has passed is made at the present one."""
    log: list[float] = []
    clock.step_wall(10)
    clock.call_at_wall(START + 5, lambda: log.append(clock.monotonic()))

    pending = [due for due, _ in clock.pending]
    clock.advance(1)

    assert (pending, log) == ([START], [START])


def test_calls_that_a_step_makes_due_come_in_the_order_of_their_instants(clock: VirtualClock) -> None:
    """Of several calls that one step makes due the earlier comes first, and equals in the order of their making."""
    log: list[str] = []
    for second, name in ((7, "late"), (3, "early"), (7, "last"), (99, "other")):
        clock.call_at_wall(START + second, partial(log.append, name))

    clock.step_wall(60)
    clock.advance(0)

    assert log == ["early", "late", "last"]


def test_a_step_in_a_task_makes_due_what_it_passes(clock: VirtualClock) -> None:
    """A task that steps the wall makes due, at the present instant, what is on the way."""
    log: list[tuple[str, float]] = []

    def step() -> None:
        clock.sleep(2)
        clock.step_wall(60)
        log.append(("stepped", clock.monotonic() - START))

    clock.call_at_wall(START + 50, lambda: log.append(("called", clock.monotonic() - START)))
    clock.spawn(step, name="step")
    clock.advance(5)

    assert log == [("stepped", 2), ("called", 2)]


@pytest.mark.parametrize("hand", ["cancel first", "step first"])
def test_a_call_by_the_wall_can_be_cancelled(clock: VirtualClock, hand: str) -> None:
    """A call by the wall that was taken back is neither made nor pending, by whatever hand."""
    log: list[str] = []
    call = clock.call_at_wall(START + 5, lambda: log.append("called"))
    if hand == "step first":
        clock.step_wall(60)
    call.cancel()
    clock.step_wall(60)
    clock.drift(0.5)
    clock.advance(60)

    assert (log, clock.pending, clock._wall_calls) == ([], [], {})


def test_what_is_due_by_the_wall_is_pending(clock: VirtualClock) -> None:
    """`pending` lists a call by the wall at the monotonic instant at which it is due as things stand."""

    def ring() -> None:
        """Does nothing."""

    clock.call_at_wall(START + 60, ring)
    instants = [clock.pending]
    clock.step_wall(-40)
    instants.append(clock.pending)
    clock.drift(1.0)
    instants.append(clock.pending)

    assert instants == [[(START + second, ring.__qualname__)] for second in (60, 100, 50)]


@given(
    rates=st.lists(st.floats(-0.999, 10) | st.sampled_from([0.001, -0.001, 1e-9, 0.3]), min_size=1, max_size=3),
    pause=st.integers(0, 3 * SECOND),
    after=st.integers(1, 20 * SECOND),
    step=st.integers(-5, 5),
)
def test_a_call_under_drift_is_made_at_the_first_nanosecond_of_its_instant(
    rates: list[float], pause: int, after: int, step: int
) -> None:
    """Under drift a call by the wall is made at the first nanosecond at which the wall shows its instant or more."""
    clock = VirtualClock(start=1_000)
    log: list[tuple[int, int]] = []
    for rate in rates:
        clock.drift(rate)
        clock.advance_ns(pause)
    clock.step_wall(step)
    instant = (clock.time_ns + after) / SECOND
    clock.call_at_wall(instant, lambda: log.append((clock.monotonic_ns, clock.time_ns)))

    due, _ = clock.pending[0]
    clock.advance_to(due - 2 / SECOND if due > clock.monotonic() + 3 / SECOND else clock.monotonic())
    readings = {}
    while not log:
        readings[clock.monotonic_ns] = clock.time_ns
        clock.advance_ns(1)

    made, wall = log[0]
    assert wall >= round(instant * SECOND)
    assert all(reading < round(instant * SECOND) for now, reading in readings.items() if now < made)
