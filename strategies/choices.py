"""One generator of schedules over any source of choices: Hypothesis's, or a seeded `random.Random`."""

import math
from collections.abc import Callable, Sequence

from timersim.lab.operations import (
    CORRUPTIONS,
    CRASHES,
    OPERATIONS,
    POINTS,
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
from timersim.strategies.amounts import AFTERS, AIMS, ALIKE, GAPS, LATER, PAUSES, RARE, STEPS, TIMES
from timersim.strategies.plan import Plan
from timersim.strategies.vocabulary import Vocabulary

Choose = Callable[[int], int]
"""`choose(n)` returns a whole number from 0 to n - 1; 0 is the simplest."""

_WEIGHTS: dict[type[Operation], int] = dict.fromkeys(OPERATIONS.values(), 1) | {Acquire: 6, Release: 3, PauseServer: 2}

_FAULTS: dict[type[Operation], Callable[[int, int, int], Operation]] = {
    Drop: lambda worker, value, gap: Drop(worker, gap=gap),
    Duplicate: lambda worker, value, gap: Duplicate(worker, LATER[value] if value else 0, gap=gap),
    Corrupt: lambda worker, value, gap: Corrupt(worker, CORRUPTIONS[value % len(CORRUPTIONS)], gap=gap),
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

_LATE: dict[type[Operation], Callable[[int, int, int], Operation]] = {
    Delay: lambda worker, ticks, gap: Delay(worker, ticks, gap=gap),
    Reorder: lambda worker, ticks, gap: Reorder(worker, ticks, gap=gap),
    Stall: lambda worker, ticks, gap: Stall(worker, ticks, gap=gap),
}
"""What is made of a worker, for how many ticks its next request is under way, and a gap."""

_ABSENCES: dict[type[Operation], Callable[[int], Operation]] = {
    StopServer: lambda gap: StopServer(gap=gap),
    StartServer: lambda gap: StartServer(gap=gap),
    CrashServer: lambda gap: CrashServer(gap=gap),
    RestartServer: lambda gap: RestartServer(gap=gap),
}
"""What is made of a gap alone."""


_REAPS = FailReap | RaiseInReap | SlowReap

_AIMED = _REAPS | Delay | Reorder | Stall | Release
"""What goes to somebody who holds a timer, if anybody does."""

_OF_THE_HELD = _REAPS | StepWall | Suspend | Drift
"""What matters most to timers that are held."""


def generate(choose: Choose, vocabulary: Vocabulary) -> Schedule:
    """Draws a schedule: how many workers, which kinds it excludes, then for each operation what and when.

    The choice of 0 throughout is the empty schedule; fewer and smaller choices are simpler schedules.
    """
    workers = 1 + choose(vocabulary.max_workers)
    excluded = choose(1 << len(vocabulary.kinds))
    kinds = [kind for bit, kind in enumerate(vocabulary.kinds) if kind is Acquire or not excluded >> bit & 1]
    deck = [kind for kind in kinds for _ in range(_WEIGHTS[kind])]
    plan = Plan()
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
        met = _met(plan, deck[kind], value)
        possible = _possible(plan, met if met in vocabulary.kinds else deck[kind], worker, value)
        drawn = possible if possible in vocabulary.kinds else deck[kind]
        if drawn is CrashSending:
            operations.append(CrashSending(worker, vocabulary.sending[value % len(vocabulary.sending)], gap=gap))
        else:
            operations.append(_made(plan, drawn, worker, f"s{scope}", value, gap))
    else:
        choose(1)  # an end like any other, so that what shrinks can take an operation out
    return Schedule(operations)


def _gap(plan: Plan, when: int) -> int:
    """Returns one of GAPS, or the way to one of the next two instants or near it; mostly none after a collision."""
    if when < len(GAPS):
        return 0 if plan.collides() else GAPS[when]
    which, near = AIMS[when - len(GAPS)]
    ahead = plan.instants()
    return max(0, ahead[min(which, len(ahead) - 1)] + near - plan.now) if ahead else 0


def _met(plan: Plan, kind: type[Operation], value: int) -> type[Operation]:
    """Returns what meets what was drawn before: an old timer's pid, a stop, a late request; `kind` where nothing does.

    A start comes soon whether timers are held or not, so that what fails by it can do without them.
    """
    if value % 4 and plan.orphans():
        return Reuse
    if value in RARE and plan.away_until == math.inf and (plan.held or not issubclass(kind, StopServer | StartServer)):
        return StartServer
    return Release if value % 2 and plan.under_way in plan.held else kind


def _possible(plan: Plan, kind: type[Operation], worker: int, value: int) -> type[Operation]:
    """Returns `kind`, or what comes nearest to it among what can happen; after a collision mostly an acquire."""
    if plan.collides() and issubclass(kind, Acquire | Release | Start | Resume | Pause | PauseServer):
        return Acquire
    if value % 2 and not plan.held and issubclass(kind, _OF_THE_HELD):
        return Acquire
    if issubclass(kind, StopServer | StartServer):
        if value in RARE:
            return kind
        return StopServer if plan.away_until < math.inf else StartServer
    if kind is CrashServer and plan.away_until == math.inf:
        return StartServer
    if issubclass(kind, PauseServer | CrashServer | RestartServer | PauseInPass | StepWall | Suspend | Drift | Tie):
        return kind
    if kind is Reuse:
        return Reuse if plan.ended else Acquire
    if kind is Resume and plan.paused:
        return Resume
    if worker in plan.ended:
        return kind if plan.held and issubclass(kind, _AIMED) else Start
    if kind is Start:
        return Acquire
    if kind is Resume:
        return Release
    return kind


def _made(plan: Plan, kind: type[Operation], worker: int, scope: str, value: int, gap: int) -> Operation:
    """Makes an operation, and lets the plan know."""
    if kind in _FAULTS:
        if issubclass(kind, _REAPS) and plan.held:
            worker = worker if worker in plan.held else min(plan.held)
        elif issubclass(kind, _REAPS | Drop | Duplicate | Corrupt):
            plan.under_way = worker
        return _FAULTS[kind](worker, value, gap)
    if kind in _LATE:
        if worker not in plan.held:
            worker = min(plan.held, default=worker)
        plan.under_way = worker
        return _LATE[kind](worker, _ticks(plan, LATER, worker, value), gap)
    if kind is Acquire:
        worker, scope = plan.collides() or (plan.taken_from(worker), scope)
        after = _ticks(plan, AFTERS, None, value)
        plan.acquire(worker, scope, after)
        return Acquire(worker, scope, after=after, gap=gap)
    if kind is Release:
        worker, scope = plan.release(worker, scope, value)
        return Release(worker, scope, gap=gap)
    if issubclass(kind, Exit | Crash) and value % 2 and worker not in plan.held:
        worker = min(plan.held, default=worker)
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
        worker, of = plan.reuse(worker, value)
        return Reuse(worker, of, gap=gap)
    if kind is Flood:
        return Flood(worker, scope, TIMES[value], gap=gap)
    if kind is Pause:
        plan.paused.add(worker)
        return Pause(worker, gap=gap)
    if kind is Resume:
        worker = worker if worker in plan.paused else min(plan.paused, default=worker)
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


def _ticks(plan: Plan, ticks: Sequence[int], worker: int | None, value: int) -> int:
    """Returns one of `ticks`, or how many there are to the next expiration, of that worker or of any."""
    due = plan.next_due(worker) if value in ALIKE else None
    return ticks[value] if due is None else due - plan.now
