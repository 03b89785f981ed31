"""`expires` against a class written by hand that does no more than it must, at two depths of the stack."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter, time
from typing import Any

from timersim import TimerClient, expires

from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import compare, in_a_child


class Nobody(TimerClient):
    """A client that sends nothing."""

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Does nothing."""

    def release(self, scope_id: str) -> None:
        """Does nothing."""


class ByHand:
    """What any such block must do: name its caller, acquire at its beginning, release at its end."""

    __slots__ = ("after", "client", "scope")

    def __init__(self, after: float, client: TimerClient) -> None:
        frame = sys._getframe(1)
        self.scope = f"{frame.f_code.co_filename}#{frame.f_lineno}"
        self.after = after
        self.client = client

    def __enter__(self) -> None:
        self.client.acquire(self.scope, time() + self.after)

    def __exit__(self, *_: object) -> None:
        self.client.release(self.scope)


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured, at each depth of the stack."""
    for depth in (10, 100):
        what = f"expires, stack of {depth}"
        yield Benchmark(what, "a class with sys._getframe", Target("<=", 1.5), partial(measured, depth))


def measured(depth: int, size: Size) -> Result:
    """Times both sides, and torch's where it is installed."""
    times = size.times(200_000, 1_000)
    mine, by_hand = partial(deep, depth, partial(ours, times)), partial(deep, depth, partial(floor, times))
    result = compare(mine, by_hand, size.rounds(9))
    if find_spec("torch") is None:
        return in_time(result, "us")
    return in_time(result, "us", ("torch's", in_a_child(partial(torchs, depth, max(10, times // 1_000)))))


def deep(depth: int, side: Callable[[], float]) -> float:
    """Measures under so many frames."""
    return side() if depth == 0 else deep(depth - 1, side)


def ours(times: int) -> float:
    """With `expires`."""
    client = Nobody()
    begun = perf_counter()
    for _ in range(times):
        with expires(after=60, client=client):
            pass
    return (perf_counter() - begun) / times


def torchs(depth: int, times: int) -> float:
    """With torch's `expires`."""
    timer = import_module("torch.distributed.elastic.timer")
    client = type("Nobody", (timer.TimerClient,), {"acquire": Nobody.acquire, "release": Nobody.release})()
    return deep(depth, partial(_torchs, timer, client, times))


def _torchs(timer: Any, client: Any, times: int) -> float:
    begun = perf_counter()
    for _ in range(times):
        with timer.expires(after=60, client=client):
            pass
    return (perf_counter() - begun) / times


def floor(times: int) -> float:
    """With a class that does nothing else."""
    client = Nobody()
    begun = perf_counter()
    for _ in range(times):
        with ByHand(60, client):
            pass
    return (perf_counter() - begun) / times
