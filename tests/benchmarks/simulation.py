"""Virtual time: workers that acquire, work and release under a watchdog, and a tiny schedule, against a bare loop."""

import heapq
from collections.abc import Iterator
from functools import partial
from itertools import count
from time import perf_counter

from timersim import MemoryTimerClient, MemoryTimerServer
from timersim.fakes import SimulatedBackend, VirtualClock
from timersim.lab import run
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.memory_timer import MemoryRequestQueue
from timersim.strategies.search import seeded_schedule

from .side_by_side import compare

STEPS = 20
"""How often each worker acquires, works for a while, and releases."""

LIMIT = 3600.0
"""Virtual seconds after which a worker would be reaped; none is."""


def rows(scale: float) -> Iterator[str]:
    """Yields the lines of the report."""
    rounds = max(1, int(7 * scale))
    for workers in (10, 1_000, 100_000):
        if workers > 100_000 * scale:
            continue
        steps = max(2, min(STEPS * 1_000 // workers, 2_000))
        result = compare(partial(ours, workers, steps), partial(floor, workers, steps), rounds)
        yield (
            f"simulation, {workers:>7,} workers:      {result.ours * 1e6:6.2f} us a step, floor"
            f" {result.floor * 1e6:6.2f} us, {result.ratio:.2f}x (<= 2x to 1,000)"
        )
    times = max(20, int(300 * scale))
    result = compare(partial(tiny, times), partial(tiny_floor, times), rounds)
    yield (
        f"schedule, of 12 operations:        {result.ours * 1e6:6.1f} us with its world and verdict, bare loop"
        f" {result.floor * 1e6:.1f} us, {result.ratio:.2f}x (<= 2.5x for the kernel alone)"
    )
    result = compare(partial(judging, times), partial(tiny, times), rounds)
    without = result.floor - result.ours
    yield (
        f"judging, the same:                 {result.ours * 1e6:6.1f} us, the run without it {without * 1e6:.1f} us,"
        f" {result.ratio / (1 - result.ratio):.2f}x (<= 0.5x)"
    )


def ours(workers: int, steps: int) -> float:
    """Tasks that sleep, a queue and a server; seconds a step."""
    clock = VirtualClock()
    queue = MemoryRequestQueue(clock=clock)
    server = MemoryTimerServer(queue, 60, clock=clock, reaper=lambda worker_id: True)

    def work(worker: int) -> None:
        client = MemoryTimerClient(queue, worker)
        for step in range(steps):
            client.acquire("step", clock.time() + LIMIT)
            clock.sleep(1.0 + (worker * 7 + step) % 13 / 16)
            client.release("step")

    for worker in range(workers):
        clock.spawn(partial(work, worker), name="worker")
    server.start()
    begun = perf_counter()
    clock.advance(2.0 * steps)
    taken = perf_counter() - begun
    server.stop()
    clock.close()
    assert server.reaped == []
    return taken / (workers * steps)


def floor(workers: int, steps: int) -> float:
    """By hand: a heap of what is due, and a heap of timers with lazy deletion; seconds a step."""
    begun = perf_counter()
    due: list[tuple[float, int, int, int]] = []
    timers: list[tuple[float, int]] = []
    live: dict[int, float] = {}
    serial = count()
    for worker in range(workers):
        heapq.heappush(due, (0.0, next(serial), worker, 0))
    while due:
        now, _, worker, step = heapq.heappop(due)
        while timers and (timers[0][0] <= now or live.get(timers[0][1]) != timers[0][0]):
            expiration, owner = heapq.heappop(timers)
            assert live.get(owner) != expiration
        if step:
            del live[worker]
        if step < steps:
            live[worker] = now + LIMIT
            heapq.heappush(timers, (now + LIMIT, worker))
            heapq.heappush(due, (now + 1.0 + (worker * 7 + step) % 13 / 16, next(serial), worker, step + 1))
    return (perf_counter() - begun) / (workers * steps)


def tiny(times: int) -> float:
    """The whole of `run`, trace and verdict included; seconds a schedule."""
    backend = SimulatedBackend()
    schedules = _schedules(times)
    begun = perf_counter()
    for schedule in schedules:
        run(schedule, backend)
    return (perf_counter() - begun) / times


def judging(times: int) -> float:
    """The oracle, the invariants and the goals; seconds a trace."""
    backend = SimulatedBackend()
    traces = [run(schedule, backend) for schedule in _schedules(times)]
    begun = perf_counter()
    for trace in traces:
        Trace.of_record(trace)
    return (perf_counter() - begun) / times


def tiny_floor(times: int) -> float:
    """A bare loop that pops as many events as the schedules have operations, with a timer for each acquire."""
    schedules = _schedules(times)
    begun = perf_counter()
    for schedule in schedules:
        now = 0
        due: list[tuple[int, int]] = []
        live: dict[int, int] = {}
        for operation in schedule:
            now += operation.gap
            while due and due[0][0] <= now:
                heapq.heappop(due)
            worker = getattr(operation, "worker", 0)
            live[worker] = now
            heapq.heappush(due, (now + getattr(operation, "after", 0), worker))
        while due:
            heapq.heappop(due)
    return (perf_counter() - begun) / times


def _schedules(times: int) -> list[Schedule]:
    found = (seeded_schedule(0, number) for number in count())
    return [schedule for schedule, _ in zip((s for s in found if len(s) == 12), range(times), strict=False)]
