"""`timersim bench` measures what it is asked for, says whether that is enough, and by its exit status, too."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.benchmarks import PARTS
from tests.command import timersim
from timersim.cli import app
from timersim.cli_bench import BENCHMARKS, BenchError, chosen_names, source_folder
from timersim.cli_options import OptionError

FOLDER = Path(__file__).parent.parent


def bench(
    *arguments: str, cwd: Path = FOLDER, code: str = "", environment: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Runs the command in `cwd`, after some code."""
    return timersim("bench", *arguments, cwd=cwd, before=code, environment=environment)


def with_ratio(ratio: float) -> str:
    """Returns code by which the soak, whose target is at most 2x, is not measured: it comes to this."""
    return f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import tests.benchmarks.soak as soak
from tests.benchmarks.row import Figure, Result
soak.measured = lambda size: Result(Figure(size.rounds(7), "us"), Figure(1, "us"), {ratio})
"""


@pytest.mark.parametrize(("ratio", "status", "told"), [(2, 0, "Every target is met: 1 of 1."),
    (2.001, 1, "Missed: 1 of 1 targets: soak, 12 operations at most.")])  # fmt: skip
def test_the_exit_status_is_that_of_the_targets(ratio: float, status: int, told: str) -> None:
    """Just within its target a row is met, exit status 0; just beyond it is missed, exit status 1."""
    done = bench("soak", code=with_ratio(ratio))

    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, told)
    assert done.stderr == "1 of 1: soak, 12 operations at most\n"


def test_rows_are_measured_and_written_as_json(tmp_path: Path) -> None:
    """The rows that are named are measured, and the file has the numbers that were printed, and what was left out."""
    file = tmp_path / "rows.json"
    done = bench("timer-table", "--scale", "0.001", "--json", str(file), cwd=tmp_path)

    told = json.loads(file.read_text())
    assert done.returncode in {0, 1}, done.stderr
    whats = [benchmark.what for benchmark in PARTS["timer-table"]()]
    assert [row["what"] for row in told["rows"]] == whats[:4]
    assert told["left_out"] == whats[4:]
    assert [row["verdict"] for row in told["rows"]][1::2] == ["met", "met"]
    assert all(row["ratio"] > 0 and row["ours"]["unit"] == row["floor"]["unit"] for row in told["rows"])
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith(whats[1])).split()[-4:] == [
        f"{told['rows'][1]['ratio']:.2f}x", "<=", "1x", "met"
    ]  # fmt: skip


def test_json_on_standard_output_is_alone_there() -> None:
    """With `--json -` the table goes to standard error; so many rounds were asked for."""
    done = bench("soak", "--json", "-", "--rounds", "3", code=with_ratio(1.5))

    assert json.loads(done.stdout)["rows"] == [
        {
            "what": "soak, 12 operations at most",
            "against": "the same generator, with a loop and a verdict by hand",
            "ours": {"value": 3, "unit": "us"},
            "floor": {"value": 1, "unit": "us"},
            "anchors": [],
            "ratio": 1.5,
            "target": {"sign": "<=", "limit": 2},
            "verdict": "met",
        }
    ]
    assert "Every target is met" in done.stderr


def test_the_markdown_is_a_table_below_its_caption() -> None:
    """`--markdown` prints the caption, with date and machine, and the table; what it comes to is said beside it."""
    done = bench("soak", "--markdown", code=with_ratio(1.5))

    caption, empty, head, line, row = done.stdout.splitlines()
    assert caption.startswith("Measured by `timersim bench` on 2")
    assert f"CPython {sys.version.split()[0]}" in caption
    assert " CPU" in caption
    assert (empty, head.count("|"), line) == ("", 9, "|" + "---|" * 8)
    against = "the same generator, with a loop and a verdict by hand"
    assert row == f"| soak, 12 operations at most | 7 us | {against} | 1 us | 1.50x | <= 2x | met | |"
    assert done.stderr.splitlines()[1:] == ["Every target is met: 1 of 1."]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["soka"], f"there are no rows 'soka'; there are {', '.join(PARTS)}"),
        (["--scale", "0"], "--scale is a number above 0, and at most 100: '0'"),
        (["--scale", "nan"], "--scale is a number above 0, and at most 100: 'nan'"),
        (["--scale", "much"], "--scale is a number above 0, and at most 100: 'much'"),
        (["--rounds", "0"], "--rounds is a whole number from 1 to 100: 0"),
        (["--rounds", "1.5"], "--rounds is a whole number from 1 to 100: '1.5'"),
        (
            ["--markdown", "--json", "-"],
            "--markdown and --json - are both for standard output: name a file for the JSON",
        ),
        (["timer-table", "--scale", "1e-9"], "nothing was measured: every row of timer-table is too large for 1e-09"),
    ],
)
def test_what_cant_be_measured_is_said(arguments: list[str], sentence: str) -> None:
    """A wrong call is refused with the rule and the value."""
    with pytest.raises((BenchError, OptionError), match=f"^{re.escape(sentence)}"):
        app(["bench", *arguments], standalone_mode=False)


def test_a_wrong_call_is_answered_in_a_line() -> None:
    """A wrong name ends with exit status 2 and one line, before anything is measured."""
    done = bench("soka")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("timersim: there are no rows 'soka'; there are timer-table, expires, reaps, ")


def test_outside_of_a_checkout_the_way_there_is_said(tmp_path: Path) -> None:
    """A package that is installed without its source says in a line where the benchmarks are."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "timersim").symlink_to(FOLDER / "timersim")
    done = bench("soak", cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path / "site")})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "timersim: the benchmarks come with the source, not with the package: run timersim bench in the folder of a"
        " checkout, the one that holds tests/benchmarks\n"
    )


def test_the_source_is_where_its_files_are(tmp_path: Path) -> None:
    """Somebody else's folder of benchmarks is not the source, and the first folder that is one is taken."""
    (tmp_path / BENCHMARKS).parent.mkdir(parents=True)
    (tmp_path / BENCHMARKS).touch()
    with pytest.raises(BenchError, match="come with the source"):
        source_folder(tmp_path)

    assert source_folder(tmp_path, FOLDER) == FOLDER


def test_rows_come_in_their_own_order() -> None:
    """The order of the names is that of the table, and each comes once."""
    assert chosen_names(["soak", "drawing", "soak"], list(PARTS)) == ["drawing", "soak"]
    assert chosen_names([], list(PARTS)) == list(PARTS)
