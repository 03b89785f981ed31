"""Goals: situations that a suite must have reached at least once; an unreached one means a vacuous pass."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from timersim.lab.contract import Contract
from timersim.lab.operations import (
    Acquire,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Exit,
    FailReap,
    Flood,
    Operation,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Reuse,
    Stall,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
)
from timersim.lab.oracle import Account
from timersim.lab.record import Arrived, Died, Instant, Meddled, Sent, Started, WallStepped

BACKLOG = 8
"""Requests that wait at once: more than a careless server takes in a pass."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A situation: whether a run `reached` it, and the operations of which a schedule needs at least one for it."""

    reached: Callable[[Account], bool]
    needs: tuple[type[Operation], ...]
    needs_lock: bool = False

    def is_reachable(self, operations: Collection[type[Operation]], contract: Contract) -> bool:
        """Returns whether a search comes to it that draws these operations, on the wire of that contract."""
        has_lock = contract.order == "arrival"
        return any(kind in operations for kind in self.needs) and (has_lock or not self.needs_lock)


def reached(account: Account) -> list[str]:
    """Returns the names of the goals that a run reached."""
    return [name for name, goal in GOALS.items() if goal.reached(account)]


def _released_before_due(account: Account) -> bool:
    return any(g.superseded < g.due and g.superseded_by == "released" for g in account.all_guards)


def _release_in_flight(account: Account) -> bool:
    requests = account.record.numbered
    for request, arrived in _arrivals(account):
        release = requests[request]
        if release.expiration is None and release.at < arrived:
            life = release.worker, release.incarnation
            guards = [guard for guard in account.guards.get(life, ()) if guard.scope == release.scope]
            if any(g.arrived <= release.at < g.due <= arrived <= g.superseded for g in guards):
                return True
    return False


def _superseded_at_the_expiration(account: Account) -> bool:
    return any(g.superseded == g.due for g in account.all_guards)


def _released_and_re_armed_at_the_expiration(account: Account) -> bool:
    guards = account.all_guards
    due = {(g.life, g.scope, g.due) for g in guards if g.superseded == g.due and g.superseded_by == "released"}
    return any((g.life, g.scope, g.arrived) in due for g in guards)


def _re_armed(account: Account) -> bool:
    return any(g.superseded_by == "re-armed" for g in account.all_guards)


def _due_on_arrival(account: Account) -> bool:
    return any(g.due == g.arrived for g in account.all_guards)


def _two_scopes_due_at_once(account: Account) -> bool:
    standing = [(g.life, g.due) for g in account.all_guards if g.superseded > g.due]
    return len(set(standing)) < len(standing)


def _several_workers_due_at_once(account: Account) -> bool:
    standing = {(g.due, g.life) for g in account.all_guards if g.superseded > g.due}
    return len({due for due, _ in standing}) < len(standing)


def _backlog(account: Account) -> bool:
    arrivals = [at for _, at in _arrivals(account)]
    absences = account.pauses + account.stops
    return any(sum(begin <= at <= end for at in arrivals) > BACKLOG for begin, end in absences)


def _reaped_after_a_failure(account: Account) -> bool:
    for attempts in account.attempts.values():
        failed = [attempt.at for attempt in attempts if attempt.outcome in {"failed", "raised"}]
        if any(attempt.outcome == "reaped" and failed and failed[0] < attempt.at for attempt in attempts):
            return True
    return False


def _dead_while_armed(account: Account) -> bool:
    return any(_is_armed(account, death, death.at) for death in account.deaths.values() if death.how != "reaped")


def _dead_before_the_flush(account: Account) -> bool:
    return bool(_lost_in_a_crash(account, "lost"))


def _dead_with_the_lock(account: Account) -> bool:
    return bool(_lost_in_a_crash(account, "lock held"))


def _reused_while_live(account: Account) -> bool:
    for event in account.record.of(Started):
        former = None if event.bears is None else account.deaths.get(event.bears)
        if former is not None and former.how != "reaped" and _is_armed(account, former, event.at):
            return True
    return False


def _stepped_across_an_expiration(account: Account) -> bool:
    return any(
        guard.arrived <= step.at <= guard.superseded
        and min(step.at, step.at + step.by) < guard.due <= max(step.at, step.at + step.by)
        for step in account.record.of(WallStepped)
        for guard in account.all_guards
    )


def _stepped_in_flight(account: Account) -> bool:
    steps = [account.position(step) for step in account.record.of(WallStepped)]
    sent = {e.request: i for i, e in enumerate(account.record.events) if isinstance(e, Sent)}
    arrived = {e.request: i for i, e in enumerate(account.record.events) if isinstance(e, Arrived)}
    return any(sent[request] < step < position for request, position in arrived.items() for step in steps)


def _paused_across_an_expiration(account: Account) -> bool:
    return any(begin < g.due < end <= g.superseded for g in account.all_guards for begin, end in account.pauses)


def _stopped_across_an_expiration(account: Account) -> bool:
    return any(begin < g.due < min(end, g.superseded) for g in account.all_guards for begin, end in account.stops)


def _restarted_with_live_timers(account: Account) -> bool:
    ends = account.record.end
    return any(
        g.arrived < begin < g.due and end <= min(g.superseded, ends) and not account.has_died(g.life, begin)
        for g in account.all_guards
        for begin, end in account.stops
    )


_ANY = (Acquire,)
_MOVED = (StepWall, Suspend)

GOALS: dict[str, Goal] = {
    "a release before the expiration": Goal(_released_before_due, (Release,)),
    "a release in flight at the expiration": Goal(_release_in_flight, (Delay, Reorder, Stall)),
    "a release or re-arm at the expiration": Goal(_superseded_at_the_expiration, _ANY),
    "release, re-arm and expiration at one instant": Goal(_released_and_re_armed_at_the_expiration, (Release,)),
    "a timer re-armed": Goal(_re_armed, _ANY),
    "an expiration equal to now": Goal(_due_on_arrival, _ANY),
    "two scopes due in one pass": Goal(_two_scopes_due_at_once, _ANY),
    "several workers due at once": Goal(_several_workers_due_at_once, _ANY),
    "a backlog larger than a batch": Goal(_backlog, (Flood,)),
    "a reap that fails and then succeeds": Goal(_reaped_after_a_failure, (FailReap, RaiseInReap)),
    "a crash while armed": Goal(_dead_while_armed, (Crash, Exit)),
    "a crash before the flush": Goal(_dead_before_the_flush, (CrashSending,)),
    "a crash with the lock held": Goal(_dead_with_the_lock, (CrashSending,), needs_lock=True),
    "a reused pid while its old timer is live": Goal(_reused_while_live, (Reuse,)),
    "a wall step across an expiration": Goal(_stepped_across_an_expiration, _MOVED),
    "a wall step while a request is in flight": Goal(_stepped_in_flight, _MOVED),
    "a server paused across an expiration": Goal(_paused_across_an_expiration, (PauseServer,)),
    "a server stopped across an expiration": Goal(_stopped_across_an_expiration, (StopServer,)),
    "a restart with live timers": Goal(_restarted_with_live_timers, (StartServer, CrashServer, RestartServer)),
}
"""Every goal by its name."""


def _arrivals(account: Account) -> Iterator[tuple[int, Instant]]:
    return ((event.request, event.at) for event in account.record.of(Arrived))


def _is_armed(account: Account, death: Died, at: Instant) -> bool:
    """Returns whether who died held a timer then, and holds one still."""
    guards = account.guards.get((death.worker, death.incarnation), ())
    return any(g.arrived <= death.at <= at < min(g.due, g.superseded) for g in guards)


def _lost_in_a_crash(account: Account, fault: str) -> list[Meddled]:
    """Returns the requests to which this happened at the instant at which their worker was killed."""
    requests, deaths = account.record.numbered, account.deaths
    found = []
    for event in account.record.of(Meddled):
        request = requests[event.request]
        death = deaths.get((request.worker, request.incarnation))
        if event.fault == fault and death is not None and (death.at, death.how) == (event.at, "sigkill"):
            found.append(event)
    return found
