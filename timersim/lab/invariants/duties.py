"""The reaps that the contract owes: who is hung is reaped in time, whatever else happens."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from timersim.lab.invariants.registry import Breach, Cases, Harm, invariant, made_by
from timersim.lab.operations import (
    CrashServer,
    FailReap,
    Operation,
    RaiseInReap,
    RestartServer,
    SlowReap,
    Stall,
    StartServer,
    StopServer,
)
from timersim.lab.oracle import Account, Duty, Guard
from timersim.lab.record import Attempted, Died, Instant, Meddled, ServerCrashed, ServerFailed, rounded
from timersim.lab.timeline import at_text


@invariant(Harm.SPARES_THE_HUNG, is_general=True)
def reaped_in_time(account: Account) -> Cases:
    """Who is hung is reaped in the time that the contract allows."""
    return owed(account, lambda duty: True)


@invariant(
    Harm.SPARES_THE_HUNG,
    situation=lambda operation, breach: breach.life is not None and _worker(operation) not in {None, breach.life[0]},
)
def reap_spares_the_rest(account: Account) -> Cases:
    """Who is hung is reaped in time, where another one was reaped before."""
    return owed(account, lambda duty: any(is_between(duty, reap.at) for reap in _others(account, duty, "reaped")))


@invariant(Harm.SPARES_THE_HUNG, situation=made_by(FailReap, RaiseInReap, SlowReap, Stall))
def no_head_of_line(account: Account) -> Cases:
    """Who is hung is reaped in time, where another one will not die, takes long to, or is stuck while it sends."""
    requests = account.record.numbered
    stalls = [(requests[e.request].worker, e.at) for e in account.record.of(Meddled) if e.fault == "stalled"]
    slow = [(life[0], begin) for life, absences in account.caught.items() for begin, _ in absences]

    def is_held_up(duty: Duty) -> bool:
        held_up = [at for worker, at in [*stalls, *slow] if worker != duty.guard.life[0]]
        failures = [attempt.at for attempt in _others(account, duty, "failed", "raised")]
        return any(is_between(duty, at) for at in [*held_up, *failures])

    return owed(account, is_held_up)


@invariant(Harm.SPARES_THE_HUNG, situation=made_by(StopServer, StartServer, CrashServer, RestartServer))
def restart_guards(account: Account) -> Cases:
    """After stop and start, and after a restart where the contract promises it, what is held is guarded."""
    return owed(account, lambda duty: any(end <= duty.by for _, end in account.stops))


@invariant(Harm.SPARES_THE_HUNG)
def failed_reap_retried(account: Account) -> Cases:
    """After a reap that failed or raised another comes within `retry_within`, for the same timer never at once."""
    for life in account.lives:
        attempts = account.attempts.get(life, ())
        for attempt, following in pairwise([*attempts, None]):
            if attempt is None or attempt.outcome not in {"failed", "raised"}:
                continue
            if following is not None and following.at <= attempt.at and not _is_anew(account, attempt, following):
                yield Breach(
                    attempt.at,
                    life,
                    f"worker {life[0]}: a reap failed at {at_text(attempt.at)}, and was tried again at once",
                    "MUST NOT be tried again at once",
                )
                break
            by = account.latest_retry(attempt.at)
            if following is not None and following.at <= by:
                yield None
            elif account.stands(life, attempt.at, by):
                yield Breach(
                    by,
                    life,
                    f"worker {life[0]}: a reap failed at {at_text(attempt.at)},"
                    f" and was not tried again by {at_text(by)}",
                    "MUST have been tried again",
                )
                break


def lateness(account: Account) -> Iterator[Instant]:
    """Yields for each owed reap that was made how many ticks it came after its worker was due and the server there."""
    for duty in account.duties:
        reaped = reap_instant(account, duty.guard)
        if reaped is not None:
            yield max(0, rounded(reaped - (duty.by - account.allowance)))


def reap_instant(account: Account, guard: Guard) -> Instant | None:
    """Returns when the guard's worker was reaped, None where it was not."""
    death: Died | None = account.deaths.get(guard.life)
    return death.at if death is not None and death.how == "reaped" else None


def owed(account: Account, counts: Callable[[Duty], bool]) -> Cases:
    """Yields the reaps that the contract owes, of those that count, and which of them did not come in time."""
    for duty in account.duties:
        if not counts(duty):
            continue
        reaped = reap_instant(account, duty.guard)
        if reaped is not None and reaped <= duty.by:
            yield None
        else:
            yield Breach(duty.by, duty.guard.life, _late(account, duty, reaped), "MUST have been reaped by now")


def is_between(duty: Duty, at: Instant) -> bool:
    """Returns whether an instant lies between the arrival of a timer and the latest reap for it."""
    return duty.guard.arrived <= at <= duty.by


def _others(account: Account, duty: Duty, *outcomes: str) -> Iterator[Attempted]:
    """Yields the attempts with these outcomes on other workers."""
    for life, attempts in account.attempts.items():
        if life[0] != duty.guard.life[0]:
            yield from (attempt for attempt in attempts if attempt.outcome in outcomes)


def _worker(operation: Operation) -> int | None:
    return getattr(operation, "worker", None)


def _is_anew(account: Account, attempt: Attempted, following: Attempted) -> bool:
    """Returns whether an attempt is no second one: a timer of the worker arrived in between, or the server crashed."""
    begin, end = account.position(attempt), account.position(following)
    life = attempt.worker, attempt.incarnation
    return any(isinstance(event, ServerCrashed) for event in account.record.events[begin:end]) or any(
        begin < guard.position < end
        for guard in account.guards_of(life)  # type: ignore[arg-type]  # of a worker
    )


def _late(account: Account, duty: Duty, reaped: Instant | None) -> str:
    worker, due = duty.guard.life[0], at_text(duty.guard.due)
    if reaped is None:
        death = account.deaths.get(duty.guard.life)
        seen = account.record.end if death is None else death.at
        why = "".join(f"; the server died at {at_text(f.at)}: {f.reason}" for f in account.record.of(ServerFailed)[:1])
        return f"worker {worker} was due at {due} and is alive at {at_text(seen)}{why}"
    return (
        f"worker {worker} was due at {due}, had to be reaped by {at_text(duty.by)}, and was reaped at {at_text(reaped)}"
    )
