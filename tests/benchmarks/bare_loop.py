"""A simulation of a watchdog and the verdict on it, by hand: the operations that every backend can carry out."""

import math
from collections import defaultdict
from heapq import heappop, heappush
from typing import NamedTuple

from timersim.lab.operations import (
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule

Life = int
"""One life of a worker, numbered."""


class Told(NamedTuple):
    """What happened: of each life its requests, a release without an expiration; who was reaped, and who died, when."""

    workers: list[int]
    requests: dict[Life, list[tuple[int, str, int | None]]]
    reaps: list[tuple[Life, int]]
    deaths: dict[Life, int]
    absences: list[tuple[int, float]]
    end: int


class Loop:
    """A heap of what is due with lazy deletion, and a list of what waits for a server that is away."""

    def __init__(self) -> None:
        self.now = 0
        self.paused_until = 0
        self.is_stopped = False
        self.stops: list[int] = []
        self.lives: dict[int, Life] = {}
        self.workers: list[int] = []
        self.kept: dict[int, list[Operation]] = {}
        self.due: dict[tuple[Life, str], int] = {}
        self.heap: list[tuple[int, Life, str]] = []
        self.waiting: list[tuple[Life, str, int | None]] = []
        self.told = Told(self.workers, defaultdict(list), [], {}, [], 0)

    def advance(self, to: int) -> None:
        """Lets time pass: what stops the server while it is paused does so at the end of its pause, after a pass."""
        if self.paused_until <= to and not self.is_stopped:
            there = max(self.now, self.paused_until)
            self.serve(there, there if self.stops else to)
            self.is_stopped = bool(self.stops)
        self.now = to

    def serve(self, there: int, to: int) -> None:
        """Takes what waits, then reaps who is due."""
        for life, scope, expiration in self.waiting:
            self.register(life, scope, expiration)
        self.waiting.clear()
        while self.heap and self.heap[0][0] <= to:
            expiration, life, scope = heappop(self.heap)
            if self.due.get((life, scope)) == expiration:
                self.end(self.workers[life], life, max(there, expiration), is_reap=True)

    def register(self, life: Life, scope: str, expiration: int | None) -> None:
        """Lets the server know of a request."""
        if life in self.told.deaths:
            return
        if expiration is None:
            self.due.pop((life, scope), None)
        else:
            self.due[life, scope] = expiration
            heappush(self.heap, (expiration, life, scope))

    def request(self, worker: int, scope: str, expiration: int | None) -> None:
        """Sends a request, which arrives at once."""
        life = self.lives[worker]
        self.told.requests[life].append((self.now, scope, expiration))
        if self.is_stopped or self.paused_until > self.now:
            self.waiting.append((life, scope, expiration))
        else:
            self.register(life, scope, expiration)

    def start(self, worker: int) -> None:
        """Starts a worker."""
        self.lives[worker] = len(self.workers)
        self.workers.append(worker)

    def end(self, worker: int, life: Life, at: int, *, is_reap: bool = False) -> None:
        """Ends a worker, if it lives."""
        if life in self.told.deaths:
            return
        self.told.deaths[life] = at
        if is_reap:
            self.told.reaps.append((life, at))
        self.lives.pop(worker, None)
        self.kept.pop(worker, None)

    def stop(self) -> None:
        """Stops the server, at the end of its pause."""
        if not self.stops:
            self.stops.append(max(self.now, self.paused_until))
            self.is_stopped = self.paused_until <= self.now

    def go_on(self) -> None:
        """Starts the server, if it is stopped."""
        while self.stops:
            self.told.absences.append((self.stops.pop(), self.now))
        self.is_stopped = False

    def perform(self, operation: Operation) -> None:
        """Lets an operation happen, or keeps that of a paused worker, or skips it."""
        worker = getattr(operation, "worker", -1)
        kind = type(operation)
        if worker >= 0:
            if kind is Start and worker not in self.lives:
                return self.start(worker)
            if worker not in self.lives:
                return None
            is_killed = isinstance(operation, Crash) and operation.how == "sigkill"
            if worker in self.kept and kind is not Resume and not is_killed:
                return self.kept[worker].append(operation)
        match operation:
            case Acquire(worker, scope, after=after):
                self.request(worker, scope, self.now + after)
            case Release(worker, scope):
                self.request(worker, scope, None)
            case Exit() | Crash():
                self.end(worker, self.lives[worker], self.now)
            case Pause():
                self.kept[worker] = []
            case Resume():
                for each in self.kept.pop(worker, ()):
                    self.perform(each)
            case PauseServer(ticks):
                self.paused_until = max(self.paused_until, self.now + ticks)
                self.told.absences.append((self.now, self.now + ticks))
            case StopServer():
                self.stop()
            case StartServer():
                self.go_on()
        return None


def simulated(schedule: Schedule) -> Told:
    """Runs a schedule."""
    loop = Loop()
    for worker in schedule.running_at_first:
        loop.start(worker)
    for operation in schedule:
        loop.advance(loop.now + operation.gap)
        loop.perform(operation)
    loop.advance(max(loop.now, loop.paused_until))
    loop.advance(max([loop.now, *loop.due.values()]) + 1)
    loop.told.absences.extend((since, math.inf) for since in loop.stops)
    return loop.told._replace(end=loop.now)


def verdict(told: Told) -> list[str]:
    """Returns what is wrong: who was reaped though nothing was due, and who was due and was not reaped."""
    wrong = []
    for life, at in told.reaps:
        if not any(_stands(told, life, number, at) for number, _ in enumerate(told.requests[life])):
            wrong.append(f"{life} must not be reaped at {at}")
    for life, requests in told.requests.items():
        for number, (arrived, _, expiration) in enumerate(requests):
            if expiration is None:
                continue
            owed = _back(told, max(arrived, expiration))
            if owed <= told.end and told.deaths.get(life, math.inf) > owed and _is_last(told, life, number, owed):
                wrong.append(f"{life} must be reaped by {owed}")
    return wrong


def _stands(told: Told, life: Life, number: int, at: int) -> bool:
    """Returns whether a request is an acquire that is due, and that nothing has superseded before."""
    arrived, _, expiration = told.requests[life][number]
    return expiration is not None and arrived <= at and expiration <= at and _is_last(told, life, number, at - 1)


def _is_last(told: Told, life: Life, number: int, at: float) -> bool:
    """Returns whether no request of the same key has come after it by then."""
    scope = told.requests[life][number][1]
    return not any(later == scope and when <= at for when, later, _ in told.requests[life][number + 1 :])


def _back(told: Told, at: float) -> float:
    """Returns when the server is there at the earliest."""
    for since, until in told.absences:
        if since <= at < until:
            return _back(told, until)
    return at
