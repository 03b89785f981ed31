"""The supervisor backend: process pools and their like, which run tasks with a timeout, in real time."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from timersim.backends.process import TRANSIT, check_system
from timersim.backends.supervisors.adapter import Supervisor
from timersim.backends.supervisors.supervised_run import SupervisedRun
from timersim.fakes.servers import make_supervisor
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.goals import GOALS
from timersim.lab.operations import Acquire, Crash, Operation, Pause, Release, Resume, Start
from timersim.lab.specs import MAX_INTERVAL, spec_of

TICK = 0.02
"""Seconds of a tick, unless stated."""


class SupervisorBackend(Backend):
    """Runs schedules on a supervisor that is no timer server: something that runs tasks, and kills those that hang.

    `supervisor` is a class, or a function, that is called without arguments for each run and returns an adapter with
    `start()`, `submit(task, timeout)` and `stop()`. An acquire has it run a task with a timeout; a release has the task
    finish; a worker whose task ends before that was reaped. A worker is in one task at a time: what it would acquire
    meanwhile, or release that it is not in, is skipped. `Crash` and `Pause` are for the process in which the task runs;
    a crash by SIGKILL of a worker without a task is for the process in which its last one ran, if that is idle.

    Time is real, `tick` seconds a tick. By how much an instant of a run may be wrong is measured, two ticks at least,
    and widens the windows of its verdict: how late the laboratory was, how long a task took to begin, how long its
    process and the threads of this one waited for a processor. `contract` is what the supervisor promises; unless
    stated that it reaps within 10 ticks. Needs Linux 5.3 or newer.

    >>> import subprocess, threading
    >>> class Alarms:
    ...     def start(self):
    ...         self.running = []
    ...     def submit(self, task, timeout):
    ...         process = subprocess.Popen(task.argv)
    ...         alarm = threading.Timer(timeout, process.kill)
    ...         alarm.start()
    ...         self.running.append((process, alarm))
    ...     def stop(self):
    ...         for process, alarm in self.running:
    ...             alarm.cancel(), alarm.join()
    ...             process.kill(), process.wait()
    >>> from timersim.lab import Acquire, Schedule, run
    >>> trace = run(Schedule([Acquire(0, "load", after=25)]), SupervisorBackend(Alarms))
    >>> [reap.worker for reap in trace.reaps], trace.violations
    ([0], [])
    """

    name = "supervisor"
    is_real = True
    max_scopes = 1
    seldom = frozenset(GOALS)
    operations: frozenset[type[Operation]] = frozenset({Acquire, Release, Crash, Start, Pause, Resume})

    def __init__(
        self,
        supervisor: Callable[[], Supervisor],
        *,
        contract: Contract | None = None,
        tick: float = TICK,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 < tick < math.inf:
            raise ValueError(f"a tick is a number of seconds above 0: tick={tick!r}")
        check_system()
        self.supervisor = supervisor
        stated = contract or Contract(reap_within=MAX_INTERVAL)
        self.contract = replace(stated, transit=max(TRANSIT, stated.transit))
        self._tick = tick
        self._spec = spec or spec_of(
            self.name, supervisor, None, contract=contract, max_interval=MAX_INTERVAL, patch=None, tick=tick
        )

    def __repr__(self) -> str:
        return f"SupervisorBackend({getattr(self.supervisor, '__qualname__', self.supervisor)}, tick={self._tick})"

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self._spec

    @contextmanager
    def open(self) -> Iterator[World]:
        world = SupervisedRun(self._tick)
        with world.running(lambda: make_supervisor(self.supervisor)):
            yield world
