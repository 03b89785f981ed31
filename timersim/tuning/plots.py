"""Pictures of a trace, with matplotlib: one function a picture, axes in and axes out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from timersim.lab.figure import BANDS
from timersim.lab.record import Attempted, Instant, Started
from timersim.lab.timeline import number_text
from timersim.lab.windows import Word, windows
from timersim.tuning.palette import BLUE, GREY, LIGHT_BLUE, ORANGE, VERMILION, fresh

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from timersim.lab.oracle import Guard
    from timersim.lab.trace import Trace

LABEL = 0.16
"""The width of what is written at a reap, in the width of the axes."""

BAND, HIGH = 0.16, 0.34
"""The thickness of a band of windows, and how far below its lane it lies."""


def plot_lanes(trace: "Trace", axes: "Axes | None" = None) -> "Axes":
    """Draws a trace: a lane for each worker and one for the server, time to the right, in ticks.

    A thin bar is the life of a worker, a thick one an acquired timer, orange from its expiration on; a cross is a
    reap. Draws on `axes`, or on new ones, and returns them. Needs matplotlib.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Schedule, run
    >>> axes = plot_lanes(run(Schedule([Acquire(0, "load", after=5)]), SimulatedBackend()))
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['worker 0', 'server']
    """
    axes = fresh(axes, 8, 1.6 + 0.6 * len(trace.schedule.workers))
    workers = sorted({life[0] for life in trace.account.lives})
    lanes = {worker: height for height, worker in enumerate(workers)}
    for worker, incarnation in trace.account.lives:
        _draw_life(axes, trace, (worker, incarnation), lanes[worker])
    for begin, end in _absences(trace):
        axes.barh(len(workers), end - begin, left=begin, height=0.4, color=GREY)
        _name(axes, "away", begin, len(workers))
    for attempt in trace.of(Attempted):
        if attempt.worker is not None:
            height = lanes[attempt.worker]
            axes.vlines(attempt.at, height, len(workers), color=VERMILION, linewidth=1, linestyles="dotted")
            axes.plot(attempt.at, height, "X", color=VERMILION, markersize=12, zorder=4, clip_on=False)
            axes.plot(attempt.at, len(workers), "o", color=VERMILION, markersize=6, zorder=4, clip_on=False)
    below = _name_reaps(axes, trace, len(workers))
    axes.set_yticks([*lanes.values(), len(workers)], [*(f"worker {worker}" for worker in workers), "server"])
    axes.set_ylim(len(workers) + 0.6 + 0.3 * below, -0.7)
    axes.set_xlim(0, trace.end * 1.02)
    axes.set_xlabel("time in ticks (a tick is a second)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def plot_timeline(trace: "Trace", axes: "Axes | None" = None) -> "Axes":
    """Draws a trace as `plot_lanes` does, with its windows: below each worker when it MUST NOT, MAY and MUST be reaped.

    Time is in ticks. A window is that of the contract, as if nobody had been reaped.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Contract, Schedule, run
    >>> backend = SimulatedBackend(contract=Contract(reap_within=10))
    >>> axes = plot_timeline(run(Schedule([Acquire(0, "load", after=5)]), backend))
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['MUST NOT', 'MAY', 'MUST']
    """
    lanes = sorted({life[0] for life in trace.account.lives})
    axes = plot_lanes(trace, fresh(axes, 8, 2.0 + 0.85 * len(lanes)))
    from matplotlib.patches import Patch

    ends = {}
    for number, life in enumerate(trace.account.lives):
        later = (other for other in trace.account.lives[number + 1 :] if other[0] == life[0])
        following = next(later, None)
        ends[life] = trace.end if following is None else _beginning(trace, following)
    for life, end in ends.items():
        for window in windows(trace.account, life):
            until = min(window.end, end)
            if window.begin < until or window.end == window.begin <= end:
                width = max(until - window.begin, trace.end / 200)  # an instant, too, is to be seen
                height = lanes.index(life[0]) + HIGH
                axes.barh(height, width, left=window.begin, height=BAND, color=BANDS[window.word], gid=str(window.word))
    words = [Word.MUST_NOT, Word.MAY, Word.MUST]
    axes.legend(
        handles=[Patch(color=BANDS[word], label=str(word)) for word in words],
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9, title="to be reaped",
        title_fontsize=9, alignment="left",
    )  # fmt: skip
    return axes


def _beginning(trace: "Trace", life: tuple[int, int]) -> Instant:
    return next(event.at for event in trace.of(Started) if (event.worker, event.incarnation) == life)


def _draw_life(axes: "Axes", trace: "Trace", life: tuple[int, int], height: int) -> None:
    begin = _beginning(trace, life)
    death = trace.account.deaths.get(life)
    end = trace.end if death is None else death.at
    axes.barh(height, end - begin, left=begin, height=0.08, color=BLUE)
    for guard in trace.account.guards.get(life, ()):
        _draw_guard(axes, guard, end, height)


def _draw_guard(axes: "Axes", guard: "Guard", end: Instant, height: int) -> None:
    until = min(guard.superseded, end)
    due = min(guard.due, until)
    axes.barh(height, due - guard.arrived, left=guard.arrived, height=0.4, color=LIGHT_BLUE)
    axes.barh(height, until - due, left=due, height=0.4, color=ORANGE)
    _name(axes, guard.scope, guard.arrived, height)


def _name_reaps(axes: "Axes", trace: "Trace", height: int) -> int:
    """Writes below the server when it reaped, in as many lines as that takes; returns how many there are beside one."""
    ends: list[float] = []
    for at in sorted({attempt.at for attempt in trace.of(Attempted) if attempt.worker is not None}):
        width = trace.end * LABEL
        is_right = at > trace.end / 2
        begin = at - width if is_right else at
        line = next((number for number, end in enumerate(ends) if end <= begin), len(ends))
        ends[line : line + 1] = [begin + width]
        axes.annotate(
            f"reaped at {number_text(at)}", (at, height), (0, -14 - 12 * line), textcoords="offset points",
            ha="right" if is_right else "left", fontsize=9, color=VERMILION,
        )  # fmt: skip
    return max(0, len(ends) - 1)


def _name(axes: "Axes", name: str, at: Instant, height: int) -> None:
    """Writes a bar's name above its beginning."""
    axes.annotate(name, (at, height - 0.2), (1, 2), textcoords="offset points", va="bottom", fontsize=9)


def _absences(trace: "Trace") -> Iterator[tuple[Instant, Instant]]:
    """Yields when the server was paused, or stopped, within the run."""
    for begin, end in (*trace.account.pauses, *trace.account.stops):
        yield begin, min(end, trace.end)
