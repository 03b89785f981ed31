"""How late a reap is: the formula agrees with the simulation, and both with real processes that are really killed."""

import math
from typing import Any, get_args

import numpy as np
import pytest

from timersim import MemoryTimerServer
from timersim.backends import no_leftovers
from timersim.tuning import LatencyError, detection_time, latency_table, reap_latency
from timersim.tuning.simulated_latency import PERIODS, Kind, sliced_period

SAMPLES = 1000

DISTANCE = math.sqrt(math.log(2 / 1e-6) / (2 * SAMPLES))
"""By how much the share of so many samples up to any x differs from what it should be, but once in a million times:
Dvoretzky, Kiefer and Wolfowitz, Annals of Mathematical Statistics 27(3), 1956, with Massart's constant."""


def distance(lateness: Any, period: float, first: float) -> float:
    """Returns by how much the shares of samples differ from those of a uniform distribution, at the worst point."""
    ordered = np.sort(lateness)
    expected = np.clip((ordered - first) / period, 0, 1)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max()))


@pytest.mark.parametrize(
    ("server", "max_interval", "period"),
    [
        *(("polling", 0.25, 0.25), ("polling", 60.0, 60.0)),
        *(("torch-file", 0.25, 0.5), ("torch-file", 1.0, 2.0), ("torch-file", 2.5, 3.0)),
    ],
)
def test_the_formula_of_a_server_that_looks_now_and_then(server: Kind, max_interval: float, period: float) -> None:
    """Lateness is U(0, P), within what chance explains in so many samples; none is later than the bound."""
    latency = reap_latency(server, max_interval=max_interval, samples=SAMPLES, seed=1)

    assert distance(latency.lateness_s, period, 0) < DISTANCE
    assert latency.bound_s == period
    assert latency.lateness_s[-1] <= latency.bound_s
    assert latency.lateness_s[-1] > 0.98 * latency.bound_s


@pytest.mark.parametrize("server", ["polling", "torch-file"])
def test_each_reap_of_a_pass_waits_for_those_before(server: Kind) -> None:
    """The k-th of several workers that hang at once is U(0, P) + k * handling late."""
    latency = reap_latency(server, max_interval=1, workers=3, handling=0.25, samples=SAMPLES, seed=2)
    period = {"polling": 1, "torch-file": 2}[server]

    for reap in (1, 2, 3):
        late = latency.frame.loc[latency.frame["reap"] == reap, "lateness_s"]
        assert distance(late, period, 0.25 * reap) < DISTANCE
    assert latency.bound_s == period + 0.75


def test_a_wrong_formula_would_be_seen() -> None:
    """The distance of the samples to a formula with a period or a handling off by a tenth is above what chance does."""
    late = reap_latency("polling", max_interval=1, samples=SAMPLES).lateness_s

    assert distance(late, 1.1, 0) > DISTANCE
    assert distance(late, 0.9, 0) > DISTANCE
    assert distance(late, 1, 0.1) > DISTANCE


@pytest.mark.parametrize("server", get_args(Kind))
def test_formula_and_simulation_are_one_table(server: Kind) -> None:
    """For each kind of server the formula's quantiles are those of the simulation, to what chance explains."""
    both = [
        reap_latency(server, max_interval=10, workers=2, handling=0.125, samples=SAMPLES, how=how)
        for how in ("formula", "simulated")
    ]
    table = latency_table(both)

    formula, simulation = table.to_dict("records")
    same = ("server", "max_interval_s", "reaps", "bound_s")
    assert (formula["how"], simulation["how"]) == ("formula", "simulated")
    assert [formula[name] for name in same] == [simulation[name] for name in same]
    for column in ("mean_s", "p50_s", "p90_s", "p99_s"):
        assert abs(formula[column] - simulation[column]) <= DISTANCE * PERIODS[server](10) + 1e-6


def test_timersim_is_late_by_its_reaps_alone() -> None:
    """The server that wakes for each expiration is as late as the reaps before and its own take, at any interval."""
    latency = reap_latency(max_interval=3600, workers=3, handling=0.5, samples=10)

    assert latency.frame["lateness_s"].tolist() == [0.5, 1.0, 1.5] * 10
    assert latency.bound_s == 1.5


def test_a_seed_gives_the_same_samples() -> None:
    """The same seed gives the same lateness, another one another."""
    first, again, other = (reap_latency("polling", samples=20, seed=seed).lateness_s.tolist() for seed in (1, 1, 2))

    assert first == again != other


def test_a_server_of_ones_own_is_simulated() -> None:
    """A class, or a function of a world, is as good as a name; its bound is the interval."""

    def mine(world: Any) -> MemoryTimerServer:
        return MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)

    latency = reap_latency(mine, max_interval=5, samples=20)

    assert (latency.lateness_s[-1], latency.bound_s) == (0, 5)
    assert reap_latency(MemoryTimerServer, max_interval=5, samples=20).lateness_s[-1] == 0


@pytest.mark.parametrize("transport", ["socket", "file", "local"])
def test_real_workers_are_killed_in_milliseconds(transport: Any) -> None:
    """Real workers that hang are dead soon after, in order; nothing is left behind."""
    with no_leftovers():
        latency = reap_latency(max_interval=0.2, workers=2, samples=4, how="measured", transport=transport)

    assert latency.frame["reap"].tolist() == [1, 2] * 4
    assert 0 < latency.lateness_s[0] < 0.1
    assert latency.bound_s is None


@pytest.mark.slow
def test_a_real_server_that_polls_is_as_late_as_the_formula_says() -> None:
    """The lateness of real workers under a real polling server is uniform, within chance and what a kill takes."""
    samples, interval = 100, 0.25
    late = reap_latency("polling", max_interval=interval, samples=samples, how="measured", seed=3).lateness_s
    chance = math.sqrt(math.log(2 / 1e-6) / (2 * samples))

    assert distance(late, interval, 0) < chance + 0.2
    assert late[-1] > interval / 2


@pytest.mark.torch
@pytest.mark.parametrize("max_interval", [0.25, 1.0, 2.5, 10.0])
def test_torchs_server_of_a_fifo_sleeps_as_the_model_does(max_interval: float) -> None:
    """Torch's own code, in virtual time, takes as long to its judgement as the model: the slices as they add up.

    Where each sleep is late by a microsecond, as on a machine, it is less by a slice where they come out even.
    """
    module = pytest.importorskip("torch.distributed.elastic.timer.file_based_local_timer")

    class Sleeper:
        """Time that passes in sleeps alone."""

        def __init__(self, late: float) -> None:
            self.now, self.late = 0.0, late

        def time(self) -> float:
            """Returns the time."""
            return self.now

        def sleep(self, seconds: float) -> None:
            """Lets it pass."""
            self.now += seconds + self.late

    class Silent:
        """A FIFO into which nobody writes."""

        def readline(self) -> str:
            """Returns nothing."""
            return ""

    def period(late: float) -> float:
        server = module.FileTimerServer.__new__(module.FileTimerServer)
        server._stop_signaled = server._run_once = False
        sleeper = Sleeper(late)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "time", sleeper)
            server._get_requests(Silent(), max_interval)
        return sleeper.now

    assert period(0) == sliced_period(max_interval)
    piece = min(max_interval, 1)
    assert round(period(1e-6), 3) == piece * math.ceil(max_interval / piece)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"server": "torch"},
            "a server is timersim, polling, torch-file, or a class or function of yours: server='torch'",
        ),
        ({"max_interval": 0}, "max_interval is a number of seconds above 0: 0"),
        ({"handling": -1}, "handling is a number of seconds of at least 0: -1"),
        ({"handling": math.nan}, "handling is a number of seconds of at least 0: nan"),
        ({"workers": 0}, "workers is a whole number of at least 1: workers=0"),
        ({"samples": 1.5}, r"samples is a whole number of at least 1: samples=1\.5"),
        ({"how": "guessed"}, "how is simulated, formula or measured: how='guessed'"),
        ({"how": "formula", "server": MemoryTimerServer}, "there are formulas for .*; simulate it"),
        ({"how": "measured", "handling": 1}, "real reaps take what they take"),
        ({"how": "measured", "transport": "pigeon"}, "the transport is socket, file, local: transport='pigeon'"),
    ],
)
def test_what_cant_be_had_is_a_sentence(wrong: dict[str, Any], message: str) -> None:
    """Each wrong argument is named with its value."""
    with pytest.raises(LatencyError, match=message):
        reap_latency(**wrong)


def test_a_server_that_does_not_reap_has_no_lateness() -> None:
    """Who leaves a hung worker alive is told so, instead of being waited for without end."""

    class Deaf(MemoryTimerServer):
        def _reap_worker(self, worker_id: Any) -> bool:
            return True

    with pytest.raises(RuntimeError, match=r"^\d+ s of virtual time, and of 2 hung workers 0 are reaped$"):
        reap_latency(Deaf, max_interval=1, workers=2, samples=1)


def test_a_number_of_numpys_is_as_good() -> None:
    """How many samples may come out of an array."""
    samples: Any = np.int64(3)

    assert len(reap_latency(samples=samples).frame) == 3


def test_a_hung_worker_holds_the_others_up_for_its_timeout_and_the_lateness() -> None:
    """The detection time of an experiment is the timeout, and on top of it what the reap is late by."""
    late = reap_latency("polling", max_interval=60, samples=200, seed=4).lateness_s
    found = detection_time(timeout_s=30, max_interval_s=60, seed=4)

    assert found == {"detection_s": 30 + late.mean(), "worst_detection_s": 30 + late.max()}
    assert 30 < found["detection_s"] < found["worst_detection_s"] <= 90
