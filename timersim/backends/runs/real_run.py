"""A run in real time: real workers, a real server with its threads, and instants as exact as the machine is."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

from timersim.backends.runs.calls_under_way import CallsUnderWay
from timersim.backends.runs.gated_clock import GatedClock
from timersim.backends.runs.real_server import RealServer
from timersim.backends.runs.recorded_reaper import RecordedReaper
from timersim.backends.runs.run_delay import RunDelay
from timersim.backends.runs.run_processes import RunProcesses
from timersim.backends.runs.seat import Seat
from timersim.backends.wires.wire import Call, Wire
from timersim.backends.workers.pool import CRASH_STATUS, Worker, WorkerPool
from timersim.clock import SystemClock
from timersim.fakes.patch import Face, bent, default_modules
from timersim.fakes.run_workers import RunWorkers
from timersim.fakes.servers import ServerMaker, make_server
from timersim.fakes.waiting import HOLD_LIMIT
from timersim.lab.experiment import World
from timersim.lab.operations import Acquire, Crash, Exit, Operation, Pause, Release, Resume
from timersim.lab.record import Instant, Left, Meddled, Recorder, ServerPaused, Skipped

LAST_CALLS = 1.0
"""Seconds that the calls under way have to return when the server has been stopped."""


class RealRun(World):
    """A run of which a tick is `tick` seconds. The driver's thread makes things happen, and listens to the workers.

    The server reaps meanwhile, in threads of its own: everything is recorded under one lock, and what a worker would
    do that has just been reaped is recorded as skipped. Its `imprecision` is what the machine has to answer for: how
    late the driver was, how long the server's threads waited for a processor, how long a killed worker took to die.
    """

    def __init__(self, max_interval: int, tick: float, pool: WorkerPool, wire: Wire) -> None:
        self._tick = tick
        self._clock = SystemClock()
        self._gate = GatedClock()
        self._delay = RunDelay()
        self._began = self._planned = self._clock.monotonic()
        self.recorder = Recorder(self._now)
        self._server = RealServer(self.recorder)
        self._lock = self._server.lock
        self._reaper = RecordedReaper(self._clock)
        self._reaper.record = self._reap
        self._processes = RunProcesses(pool, self._reaper)
        self._workers = RunWorkers(self.recorder, self._processes.reap, leaves_zombies=False)
        self._seat = Seat.on(wire, max_interval * tick, self._gate, self._reaper)
        self._pool = pool
        self._calls = CallsUnderWay(self._says)
        self._arrived: set[int] = set()
        self._returned: deque[int] = deque()

    @contextmanager
    def running(self, server: ServerMaker, modules: Sequence[str] | None) -> Iterator[None]:
        """Makes and starts the server; at the end of the block stops it and records what is left of it.

        As in virtual time it is made again where it is written in a module that could not be known before.
        """
        names = default_modules(server) if modules is None else modules
        for _ in range(2):
            with bent(map(import_module, names), [(os.kill, self._signal), (os, Face(os, {"kill": self._signal}))]):
                made = make_server(server, self._seat)
                unknown = [] if modules is not None else [m for m in default_modules(made) if m not in names]
                if not unknown:
                    self._server.begin(made)
                    try:
                        yield
                    finally:
                        self._server.finish()
                    return
            names = [*names, *unknown]

    @property
    def imprecision(self) -> Instant:
        return max(self._calls.deafness, self._delay.seconds(), self._processes.longest_death) / self._tick

    def advance(self, ticks: Instant) -> None:
        self._planned += ticks * self._tick
        self._listen(self._planned)
        self._delay.seconds()

    def start(self, worker: int) -> None:
        process = self._pool.take()
        with self._lock:
            self._processes[worker] = process
            self._workers.start(worker, process.pid)

    def is_calling(self, worker: int) -> bool:
        return worker in self._calls

    def acquire(self, worker: int, scope: str, after: int) -> None:
        self._let_obey()
        with self._lock:
            if self._lives(Acquire(worker, scope, after=after)):
                expiration = self.recorder.now() + after
                seconds = self._clock.time() + after * self._tick
                self._call(worker, scope, expiration, "acquire", scope, seconds)

    def release(self, worker: int, scope: str) -> None:
        self._let_obey()
        with self._lock:
            if self._lives(Release(worker, scope)):
                self._call(worker, scope, None, "release", scope)

    def exit(self, worker: int) -> None:
        died = partial(self.recorder.died, worker, "exit")
        self._let_die(worker, Exit(worker), 0, lambda process: process.send("exit"), died)

    def crash(self, worker: int, how: str) -> None:
        def end(process: Worker) -> None:
            if how == "sigkill":
                process.signal(signal.SIGKILL)
            else:
                process.send("crash", how)

        self._let_die(worker, Crash(worker, how), CRASH_STATUS[how], end, partial(self.recorder.crashed, worker, how))

    def pause(self, worker: int) -> None:
        with self._lock:
            if self._lives(Pause(worker)):
                self._processes[worker].signal(signal.SIGSTOP)
                self.recorder.worker_paused(worker)

    def resume(self, worker: int) -> None:
        with self._lock:
            if self._lives(Resume(worker)):
                self._processes[worker].signal(signal.SIGCONT)
                self.recorder.worker_resumed(worker)

    def pause_server(self, ticks: int) -> None:
        with self._lock:
            self.recorder.add(ServerPaused, round(self.recorder.now() + ticks, 3))
            self._gate.close_until(self._clock.monotonic() + ticks * self._tick)

    def stop_server(self) -> None:
        limit = self._clock.monotonic() + LAST_CALLS
        while self._calls and self._gate.is_open and self._clock.monotonic() < limit:
            self._listen(self._clock.monotonic() + self._tick / 10)  # a FIFO loses what comes while it is closed
        self._server.stop()
        self._let_obey()

    def start_server(self) -> None:
        self._server.start()
        self._let_obey()

    def end(self) -> None:
        """Takes the survivors back, after the run, and the statuses of the dead; what should not be is recorded.

        Raises PoolError where somebody else has ended a worker.
        """
        limit = self._clock.monotonic() + LAST_CALLS
        while self._calls and self._clock.monotonic() < limit:
            self._listen(self._clock.monotonic() + self._tick)
        for worker in self._calls.workers():
            if worker in self._processes:  # behind one that was killed with the lock of the queue
                self._processes[worker].signal(signal.SIGKILL)
                self._processes.see_dead(worker, -signal.SIGKILL)
        self._processes.give_back(self.recorder.paused)
        for _ in self._pool.strays():
            self.recorder.add(Left, "a process that nobody waits for")

    def untie(self) -> None:
        """Gives back the descriptors by which the run told its workers apart."""
        self._reaper.close()

    def _lives(self, operation: Operation) -> bool:
        """Returns whether the worker of an operation lives still; where it was just reaped the operation is skipped."""
        lives = self.recorder.alive(operation.worker)  # type: ignore[attr-defined]  # one of a worker
        if not lives:
            self.recorder.add(Skipped, operation)
        return lives

    def _call(self, worker: int, scope: str, expiration: Instant | None, *command: Any) -> None:
        """Has the worker make a call; what becomes of it is heard later."""
        number = self.recorder.sent(worker, scope, expiration)
        self._calls.make(Call(worker, self._processes[worker], number, command))

    def _says(self, call: Call, word: bytes) -> None:
        """Records what becomes of a call, once; who was killed in one has armed its timer perhaps."""
        with self._lock:
            if call.number in self._arrived:
                return
            if word == b"raised":
                self.recorder.add(Meddled, call.number, "refused", self.recorder.now())
            elif word or call.command[0] == "acquire":
                self._arrived.add(call.number)
                self.recorder.arrived(call.number)

    def _let_obey(self) -> None:
        """Waits till the server has done what it was told, unless it is paused."""
        while self._server.is_busy and self._gate.is_open:
            self._listen(self._clock.monotonic() + self._tick / 10)

    def _listen(self, until: float) -> None:
        """Waits until an instant of the monotonic clock; whose call has returned meanwhile goes on at once.

        It naps a tick at a time: who is late for one instant knows little of the others.
        """
        while True:
            nap = min(until, self._clock.monotonic() + self._tick)
            returned = self._calls.hear(nap)
            self._returned += returned or ()
            while self._returned:
                self.returned(self._returned.popleft())
            if returned is None and nap == until:
                return

    def _reap(self, pid: int) -> bool:
        with self._lock:
            return self._workers.reap(pid)

    def _signal(self, pid: int, number: int) -> None:
        with self._lock:
            self._workers.kill(pid, number)

    def _let_die(
        self, worker: int, operation: Operation, status: int, end: Callable[[Worker], None], died: Callable[[], None]
    ) -> None:
        """Ends a worker, and waits for its death; meanwhile the server may reap others, or be faster with this one."""
        with self._lock:
            if not self._lives(operation):
                return
            process = self._processes[worker]
            self._processes.dying[worker] = status
            end(process)
        limit = self._clock.monotonic() + HOLD_LIMIT
        while (returned := self._calls.hear(limit, process.pidfd)) is not None:
            self._returned += returned
        with self._lock:
            del self._processes.dying[worker]
            if self.recorder.alive(worker):
                self._processes.see_dead(worker, status)
                died()

    def _now(self) -> Instant:
        return round((self._clock.monotonic() - self._began) / self._tick, 3)
