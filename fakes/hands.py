"""The hands of virtual time: the monotonic one only ever goes on; the wall clock's steps and drifts."""

import math
from collections.abc import Callable
from fractions import Fraction

from timersim.fakes.scheduler import SECOND, nanoseconds
from timersim.fakes.tasks import Call
from timersim.fakes.waiting import Waiting


class Hands(Waiting):
    """The wall clock beside the monotonic one, and what is due by it.

    The wall is the monotonic clock plus an offset. A drift moves the offset when the monotonic hand moves, so
    that who reads the time pays nothing for it.
    """

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._wall_offset = 0
        self._drift: _Drift | None = None
        self._wall_calls: dict[_WallCall, None] = {}

    def step_wall(self, by: float) -> None:
        """Moves the wall clock alone, by `by` seconds, forward or back."""
        self._move_wall(round(by * SECOND))

    def drift(self, rate: float) -> None:
        """Has the wall clock alone gain `rate` seconds in each monotonic second from now on; below 0 it loses them.

        0.001 is a millisecond a second. A new rate takes the place of the one before, and 0 ends the drift: the
        wall clock goes on from where it is. Raises ValueError where it would stand still or go back.

        >>> from timersim.fakes import VirtualClock
        >>> clock = VirtualClock()
        >>> clock.drift(0.001)
        >>> clock.advance(60); clock.time_ns - clock.monotonic_ns
        60000000
        """
        if not (math.isfinite(rate) and rate > -1):
            raise ValueError(f"the rate of a drift is finite and above -1: drift({rate!r})")
        offset = self._drift.offset(self._now) if self._drift else Fraction(self._wall_offset)
        self._drift = _Drift(Fraction(repr(float(rate))), self._now, offset)
        self._on_jump = self._follow_drift
        self._plan_wall_calls()

    def suspend(self, seconds: float) -> None:
        """Lets the machine sleep for `seconds`: wall time passes, and monotonic time does not.

        What was set by monotonic time loses nothing. What was set by wall time meanwhile is due now, once.

        >>> from timersim.fakes import VirtualClock
        >>> clock = VirtualClock()
        >>> clock.suspend(3600); clock.time(), clock.monotonic()
        (1003600.0, 1000000.0)
        """
        if seconds < 0:
            raise ValueError(f"time can't go backwards: suspend({seconds!r})")
        self._move_wall(nanoseconds(seconds))

    def call_at_wall(self, instant: float, target: Callable[[], object]) -> Call:
        """Has `target` called when the wall clock reaches `instant`, in seconds since the epoch; at once where it has.

        It is called once, by whatever hand the instant was reached: time, a step, a suspend or a drift.

        >>> from timersim.fakes import VirtualClock
        >>> clock = VirtualClock()
        >>> call = clock.call_at_wall(clock.time() + 60, lambda: print(clock.monotonic()))
        >>> clock.step_wall(59); clock.advance(10)
        1000001.0
        """
        self._refuse_the_muted()
        call = _WallCall(target, nanoseconds(instant), self._wall_calls)
        self._wall_calls[call] = None
        self._plan(call)
        return call

    def _move_wall(self, by: int) -> None:
        self._wall_offset += by
        if self._drift is not None:
            self._drift.base += by
        self._plan_wall_calls()

    def _follow_drift(self) -> None:
        assert self._drift is not None
        self._wall_offset = math.floor(self._drift.offset(self._now))

    def _plan_wall_calls(self) -> None:
        """Finds anew when each of the wall's calls is due; those that are now come in the order of their instants."""
        for call in sorted(self._wall_calls, key=lambda call: call.instant):
            self._plan(call)

    def _plan(self, call: "_WallCall") -> None:
        reached = self._drift.reaches(call.instant) if self._drift else call.instant - self._wall_offset
        self._schedule(call, max(self._now, reached))


class _Drift:
    """A wall clock that gains on the monotonic one, from an instant on; all in nanoseconds, and exact."""

    __slots__ = ("base", "rate", "since")

    def __init__(self, rate: Fraction, since: int, base: Fraction) -> None:
        self.rate = rate
        self.since = since
        self.base = base

    def offset(self, instant: int) -> Fraction:
        """Returns how far the wall is ahead at a monotonic instant; the hand shows the whole nanoseconds of it."""
        return self.base + (instant - self.since) * self.rate

    def reaches(self, wall: int) -> int:
        """Returns the first monotonic instant at which the wall clock shows `wall` or more."""
        return math.ceil((wall - self.base + self.since * self.rate) / (1 + self.rate))


class _WallCall(Call):
    """A call that is due when the wall clock reaches an instant; `pending` are its clock's that have not been made."""

    __slots__ = ("_pending", "instant")

    def __init__(self, target: Callable[[], object], instant: int, pending: "dict[_WallCall, None]") -> None:
        super().__init__(target)
        self.instant = instant
        self._pending = pending

    def cancel(self) -> None:
        super().cancel()
        self._pending.pop(self, None)

    def _fire(self) -> None:
        self._pending.pop(self, None)
        super()._fire()
