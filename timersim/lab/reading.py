"""Reading a record: its world side, arranged so that the oracle can judge by it."""

import math
from collections.abc import Iterator

from timersim.lab.oracle import Absence, Account, Duty, Guard
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Event,
    Instant,
    Life,
    Record,
    Sent,
    ServerCrashed,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Started,
)
from timersim.lab.registrations import registrations
from timersim.lab.wall import WallHand


def read(record: Record) -> Account:
    """Arranges a record for judging."""
    account = Account(record)
    account.stops = list(_stops(record.events))
    account.crashes = [event.at for event in record.events if isinstance(event, ServerCrashed)]
    for position, event in enumerate(record.events):
        match event:
            case Died(_, worker, incarnation, _):
                account.deaths.setdefault((worker, incarnation), event)
            case Attempted(_, int(worker), int(incarnation)):
                account.attempts[worker, incarnation].append(event)
            case ServerPaused(at, until, within):
                end = min([until, *(e.at for e in record.events[position:] if isinstance(e, ServerCrashed))])
                account.pauses.append((at, end))
                if within == "reaping":
                    victim = next((e for e in record.events[position:] if isinstance(e, Attempted)), None)
                    if victim is not None and victim.worker is not None and victim.incarnation is not None:
                        account.caught[victim.worker, victim.incarnation].append((at, end))
                    account.caught_at.append((position, end))
            case Started(_, worker, incarnation, bears) if bears is not None:
                account.pids[worker, incarnation] = account.pid(bears)
    _Register(account).take_all()
    account.duties = list(_duties(account))
    account.registrations = list(registrations(record, account.pid))
    return account


def _duties(account: Account) -> Iterator[Duty]:
    """Yields the reaps that the contract owes within the run."""
    for life in account.lives:
        death = account.deaths.get(life)
        died = death.at if death is not None and death.how != "reaped" else math.inf
        for guard in account.guards.get(life, ()):
            by = account.latest_reap(guard)
            if guard.is_sure and guard.superseded > by and died > by and by <= account.record.end:
                yield Duty(guard, by)


class _Register:
    """Takes the requests in the order in which they count, and finds out for whom each one speaks."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._contract = account.contract
        self._requests = account.record.numbered
        self._wall = WallHand(account.record.events)
        self._holding: dict[tuple[Life, str], list[Guard]] = {}
        self._bearers: dict[Life, Life] = {}
        self._last: dict[Life, int] = {}
        self._sent: dict[int, int] = {}

    def take_all(self) -> None:
        for position, event in enumerate(self._account.record.events):
            match event:
                case Started(_, worker, incarnation):
                    life = worker, incarnation
                    self._bearers[self._account.pid(life)] = life
                case Sent(_, number):
                    self._sent[number] = position
                case Arrived(at, number) if self._counts(self._requests[number]):
                    self._take(self._requests[number], at, position)

    def _counts(self, request: Sent) -> bool:
        """Returns whether a request counts: on a wire with sequences a duplicate doesn't, nor one overtaken."""
        if self._contract.order == "arrival":
            return True
        life = request.worker, request.incarnation
        if request.request <= self._last.get(life, -1):
            return False
        self._last[life] = request.request
        return True

    def _take(self, request: Sent, at: Instant, position: int) -> None:
        """Lets a request supersede what its key held, and hold."""
        account = self._account
        life = request.worker, request.incarnation
        key = (life if self._contract.order == "sequence" else account.pid(life)), request.scope
        for earlier in self._holding.pop(key, ()):
            earlier.superseded = at
            earlier.superseded_by = "released" if request.expiration is None else "re-armed"
        if request.expiration is None:
            return
        registered = min(account.resume(at), account.record.end)
        if self._contract.clock == "wall":
            due, latest = self._wall.crossings(request.expiration, at)
        else:
            due, latest = self._wall.window(request.expiration, (self._sent[request.request], request.at), registered)
        bearers = self._bearers_of(life, at, registered)
        for bearer in bearers:
            guard = Guard(bearer, request.scope, at, due, latest=latest, position=position, is_sure=len(bearers) == 1)
            self._holding.setdefault(key, []).append(guard)
            account.guards[bearer].append(guard)

    def _bearers_of(self, life: Life, at: Instant, registered: Instant) -> list[Life]:
        """Returns for whom a request counts: its sender, or who bears the pid when it is registered."""
        account = self._account
        if self._contract.order == "sequence" or not account.pids:
            return [life]
        found = [self._bearers[account.pid(life)]]
        for event in account.record.of(Started) if registered > at else ():
            other = event.worker, event.incarnation
            if at <= event.at <= registered and account.pid(other) == account.pid(life) and other not in found:
                found.append(other)
        return found


def _stops(events: list[Event]) -> Iterator[Absence]:
    """Yields from when until when the server was stopped, or dead; `inf`: it was not started again."""
    stopped: Instant | None = None
    for event in events:
        match event:
            case ServerStopping(at) | ServerCrashed(at) if stopped is None:
                stopped = at
            case ServerStarted(at) if stopped is not None:
                yield stopped, at
                stopped = None
    if stopped is not None:
        yield stopped, math.inf
