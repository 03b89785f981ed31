"""Bad days of the command line: nobody reads, a disk is full, a folder's name is too long, a file is a device."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command import TIMERSIM, timersim
from timersim.cli_files import check_writable

FULL = Path("/dev/full")


@pytest.fixture
def closed_pipe() -> int:
    """Returns the end of a pipe that is written to, and that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", [("check", "--backend", "memory", "--examples", "5"), ("--help",)])
def test_who_has_had_enough_is_told_of_nothing_broken(
    arguments: tuple[str, ...], tmp_path: Path, closed_pipe: int
) -> None:
    """A pipe that is closed early is no broken invariant: the exit status is that of an interrupt."""
    with os.fdopen(closed_pipe, "wb") as pipe:
        done = timersim(*arguments, cwd=tmp_path, out=pipe.fileno())

    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


def test_without_an_output_a_check_is_judged_all_the_same(tmp_path: Path) -> None:
    """After `>&-` there is no standard output; the exit status still tells."""
    command = f"{shlex.join(TIMERSIM)} check --backend memory --examples 5 >&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--json", str(FULL)), "timersim: the report can't be written to /dev/full: No space left on device\n"),
        (("--report", str(FULL)), "timersim: the report can't be written to /dev/full: No space left on device\n"),
        (("--without", "nobody"), None),
    ],
)
def test_a_full_disk_is_a_wrong_environment(arguments: tuple[str, ...], said: str | None, tmp_path: Path) -> None:
    """Where the report finds no room its file is named; where the error finds none, the exit status is what is left."""
    with FULL.open("wb") as full:
        err = full.fileno() if said is None else subprocess.PIPE
        done = timersim("check", "--backend", "memory", "--examples", "5", *arguments, cwd=tmp_path, err=err)

    assert done.returncode == 2
    assert said is None or done.stderr.endswith(said)
    assert "--report" not in arguments or "Every invariant held" in done.stdout


def test_that_a_file_can_be_written_is_seen_without_a_trace(tmp_path: Path) -> None:
    """What was not there is not there yet, and what was there is as it was."""
    there = tmp_path / "there.md"
    there.write_text("as it was")
    for page in (there, tmp_path / "new.md"):
        check_writable(page)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.md", "as it was")]


def test_a_socket_s_path_is_told_where_it_is_too_long(tmp_path: Path) -> None:
    """A folder for temporary files with a long name is no mistake of the server."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    done = timersim("check", "--backend", "socket", "--examples", "5", cwd=tmp_path, environment={"TMPDIR": str(deep)})

    assert done.returncode == 2
    assert done.stderr.startswith("timersim: a Unix socket's path has at most 107 bytes: ")
    assert done.stderr.endswith("; set TMPDIR to a shorter folder\n")
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize("command", [("show",), ("soak", "--resume")])
def test_a_device_is_no_file(command: tuple[str, ...], tmp_path: Path) -> None:
    """What might be read without end is refused; of this one there is an end, should it be read all the same."""
    done = timersim(*command, os.devnull, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{os.devnull} is no " in done.stderr
    assert done.stderr.endswith(": it is a device\n")
