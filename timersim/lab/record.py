"""The record of one run, in order: what the world did and what the server did."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from timersim.lab.contract import Contract
from timersim.lab.operations import Operation
from timersim.lab.schedule import Schedule

Instant = float
"""Ticks since the beginning of the run, on the monotonic axis; an int where it is whole."""


Life = tuple[int, int]
"""A worker and the number of its incarnation."""

Table = Mapping[tuple[int, int, str], Instant]
"""The live timers of a server: when each is due, by its worker, the incarnation and the scope."""


@dataclass(slots=True)
class Event:
    """Something that happened `at` an instant."""

    at: Instant


@dataclass(slots=True)
class Started(Event):
    """A worker began to live. `bears` is another life whose pid it was given, None where it has a pid of its own."""

    worker: int
    incarnation: int
    bears: tuple[int, int] | None = None


@dataclass(slots=True)
class Sent(Event):
    """A worker sent a request; `expiration`, in ticks of the wall clock from the beginning, is None for a release."""

    request: int
    worker: int
    incarnation: int
    scope: str
    expiration: Instant | None


@dataclass(slots=True)
class Arrived(Event):
    """A request became readable by the server."""

    request: int


@dataclass(slots=True)
class Meddled(Event):
    """A fault of the wire: what happened to a request on its way, which has its effect at `until`."""

    request: int
    fault: str
    until: Instant


@dataclass(slots=True)
class WallStepped(Event):
    """The wall clock stepped by `by` ticks against the monotonic one."""

    by: Instant


@dataclass(slots=True)
class WallDrifts(Event):
    """From now on the wall clock gains `per_mille` thousandths of a tick in each tick."""

    per_mille: int


@dataclass(slots=True)
class WorkerPaused(Event):
    """A worker was stopped."""

    worker: int


@dataclass(slots=True)
class WorkerResumed(Event):
    """A stopped worker went on."""

    worker: int


@dataclass(slots=True)
class Died(Event):
    """A worker's incarnation ended; `how` is "exit", or how it crashed ("os._exit" for "exit"), or "reaped".

    A worker of a user's own code can also have "raised ValueError", or ended with "status 3" or by another signal, by
    its name; or it lived at the "limit" of its run, which ended it.
    """

    worker: int
    incarnation: int
    how: str


@dataclass(slots=True)
class ServerPaused(Event):
    """The server does nothing until `until`; `within` says where in a pass it was caught, if it was in one."""

    until: Instant
    within: str = ""


@dataclass(slots=True)
class ServerCrashed(Event):
    """The server was killed; it has forgotten its timers."""


@dataclass(slots=True)
class ServerStopping(Event):
    """The server's `stop` was called."""


@dataclass(slots=True)
class ServerStopped(Event):
    """The server's `stop` returned."""


@dataclass(slots=True)
class ServerStarted(Event):
    """The server's `start` was called."""


@dataclass(slots=True)
class ServerFailed(Event):
    """An exception left the server's task, or the task spins; it watches no more."""

    reason: str


@dataclass(slots=True)
class Attempted(Event):
    """The server attempted a reap. `worker` is None where the target is no worker of the run.

    `outcome` is "reaped" (the kernel took the signal), "gone" (there is no such process any more), "failed"
    or "raised".
    """

    worker: int | None
    incarnation: int | None
    target: str
    outcome: str


@dataclass(slots=True)
class Skipped(Event):
    """An operation could not happen: its worker was dead, or alive already, or hangs in its exit."""

    operation: Operation


@dataclass(slots=True)
class Left(Event):
    """Something outlived the run."""

    what: str


@dataclass(slots=True)
class Ended(Event):
    """The run was over; what is recorded after it happened while the world was closed."""


@dataclass(slots=True)
class Entry:
    """What was seen of a server's table `at` an instant, after so many events of the record."""

    at: Instant
    position: int


@dataclass(slots=True)
class Registered(Entry):
    """The server registered what it had taken: `requests` by number, None for a message that is no request.

    `before` and `after` are its table; `refused` is how many messages it turned down, with a reason.
    """

    requests: tuple[int | None, ...]
    refused: int
    before: Table
    after: Table


@dataclass(slots=True)
class Answered(Entry):
    """The server answered a request, "" for one that it registered; its table held the timer then, or did not."""

    request: int
    reason: str
    is_armed: bool


_E = TypeVar("_E", bound=Event)


@dataclass
class Record:
    """What happened in one run of `schedule` on a backend that claims `contract`, and that `backend_spec` rebuilds.

    `events` are what the world and the server did; the `ledger` is what was seen of the server's table meanwhile, where
    it has one to look at.
    """

    schedule: Schedule
    backend: str
    contract: Contract
    events: list[Event]
    backend_spec: Mapping[str, Any] | None = field(default=None, kw_only=True)
    ledger: list[Entry] = field(default_factory=list, kw_only=True)

    def of(self, kind: type[_E]) -> list[_E]:
        """Returns the events of one kind, in order."""
        return list(self._by_kind[kind])

    @cached_property
    def _by_kind(self) -> defaultdict[type[Event], list[Any]]:
        """The events of each kind, and of what it is a kind of."""
        kinds: defaultdict[type[Event], list[Any]] = defaultdict(list)
        for event in self.events:
            for kind in type(event).__mro__[:-1]:
                kinds[kind].append(event)
        return kinds

    @cached_property
    def reaps(self) -> list[Attempted]:
        """The attempts that ended a worker."""
        return [attempt for attempt in self.of(Attempted) if attempt.outcome == "reaped"]

    @property
    def deaths(self) -> list[Died]:
        """The ends of workers, reaped or not."""
        return self.of(Died)

    @property
    def requests(self) -> list[Sent]:
        """What the workers sent."""
        return self.of(Sent)

    @cached_property
    def numbered(self) -> dict[int, Sent]:
        """What the workers sent, by the number of the request."""
        return {request.request: request for request in self.requests}

    @property
    def end(self) -> Instant:
        """When the run was over."""
        return self.of(Ended)[-1].at

    @cached_property
    def hash(self) -> str:
        """What tells this run from any other: 16 hexadecimal digits, the same in every process."""
        return hashlib.sha256("\n".join(map(repr, self.events)).encode()).hexdigest()[:16]


def rounded(at: Instant) -> Instant:
    """Returns an instant to a thousand-millionth of a tick, so that sums of the same are the same."""
    return at if isinstance(at, int) or math.isinf(at) else round(at, 9)


class Recorder:
    """Writes a record while a world runs, and knows from it who lives."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        self.events: list[Event] = []
        self.ledger: list[Entry] = []
        self.now = now
        self._incarnations: dict[int, int] = {}
        self._alive: dict[int, bool] = {}
        self._paused: set[int] = set()
        self._requests = 0

    def alive(self, worker: int) -> bool:
        """Returns whether the worker lives; a paused one does."""
        return self._alive.get(worker, False)

    def paused(self, worker: int) -> bool:
        """Returns whether the worker is stopped."""
        return worker in self._paused

    def incarnation(self, worker: int) -> int:
        """Returns the number of the worker's latest life, from 0; -1 where it has not lived."""
        return self._incarnations.get(worker, -1)

    def of_this_pass(self) -> Iterator[Event]:
        """Yields what was recorded at this instant, or since the pause of the server began that ends now."""
        now = self.now()
        since = min([now, *(e.at for e in self.events if isinstance(e, ServerPaused) and e.until >= now)])
        return (event for event in self.events if event.at >= since)

    def started(self, worker: int, bears: tuple[int, int] | None = None) -> None:
        self._incarnations[worker] = incarnation = self._incarnations.get(worker, -1) + 1
        self._alive[worker] = True
        self.events.append(Started(self.now(), worker, incarnation, bears))

    def sent(self, worker: int, scope: str, expiration: Instant | None) -> int:
        """Records a request and returns its number."""
        request = self._requests
        self._requests += 1
        self.events.append(Sent(self.now(), request, worker, self._incarnations[worker], scope, expiration))
        return request

    def arrived(self, request: int) -> None:
        self.events.append(Arrived(self.now(), request))

    def worker_paused(self, worker: int) -> None:
        self._paused.add(worker)
        self.events.append(WorkerPaused(self.now(), worker))

    def worker_resumed(self, worker: int) -> None:
        self._paused.discard(worker)
        self.events.append(WorkerResumed(self.now(), worker))

    def died(self, worker: int, how: str) -> None:
        self._alive[worker] = False
        self._paused.discard(worker)
        self.events.append(Died(self.now(), worker, self._incarnations[worker], how))

    def crashed(self, worker: int, how: str) -> None:
        """Records the death of a worker that crashed, by what its `Crash` says."""
        self.died(worker, "os._exit" if how == "exit" else how)

    def add(self, kind: type[_E], *values: object) -> None:
        """Records an event that changes nobody's life."""
        self.events.append(kind(self.now(), *values))

    def enter(self, kind: type[Entry], *values: object) -> None:
        """Enters into the ledger what was seen of the server's table."""
        self.ledger.append(kind(self.now(), len(self.events), *values))
