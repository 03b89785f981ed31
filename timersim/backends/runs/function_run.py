"""A run whose workers are a user's own code: they wait in virtual time, and one of them at a time computes."""

import math
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from timersim.backends.runs.process_run import ProcessRun
from timersim.backends.wires.wire import Call, Wire
from timersim.backends.workers.pool import PoolError, Worker, WorkerPool
from timersim.fakes.servers import ServerMaker
from timersim.fakes.waiting import HOLD_LIMIT, HoldTimeout
from timersim.lab.record import Instant

SIGNALS = {-signal.SIGKILL: "sigkill", -signal.SIGABRT: "abort", -signal.SIGSEGV: "segv"}
"""How a worker has died that ended with this status, in the words of `Crash`."""


class FunctionRun(ProcessRun):
    """A run in which each worker is followed by a task, from its start to its death.

    While a worker computes its task waits for what it says next, and nothing else happens. What it says is where it
    waits: in a sleep, for a condition, or in a call of its client, which its task has it make and records. After the
    last operation the workers go on for `limit` ticks.
    """

    def __init__(self, max_interval: int, pool: WorkerPool, wire: Wire, limit: int) -> None:
        super().__init__(max_interval, pool, wire)
        self._line.attach(
            self.recorder,
            self.table,
            returned=self._call_has_returned,
            kill=lambda worker: self.crash(worker, "sigkill"),
        )
        self._lives: dict[int, _Life] = {}
        self._limit = limit
        self._ends: Instant | None = None
        self._deeds = 0

    @contextmanager
    def running(self, server: ServerMaker, modules: Sequence[str] | None) -> Iterator[None]:
        with super().running(server, modules):
            yield
            for worker in list(self._processes):
                self._end_now(worker)

    def start(self, worker: int) -> None:
        super().start(worker)
        life = self._lives[worker] = _Life(worker, self._processes[worker])
        self.clock.spawn(lambda: self._follow(life), name=f"worker {worker}")

    def exit(self, worker: int) -> None:
        self._lives[worker].is_told_to_exit = True

    def awaits(self) -> Instant:
        """Returns when the last of the sleepers wakes, in whole ticks; from the first time on, the limit runs."""
        if self._ends is None:
            self._ends = self.recorder.now() + self._limit
            self.clock.call_later(self._limit, self._end_all)
        wakes = [math.ceil(life.wakes) for life in self._lives.values() if math.isfinite(life.wakes)]
        return min(self._ends, max(wakes, default=0))

    def _follow(self, life: "_Life") -> None:
        """Does what a worker asks for until it has ended."""
        life.process.send("live", life.worker, self.recorder.incarnation(life.worker), *self._readings())
        while (said := self._hear(life)) is not None:
            self._deeds += said[0] != "still"
            if said[0] == "raised":
                life.how = f"raised {said[1]}"
                continue
            if said[0] in {"acquire", "release"}:
                self._call(life, said)
            else:
                self._rest(life, *said)
            self.clock.wait(lambda _: life.has_died or not self.recorder.paused(life.worker), math.inf)
            if life.has_died:
                return
            self._let_go(life, is_rested=said[0] not in {"acquire", "release"})
        self.recorder.died(life.worker, life.died_of(self._bury(life.worker)))

    def _hear(self, life: "_Life") -> Any:
        """Waits, in real time, for what a worker that computes says next; None where it has ended."""
        process = life.process
        commands = process.commands.fileno()
        with self.clock.hold(f"worker {life.worker}: what it does next"):
            ready = self.clock.wait_readable([commands, process.pidfd], HOLD_LIMIT)
        if not ready:
            raise HoldTimeout(
                f"worker {life.worker} has computed for {HOLD_LIMIT} s of real time: while it computes virtual time "
                "stands still; let it wait with clock.sleep"
            )
        said = process.answer() if commands in ready else b""
        return pickle.loads(said) if said else None

    def _rest(self, life: "_Life", what: str, seconds: float) -> None:
        """Lets time pass until a worker wakes: one that waits for a condition when another has done something."""
        deeds = self._deeds
        life.wakes = self.recorder.now() + seconds
        self.clock.wait(
            lambda _: life.has_ended or life.is_told_to_exit or (what != "sleep" and self._deeds != deeds), seconds
        )
        life.wakes = math.inf

    def _call(self, life: "_Life", command: tuple[Any, ...]) -> None:
        """Has a worker make the call that it has announced, and waits until that has returned."""
        expiration = self._ticks_at(command[2]) if command[0] == "acquire" and command[2] >= 0 else None
        number = self.recorder.sent(life.worker, command[1], expiration)
        life.is_calling = self._line.returns_late
        with suppress(PoolError):  # it has ended in its call
            self._line.make(Call(life.worker, life.process, number, command))
            self.clock.wait(lambda _: life.has_ended or not life.is_calling, math.inf)

    def _let_go(self, life: "_Life", *, is_rested: bool) -> None:
        """Tells a worker to go on; or to exit, where it was in a rest."""
        if life.has_ended:
            return
        if is_rested and life.is_told_to_exit:
            life.is_told_to_exit = False
            life.process.send("exit")
        else:
            life.process.send("go", *self._readings())

    def _readings(self) -> tuple[int, int]:
        return self.clock.time_ns, self.clock.monotonic_ns

    def _call_has_returned(self, worker: int) -> None:
        self._lives[worker].is_calling = False
        self.returned(worker)

    def _bury(self, worker: int) -> int:
        self._lives.pop(worker).has_died = True
        self._deeds += 1
        return super()._bury(worker)

    def _end_all(self) -> None:
        """Ends who lives at the limit."""
        for worker in list(self._processes):
            self._end_now(worker)
            self.recorder.died(worker, "limit")

    def _end_now(self, worker: int) -> None:
        with suppress(ProcessLookupError):
            self._processes[worker].signal(signal.SIGKILL)
        self._bury(worker)


class _Life:
    """One worker, from its start to its death; `wakes` is when it does so of itself, in ticks."""

    __slots__ = ("has_died", "how", "is_calling", "is_told_to_exit", "process", "wakes", "worker")

    def __init__(self, worker: int, process: Worker) -> None:
        self.worker = worker
        self.process = process
        self.wakes = math.inf
        self.how = ""
        self.is_calling = False
        self.is_told_to_exit = False
        self.has_died = False

    @property
    def has_ended(self) -> bool:
        """Whether it is dead, buried or not."""
        return self.has_died or self.process.has_ended

    def died_of(self, status: int) -> str:
        """Returns how it has died, by its exit status and by what it said last."""
        if status < 0:
            return SIGNALS.get(status) or signal.Signals(-status).name.lower()
        return "exit" if status == 0 else self.how or f"status {status}"
