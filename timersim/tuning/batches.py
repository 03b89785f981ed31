"""The batches of a sweep: cells put together so that what a dispatch costs is little beside what it does."""

import math
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any

from timersim.clock import SystemClock
from timersim.tuning.cells import Plan, SweepError, Value, call

LEAST, LEAST_ON_DASK = 0.02, 0.5
"""Seconds that a dispatch takes at least, once it is known how long a cell does: a process's costs a tenth of a
millisecond, one of dask's scheduler some milliseconds, and it has many to do."""

MOST = 2.0
"""Seconds that a dispatch takes at most where cells are short: what an interrupt loses."""

GROWTH = 8
"""How many times as many cells as the largest batch before a batch may have."""

AHEAD = 3
"""How many batches for each job are under way, so that none waits for the next."""

Done = tuple[int, dict[str, Value]]
"""The number of a cell, and its results."""


class InProcess(Executor):
    """Runs what is submitted at once, in this process and thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs it, and returns a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def is_dask(executor: Executor) -> bool:
    """Returns whether an executor is a dask cluster's."""
    return type(executor).__module__.partition(".")[0] == "distributed"


def jobs_of(executor: Executor) -> int:
    """Returns how many batches an executor does at once, as far as it can be told."""
    if isinstance(executor, InProcess):
        return 1
    if is_dask(executor):
        return max(1, sum(executor._client.ncores().values()))  # type: ignore[attr-defined]  # the executor's only way to its client
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


def run_batch(experiment: Callable[..., Any], plan: Plan, numbers: Sequence[int]) -> tuple[list[Done], float]:
    """Runs the cells of these numbers; returns their results, and how many seconds they took."""
    clock = SystemClock()
    begun = clock.monotonic()
    done = [(number, call(experiment, plan.cell(number))) for number in numbers]
    return done, clock.monotonic() - begun


def batches(
    executor: Executor, experiment: Callable[..., Any], plan: Plan, numbers: Sequence[int], jobs: int
) -> Generator[list[Done]]:
    """Runs the cells of these numbers over an executor, and yields what is done, batch by batch, as it comes.

    What is left undone when the generator is closed is cancelled.
    """
    least = LEAST_ON_DASK if is_dask(executor) else LEAST
    ahead = 1 if isinstance(executor, InProcess) else AHEAD * jobs
    pending: set[Future[tuple[list[Done], float]]] = set()
    begin, done, taken, largest = 0, 0, 0.0, 1
    try:
        while pending or begin < len(numbers):
            while begin < len(numbers) and len(pending) < (ahead if done else min(jobs, ahead)):
                size = batch_size(len(numbers) - begin, taken / done, least, jobs, largest) if done else 1
                pending.add(executor.submit(run_batch, experiment, plan, numbers[begin : begin + size]))
                begin += size
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                results, seconds = future.result()
                done, taken, largest = done + len(results), taken + seconds, max(largest, len(results))
                yield results
    finally:
        for future in pending:
            future.cancel()


def batch_size(left: int, cell: float, least: float, jobs: int, largest: int) -> int:
    """Returns how many of the cells that are `left` go into the next batch, where one takes `cell` seconds.

    First large ones, then ever smaller ones so that all jobs end at about the same time, none below `least` seconds.

    >>> batch_size(10_000, cell=0.001, least=0.02, jobs=2, largest=1000), batch_size(20, 0.001, 0.02, 2, 1000)
    (1250, 20)
    >>> batch_size(10_000, cell=0.001, least=0.02, jobs=2, largest=1), batch_size(100, 60, 0.02, 2, 1)
    (8, 1)
    """
    if cell <= 0:
        return min(left, GROWTH * largest)
    wanted = max(least, min(MOST, left * cell / (4 * jobs)))
    return max(1, min(left, GROWTH * largest, math.ceil(wanted / cell)))


def has_died(error: BaseException) -> bool:
    """Returns whether an error is an executor's, of which a process has died: dask's after some attempts."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def told(error: BaseException, done: int, partial: object) -> SweepError:
    """Returns the sentence for an executor whose processes are no more."""
    way_out = f"; call it again with partial={str(partial)!r} to go on" if partial else "; give partial=FILE to go on"
    return SweepError(
        f"a process of the sweep has died, after {done:,} cells: killed, or out of memory ({error}){way_out}"
    )
