"""Invariants: named claims about every trace, each with what the world says against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from timersim.lab.case import how_to_replay, to_paste
from timersim.lab.layout import plain
from timersim.lab.oracle import Account, Duty, Guard, Life
from timersim.lab.record import Attempted, Died, Instant, Left, Record, ServerFailed, ServerStarted, ServerStopped
from timersim.lab.timeline import at_text, render


class Harm(IntEnum):
    """What a broken invariant does to people, worst first."""

    KILLS_THE_HEALTHY = 0
    SPARES_THE_HUNG = 1
    LEAVES_THINGS_BEHIND = 2


@dataclass(slots=True)
class Breach:
    """One case in which an invariant is broken: when, by what it did to which life, in a sentence."""

    at: Instant
    life: Life | None
    sentence: str
    rule: str


Cases = Iterator[Breach | None]
"""The cases that an invariant speaks about, None where it held."""


class InvariantViolation(AssertionError):
    """An invariant that a trace breaks; one subclass an invariant. Its text is the whole failing test case."""

    invariant: "Invariant"

    def __init__(self, record: Record, breach: Breach) -> None:
        super().__init__(record, breach)
        self.record = record
        self.breach = breach
        self.replay = f"@example({record.schedule!r})"

    @property
    def headline(self) -> str:
        """The invariant and what broke it, in one line."""
        return f"{self.invariant.id}: {self.breach.sentence}"

    @property
    def timeline(self) -> str:
        """What happened, as lanes of text, with the rule where it was broken."""
        return render(self.record, self.breach.at, self.breach.rule, self.breach.life)

    def __str__(self) -> str:
        schedule = plain(to_paste(self.record.schedule, f"  on {self.record.backend}"))
        replay = plain(how_to_replay(self.replay, self.record.schedule))
        return f"{self.headline}\n{schedule}\n\n{self.timeline}\n{replay}"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A claim about every trace: `judge` yields its cases, `violation` is the exception of its own."""

    id: str
    statement: str
    harm: Harm
    judge: Callable[[Account], Cases]
    violation: type[InvariantViolation]


INVARIANTS: dict[str, Invariant] = {}
"""Every invariant by its id, worst harm first."""


def invariant(harm: Harm) -> Callable[[Callable[[Account], Cases]], Callable[[Account], Cases]]:
    """Registers a function as the invariant of its name, with an exception class of its own."""

    def register(judge: Callable[[Account], Cases]) -> Callable[[Account], Cases]:
        statement = (judge.__doc__ or "").strip()
        words = judge.__name__.split("_")
        name = "".join(map(str.capitalize, words))
        attributes = {"__doc__": statement, "__module__": __name__}
        violation: type[InvariantViolation] = type(name, (InvariantViolation,), attributes)
        globals()[name] = violation
        entry = Invariant("-".join(words), statement, harm, judge, violation)
        violation.invariant = entry
        INVARIANTS[entry.id] = entry
        return judge

    return register


@invariant(Harm.KILLS_THE_HEALTHY)
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


@invariant(Harm.KILLS_THE_HEALTHY)
def release_wins(account: Account) -> Cases:
    """At a reap for which acquires had come due, not all had been superseded by a request that arrived before."""
    for life, reap in _reaps(account):
        due = account.due_guards(life, reap.at)
        if not due or _meant_for(account, life, reap.at):
            continue
        if account.may_reap(life, reap.at):
            yield None
            continue
        last = max(due, key=lambda guard: guard.superseded)
        yield Breach(
            reap.at,
            life,
            f"worker {life[0]} {last.superseded_by} at {at_text(last.superseded)}, was due at {at_text(last.due)},"
            f" and was reaped at {at_text(reap.at)}",
            f"MUST NOT: {last.superseded_by} {'before due' if last.superseded < last.due else 'before the reap'}",
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


@invariant(Harm.SPARES_THE_HUNG)
def reaped_in_time(account: Account) -> Cases:
    """Who is hung is reaped in the time that the contract allows."""
    for duty in account.duties():
        reaped = reap_instant(account, duty.guard)
        if reaped is not None and reaped <= duty.by:
            yield None
        else:
            yield Breach(duty.by, duty.guard.life, _late(account, duty, reaped), "MUST have been reaped by now")


@invariant(Harm.SPARES_THE_HUNG)
def failed_reap_retried(account: Account) -> Cases:
    """After a reap that failed or raised another comes within `retry_within`, for the same timer never at once."""
    for life in account.lives:
        attempts = account.attempts.get(life, ())
        for attempt, following in pairwise([*attempts, None]):
            if attempt is None or attempt.outcome not in {"failed", "raised"}:
                continue
            if following is not None and following.at <= attempt.at and not _armed_between(account, attempt, following):
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


@invariant(Harm.LEAVES_THINGS_BEHIND)
def nothing_left(account: Account) -> Cases:
    """No zombie, orphan, thread, descriptor, FIFO or table entry outlives the run."""
    left = account.record.of(Left)
    if not left:
        yield None
    for event in left:
        yield Breach(event.at, None, f"{event.what} outlived the run", "MUST NOT be left")


def judge(account: Account) -> tuple[list[InvariantViolation], dict[str, int]]:
    """Returns the first violation of each broken invariant, worst first, and how many cases each one had."""
    violations: list[InvariantViolation] = []
    exercised: dict[str, int] = {}
    for entry in INVARIANTS.values():
        cases = list(entry.judge(account))
        exercised[entry.id] = len(cases)
        breaches = [case for case in cases if case is not None]
        if breaches:
            violations.append(entry.violation(account.record, breaches[0]))
    return violations, exercised


def lateness(account: Account) -> Iterator[Instant]:
    """Yields for each owed reap that was made how many ticks it came after its worker was due and the server there."""
    for duty in account.duties():
        reaped = reap_instant(account, duty.guard)
        if reaped is not None:
            yield max(0, reaped - (duty.by - account.contract.reap_within))


def reap_instant(account: Account, guard: Guard) -> Instant | None:
    """Returns when the guard's worker was reaped, None where it was not."""
    death: Died | None = account.deaths.get(guard.life)
    return death.at if death is not None and death.how == "reaped" else None


def _meant_for(account: Account, life: Life, at: Instant) -> Life | None:
    """Returns for which former bearer of its pid an attempt on a life was due, that was not due for itself."""
    if account.contract.identity == "pid" or not account.pids or account.may_reap(life, at):
        return None
    return account.due_predecessor(life, at)


def _armed_between(account: Account, attempt: Attempted, following: Attempted) -> bool:
    """Returns whether a timer of the same worker arrived between two attempts on it."""
    begin, end = account.position(attempt), account.position(following)
    life = attempt.worker, attempt.incarnation
    return any(begin < guard.position < end for guard in account.guards_of(life))  # type: ignore[arg-type]  # of a worker


def _reaps(account: Account) -> Iterator[tuple[Life, Attempted]]:
    for reap in account.record.reaps:
        if reap.worker is not None and reap.incarnation is not None:
            yield (reap.worker, reap.incarnation), reap


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
