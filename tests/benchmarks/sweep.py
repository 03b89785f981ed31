"""A sweep of cells of a millisecond over processes, against `ProcessPoolExecutor.map` chunked by hand."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter, process_time

from .side_by_side import compare

CELL = 0.001
"""Seconds of a processor's time that a cell takes."""

CHUNK = 50
"""How many cells are sent at once by hand: 50 ms of them."""


def rows(scale: float) -> Iterator[str]:
    """Yields the line of the report."""
    jobs = os.cpu_count() or 1
    cells = max(40, int(2_000 * jobs * scale))
    result = compare(partial(ours, cells, jobs), partial(floor, cells, jobs), rounds=max(1, int(7 * scale)))
    yield (
        f"sweep, {cells:,} cells of 1 ms:       {result.ours * 1e3:6.2f} ms a cell, floor {result.floor * 1e3:6.2f} ms,"
        f" {result.ratio:.2f}x (<= 1.2x)"
    )


def cell(number: int, seed: int) -> float:
    """Computes for a millisecond."""
    end = process_time() + CELL
    while process_time() < end:
        pass
    return number + seed % 2


def ours(cells: int, jobs: int) -> float:
    """With `sweep`, to a frame; seconds a cell."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as executor:
        _warm(executor, jobs)
        from timersim.tuning import sweep  # here: pandas has threads, and all else forks

        begun = perf_counter()
        frame = sweep(cell, {"number": range(cells)}, executor=executor)
        taken = perf_counter() - begun
    assert len(frame) == cells
    return taken / cells


def floor(cells: int, jobs: int) -> float:
    """By hand: a chunk of the numbers at a time, and a list; seconds a cell."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as executor:
        _warm(executor, jobs)
        begun = perf_counter()
        done = list(executor.map(cell, range(cells), range(cells), chunksize=CHUNK))
        taken = perf_counter() - begun
    assert len(done) == cells
    return taken / cells


def _warm(executor: ProcessPoolExecutor, jobs: int) -> None:
    list(executor.map(cell, range(4 * jobs), range(4 * jobs)))
