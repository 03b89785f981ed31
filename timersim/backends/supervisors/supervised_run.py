"""A run on a supervisor: its tasks are the timers, and who hangs too long is to be killed, in real time."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from timersim.backends.leftovers import watch_leftovers
from timersim.backends.runs.run_delay import RunDelay
from timersim.backends.supervisors.adapter import Supervisor, started, stopped
from timersim.backends.supervisors.desk import Desk, RunningTask
from timersim.clock import SystemClock
from timersim.fakes.servers import ServerError
from timersim.fakes.waiting import HOLD_LIMIT, HoldTimeout
from timersim.lab.experiment import World
from timersim.lab.operations import Acquire, Crash, Pause, Release
from timersim.lab.record import Attempted, Instant, Left, Recorder, ServerFailed, ServerStarted, Skipped

BEGIN_LIMIT = 1.0
"""Seconds, beyond its timeout, that are waited for a task to begin: later it was ended before it could."""

START_LIMIT = 10.0
"""Seconds that a supervisor may take to begin a task that has all the time there is."""

PROBE_TIMEOUT = 3600.0
"""Seconds of a timeout that no task comes to."""

END_LIMIT = 0.5
"""Seconds that processes have to end after `stop` has returned."""


class SupervisedRun(World):
    """A run of which a tick is `tick` seconds: an acquire starts a task with a timeout, a release lets it finish.

    A worker is in one task at a time. What it would do meanwhile that is not of this task is recorded as skipped, and
    so is the release of what it is not in. A task that ends though nobody had it finish, or crash, was reaped.
    """

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._clock = SystemClock()
        self._desk = Desk()
        self._delay = RunDelay()
        self._longest_start = self._longest_wait = 0.0
        self._began = self._planned = self._clock.monotonic()
        self.recorder = Recorder(self._now)
        self._supervisor: Supervisor
        self._tasks: dict[int, tuple[str, RunningTask]] = {}
        self._last: dict[int, int] = {}
        self._begun: dict[int, RunningTask] = {}
        self._given_up: set[int] = set()
        self._has_failed = False

    @contextmanager
    def running(self, make: Callable[[], Supervisor]) -> Iterator[None]:
        """Makes and starts the supervisor; at the end of the block stops it, and records what is left of it.

        It is held no longer than that: what goes with it is not left behind.
        """
        left: list[str] = []
        try:
            with watch_leftovers() as left:
                self._supervisor = started(make)
                self._began = self._planned = self._clock.monotonic()
                self.recorder.add(ServerStarted)
                try:
                    yield
                finally:
                    self._finish()
                    del self._supervisor
        finally:
            self._desk.close()
            for name in left:
                self.recorder.add(Left, name)

    @property
    def imprecision(self) -> Instant:
        seconds = (self._desk.deafness, self._delay.seconds(), self._longest_start, self._longest_wait)
        return max(seconds) / self._tick

    def advance(self, ticks: Instant) -> None:
        self._planned += ticks * self._tick
        self._listen(self._planned)

    def start(self, worker: int) -> None:
        self.recorder.started(worker)

    def acquire(self, worker: int, scope: str, after: int) -> None:
        self._listen()
        acquire = Acquire(worker, scope, after=after)
        if self._has_failed or not self.recorder.alive(worker) or worker in self._tasks:
            self.recorder.add(Skipped, acquire)
            return
        began = self._clock.monotonic()
        task = self._begin(after * self._tick, after * self._tick + BEGIN_LIMIT)
        if task is None:  # its timeout was over before it began, unless nothing begins any more
            self.recorder.add(Skipped, acquire)
            self._probe()
            return
        self._longest_start = max(self._longest_start, self._clock.monotonic() - began)
        self._tasks[worker] = scope, task
        self._last[worker] = task.pidfd
        self.recorder.arrived(self.recorder.sent(worker, scope, self.recorder.now() + after))
        if task.is_over:
            self._take(task)

    def release(self, worker: int, scope: str) -> None:
        self._listen()
        running, task = self._tasks.get(worker, ("", None))
        if task is None or running != scope:
            self.recorder.add(Skipped, Release(worker, scope))
            return
        number = self.recorder.sent(worker, scope, None)
        task.tell("finish")
        self._await(task, f"worker {worker}: finish")
        if task.has_finished:
            self.recorder.arrived(number)

    def crash(self, worker: int, how: str) -> None:
        self._listen()
        crash, task = Crash(worker, how), self._tasks.pop(worker, ("", None))[1]
        if task is None:
            self._crash_idle(crash)
            return
        if how == "sigkill":
            task.signal(signal.SIGKILL)
        else:
            task.tell(f"crash {how}")
        self._await(task, f"worker {worker}: death")
        self._clock.wait_readable([task.pidfd], HOLD_LIMIT)
        self.recorder.crashed(worker, how)

    def pause(self, worker: int) -> None:
        self._listen()
        if worker in self._tasks:
            self._tasks[worker][1].signal(signal.SIGSTOP)
            self.recorder.worker_paused(worker)
        else:
            self.recorder.add(Skipped, Pause(worker))

    def resume(self, worker: int) -> None:
        self._tasks[worker][1].signal(signal.SIGCONT)
        self.recorder.worker_resumed(worker)

    def exit(self, worker: int) -> None:
        raise NotImplementedError("a worker of a supervisor ends with its task")

    def pause_server(self, ticks: int) -> None:
        raise NotImplementedError("a supervisor can't be paused")

    def stop_server(self) -> None:
        raise NotImplementedError("a supervisor that stops takes its tasks along")

    start_server = stop_server

    def _begin(self, timeout: float, wait: float) -> RunningTask | None:
        """Has a new task run, and returns it once it has begun; None where it can't be submitted, or does not in time.

        One that begins later than that finishes at once. Raises ServerError for one that runs in this very process,
        which it would take along.
        """
        task = self._desk.make()
        limit = self._clock.monotonic() + wait
        try:
            self._supervisor.submit(task, timeout)
        except Exception as error:  # recorded: what a supervisor's own call raises is a verdict on it
            self._fail(f"submit raised {type(error).__name__}: {error}")
            return None
        while self._clock.monotonic() < limit and task.number not in self._begun:
            self._hear(limit)
        self._given_up.add(task.number)
        running = self._begun.pop(task.number, None)
        if running is not None and running.pid == os.getpid():
            running.tell("finish")
            name = type(self._supervisor).__qualname__
            raise ServerError(f"{name}.submit() runs the task in this process; give each task a process of its own")
        return running

    def _probe(self) -> None:
        """Has a task run that has all the time there is: a supervisor that does not begin that one watches no more."""
        if self._has_failed:
            return
        task = self._begin(PROBE_TIMEOUT, START_LIMIT)
        if task is not None:
            task.tell("finish")
            self._await(task, "a task that was to finish at once")
        elif not self._has_failed:
            self._fail(f"a task has not begun {START_LIMIT:g} s after it was submitted")

    def _fail(self, reason: str) -> None:
        self._has_failed = True
        self.recorder.add(ServerFailed, reason)

    def _crash_idle(self, crash: Crash) -> None:
        """Kills the process in which a worker's last task has finished; not one that another task runs in."""
        pidfd = self._last.get(crash.worker)
        is_idle = pidfd is not None and not self._desk.hosts(pidfd) and self.recorder.alive(crash.worker)
        if crash.how == "sigkill" and pidfd is not None and is_idle and self._desk.kill(pidfd):
            self.recorder.crashed(crash.worker, crash.how)
        else:
            self.recorder.add(Skipped, crash)

    def _listen(self, until: float = 0.0) -> None:
        """Hears what has happened, and what happens until an instant of the monotonic clock.

        It naps a tick at a time: who is late for one instant knows little of the others.
        """
        while True:
            nap = min(until, self._clock.monotonic() + self._tick)
            if not self._hear(nap) and nap == until:
                return

    def _hear(self, until: float) -> bool:
        heard = self._desk.hear(until)
        for task in heard:
            self._longest_wait = max(self._longest_wait, task.waited)
            if task.is_over:
                self._take(task)
            elif task.number in self._given_up:
                task.tell("finish")
            else:
                self._begun[task.number] = task
        return bool(heard)

    def _take(self, task: RunningTask) -> None:
        """Takes note of a task that is over: who did not finish, and was not crashed, was reaped."""
        worker = next((worker for worker, (_, each) in self._tasks.items() if each is task), None)
        if worker is None:
            return
        del self._tasks[worker]
        if not task.has_finished:
            life = worker, self.recorder.incarnation(worker)
            self.recorder.add(Attempted, *life, f"worker {worker}", "reaped")
            self.recorder.died(worker, "reaped")

    def _await(self, task: RunningTask, owed: str) -> None:
        limit = self._clock.monotonic() + HOLD_LIMIT
        while not task.is_over:
            if self._clock.monotonic() >= limit:
                raise HoldTimeout(f"no answer within {HOLD_LIMIT} s of real time: {owed}")
            self._hear(limit)

    def _finish(self) -> None:
        """Stops the supervisor, and ends the processes of tasks that it has left."""
        for _, task in self._tasks.values():
            task.signal(signal.SIGCONT)
        if failure := stopped(self._supervisor):
            self.recorder.add(ServerFailed, failure)
        for _ in range(self._desk.end(END_LIMIT)):
            self.recorder.add(Left, "a process that ran tasks, and that stop has not ended")
        self._desk.close()

    def _now(self) -> Instant:
        return round((self._clock.monotonic() - self._began) / self._tick, 3)
