"""Step times as people have them: a list, an array, a frame, or the path of a CSV file."""

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from timersim.tuning.tails import LEAST, Array

StepTimes = Iterable[float] | pd.DataFrame | str | PathLike[str]
"""Seconds of each step."""

FEWEST = 5 * LEAST
"""How many step times there are at least: of fewer nobody can say what the tail is like."""


class StepTimesError(ValueError):
    """Step times that can't be read, or of which nothing can be said."""


def step_times(source: StepTimes, column: str | None = None) -> Array:
    """Returns step times in seconds, in their order.

    Of a frame or a file they are the `column`, which need not be named where it is the only one of numbers.

    >>> step_times([1, 2.5]).tolist()
    [1.0, 2.5]
    """
    values: Any = source
    if isinstance(source, pd.DataFrame | str | PathLike):
        frame = _frame(source)
        values = frame[_column(frame, column)]
    try:
        times = np.asarray(list(values), dtype=float).ravel()
    except (TypeError, ValueError):
        raise StepTimesError(f"step times are numbers of seconds: {values!r:.80}") from None
    wrong = times[~(np.isfinite(times) & (times >= 0))]
    if len(wrong):
        raise StepTimesError(f"step times are numbers of seconds of at least 0: {wrong[0]}; leave such steps out")
    return times


def step_times_by(source: pd.DataFrame | str | PathLike[str], kind: str, column: str | None = None) -> dict[str, Array]:
    """Returns the step times of each kind of step, by the column `kind`, in the order of the alphabet."""
    frame = _frame(source)
    if kind not in frame.columns:
        raise StepTimesError(f"there is no column {kind!r}: {', '.join(map(str, frame.columns))}")
    if unnamed := int(frame[kind].isna().sum()):
        raise StepTimesError(
            f"{unnamed} of {len(frame)} step times have no {kind!r}; name their kind, or leave them out"
        )
    chosen = _column(frame.drop(columns=kind), column)
    return {str(name): step_times(times, chosen) for name, times in frame.groupby(kind)[chosen]}


def enough(times: Array, what: str = "step times") -> Array:
    """Returns step times of which something can be said; StepTimesError with the number of others."""
    if len(times) < FEWEST:
        raise StepTimesError(f"{len(times)} {what} are too few to tell a tail from: record at least {FEWEST}")
    if len(np.unique(np.sort(times)[-LEAST - 1 :])) < LEAST / 2:
        raise StepTimesError(
            f"the longest {what} are the same, {times.max():g} s: too coarse to tell a tail from; record them finer"
        )
    return times


def _frame(source: pd.DataFrame | str | PathLike[str]) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    try:
        return pd.read_csv(source)
    except OSError as error:
        raise StepTimesError(f"the step times can't be read: {error}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StepTimesError(f"{source} is no CSV file with a line of names: {error}") from None


def _column(frame: pd.DataFrame, column: Any) -> Any:
    """Returns the label of the column of step times: that of a frame need not be a text."""
    if column is not None:
        if column not in frame.columns:
            raise StepTimesError(f"there is no column {column!r}: {', '.join(map(str, frame.columns))}")
        return column
    numbers = list(frame.select_dtypes("number").columns)
    if len(numbers) != 1:
        raise StepTimesError(
            f"which column has the step times? column=… is one of: {', '.join(map(str, numbers)) or 'none'}"
        )
    return numbers[0]
