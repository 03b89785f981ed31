"""The experiment: runs one schedule on one backend, records it and judges it."""

import math
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from timersim.lab.contract import Contract
from timersim.lab.operations import (
    FLOOD_AFTER,
    SENDING,
    Acquire,
    Corrupt,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Drop,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Operation,
    Pause,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Resume,
    Reuse,
    SendingPoint,
    SlowReap,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
    Tie,
)
from timersim.lab.record import (
    Arrived,
    Attempted,
    Ended,
    Event,
    Instant,
    Meddled,
    Record,
    Recorder,
    Sent,
    ServerPaused,
    ServerStarted,
    ServerStopping,
    Skipped,
)
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.lab.wall import WallHand


class World(ABC):
    """One run, as the experiment drives it: each method makes one thing happen, and records it.

    The experiment asks only what can be: a worker that lives to acquire, one that is dead to start.
    """

    recorder: Recorder

    @property
    def imprecision(self) -> Instant:
        """By how many ticks an instant of this run may be wrong; 0 in virtual time."""
        return 0

    def returned(self, worker: int) -> None:  # noqa: B027 - the experiment's to fill
        """Is called when a worker's call has returned later than it was made; the experiment puts its own here."""

    def is_calling(self, worker: int) -> bool:
        """Returns whether the worker is in a call that has not returned: what it is to do waits until it has."""
        return False

    def awaits(self) -> Instant:
        """Returns until when the run is to go on for what workers do of their own accord, after the last operation."""
        return 0

    @abstractmethod
    def advance(self, ticks: Instant) -> None:
        """Lets `ticks` pass."""

    @abstractmethod
    def start(self, worker: int) -> None:
        """Starts a new incarnation."""

    @abstractmethod
    def acquire(self, worker: int, scope: str, after: int) -> None:
        """Has the worker acquire a timer that is due `after` ticks from now."""

    @abstractmethod
    def release(self, worker: int, scope: str) -> None:
        """Has the worker release a timer."""

    @abstractmethod
    def exit(self, worker: int) -> None:
        """Has the worker end as it should."""

    @abstractmethod
    def crash(self, worker: int, how: str) -> None:
        """Has the worker die at once."""

    @abstractmethod
    def pause(self, worker: int) -> None:
        """Stops the worker."""

    @abstractmethod
    def resume(self, worker: int) -> None:
        """Lets a stopped worker go on."""

    @abstractmethod
    def pause_server(self, ticks: int) -> None:
        """Stops the server for `ticks`."""

    def inject(self, fault: Operation) -> None:
        """Makes any other operation happen: a fault, or an order of what is ready at one instant."""
        raise NotImplementedError(f"this world can't carry out {fault!r}")

    @abstractmethod
    def stop_server(self) -> None:
        """Has the server's `stop` called."""

    @abstractmethod
    def start_server(self) -> None:
        """Has the server's `start` called."""


class Backend(ABC):
    """A reusable maker of worlds for one system under test, with the contract that it claims."""

    name: str
    contract: Contract
    operations: frozenset[type[Operation]]
    """The operations that it can carry out."""
    sending: Sequence[SendingPoint] = SENDING
    """The points of its wire at which a worker can be killed while it sends; a search draws no others."""
    max_scopes: int = 2
    """How many scopes of a worker a search draws."""
    is_real: bool = False
    """Whether its workers are real processes, really killed."""
    seldom: frozenset[str] = frozenset()
    """The goals to which its wire seldom lets a run come: a search does not miss them."""

    @abstractmethod
    def open(self) -> AbstractContextManager[World]:
        """Opens a world; at the end of the block it is over, and what is left of it is recorded."""

    def warm(self) -> None:  # noqa: B027 - only some have anything to start
        """Starts now what the first run would start."""

    def close(self) -> None:  # noqa: B027 - only some hold anything
        """Gives back what it holds between runs."""

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """What rebuilds it by name, as values of JSON; None where nothing can."""
        return None


def run(schedule: Schedule, backend: Backend) -> Trace:
    """Runs `schedule` on `backend` and returns its trace, judged.

    After the last operation the run goes on until nothing is due, and no worker has anything to do of its own. Raises
    ValueError where the backend cannot carry out an operation.

    >>> from timersim.fakes import SimulatedBackend
    >>> trace = run(Schedule([Acquire(0, "load", after=5)]), SimulatedBackend())
    >>> [(reap.worker, reap.at) for reap in trace.reaps], trace.violations
    ([(0, 5)], [])
    """
    __tracebackhide__ = True
    for operation in schedule:
        if type(operation) not in backend.operations:
            raise ValueError(f"the backend {backend.name!r} can't carry out {operation!r}")
    with backend.open() as world:
        conductor = _Conductor(world)
        for worker in schedule.running_at_first:
            world.start(worker)
        for operation in schedule:
            world.advance(operation.gap)
            conductor.perform(operation)
        world.advance(0)
        conductor.skip_kept(worker for worker in schedule.workers if not world.is_calling(worker))
        while (end := max(_horizon(world.recorder, _observed(backend, world)), world.awaits())) > world.recorder.now():
            world.advance(end - world.recorder.now())
        conductor.skip_kept(schedule.workers)
        world.recorder.add(Ended)
    events, ledger = world.recorder.events, world.recorder.ledger
    contract = _observed(backend, world)
    record = Record(schedule, backend.name, contract, events, backend_spec=backend.spec, ledger=ledger)
    return Trace.of_record(record)


def _observed(backend: Backend, world: World) -> Contract:
    """Returns the contract, with instants no more exact than they were observed in this run."""
    contract = backend.contract
    return replace(contract, transit=max(contract.transit, world.imprecision)) if world.imprecision else contract


MARGIN = 1
"""Ticks for which a run goes on after everything must have happened, to see what happens too late."""


def _horizon(recorder: Recorder, contract: Contract) -> Instant:
    """Returns the whole tick by which everything that the world did must have had its effect, a retry included."""
    latest: Instant = 0
    failed = min((e.at for e in recorder.events if _has_failed(e)), default=math.inf)
    hand, now = WallHand(recorder.events), recorder.now()
    for index, event in enumerate(recorder.events):
        match event:
            case Sent(at, _, _, _, _, expiration) if expiration is not None:
                is_by_wall = contract.clock == "wall"
                due = hand.crossings(expiration, at) if is_by_wall else hand.window(expiration, (index, at), now)
                latest = max(latest, due[1])
            case ServerPaused(_, back) | ServerStarted(back):
                latest = max(latest, back + contract.retry_within if back > failed else back)
            case Meddled(_, _, _, until):
                latest = max(latest, until)
            case ServerStopping(at) | Arrived(at):
                latest = max(latest, at)
            case Attempted(at) if _has_failed(event):
                latest = max(latest, at + contract.retry_within)
    return math.ceil(latest + contract.reap_within + 2 * contract.transit) + MARGIN


def _has_failed(event: Event) -> bool:
    return isinstance(event, Attempted) and event.outcome in {"failed", "raised"}


class _Conductor:
    """Performs operations on a world: skips what cannot be, and keeps what a paused worker does until it resumes.

    So it does with what a worker is to do that is in a call, until the call returns.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        world.returned = self._go_on  # type: ignore[method-assign]  # it is there for that
        self._kept: defaultdict[int, deque[Operation]] = defaultdict(deque)

    def perform(self, operation: Operation) -> None:
        """Performs an operation now, or keeps or skips it."""
        recorder = self._world.recorder
        match operation:
            case PauseServer(ticks):
                self._world.pause_server(ticks)
            case StopServer():
                self._world.stop_server()
            case StartServer():
                self._world.start_server()
            case Start(worker) if not recorder.alive(worker):
                self.skip_kept([worker])
                self._world.start(worker)
            case Resume(worker) if recorder.paused(worker):
                self._world.resume(worker)
                self._go_on(worker)
            case Resume(worker) if any(isinstance(kept, Pause) for kept in self._kept.get(worker, ())):
                self._kept[worker].append(operation)  # its pause, too, waits for its call to return
            case Crash(worker, "sigkill") if recorder.alive(worker):
                self._world.crash(worker, "sigkill")
                self.skip_kept([worker])
            case Reuse(worker, of) if not recorder.alive(worker) and _has_died(recorder, of):
                self.skip_kept([worker])
                self._world.inject(operation)
            case FailReap(worker) | RaiseInReap(worker) | SlowReap(worker) if recorder.alive(worker):
                self._world.inject(operation)
            case PauseInPass() | CrashServer() | RestartServer() | StepWall() | Suspend() | Drift() | Tie():
                self._world.inject(operation)
            case _ if isinstance(operation, _OF_A_WORKER) and recorder.alive(operation.worker):
                if recorder.paused(operation.worker) or self._world.is_calling(operation.worker):
                    self._kept[operation.worker].append(operation)
                else:
                    self._perform_in_worker(operation)
            case _:
                recorder.add(Skipped, operation)

    def _go_on(self, worker: int) -> None:
        """Performs what was kept of a worker, as far as it comes now."""
        for each in self._kept.pop(worker, deque()):
            self.perform(each)

    def skip_kept(self, workers: Iterable[int]) -> None:
        """Records as skipped what these workers will not come to any more."""
        for worker in workers:
            for operation in self._kept.pop(worker, ()):
                self._world.recorder.add(Skipped, operation)

    def _perform_in_worker(self, operation: Operation) -> None:
        match operation:
            case Acquire(worker, scope, after=after):
                self._world.acquire(worker, scope, after)
            case Release(worker, scope):
                self._world.release(worker, scope)
            case Exit(worker):
                self._world.exit(worker)
            case Crash(worker, how):
                self._world.crash(worker, how)
            case Pause(worker):
                self._world.pause(worker)
            case Flood(worker, scope, times):
                self._flood(worker, scope, times)
            case _:
                self._world.inject(operation)

    def _flood(self, worker: int, scope: str, times: int) -> None:
        for number in range(times):
            if not self._world.recorder.alive(worker):
                return
            if number % 2:
                self._world.release(worker, scope)
            else:
                self._world.acquire(worker, scope, FLOOD_AFTER)


_OF_A_WORKER = (
    *(Acquire, Release, Exit, Crash, CrashSending, Pause, Flood),
    *(Delay, Drop, Duplicate, Reorder, Corrupt, Stall),
)
"""What happens in a worker, or to what it sends next: where it is paused it happens once it resumes."""


def _has_died(recorder: Recorder, worker: int) -> bool:
    return recorder.incarnation(worker) >= 0 and not recorder.alive(worker)
