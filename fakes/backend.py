"""The simulated backend: any server, with simulated workers, in virtual time."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.patch import importable
from timersim.fakes.run_workers import RunWorkers
from timersim.fakes.scheduler import SECOND
from timersim.fakes.servers import Server, ServerMaker
from timersim.fakes.tasks import Call, TaskGroup
from timersim.fakes.world import SimulatedWorld
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.operations import OPERATIONS, Operation
from timersim.lab.record import (
    Instant,
    Left,
    Recorder,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
)
from timersim.lab.specs import MAX_INTERVAL, spec_of
from timersim.local_timer import MultiprocessingRequestQueue
from timersim.memory_timer import MemoryTimerClient, MemoryTimerServer
from timersim.timer_table import TimerTable

STOP_LIMIT = 3
"""How many times `max_interval` a server may take to stop before it counts as left behind."""


class SimulatedBackend(Backend):
    """Runs a server in virtual time with simulated workers: a tick is a virtual second.

    `server` is a callable `server(world)`, or a class with the constructor of `MemoryTimerServer`. `contract` is what
    it promises; unless stated that it reaps within `max_interval` ticks, and within 0 for timersim's own
    server. `patch` names the modules in which `time`, `threading`, `queue` and `os.kill` become ours; unless
    stated those of the server's class and of its bases.

    >>> SimulatedBackend(max_interval=30).contract.reap_within
    0
    """

    def __init__(
        self,
        server: ServerMaker = MemoryTimerServer,
        *,
        contract: Contract | None = None,
        max_interval: int = MAX_INTERVAL,
        patch: Sequence[str] | None = None,
        name: str = "memory",
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.server = server
        self.max_interval = max_interval
        self.operations: frozenset[type[Operation]] = frozenset(OPERATIONS.values())
        is_ours = isinstance(server, type) and issubclass(server, MemoryTimerServer)
        self.contract = contract or Contract(reap_within=0 if is_ours else max_interval)
        self._patch = importable(patch)
        self._spec = spec or spec_of(
            "memory", server, MemoryTimerServer, contract=contract, max_interval=max_interval, patch=patch
        )

    def __repr__(self) -> str:
        return f"SimulatedBackend({getattr(self.server, '__qualname__', self.server)}, name={self.name!r})"

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self._spec

    @contextmanager
    def open(self) -> Iterator[World]:
        world = _SimulatedRun(self.max_interval)
        with world.running(self.server, self._patch):
            yield world


class VirtualRun(World):
    """A run in virtual time: its clock, its server as a group of tasks, and when the server is away.

    How workers live and send is left to subclasses.
    """

    def __init__(
        self,
        max_interval: int,
        clock: VirtualClock,
        *,
        mp_queue: Any = None,
        end: Callable[[int], bool] | None = None,
        reap: Callable[[Any], bool] | None = None,
    ) -> None:
        self.clock = clock
        self._began = clock.monotonic_ns
        self.recorder = Recorder(self._now)
        self.workers = RunWorkers(self.recorder, end)
        self.seat = SimulatedWorld(
            max_interval=max_interval,
            clock=clock,
            queue=None if mp_queue is None else MultiprocessingRequestQueue(mp_queue, clock=clock),
            mp_queue=mp_queue,
            reap=reap or self.workers.reap,
            kill=self.workers.kill,
        )
        self._server = _ServerControl(self.recorder, clock, self.seat.group, self.workers)

    @contextmanager
    def running(self, server: ServerMaker, modules: Sequence[str] | None) -> Iterator[None]:
        """Makes and starts the server; at the end of the block stops it and records what is left of it."""
        with self.seat.seat(server, modules) as seated:
            try:
                self._server.begin(seated)
                yield
                self._server.finish(self.seat.max_interval * STOP_LIMIT)
            finally:
                self.clock.close()

    def advance(self, ticks: Instant) -> None:
        self.clock.advance_ns(round(ticks * SECOND))

    def pause_server(self, ticks: int) -> None:
        self._server.pause(ticks)

    def stop_server(self) -> None:
        self._server.stop()

    def start_server(self) -> None:
        self._server.start()

    def _now(self) -> Instant:
        ticks, rest = divmod(self.clock.monotonic_ns - self._began, SECOND)
        return ticks + rest / SECOND if rest else ticks


class _SimulatedRun(VirtualRun):
    """A run with simulated workers: what is sent arrives at once."""

    def __init__(self, max_interval: int) -> None:
        super().__init__(max_interval, VirtualClock())
        self._clients: dict[int, MemoryTimerClient] = {}

    def start(self, worker: int) -> None:
        self._clients[worker] = self.seat.client(self.workers.start(worker))

    def acquire(self, worker: int, scope: str, after: int) -> None:
        request = self.recorder.sent(worker, scope, self.recorder.now() + after)
        self._clients[worker].acquire(scope, self.clock.time() + after)
        self.recorder.arrived(request)

    def release(self, worker: int, scope: str) -> None:
        request = self.recorder.sent(worker, scope, None)
        self._clients[worker].release(scope)
        self.recorder.arrived(request)

    def exit(self, worker: int) -> None:
        self.recorder.died(worker, "exit")

    def crash(self, worker: int, how: str) -> None:
        self.recorder.died(worker, "sigkill" if how == "sigkill" else "os._exit")

    def pause(self, worker: int) -> None:
        self.recorder.worker_paused(worker)

    def resume(self, worker: int) -> None:
        self.recorder.worker_resumed(worker)


class _ServerControl:
    """The server as a simulated process: it starts, stops, pauses and fails, and each is recorded."""

    def __init__(self, recorder: Recorder, clock: VirtualClock, group: TaskGroup, workers: RunWorkers) -> None:
        self._recorder = recorder
        self._workers = workers
        self._clock = clock
        self._group = group
        self._server: Server | None = None
        self._orders: deque[Callable[[], None]] = deque()
        self._is_obeying = False
        self._is_stopped = True
        self._paused_until: Instant = 0
        self._resume: Call | None = None
        group.on_error = lambda task, error: recorder.add(ServerFailed, f"{type(error).__name__}: {error}")

    def begin(self, server: Server) -> None:
        """Starts the server for the first time."""
        self._server = server
        self.start()
        self._clock.advance(0)

    def start(self) -> None:
        """Has `start` called, after what was asked for before."""
        self._order(self._start)

    def stop(self) -> None:
        """Has `stop` called, after what was asked for before."""
        self._order(self._stop)

    def pause(self, ticks: int) -> None:
        """Stops the server's tasks for `ticks`; a pause within a pause ends with the later one."""
        self._paused_until = max(self._paused_until, self._recorder.now() + ticks)
        self._recorder.add(ServerPaused, self._paused_until)
        self._clock.pause(self._group)
        if self._resume is not None:
            self._resume.cancel()
        seconds = self._paused_until - self._recorder.now()
        self._resume = self._clock.call_later(seconds, lambda: self._clock.resume(self._group))

    def finish(self, limit: float) -> None:
        """Stops the server, `limit` seconds at most, and records what is left of it."""
        was_stopped = self._is_stopped
        self._clock.resume(self._group)
        entries = len(self._timers_of_the_dead()) if not was_stopped and self._group.tasks else 0
        if not was_stopped:
            assert self._server is not None
            self._order(self._server.stop)
        end = self._recorder.now() + limit
        while self._group.tasks and self._recorder.now() < end and self._clock.step():
            pass
        for task in self._group.tasks:
            self._recorder.add(Left, f"thread {task.name!r}")
        if entries:
            self._recorder.add(Left, f"table entries of the dead ({entries})")

    def _timers_of_the_dead(self) -> list[tuple[Any, ...]]:
        """Returns the keys (worker, scope) in the server's table whose worker has ended."""
        timers = getattr(self._server, "_timers", ())
        keys = list(timers) if isinstance(timers, TimerTable | dict) else []
        lives = [key for key in keys if isinstance(key, tuple) and self._workers.life(key[0]) is not None]
        return [key for key in lives if not self._workers.is_alive(key[0])]

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        if not self._is_obeying:
            self._is_obeying = True
            with self._clock.group(self._group):
                self._clock.spawn(self._obey, name="server control")

    def _obey(self) -> None:
        try:
            while self._orders:
                self._orders.popleft()()
        finally:
            self._is_obeying = False

    def _start(self) -> None:
        assert self._server is not None
        self._is_stopped = False
        self._recorder.add(ServerStarted)
        self._server.start()

    def _stop(self) -> None:
        assert self._server is not None
        self._is_stopped = True
        self._recorder.add(ServerStopping)
        self._server.stop()
        self._recorder.add(ServerStopped)
