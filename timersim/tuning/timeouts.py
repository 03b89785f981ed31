"""Which timeout: how many healthy workers one kills, and which one kills no more than a budget allows."""

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike

import pandas as pd

from timersim.lab.counts import is_whole
from timersim.tuning.simulated_latency import PERIODS, Kind
from timersim.tuning.step_times import StepTimes, StepTimesError, enough, step_times, step_times_by
from timersim.tuning.tails import Array, Tail

WIDE = 3.0
"""How many times as long as the timeout the upper end of its interval may be before it is said."""


class UncertainTimeoutWarning(UserWarning):
    """A timeout of which too little is known."""


@dataclass(frozen=True)
class FalseReaps:
    """The probability that a run reaps a healthy worker, `low` and `high` being the ends of its interval.

    `per_step` is that of a single step of one rank.
    """

    probability: float
    low: float
    high: float
    per_step: float


@dataclass(frozen=True)
class Timeout:
    """A timeout of so many `seconds`, `low` and `high` being the ends of its interval.

    It is exceeded by a healthy step with probability `beyond`, as known from `observations` step times, the longest of
    which took `longest` seconds.
    """

    seconds: float
    low: float
    high: float
    beyond: float
    observations: int
    longest: float


def false_reap_probability(
    times: StepTimes, timeout: float, *, steps: int, ranks: int = 1, confidence: float = 0.95, column: str | None = None
) -> FalseReaps:
    """Returns how probable it is that a timeout kills a healthy worker in a run of so many `steps` on so many `ranks`.

    `times` are recorded step times in seconds: a list, an array, a frame or the path of a CSV file; of the latter two
    the `column`. With p = P(X > timeout) for one step it is 1 - (1 - p)^(steps * ranks), as steps that are independent
    have it; that steps of different ranks wait for one another makes it less. Beyond nine tenths of the observations p
    is that of a generalized Pareto fit, with the interval of its profile likelihood (Coles 2001, 4.3), and below the
    share that was observed, with that of Clopper and Pearson. Raises StepTimesError for fewer than 100 step times.

    >>> import numpy as np
    >>> times = np.random.default_rng(1).exponential(size=2000)
    >>> found = false_reap_probability(times, 12, steps=1000, ranks=8)
    >>> bool(found.low < 1 - (1 - np.exp(-12)) ** 8000 < found.high)
    True
    """
    _check(timeout=timeout, steps=steps, ranks=ranks, confidence=confidence)
    tail = Tail.of(enough(step_times(times, column)))
    per_step, low, high = tail.beyond(timeout, confidence=confidence)
    probability, least, most = (
        -math.expm1(steps * ranks * math.log1p(-min(each, 1 - 1e-15))) for each in (per_step, low, high)
    )
    return FalseReaps(probability, least, most, per_step)


def choose_timeout(
    times: StepTimes,
    *,
    steps: int,
    ranks: int = 1,
    budget: float = 0.01,
    confidence: float = 0.95,
    column: str | None = None,
) -> Timeout:
    """Returns the timeout that reaps a healthy worker with probability `budget` in a run of `steps` on `ranks`.

    It is the quantile 1 - budget / (steps * ranks) of the step times: by the union bound no more than the budget,
    whatever depends on what. Mostly that is far beyond what was recorded, so it is a guess from the tail, with its
    interval; `high` is the careful choice. An UncertainTimeoutWarning says where the interval is so wide that more
    should be recorded. Steps of different kinds, such as warm-up, checkpoint and evaluation, are no tail but a
    mixture: for them there is `choose_timeouts`. See `false_reap_probability` for the rest.

    >>> import numpy as np
    >>> chosen = choose_timeout(np.random.default_rng(1).exponential(size=5000), steps=1000, ranks=8)
    >>> bool(chosen.low < -np.log(0.01 / 8000) < chosen.high)
    True
    """
    _check(steps=steps, ranks=ranks, budget=budget, confidence=confidence)
    return _chosen(enough(step_times(times, column)), float(budget / (steps * ranks)), confidence)


def choose_timeouts(
    times: pd.DataFrame | str | PathLike[str],
    *,
    steps: int | Mapping[str, int],
    ranks: int = 1,
    budget: float = 0.01,
    by: str = "kind",
    few: float | None = None,
    confidence: float = 0.95,
    column: str | None = None,
) -> dict[str, Timeout]:
    """Returns a timeout for each kind of step: of the column `by`, such as "warm-up", "train" and "checkpoint".

    Each kind has the same part of the budget. `steps` are shared out as they were recorded, or given for each kind. Of
    a kind with too few step times, as a warm-up mostly has, nothing can be said by its tail: StepTimesError, unless
    with `few` it is that many times the longest recorded, with no upper end (NVIDIA's resiliency extension takes 5).

    >>> import numpy as np
    >>> times = np.random.default_rng(1).exponential(size=5000)
    >>> frame = pd.DataFrame({"step_s": [*times, 30.0, 40.0], "kind": ["train"] * 5000 + ["warm-up"] * 2})
    >>> chosen = choose_timeouts(frame, steps={"train": 1000, "warm-up": 1}, ranks=8, few=5)
    >>> chosen["warm-up"].seconds, 10 < chosen["train"].seconds < 20
    (200.0, True)
    """
    _check(**({} if few is None else {"few": few}))
    kinds = step_times_by(times, by, column)
    recorded = sum(map(len, kinds.values()))
    if isinstance(steps, Mapping):
        given = {str(kind): number for kind, number in steps.items()}
        if missing := [kind for kind in kinds if kind not in given]:
            raise StepTimesError(f"steps says of each kind how many there are: {', '.join(missing)} is missing")
        numbers = {kind: given[kind] for kind in kinds}
    else:
        _check(steps=steps)
        numbers = {kind: max(1, round(steps * len(found) / recorded)) for kind, found in kinds.items()}
    chosen: dict[str, Timeout] = {}
    for kind, found in kinds.items():
        _check(steps=numbers[kind], ranks=ranks, budget=budget, confidence=confidence)
        beyond = float(budget / len(kinds) / (numbers[kind] * ranks))
        try:
            chosen[kind] = _chosen(enough(found, f"step times of kind {kind!r}"), beyond, confidence)
        except StepTimesError as error:
            if few is None:
                raise StepTimesError(f"{error}; or few=5 for five times the longest") from None
            longest = float(found.max())
            chosen[kind] = Timeout(few * longest, longest, math.inf, beyond, len(found), longest)
    return chosen


def timeout_table(chosen: Mapping[str, Timeout]) -> pd.DataFrame:
    """Returns a row for each timeout, in seconds, with its interval and what it is known from.

    >>> timeout_table({"train": Timeout(20, 15, 30, 1e-9, 5000, 12.5)})[["kind", "timeout_s", "low_s", "high_s"]]
        kind  timeout_s  low_s  high_s
    0  train         20     15      30
    """
    return pd.DataFrame(
        {
            "kind": kind,
            "timeout_s": each.seconds,
            "low_s": each.low,
            "high_s": each.high,
            "longest_s": each.longest,
            "observations": each.observations,
            "beyond": each.beyond,
        }
        for kind, each in chosen.items()
    )


def timeout_tradeoff(
    times: StepTimes,
    timeouts: Iterable[float],
    *,
    steps: int,
    ranks: int = 1,
    server: Kind = "timersim",
    max_interval: float = 60.0,
    confidence: float = 0.95,
    column: str | None = None,
) -> pd.DataFrame:
    """Returns for each timeout what it costs: false reaps in a run, and how long a hung worker holds the others up.

    The latter is counted from the beginning of the step that hangs: the timeout, and how late a reap of such a
    `server` is, on average and at worst (see `reap_latency`), in seconds.

    >>> import numpy as np
    >>> times = np.random.default_rng(1).exponential(size=2000)
    >>> frame = timeout_tradeoff(times, [10, 20], steps=1000, server="polling", max_interval=4)
    >>> frame[["timeout_s", "detection_s", "worst_detection_s"]].to_numpy().tolist()
    [[10.0, 12.0, 14.0], [20.0, 22.0, 24.0]]
    """
    _check(max_interval=max_interval)
    if server not in PERIODS:
        raise ValueError(f"a server is {', '.join(PERIODS)}: server={server!r}")
    recorded, period = step_times(times, column), PERIODS[server](max_interval)
    rows = []
    for timeout in timeouts:
        found = false_reap_probability(recorded, timeout, steps=steps, ranks=ranks, confidence=confidence)
        rows.append(
            {
                "timeout_s": float(timeout),
                "detection_s": timeout + period / 2,
                "worst_detection_s": float(timeout + period),
                "false_reaps": found.probability,
                "low": found.low,
                "high": found.high,
            }
        )
    if not rows:
        raise ValueError("a tradeoff has at least one timeout: timeouts=[]")
    return pd.DataFrame(rows)


def _chosen(times: Array, beyond: float, confidence: float) -> Timeout:
    seconds, low, high = Tail.of(times).quantile(beyond, confidence=confidence)
    if high > WIDE * seconds:
        warnings.warn(
            f"the timeout is known only to lie between {low:.3g} s and {high:.3g} s: {len(times)} step times say little"
            f" about one step in {1 / beyond:.1g}; record more, or take the upper end",
            UncertainTimeoutWarning,
            stacklevel=3,
        )
    return Timeout(seconds, low, high, beyond, len(times), float(times.max()))


def _check(**values: float) -> None:
    for name, value in values.items():
        if name in {"steps", "ranks"}:
            if not is_whole(value):
                raise ValueError(f"{name} is a whole number of at least 1: {name}={value!r}")
        elif name in {"timeout", "max_interval"}:
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is a number of seconds above 0: {name}={value!r}")
        elif name == "few":
            if not 1 <= value < math.inf:
                raise ValueError(f"few is how many times the longest a timeout is, at least once: few={value!r}")
        elif not 0 < value < 1:
            raise ValueError(f"{name} is a probability between 0 and 1: {name}={value!r}")
