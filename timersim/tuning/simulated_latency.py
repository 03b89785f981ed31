"""How late a reap is in virtual time, and the servers for which there is a formula."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from timersim.api import TimerRequest
from timersim.fakes.broken_servers import without
from timersim.fakes.clock import VirtualClock
from timersim.fakes.servers import ServerMaker
from timersim.fakes.world import SimulatedWorld
from timersim.memory_timer import MemoryTimerServer
from timersim.table_server import TableTimerServer

Kind = Literal["timersim", "polling", "torch-file"]

SLICE = 1.0
"""Seconds of the longest sleep of torch's server of a FIFO."""

LIMIT = 100
"""For how many intervals, and handlings of all workers, a reap is waited for."""

NANOSECOND = 1e-9

DIGITS = 6
"""Of a second: to a microsecond an instant is exact as a float, for some thousand years."""

Row = tuple[int, int, float]
"""The number of the sample, which reap of it this is, and how many seconds late it was."""


class NotReapedError(RuntimeError):
    """A hung worker that was not reaped."""


class SleepsInSlices(TableTimerServer):
    """Does as torch's server of a FIFO: sleeps in slices until more than max_interval is over, then judges.

    After `torch.distributed.elastic.timer.file_based_local_timer`, `_get_requests`, torch 2.13.
    """

    def _drain(self) -> list[TimerRequest]:
        began, requests = self._clock.time(), []
        while not self._stop_signaled:
            arrived = self._take_arrived()
            requests += arrived
            if not arrived:
                self._clock.sleep(min(self._max_interval, SLICE))
            if self._clock.time() - began > self._max_interval + NANOSECOND / 2:  # floats of seconds since the epoch
                break
        self._reading = self._read_clocks()
        return requests


def sliced_period(max_interval: float) -> float:
    """Returns every how many seconds a server that sleeps in slices judges, where sleeps are exact.

    >>> sliced_period(0.25), sliced_period(1), sliced_period(10), sliced_period(2.5)
    (0.5, 2.0, 11.0, 3.0)
    """
    piece = float(min(max_interval, SLICE))
    return piece * (math.floor(max_interval / piece) + 1)


def polling_kind(server: type[TableTimerServer]) -> type[TableTimerServer]:
    """Returns a server that looks every max_interval only, and when a request arrives."""
    return without("wake-for-expirations", server)


PERIODS: dict[str, Callable[[float], float]] = {
    "timersim": lambda max_interval: 0.0,
    "polling": lambda max_interval: max_interval,
    "torch-file": sliced_period,
}
"""Every how many seconds a server looks, by max_interval; 0 where it wakes for each expiration."""


def simulated(
    server: Kind | ServerMaker, max_interval: float, workers: int, handling: float, samples: int, seed: int
) -> list[Row]:
    """Returns how late each reap was of a server in virtual time.

    Raises NotReapedError where a worker is not reaped.
    """
    kinds: dict[object, type[TableTimerServer]] = {
        "timersim": MemoryTimerServer,
        "polling": polling_kind(MemoryTimerServer),
        "torch-file": type("SleepsInSlices", (SleepsInSlices, MemoryTimerServer), {}),
    }
    random = np.random.default_rng(seed)
    # Uniform over whole periods, so that an expiration falls anywhere between two looks.
    spread = (PERIODS[server](max_interval) or max_interval) if isinstance(server, str) else 16 * max_interval
    clock, reaped = VirtualClock(), list[float]()

    def reap(worker_id: Any) -> bool:
        clock.sleep(handling)
        reaped.append(clock.time())
        return True

    world = SimulatedWorld(max_interval=max_interval, clock=clock, reap=reap)
    rows: list[Row] = []
    try:
        with world.seat(kinds[server] if isinstance(server, str) else server) as seated:
            with clock.group(world.group):
                seated.start()
            for sample in range(samples):
                due = round(clock.time() + max_interval + spread * random.random(), DIGITS)
                for worker in range(workers):
                    world.client(sample * workers + worker).acquire("step", due)
                limit = due - clock.time() + LIMIT * (2 * max_interval + workers * handling)
                try:
                    clock.run_until(lambda: len(reaped) >= workers, within=limit)
                except TimeoutError:
                    raise NotReapedError(
                        f"{limit:.0f} s of virtual time, and of {workers} hung workers {len(reaped)} are reaped"
                    ) from None
                rows += [(sample, number, at - due) for number, at in enumerate(reaped[:workers], 1)]
                reaped.clear()
            seated.stop()
    finally:
        clock.close()
    return [(sample, number, round(late, DIGITS)) for sample, number, late in rows]
