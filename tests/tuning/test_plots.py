"""The pictures show what happened."""

import matplotlib as mpl
import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, PauseServer, Release, Schedule, run
from timersim.tuning import plot_lanes

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures() -> object:
    """Closes what a test drew, and what was drawn before it."""
    from matplotlib import pyplot

    pyplot.close("all")
    yield
    pyplot.close("all")


def test_each_worker_has_a_lane_and_the_server_too() -> None:
    """The lanes are the workers in order, then the server."""
    trace = run(Schedule([Acquire(1, "b", after=5), Acquire(0, "a", after=5)]), SimulatedBackend())

    axes = plot_lanes(trace)

    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker 0", "worker 1", "server"]
    assert axes.get_xlabel() == "time in ticks (a tick is a second)"


def test_the_bars_are_the_timers_and_the_cross_is_the_reap() -> None:
    """A timer's bar reaches from its acquire to its release, and the cross stands at the reap."""
    trace = run(
        Schedule([Acquire(0, "a", after=9), Release(0, "a", gap=4), Acquire(0, "b", after=3, gap=1), PauseServer(5)]),
        SimulatedBackend(),
    )

    axes = plot_lanes(trace)

    bars = {(bar.get_x(), bar.get_width()) for bar in axes.patches if bar.get_height() > 0.3}  # type: ignore[attr-defined]  # bars are rectangles
    assert {bar for bar in bars if bar[1]} == {(0, 4), (5, 3), (8, 2), (5, 5)}
    assert [list(map(float, line.get_xydata()[0])) for line in axes.lines] == [[10, 0], [10, 1]]  # type: ignore[arg-type, index]  # matplotlib's arrays
    assert [text.get_text() for text in axes.texts] == ["a", "b", "away", "reaped at 10"]


def test_it_draws_on_the_axes_that_it_is_given() -> None:
    """Given axes, it makes no others."""
    from matplotlib import pyplot

    axes = pyplot.figure().subplots()

    assert plot_lanes(run(Schedule([Acquire(0, "a", after=5)]), SimulatedBackend()), axes) is axes
    assert len(pyplot.get_fignums()) == 1
