"""A run in virtual time with real workers: while one of them owes an answer, time stands still."""

import signal
from typing import Any

from timersim.backends.runs.recorded_reaper import RecordedReaper
from timersim.backends.wires.wire import Call, Wire, wait_for
from timersim.backends.workers.pool import CRASH_STATUS, PoolError, Worker, WorkerPool
from timersim.fakes.clock import VirtualClock
from timersim.fakes.servers import Server
from timersim.fakes.virtual_run import VirtualRun
from timersim.lab.operations import CrashSending, Exit, Operation
from timersim.lab.record import Left, Skipped


class ProcessRun(VirtualRun):
    """A run with real workers, which obey commands; they are taken from a pool and given back."""

    def __init__(self, max_interval: int, pool: WorkerPool, wire: Wire) -> None:
        clock = VirtualClock()
        self._reaper = RecordedReaper(clock)
        self._line = line = wire.line(clock, max_interval)
        super().__init__(
            max_interval,
            clock,
            queue=line.queue,
            mp_queue=line.mp_queue,
            arguments=line.arguments,
            end=self._kill,
            leaves_zombies=False,
            reap=self._reaper,
        )
        self._reaper.record = self.workers.reap
        line.attach(
            self.recorder,
            self.table,
            returned=lambda worker: self.returned(worker),
            kill=lambda worker: self.crash(worker, "sigkill"),
        )
        self.server.gone = line.lose
        self._pool = pool
        self._processes: dict[int, Worker] = {}
        self._lost: PoolError | None = None
        self._servers: list[Server] = []

    def start(self, worker: int) -> None:
        process = self._pool.take()
        self._processes[worker] = process
        self.workers.start(worker, process.pid)

    def is_calling(self, worker: int) -> bool:
        return worker in self._processes and self._line.is_calling(self._processes[worker])

    def acquire(self, worker: int, scope: str, after: int) -> None:
        self._send(worker, scope, self.recorder.now() + after, "acquire", scope, self.clock.time() + after)

    def release(self, worker: int, scope: str) -> None:
        self._send(worker, scope, None, "release", scope)

    def exit(self, worker: int) -> None:
        process = self._processes[worker]
        process.send("exit")
        if self._line.exits(process):
            self._see_dead(worker, 0)
            self.recorder.died(worker, "exit")
        else:
            self.recorder.add(Skipped, Exit(worker))

    def crash(self, worker: int, how: str) -> None:
        if how == "sigkill":
            self._processes[worker].signal(signal.SIGKILL)
        else:
            self._processes[worker].send("crash", how)
        self._see_dead(worker, CRASH_STATUS[how])
        self.recorder.crashed(worker, how)

    def pause(self, worker: int) -> None:
        self._processes[worker].signal(signal.SIGSTOP)
        self.recorder.worker_paused(worker)

    def resume(self, worker: int) -> None:
        self._processes[worker].signal(signal.SIGCONT)
        self.recorder.worker_resumed(worker)

    def inject(self, fault: Operation) -> None:
        match fault:
            case CrashSending(worker, at):
                self._line.crash_next(self._processes[worker], at)
            case _:
                super().inject(fault)

    def end(self) -> None:
        """Takes the survivors back, and records who is left of the dead.

        Raises PoolError where somebody else has ended a worker: who lived on in the record was none to reap.
        """
        if self._lost is not None:
            raise self._lost
        for worker, process in self._processes.items():
            if process.has_ended:
                raise PoolError(f"worker {worker} was ended by somebody else in the middle of a run")
            if self._line.is_stuck(process):
                self._end_stuck(worker, process)
                continue
            if self.recorder.paused(worker):
                process.signal(signal.SIGCONT)
            self._line.let_be(process)
            self._pool.give_back(process)
        self._line.end()
        for _ in self._pool.strays():
            self.recorder.add(Left, "a process that nobody waits for")

    def _end_stuck(self, worker: int, process: Worker) -> None:
        """Ends a worker that waits for the answer of a server that has failed, or for the lock of who is dead."""
        process.signal(signal.SIGKILL)
        wait_for(process.pidfd, f"worker {worker}: death")
        self._pool.bury(process)

    def untie(self) -> None:
        """Gives back the descriptors by which the run told its workers apart, and those of servers cut short."""
        self._reaper.close()
        for server in self._servers:
            if (close := getattr(getattr(server, "_request_queue", None), "close", None)) is not None:
                close()

    def _watch(self, server: Server) -> None:
        super()._watch(server)
        self._line.watch(server)
        self._servers.append(server)

    def _number(self, request: Any) -> int | None:
        return self._line.number(request)

    def _send(self, worker: int, scope: str, expiration: float | None, *command: Any) -> None:
        """Has the worker make a call that sends a request."""
        number = self.recorder.sent(worker, scope, expiration)
        self._line.make(Call(worker, self._processes[worker], number, command))

    def _kill(self, worker: int) -> bool:
        """Kills for real, with the library's own reaper; returns whether the worker is gone."""
        is_gone = self._reaper.kill(self._processes[worker].pid)
        if is_gone:
            try:
                self._see_dead(worker, -signal.SIGKILL)
            except PoolError as error:
                self._lost = error  # the server whose reap this is may go on all the same
                raise
        return is_gone

    def _see_dead(self, worker: int, expected: int) -> None:
        """Waits for the worker's end, takes its exit status and holds it against the expected one."""
        status = self._bury(worker)
        if status != expected:
            raise PoolError(f"worker {worker} ended with status {status}, not {expected}")

    def _bury(self, worker: int) -> int:
        """Waits for the worker's end and returns its exit status."""
        process = self._processes.pop(worker)
        self._line.forget(process)
        wait_for(process.pidfd, f"worker {worker}: death")
        return self._pool.bury(process)
