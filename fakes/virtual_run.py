"""A run in virtual time: its clock, its wire, and its server, whatever its workers are."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from greenlet import GreenletExit

from timersim.fakes.clock import VirtualClock
from timersim.fakes.run_kernel import RunKernel
from timersim.fakes.run_workers import HARMLESS_SIGNALS, RunWorkers
from timersim.fakes.scheduler import SECOND
from timersim.fakes.server_control import ServerControl
from timersim.fakes.servers import Server, ServerMaker
from timersim.fakes.table_watch import TableWatch
from timersim.fakes.tasks import TaskGroup
from timersim.fakes.world import SimulatedWorld
from timersim.lab.experiment import World
from timersim.lab.operations import (
    CrashServer,
    Drift,
    Operation,
    PauseInPass,
    RestartServer,
    StepWall,
    Suspend,
    Tie,
)
from timersim.lab.record import Instant, Recorder, WallDrifts, WallStepped

STOP_LIMIT = 3
"""How many times `max_interval` a server may take to stop before it counts as left behind."""


class VirtualRun(World):
    """A run in virtual time: its clock, its server as a group of tasks, and when the server is away.

    How workers live and send is left to subclasses.
    """

    def __init__(
        self,
        max_interval: int,
        clock: VirtualClock,
        *,
        queue: Any,
        mp_queue: Any = None,
        arguments: Mapping[str, Any] | None = None,
        end: Callable[[int], bool],
        leaves_zombies: bool,
        reap: Callable[[Any], bool] | None = None,
    ) -> None:
        self.clock = clock
        self._began = clock.monotonic_ns
        self._picks: deque[int] = deque()
        self.recorder = Recorder(self._now)
        self.workers = RunWorkers(self.recorder, end, leaves_zombies=leaves_zombies)
        self.seat = SimulatedWorld(
            max_interval=max_interval,
            clock=clock,
            queue=queue,
            mp_queue=mp_queue,
            arguments=arguments,
            reap=reap or self.workers.reap,
            kernel=RunKernel(self.workers),
            kill=self._signal,
        )
        self.table = TableWatch(self.recorder, self.workers, self._number, self._ticks_at)
        self.server = ServerControl(self.recorder, clock, self.seat.group, self.workers, self._make)
        self.workers.reached = self.server.reached

    @contextmanager
    def running(self, server: ServerMaker, modules: Sequence[str] | None) -> Iterator[None]:
        """Makes and starts the server; at the end of the block stops it and records what is left of it."""
        with self.seat.seat(server, modules) as seated:
            try:
                self._watch(seated)
                self.server.begin(seated)
                yield
                self.server.finish(self.seat.max_interval * STOP_LIMIT)
            finally:
                self.clock.close()

    def advance(self, ticks: Instant) -> None:
        self.clock.advance_ns(round(ticks * SECOND))

    def pause_server(self, ticks: int) -> None:
        self.server.pause(ticks)

    def stop_server(self) -> None:
        self.server.stop()

    def start_server(self) -> None:
        self.server.start()

    def inject(self, fault: Operation) -> None:
        match fault:
            case PauseInPass(at, ticks):
                self.server.pause_in_pass(at, ticks)
            case CrashServer():
                self.server.crash()
            case RestartServer():
                self.server.crash()
                self.server.start()
            case StepWall(by):
                self.clock.step_wall(by)
                self.recorder.add(WallStepped, by)
            case Suspend(ticks):
                self.clock.suspend(ticks)
                self.recorder.add(WallStepped, ticks)
            case Drift(per_mille):
                self.clock.drift(per_mille / 1000)
                self.recorder.add(WallDrifts, per_mille)
            case Tie(pick):
                self._picks.append(pick)
                self.clock.choose = self._choose
            case _:
                super().inject(fault)

    def _signal(self, pid: int, number: int) -> None:
        """Does what the server's `os.kill` does; one that means its own process ends the server."""
        if self.clock.is_muted:
            raise GreenletExit  # its process was killed at this instant
        self.workers.kill(pid, number)
        if pid == os.getpid() and number not in HARMLESS_SIGNALS:
            self.server.end_itself()

    def _make(self, group: TaskGroup) -> Server:
        """Makes the next server, where one has crashed."""
        server = self.seat.make(group)
        self._watch(server)
        return server

    def _watch(self, server: Server) -> None:
        """Is called with each server of the run before it starts."""
        self.table.watch(server)

    def _number(self, request: Any) -> int | None:
        """Returns the number of a request in the record; None for a message that is none."""
        return getattr(request, "number", None)

    def _choose(self, number: int) -> int:
        """Returns which of several things that are ready goes first, as the schedule says; after that as ever."""
        pick = self._picks.popleft()
        if not self._picks:
            self.clock.choose = None
        return pick % number

    def _now(self) -> Instant:
        return _ticks(self.clock.monotonic_ns - self._began)

    def _ticks_at(self, seconds: float) -> Instant:
        """Returns the instant of the record at which the monotonic clock shows `seconds`."""
        return math.nan if math.isnan(seconds) else _ticks(round(seconds * SECOND) - self._began)

    def _wall(self) -> Instant:
        return _ticks(self.clock.time_ns - self._began)


def _ticks(nanoseconds: int) -> Instant:
    ticks, rest = divmod(nanoseconds, SECOND)
    return nanoseconds / SECOND if rest else ticks  # which is rounded once, as `rounded` does
