"""Virtual time: workers that acquire, work and release under a watchdog, and a tiny schedule, against a bare loop."""

import heapq
import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from time import perf_counter
from typing import Any

from timersim import MemoryTimerClient, MemoryTimerServer
from timersim.fakes import SimulatedBackend, VirtualClock
from timersim.lab import run
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.memory_timer import MemoryRequestQueue
from timersim.strategies.search import seeded_schedule

from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import Comparison, compare

STEPS = 20
"""How often each worker acquires, works for a while, and releases."""

LIMIT = 3600.0
"""Virtual seconds after which a worker would be reaped; none is."""


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured: simulations of many workers, and a tiny schedule with its set-up."""
    for workers in (10, 1_000, 100_000):
        target = Target("<=", 2) if workers <= 1_000 else None
        what = f"simulation of {workers:,} workers"
        yield Benchmark(what, "a bare loop with two heaps", target, partial(measured, workers))
        against = "SimPy processes and a heap of timers"
        yield Benchmark(f"the same {workers:,}, beside SimPy", against, Target("<=", 1), partial(beside_simpy, workers))
    yield Benchmark("12 operations, the kernel alone", "a bare loop with two heaps", Target("<=", 2.5), kernel_alone)
    yield Benchmark("12 operations, the whole run", "a bare loop, set-up included", None, whole_run)
    yield Benchmark("12 operations, their judging", "the run without it", Target("<=", 0.5), share_of_judging)


def measured(workers: int, size: Size) -> Result | None:
    """Times both sides; a step of a worker is one acquire, some work, and one release."""
    return _simulated(workers, floor, size)


def beside_simpy(workers: int, size: Size) -> Result | None:
    """Times ours beside SimPy, where that is installed."""
    return None if find_spec("simpy") is None else _simulated(workers, simpys, size)


def _simulated(workers: int, other: Callable[[int, int], float], size: Size) -> Result | None:
    if workers > 100_000 * size.scale:
        return None
    steps = max(2, min(STEPS * 1_000 // workers, 2_000))
    return in_time(compare(partial(ours, workers, steps), partial(other, workers, steps), size.rounds(7)), "us")


def kernel_alone(size: Size) -> Result:
    """Times a virtual clock on which the operations, and a timer for each, come due."""
    times = size.times(300, 20)
    return in_time(compare(partial(kernel, times), partial(kernel_floor, times), size.rounds(7)), "us")


def whole_run(size: Size) -> Result:
    """Times a run with its world, trace and verdict."""
    times = size.times(300, 20)
    return in_time(compare(partial(tiny, times), partial(tiny_floor, times), size.rounds(7)), "us")


def share_of_judging(size: Size) -> Result:
    """Times the judging, and takes it from the run that it is a part of."""
    times = size.times(300, 20)
    result = compare(partial(judging, times), partial(tiny, times), size.rounds(7))
    ratio = result.ratio / (1 - result.ratio) if result.ratio < 1 else math.inf
    without = Comparison(result.ours, result.floor - result.ours, ratio)
    return in_time(without, "us")


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


def simpys(workers: int, steps: int) -> float:
    """With a process of SimPy's for each worker, and the timers by hand; seconds a step."""
    simpy = import_module("simpy")
    world = simpy.Environment()
    timers: list[tuple[float, int]] = []
    live: dict[int, float] = {}

    def work(worker: int) -> Iterator[Any]:
        for step in range(steps):
            live[worker] = world.now + LIMIT
            heapq.heappush(timers, (world.now + LIMIT, worker))
            yield world.timeout(1.0 + (worker * 7 + step) % 13 / 16)
            while timers and live.get(timers[0][1]) != timers[0][0]:
                heapq.heappop(timers)
            del live[worker]

    for worker in range(workers):
        world.process(work(worker))
    begun = perf_counter()
    world.run()
    assert not live
    return (perf_counter() - begun) / (workers * steps)


def kernel(times: int) -> float:
    """A clock for each schedule, on which each operation, and the timer of it, is called when it is due."""
    schedules = _schedules(times)
    begun = perf_counter()
    for schedule in schedules:
        clock = VirtualClock()
        live: dict[int, int] = {}
        now = 0

        def perform(worker: int, after: int, clock: VirtualClock = clock, live: dict[int, int] = live) -> None:
            live[worker] = after
            clock.call_later(after, live.clear)

        for operation in schedule:
            now += operation.gap
            clock.call_later(now, partial(perform, getattr(operation, "worker", 0), getattr(operation, "after", 0)))
        clock.run_until_idle()
        clock.close()
    return (perf_counter() - begun) / times


def kernel_floor(times: int) -> float:
    """By hand: a heap of the operations, and a heap of their timers, by turns."""
    schedules = _schedules(times)
    begun = perf_counter()
    for schedule in schedules:
        due: list[tuple[int, int, int, int]] = []
        timers: list[tuple[int, int]] = []
        live: dict[int, int] = {}
        now = 0
        for serial, operation in enumerate(schedule):
            now += operation.gap
            after = getattr(operation, "after", 0)
            heapq.heappush(due, (now, serial, getattr(operation, "worker", 0), after))
        while due or timers:
            if timers and (not due or timers[0][0] < due[0][0]):
                heapq.heappop(timers)
                live.clear()
                continue
            now, serial, worker, after = heapq.heappop(due)
            live[worker] = after
            heapq.heappush(timers, (now + after, serial))
    return (perf_counter() - begun) / times


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
