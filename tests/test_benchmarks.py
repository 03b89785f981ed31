"""The benchmarks run; how fast it is they tell when they are run whole."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import PARTS
from tests.benchmarks.bare_loop import simulated, verdict
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS
from timersim.lab import Acquire, Release, Schedule, run
from timersim.strategies import seeded_schedule

FOLDER = Path(__file__).parent.parent

COSTS = ("a request lost", "rest silenced")


@pytest.mark.slow
def test_each_benchmark_measures(tmp_path: Path) -> None:
    """A small run measures every row that is small enough, but those beside what isn't installed, and says no more."""
    file = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", "timersim", "bench", "--scale", "0.001", "--json", str(file)],
        cwd=FOLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode in {0, 1}, done.stderr
    whats = [benchmark.what for part in PARTS.values() for benchmark in part()]
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == whats
    report = json.loads(file.read_text())
    rows, left_out = {row["what"]: row for row in report["rows"]}, report["left_out"]
    assert sorted([*rows, *left_out]) == sorted(whats)
    large = {what for what in whats if re.search(r"(simulation of|the same) 1,000\b|\d0,000|1,000,000", what)}
    beside = {what for what in whats if re.search(r"requests, (local|file)|beside SimPy", what)}
    assert large <= set(left_out) <= large | beside
    assert [row["what"] for row in rows.values() if not row["ratio"] > 0 and not row["what"].startswith("kills")] == []
    assert {rows[f"kills, {name}, {cost}"]["ours"]["value"] for name in ("file", "socket") for cost in COSTS} == {0}


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
