"""A sweep: an experiment repeated over a grid of parameters, over any executor, to a table with a row for each run."""

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing, nullcontext
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from timersim.lab.counts import check_counts
from timersim.tuning.batches import InProcess, batches, has_died, jobs_of, told
from timersim.tuning.cells import Plan, SweepError, Value
from timersim.tuning.partial_file import PartialFile, name_of

__all__ = ["SweepError", "sweep"]


def sweep(
    experiment: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]],
    repeats: int = 1,
    seed: int = 0,
    executor: Executor | None = None,
    *,
    jobs: int | None = None,
    partial: str | PathLike[str] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Calls an experiment with each combination of the grid's values, `repeats` times, and returns a tidy frame.

    `grid` maps names of parameters to values: numbers, texts, truths. `experiment` takes them by name, and a `seed`;
    it returns results by name, or a number, which is then called `value`. The frame has a row for each call: the
    parameters, `repeat`, `seed`, the results. Names say their unit: `timeout_s`. A cell's seed depends on `seed`, on
    its parameters and its repeat alone, so the frame is the same on every executor, and `experiment(**row)` with the
    parameters and the seed of a row gives its results again.

    Without `executor` it runs in this process, lambdas too. Any other one is used as it is and stays open:
    `ProcessPoolExecutor()`, or a dask cluster's `Client(…).get_executor(pure=False)`; cells are put together so that a
    dispatch takes at least 20 ms, on dask half a second. `jobs` is how many batches it does at once, where it can't be
    asked. With `partial`, a file, what is done is appended to it, and the same call goes on from there.
    `progress` draws a bar on standard error, where that is a terminal, or in a notebook that has
    ipywidgets.

    Raises SweepError for what is no sweep, for a file of another one, and where a process dies. What the experiment
    raises goes through, with a note of the cell.

    >>> sweep(lambda timeout_s, seed: 2 * timeout_s, {"timeout_s": [5, 10]}).drop(columns="seed")
       timeout_s  repeat  value
    0          5       0     10
    1         10       0     20
    """
    plan = Plan.of(grid, repeats, seed)
    over = executor or InProcess()
    if isinstance(over, ProcessPoolExecutor):
        _refuse_what_others_cant_find(experiment)
    if jobs is not None:
        check_counts(SweepError, jobs=jobs)
    with (
        nullcontext() if partial is None else PartialFile(Path(partial), name_of(experiment), plan) as file,
        _bar(shown=progress) as bar,
    ):
        done = dict(file.done) if file else {}
        numbers = [number for number in range(len(plan)) if number not in done]
        task = bar.add_task("sweep", total=len(plan), completed=len(done))
        try:
            with closing(batches(over, experiment, plan, numbers, jobs or jobs_of(over))) as running:
                for batch in running:
                    if file:
                        file.append(batch)
                    done.update(batch)
                    bar.update(task, completed=len(done))
        except Exception as error:
            if not has_died(error):
                raise
            raise told(error, len(done), partial) from None
    return _frame(plan, done)


def _frame(plan: Plan, done: Mapping[int, Mapping[str, Value]]) -> pd.DataFrame:
    """Returns the table, in the order of the grid, whatever came first."""

    def rows() -> Iterator[dict[str, Value]]:
        for number in range(len(plan)):
            cell = plan.cell(number)
            yield {**cell.parameters, "repeat": cell.repeat, "seed": cell.seed, **done[number]}

    return pd.DataFrame(rows())


def _bar(*, shown: bool) -> Progress:
    console = Console(file=sys.stderr)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    is_seen = find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=not (shown and is_seen))


def _refuse_what_others_cant_find(experiment: Callable[..., Any]) -> None:
    try:
        pickle.dumps(experiment)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SweepError(
            f"other processes don't find the experiment ({error}); put it at the top of a module, or leave out executor"
        ) from None
