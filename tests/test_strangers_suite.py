"""A stranger's suite: a job runner that knows nothing of timersim, and its own tests, which do."""

import re
import shutil
from pathlib import Path

import pytest

from tests.busy import NO_DEADLINE

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

SUITE = Path(__file__).parent / "data" / "job_runner"
CACHES = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache", "timersim-failures")

RUNNER = "tests/test_runner.py"
REAPER = "tests/test_reaper.py"
REGRESSIONS = "tests/regressions"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """The suite, in a folder of its own."""
    shutil.copytree(SUITE, pytester.path, dirs_exist_ok=True, ignore=CACHES)
    pytester.makeconftest(NO_DEADLINE)
    return pytester


def lines(result: pytest.RunResult) -> list[str]:
    """Returns what is reported, without the margins that pytest draws."""
    return [line.removeprefix("E").strip(" |") for line in result.outlines]


def test_the_package_knows_nothing_of_us() -> None:
    """Neither the package's code nor its text mentions timersim."""
    sources = {path.name: path.read_text() for path in (SUITE / "job_runner").glob("*.py")}

    assert sorted(sources) == ["__init__.py", "reaper.py", "runner.py"]
    assert [name for name, source in sources.items() if "timersim" in source] == []


def test_a_strangers_suite_is_green(suite: pytest.Pytester) -> None:
    """Fixtures, properties and saved schedules hold for the job runner as it stands."""
    result = suite.runpytest_subprocess("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")

    assert (result.ret, result.parseoutcomes()) == (0, {"passed": 11})


BUGS = [
    (
        "reaps-early",
        "AssertionError: assert ['job'] == []",
        r"timersim.lab.invariants.NoEarlyReap: no-early-reap: worker 0 was reaped at t=\d+, and is due at t=\d+ at the "
        "earliest",
        "STILL FAILS: no-early-reap: worker 0 was reaped at t=5, and is due at t=6 at the earliest",
    ),
    (
        "forgets-releases",
        "AssertionError: assert ['job'] == []",
        r"timersim.lab.invariants.ReleaseWins: release-wins: worker 0 was reaped at t=\d+, but had released by t=\d+ "
        r"\(due t=\d+\)",
        "STILL FAILS: release-wins: worker 0 was reaped at t=10, but had released by t=2 (due t=7)",
    ),
    (
        "cancels-twice",
        "AssertionError: assert ['job', 'job'] == ['job']",
        r"timersim.lab.invariants.DeadStayDead: dead-stay-dead: worker 0 was seen gone at t=\d+, and a reap was "
        r"attempted at t=\d+",
        "STILL FAILS: dead-stay-dead: worker 0 was seen gone at t=5, and a reap was attempted at t=10",
    ),
    (
        "forgets-the-others",
        "AssertionError: assert ['first'] == ['first', 'second']",
        r"timersim.lab.invariants.ReapedInTime: reaped-in-time: worker \d was due at t=\d+ and is alive at t=\d+",
        "STILL FAILS: reaped-in-time: worker 1 was due at t=20 and is alive at t=26",
    ),
]

NAMES = [bug for bug, _, _, _ in BUGS]


@pytest.mark.parametrize(("bug", "said"), [(bug, said) for bug, said, _, _ in BUGS], ids=NAMES)
def test_a_bug_fails_a_test_of_fixtures(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, bug: str, said: str
) -> None:
    """A test on the virtual clock says whom the reaper has cancelled."""
    monkeypatch.setenv("JOB_RUNNER_BUG", bug)

    result = suite.runpytest_subprocess(RUNNER)

    assert (result.ret, said in lines(result)) == (1, True)


@pytest.mark.parametrize(("bug", "said"), [(bug, said) for bug, _, said, _ in BUGS], ids=NAMES)
def test_a_bug_fails_a_property(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, bug: str, said: str) -> None:
    """Both properties fail, with a headline that names the bug's effect."""
    monkeypatch.setenv("JOB_RUNNER_BUG", bug)

    result = suite.runpytest_subprocess(REAPER, "--tb=short", "--hypothesis-seed=0")

    assert result.parseoutcomes() == {"failed": 2}
    headlines = [line for line in lines(result) if re.fullmatch(said, line)]
    assert len(headlines) >= 2, lines(result)


@pytest.mark.parametrize(("bug", "said"), [(bug, said) for bug, _, _, said in BUGS], ids=NAMES)
def test_a_bug_fails_a_saved_schedule(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, bug: str, said: str
) -> None:
    """The schedule that was saved when the bug was first seen fails again, for the same reason."""
    monkeypatch.setenv("JOB_RUNNER_BUG", bug)

    result = suite.runpytest_subprocess(REGRESSIONS)

    assert result.ret == 1
    assert [line for line in lines(result) if line.startswith("STILL FAILS: ")] == [said]


def test_the_report_tells_what_the_runner_left_undone(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a failed step keeps its timer, the story shows an acquire, no release, and the reap."""
    monkeypatch.setenv("JOB_RUNNER_BUG", "keeps-failed-steps")

    result = suite.runpytest_subprocess(RUNNER)

    assert result.parseoutcomes() == {"passed": 4, "failed": 1}
    said = lines(result)
    begin = said.index("in the test's world, in seconds from its beginning:")
    assert said[begin + 1 : begin + 3] == ["0  failing  acquire divide ->60", "60  failing  reaped"]
    assert "AssertionError: assert ['failing'] == []" in said
