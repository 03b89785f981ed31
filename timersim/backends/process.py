"""The process backend: real worker processes, really killed, while time is virtual."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from timersim.backends.file_wire import FileWire
from timersim.backends.functions import METHODS, OPERATIONS, given_to, reference, spec_with
from timersim.backends.local_wire import LocalWire
from timersim.backends.pool import Pool, PoolError, Worker, WorkerPool
from timersim.backends.socket_wire import SocketWire
from timersim.backends.wire import Call, Wire, wait_for
from timersim.fakes.clock import VirtualClock
from timersim.fakes.patch import importable
from timersim.fakes.servers import Server, ServerMaker
from timersim.fakes.virtual_run import VirtualRun
from timersim.fakes.waiting import HOLD_LIMIT
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.operations import PLAIN, Operation
from timersim.lab.record import Left
from timersim.lab.specs import MAX_INTERVAL, spec_of
from timersim.reaper import ProcessReaper

if TYPE_CHECKING:
    from timersim.backends.interpreters import StartMethod

Transport = Literal["local", "file", "socket"]

LIMIT = 86_400
"""For how many ticks workers of a user's own code go on after the last operation: a day."""

WIRES: dict[str, type[Wire]] = {"local": LocalWire, "file": FileWire, "socket": SocketWire}
"""What connects the workers to the server, by its name."""

CRASH_STATUS = {"sigkill": -signal.SIGKILL, "exit": 1, "abort": -signal.SIGABRT, "segv": -signal.SIGSEGV}
"""With which status a worker ends, by how it crashes: a signal's number, negative, or an exit code."""


class UnsupportedSystemError(RuntimeError):
    """This system lacks what real processes in virtual time need."""


class ProcessBackend(Backend):
    """Runs a server in virtual time against real worker processes: a tick is a virtual second.

    A timer of an hour expires at once; the SIGKILL is real, and the death is seen by a pidfd. Workers come from a
    pool and are used again, so a run costs one fork for each death.

    `transport` is over what they send: "local" (a `multiprocessing.Queue`), "file" (a FIFO) or "socket". `server` is a
    class with the constructor of timersim's own one there, or a callable `server(world)`. With "local" its world's
    `mp_queue` is a face of the queue, and its `queue` the same as requests; with the others its world's `arguments`
    have the path. On a socket it is a `SocketTimerServer`, or a subclass. `contract` is what it promises; `close` ends
    the processes.

    `worker` is a function of yours that each worker calls, in virtual time. It is given what it has parameters for of
    `clock`, `client`, `worker` (its number) and `incarnation` (how often it was started before), and timersim is
    configured there: `with timersim.expires(after=1800):` guards. It waits with `clock.sleep`; while it computes, ten
    seconds of real time at most, virtual time stands still. A schedule starts, pauses and ends such workers; after its
    last operation they go on, for `limit` ticks at most: who lives then is killed.

    `start_method` is how multiprocessing starts workers with a full interpreter: "spawn", "forkserver" or "fork".
    For a `worker` it is "spawn" unless stated, a new interpreter, which inherits nothing; other workers come from the
    lean zygote, which starts one in a hundredth of the time.

    With `pin` this process and the workers share one core until it is closed, on which a round trip takes a fourth of
    the time. Needs Linux 5.3 or newer. Raises ValueError for a `worker` that a new process can't import, TypeError for
    one that wants other arguments.

    >>> from timersim.lab import Acquire, Schedule, run
    >>> backend = ProcessBackend()
    >>> [(reap.worker, reap.at) for reap in run(Schedule([Acquire(0, "load", after=3600)]), backend).reaps]
    [(0, 3600)]
    >>> backend.close()
    """

    is_real = True

    def __init__(
        self,
        transport: Transport = "local",
        *,
        server: ServerMaker | None = None,
        contract: Contract | None = None,
        max_interval: int = MAX_INTERVAL,
        worker: Callable[..., object] | None = None,
        limit: int = LIMIT,
        start_method: "StartMethod | None" = None,
        patch: Sequence[str] | None = None,
        pin: bool = False,
        name: str | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        if transport not in WIRES:
            raise ValueError(f"the transport is {' or '.join(WIRES)}: transport={transport!r}")
        if not hasattr(signal, "pidfd_send_signal") or not sys.platform.startswith("linux"):
            raise UnsupportedSystemError(
                f"real processes in virtual time need Linux 5.3 or newer (pidfd): this is {sys.platform}; use memory"
            )
        kind = WIRES[transport]
        self.name = name or transport
        self.server: ServerMaker = server or kind.server
        self.max_interval = max_interval
        self.operations: frozenset[type[Operation]] = frozenset(PLAIN if worker is None else OPERATIONS)
        is_ours = isinstance(self.server, type) and issubclass(self.server, kind.server)
        self.contract = contract or kind.contract(is_ours=is_ours, max_interval=max_interval)
        self.seldom = kind.seldom
        self._patch = importable(patch)
        self._pin = pin
        self._cores: set[int] | None = None
        self._spec = spec or spec_of(
            transport, self.server, kind.server, contract=contract, max_interval=max_interval, patch=patch
        )
        self._start_method = start_method or (None if worker is None else "spawn")
        if self._start_method not in {None, *METHODS}:
            raise ValueError(f"the start method is {' or '.join(METHODS)}: start_method={start_method!r}")
        self._given = given_to(worker) if worker is not None else ()
        self._function = worker if worker is None or start_method == "fork" else reference(worker)
        if limit < 1:
            raise ValueError(f"the limit is a number of ticks of at least 1: limit={limit!r}")
        self._limit = limit
        if spec is None and self._spec is not None:
            self._spec = spec_with(self._spec, worker, start_method, None if limit == LIMIT else limit)
        self._kind = kind
        self._wire: Wire | None = None
        self._pool: WorkerPool | None = None

    def __repr__(self) -> str:
        return f"ProcessBackend({getattr(self.server, '__qualname__', self.server)}, name={self.name!r})"

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self._spec

    def warm(self) -> None:
        """Starts the processes now rather than with the first run."""
        if self._pool is None:
            if self._pin:
                self._cores = os.sched_getaffinity(0)
                os.sched_setaffinity(0, {min(self._cores)})
            try:
                self._wire = self._kind()
                self._pool = self._new_pool(self._wire)
                for worker in [self._pool.take() for _ in range(3 if self._start_method is None else 1)]:
                    self._pool.give_back(worker)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def open(self) -> Iterator[World]:
        self.warm()
        assert self._pool is not None
        assert self._wire is not None
        world = self._new_run(self._pool, self._wire)
        try:
            with world.running(self.server, self._patch):
                yield world
            world.end()
        except BaseException as error:
            status = self._pool.status
            self.close()  # a run that was cut short leaves workers and messages in an unknown state
            if status is not None and isinstance(error, PoolError):
                raise PoolError(f"the zygote, and every worker with it, ended with status {status}") from error
            raise
        finally:
            world.untie()

    def close(self) -> None:
        """Ends the processes; the next run starts others."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._cores is not None:
            os.sched_setaffinity(0, self._cores)
            self._cores = None

    def _new_pool(self, wire: Wire) -> WorkerPool:
        if self._start_method is None:
            return Pool(*wire.to_pass())
        from timersim.backends.interpreters import InterpreterPool

        return InterpreterPool(self._start_method, wire.address, self._function, self._given)

    def _new_run(self, pool: WorkerPool, wire: Wire) -> "ProcessRun":
        if self._function is None:
            return ProcessRun(self.max_interval, pool, wire)
        from timersim.backends.function_run import FunctionRun

        return FunctionRun(self.max_interval, pool, wire, self._limit)


class ProcessRun(VirtualRun):
    """A run with real workers. While one of them owes an answer, time stands still."""

    def __init__(self, max_interval: int, pool: WorkerPool, wire: Wire) -> None:
        clock = VirtualClock()
        self._reaper = _RecordedReaper(clock)
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
        line.attach(self.recorder, self.table, lambda worker: self.returned(worker))
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
        self._processes[worker].send("exit")
        self._see_dead(worker, 0)
        self.recorder.died(worker, "exit")

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

    def end(self) -> None:
        """Takes the survivors back, and records who is left of the dead.

        Raises PoolError where somebody else has ended a worker: who lived on in the record was none to reap.
        """
        if self._lost is not None:
            raise self._lost
        for worker, process in self._processes.items():
            if process.has_ended:
                raise PoolError(f"worker {worker} was ended by somebody else in the middle of a run")
            if self._line.is_calling(process):
                self._end_call(worker, process)
                continue
            if self.recorder.paused(worker):
                process.signal(signal.SIGCONT)
            self._pool.give_back(process)
        for _ in self._pool.strays():
            self.recorder.add(Left, "a process that nobody waits for")

    def _end_call(self, worker: int, process: Worker) -> None:
        """Ends a worker that waits for the answer of a server that has failed."""
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


class _RecordedReaper(ProcessReaper):
    """The library's reaper as the server of a run is given it: what it does goes through the run's record."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock, death_limit=HOLD_LIMIT)
        self.record: Callable[[int], bool] = self.kill

    def __call__(self, pid: int, number: int | None = None) -> bool:
        return self.record(pid)

    def kill(self, pid: int) -> bool:
        """Reaps for real."""
        return super().__call__(pid)
