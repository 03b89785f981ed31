"""The timer table against heapq with lazy deletion: release, acquire, next expiration, among n live timers."""

import heapq
import math
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

from timersim.timer_table import TimerTable

from .row import Benchmark, Figure, Result, Size, Target, in_time
from .side_by_side import compare, in_a_child

SCOPES = 10
"""Timers of one worker."""

BYTES = 200
"""What a timer may weigh."""

SCANNED = 10_000
"""Among more timers a scan is not measured: one takes milliseconds."""


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured, for each number of timers that live."""
    for live in (100, 1_000, 10_000, 100_000, 1_000_000):
        what = f"timer table of {live:,}"
        yield Benchmark(what, "heapq with lazy deletion", Target("<=", 1.5), partial(measured, live))
        yield Benchmark(f"{what}, bytes", f"{BYTES} bytes a timer", Target("<=", 1), partial(held, live))


def measured(live: int, size: Size) -> Result | None:
    """Times both sides, and a scan of all timers where that is not too long."""
    if live > 1_000_000 * size.scale:
        return None
    times = size.times(200_000, 1_000)
    result = compare(partial(ours, live, times), partial(floor, live, times), size.rounds(9))
    if live > SCANNED:
        return in_time(result, "us")
    return in_time(result, "us", ("a scan of a dict, as in torch", in_a_child(partial(scan, live, times * 10 // live))))


def held(live: int, size: Size) -> Result | None:
    """Weighs the table."""
    if live > 1_000_000 * size.scale:
        return None
    weight = in_a_child(partial(bytes_a_timer, live))
    return Result(Figure(weight, "B"), Figure(BYTES, "B"), weight / BYTES)


def ours(live: int, times: int) -> float:
    """With `TimerTable`."""
    table = TimerTable()
    keys = [(number // SCOPES, f"s{number % SCOPES}") for number in range(live)]
    for number, key in enumerate(keys):
        table.arm(key, float(number))

    def step(key: tuple[int, str], at: float) -> None:
        table.disarm(key)
        table.arm(key, at)
        table.next_expiration()

    return _timed(step, keys, live, times)


def floor(live: int, times: int) -> float:
    """With a dict and a heap written by hand, and nothing else that a table is for."""
    keys = [(number // SCOPES, f"s{number % SCOPES}") for number in range(live)]
    entries = {key: [float(number), number, key] for number, key in enumerate(keys)}
    heap = list(entries.values())
    serial = live

    def step(key: tuple[int, str], at: float) -> None:
        nonlocal serial
        entries.pop(key)[2] = None
        serial += 1
        entry = entries[key] = [at, serial, key]
        heapq.heappush(heap, entry)
        while heap[0][2] is None:
            heapq.heappop(heap)

    return _timed(step, keys, live, times)


def scan(live: int, times: int) -> float:
    """With a dict all of which is looked through for the next expiration."""
    keys = [(number // SCOPES, f"s{number % SCOPES}") for number in range(live)]
    entries = {key: float(number) for number, key in enumerate(keys)}

    def step(key: tuple[int, str], at: float) -> None:
        del entries[key]
        entries[key] = at
        min(entries.values())

    return _timed(step, keys, live, max(10, times))


def bytes_a_timer(live: int) -> float:
    """Returns what the table holds for each of `live` timers, its keys not counted."""
    keys = [(number // SCOPES, f"s{number % SCOPES}") for number in range(live)]
    tracemalloc.start()
    table = TimerTable()
    for number, key in enumerate(keys):
        table.arm(key, float(number))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / live


def _timed(step: Callable[[tuple[int, str], float], None], keys: list[tuple[int, str]], live: int, times: int) -> float:
    stride = int(live * (math.sqrt(5) - 1) / 2) | 1
    order = [keys[number * stride % live] for number in range(times)]
    begun = perf_counter()
    for number, key in enumerate(order):
        step(key, float(live + number))
    return (perf_counter() - begun) / times
