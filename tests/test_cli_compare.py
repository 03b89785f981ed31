"""`timersim compare` says what differs, and by its exit status whether all of it is explained."""

import json
from pathlib import Path
from typing import Any

import pytest

from timersim.backends.names import BackendError
from timersim.cli import app
from timersim.cli_options import OptionError


def compare(*arguments: str) -> Any:
    """Runs the command and returns its exit status."""
    return app(["compare", *arguments], standalone_mode=False)


def test_a_correct_server_differs_where_it_is_known_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each backend has its line, each explanation its example, and the report is JSON, too."""
    status = compare("--backend", "file", "--examples", "30", "--json", str(tmp_path / "report.json"))

    told = capsys.readouterr().out.splitlines()
    assert status == 0
    assert told[0].startswith("file            30 schedules")
    assert any("model: memory's wire keeps what is sent" in line for line in told)
    assert told[-1].startswith("Every difference is explained: 30 schedules, ")
    assert max(map(len, told)) <= 80
    (report,) = json.loads((tmp_path / "report.json").read_text())["comparisons"]
    causes = {difference["cause"] for difference in report["differences"]}
    assert (report["backend"], report["examples"], "model" in causes, "unexplained" in causes) == (
        "file",
        30,
        True,
        False,
    )


def test_a_broken_server_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What nothing accounts for is shrunk, and ends with exit status 1."""
    status = compare("--backend", "local", "--examples", "30", "--without", "honour-releases")

    told = capsys.readouterr().out
    assert status == 1
    assert "UNEXPLAINED: the servers reap differently" in told
    assert 'Schedule([Acquire(0, "s0", after=1), Release(0, "s0")])' in told
    assert "Not explained: " in told.splitlines()[-1]


def test_what_has_the_safeguard_is_compared_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the backends by default those are compared that a safeguard can be taken out of."""
    compare("--examples", "3", "--without", "heed-the-sequence")

    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " as in memory" in line]
    assert lines == ["socket"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--backend", "memory"], "memory is what the others are compared with: no --backend memory"),
        (["--examples", "0"], "--examples is a whole number of at least 1: 0"),
        (["--backend", "pigeon"], "there is no backend 'pigeon'"),
    ],
)
def test_a_wrong_call_is_answered_in_a_line(arguments: list[str], sentence: str) -> None:
    """What can't be compared is said."""
    with pytest.raises((BackendError, OptionError), match=sentence):
        compare(*arguments)
