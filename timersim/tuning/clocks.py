"""Clocks that jump: what a step of the wall clock and a suspend do to a timer that is running; and its picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from timersim.fakes.broken_servers import without
from timersim.fakes.clock import VirtualClock
from timersim.fakes.world import SimulatedWorld
from timersim.memory_timer import MemoryTimerServer
from timersim.table_server import TableTimerServer
from timersim.tuning.palette import BLUE, DARK, GREY, ORANGE, VERMILION, fresh

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Jump = tuple[Literal["step", "suspend"], float, float]
"""What happens, at which second of a stopwatch, and by how many seconds."""

SERVERS: dict[str, type[TableTimerServer]] = {
    "timersim": MemoryTimerServer,
    "by the wall clock": without("go-by-monotonic-time", MemoryTimerServer),
}
"""A server that keeps timers in monotonic time once they are registered, and one that goes by the wall clock."""

INTERVAL = 1.0
"""Seconds between two looks at most; the server that goes by the wall clock looks each second."""


@dataclass(frozen=True)
class ClockStory:
    """A timer of `timeout_s` seconds while clocks jump. `reaps` says of each server at which second it reaped.

    `frame` has the hands at each instant that matters, in seconds since the beginning: `stopwatch_s`, which no jump
    moves and a suspend does not stop, `wall_s`, `monotonic_s`, and `server_s`, what timersim's server has counted of
    the timer: nothing any more, once it has reaped.
    """

    timeout_s: float
    jumps: tuple[Jump, ...]
    frame: pd.DataFrame
    reaps: dict[str, float]


def jumping_clocks(jumps: Sequence[Jump], *, timeout: float = 60.0, until: float | None = None) -> ClockStory:
    """Runs servers in virtual time under a hung worker while clocks jump; `until` so many seconds, or the reaps.

    A jump is ("step", at, by): the wall clock alone moves, forward or back; or ("suspend", at, seconds): the machine
    sleeps, its wall clock goes on, its monotonic clock does not. It can't begin while another one sleeps.

    >>> story = jumping_clocks([("step", 20, 100)], timeout=60)
    >>> story.reaps
    {'timersim': 60.0, 'by the wall clock': 21.0}
    """
    ordered = tuple(sorted(jumps, key=lambda jump: jump[1]))
    _check(ordered, timeout=timeout, until=until)
    slept = sum(by for what, _, by in ordered if what == "suspend")
    back = sum(max(0.0, -by) for what, _, by in ordered if what == "step")
    last = max([timeout, *(at for _, at, _ in ordered)])
    end = last + slept + back + max(5.0, timeout / 5) if until is None else until
    found = {name: _run(server, ordered, timeout, end) for name, server in SERVERS.items()}
    return ClockStory(timeout, ordered, found["timersim"][0], {name: reaped for name, (_, reaped) in found.items()})


def plot_clocks(story: ClockStory, axes: "Axes | None" = None) -> "Axes":
    """Draws what the wall clock, the monotonic clock and the server show while clocks jump, and when servers reap.

    The axes are in seconds: to the right a stopwatch's, upwards the hands'. Where a hand crosses the timeout the
    timer is due by that hand.

    >>> axes = plot_clocks(jumping_clocks([("suspend", 20, 30)]))
    >>> axes.get_xlabel()
    'seconds on a stopwatch'
    """
    axes = fresh(axes)
    frame, at = story.frame, story.frame["stopwatch_s"]
    for what, begin, by in story.jumps:
        if what == "suspend":
            axes.axvspan(begin, begin + by, color=GREY, alpha=0.35, linewidth=0)
    axes.plot(at, frame["wall_s"], color=ORANGE, linewidth=3.5, label="wall clock")
    axes.plot(at, frame["monotonic_s"], color=BLUE, alpha=0.55, linewidth=5, label="monotonic clock")
    axes.plot(at, frame["server_s"], color=DARK, linewidth=1.8, linestyle="--", label="timersim's server")
    axes.axhline(
        story.timeout_s, color=VERMILION, linewidth=1.2, linestyle=":", label=f"timeout: {story.timeout_s:g} s"
    )
    for (name, reaped), mark in zip(story.reaps.items(), "Xs", strict=True):
        if math.isfinite(reaped):
            axes.plot(
                reaped, story.timeout_s, mark, color=VERMILION, markeredgecolor="white", markersize=13, zorder=5,
                clip_on=False, linestyle="", label=f"{name}: reaped at {reaped:g} s",
            )  # fmt: skip
        else:
            axes.plot([], [], mark, color=VERMILION, markersize=11, linestyle="", label=f"{name}: not reaped")
    top = axes.get_ylim()[1]
    for what, begin, by in story.jumps:
        text = f"suspended\n{by:g} s" if what == "suspend" else f"step\n{by:+g} s"
        axes.annotate(text, (begin, top), (3, 0), textcoords="offset points", va="bottom", fontsize=9, color=DARK)
        if what == "step":
            axes.axvline(begin, color=GREY, linewidth=1)
    axes.set_xlim(0, at.iloc[-1])
    axes.set_ylim(top=top)
    axes.set_xlabel("seconds on a stopwatch")
    axes.set_ylabel("seconds shown since the beginning")
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return axes


def _run(
    server: type[TableTimerServer], jumps: Sequence[Jump], timeout: float, end: float
) -> tuple[pd.DataFrame, float]:
    """Returns the hands under one server, and when it reaped; inf: it has not."""
    clock, reaped = VirtualClock(), list[float]()
    slept, wall, monotonic = 0.0, clock.time(), clock.monotonic()
    rows: list[tuple[float, float, float, float]] = []

    def stopwatch() -> float:
        return clock.monotonic() - monotonic + slept

    def reap(worker_id: Any) -> bool:
        see()
        reaped.append(round(stopwatch(), 6))
        return True

    def see() -> None:
        expiration = None if reaped else world.server._timers.expiration(("rank", "step"))
        counted = math.nan if expiration is None else timeout - (expiration - clock.monotonic())
        rows.append((stopwatch(), clock.time() - wall, clock.monotonic() - monotonic, counted))

    world = SimulatedWorld(max_interval=INTERVAL, clock=clock, reap=reap)
    try:
        with world.seat(server) as seated:
            with clock.group(world.group):
                seated.start()
            world.client("rank").acquire("step", clock.time() + timeout)
            clock.advance(0)
            see()
            for what, at, by in jumps:
                if at >= end:
                    break
                clock.advance(max(0.0, at - stopwatch()))
                see()
                if what == "step":
                    clock.step_wall(by)
                else:
                    clock.suspend(by)
                    slept += by
                clock.advance(0)
                see()
            clock.advance(max(0.0, end - stopwatch()))
            see()
            seated.stop()
    finally:
        clock.close()
    frame = pd.DataFrame(rows, columns=["stopwatch_s", "wall_s", "monotonic_s", "server_s"])
    return frame.round(6), reaped[0] if reaped else math.inf


def _check(jumps: Sequence[Jump], **seconds: float | None) -> None:
    for name, value in seconds.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} is a number of seconds above 0: {name}={value!r}")
    awake = 0.0
    for jump in jumps:
        what, at, by = jump
        if what not in {"step", "suspend"} or not math.isfinite(by) or (what == "suspend" and by < 0):
            raise ValueError(f'a jump is ("step", at, by) or ("suspend", at, seconds): {jump!r}')
        if not awake <= at < math.inf:
            raise ValueError(f"a jump begins while nobody sleeps, at 0 or later: {jump!r}")
        awake = at + by if what == "suspend" else at
