"""The benchmarks run; how fast it is they tell when they are run whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.bare_loop import simulated, verdict
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS
from timersim.lab import Acquire, Release, Schedule, run
from timersim.strategies import seeded_schedule

FOLDER = Path(__file__).parent.parent


@pytest.mark.slow
def test_each_benchmark_measures() -> None:
    """A small run prints a line with a ratio for each row, at last what kills have cost, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "0.001"], cwd=FOLDER, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    *lines, hazards = done.stdout.splitlines()
    rates = r"local \d and \d; file 0 and 0; socket 0 and 0"
    assert re.fullmatch(rf"hazards, of 2 kills a request lost, and of 2 the rest silenced: {rates}", hazards)
    measured = {
        *("timer table", "expires", "expiration to dead", "requests", "simulation", "schedule", "judging"),
        *("drawing", "shares", "soak", "real processes", "sweep"),
    }
    assert {line.partition(",")[0] for line in lines} == measured
    assert all(re.search(r" \d+\.\d\dx \(", line) for line in lines), done.stdout


@pytest.mark.slow
def test_the_search_is_measured() -> None:
    """A small run prints a line for each ablation, and what each generator came to, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.search", "0.03"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    head, *table, ours, uniform, hypothesis, machine, alone, sizes = done.stdout.splitlines()
    assert head.split()[-6:] == ["ours", "uniform", "hypothesis", "machine", "shrunk", "to"]
    assert [line.split()[0] for line in table] == list(ABLATIONS)[:2]
    assert re.match(r"ours: \d+ schedules in the median of 2 ablations; \d not found", ours)
    for name, line in (("uniform", uniform), ("hypothesis", hypothesis), ("machine", machine)):
        assert re.match(rf"{name}: \d+ schedules in the median of 2 ablations, \d+\.\d times ours; \d not found", line)
    assert alone.startswith("found, and not by ours: ")
    assert re.match(r"shrunk to \d operations in the median, \d at most; of another size", sizes)


def test_the_loop_by_hand_does_what_a_run_does() -> None:
    """What the soak is measured against reaps whom and when a run does, in 98 of 100 schedules."""
    backend, alike = SimulatedBackend(), 0
    for number in range(200):
        schedule = seeded_schedule(1, number)
        told = simulated(schedule)
        reaps = sorted((told.workers[life], at) for life, at in told.reaps)
        assert verdict(told) == []
        alike += reaps == sorted((reap.worker, reap.at) for reap in run(schedule, backend).reaps)

    assert alike >= 196


def test_the_verdict_by_hand_sees_what_is_wrong() -> None:
    """Who is reaped too soon, and who is not reaped, is told."""
    told = simulated(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=9)]))
    assert told.reaps == [(0, 5)]

    assert verdict(told._replace(reaps=[(0, 4)], deaths={0: 4})) == ["0 must not be reaped at 4"]
    assert verdict(told._replace(reaps=[], deaths={})) == ["0 must be reaped by 5"]
