"""The oracle: when each worker may, must and must not be reaped, worked out from the world side of a run."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from timersim.lab.contract import Contract
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Event,
    Instant,
    Record,
    Sent,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Started,
    numbered,
)

Life = tuple[int, int]
"""A worker and the number of its incarnation."""

Absence = tuple[Instant, Instant]
"""From when until when the server was paused, or stopped."""


@dataclass(slots=True)
class Guard:
    """What one acquire holds: its worker is due at `due`, unless a request superseded it.

    `superseded` is when the next request of the same key arrived, `inf` where none did.
    """

    life: Life
    scope: str
    arrived: Instant
    due: Instant
    superseded: Instant = math.inf
    superseded_by: str = ""


@dataclass(slots=True)
class Duty:
    """A reap that the contract owes: of the guard's worker, at `by` at the latest."""

    guard: Guard
    by: Instant


@dataclass(slots=True)
class Account:
    """The world side of a record, arranged for judging. The server's own records play no part in it."""

    record: Record
    guards: dict[Life, list[Guard]] = field(default_factory=lambda: defaultdict(list))
    deaths: dict[Life, Died] = field(default_factory=dict)
    attempts: dict[Life, list[Attempted]] = field(default_factory=lambda: defaultdict(list))
    pauses: list[Absence] = field(default_factory=list)
    stops: list[Absence] = field(default_factory=list)

    @property
    def contract(self) -> Contract:
        """What the backend promised."""
        return self.record.contract

    @property
    def lives(self) -> list[Life]:
        """Every incarnation of the run, in the order of their beginning."""
        return [(event.worker, event.incarnation) for event in self.record.of(Started)]

    def arrived_guards(self, life: Life, at: Instant) -> list[Guard]:
        """Returns the guards of a life whose acquire had arrived `at` that instant or before."""
        return [guard for guard in self.guards.get(life, ()) if guard.arrived <= at + self.contract.transit]

    def due_guards(self, life: Life, at: Instant) -> list[Guard]:
        """Returns the arrived guards of a life that had come due, superseded or not."""
        return [guard for guard in self.arrived_guards(life, at) if guard.due <= at + self.contract.transit]

    def may_reap(self, life: Life, at: Instant) -> bool:
        """Returns whether a reap then is allowed: some acquire is due, and nothing superseded it before.

        A tie is allowed.
        """
        return any(guard.superseded >= at - self.contract.transit for guard in self.due_guards(life, at))

    def duties(self) -> Iterator[Duty]:
        """Yields the reaps that the contract owes within the run."""
        for life in self.lives:
            death = self.deaths.get(life)
            died = death.at if death is not None and death.how != "reaped" else math.inf
            for guard in self.guards.get(life, ()):
                by = self.latest_reap(guard)
                if guard.superseded > by and died > by and by <= self.record.end:
                    yield Duty(guard, by)

    def latest_reap(self, guard: Guard) -> Instant:
        """Returns when the contract has the guard's worker reaped at the latest; `inf`: it promises nothing."""
        contract = self.contract
        begins = self.resume(max(guard.due, guard.arrived))
        latest = self.resume(begins + contract.reap_within)
        if contract.restart == "forgets" and any(guard.arrived <= begin <= latest for begin, _ in self.stops):
            return math.inf
        for begin, end in self.stops:
            if begins <= end and begin <= latest:
                latest = self.resume(max(latest, end + contract.reap_within))
        for attempt in self.attempts.get(guard.life, ()):
            if attempt.outcome in {"failed", "raised"} and attempt.at <= latest:
                latest = self.resume(latest + contract.retry_within)
        return latest + contract.transit

    def resume(self, at: Instant) -> Instant:
        """Returns the end of the absence that covers `at`, which is `at` itself where none does."""
        for begin, end in sorted(self.pauses + self.stops):
            if begin <= at < end:
                at = end
        return at


def read(record: Record) -> Account:
    """Arranges a record for judging."""
    account = Account(record)
    requests = numbered(record.events)
    holding: dict[tuple[Life, str], Guard] = {}
    for event in record.events:
        match event:
            case Arrived(at, number):
                _register(account, holding, requests[number], at)
            case Died(_, worker, incarnation, _):
                account.deaths.setdefault((worker, incarnation), event)
            case Attempted(_, int(worker), int(incarnation)):
                account.attempts[worker, incarnation].append(event)
            case ServerPaused(at, until):
                account.pauses.append((at, until))
    account.stops = list(_stops(record.events))
    return account


def _register(account: Account, holding: dict[tuple[Life, str], Guard], request: Sent, at: Instant) -> None:
    """Takes a request in the order of arrival: it supersedes what its key held."""
    life = (request.worker, request.incarnation)
    earlier = holding.pop((life, request.scope), None)
    if earlier is not None:
        earlier.superseded = at
        earlier.superseded_by = "released" if request.expiration is None else "re-armed"
    if request.expiration is not None:
        guard = holding[life, request.scope] = Guard(life, request.scope, at, request.expiration)
        account.guards[life].append(guard)


def _stops(events: list[Event]) -> Iterator[Absence]:
    """Yields from when until when the server was stopped; `inf`: it was not started again."""
    stopped: Instant | None = None
    for event in events:
        match event:
            case ServerStopping(at) if stopped is None:
                stopped = at
            case ServerStarted(at) if stopped is not None:
                yield stopped, at
                stopped = None
    if stopped is not None:
        yield stopped, math.inf
