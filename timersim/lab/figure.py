"""The figure of a run: the lanes of the timeline with time to the right, and the windows as bands."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timersim.lab.case import faults
from timersim.lab.invariants import InvariantViolation
from timersim.lab.layout import Kind
from timersim.lab.oracle import Account
from timersim.lab.reading import read
from timersim.lab.record import Arrived, Attempted, Instant, Meddled, Record, Sent, Started
from timersim.lab.timeline import REAPS, SERVER, WIRE, at_text, lanes, what_was_done
from timersim.lab.windows import Window, Word, broken_windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

BLUE, VERMILION, PURPLE, GREY, DARK = "#0072b2", "#c04a00", "#8f3f71", "#bbbbbb", "#444444"
"""After Okabe and Ito, dark enough for letters: alive; what is wrong; a fault; the server away; all else."""

BANDS = {Word.MUST_NOT: "#e4e4e4", Word.MAY: "#a6d5f0", Word.MUST: "#f0b93a", Word.GONE: "#ffffff"}
"""The colours of the windows, which differ in brightness, too."""

WRONG = "wrong"
"""The gid of the mark of what was wrong; that of a window's band is its word."""

WIDTH, LETTER = 10, 0.0088
"""The width of a figure in inches, and of a letter of a label in the width of the axes."""

LANE, LEVEL, STRIP = 0.5, 0.32, 0.42
"""The heights of a lane, of a line of labels above it, and of the windows below it."""


def draw(case: Record | InvariantViolation) -> "Figure":
    """Draws a failing test case, or a trace in which nothing is wrong: a lane for each worker, the wire, the server.

    A bar is the life of a worker, or the server away; a thin line a request on its way over the wire to the server,
    where a full dot is its arrival, and a hollow one its arrival in the queue of a server that is away. Below the
    worker in question a band shows when it MUST NOT, MAY and MUST be reaped; a great cross is the reap that was
    wrong, a great ring the instant by which one was owed. Time is in ticks. Needs matplotlib.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Schedule, run
    >>> figure = draw(run(Schedule([Acquire(0, "load", after=5)]), SimulatedBackend()))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['worker 0', 'wire', 'server']
    """
    from matplotlib.figure import Figure

    violation = case if isinstance(case, InvariantViolation) else None
    record = case.record if isinstance(case, InvariantViolation) else case
    sheet = _arranged(record, violation)
    figure = Figure(figsize=(WIDTH, 1.7 + 0.65 * sheet.height), layout="constrained")
    axes = figure.add_subplot()
    _draw_lives(axes, sheet)
    _draw_absences(axes, sheet)
    _draw_requests(axes, sheet)
    _draw_reaps(axes, sheet)
    _draw_windows(axes, sheet)
    for label in sheet.labels:
        _write(axes, sheet, label)
    _finish(axes, sheet)
    return figure


@dataclass(slots=True)
class _Label:
    """A text beside what happened in a lane `at` an instant, so many lines above the lane."""

    lane: str
    at: Instant
    text: str
    kind: Kind
    level: int = 0
    side: str = "left"


@dataclass(slots=True)
class _Sheet:
    """What is drawn, and where: the height of each lane, from the top downwards."""

    record: Record
    account: Account
    violation: InvariantViolation | None
    windows: Sequence[Window]
    broken: Window | None
    labels: list[_Label]
    heights: dict[str, float]
    height: float
    end: Instant

    @property
    def victim(self) -> str | None:
        """The lane of the worker whom the violation is about."""
        life = self.violation.breach.life if self.violation else None
        return None if life is None else f"worker {life[0]}"


def _arranged(record: Record, violation: InvariantViolation | None) -> _Sheet:
    account = read(record)
    breach = violation.breach if violation else None
    found: Sequence[Window] = []
    broken = None
    if breach and breach.life:
        found, broken = broken_windows(account, breach.life, breach.at, breach.rule)
    end = max([1, record.end, *(window.begin + 1 for window in found)])
    sheet = _Sheet(record, account, violation, found if broken else [], broken, [], {}, 0, end)
    sheet.labels = list(_stacked(_labels(sheet), end))
    workers = sorted({event.worker for event in record.of(Started)})
    for lane in (*(f"worker {worker}" for worker in workers), WIRE, SERVER):
        above = max((label.level + 1 for label in sheet.labels if label.lane == lane), default=0)
        sheet.heights[lane] = sheet.height + LEVEL * above
        sheet.height = sheet.heights[lane] + LANE + (STRIP if lane == sheet.victim and sheet.windows else 0)
    return sheet


def _labels(sheet: _Sheet) -> Iterator[_Label]:
    """Yields what the timeline says, but for what is drawn."""
    breach = sheet.violation.breach if sheet.violation else None
    for at, cells in lanes(sheet.record):
        workers = [lane for lane in cells if lane not in {WIRE, SERVER}]
        for lane, (text, kind) in cells.items():
            is_rule = breach is not None and (at, lane) == (breach.at, sheet.victim)
            is_drawn = text in {"acquire", "release"} or text.startswith(REAPS)
            is_told = (text == ".. due" and lane == sheet.victim) or (is_rule and text.startswith("reap"))
            if is_drawn or is_told:
                continue
            whose = f"{workers[0]}: " if lane == SERVER and len(workers) == 1 else ""
            told = text.removeprefix(".. ").replace("->", "\N{RIGHTWARDS ARROW}")
            yield _Label(lane, at, f"{whose}{told}", kind)
    if breach:
        told = what_was_done(sheet.record, breach.life, breach.at) if breach.life else f"at {at_text(breach.at)}"
        told = f"{told}: {breach.rule}"
        yield _Label(sheet.victim or SERVER, breach.at, told, Kind.WRONG)


def _stacked(labels: Iterator[_Label], end: Instant) -> Iterator[_Label]:
    """Puts labels of a lane that would overlap above each other; of several that say the same there is one."""
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {}
    once = {(label.lane, label.at, label.text): label for label in labels}
    for label in sorted(once.values(), key=lambda each: (each.kind != Kind.WRONG, each.at)):
        width = (len(label.text) + 1.5) * LETTER * end * (1.12 if label.kind == Kind.WRONG else 1)
        label.side = "right" if label.at + width > end * 1.04 else "left"
        begin = label.at - width if label.side == "right" else label.at
        while any(a < begin + width and begin < b for a, b in taken.get((label.lane, label.level), ())):
            label.level += 1
        taken.setdefault((label.lane, label.level), []).append((begin, begin + width))
        yield label


def _write(axes: "Axes", sheet: _Sheet, label: _Label) -> None:
    colour = {Kind.WRONG: VERMILION, Kind.FAULT: PURPLE}.get(label.kind, DARK)
    axes.annotate(
        label.text,
        (label.at, sheet.heights[label.lane] - 0.16 - LEVEL * label.level),
        (-2 if label.side == "right" else 2, 0),
        textcoords="offset points",
        ha=label.side,
        va="bottom",
        fontsize=9,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        weight="bold" if label.kind == Kind.WRONG else "normal",
        zorder=6,
    )


def _draw_lives(axes: "Axes", sheet: _Sheet) -> None:
    for event in sheet.record.of(Started):
        death = sheet.account.deaths.get((event.worker, event.incarnation))
        end = sheet.end if death is None else death.at
        height = sheet.heights[f"worker {event.worker}"]
        axes.barh(height, end - event.at, left=event.at, height=0.16, color=BLUE, zorder=2)
        if death is not None and death.how != "reaped":
            axes.plot(death.at, height, "|", color=DARK, markersize=13, markeredgewidth=2.5, zorder=4, clip_on=False)


def _draw_absences(axes: "Axes", sheet: _Sheet) -> None:
    axes.hlines([sheet.heights[WIRE], sheet.heights[SERVER]], 0, sheet.end, color=DARK, linewidth=(0.4, 1), zorder=1)
    for begin, end in (*sheet.account.pauses, *sheet.account.stops):
        until = min(end, sheet.end)
        axes.barh(sheet.heights[SERVER], until - begin, left=begin, height=0.26, color=GREY, edgecolor=DARK, zorder=2)


def _draw_requests(axes: "Axes", sheet: _Sheet) -> None:
    """Draws each request: down to the wire, along it, and down to the server where it arrives."""
    sent = sheet.record.numbered
    wire, server = sheet.heights[WIRE], sheet.heights[SERVER]
    meddled = {event.request for event in sheet.record.of(Meddled)}
    for request in sent.values():
        colour = PURPLE if request.request in meddled else DARK
        worker = sheet.heights[f"worker {request.worker}"]
        axes.plot(request.at, worker, _shape(request), color=colour, markersize=7, zorder=5, clip_on=False)
        axes.vlines(request.at, worker, wire, color=colour, linewidth=0.9, zorder=1)
        if request.request in meddled:
            axes.plot(request.at, wire, "D", color=PURPLE, markersize=7, zorder=5, clip_on=False)
    for arrival in sheet.record.of(Arrived):
        colour = PURPLE if arrival.request in meddled else DARK
        axes.hlines(wire, sent[arrival.request].at, arrival.at, color=colour, linewidth=1.8, zorder=2)
        axes.vlines(arrival.at, wire, server, color=colour, linewidth=0.9, zorder=1)
        inside = "white" if sheet.account.resume(arrival.at) > arrival.at else colour
        axes.plot(arrival.at, server, "o", color=colour, markerfacecolor=inside, markersize=7, zorder=5, clip_on=False)


def _shape(request: Sent) -> str:
    return "^" if request.expiration is None else "v"


def _draw_reaps(axes: "Axes", sheet: _Sheet) -> None:
    """Draws each reap as a cross in the worker's lane, led to from the server; a great one is the wrong one."""
    breach = sheet.violation.breach if sheet.violation else None
    is_marked = False
    for attempt in sheet.record.of(Attempted):
        if attempt.worker is None:
            continue
        worker = f"worker {attempt.worker}"
        is_wrong = breach is not None and breach.at == attempt.at and worker == sheet.victim
        is_marked |= is_wrong
        colour = VERMILION if is_wrong else DARK
        axes.vlines(
            attempt.at, sheet.heights[worker], sheet.heights[SERVER], color=colour, linewidth=1.5 if is_wrong else 1,
            linestyles="dotted", zorder=3,
        )  # fmt: skip
        size = 17 if is_wrong else 9
        axes.plot(
            attempt.at,
            sheet.heights[worker],
            "X",
            color=colour,
            markersize=size,
            zorder=5,
            clip_on=False,
            gid=WRONG if is_wrong else None,
        )
    if breach and not is_marked:
        height = sheet.heights[sheet.victim or SERVER]
        axes.plot(
            breach.at, height, "o", color=VERMILION, markerfacecolor="none", markersize=17, markeredgewidth=3, zorder=5,
            clip_on=False, gid=WRONG,
        )  # fmt: skip


def _draw_windows(axes: "Axes", sheet: _Sheet) -> None:
    """Draws the windows of the worker in question as bands below it, with their words where there is room."""
    for window in sheet.windows:
        end = min(window.end, sheet.end)
        height = sheet.heights[sheet.victim or SERVER] + STRIP
        edge = VERMILION if window == sheet.broken else "white"
        axes.barh(
            height, end - window.begin, left=window.begin, height=0.3, color=BANDS[window.word], edgecolor=edge,
            linewidth=1.6, gid=window.word, zorder=3 if window == sheet.broken else 2,
        )  # fmt: skip
        if (end - window.begin) / sheet.end > (len(window.word) + 1) * LETTER:
            middle = (window.begin + end) / 2
            axes.annotate(
                window.word, (middle, height), ha="center", va="center", fontsize=8.5, color="black", zorder=7
            )


def _finish(axes: "Axes", sheet: _Sheet) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yticks(list(sheet.heights.values()), list(sheet.heights))
    axes.set_ylim(sheet.height - LANE / 4, -0.15)
    axes.set_xlim(-0.015 * sheet.end, sheet.end * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    under = faults(sheet.record.schedule, is_broken=sheet.violation is not None)
    axes.set_xlabel(f"time in ticks, on the backend {sheet.record.backend}")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    title = sheet.violation.headline if sheet.violation else "No invariant is broken."
    axes.figure.legend(
        handles=list(_keys(sheet)), loc="outside lower left", ncols=6, fontsize=8.5, frameon=False,
        handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
    axes.figure.suptitle("\n".join(textwrap.wrap(title, 95)), x=0.01, ha="left", fontsize=11, weight="bold")
    axes.set_title(under, loc="left", fontsize=10, color=PURPLE)


def _keys(sheet: _Sheet) -> "Iterator[Line2D]":
    """Yields what the signs mean that are drawn."""
    from matplotlib.lines import Line2D

    arrivals = [event.at for event in sheet.record.of(Arrived)]
    is_waiting = [sheet.account.resume(at) > at for at in arrivals]
    signs = [
        ("v", DARK, "acquire", any(request.expiration is not None for request in sheet.record.requests)),
        ("^", DARK, "release", any(request.expiration is None for request in sheet.record.requests)),
        ("D", PURPLE, "fault on the wire", bool(sheet.record.of(Meddled))),
        ("o", DARK, "arrives at the server", not all(is_waiting)),
        ("o", "white", "arrives while the server is away", any(is_waiting)),
        ("X", DARK, "reap", bool(sheet.record.of(Attempted))),
    ]
    for sign, colour, meaning, is_drawn in signs:
        if is_drawn:
            yield Line2D(
                [], [], linestyle="", marker=sign, color=DARK if colour == "white" else colour, markerfacecolor=colour,
                label=meaning,
            )  # fmt: skip
