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
    Life,
    Record,
    Sent,
    ServerCrashed,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Started,
    rounded,
)
from timersim.lab.registrations import Registration, registrations
from timersim.lab.wall import WallHand

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
