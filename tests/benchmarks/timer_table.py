"""The timer table against heapq with lazy deletion: release, acquire, next expiration, among n live timers."""

import heapq
import math
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

from timersim.timer_table import TimerTable

from .side_by_side import compare

SCOPES = 10
"""Timers of one worker."""


def rows(scale: float) -> Iterator[str]:
    """Yields the lines of the report."""
    for live in (100, 1_000, 10_000, 100_000, 1_000_000):
        if live > 1_000_000 * scale:
            break
        times = max(1_000, int(200_000 * scale))
        result = compare(partial(ours, live, times), partial(floor, live, times), rounds=max(1, int(9 * scale)))
        yield (
            f"timer table, {live:>9,} live: {result.ours * 1e6:6.2f} us, floor {result.floor * 1e6:6.2f} us,"
            f" {result.ratio:.2f}x (<= 1.5x), {bytes_a_timer(live):.0f} bytes a timer (<= 200)"
        )


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
