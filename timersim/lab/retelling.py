"""Retelling: the schedule that has the world of a record happen again, whatever the server does about it."""

from collections.abc import Iterator

from timersim.lab.operations import (
    CRASHES,
    Acquire,
    Crash,
    Delay,
    Drop,
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
from timersim.lab.record import (
    Arrived,
    Died,
    Event,
    Instant,
    Record,
    Sent,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Started,
    WorkerPaused,
    WorkerResumed,
)
from timersim.lab.schedule import Schedule


def retold(record: Record) -> Schedule:
    """Returns the schedule that has the world of a record happen again, whatever the server does about it.

    What was refused is dropped there, and what arrived later than it was sent is delayed. A server that is told to stop
    while it is paused stops at the end of the pause, where what goes first, the stop or a reap, is a tie.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import run
    >>> retold(run(Schedule([Acquire(0, "load", after=5), Release(0, "load", gap=1)]), SimulatedBackend()))
    Schedule([Start(0), Acquire(0, "load", after=5), Release(0, "load", gap=1)])
    """
    arrivals = {event.request: event.at for event in record.of(Arrived)}
    operations: list[Operation] = []
    now: Instant = 0
    for event in record.events[1:]:  # without the start of the server with which each begins
        for operation in _operations(event, arrivals):
            operations.append(operation.but(gap=int(event.at - now)))
            now = event.at
    return Schedule(operations)


def _operations(event: Event, arrivals: dict[int, Instant]) -> Iterator[Operation]:
    match event:
        case Sent(at, request, worker, _, scope, expiration):
            if request not in arrivals:
                yield Drop(worker)
            elif arrivals[request] > at:
                yield Delay(worker, int(arrivals[request] - at))
            yield Release(worker, scope) if expiration is None else Acquire(worker, scope, after=int(expiration - at))
        case Started(_, worker):
            yield Start(worker)
        case Died(_, worker, _, "exit"):
            yield Exit(worker)
        case Died(_, worker, _, how) if how != "reaped":
            yield Crash(worker, how if how in CRASHES else "exit")
        case WorkerPaused(_, worker):
            yield Pause(worker)
        case WorkerResumed(_, worker):
            yield Resume(worker)
        case ServerPaused(at, until):
            yield PauseServer(int(until - at))
        case ServerStopping():
            yield StopServer()
        case ServerStarted():
            yield StartServer()
