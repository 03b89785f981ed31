"""One generator of schedules over any source of choices: Hypothesis's, or a seeded `random.Random`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from timersim.lab.operations import (
    CRASHES,
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule

Choose = Callable[[int], int]
"""`choose(n)` returns a whole number from 0 to n - 1; 0 is the simplest."""

GAPS = (0, 1, 2, 0, 3, 0, 5)
"""The gaps that are drawn as such, in ticks; others are aimed at an expiration."""

AIMS = tuple((which, near) for which in (0, 1) for near in (0, -1, 1))
"""Where an aimed gap ends: which of the next expirations, and how far from it, in ticks."""

AFTERS = (5, 1, 2, 3, 0, 8, 12, 20)
"""The expirations that are drawn, in ticks from the acquire."""

RARE = 6
"""The value with which the server is started though it runs, or stopped though it is stopped."""

PAUSES = (6, 2, 12, 1)
"""How long the server is paused, in ticks."""

_WEIGHTS: dict[type[Operation], int] = {
    Acquire: 6, Release: 3, PauseServer: 2,
    Crash: 1, Exit: 1, Start: 1, Pause: 1, Resume: 1, StopServer: 1, StartServer: 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What schedules are made of: the kinds of operations, and how much of each there may be."""

    kinds: Sequence[type[Operation]] = tuple(_WEIGHTS)
    max_workers: int = 3
    max_scopes: int = 2
    max_size: int = 12


@dataclass(slots=True)
class _Plan:
    """What a schedule drawn so far will have come to on a correct server: it aims what is drawn next."""

    now: int = 0
    held: dict[int, dict[str, int]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    away_until: float = 0

    def pass_time(self, ticks: int) -> None:
        """Lets time pass: who comes due while the server is there is reaped."""
        self.now += ticks
        if self.now >= self.away_until:
            for worker in [w for w, timers in self.held.items() if min(timers.values()) < self.now]:
                self.end(worker)

    def end(self, worker: int) -> None:
        """Lets a worker be dead."""
        self.ended.add(worker)
        self.paused.discard(worker)
        self.held.pop(worker, None)

    def instants(self) -> list[int]:
        """Returns the instants ahead at which something happens, in order."""
        dues = {due for timers in self.held.values() for due in timers.values()}
        if self.away_until < math.inf:
            dues.add(int(self.away_until))
        return sorted(due for due in dues if due > self.now)


def generate(choose: Choose, vocabulary: Vocabulary) -> Schedule:
    """Draws a schedule: how many workers, which kinds it excludes, then for each operation what and when.

    The choice of 0 throughout is the empty schedule; fewer and smaller choices are simpler schedules.
    """
    workers = 1 + choose(vocabulary.max_workers)
    excluded = choose(1 << len(vocabulary.kinds))
    kinds = [kind for bit, kind in enumerate(vocabulary.kinds) if kind is Acquire or not excluded >> bit & 1]
    deck = [kind for kind in kinds for _ in range(_WEIGHTS[kind])]
    plan = _Plan()
    operations: list[Operation] = []
    whats = 1 + len(deck) * workers * vocabulary.max_scopes
    for _ in range(vocabulary.max_size):
        what = choose(whats)
        if what == 0:
            break
        rest, worker = divmod(what - 1, workers)
        kind, scope = divmod(rest, vocabulary.max_scopes)
        when, value = divmod(choose((len(GAPS) + len(AIMS)) * len(AFTERS)), len(AFTERS))
        gap = _gap(plan, when)
        plan.pass_time(gap)
        possible = _possible(plan, deck[kind], worker, value)
        drawn = possible if possible in vocabulary.kinds else deck[kind]
        operations.append(_made(plan, drawn, worker, f"s{scope}", value, gap))
    else:
        choose(1)  # an end like any other, so that what shrinks can take an operation out
    return Schedule(operations)


def _gap(plan: _Plan, when: int) -> int:
    """Returns one of GAPS, or the way to one of the next two instants or near it."""
    if when < len(GAPS):
        return GAPS[when]
    which, near = AIMS[when - len(GAPS)]
    ahead = plan.instants()
    return max(0, ahead[min(which, len(ahead) - 1)] + near - plan.now) if ahead else 0


def _possible(plan: _Plan, kind: type[Operation], worker: int, value: int) -> type[Operation]:
    """Returns `kind`, or what comes nearest to it among what can happen."""
    if issubclass(kind, StopServer | StartServer):
        if value == RARE:
            return kind
        return StopServer if plan.away_until < math.inf else StartServer
    if issubclass(kind, PauseServer):
        return kind
    if worker in plan.ended:
        return Start
    if kind is Start:
        return Acquire
    if kind is Resume and worker not in plan.paused:
        return Release
    return kind


def _made(plan: _Plan, kind: type[Operation], worker: int, scope: str, value: int, gap: int) -> Operation:
    """Makes an operation, and lets the plan know."""
    if kind is Acquire:
        after = AFTERS[value]
        plan.held.setdefault(worker, {})[scope] = plan.now + after
        return Acquire(worker, scope, after=after, gap=gap)
    if kind is Release:
        worker, scope = _release(plan, worker, scope, value)
        return Release(worker, scope, gap=gap)
    if kind is Exit:
        plan.end(worker)
        return Exit(worker, gap=gap)
    if kind is Crash:
        plan.end(worker)
        return Crash(worker, CRASHES[value % len(CRASHES)], gap=gap)
    if kind is Start:
        plan.ended.discard(worker)
        return Start(worker, gap=gap)
    if kind is Pause:
        plan.paused.add(worker)
        return Pause(worker, gap=gap)
    if kind is Resume:
        plan.paused.discard(worker)
        return Resume(worker, gap=gap)
    if kind is PauseServer:
        ticks = PAUSES[value % len(PAUSES)]
        plan.away_until = max(plan.away_until, plan.now + ticks)
        return PauseServer(ticks, gap=gap)
    plan.away_until = math.inf if kind is StopServer else plan.now
    return StopServer(gap=gap) if kind is StopServer else StartServer(gap=gap)


def _release(plan: _Plan, worker: int, scope: str, value: int) -> tuple[int, str]:
    """Returns which timer is released: the drawn one where it is held, else one that is, where there is any."""
    if scope not in plan.held.get(worker, ()):
        held = [(w, s) for w, timers in plan.held.items() for s in timers]
        if held:
            worker, scope = held[value % len(held)]
    timers = plan.held.get(worker, {})
    timers.pop(scope, None)
    if not timers:
        plan.held.pop(worker, None)
    return worker, scope
