"""Every picture, and what of its texts lies on another or outside: `python -m tests.tuning.pictures [FOLDER]`."""

import json
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, Contract, PauseServer, Release, Schedule, run
from timersim.lab.trace import Trace
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
    from matplotlib.axes import Axes

BUSY = [
    *(Acquire(0, "load", after=9), Acquire(1, "step", after=20), Release(0, "load", gap=4)),
    *(Acquire(0, "all_reduce", after=3, gap=1), PauseServer(5), Acquire(1, "step", after=6, gap=6)),
    Acquire(2, "s", after=4, gap=1),
]
"""Three workers that are reaped at 10, 16 and 17."""


def busy() -> Trace:
    """Runs the workers under a contract that leaves the server four ticks."""
    return run(Schedule(BUSY), SimulatedBackend(contract=Contract(reap_within=4)))


def clocks() -> "Axes":
    """Draws a step and a suspend."""
    return plot_clocks(jumping_clocks([("step", 20, 25), ("suspend", 35, 20)]))


def heatmap() -> "Axes":
    """Draws what four cells of a sweep have found, each twice."""
    cells = [
        (timeout, interval, timeout + interval + extra)
        for timeout in (5, 10)
        for interval in (1, 60)
        for extra in (0, 1)
    ]
    return plot_heatmap(pd.DataFrame(cells, columns=["timeout_s", "max_interval_s", "held_up_s"]), value="held_up_s")


def latency() -> "Axes":
    """Draws three latencies."""
    kinds: list[Any] = ["timersim", "polling", "torch-file"]
    return plot_latency([reap_latency(kind, max_interval=1, workers=2, handling=0.25, samples=40) for kind in kinds])


def tradeoff() -> "Axes":
    """Draws six timeouts."""
    times = np.random.default_rng(1).lognormal(sigma=0.4, size=2000)
    return plot_tradeoff(timeout_tradeoff(times, [2, 4, 6, 8, 10, 12], steps=1000, max_interval=2), budget=0.01)


PICTURES: dict[str, tuple[Callable[[], "Axes"], str, str]] = {
    "lanes": (lambda: plot_lanes(busy()), "time in ticks (a tick is a second)", ""),
    "timeline": (lambda: plot_timeline(busy()), "time in ticks (a tick is a second)", ""),
    "latency": (latency, "lateness of a reap, in seconds", "share of the reaps"),
    "tradeoff": (tradeoff, "time until a hung worker is reaped, in seconds", "probability in a run"),
    "heatmap": (heatmap, "timeout, in seconds", "max interval, in seconds"),
    "clocks": (clocks, "seconds on a stopwatch", "seconds shown since the beginning"),
}


def crowded() -> "Axes":
    """Draws two texts at one place."""
    axes = clocks()
    for text in ("one", "other"):
        axes.text(80, 10, text)
    return axes


def look(axes: "Axes") -> dict[str, Any]:
    """Returns what the axes are called, and which texts lie outside of the picture or on one another."""
    figure: Any = axes.figure
    figure.canvas.draw()
    room, whole, legend = axes.bbox.padded(1), figure.bbox.padded(1), axes.get_legend()
    texts = [*axes.texts, axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else [])]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    ticks = [(text.get_text(), text.get_window_extent()) for text in axes.get_xticklabels()]
    boxes += [(text, box) for text, box in ticks if room.x0 <= (box.x0 + box.x1) / 2 <= room.x1]
    ticks = [(text.get_text(), text.get_window_extent()) for text in axes.get_yticklabels()]
    boxes += [(text, box) for text, box in ticks if room.y0 <= (box.y0 + box.y1) / 2 <= room.y1]

    pairs = combinations(boxes, 2)
    return {
        "axes": [axes.get_xlabel(), axes.get_ylabel()],
        "outside": [text for text, box in boxes if not (whole.x0 <= box.x0 and box.x1 <= whole.x1)],
        "overlaps": [(a, b) for (a, one), (b, other) in pairs if one.padded(-1).overlaps(other.padded(-1))],
    }


def main(folder: str | None) -> None:
    """Draws and looks; with a folder writes the pictures there."""
    mpl.use("Agg")
    seen = {}
    for name, draw in {**{name: each[0] for name, each in PICTURES.items()}, "crowded": crowded}.items():
        axes = draw()
        seen[name] = look(axes)
        if folder:
            figure: Any = axes.figure
            figure.savefig(Path(folder) / f"{name}.png")
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else None)
