"""The wall clock of a run against its monotonic clock: how far it was ahead, and when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from timersim.lab.record import Event, Instant, WallDrifts, WallStepped, rounded

SLACK = 0.002
"""Ticks of doubt about a wall clock that drifts: a server reads its two clocks one after the other."""


@dataclass(slots=True)
class _Change:
    """From the event with this `index` the wall clock is `ahead` at `at`, and gains `rate` in each tick."""

    index: int
    at: Instant
    before: Instant
    ahead: Instant
    rate: float


class WallHand:
    """How many ticks the wall clock was ahead of the monotonic one, both 0 at the beginning."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._changes: list[_Change] = []
        for index, event in enumerate(events):
            if isinstance(event, WallStepped | WallDrifts):
                before = self._ahead(index, event.at)
                stepped = event.by if isinstance(event, WallStepped) else 0
                rate = event.per_mille / 1000 if isinstance(event, WallDrifts) else self._rate
                self._changes.append(_Change(index, event.at, before, before + stepped, rate))

    @property
    def _rate(self) -> float:
        return self._changes[-1].rate if self._changes else 0.0

    def window(self, expiration: Instant, sent: tuple[int, Instant], registered: Instant) -> tuple[Instant, Instant]:
        """Returns the earliest and the latest monotonic instant at which a request is due.

        Its `expiration` is one of the wall clock; it was `sent` with the event of this index at this instant, and
        `registered` then, by the hands that the clocks had at some time in between.
        """
        if not self._changes:
            return expiration, expiration
        index, at = sent
        hands = [self._ahead(index, at)]
        for change in self._changes:
            if change.index > index and change.at <= registered:
                hands += [change.before, change.ahead]
        before = [change for change in self._changes if change.at <= registered]
        if before:
            hands.append(before[-1].ahead + before[-1].rate * (registered - before[-1].at))
        slack = SLACK if any(change.rate for change in before) else 0
        return rounded(expiration - max(hands) - slack), rounded(expiration - min(hands) + slack)

    def crossings(self, expiration: Instant, since: Instant) -> tuple[Instant, Instant]:
        """Returns when, from `since` on, the wall clock comes to `expiration` for the first time, and for the last."""
        if not self._changes:
            return max(expiration, since), max(expiration, since)
        begins = [_Change(-1, 0, 0, 0, 0.0), *self._changes]
        found: list[Instant] = []
        is_past = False
        for change, following in zip(begins, [*begins[1:], None], strict=True):
            begin, end = max(change.at, since), math.inf if following is None else following.at
            if end < begin:
                continue
            missing = expiration - (begin + change.ahead + change.rate * (begin - change.at))
            at = begin + max(0, missing) / (1 + change.rate)
            if at <= end and not (is_past and missing <= 0):
                found.append(at)
            is_past = at <= end
        slack = SLACK if any(change.rate for change in self._changes) else 0
        return rounded(found[0] - slack), rounded(found[-1] + slack)

    def _ahead(self, index: int, at: Instant) -> Instant:
        """Returns how far it was ahead at an instant, by the last change before the event with this index."""
        last = next((change for change in reversed(self._changes) if change.index < index), None)
        if last is None:
            return 0
        return last.ahead + last.rate * (at - last.at) if last.rate else last.ahead
