"""How late a reap really is: real processes that hang, a real server, and the kernel's word that they are dead."""

import select
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal

import numpy as np

from timersim.backends.runs.seat import Seat
from timersim.backends.wires.file_wire import FileWire
from timersim.backends.wires.local_wire import LocalWire
from timersim.backends.wires.socket_wire import SocketWire
from timersim.backends.wires.wire import Wire
from timersim.backends.workers.pool import Pool, Worker
from timersim.clock import SystemClock
from timersim.fakes.servers import ServerMaker, make_server
from timersim.reaper import ProcessReaper
from timersim.tuning.simulated_latency import Kind, NotReapedError, Row, polling_kind

Transport = Literal["socket", "file", "local"]

WIRES: dict[str, type[Wire]] = {"socket": SocketWire, "file": FileWire, "local": LocalWire}

AFTER = 0.1
"""Seconds that the workers of a sample have to acquire, at first; twice as many where that was too few."""

LIMIT = 30.0
"""Seconds, and intervals, for which a death is waited for."""


def measured(
    server: Kind | ServerMaker, max_interval: float, workers: int, samples: int, seed: int, transport: Transport
) -> list[Row]:
    """Returns how late each death was of real workers that hang, in real time.

    Raises NotReapedError where a worker is not killed.
    """
    random = np.random.default_rng(seed)
    clock = SystemClock()
    rows: list[Row] = []
    with (
        closing(WIRES[transport](is_real_time=True)) as wire,
        _running(server, wire, max_interval, clock),
        closing(Pool(*wire.to_pass())) as pool,
    ):
        for sample in range(samples):
            phase, after = max_interval * random.random(), AFTER
            while (late := _lateness(pool, workers, clock, after + phase, max_interval)) is None:
                after *= 2
                if after > LIMIT:
                    raise NotReapedError(
                        f"{workers} workers have not acquired within {after / 2:.0f} s: is it too busy?"
                    )
            rows += [(sample, number, each) for number, each in enumerate(sorted(late), 1)]
    return rows


def _lateness(pool: Pool, workers: int, clock: SystemClock, after: float, max_interval: float) -> list[float] | None:
    """Returns how late workers that hang were dead; None where one had not acquired when it was due."""
    hung = [pool.take() for _ in range(workers)]
    due = clock.time() + after
    in_time = sum(_has_acquired(worker, due, clock) for worker in hung) == workers
    ends = _deaths(hung, clock, after + LIMIT * (1 + max_interval))
    for worker in hung:
        pool.bury(worker)
    return [end - due for end in ends] if in_time else None


@contextmanager
def _running(server: Kind | ServerMaker, wire: Wire, max_interval: float, clock: SystemClock) -> Iterator[None]:
    """Makes and starts the server on the wire; at the end of the block stops it."""
    own = wire.server
    maker: ServerMaker = {"timersim": own, "polling": polling_kind(own)}[server] if isinstance(server, str) else server
    running = make_server(maker, Seat.on(wire, max_interval, clock, ProcessReaper(clock=clock)))
    running.start()
    try:
        yield
    finally:
        running.stop()


def _has_acquired(worker: Worker, due: float, clock: SystemClock) -> bool:
    """Has a worker acquire a timer and hang; returns whether it had it before it was due."""
    worker.send("acquire", "step", due)
    while (said := worker.answer()) not in {b"done", b""}:
        if said == b"raised":
            raise NotReapedError(f"the server does not take the acquire of pid {worker.pid}")
    return bool(said) and clock.time() < due


def _deaths(workers: list[Worker], clock: SystemClock, limit: float) -> list[float]:
    """Returns when each worker was dead, by the wall clock."""
    poller, ends = select.poll(), list[float]()
    waiting = {worker.pidfd: worker for worker in workers}
    for descriptor in waiting:
        poller.register(descriptor, select.POLLIN)
    end = clock.monotonic() + limit
    while waiting:
        ready = poller.poll(max(0.0, end - clock.monotonic()) * 1000)
        if not ready:
            pids = ", ".join(str(worker.pid) for worker in waiting.values())
            raise NotReapedError(f"{limit:.0f} s after their expiration nobody has reaped: pid {pids}")
        now = clock.time()
        for descriptor, _ in ready:
            poller.unregister(descriptor)
            del waiting[descriptor]
            ends.append(now)
    return ends
