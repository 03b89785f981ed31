"""Pictures of numbers: how late, how many killed for nothing, and what a sweep has found; axes in and axes out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from timersim.tuning.latency import ReapLatency
from timersim.tuning.palette import BLUE, DARK, LIGHT_BLUE, SERIES, VERMILION, fresh

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 12
"""How many values of a grid are named at most along an axis, and numbered in the cells."""


def plot_latency(
    latencies: Sequence[ReapLatency] | ReapLatency, axes: "Axes | None" = None, *, logarithmic: bool = False
) -> "Axes":
    """Draws how late reaps are: which share of them is no later than so many seconds, and each server's bound.

    A line is the empirical distribution of one latency, the upright line of its colour the latest that is promised.
    With `logarithmic` the axis of seconds is, for servers of which one is a thousand times later than another.

    >>> from timersim.tuning import reap_latency
    >>> axes = plot_latency(reap_latency("polling", max_interval=10, how="formula"))
    >>> axes.get_xlabel(), axes.get_legend().get_texts()[0].get_text()
    ('lateness of a reap, in seconds', 'polling, formula, every 10 s')
    """
    axes = fresh(axes)
    for number, latency in enumerate([latencies] if isinstance(latencies, ReapLatency) else latencies):
        colour, stroke = SERIES[number % len(SERIES)]
        label = f"{latency.name}, {latency.how}, every {latency.max_interval_s:g} s"
        axes.ecdf(latency.lateness_s, color=colour, linestyle=stroke, linewidth=2, label=label)
        if latency.bound_s is not None:
            axes.axvline(latency.bound_s, color=colour, linewidth=1, linestyle=stroke, alpha=0.8, gid="bound")
            axes.plot(latency.bound_s, 1.0, "v", color=colour, markersize=8, clip_on=False, zorder=5)
    axes.plot([], [], "v", color=DARK, linestyle="-", linewidth=1, label="latest that is promised")
    if logarithmic:
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("lateness of a reap, in seconds")
    axes.set_ylabel("share of the reaps")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)
    return axes


def plot_tradeoff(tradeoff: pd.DataFrame, axes: "Axes | None" = None, *, budget: float | None = None) -> "Axes":
    """Draws false reaps against detection time, for each timeout of a `timeout_tradeoff`.

    Down and to the left is better: fewer healthy workers killed, and a hung one for a shorter time. The band is the
    interval of the probability; the label of a point is its timeout. `budget` is drawn as a line.

    >>> from timersim.tuning import timeout_tradeoff
    >>> import numpy as np
    >>> times = np.random.default_rng(1).exponential(size=2000)
    >>> axes = plot_tradeoff(timeout_tradeoff(times, [6, 8, 10], steps=1000))
    >>> axes.get_xlabel()
    'time until a hung worker is reaped, in seconds'
    """
    axes = fresh(axes)
    floor = 10 ** np.floor(np.log10(max(1e-12, tradeoff["false_reaps"][tradeoff["false_reaps"] > 0].min())) - 1)
    at = tradeoff["detection_s"]
    clipped = tradeoff[["false_reaps", "low", "high"]].clip(lower=floor)
    axes.fill_between(
        at, clipped["low"], clipped["high"], color=LIGHT_BLUE, alpha=0.6, linewidth=0, label="its interval"
    )
    axes.plot(
        at, clipped["false_reaps"], "o-", color=BLUE, label="a healthy worker is reaped, by the timeout at the point"
    )
    shown = np.unique(np.linspace(0, len(tradeoff) - 1, min(len(tradeoff), 8)).round().astype(int))
    for number in shown:
        axes.annotate(
            f"{tradeoff['timeout_s'].iloc[number]:.3g} s", (at.iloc[number], clipped["false_reaps"].iloc[number]),
            (5, 6), textcoords="offset points", fontsize=9, color=DARK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}, zorder=4,
        )  # fmt: skip
    if budget is not None:
        axes.axhline(budget, color=VERMILION, linestyle="--", linewidth=1.5, label=f"budget: {budget:g}")
    axes.set_yscale("log")
    axes.set_ylim(floor, 4)
    axes.margins(x=0.08)
    axes.set_xlabel("time until a hung worker is reaped, in seconds")
    axes.set_ylabel("probability in a run")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=9)
    return axes


def plot_heatmap(
    frame: pd.DataFrame, axes: "Axes | None" = None, *, x: str = "timeout_s", y: str = "max_interval_s", value: str
) -> "Axes":
    """Draws what a sweep found over two of its parameters: the mean of `value` over all else, as colour and number.

    >>> frame = pd.DataFrame({"timeout_s": [5, 10], "max_interval_s": [1, 1], "lateness_s": [0.5, 0.25]})
    >>> axes = plot_heatmap(frame, value="lateness_s")
    >>> axes.get_xlabel(), [text.get_text() for text in axes.texts]
    ('timeout, in seconds', ['0.5', '0.25'])
    """
    axes = fresh(axes, 8, 5)
    table = frame.pivot_table(index=y, columns=x, values=value, aggfunc="mean")
    numbers = table.to_numpy(dtype=float)
    image = axes.pcolormesh(numbers, cmap="cividis", edgecolors="white", linewidth=0.5)
    for setter, names in ((axes.set_xticks, table.columns), (axes.set_yticks, table.index)):
        shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), MANY)).round().astype(int))
        setter(shown + 0.5, [f"{names[number]:.4g}" if np.isreal(names[number]) else names[number] for number in shown])
    if max(numbers.shape) <= MANY:
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        for (row, column), number in np.ndenumerate(numbers):
            dark = number < low + 0.55 * (high - low)
            axes.text(
                column + 0.5, row + 0.5, f"{number:.3g}", ha="center", va="center", fontsize=9,
                color="white" if dark else "black",
            )  # fmt: skip
    axes.set_xlabel(named(x))
    axes.set_ylabel(named(y))
    axes.tick_params(length=0)
    axes.figure.colorbar(image, ax=axes, label=named(value))
    return axes


def named(column: str) -> str:
    """Returns the name of an axis for a column, whose unit it spells out.

    >>> named("max_interval_s"), named("false_reaps")
    ('max interval, in seconds', 'false reaps')
    """
    units = {"_s": ", in seconds", "_ms": ", in milliseconds"}
    for ending, unit in units.items():
        if column.endswith(ending):
            return column.removesuffix(ending).replace("_", " ") + unit
    return column.replace("_", " ")
