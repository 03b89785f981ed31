"""The benchmarks run; how fast it is they tell when they are run whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent.parent


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
        *("real processes", "sweep"),
    }
    assert {line.partition(",")[0] for line in lines} == measured
    assert all(re.search(r" \d+\.\d\dx \(", line) for line in lines), done.stdout
