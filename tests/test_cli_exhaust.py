"""`timersim exhaust` says how many schedules there are, runs them all, and tells what they break."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.command import TIMERSIM, timersim
from tests.test_cli import RULE
from timersim.backends.names import BackendError
from timersim.cli import app
from timersim.lab.operations import ScheduleError
from timersim.lab.report import Report
from timersim.lab.saved import load
from timersim.strategies import Bound
from timersim.strategies.exhaustion import count


def exhaust(*arguments: str) -> Any:
    """Runs the command and returns its exit status."""
    return app(["exhaust", *arguments], standalone_mode=False)


def test_a_correct_server_passes(tmp_path: Path) -> None:
    """The number and the time come first, then the summary, the table and the conclusion; progress goes elsewhere."""
    done = timersim("exhaust", "--size", "2", "--json", "report.json", cwd=tmp_path)

    first, summary, *table = done.stdout.splitlines()
    assert done.returncode == 0
    assert first == "memory: 123 schedules of up to 2 operations, about a second"
    assert summary.split()[:5] == ["memory", "123", "schedules", "236", "operations"]
    assert table[-1].startswith("Every invariant held: 123 schedules, ")
    assert done.stderr.splitlines()[4] == "memory: 60 of 123 schedules"
    report = json.loads((tmp_path / "report.json").read_text())
    assert Bound(**report["bound"]) == Bound(size=2)
    assert (report["schedules"], [run["examples"] for run in report["runs"]]) == (123, [123])


def test_the_bound_is_what_is_asked_for(tmp_path: Path) -> None:
    """Each option is a part of the bound; the report on standard output leaves the rest to standard error."""
    options = "--workers 1 --scopes 2 --size 1 --ops acquire,stop-server,pause-server --after 3,5 --gaps 2 --ticks 4,6"
    done = timersim("exhaust", *options.split(), "--json", "-", cwd=tmp_path)

    report = json.loads(done.stdout)
    ops = ["acquire", "stop-server", "pause-server"]
    numbers = {"workers": 1, "scopes": 2, "size": 1, "after": [3, 5], "gaps": [2], "ticks": [4, 6]}
    assert report["bound"] == {"ops": ops, **numbers}
    assert report["schedules"] == count(Bound(**report["bound"])) == 6
    assert "memory: 6 schedules of up to 1 operation, about a second" in done.stderr.splitlines()


def test_a_broken_server_is_told_as_by_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A safeguard taken out: exit status 1, the smallest failing test case, and a file that replays it."""
    monkeypatch.chdir(tmp_path)

    assert exhaust("--size", "2", "--without", "honour-releases") == 1
    (saved,) = (tmp_path / "timersim-failures").iterdir()
    finding = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert finding[0] == "release-wins: worker 0 was reaped at t=1, but had released by t=0 (due t=1)"
    assert finding[1:3] == RULE
    assert finding[3] == "  found after 14 schedules, 2 operations shrunk to 2; no fault needed"
    assert finding[-1] == f"  replay: timersim replay timersim-failures/{saved.name}"
    assert load(saved).backend == {"name": "memory", "without": "honour-releases"}


def test_a_server_of_the_users_and_real_processes_are_exhausted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--server` and `--backend` are those of `check`."""
    monkeypatch.chdir(tmp_path)
    options = ["--size", "1", "--after", "1", "--gaps", "0"]

    assert exhaust(*options, "--server", "timersim.memory_timer:MemoryTimerServer") == 0
    assert exhaust(*options, "--backend", "socket", "--backend", "memory") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "of up to" in line] == ["memory", "socket", "memory"]


def test_an_interrupt_tells_what_was_found_so_far(tmp_path: Path) -> None:
    """Ctrl-C ends it with exit status 130 and what was found by then."""
    command = [*TIMERSIM, "exhaust", "--size", "6", "--without", "honour-releases"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 130, errors
    assert first.startswith("memory: 3,0")
    assert "release-wins: worker 0 was reaped at t=1, but had released by t=0 (due t=1)" in output.splitlines()
    assert output.splitlines()[-1].startswith("Interrupted: ")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--gaps x", "--gaps is a list of whole numbers, as in --gaps 0,1: 'x'"),
        ("--after 1,,0.5", "--after is a list of whole numbers, as in --after 0,1: '1,,0.5'"),
        ("--ticks ,", "--ticks: at least one, separated by commas; there is none"),
        ("--size -1", "--size: whole numbers from 0 to 100, not -1"),
        ("--workers 11", "--workers: whole numbers from 1 to 10, not 11"),
        ("--scopes 0", "--scopes: whole numbers from 1 to 10, not 0"),
        ("--after 1,-2", "--after: whole numbers from 0 to 1,000,000,000, not -2"),
        ("--gaps -1", "--gaps: whole numbers from 0 to 1,000,000,000, not -1"),
        ("--ticks 0", "--ticks: whole numbers from 1 to 1,000,000,000, not 0"),
        ("--ops ,", "--ops: at least one, separated by commas; there is none"),
        ("--ops acquir", "there is no operation 'acquir'; did you mean acquire? there are start, acquire, "),
        ("--ops acquire:now", "acquire happens in one way, without a colon: 'acquire:now'"),
        (
            "--ops crash:now",
            "crash happens in one way of crash:sigkill, crash:exit, crash:abort, crash:segv: ",
        ),
        ("--ops acquire,delay --backend local", "local can't carry out Delay; leave it out, or use memory"),
        ("--backend pigeon", "there is no backend 'pigeon'"),
        ("--json /no/such/x", "the report can't be written to /no/such/x: No such file or directory"),
    ],
)
def test_a_wrong_call_is_answered_in_a_line(arguments: str, sentence: str) -> None:
    """What is wrong with the call is said before anything runs."""
    with pytest.raises((BackendError, ScheduleError)) as caught:
        exhaust(*arguments.split())

    assert str(caught.value).startswith(sentence)


def test_a_wrong_call_ends_with_status_2(tmp_path: Path) -> None:
    """The sentence is all there is, on standard error."""
    done = timersim("exhaust", "--gaps", "x", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "timersim: --gaps is a list of whole numbers, as in --gaps 0,1: 'x'\n"


def test_any_bound_has_its_number_and_its_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that nobody sees the end of is told as such, and not refused."""
    monkeypatch.setattr("timersim.cli_exhaust.run_all", lambda backend, *_: Report(backend.name, 0))

    assert exhaust("--size", "100") == 0
    assert "of up to 100 operations, more than a lifetime" in capsys.readouterr().out


def test_the_help_teaches(tmp_path: Path) -> None:
    """`--help` has the example, every operation, and the exit statuses."""
    told = timersim("exhaust", "--help", cwd=tmp_path).stdout

    assert "timersim exhaust --size 5 --after 1,2 --gaps 0,1 249,729 schedules" in " ".join(told.split())
    for word in ("pause-server", "crash:sigkill", "--server MODULE:NAME", "Exit status: 0", "Ctrl-C"):
        assert word in told
    assert "exhaust" in timersim("--help", cwd=tmp_path).stdout
