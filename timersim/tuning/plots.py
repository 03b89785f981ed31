"""Pictures, with matplotlib: one function a picture, axes in and axes out, colours that everybody can tell apart."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from timersim.lab.record import Attempted, Instant, Started
from timersim.lab.timeline import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from timersim.lab.oracle import Guard
    from timersim.lab.trace import Trace

BLUE, LIGHT_BLUE, ORANGE, VERMILION, GREY = "#0072b2", "#9ecbe8", "#e69f00", "#d55e00", "#bbbbbb"
"""After Okabe and Ito: alive; a timer held; due and not yet reaped; reaped; the server away."""


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
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(8, 1.6 + 0.6 * len(trace.schedule.workers)), layout="constrained")[1]
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
            axes.annotate(
                f"reaped at {number_text(attempt.at)}",
                (attempt.at, len(workers)),
                (0, -14),
                textcoords="offset points",
                ha="right" if attempt.at > trace.end / 2 else "left",
                fontsize=9,
                color=VERMILION,
            )
    axes.set_yticks([*lanes.values(), len(workers)], [*(f"worker {worker}" for worker in workers), "server"])
    axes.set_ylim(len(workers) + 0.6, -0.7)
    axes.set_xlim(0, trace.end * 1.02)
    axes.set_xlabel("time in ticks (a tick is a second)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _draw_life(axes: "Axes", trace: "Trace", life: tuple[int, int], height: int) -> None:
    begin = next(e.at for e in trace.of(Started) if (e.worker, e.incarnation) == life)
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


def _name(axes: "Axes", name: str, at: Instant, height: int) -> None:
    """Writes a bar's name above its beginning."""
    axes.annotate(name, (at, height - 0.2), (1, 2), textcoords="offset points", va="bottom", fontsize=9)


def _absences(trace: "Trace") -> Iterator[tuple[Instant, Instant]]:
    """Yields when the server was paused, or stopped, within the run."""
    for begin, end in (*trace.account.pauses, *trace.account.stops):
        yield begin, min(end, trace.end)
