"""The figure: the failing test case as a picture."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import without
from timersim.lab import Acquire, Delay, Operation, PauseServer, Release, Schedule, draw, run
from timersim.lab.figure import BANDS, VERMILION, WRONG
from timersim.lab.trace import Trace
from timersim.lab.windows import Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[2]

CASE = [
    Acquire(0, "s0", after=5),
    Acquire(1, "load", after=9),
    Acquire(2, "s1", after=4),
    Delay(0, 6, gap=1),
    Release(0, "s0", gap=1),
    PauseServer(7),
]
"""Three workers and a fault of the wire: a release that comes at t=8, and a reap at t=9."""


def broken(*operations: Operation, safeguard: str = "drain-before-expire") -> Trace:
    """Runs operations on a server without a safeguard."""
    return run(Schedule(operations), SimulatedBackend(without(safeguard, MemoryTimerServer)))


def axes_of(figure: Figure) -> "Axes":
    """Returns the one pair of axes of a figure."""
    (axes,) = figure.axes
    return axes


def bands(axes: "Axes") -> list[tuple[str, float, float]]:
    """Returns the windows that are drawn: word, begin, end."""
    return [(str(bar.get_gid()), bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars(axes)]


def bars(axes: "Axes") -> list[Rectangle]:
    """Returns the bands of the windows."""
    return [bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_gid() in set(Word)]


def marks(axes: "Axes") -> list[tuple[float, float]]:
    """Returns where what was wrong is marked."""
    x, y = ([getattr(line, f"get_{axis}data")()[0] for line in axes.lines if line.get_gid() == WRONG] for axis in "xy")
    return list(zip(x, y, strict=True))


def test_a_lane_for_each_worker_the_wire_and_the_server() -> None:
    """The lanes stand below each other: the workers in order, the wire, the server."""
    axes = axes_of(draw(broken(*CASE).violations[0]))

    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "worker 0",
        "worker 1",
        "worker 2",
        "wire",
        "server",
    ]
    heights = list(axes.get_yticks())
    assert heights == sorted(set(heights))
    assert axes.get_ylim()[0] > heights[-1]


def test_who_was_killed_when_and_why_that_was_wrong() -> None:
    """The title is the sentence; the great cross is in the victim's lane at the reap, in the window that it breaks."""
    violation = broken(*CASE).violations[0]
    axes = axes_of(draw(violation))

    assert axes.figure.get_suptitle() == violation.headline
    assert marks(axes) == [(9, axes.get_yticks()[0])]
    assert bands(axes) == [("MUST NOT", 0, 5), ("MAY", 5, 8), ("MUST NOT", 8, 10)]
    (wrong,) = [text for text in axes.texts if text.get_color() == VERMILION]
    assert wrong.get_text() == "reaped at t=9: MUST NOT: released before the reap"
    assert [bar.get_x() for bar in bars(axes) if to_hex(bar.get_edgecolor()) == VERMILION] == [8]


def test_the_fault_is_told_in_the_lane_of_the_wire() -> None:
    """What the wire did stands in its lane, and below the picture the faults by name."""
    axes = axes_of(draw(broken(*CASE).violations[0]))

    assert "release delayed until 8" in [text.get_text() for text in axes.texts]
    assert axes.get_title(loc="left") == "fault needed: Delay, PauseServer"
    assert axes.get_xlabel() == "time in ticks, on the backend memory"


def test_a_reap_that_never_came_is_a_ring_where_it_was_owed() -> None:
    """Where nothing was done the mark stands at the instant by which it had to be done, in the victim's lane."""
    trace = broken(Acquire(0, "a", after=3), Acquire(1, "b", after=12), safeguard="expire-at-the-instant")
    axes = axes_of(draw(trace.violations[0]))
    breach = trace.violations[0].breach

    assert breach.life is not None
    assert marks(axes) == [(breach.at, axes.get_yticks()[breach.life[0]])]


def test_where_nothing_is_broken_nothing_is_marked() -> None:
    """A trace that holds has its lanes, and neither mark nor window."""
    axes = axes_of(draw(run(Schedule(CASE), SimulatedBackend())))

    assert (marks(axes), bands(axes), axes.figure.get_suptitle()) == ([], [], "No invariant is broken.")


OVERLAPS = """
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tests.lab.test_figure import CASE, axes_of, broken, draw

figure = draw(broken(*CASE).violations[0])
canvas = FigureCanvasAgg(figure)
canvas.draw()
boxes = [text.get_window_extent(canvas.get_renderer()) for text in axes_of(figure).texts]
assert len(boxes) > 10
assert [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)] == []
assert all(0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
"""


def test_labels_do_not_overlap() -> None:
    """No two labels of a figure cover each other, and none leaves it; in a process that closes its fonts as it ends."""
    done = subprocess.run([sys.executable, "-c", OVERLAPS], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_windows_differ_in_brightness() -> None:
    """Whoever sees no colours tells MUST NOT, MAY and MUST by how bright they are, or by their words."""
    brightness = [
        sum(weight * int(BANDS[word][i : i + 2], 16) for i, weight in ((1, 0.3), (3, 0.59), (5, 0.11)))
        for word in (Word.MUST_NOT, Word.MAY, Word.MUST)
    ]

    assert all(one - another >= 8 for one, another in pairwise(brightness))


@pytest.mark.parametrize("module", ["timersim.cli", "timersim.lab.figure"])
def test_matplotlib_is_imported_when_something_is_drawn(module: str) -> None:
    """Whoever draws nothing needs no matplotlib."""
    code = f"import sys, {module}; sys.exit('matplotlib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
