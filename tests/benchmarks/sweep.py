"""A sweep of cells of a millisecond over processes, against `ProcessPoolExecutor.map` chunked by hand."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter, process_time

from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import compare

CELL = 0.001
"""Seconds of a processor's time that a cell takes."""

CHUNK = 50
"""How many cells are sent at once by hand: 50 ms of them."""


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured."""
    against = "ProcessPoolExecutor.map, chunked by hand"
    yield Benchmark("sweep, cells of 1 ms", against, Target("<=", 1.2), measured)


def measured(size: Size) -> Result:
    """Times both sides."""
    jobs = os.cpu_count() or 1
    cells = size.times(2_000 * jobs, 40)
    return in_time(compare(partial(ours, cells, jobs), partial(floor, cells, jobs), size.rounds(7)), "ms")


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
