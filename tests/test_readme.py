"""The README says the truth: its code runs, its output is what the command prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.busy import NO_DEADLINE

pytest_plugins = ["pytester"]

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
OUTPUT = re.findall(r"^```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_test_passes(pytester: pytest.Pytester) -> None:
    """The ten lines of test pass."""
    pytester.makepyfile(PYTHON[0])

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_the_users_own_server_is_found_out(pytester: pytest.Pytester) -> None:
    """The polling reaper of the example has a bug, and its test names an invariant."""
    pytester.makepyfile(PYTHON[1])
    pytester.makeconftest(NO_DEADLINE)

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r".*(DeadStayDead|ReapedOnce): .*worker 0 was"])


def test_the_real_processes_pass(pytester: pytest.Pytester) -> None:
    """The property on real processes passes; how long an example takes on a busy machine is another matter."""
    pytester.makepyfile(PYTHON[2])
    pytester.makeconftest(NO_DEADLINE)

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_the_picture_of_a_failing_test_case_is_what_is_printed(tmp_path: Path) -> None:
    """The failing test case in the README is what the command above it prints, but for the seconds."""
    done = subprocess.run(
        [sys.executable, "-c", "from timersim.cli import main; main()", "check", "--without", "drain-before-expire",
         "--backend", "memory"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.split("\n\n")[1].strip() == OUTPUT[0].strip()
