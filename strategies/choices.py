"""One generator of schedules over any source of choices: Hypothesis's, or a seeded `random.Random`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from timersim.lab.schedule import (
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    Schedule,
    Start,
    StartServer,
    StopServer,
)

Choose = Callable[[int], int]
"""`choose(n)` returns a whole number from 0 to n - 1; 0 is the simplest."""

FREE_GAPS = 6
"""Gaps of 0 to this many ticks less one are drawn as such; the others are aimed at an expiration."""

NEAR = (0, -1, 1)
"""How far from an expiration an aimed gap ends: at it, a tick before, a tick after."""

AFTERS = (5, 1, 2, 3, 0, 8, 12, 20)
"""The expirations that are drawn, in ticks from the acquire."""

PAUSES = (6, 2, 12, 1)
"""How long the server is paused, in ticks."""

_WEIGHTS: dict[type[Operation], int] = {
    Acquire: 5, Release: 3, Crash: 1, Exit: 1, Start: 1, Pause: 1, Resume: 1, PauseServer: 2, StopServer: 1, StartServer: 1,
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
    """What a schedule drawn so far will have come to, as far as that can be known: it aims the next gap."""

    now: int = 0
    due: list[int] = field(default_factory=list)
    held: dict[int, list[str]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    is_stopped: bool = False


def generate(choose: Choose, vocabulary: Vocabulary) -> Schedule:
    """Draws a schedule. First the kinds that it excludes, then for each operation what and when.

    The choice of 0 throughout is the empty schedule; fewer and smaller choices are simpler schedules.
    """
    excluded = choose(1 << len(vocabulary.kinds))
    kinds = [kind for bit, kind in enumerate(vocabulary.kinds) if kind is Acquire or not excluded >> bit & 1]
    deck = [kind for kind in kinds for _ in range(_WEIGHTS[kind])]
    plan = _Plan()
    operations: list[Operation] = []
    whats = 1 + len(deck) * vocabulary.max_workers * vocabulary.max_scopes
    for _ in range(vocabulary.max_size):
        what = choose(whats)
        if what == 0:
            break
        rest, kind = divmod(what - 1, len(deck))
        scope, worker = divmod(rest, vocabulary.max_workers)
        when, value = divmod(choose((FREE_GAPS + len(NEAR) * 2) * len(AFTERS)), len(AFTERS))
        operation = _operation(plan, deck[kind], worker, scope, value, _gap(plan, when))
        operations.append(operation)
    return Schedule(operations)


def _gap(plan: _Plan, when: int) -> int:
    """Returns a gap: `when` itself while it is small, else the way to one of the next two expirations or near it."""
    if when < FREE_GAPS:
        return when
    ahead = sorted({due for due in plan.due if due > plan.now})
    if not ahead:
        return when - FREE_GAPS
    which, near = divmod(when - FREE_GAPS, len(NEAR))
    return max(0, ahead[min(which, len(ahead) - 1)] + NEAR[near] - plan.now)


def _operation(plan: _Plan, kind: type[Operation], worker: int, scope: int, value: int, gap: int) -> Operation:
    """Makes the operation, or the nearest one that can happen, and lets the plan know."""
    plan.now += gap
    name = f"s{scope}"
    if kind in {Acquire, Release, Exit, Crash, Pause} and worker in plan.ended:
        kind = Start
    if kind is Start and worker not in plan.ended and plan.held.get(worker):
        kind = Crash
    if kind is Resume and worker not in plan.paused:
        kind = Release
    if kind is Release and name not in plan.held.get(worker, ()):
        held = [(w, s) for w, scopes in plan.held.items() for s in scopes]
        if held:
            worker, name = held[value % len(held)]
    if kind is StartServer and not plan.is_stopped:
        kind = StopServer
    return _made(plan, kind, worker, name, value, gap)


def _made(plan: _Plan, kind: type[Operation], worker: int, scope: str, value: int, gap: int) -> Operation:
    if kind is Acquire:
        after = AFTERS[value]
        plan.due.append(plan.now + after)
        scopes = plan.held.setdefault(worker, [])
        if scope not in scopes:
            scopes.append(scope)
        return Acquire(worker, scope, after=after, gap=gap)
    if kind is Release:
        if scope in plan.held.get(worker, ()):
            plan.held[worker].remove(scope)
        return Release(worker, scope, gap=gap)
    if kind in {Exit, Crash}:
        plan.ended.add(worker)
        plan.held.pop(worker, None)
        return Exit(worker, gap=gap) if kind is Exit else Crash(worker, ("sigkill", "exit")[value % 2], gap=gap)
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
        plan.due.append(plan.now + ticks)
        return PauseServer(ticks, gap=gap)
    plan.is_stopped = kind is StopServer
    return kind(gap=gap)
