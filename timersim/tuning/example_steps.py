"""Step times of a training run that never was, to try things on before one has recorded one's own."""

import numpy as np
import pandas as pd


def example_step_times(train: int = 5000, checkpoint: int = 100, warm_up: int = 20, seed: int = 0) -> pd.DataFrame:
    """Returns step times in seconds, drawn at random: columns `kind` and `step_s`, so many rows of each kind.

    A training step takes about 2 s (log-normal, sigma 0.15), one that saves a checkpoint about 8 s (sigma 0.25), one
    that warms up 20 s and more (exponential, 5 s on average). The same seed gives the same frame.

    >>> example_step_times(train=2, checkpoint=1, warm_up=0).round(2)
             kind  step_s
    0       train    2.04
    1       train    1.96
    2  checkpoint    9.39
    """
    chance = np.random.default_rng(seed)
    times = {
        "warm-up": 20 + 5 * chance.exponential(size=warm_up),
        "train": 2 * chance.lognormal(0, 0.15, size=train),
        "checkpoint": 8 * chance.lognormal(0, 0.25, size=checkpoint),
    }
    kinds = [kind for kind, found in times.items() for _ in found]
    return pd.DataFrame({"kind": kinds, "step_s": np.concatenate(list(times.values()))})
