"""Two sides of a comparison, each in forked children, by turns: absolute figures drift, their ratio does not."""

import gc
import os
import statistics
import struct
from collections.abc import Callable
from dataclasses import dataclass

Side = Callable[[], float]
"""Does its work some times over and returns the seconds that one time took."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The median seconds of each side, and the median of the ratios of the rounds."""

    ours: float
    floor: float
    ratio: float


def compare(ours: Side, floor: Side, rounds: int) -> Comparison:
    """Runs both sides in each round, in the other order in the next."""
    taken: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second = in_a_child(floor)
            taken.append((in_a_child(ours), second))
        else:
            first = in_a_child(ours)
            taken.append((first, in_a_child(floor)))
    return Comparison(
        statistics.median(mine for mine, _ in taken),
        statistics.median(theirs for _, theirs in taken),
        statistics.median(mine / theirs for mine, theirs in taken),
    )


def in_a_child(side: Side) -> float:
    """Returns what the side measures in a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            gc.disable()
            os.write(write, struct.pack("d", side()))
            gc.collect()  # the semaphores of queues go with them
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    if not data:
        raise RuntimeError(f"{side!r} has not measured anything")
    seconds: float = struct.unpack("d", data)[0]
    return seconds
