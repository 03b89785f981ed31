"""The oracle: when each worker may, must and must not be reaped, worked out from the world side of a run."""

import math
from collections import defaultdict
from dataclasses import dataclass, field

from timersim.lab.contract import Contract
from timersim.lab.record import (
    Attempted,
    Died,
    Event,
    Instant,
    Life,
    Record,
    Started,
    rounded,
)
from timersim.lab.registrations import Registration

Absence = tuple[Instant, Instant]
"""From when until when the server was paused, or stopped."""


@dataclass(slots=True)
class Guard:
    """What one acquire holds: its worker is due from `due` on, at the `latest` then, unless a request superseded it.

    The two differ where the wall clock stepped while the request was under way. `superseded` is when the next request
    of the same key arrived, `inf` where none did; `position` is that of its arrival in the record. It `is_sure` unless
    the pid had two bearers while the request could be registered.
    """

    life: Life
    scope: str
    arrived: Instant
    due: Instant
    superseded: Instant = math.inf
    superseded_by: str = ""
    latest: Instant = -math.inf
    position: int = field(default=-1, compare=False)
    is_sure: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        self.latest = max(self.latest, self.due)


@dataclass(slots=True)
class Duty:
    """A reap that the contract owes: of the guard's worker, at `by` at the latest."""

    guard: Guard
    by: Instant


@dataclass(slots=True)
class Account:
    """The world side of a record, arranged for judging: the server's own records play no part in who must be reaped.

    `duties` are the reaps that the contract owes within the run, `registrations` what the server did to its table.
    """

    record: Record
    guards: dict[Life, list[Guard]] = field(default_factory=lambda: defaultdict(list))
    deaths: dict[Life, Died] = field(default_factory=dict)
    attempts: dict[Life, list[Attempted]] = field(default_factory=lambda: defaultdict(list))
    pauses: list[Absence] = field(default_factory=list)
    stops: list[Absence] = field(default_factory=list)
    crashes: list[Instant] = field(default_factory=list)
    caught: dict[Life, list[Absence]] = field(default_factory=lambda: defaultdict(list))
    caught_at: list[tuple[int, Instant]] = field(default_factory=list)
    pids: dict[Life, Life] = field(default_factory=dict)
    duties: list[Duty] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)

    @property
    def contract(self) -> Contract:
        """What the backend promised."""
        return self.record.contract

    @property
    def allowance(self) -> Instant:
        """How late a reap may be observed of which the contract says `reap_within`: both ends may be imprecise."""
        return self.contract.reap_within + 2 * self.contract.transit

    @property
    def lives(self) -> list[Life]:
        """Every incarnation of the run, in the order of their beginning."""
        return [(event.worker, event.incarnation) for event in self.record.of(Started)]

    @property
    def all_guards(self) -> list[Guard]:
        """The guards of every life."""
        return [guard for guards in self.guards.values() for guard in guards]

    def arrived_guards(self, life: Life, at: Instant) -> list[Guard]:
        """Returns the guards of a life whose acquire had arrived `at` that instant or before."""
        return [guard for guard in self.guards_of(life) if guard.arrived <= at + self.contract.transit]

    def guards_of(self, life: Life) -> list[Guard]:
        """Returns the guards of a life; where the contract knows only pids, those of whoever bore the same one."""
        if self.contract.identity == "pid" and self.pids:
            return [g for other, guards in self.guards.items() if self.pid(other) == self.pid(life) for g in guards]
        return self.guards.get(life, [])

    def pid(self, life: Life) -> Life:
        """Returns the first life that bore the pid of `life`, which stands for that pid."""
        return self.pids.get(life, life)

    def has_died(self, life: Life, at: Instant) -> bool:
        """Returns whether a life had ended then, or another that bore the same pid."""
        dead = self.deaths.items()
        return any(death.at <= at and self.pid(other) == self.pid(life) for other, death in dead)

    def due_predecessor(self, life: Life, at: Instant) -> Life | None:
        """Returns a life that bore the same pid earlier, and was due then and not superseded before; None without."""
        for other, guards in self.guards.items() if self.pids else ():
            is_another = other != life and self.pid(other) == self.pid(life)
            if is_another and any(guard.due <= at <= guard.superseded for guard in guards):
                return other
        return None

    def due_guards(self, life: Life, at: Instant) -> list[Guard]:
        """Returns the arrived guards of a life that had come due, superseded or not."""
        return [guard for guard in self.arrived_guards(life, at) if guard.due <= at + self.contract.transit]

    def may_reap(self, life: Life, at: Instant) -> bool:
        """Returns whether a reap then is allowed: some acquire is due, and nothing superseded it before.

        A tie is allowed. A server that was caught as it was about to reap that life decided before.
        """
        decided = [at, *(begin for begin, end in self.caught.get(life, ()) if begin <= at <= self.resume(end))]
        return any(
            guard.superseded >= instant - self.contract.transit
            for instant in decided
            for guard in self.due_guards(life, instant)
        )

    def armed_again(self, life: Life, since: Event) -> bool:
        """Returns whether a pid was armed again after that event, by a server that can't tell for which life."""
        if self.contract.identity != "pid":
            return False
        position = self.position(since)
        for guard in self.guards_of(life):
            waited = any(
                begins < guard.position and guard.arrived <= since.at <= self.resume(end)
                for begins, end in self.caught_at
            )
            if guard.position > position or waited:
                return True
        return False

    def position(self, event: Event) -> int:
        """Returns where an event stands in the record."""
        return next(i for i, each in enumerate(self.record.events) if each is event)

    def latest_reap(self, guard: Guard) -> Instant:
        """Returns when the contract has the guard's worker reaped at the latest; `inf`: it promises nothing."""
        contract = self.contract
        begins = self.resume(max(guard.latest, guard.arrived))
        latest = self.resume(rounded(begins + contract.reap_within))
        for begin, end in self.stops:
            if begins <= end and begin - contract.transit <= latest:
                latest = self.resume(max(latest, end + contract.reap_within))
        for attempt in self._attempts_on(guard.life):
            if attempt.outcome in {"failed", "raised"} and attempt.at <= latest:
                latest = self.resume(latest + contract.retry_within)
        losses = [begin for begin, _ in self.stops] if contract.restart == "forgets" else self.crashes
        if any(guard.arrived <= loss <= latest for loss in losses):
            return math.inf
        return rounded(latest + 2 * contract.transit)

    def latest_retry(self, failed: Instant) -> Instant:
        """Returns when the contract has a reap that failed at that instant tried again at the latest."""
        return rounded(self.resume(self.resume(failed) + self.contract.retry_within) + self.contract.transit)

    def stands(self, life: Life, since: Instant, until: Instant) -> bool:
        """Returns whether a life stayed alive, and due for a timer as it was then, until that instant of the run."""
        death = self.deaths.get(life)
        if until > self.record.end or (death is not None and death.at <= until):
            return False
        return any(
            guard.is_sure
            and guard.arrived <= since
            and guard.latest <= since
            and guard.superseded > until
            and not any(guard.arrived <= crash <= until for crash in self.crashes)
            for guard in self.guards.get(life, ())
        )

    def resume(self, at: Instant) -> Instant:
        """Returns the end of the absence that covers `at`, which is `at` itself where none does.

        One that begins so little later as instants are imprecise may have begun before.
        """
        for begin, end in sorted(self.pauses + self.stops):
            if begin - self.contract.transit <= at < end:
                at = end
        return at

    def _attempts_on(self, life: Life) -> list[Attempted]:
        """Returns the attempts on a life; where the contract knows only pids, those on whoever bore the same one."""
        if self.contract.identity == "pid" and self.pids:
            return [a for other, made in self.attempts.items() if self.pid(other) == self.pid(life) for a in made]
        return self.attempts.get(life, [])
