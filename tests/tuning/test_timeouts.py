"""A timeout from step times: within its stated uncertainty of the truth, which is known here, and on real processes."""

import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from timersim.tuning import (
    StepTimesError,
    Timeout,
    UncertainTimeoutWarning,
    choose_timeout,
    choose_timeouts,
    example_step_times,
    false_reap_probability,
    timeout_table,
    timeout_tradeoff,
)

STEPS, RANKS, BUDGET = 1000, 8, 0.05

ONES = stats.expon().rvs(1000, random_state=1)
"""Step times of a second, with an exponential tail."""

DISTRIBUTIONS = {
    "exponential": stats.expon(),
    "heavy": stats.genpareto(0.2),
    "lognormal": stats.lognorm(0.3),
    "normal": stats.norm(10, 1),
}


def covered(distribution: Any, sets: int, size: int) -> tuple[int, int]:
    """Returns in how many sets of observations the true timeout, and the true probability, lie in their intervals."""
    truth = float(distribution.isf(BUDGET / (STEPS * RANKS)))
    probability = -math.expm1(STEPS * RANKS * math.log1p(-float(distribution.sf(truth))))
    timeouts = reaps = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncertainTimeoutWarning)
        for seed in range(sets):
            times = np.maximum(0, distribution.rvs(size, random_state=seed))
            chosen = choose_timeout(times, steps=STEPS, ranks=RANKS, budget=BUDGET)
            found = false_reap_probability(times, truth, steps=STEPS, ranks=RANKS)
            timeouts += chosen.low <= truth <= chosen.high
            reaps += found.low <= probability <= found.high
    return timeouts, reaps


def test_the_truth_lies_in_the_interval() -> None:
    """The true timeout, and the true probability, lie in the 95 % intervals, but for what chance explains."""
    sets = 12

    timeouts, reaps = covered(DISTRIBUTIONS["exponential"], sets, 500)

    assert min(timeouts, reaps) >= stats.binom.ppf(1e-3, sets, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_truth_lies_in_the_interval_for_each_tail(name: str) -> None:
    """So it is where the tail is heavy, light or in between, and not Pareto: at least nine in ten, within chance."""
    sets = 60

    timeouts, reaps = covered(DISTRIBUTIONS[name], sets, 2000)

    assert min(timeouts, reaps) >= stats.binom.ppf(1e-3, sets, 0.9)


def test_an_interval_that_is_too_narrow_would_be_seen() -> None:
    """With half of the confidence the truth is missed more often than chance explains at 95 %."""
    truth = DISTRIBUTIONS["exponential"].isf(1e-3)
    hits = 0
    for seed in range(40):
        times = DISTRIBUTIONS["exponential"].rvs(300, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UncertainTimeoutWarning)
            chosen = choose_timeout(times, steps=1, budget=1e-3, confidence=0.5)
        hits += chosen.low <= truth <= chosen.high

    assert hits < stats.binom.ppf(1e-3, 40, 0.95)


def test_the_formula_agrees_with_runs_that_are_drawn() -> None:
    """1 - (1-p)^(n r): of so many simulated runs so many reap somebody as it says, within the Monte-Carlo error."""
    times = stats.expon().rvs(20_000, random_state=5)
    timeout, steps, ranks, runs = 5.0, 20, 4, 4000
    found = false_reap_probability(times, timeout, steps=steps, ranks=ranks)

    drawn = np.random.default_rng(6).choice(times, size=(runs, steps * ranks))
    share = float((drawn.max(axis=1) > timeout).mean())

    error = 4 * math.sqrt(share * (1 - share) / runs)
    assert found.low - error < share < found.high + error
    assert abs(found.probability - share) < error + 0.15 * share
    assert found.probability == pytest.approx(1 - (1 - found.per_step) ** (steps * ranks))
    assert found.probability < steps * ranks * found.per_step


def test_the_two_are_inverse() -> None:
    """The timeout for a probability has that probability; so have the ends of the interval."""
    chosen = choose_timeout(ONES, steps=STEPS, ranks=RANKS, budget=BUDGET)

    found = false_reap_probability(ONES, chosen.seconds, steps=STEPS, ranks=RANKS)
    assert found.per_step == pytest.approx(chosen.beyond)
    assert false_reap_probability(ONES, chosen.high, steps=STEPS, ranks=RANKS).high == pytest.approx(BUDGET, rel=0.1)
    assert chosen.low < chosen.seconds < chosen.high


def test_more_steps_ranks_and_care_want_longer_timeouts() -> None:
    """The timeout grows with the steps, the ranks and a smaller budget, which count alike."""

    def seconds(**changes: Any) -> float:
        return choose_timeout(ONES, **{"steps": 100, "ranks": 1, "budget": 0.1, **changes}).seconds

    assert seconds() < seconds(steps=1000) == seconds(ranks=10) == pytest.approx(seconds(budget=0.01))


def test_what_was_observed_needs_no_fit() -> None:
    """Within the observations the probability is their share, and the timeout one of them."""
    times = np.arange(1, 1001) / 1000

    found = false_reap_probability(times, 0.5, steps=1)
    assert found.per_step == 0.5
    assert 0.46 < found.low < 0.5 < found.high < 0.54
    chosen = choose_timeout(times, steps=1, budget=0.5)
    assert chosen.seconds == 0.5
    assert 0.46 < chosen.low < 0.5 < chosen.high < 0.54


def test_a_timeout_beyond_a_tail_that_ends_kills_nobody_for_sure() -> None:
    """Where the tail seems to end before the timeout the estimate and its lower end are 0, the upper end is not."""
    found = false_reap_probability(np.arange(1, 1001) / 1000, 1.5, steps=1000)

    assert (found.probability, found.low) == (0, 0)
    assert 0 < found.high < 0.1


def test_a_wide_interval_is_said() -> None:
    """A timeout far beyond what was recorded warns, and says between what it lies."""
    with pytest.warns(UncertainTimeoutWarning, match=r"known only to lie between .* s and .* s: 100 step times say li"):
        choose_timeout(ONES[:100], steps=10**6, ranks=1000)


@pytest.mark.parametrize("kind", ["list", "array", "series", "frame", "named", "file"])
def test_step_times_come_in_many_shapes(kind: str, tmp_path: Path) -> None:
    """A list, an array, a series, a frame and a CSV file of the same step times give the same timeout."""
    frame = pd.DataFrame({"step_s": ONES, "host": "a"})
    path = tmp_path / "steps.csv"
    frame.to_csv(path, index=False)
    sources: dict[str, tuple[Any, str | None]] = {
        "list": (ONES.tolist(), None),
        "array": (ONES, None),
        "series": (frame["step_s"], None),
        "frame": (frame, None),
        "named": (frame.assign(loss=1.0), "step_s"),
        "file": (path, None),
    }
    times, column = sources[kind]

    found = choose_timeout(times, steps=100, budget=0.1, column=column)

    assert found.seconds == pytest.approx(choose_timeout(ONES, steps=100, budget=0.1).seconds)


def test_kinds_of_steps_have_timeouts_of_their_own() -> None:
    """Checkpoints, which take longer, don't make the timeout of the others longer; all share the budget."""
    frame = pd.DataFrame(
        {
            "step_s": [*ONES[:800], *(60 + ONES[800:]), 30.0],
            "kind": ["train"] * 800 + ["checkpoint"] * 200 + ["warm-up"],
        }
    )

    steps = {"train": 800, "checkpoint": 200, "warm-up": 1}
    chosen = choose_timeouts(frame, steps=steps, budget=0.3, few=5)

    assert list(chosen) == ["checkpoint", "train", "warm-up"]
    assert chosen["train"] == choose_timeout(ONES[:800], steps=800, budget=0.1)
    assert 60 < chosen["checkpoint"].seconds < 75
    assert chosen["warm-up"] == Timeout(150, 30, math.inf, 0.3 / 3, 1, 30)
    assert timeout_table(chosen)["timeout_s"].tolist() == [each.seconds for each in chosen.values()]


def test_steps_are_shared_out_as_they_were_recorded() -> None:
    """Without a number for each kind, each has its share of the steps."""
    frame = pd.DataFrame({"step_s": ONES, "kind": ["a"] * 750 + ["b"] * 250})
    chosen = choose_timeouts(frame, steps=100, budget=0.2)

    assert [each.beyond for each in chosen.values()] == pytest.approx([0.1 / 75, 0.1 / 25])


def test_a_tradeoff_has_a_row_for_each_timeout() -> None:
    """A longer timeout kills fewer, and holds the others up for longer."""
    frame = timeout_tradeoff(ONES, [5, 10, 20], steps=100, server="polling", max_interval=60)

    assert frame["timeout_s"].tolist() == [5, 10, 20]
    assert frame["worst_detection_s"].tolist() == [65, 70, 80]
    assert frame["false_reaps"].is_monotonic_decreasing
    assert (frame["low"] <= frame["false_reaps"]).all()


FEW = list(ONES[:99])


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        (FEW, {}, "99 step times are too few to tell a tail from: record at least 100"),
        ([1.0] * 500, {}, "the longest step times are the same, 1 s: too coarse"),
        ([*FEW, -1.0], {}, r"step times are numbers of seconds of at least 0: -1\.0; leave such steps out"),
        ([*FEW, math.nan], {}, "of at least 0: nan"),
        (["a"], {}, r"step times are numbers of seconds: \['a'\]"),
        ("nowhere.csv", {}, "the step times can't be read: .*nowhere.csv"),
        (pd.DataFrame({"a": ONES, "b": ONES}), {}, "which column has the step times.* is one of: a, b"),
        (pd.DataFrame({"a": ONES}), {"column": "b"}, "there is no column 'b': a"),
    ],
)
def test_step_times_of_which_nothing_can_be_said(times: Any, options: dict[str, Any], message: str) -> None:
    """Too few, too coarse, or no step times at all: a sentence with the value, and the way out."""
    with pytest.raises(StepTimesError, match=message):
        choose_timeout(times, steps=10, **options)


def test_a_kind_with_too_few_step_times_is_named() -> None:
    """Of a mixture the sentence names the kind, and what can be done."""
    frame = pd.DataFrame({"step_s": [*ONES, 9.0], "kind": ["train"] * 1000 + ["warm-up"]})

    with pytest.raises(StepTimesError, match=r"1 step times of kind 'warm-up' are too few .*; or few=5 for five times"):
        choose_timeouts(frame, steps=10)
    with pytest.raises(StepTimesError, match="how many there are: warm-up is missing"):
        choose_timeouts(frame, steps={"train": 10})
    with pytest.raises(StepTimesError, match="there is no column 'phase': step_s, kind"):
        choose_timeouts(frame, steps=10, by="phase")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps is a whole number of at least 1: steps=0"),
        ({"ranks": 1.5}, r"ranks is a whole number of at least 1: ranks=1\.5"),
        ({"budget": 1}, "budget is a probability between 0 and 1: budget=1"),
        ({"confidence": 0}, "confidence is a probability between 0 and 1: confidence=0"),
    ],
)
def test_wrong_numbers_are_named(wrong: dict[str, Any], message: str) -> None:
    """Each wrong argument is named with its value."""
    with pytest.raises(ValueError, match=message):
        choose_timeout(ONES, **{"steps": 10, **wrong})
    with pytest.raises(ValueError, match="timeout is a number of seconds above 0: timeout=0"):
        false_reap_probability(ONES, 0, steps=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"server": "torch"}, "a server is timersim, polling, torch-file: server='torch'"),
        ({"timeouts": []}, r"a tradeoff has at least one timeout: timeouts=\[\]"),
        ({"max_interval": -4}, "max_interval is a number of seconds above 0: max_interval=-4"),
        ({"server": "torch-file", "max_interval": 0}, "max_interval is a number of seconds above 0: max_interval=0"),
    ],
)
def test_a_tradeoff_of_no_such_server_is_a_sentence(wrong: dict[str, Any], message: str) -> None:
    """A server that there is not, or that never looks, has no lateness."""
    with pytest.raises(ValueError, match=message):
        timeout_tradeoff(ONES, **{"timeouts": [10], "steps": 10, **wrong})


@pytest.mark.parametrize("few", [0.5, -5, math.inf, math.nan])
def test_a_kind_of_which_little_is_known_gets_no_timeout_below_its_longest(few: float) -> None:
    """Less than the longest recorded would kill what was seen to be healthy."""
    frame = pd.DataFrame({"step_s": [*ONES, 9.0], "kind": ["train"] * 1000 + ["warm-up"]})

    with pytest.raises(ValueError, match=r"few is how many times the longest a timeout is, at least once: few="):
        choose_timeouts(frame, steps=10, few=few)


def test_numbers_of_numpy_are_numbers() -> None:
    """What comes out of an array is as good as what is typed, and gives the same."""
    ten: Any = np.int64(10)

    assert repr(choose_timeout(ONES, steps=ten, ranks=ten)) == repr(choose_timeout(ONES, steps=10, ranks=10))
    assert false_reap_probability(ONES, 9, steps=ten) == false_reap_probability(ONES, 9, steps=10)


def test_a_column_or_a_kind_need_not_be_a_text() -> None:
    """A frame that was made of an array has numbers for labels, and phases may be counted."""
    plain = choose_timeout(ONES, steps=10)

    assert choose_timeout(pd.DataFrame(ONES), steps=10) == plain
    assert choose_timeout(pd.DataFrame({0: ONES, 1: 0.0}), steps=10, column=0) == plain  # type: ignore[arg-type]  # as pandas takes it
    counted: Any = {1: 10}
    assert choose_timeouts(pd.DataFrame({"step_s": ONES, "phase": 1}), steps=counted, by="phase", column="step_s") == {
        "1": plain
    }


def test_a_step_time_without_a_kind_is_not_left_out_in_silence() -> None:
    """Rows that say no kind would be in none of the timeouts."""
    frame = pd.DataFrame({"step_s": ONES, "kind": ["train"] * 997 + [None] * 3})

    with pytest.raises(StepTimesError, match="3 of 1000 step times have no 'kind'; name their kind, or leave them out"):
        choose_timeouts(frame, steps=10)


@pytest.mark.slow
def test_a_timeout_of_real_workers_keeps_its_budget(tmp_path: Path) -> None:
    """Real processes step, with slow phases that were planted; the timeouts' false reaps are what was stated.

    Every other block of steps is what the timeouts are chosen from; the others are new runs, in which it is counted how
    many would have been reaped.
    """
    ranks, steps, budget = 3, 100, 0.5
    files = [tmp_path / f"rank{rank}.csv" for rank in range(ranks)]
    program = [sys.executable, str(Path(__file__).with_name("stepping.py"))]
    workers = [subprocess.Popen([*program, str(file), str(seed), "5000"]) for seed, file in enumerate(files)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * ranks
    frame = pd.concat([pd.read_csv(file).assign(step=range(5000)) for file in files])
    recorded, fresh = frame[frame["step"] // 125 % 2 == 0], frame[frame["step"] // 125 % 2 == 1]

    chosen = choose_timeouts(recorded[["kind", "step_s"]], steps=steps, ranks=ranks, budget=budget)

    assert chosen["slow"].seconds > chosen["train"].seconds
    assert chosen["slow"].longest > 0.011
    for kind, timeout in chosen.items():
        number = round(steps * (0.2 if kind == "slow" else 0.8))
        times = recorded.loc[recorded["kind"] == kind, "step_s"]
        stated = false_reap_probability(times, timeout.seconds, steps=number, ranks=ranks)
        later = fresh.loc[fresh["kind"] == kind, "step_s"].to_numpy()
        # A fresh simulation: runs put together from steps that were not looked at before.
        runs = np.random.default_rng(1).choice(later, size=(4000, number * ranks))
        share = float((runs.max(axis=1) > timeout.seconds).mean())
        # What the simulation itself is unsure of: how many steps of those that were not looked at were as long.
        seen = stats.binomtest(int((later > timeout.seconds).sum()), len(later)).proportion_ci(0.99)
        low, high = (1 - (1 - each) ** (number * ranks) for each in (seen.low, seen.high))
        assert low <= share <= high
        assert max(low, stated.low) <= min(high, stated.high), (kind, stated, share)


def test_the_example_is_the_same_for_the_same_seed() -> None:
    """The step times that come with timersim have their kinds, in numbers as asked for."""
    frame = example_step_times(train=500, checkpoint=10, warm_up=3, seed=5)

    assert frame["kind"].tolist() == ["warm-up"] * 3 + ["train"] * 500 + ["checkpoint"] * 10
    assert frame.equals(example_step_times(train=500, checkpoint=10, warm_up=3, seed=5))
    assert not frame.equals(example_step_times(train=500, checkpoint=10, warm_up=3, seed=6))
    assert frame["step_s"].min() > 0
