"""`expires` against a class written by hand that does no more than it must, at two depths of the stack."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter, time

from timersim import TimerClient, expires

from .side_by_side import compare


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


def rows(scale: float) -> Iterator[str]:
    """Yields the lines of the report."""
    times = max(1_000, int(200_000 * scale))
    rounds = max(1, int(9 * scale))
    for depth in (10, 100):
        mine, by_hand = partial(deep, depth, partial(ours, times)), partial(deep, depth, partial(floor, times))
        result = compare(mine, by_hand, rounds)
        yield (
            f"expires, stack of {depth:>3}:          {result.ours * 1e6:6.2f} us, floor {result.floor * 1e6:6.2f} us,"
            f" {result.ratio:.2f}x (<= 1.5x)"
        )


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


def floor(times: int) -> float:
    """With a class that does nothing else."""
    client = Nobody()
    begun = perf_counter()
    for _ in range(times):
        with ByHand(60, client):
            pass
    return (perf_counter() - begun) / times
