"""The pictures show what happened."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from tests.tuning.pictures import PICTURES, busy, heatmap
from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, PauseServer, Release, Schedule, run
from timersim.tuning import (
    jumping_clocks,
    plot_clocks,
    plot_heatmap,
    plot_lanes,
    plot_latency,
    plot_timeline,
    plot_tradeoff,
    reap_latency,
    timeout_tradeoff,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

mpl.use("Agg")

ROOT = Path(__file__).parents[2]


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


@cache
def looked_at() -> dict[str, Any]:
    """Draws every picture in a process of its own, since matplotlib keeps the files of the fonts open."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.tuning.pictures"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_names_its_axes_and_nothing_overlaps(name: str) -> None:
    """The axes have names with units, and no text lies on another, nor outside of the picture."""
    _, across, upwards = PICTURES[name]

    assert looked_at()[name] == {"axes": [across, upwards], "outside": [], "overlaps": []}


def test_an_overlap_would_be_seen() -> None:
    """Of a picture with two texts at one place both are named."""
    assert looked_at()["crowded"]["overlaps"] == [["one", "other"]]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_goes_on_the_axes_that_are_given(name: str) -> None:
    """Given axes a picture makes no others, and returns them."""
    from matplotlib import pyplot

    figure = pyplot.figure()
    axes = figure.subplots()
    times = np.random.default_rng(1).exponential(size=500)
    draw: dict[str, Callable[[], Axes]] = {
        "lanes": lambda: plot_lanes(busy(), axes),
        "timeline": lambda: plot_timeline(busy(), axes),
        "latency": lambda: plot_latency(reap_latency("polling", samples=5), axes),
        "tradeoff": lambda: plot_tradeoff(timeout_tradeoff(times, [5, 6], steps=10), axes),
        "heatmap": lambda: plot_heatmap(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), axes, x="a", y="b", value="c"),
        "clocks": lambda: plot_clocks(jumping_clocks([]), axes),
    }

    assert draw[name]() is axes
    assert pyplot.get_fignums() == [figure.number]


def test_the_bands_are_the_windows() -> None:
    """Below a worker's lane lie its windows, each from its beginning to its end, or the end of the trace."""
    axes = plot_timeline(busy())

    bands = [(bar.get_gid(), bar.get_x(), bar.get_width()) for bar in axes.patches if bar.get_gid()]  # type: ignore[attr-defined]  # bars are rectangles
    assert bands[:3] == [("MUST NOT", 0, 8), ("MAY", 8, 6), ("MUST", 14, 11)]


def test_the_distribution_is_that_of_the_reaps() -> None:
    """The line rises at each reap, and the upright one stands at the bound."""
    axes = plot_latency(reap_latency("polling", max_interval=8, how="formula", samples=4))

    line = np.asarray(axes.lines[0].get_xdata(), dtype=float)
    assert line[np.isfinite(line) & (line < 8)][-4:].tolist() == [1, 3, 5, 7]
    assert [line.get_xdata() for line in axes.lines if line.get_gid() == "bound"] == [[8, 8]]


def test_a_cell_is_the_mean_of_its_repeats() -> None:
    """A number in the map is the mean over all that is not on an axis."""
    assert [text.get_text() for text in heatmap().texts] == ["6.5", "11.5", "65.5", "70.5"]


def test_a_step_moves_the_server_of_the_wall_clock_alone() -> None:
    """Forward or back: timersim's server reaps when it would have, the other one as it next asks the wall clock."""
    assert jumping_clocks([("step", 20, 100)]).reaps == {"timersim": 60, "by the wall clock": 21}
    assert jumping_clocks([("step", 20, -25)]).reaps == {"timersim": 60, "by the wall clock": 85}
    assert jumping_clocks([]).reaps == {"timersim": 60, "by the wall clock": 60}


def test_a_suspend_costs_a_timer_nothing() -> None:
    """While the machine sleeps the monotonic clock and timersim's server stand; the wall clock goes on."""
    story = jumping_clocks([("suspend", 20, 30)])

    assert story.reaps == {"timersim": 90, "by the wall clock": 60}
    rows = story.frame.to_numpy().tolist()
    assert rows[1:4] == [[20, 20, 20, 20], [50, 50, 20, 20], [90, 90, 60, 60]]


def test_a_server_that_has_not_reaped_is_said() -> None:
    """Where the time was too short for one of them the picture says so."""
    story = jumping_clocks([("step", 20, -100)], until=70)

    assert story.reaps == {"timersim": 60, "by the wall clock": float("inf")}
    assert "by the wall clock: not reaped" in [text.get_text() for text in plot_clocks(story).get_legend().get_texts()]  # type: ignore[union-attr]  # there is one


@pytest.mark.parametrize(
    ("jumps", "message"),
    [
        ([("jump", 1, 2)], r"a jump is \(\"step\", at, by\) or .*: \('jump', 1, 2\)"),
        ([("suspend", 1, -2)], r"a jump is .*: \('suspend', 1, -2\)"),
        ([("step", -1, 2)], r"a jump begins while nobody sleeps, at 0 or later: \('step', -1, 2\)"),
        ([("suspend", 10, 20), ("step", 15, 2)], r"while nobody sleeps, at 0 or later: \('step', 15, 2\)"),
    ],
)
def test_what_is_no_jump_is_a_sentence(jumps: Any, message: str) -> None:
    """Each wrong jump is shown."""
    with pytest.raises(ValueError, match=message):
        jumping_clocks(jumps)
    with pytest.raises(ValueError, match="timeout is a number of seconds above 0: timeout=0"):
        jumping_clocks([], timeout=0)
    for until in (0, -5):
        with pytest.raises(ValueError, match=f"until is a number of seconds above 0: until={until}"):
            jumping_clocks([], until=until)
