"""Who is reaped, and when: nobody who is healthy, nobody else, nobody twice."""

import math
from collections.abc import Iterator

from timersim.lab.invariants.registry import Breach, Cases, Harm, invariant, made_by
from timersim.lab.operations import Drift, PauseInPass, PauseServer, SlowReap, StepWall, Suspend
from timersim.lab.oracle import Account, Guard
from timersim.lab.record import (
    Attempted,
    Instant,
    Life,
    ServerStarted,
    ServerStopped,
    WallDrifts,
    WallStepped,
)
from timersim.lab.timeline import at_text


@invariant(Harm.KILLS_THE_HEALTHY, is_general=True)
def no_early_reap(account: Account) -> Cases:
    """At a reap, some acquire of the victim has come due."""
    for life, reap in _reaps(account):
        arrived = account.arrived_guards(life, reap.at)
        if not arrived or _meant_for(account, life, reap.at):
            continue
        if account.due_guards(life, reap.at):
            yield None
            continue
        due = min(guard.due for guard in arrived)
        yield Breach(
            reap.at,
            life,
            f"worker {life[0]} was reaped at {at_text(reap.at)}, and is due at {at_text(due)} at the earliest",
            "MUST NOT: nothing was due",
        )


@invariant(Harm.KILLS_THE_HEALTHY, is_general=True)
def release_wins(account: Account) -> Cases:
    """Nobody is reaped for timers that were all released, or re-armed, by requests that arrived before the reap."""
    for life, reap, last in _reaps_of_the_due(account):
        yield None if account.may_reap(life, reap.at) else _superseded(life, reap, last)


@invariant(Harm.KILLS_THE_HEALTHY, situation=made_by(PauseServer, PauseInPass, SlowReap))
def pause_is_not_silence(account: Account) -> Cases:
    """Nobody is reaped for a timer that was released, or re-armed, by a request that arrived in the server's pause."""
    reaped: set[Life] = set()
    for life, reap, last in _reaps_of_the_due(account):
        if any(begin <= last.superseded <= end for begin, end in account.pauses):
            reaped.add(life)
            yield None if account.may_reap(life, reap.at) else _superseded(life, reap, last)
    for guard in account.all_guards:
        was_due = any(begin <= guard.superseded <= end and guard.due <= end for begin, end in account.pauses)
        if was_due and guard.life not in reaped:
            yield None


@invariant(Harm.KILLS_THE_HEALTHY, situation=made_by(StepWall, Suspend, Drift))
def wall_steps_do_not_matter(account: Account) -> Cases:
    """A step of the wall clock moves no reap of a timer that was registered before it."""
    if account.contract.clock == "wall":
        return
    steps = [event for event in account.record.events if isinstance(event, WallStepped | WallDrifts)]
    for guard in account.all_guards if steps else ():
        registered, death = account.resume(guard.arrived), account.deaths.get(guard.life)
        reaped = death.at if death is not None and death.how == "reaped" else None
        by = min(account.latest_reap(guard), guard.superseded, math.inf if reaped is None else reaped)
        step = next((event for event in steps if registered < event.at <= by), None)
        if step is None or not guard.is_sure:
            continue
        is_early = reaped is not None and not account.due_guards(guard.life, reaped)
        is_late = any(duty.guard is guard and (reaped is None or reaped > duty.by) for duty in account.duties)
        if not is_early and not is_late:
            yield None
            continue
        moved = f"was reaped at {at_text(reaped)}" if reaped is not None else f"is alive at {at_text(by)}"
        yield Breach(
            by if reaped is None else reaped,
            guard.life,
            f"worker {guard.life[0]} was due at {at_text(guard.due)}, the wall clock was moved at {at_text(step.at)},"
            f" and it {moved}",
            "MUST NOT: the wall clock moved it",
        )


@invariant(Harm.KILLS_THE_HEALTHY)
def right_set(account: Account) -> Cases:
    """Who is reaped holds a timer: no bystander, not the server, not a pid of 1 or below."""
    for attempt in account.record.of(Attempted):
        if attempt.worker is None or attempt.incarnation is None:
            yield Breach(
                attempt.at,
                None,
                f"{attempt.target} was to be reaped at {at_text(attempt.at)}, and is no worker",
                "MUST NOT: no worker",
            )
            continue
        life = attempt.worker, attempt.incarnation
        if _meant_for(account, life, attempt.at):
            continue
        if attempt.outcome != "reaped" or account.arrived_guards(life, attempt.at):
            yield None
            continue
        yield Breach(
            attempt.at,
            life,
            f"worker {attempt.worker} was reaped at {at_text(attempt.at)}, and never held a timer",
            "MUST NOT: held no timer",
        )


@invariant(Harm.KILLS_THE_HEALTHY)
def right_incarnation(account: Account) -> Cases:
    """No attempt on an incarnation for a request that arrived before it started or, with identity, of another."""
    for life in account.lives if account.pids else ():
        for attempt in account.attempts.get(life, ()):
            former = _meant_for(account, life, attempt.at)
            if former is None:
                yield None
                continue
            yield Breach(
                attempt.at,
                life,
                f"worker {life[0]} was to be reaped at {at_text(attempt.at)}, for a timer of worker"
                f" {former[0]}, which bore its pid before",
                "MUST NOT: the timer is another's",
            )


@invariant(Harm.KILLS_THE_HEALTHY)
def silent_after_stop(account: Account) -> Cases:
    """Nothing is reaped after stop returned."""
    stopped: Instant | None = None
    for event in account.record.events:
        match event:
            case ServerStopped(at):
                stopped = at
                yield None
            case ServerStarted():
                stopped = None
            case Attempted(at, worker, incarnation, target) if stopped is not None:
                life = None if worker is None or incarnation is None else (worker, incarnation)
                yield Breach(
                    at,
                    life,
                    f"{target} was reaped at {at_text(at)}, and stop had returned at {at_text(stopped)}",
                    "MUST NOT: stop had returned",
                )


@invariant(Harm.KILLS_THE_HEALTHY)
def reaped_once(account: Account) -> Cases:
    """One effective reap for one incarnation."""
    for life in account.lives:
        reaps = [attempt for attempt in account.attempts.get(life, ()) if attempt.outcome == "reaped"]
        if len(reaps) > 1 and not account.armed_again(life, reaps[0]):
            again = reaps[1].at
            yield Breach(
                again,
                life,
                f"worker {life[0]} was reaped at {at_text(reaps[0].at)}, and again at {at_text(again)}",
                "MUST NOT: reaped already",
            )
        elif reaps:
            yield None


@invariant(Harm.KILLS_THE_HEALTHY)
def dead_stay_dead(account: Account) -> Cases:
    """No signal is attempted on an incarnation after it was seen gone, and its timers are cleared."""
    for life in account.lives:
        seen: Attempted | None = None
        for attempt in account.attempts.get(life, ()):
            if seen is not None and attempt.outcome != "reaped" and not account.armed_again(life, seen):
                yield Breach(
                    attempt.at,
                    life,
                    f"worker {life[0]} was seen gone at {at_text(seen.at)},"
                    f" and a reap was attempted at {at_text(attempt.at)}",
                    "MUST NOT: was seen gone",
                )
                break
            if seen is None and attempt.outcome in {"reaped", "gone"}:
                seen = attempt
        else:
            if seen is not None:
                yield None


def _meant_for(account: Account, life: Life, at: Instant) -> Life | None:
    """Returns for which former bearer of its pid an attempt on a life was due, that was not due for itself."""
    if account.contract.identity == "pid" or not account.pids or account.may_reap(life, at):
        return None
    return account.due_predecessor(life, at)


def _reaps_of_the_due(account: Account) -> Iterator[tuple[Life, Attempted, Guard]]:
    """Yields the reaps for which an acquire had come due, with the one of these that was superseded last."""
    for life, reap in _reaps(account):
        due = account.due_guards(life, reap.at)
        if due and not _meant_for(account, life, reap.at):
            yield life, reap, max(due, key=lambda guard: guard.superseded)


def _superseded(life: Life, reap: Attempted, last: Guard) -> Breach:
    return Breach(
        reap.at,
        life,
        f"worker {life[0]} was reaped at {at_text(reap.at)}, but had {last.superseded_by} by {at_text(last.superseded)}"
        f" (due {at_text(last.due)})",
        f"MUST NOT: {last.superseded_by} {'before due' if last.superseded < last.due else 'before the reap'}",
    )


def _reaps(account: Account) -> Iterator[tuple[Life, Attempted]]:
    for reap in account.record.reaps:
        if reap.worker is not None and reap.incarnation is not None:
            yield (reap.worker, reap.incarnation), reap
