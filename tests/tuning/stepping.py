"""A worker that really steps, with slow phases, and writes down how long each step took: FILE SEED STEPS."""

import csv
import random
import sys
import time

SLOW_EVERY, SLOW = 5, 0.01
"""Every so many blocks of BLOCK steps one is slow: each of its steps takes so many seconds longer."""

BLOCK = 25


def main(file: str, seed: int, steps: int) -> None:
    """Steps, each for a millisecond and what chance adds, and writes the step times and their kinds."""
    source = random.Random(seed)
    with open(file, "w", newline="") as opened:  # noqa: PTH123 - pathlib costs its import in each process
        rows = csv.writer(opened)
        rows.writerow(["kind", "step_s"])
        for step in range(steps):
            is_slow = step // BLOCK % SLOW_EVERY == SLOW_EVERY - 1
            begun = time.perf_counter()
            time.sleep(0.001 + source.expovariate(1000) + SLOW * is_slow)
            rows.writerow(["slow" if is_slow else "train", time.perf_counter() - begun])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
