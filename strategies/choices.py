"""One generator of schedules over any source of choices: Hypothesis's, or a seeded `random.Random`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from timersim.lab.operations import (
    CORRUPTIONS,
    CRASHES,
    OPERATIONS,
    PLAIN,
    POINTS,
    SENDING,
    Acquire,
    Corrupt,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Drop,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Operation,
    Pause,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Resume,
    Reuse,
    SlowReap,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
    Tie,
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

LATER = (1, 2, 3, 5, 6, 8, 12, 20)
"""For how many ticks a request is under way, or a reap takes."""

STEPS = (5, -5, 1, -1, 20, -20, 100, -100)
"""By how many ticks the wall clock steps, or how many thousandths of a tick it gains in each."""

TIMES = (1, 2, 3, 4, 5, 7, 12, 20)
"""How often a reap fails, or how many requests a flood has."""

_WEIGHTS: dict[type[Operation], int] = dict.fromkeys(OPERATIONS.values(), 1) | {Acquire: 6, Release: 3, PauseServer: 2}

_FAULTS: dict[type[Operation], Callable[[int, int, int], Operation]] = {
    Delay: lambda worker, value, gap: Delay(worker, LATER[value], gap=gap),
    Drop: lambda worker, value, gap: Drop(worker, gap=gap),
    Duplicate: lambda worker, value, gap: Duplicate(worker, LATER[value] if value else 0, gap=gap),
    Reorder: lambda worker, value, gap: Reorder(worker, LATER[value], gap=gap),
    Corrupt: lambda worker, value, gap: Corrupt(worker, CORRUPTIONS[value % len(CORRUPTIONS)], gap=gap),
    Stall: lambda worker, value, gap: Stall(worker, LATER[value], gap=gap),
    CrashSending: lambda worker, value, gap: CrashSending(worker, SENDING[value % len(SENDING)], gap=gap),
    FailReap: lambda worker, value, gap: FailReap(worker, 1 + value % 3, gap=gap),
    RaiseInReap: lambda worker, value, gap: RaiseInReap(worker, 1 + value % 3, gap=gap),
    SlowReap: lambda worker, value, gap: SlowReap(worker, LATER[value], gap=gap),
    PauseInPass: lambda worker, value, gap: PauseInPass(POINTS[value % len(POINTS)], PAUSES[value // 3], gap=gap),
    StepWall: lambda worker, value, gap: StepWall(STEPS[value], gap=gap),
    Suspend: lambda worker, value, gap: Suspend(LATER[value], gap=gap),
    Drift: lambda worker, value, gap: Drift(STEPS[value], gap=gap),
    Tie: lambda worker, value, gap: Tie(1 + value % 3, gap=gap),
}
"""What is made of a worker, a value below eight and a gap; none of them ends anybody or frees anybody."""

_ABSENCES: dict[type[Operation], Callable[[int], Operation]] = {
    StopServer: lambda gap: StopServer(gap=gap),
    StartServer: lambda gap: StartServer(gap=gap),
    CrashServer: lambda gap: CrashServer(gap=gap),
    RestartServer: lambda gap: RestartServer(gap=gap),
}
"""What is made of a gap alone."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What schedules are made of: the kinds of operations, and how much of each there may be."""

    kinds: Sequence[type[Operation]] = PLAIN
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
    if kind is CrashServer and plan.away_until == math.inf:
        return StartServer
    if issubclass(kind, PauseServer | CrashServer | RestartServer | PauseInPass | StepWall | Suspend | Drift | Tie):
        return kind
    if kind is Reuse:
        return Reuse if plan.ended else Acquire
    if worker in plan.ended:
        return Start
    if kind is Start:
        return Acquire
    if kind is Resume and worker not in plan.paused:
        return Release
    return kind


def _made(plan: _Plan, kind: type[Operation], worker: int, scope: str, value: int, gap: int) -> Operation:
    """Makes an operation, and lets the plan know."""
    if kind in _FAULTS:
        return _FAULTS[kind](worker, value, gap)
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
    if kind is Reuse:
        return _reuse(plan, worker, value, gap)
    if kind is Flood:
        return Flood(worker, scope, TIMES[value], gap=gap)
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
    if kind is CrashServer or kind is RestartServer:
        plan.held.clear()
    plan.away_until = math.inf if kind is StopServer or kind is CrashServer else plan.now
    return _ABSENCES[kind](gap)


def _reuse(plan: _Plan, worker: int, value: int, gap: int) -> Operation:
    """Starts a worker that has ended, the drawn one where it has, with the pid of one that has."""
    ended = sorted(plan.ended) or [worker]
    if worker not in plan.ended:
        worker = ended[value % len(ended)]
    of = ended[value % len(ended)]
    plan.ended.discard(worker)
    return Reuse(worker, of, gap=gap)


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
