"""`timersim soak`, as a user meets it: in a process of its own, interrupted, killed, and gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import TIMERSIM, timersim
from timersim.backends.names import EXAMPLES

SOAK = ("soak", "--without", "drain-before-expire", "--seed", "3")


def begun(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    """Starts the command as the leader of a group, as a terminal does, and waits for its first line of progress."""
    process = subprocess.Popen(
        [*TIMERSIM, *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert " schedules, " in process.stderr.readline()
    return process


def runs(file: Path) -> str:
    """Returns a report without how long it took."""
    content = json.loads(file.read_text())
    for run in content["runs"]:
        run.pop("seconds")
    return json.dumps(content)


def left_of(session: int) -> list[psutil.Process]:
    """Returns who is alive in a session whose leader has ended, after a while in which they may end."""
    ends = time.monotonic() + 10
    while left := [process for process in psutil.process_iter() if _session(process.pid) == session]:
        if time.monotonic() > ends:
            break
        time.sleep(0.05)
    return left


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def test_the_number_of_jobs_does_not_change_the_report(tmp_path: Path) -> None:
    """One job and four write the same JSON, apart from times; nothing but the findings and the report is left."""
    for jobs in ("1", "4"):
        done = timersim(*SOAK, "--schedules", "300", "--jobs", jobs, "--json", f"{jobs}.json", cwd=tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr

    assert runs(tmp_path / "1.json") == runs(tmp_path / "4.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.json", "4.json", "timersim-failures"]


def test_a_correct_server_holds(tmp_path: Path) -> None:
    """Nothing is broken: exit status 0, the table of `check`, progress on standard error with the pace."""
    done = timersim("soak", "--schedules", "2000", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].split()[:3] == ["memory", "2,000", "schedules"]
    assert "Every invariant held (1 known): 2,000 schedules" in done.stdout
    assert "Nothing left behind." in done.stdout
    lines = done.stderr.splitlines()
    assert lines
    assert all(re.fullmatch(r"memory: [\d,]+ of 2,000 schedules, [\d,]+ a second; nothing broken", x) for x in lines)


@pytest.mark.parametrize("safeguard", ["drain-before-expire", "reap-once", "clear-the-dead"])
def test_an_ablation_is_found_shrunk_and_replayed(safeguard: str, tmp_path: Path) -> None:
    """What a soak finds is shrunk and saved; its file still fails."""
    done = timersim("soak", "--without", safeguard, "--schedules", "200", cwd=tmp_path)
    replayed = timersim("replay", "timersim-failures", cwd=tmp_path)

    assert (done.returncode, replayed.returncode) == (1, 1)
    assert all(int(n) <= 6 for n in re.findall(r"shrunk to (\d+)", done.stdout))
    assert "shrunk to" in done.stdout
    assert "STILL FAILS" in replayed.stdout
    assert "FIXED" not in replayed.stdout


@pytest.mark.slow
def test_an_interrupted_soak_is_gone_on_with(tmp_path: Path) -> None:
    """Ctrl-C: the report so far, how to go on, status 130, nobody left; what goes on reports as if nothing had been."""
    process = begun(*SOAK, "--schedules", "3000", "--jobs", "2", cwd=tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    said, complaints = process.communicate(timeout=60)

    assert process.returncode == 130, said + complaints
    assert "Interrupted: " in said
    assert said.endswith("Go on: timersim soak --resume timersim-soak.json\n")
    assert "Traceback" not in complaints
    assert left_of(process.pid) == []
    assert 0 < json.loads((tmp_path / "timersim-soak.json").read_text())["tally"]["examples"] < 3000

    done = timersim("soak", "--resume", "timersim-soak.json", "--json", "two.json", cwd=tmp_path)
    whole = timersim(*SOAK, "--schedules", "3000", "--json", "one.json", cwd=tmp_path)
    assert (done.returncode, whole.returncode) == (1, 1)
    assert runs(tmp_path / "two.json") == runs(tmp_path / "one.json")
    assert not (tmp_path / "timersim-soak.json").exists()


@pytest.mark.slow
def test_a_soak_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """The processes of a soak that is killed by SIGKILL end as well; its state is there to go on from."""
    process = begun(*SOAK, "--schedules", "1000000", "--jobs", "2", "--state", "mine.json", cwd=tmp_path)
    process.kill()
    process.communicate(timeout=60)

    assert left_of(process.pid) == []
    assert json.loads((tmp_path / "mine.json").read_text())["schedules"] == 1_000_000


SERVER = """
from timersim import MemoryTimerServer
def server(world):
    return MemoryTimerServer(world.queue, max_interval=10, daemon=True, clock=world.clock, reaper=world.reap)
"""


def test_a_server_of_ones_own_is_soaked_from_the_current_folder(tmp_path: Path) -> None:
    """The processes find MODULE:NAME in the folder in which the command was called; a named state stays."""
    (tmp_path / "mine.py").write_text(SERVER)
    done = timersim("soak", "--server", "mine:server", "--schedules", "300", "--state", "kept.json", cwd=tmp_path)

    assert "300 schedules" in done.stdout, done.stdout + done.stderr
    assert json.loads((tmp_path / "kept.json").read_text())["backend"] == {"name": "memory", "server": "mine:server"}


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--schedules", "0"], "--schedules is a whole number of at least 1: 0"),
    (["--jobs", "-2"], "--jobs is a whole number of at least 1: -2"),
    (["--backend", "nix"], "there is no backend 'nix'; there are " + ", ".join(EXAMPLES)),
    (["--server", "nix"], "a server is named MODULE:NAME, as in my_module:my_server: 'nix'"),
    (["--resume", "nix"], "nix can't be read: No such file or directory"),
    (["--resume", "other.json"], 'other.json is no state of a soak: it has no "timersim-soak"'),
    (["--resume", "nix", "--seed", "1"], "--resume goes on with what nix says: no --backend, --server, --without, "
                                         "--seed or --state"),
    (["--state", "no/where.json"], "the state of the soak can't be written to no/where.json: No such file or "
                                   "directory"),
    (["--json", "no/where.json"], "the report can't be written to no/where.json: No such file or directory"),
    (["--jobs", "2", "--dask", "x"], "--jobs is the number of processes here; on --dask the cluster has as many as it "
                                     "has"),
])  # fmt: skip
def test_a_wrong_value_is_answered_in_a_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    """Exit status 2, one line, and nothing is run or left."""
    (tmp_path / "other.json").write_text("{}")
    done = timersim("soak", *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"timersim: {sentence}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_a_missing_dask_is_named(tmp_path: Path) -> None:
    """Without dask --dask says what to install, and a soak over processes needs none."""
    before = "import sys; sys.modules['distributed'] = None"
    done = timersim("soak", "--dask", "tcp://127.0.0.1:1", cwd=tmp_path, before=before)
    without = timersim("soak", "--schedules", "50", cwd=tmp_path, before=before)

    assert (done.returncode, without.returncode) == (2, 0)
    assert done.stderr == "timersim: --dask needs dask, which is not there: pip install 'timersim[dask]'\n"


CLUSTER = """
import sys
from distributed import LocalCluster
from timersim.cli import app
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=int(sys.argv[1]), dashboard_address=None) as cluster:
        sys.exit(app(["soak", *sys.argv[2:], "--dask", cluster.scheduler_address], standalone_mode=False))
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_dask_cluster_reports_the_same(threads: str, tmp_path: Path) -> None:
    """Over the workers of a dask cluster, with a thread each or more, the report is that of processes."""
    pytest.importorskip("distributed", reason="needs dask: pip install 'timersim[dask]'")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    arguments = [*SOAK[1:], "--schedules", "1000"]
    done: Any = subprocess.run(
        [sys.executable, "cluster.py", threads, *arguments, "--json", "dask.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    timersim("soak", *arguments, "--json", "processes.json", cwd=tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert runs(tmp_path / "dask.json") == runs(tmp_path / "processes.json")
