"""The page for whoever has a server: each of its files is what it says, and each command prints what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.busy import NO_DEADLINE

PAGE = (Path(__file__).parent.parent / "docs" / "your-server.md").read_text(encoding="utf-8")

FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))

METHOD = re.compile(r"^    def watch\(.*?\n(?=\n    def )", re.MULTILINE | re.DOTALL)

(FIX,) = re.findall(r"^```python\n(    def .*?)^```", PAGE, re.MULTILINE | re.DOTALL)

(FOUND,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def timersim(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command in a folder."""
    code = "from timersim.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's files, as they stand there."""
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "conftest.py").write_text(NO_DEADLINE)
    return tmp_path


@pytest.fixture
def fixed(folder: Path) -> Path:
    """The folder in which the mistake has been fixed as the page says."""
    source, number = METHOD.subn(FIX, FILES["my_watchdog.py"])
    (folder / "my_watchdog.py").write_text(source)
    assert number == 1
    return folder


def test_every_block_of_code_is_used() -> None:
    """There is no code on the page but its files, and the fix of one of them."""
    assert PAGE.count("```python\n") == len(FILES) + 1


@pytest.mark.slow
def test_the_first_finding_is_what_is_printed(folder: Path) -> None:
    """What the page shows is what the command above it prints, but for the two commands at its end."""
    done = timersim(folder, "check", "--server", "my_watchdog:Watchdog")

    assert (done.returncode, FOUND in done.stdout) == (1, True)


def test_the_mistake_is_found(folder: Path) -> None:
    """A few schedules are enough for what the page tells of."""
    done = timersim(folder, "check", "--server", "my_watchdog:Watchdog", "--examples", "30")

    assert (done.returncode, "release-wins" in done.stdout, "reaped-in-time: " in done.stdout) == (1, True, True)


@pytest.mark.parametrize(
    "server",
    [
        "my_watchdog:Watchdog",
        pytest.param("my_jobs:server", marks=pytest.mark.slow),
        "my_backends:BACKEND",
        pytest.param("test_my_watchdog:BACKEND", marks=pytest.mark.slow),
    ],
)
def test_the_fixed_server_breaks_nothing(fixed: Path, server: str) -> None:
    """In each form in which the page hands it over the fixed server keeps every promise."""
    done = timersim(fixed, "check", "--server", server, "--examples", "30")

    assert done.returncode != 2, done.stderr
    assert ("BROKEN" in done.stdout, " reaps" in done.stdout) == (False, True)


@pytest.mark.slow
def test_the_fixed_server_passes_the_test(fixed: Path) -> None:
    """The page's test passes with the fixed server, and fails with the other."""

    def outcome() -> int:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        done = subprocess.run([*command, "test_my_watchdog.py"], cwd=fixed, capture_output=True, check=False)
        return done.returncode

    assert outcome() == 0
    (fixed / "my_watchdog.py").write_text(FILES["my_watchdog.py"])
    assert outcome() == 1


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["PidTimerServer", "made"])
def test_a_subclass_of_torchs_is_checked_as_it_is(name: str, tmp_path: Path) -> None:
    """`--server` takes a subclass of torch's `TimerServer`, or a function that makes one; torch errs."""
    pytest.importorskip("torch")
    stranger = Path(__file__).parent / "fakes" / "torch_strangers.py"
    maker = "\n\ndef made(world):\n    return PidTimerServer(world.queue, world.max_interval)\n"
    (tmp_path / "on_torch.py").write_text(stranger.read_text() + maker)

    done = timersim(tmp_path, "check", "--server", f"on_torch:{name}", "--examples", "30")

    broken = {line.split()[0] for line in done.stdout.splitlines() if "BROKEN" in line}
    assert done.returncode == 1, done.stderr
    assert broken >= {"restart-guards", "watchdog-survives"}


def test_what_is_no_server_is_told_what_is_missing(folder: Path) -> None:
    """The sentence on the page is the one that is said."""
    done = timersim(folder, "check", "--server", "my_jobs:JobWatchdog")

    assert (done.returncode, done.stdout, done.stderr in PAGE) == (2, "", True)


@pytest.mark.slow
@pytest.mark.parametrize("where", [["--backend", "local"], ["--real-time"]])
def test_the_server_kills_real_processes(fixed: Path, where: list[str]) -> None:
    """The same server runs against real workers, in virtual time and in real time."""
    done = timersim(fixed, "check", "--server", "my_server:server", *where, "--examples", "5")

    assert done.returncode != 2, done.stderr
    assert ("BROKEN" in done.stdout, "real SIGKILLs" in done.stdout) == (False, True)


def test_the_pool_runs_as_it_stands(folder: Path) -> None:
    """The adapter of the page is a supervisor: a schedule runs on it, and breaks nothing."""
    done = timersim(folder, "check", "--supervisor", "my_pool:BACKEND", "--examples", "1", "--seed", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[:3] == ["supervisor", "1", "schedules"]
