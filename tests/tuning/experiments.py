"""Experiments that other processes find by name."""

import os
import random
import signal
import time
from pathlib import Path


def noisy(timeout_s: float, ranks: int, seed: int) -> dict[str, float]:
    """Returns what its arguments alone decide."""
    source = random.Random(seed)
    return {"lateness_s": timeout_s * source.random(), "reaps": source.randrange(ranks)}


def brief(timeout_s: float, seed: int) -> float:
    """Takes a millisecond."""
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass
    return timeout_s + seed % 7


def timed(timeout_s: float, seed: int) -> dict[str, float]:
    """Takes a millisecond or, on a busy machine, longer; says from when until when."""
    begun = time.monotonic()
    brief(timeout_s, seed)
    return {"begun_s": begun, "ended_s": time.monotonic()}


def late_first(timeout_s: float, seed: int) -> float:
    """Takes the longer the lower its number is."""
    time.sleep(0.1 if timeout_s == 0 else 0.001)
    return timeout_s + seed % 7


def failing(timeout_s: float, seed: int) -> float:
    """Raises in one cell."""
    if timeout_s == 3:
        raise ZeroDivisionError("three")
    return timeout_s + seed % 7


def dying(timeout_s: float, seed: int) -> float:
    """Is killed in one cell."""
    if timeout_s == 300:
        os.kill(os.getpid(), signal.SIGKILL)
    return brief(timeout_s, seed)


def interrupted_by_hand(timeout_s: float, stop: str, seed: int) -> float:
    """Is interrupted in the middle, while there is a file `stop`."""
    if timeout_s == 30 and Path(stop).exists():
        raise KeyboardInterrupt
    time.sleep(0.001)
    return timeout_s + seed % 7
