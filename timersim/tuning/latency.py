"""How late a reap is: from the expiration of a timer to the end of its worker; simulated, by formula, and measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from timersim.fakes.servers import ServerMaker
from timersim.lab.counts import is_whole
from timersim.tuning.measured_latency import WIRES, Transport, measured
from timersim.tuning.simulated_latency import PERIODS, Kind, simulated

How = Literal["simulated", "formula", "measured"]

QUANTILES = (0.5, 0.9, 0.99)


class LatencyError(ValueError):
    """A latency that can't be had as asked."""


@dataclass(frozen=True)
class ReapLatency:
    """How late reaps were. `frame` has a row for each: `sample`, `reap` (the first of its sample is 1), `lateness_s`.

    `bound_s` is the latest that the server promises; None where it promises none, as timersim's own in real time.
    """

    name: str
    how: How
    max_interval_s: float
    bound_s: float | None
    frame: pd.DataFrame

    @property
    def lateness_s(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """The lateness of every reap, in seconds, from the earliest to the latest."""
        return np.sort(self.frame["lateness_s"].to_numpy(dtype=float))


def reap_latency(
    server: Kind | ServerMaker = "timersim",
    *,
    max_interval: float = 60.0,
    workers: int = 1,
    handling: float = 0.0,
    samples: int = 1000,
    seed: int = 0,
    how: How = "simulated",
    transport: Transport = "socket",
) -> ReapLatency:
    """Returns how late a server reaps, in each of `samples` situations in which so many `workers` hang at once.

    `server` is "timersim", which wakes for each expiration; "polling", which looks every `max_interval` seconds; or
    "torch-file", which does as torch's server of a FIFO: it sleeps in slices of min(max_interval, 1 s) until *more*
    than max_interval is over. It can be one of your own, as `SimulatedBackend` takes it. `handling` is how many
    seconds each reap takes. Each situation falls at random, by `seed`, between two looks.

    "simulated" runs the server in virtual time, where an hour costs nothing. "formula" is U(0, P) + k * handling for
    the k-th reap of a pass, with a period P of 0, max_interval, or the slices as they add up; `samples` are then its
    evenly spaced quantiles, not drawn. Chance that a request wakes a polling server sooner is left out of both. Where
    sleeps are a little late, as on a real machine, P of "torch-file" is less by up to a slice: from M to 2M for
    max_interval = M <= 1 s.

    "measured" has real processes hang and a real server kill them, over `transport` "socket", "file" or "local", until
    the kernel says that they are dead: choose an interval below a second and some dozens of samples. Needs Linux.
    Raises LatencyError for what can't be had, and RuntimeError where a hung worker is not reaped.

    >>> reap_latency("polling", max_interval=10, how="formula", samples=4).lateness_s.tolist()
    [1.25, 3.75, 6.25, 8.75]
    >>> reap_latency(workers=2, handling=0.5, samples=1).lateness_s.tolist()
    [0.5, 1.0]
    """
    _check(max_interval=max_interval, workers=workers, handling=handling, samples=samples)
    name = server if isinstance(server, str) else getattr(server, "__qualname__", str(server))
    if isinstance(server, str) and server not in PERIODS:
        raise LatencyError(f"a server is {', '.join(PERIODS)}, or a class or function of yours: server={server!r}")
    period = PERIODS[server](max_interval) if isinstance(server, str) else max_interval
    bound: float | None = period + workers * handling
    match how:
        case "simulated":
            rows = simulated(server, max_interval, workers, handling, samples, seed)
        case "formula":
            if not isinstance(server, str):
                raise LatencyError(f"there are formulas for {', '.join(PERIODS)} only: server={name}; simulate it")
            rows = _formula(period, workers, handling, samples)
        case "measured":
            if handling or server == "torch-file":
                raise LatencyError("real reaps take what they take, by timersim's own servers; simulate the rest")
            if transport not in WIRES:
                raise LatencyError(f"the transport is {', '.join(WIRES)}: transport={transport!r}")
            rows = measured(server, max_interval, workers, samples, seed, transport)
            bound = None if server == "timersim" else bound
        case _:
            raise LatencyError(f"how is simulated, formula or measured: how={how!r}")
    return ReapLatency(name, how, max_interval, bound, pd.DataFrame(rows, columns=["sample", "reap", "lateness_s"]))


def detection_time(
    timeout_s: float, max_interval_s: float, seed: int = 0, server: Kind = "polling", samples: int = 200
) -> dict[str, float]:
    """Returns how long a hung worker holds the others up, from the beginning of its step: an experiment for `sweep`.

    In seconds, on average and at worst over so many simulated hangs, with a timeout and a server's `max_interval`.

    >>> detection_time(timeout_s=30, max_interval_s=60, server="timersim")
    {'detection_s': 30.0, 'worst_detection_s': 30.0}
    """
    lateness = reap_latency(server, max_interval=max_interval_s, samples=samples, seed=seed).lateness_s
    return {
        "detection_s": timeout_s + float(lateness.mean()),
        "worst_detection_s": timeout_s + float(lateness[-1]),
    }


def latency_table(latencies: Sequence[ReapLatency]) -> pd.DataFrame:
    """Returns a row for each latency: the mean, some quantiles, the worst, and the bound, all in seconds.

    >>> latency_table([reap_latency("polling", max_interval=10, how="formula")])[["server", "p50_s", "bound_s"]]
        server  p50_s  bound_s
    0  polling    5.0     10.0
    """
    return pd.DataFrame(
        {
            "server": each.name,
            "how": each.how,
            "max_interval_s": each.max_interval_s,
            "reaps": len(each.frame),
            "mean_s": each.lateness_s.mean(),
            **{f"p{q * 100:.0f}_s": float(np.quantile(each.lateness_s, q)) for q in QUANTILES},
            "worst_s": each.lateness_s[-1],
            "bound_s": math.nan if each.bound_s is None else each.bound_s,
        }
        for each in latencies
    )


def _formula(period: float, workers: int, handling: float, samples: int) -> list[tuple[int, int, float]]:
    return [
        (sample, reap, period * (sample + 0.5) / samples + reap * handling)
        for sample in range(samples)
        for reap in range(1, workers + 1)
    ]


def _check(**values: float) -> None:
    for name, value in values.items():
        if name in {"workers", "samples"} and not is_whole(value):
            raise LatencyError(f"{name} is a whole number of at least 1: {name}={value!r}")
        if not 0 <= value < math.inf or (name == "max_interval" and value == 0):
            raise LatencyError(
                f"{name} is a number of seconds {'of at least' if name == 'handling' else 'above'} 0: {value!r}"
            )
