"""Refusals: all counted, the first ones logged, the rest summed up."""

import pytest

from timersim.fakes import VirtualClock
from timersim.refusals import INTERVAL, MOST, Refusals

OVERFLOW = f"Refused more than {MOST} requests; the next ones are counted for {INTERVAL} s"


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns what was logged since the last call."""
    messages = [each.getMessage() for each in caplog.records]
    caplog.clear()
    return messages


@pytest.mark.parametrize("number", [MOST - 1, MOST, MOST + 1, 10_000])
def test_the_first_refusals_are_logged_and_all_are_counted(caplog: pytest.LogCaptureFixture, number: int) -> None:
    """MOST refusals are logged with their reason, the next one says that there are more, and then all is still."""
    refusals = Refusals(VirtualClock())
    for index in range(number):
        refusals.log(str(index))

    first = [f"Refused a request: {index}" for index in range(min(number, MOST))]
    assert (logged(caplog), refusals.count) == (first + [OVERFLOW] * (number > MOST), number)


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_after_the_interval_the_rest_is_summed_up(caplog: pytest.LogCaptureFixture, offset: int) -> None:
    """INTERVAL seconds after the first of a flood, and not before, the next refusal is logged, after a summary."""
    clock = VirtualClock()
    refusals = Refusals(clock)
    for _ in range(MOST + 5):
        refusals.log("flood")
    logged(caplog)
    clock.advance(INTERVAL + offset)
    refusals.log("next")

    said = ["Refused 5 requests more than were logged", "Refused a request: next"]
    assert logged(caplog) == (said if offset >= 0 else [])


def test_a_few_refusals_are_not_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    """Where all were logged nothing is summed up later."""
    clock = VirtualClock()
    refusals = Refusals(clock)
    for _ in range(MOST):
        refusals.log("flood")
    clock.advance(INTERVAL)
    logged(caplog)
    refusals.log("next")

    assert logged(caplog) == ["Refused a request: next"]
