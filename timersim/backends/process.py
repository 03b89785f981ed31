"""The process backend: real worker processes, really killed, while time is virtual."""

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from timersim.backends.runs.process_run import ProcessRun
from timersim.backends.runs.real_run import RealRun
from timersim.backends.wires.file_wire import FileWire
from timersim.backends.wires.local_wire import LocalWire
from timersim.backends.wires.socket_wire import SocketWire
from timersim.backends.wires.wire import Wire
from timersim.backends.workers.functions import METHODS, OPERATIONS, given_to, reference, spec_with
from timersim.backends.workers.pool import Pool, PoolError, WorkerPool
from timersim.fakes.patch import importable
from timersim.fakes.servers import ServerMaker
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.goals import GOALS
from timersim.lab.operations import PLAIN, CrashSending, Operation
from timersim.lab.specs import MAX_INTERVAL, spec_of

TRANSIT = 2.0
"""By how many ticks an instant in real time may be wrong on a machine that is not busy."""

if TYPE_CHECKING:
    from timersim.backends.workers.interpreters import StartMethod

Transport = Literal["local", "file", "socket"]

LIMIT = 86_400
"""For how many ticks workers of a user's own code go on after the last operation: a day."""

WIRES: dict[str, type[Wire]] = {"local": LocalWire, "file": FileWire, "socket": SocketWire}
"""What connects the workers to the server, by its name."""


class UnsupportedSystemError(RuntimeError):
    """This system lacks what real processes need."""


def check_system() -> None:
    """Raises UnsupportedSystemError where there are no pidfds, by which alone a process is known for sure."""
    if not hasattr(signal, "pidfd_send_signal") or not sys.platform.startswith("linux"):
        raise UnsupportedSystemError(
            f"real processes need Linux 5.3 or newer (pidfd): this is {sys.platform}; use memory"
        )


class ProcessBackend(Backend):
    """Runs a server against real worker processes, in virtual time unless stated: a tick is a virtual second.

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

    With a `tick` time is real: it is how many seconds one takes. By how much an instant of a run may be wrong is
    measured, two ticks at least, and widens the windows of its verdict. A schedule has the plain operations only then.

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
        tick: float | None = None,
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
        if tick is not None and not 0 < tick < math.inf:
            raise ValueError(f"a tick is a number of seconds above 0, or None for virtual time: tick={tick!r}")
        check_system()
        kind = WIRES[transport]
        self.name = name or transport
        self.server: ServerMaker = server or kind.server
        self.max_interval = max_interval
        self.operations: frozenset[type[Operation]] = frozenset(
            {*PLAIN, CrashSending} if worker is None else OPERATIONS
        )
        self.sending = kind.sending
        is_ours = isinstance(self.server, type) and issubclass(self.server, kind.server)
        self.contract = contract or kind.contract(is_ours=is_ours, max_interval=max_interval)
        self.seldom = kind.seldom
        self._tick = tick
        if tick is not None:
            self.contract = replace(self.contract, transit=max(TRANSIT, self.contract.transit), survives=frozenset())
            self.seldom = frozenset(GOALS)
            self.operations = frozenset(PLAIN)
        self._patch = importable(patch)
        self._pin = pin
        self._cores: set[int] | None = None
        self._spec = spec or spec_of(
            transport, self.server, kind.server, contract=contract, max_interval=max_interval, patch=patch, tick=tick
        )
        self._start_method = start_method or (None if worker is None else "spawn")
        if self._start_method not in {None, *METHODS}:
            raise ValueError(f"the start method is {' or '.join(METHODS)}: start_method={start_method!r}")
        self._given = given_to(worker) if worker is not None else ()
        self._function = worker if worker is None or start_method == "fork" else reference(worker)
        if tick is not None and worker is not None:
            raise ValueError("workers of your own code live in virtual time: leave out tick, or worker")
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
                self._wire = self._kind(is_real_time=self._tick is not None)
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
            if self._tick is not None and not self._wire.throw_away():
                self.close()
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
        from timersim.backends.workers.interpreters import InterpreterPool

        return InterpreterPool(self._start_method, wire.address, self._function, self._given)

    def _new_run(self, pool: WorkerPool, wire: Wire) -> ProcessRun | RealRun:
        if self._tick is not None:
            return RealRun(self.max_interval, self._tick, pool, wire)
        if self._function is None:
            return ProcessRun(self.max_interval, pool, wire)
        from timersim.backends.runs.function_run import FunctionRun

        return FunctionRun(self.max_interval, pool, wire, self._limit)
