"""Stories: records told by hand, an event a word."""

from collections.abc import Callable
from typing import Self

from timersim.lab.contract import Contract
from timersim.lab.invariants import judge
from timersim.lab.operations import Acquire
from timersim.lab.oracle import Account
from timersim.lab.reading import read
from timersim.lab.record import (
    Answered,
    Attempted,
    Ended,
    Instant,
    Meddled,
    Record,
    Recorder,
    Registered,
    ServerCrashed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Table,
    WallStepped,
)
from timersim.lab.schedule import Schedule

LIFE = (0, 0)
NEXT = (1, 0)
"""The life that bears the pid of LIFE after it."""


class Story(Recorder):
    """A record told by hand; worker 0 lives from the beginning. Requests are numbered from 0 as they are sent."""

    def __init__(self, contract: Contract | None = None) -> None:
        super().__init__(lambda: self._at)
        self._at: Instant = 0
        self._contract = contract or Contract()
        self._table: Table = {}
        self.started(0)

    def at(self, at: Instant) -> Self:
        """Lets what follows happen at an instant."""
        self._at = at
        return self

    # Workers

    def begin(self, *workers: int) -> Self:
        """Starts workers."""
        for worker in workers:
            self.started(worker)
        return self

    def again(self, bears: tuple[int, int] | None = None) -> Self:
        """Starts worker 0 anew, with a pid of its own or that of another life."""
        self.started(0, bears)
        return self

    def reuse(self, worker: int = 1, of: tuple[int, int] = LIFE) -> Self:
        """Starts a worker with the pid that a life bore, which ends now if it has not."""
        if self.alive(of[0]):
            self.died(of[0], "exit")
        self.started(worker, of)
        return self

    def acquire(self, due: Instant, scope: str = "s0", worker: int = 0) -> Self:
        """Has a request for a timer sent, which arrives at once."""
        self.arrived(self.sent(worker, scope, due))
        return self

    def release(self, scope: str = "s0", worker: int = 0) -> Self:
        """Has a release sent, which arrives at once."""
        self.arrived(self.sent(worker, scope, None))
        return self

    def meddled(self, fault: str, until: Instant = 0, worker: int = 0) -> Self:
        """Has a release of a scope that nobody holds sent, which meets with a fault of the wire."""
        return self.did(Meddled, self.sent(worker, "nobody's", None), fault, until)

    def came(self, request: int) -> Self:
        """Has a request arrive."""
        self.arrived(request)
        return self

    def die(self, how: str = "exit", worker: int = 0) -> Self:
        """Has a worker die."""
        self.died(worker, how)
        return self

    # The server

    def attempt(self, outcome: str, worker: int = 0) -> Self:
        """Has a reap of a worker attempted."""
        self.add(Attempted, worker, self.incarnation(worker), f"worker {worker}", outcome)
        if outcome == "reaped" and self.alive(worker):
            self.died(worker, "reaped")
        return self

    def attempt_stranger(self, target: str) -> Self:
        """Has a reap of somebody attempted who is no worker."""
        return self.did(Attempted, None, None, target, "gone")

    def pause(self, until: Instant, within: str = "") -> Self:
        """Pauses the server, where it has come to this point of a pass if it is in one."""
        return self.did(ServerPaused, until, within)

    def stop(self) -> Self:
        """Stops the server."""
        return self.did(ServerStopping).did(ServerStopped)

    def start(self) -> Self:
        """Starts the server."""
        return self.did(ServerStarted)

    def crash(self) -> Self:
        """Kills the server."""
        return self.did(ServerCrashed)

    def step(self, by: Instant) -> Self:
        """Has the wall clock step."""
        return self.did(WallStepped, by)

    def did(self, kind: Callable[..., object], *values: object) -> Self:
        """Adds an event."""
        self.add(kind, *values)  # type: ignore[type-var, arg-type]  # every kind here is one of events
        return self

    # Its table

    def registered(self, *requests: int | None, after: Table, before: Table | None = None, refused: int = 0) -> Self:
        """Has the server register requests, None for a bad message; its table was as it was left, unless stated."""
        self.enter(Registered, requests, refused, self._table if before is None else before, after)
        self._table = after
        return self

    def answered(self, request: int, reason: str = "", *, is_armed: bool) -> Self:
        """Has the server answer a request."""
        self.enter(Answered, request, reason, is_armed)
        return self

    def account(self, end: Instant = 100) -> Account:
        """Ends the story."""
        schedule = Schedule([Acquire(0, "s0", after=5)])
        return read(Record(schedule, "paper", self._contract, [*self.events, Ended(end)], ledger=self.ledger))


def holds(
    *scopes: str, due: Instant = 200, worker: int = 0, incarnation: int = 0
) -> dict[tuple[int, int, str], Instant]:
    """Returns a table with timers of a worker's first life, all due at one instant."""
    return {(worker, 0, scope): due for scope in scopes}


def headlines(story: Story) -> list[str]:
    """Returns what a story breaks, in a line each."""
    return [violation.headline for violation in judge(story.account())[0]]


def verdict(story: Story, name: str, end: Instant = 100) -> tuple[list[str], int]:
    """Returns what a story breaks, in a line each, and how many cases of an invariant it has."""
    violations, exercised = judge(story.account(end))
    return [violation.headline for violation in violations], exercised[name]


def broken(story: Story) -> list[str]:
    """Returns the ids of what a story breaks."""
    return [violation.invariant.id for violation in judge(story.account())[0]]
