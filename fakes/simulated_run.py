"""A run with simulated workers: what they send goes over a wire that can be faulty, and reaps can fail."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from timersim.api import TimerRequest
from timersim.fakes.clock import VirtualClock
from timersim.fakes.faults import FaultyReaper, FaultyRequestQueue, WireKind
from timersim.fakes.run_kernel import WorkerIncarnation
from timersim.fakes.run_workers import RunWorkers
from timersim.fakes.virtual_run import VirtualRun
from timersim.lab.operations import (
    Corrupt,
    CrashSending,
    CrashServer,
    Delay,
    Drop,
    Duplicate,
    FailReap,
    Operation,
    RaiseInReap,
    Reorder,
    RestartServer,
    Reuse,
    SlowReap,
    Stall,
)
from timersim.lab.record import Answered, Instant, Meddled, ServerPaused, Skipped, rounded
from timersim.sequenced_server import SequencedRequest

if TYPE_CHECKING:
    from timersim.incarnation import Incarnation


class SimulatedRun(VirtualRun):
    """A run with simulated workers."""

    def __init__(
        self, max_interval: int, wire: WireKind = "shared", *, arguments: Mapping[str, Any] | None = None
    ) -> None:
        clock = VirtualClock()
        self._reaper = _RecordedReaper(clock, self)
        queue = self._new_queue(clock, wire)
        super().__init__(max_interval, clock, queue=queue, arguments=arguments, end=self._reaper, leaves_zombies=True)
        self._queue = queue
        self._wire = wire
        self._connections: dict[int, _SimulatedConnection] = {}
        self._asked: dict[int, tuple[int, str]] = {}

    def _new_queue(self, clock: VirtualClock, wire: WireKind) -> FaultyRequestQueue:
        """Returns the wire of the run; it is made before anything else of the run is."""
        return RecordedQueue(clock, self, wire)

    def start(self, worker: int) -> None:
        self.workers.start(worker)

    def acquire(self, worker: int, scope: str, after: int) -> None:
        self._send(worker, scope, self._wall() + after)

    def release(self, worker: int, scope: str) -> None:
        self._send(worker, scope, None)

    def exit(self, worker: int) -> None:
        self._queue.forget(self.workers.pid(worker), flush=True)
        self.recorder.died(worker, "exit")

    def crash(self, worker: int, how: str) -> None:
        self._queue.forget(self.workers.pid(worker))
        self.recorder.crashed(worker, how)

    def pause(self, worker: int) -> None:
        self._queue.pause(self.workers.pid(worker))
        self.recorder.worker_paused(worker)

    def resume(self, worker: int) -> None:
        self.recorder.worker_resumed(worker)
        self._queue.resume(self.workers.pid(worker))

    def inject(self, fault: Operation) -> None:
        match fault:
            case CrashServer() | RestartServer() if self._wire == "sequenced":
                self._queue.lose_all()  # its end of the connections has gone
                self._connections.clear()
                super().inject(fault)
            case Reuse(worker, of):
                self._reuse(fault, worker, self.workers.pid(of))
            case Drop(worker):
                self._queue.drop_next(self.workers.pid(worker))
            case Delay(worker, ticks):
                self._queue.delay_next(ticks, self.workers.pid(worker))
            case Reorder(worker, ticks):
                self._queue.overtake_next(ticks, self.workers.pid(worker))
            case Duplicate(worker, later):
                self._queue.duplicate_next(later, self.workers.pid(worker))
            case Corrupt(worker, how):
                self._queue.corrupt_next(how, self.workers.pid(worker))
            case Stall(worker, ticks):
                self._queue.stall_next(ticks, self.workers.pid(worker))
            case CrashSending(worker, at):
                self._queue.crash_next(at, lambda: self.crash(worker, "sigkill"), self.workers.pid(worker))
            case FailReap(worker, times):
                self._reaper.fail_next(times, worker)
            case RaiseInReap(worker, times):
                self._reaper.raise_next(OSError("the reap was made to raise"), times, worker)
            case SlowReap(worker, ticks):
                self._reaper.slow_next(ticks, worker_id=worker)
            case _:
                super().inject(fault)

    def _reuse(self, reuse: Reuse, worker: int, pid: int) -> None:
        if self.workers.is_alive(pid):
            self.recorder.add(Skipped, reuse)
        else:
            self.workers.start(worker, pid, is_chosen=True)

    def _kill(self, worker: int) -> bool:
        self._queue.forget(self.workers.pid(worker))
        return True

    def _send(self, worker: int, scope: str, expiration: Instant | None) -> None:
        number = self.recorder.sent(worker, scope, expiration)
        instant = -1.0 if expiration is None else self.clock.time() + (expiration - self._wall())
        pid = self.workers.pid(worker)
        if self._wire == "sequenced" and self.server.is_down:
            self.recorder.add(Meddled, number, "refused", self.recorder.now())
        elif self._wire != "sequenced":
            self._queue.put(_NumberedRequest(pid, scope, instant, number))
        else:
            self._asked[number] = pid, scope
            self._queue.put(_NumberedPacket(pid, scope, instant, number, self._connection(pid)))

    def _connection(self, pid: int) -> "_SimulatedConnection":
        """Returns the connection of the life that bears `pid` to the server that there is."""
        life = self.workers.life(pid)
        connection = self._connections.get(pid)
        if connection is None or connection.life != life:
            connection = self._connections[pid] = _SimulatedConnection(self.workers, pid, self._answered)
        return connection

    def _answered(self, number: int, reason: str) -> None:
        """Records that a request was answered, and whether the server held its timer then."""
        worker_id, scope = self._asked[number]
        self.recorder.enter(Answered, number, reason, self.table.is_armed(worker_id, scope))


class _NumberedRequest(TimerRequest):
    """A request that knows its number in the record."""

    __slots__ = ("number",)

    def __init__(self, worker_id: int, scope_id: str, expiration_time: float, number: int) -> None:
        super().__init__(worker_id, scope_id, expiration_time)
        self.number = number

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"a request has worker_id, scope_id and expiration_time, and no {name!r}")


class _SimulatedConnection:
    """What connects a worker of the run to a server that answers; `answered` is told of each answer that it takes."""

    def __init__(self, workers: RunWorkers, pid: int, answered: Callable[[int, str], None]) -> None:
        self.life = workers.life(pid)
        self.incarnation: Incarnation | None = WorkerIncarnation(workers, pid)
        self.sequence = -1
        self._answered = answered

    def answer(self, sequence: int, reason: str | None = None) -> bool:
        """Returns whether the worker is there to be answered."""
        is_there = self.incarnation is not None and self.incarnation.alive
        if is_there:
            self._answered(sequence, reason or "")
        return is_there


class _NumberedPacket(SequencedRequest):
    """A request whose sequence is its number in the record."""

    __slots__ = ()

    @property
    def number(self) -> int:
        return self.sequence


def _number(request: TimerRequest) -> int:
    assert isinstance(request, _NumberedRequest | _NumberedPacket)
    return request.number


class RecordedQueue(FaultyRequestQueue):
    """The wire of a run: what happens to a request is recorded."""

    def __init__(self, clock: VirtualClock, run: VirtualRun, wire: WireKind) -> None:
        super().__init__(clock, wire=wire)
        self._run = run

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        taken = super().get(size, timeout)
        self._run.server.reached("drained")
        return taken

    def on_arrival(self, request: TimerRequest) -> None:
        self._run.recorder.arrived(_number(request))

    def on_fault(self, fault: str, request: TimerRequest, seconds: float) -> None:
        now = self._run.recorder.now()
        self._run.recorder.add(Meddled, _number(request), fault, rounded(now + seconds))


class _RecordedReaper(FaultyReaper):
    """What ends the workers of a run: a reap that takes its time is recorded as the server's pause."""

    def __init__(self, clock: VirtualClock, run: SimulatedRun) -> None:
        super().__init__(clock, run._kill)
        self._run = run

    def on_wait(self, worker_id: int, seconds: float) -> None:
        recorder = self._run.recorder
        recorder.add(ServerPaused, rounded(recorder.now() + seconds), "reaping")
