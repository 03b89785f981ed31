"""torch's own elastic agent with timersim's file server: a hung rank is reaped, the agent lives, the group restarts.

With torch's server the agent dies with the rank.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import pytest

import timersim

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

LIMIT = 300.0
"""Real seconds within which a job must be over: four processes import torch, and others may be busy."""

ROOT = Path(__file__).resolve().parent.parent


STALE = 5.0
"""Seconds of the longest silence of a watchdog that passes every 0.1 s and says whole seconds, on a slow machine."""


def semaphore_prefix(pid: int) -> str:
    """Returns with what the names of a job's semaphores begin, so that nobody else's are taken for its own."""
    return f"/timersim-job-{pid}"


def named_semaphores(pid: int) -> list[str]:
    """Returns the named semaphores of a job that are there."""
    return [path.name for path in Path("/dev/shm").glob(f"sem.{semaphore_prefix(pid)[1:]}*")]


def train(package: str, folder: str) -> str:
    """What a rank does: guards what may hang; in the first attempt rank 1 does hang."""
    rank, attempt = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
    Path(folder, f"pid-{rank}-{attempt}").write_text(str(os.getpid()))
    if package == "torch":
        from torch.distributed.elastic.timer import FileTimerClient
    else:
        from timersim import FileTimerClient
    timersim.configure(FileTimerClient(os.environ["TORCHELASTIC_TIMER_FILE"]))
    with timersim.expires(after=60):
        pass
    if (rank, attempt) == ("1", "0"):
        with timersim.expires(after=1):
            signal.pause()
    return f"rank {rank} of attempt {attempt}"


def run_job(folder: str, client: str, server: str) -> None:
    """Runs a job of two ranks under torch's agent, as a user's script would; writes down what became of it.

    `client` and `server` name the package that each is taken from: all that a user changes is an import.
    """
    from torch.distributed.elastic.agent.server import WorkerSpec, local_elastic_agent
    from torch.distributed.elastic.agent.server.health_check_server import HealthCheckServer
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

    if server == "timersim":
        local_elastic_agent.timer = timersim
    multiprocessing.current_process()._config["semprefix"] = semaphore_prefix(os.getpid())  # type: ignore[attr-defined]  # nothing public names them
    deaths: list[tuple[int, int, int]] = []
    told: list[tuple[str, str | None, str | None]] = []
    ages: list[list[float]] = []
    fifos: list[str] = []
    semaphores: list[str] = []

    class NotingAgent(local_elastic_agent.LocalElasticAgent):  # type: ignore[misc]  # torch is not followed
        """An agent that notes which rank died of what, and where the FIFOs and semaphores of each attempt are."""

        def _start_workers(self, worker_group: Any) -> Any:
            pids = super()._start_workers(worker_group)
            fifos.append(self._worker_watchdog._file_path)
            semaphores.extend(named_semaphores(os.getpid()))
            return pids

        def _monitor_workers(self, worker_group: Any) -> Any:
            result = super()._monitor_workers(worker_group)
            deaths.extend((rank, failure.pid, failure.exitcode) for rank, failure in result.failures.items())
            return result

    class PollingServer(HealthCheckServer):  # type: ignore[misc]  # torch is not followed
        """What torch leaves to be written: it asks now and then how long ago the agent was alive, in seconds."""

        def start(self) -> None:
            ages.append([])
            self._over = threading.Event()
            self._poller = threading.Thread(target=self._poll, args=(ages[-1],))
            self._poller.start()

        def stop(self) -> None:
            self._over.set()
            self._poller.join()

        def _poll(self, noted: list[float]) -> None:
            while not self._over.wait(0.05):
                noted.append(time.time() - self.alive_callback())

    def record(event: Any, destination: str) -> None:
        said = json.loads(event.metadata["metadata"])
        told.append((said["watchdog_event"], said.get("worker_pid"), said.get("signal")))

    local_elastic_agent.events.record = record
    local_elastic_agent.create_healthcheck_server = lambda **given: PollingServer(**given)
    spec = WorkerSpec(
        role="trainer",
        local_world_size=2,
        entrypoint=train,
        args=(client, folder),
        rdzv_handler=StaticTCPRendezvous("127.0.0.1", 0, rank=0, world_size=1, run_id="job", timeout=int(LIMIT)),
        max_restarts=1,
        monitor_interval=0.05,
    )
    agent = NotingAgent(spec, DefaultLogsSpecs(log_dir=f"{folder}/logs"), exit_barrier_timeout=LIMIT)
    result = agent.run()
    outcome = {
        "state": result.state.name,
        "values": result.return_values,
        "restarts": spec.max_restarts - agent._remaining_restarts,
        "deaths": deaths,
        "told": told,
        "ages": ages,
        "fifos": fifos,
        "semaphores": semaphores,
    }
    Path(folder, "outcome.json").write_text(json.dumps(outcome))


class Job:
    """A job in a session of its own, so that all its processes are found, whoever started them."""

    def __init__(self, folder: Path, client: str, server: str, **environment: str) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        code = f"from tests.test_torch_job import run_job; run_job({str(folder)!r}, {client!r}, {server!r})"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=os.environ
                | {"TORCHELASTIC_ENABLE_FILE_TIMER": "1", "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
                | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Waits for the agent's end and returns its exit code, of which its log tells the reason."""
        status = self.process.wait(LIMIT)
        print((self.folder / "log").read_text())  # noqa: T201 - shown where the test fails
        return status

    def outcome(self) -> dict[str, Any]:
        """Returns what the agent wrote down."""
        written: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return written

    def pid(self, rank: int, attempt: int) -> int:
        """Returns the pid of a rank in an attempt."""
        return int((self.folder / f"pid-{rank}-{attempt}").read_text())

    def living(self) -> list[psutil.Process]:
        """Returns who of the job's session lives, its resource tracker included."""
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self) -> None:
        """Ends whoever is left of it; the resource tracker is the last, and ends when it has cleared up."""
        for process in self.living():
            with suppress(psutil.NoSuchProcess):
                if "resource_tracker" not in " ".join(process.cmdline()):
                    process.kill()
        self.process.wait(LIMIT)
        psutil.wait_procs(self.living(), LIMIT)


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    """Yields a list of jobs, which are over in the end."""
    made: list[Job] = []
    yield made
    for job in made:
        job.end()


def gone(job: Job) -> bool:
    """Waits a little for the end of whoever the job started; returns whether they all have ended."""
    psutil.wait_procs(job.living(), 10)
    return job.living() == []


def fifos(folder: Path) -> list[Path]:
    """Returns the FIFOs below a folder."""
    return [path for path in folder.rglob("*") if path.is_fifo()]


@pytest.mark.parametrize("client", ["torch", "timersim"])
def test_a_hung_rank_is_reaped_and_the_group_restarts(client: str, tmp_path: Path, jobs: list[Job]) -> None:
    """The agent outlives the reap of a hung rank, restarts the group once, and the second attempt succeeds."""
    job = Job(tmp_path, client, "timersim")
    jobs.append(job)

    assert job.wait() == 0
    outcome = job.outcome()
    hung = job.pid(1, 0)
    assert {name: outcome[name] for name in ("state", "values", "restarts", "deaths", "told")} == {
        "state": "SUCCEEDED",
        "values": {"0": "rank 0 of attempt 1", "1": "rank 1 of attempt 1"},
        "restarts": 1,
        "deaths": [[1, hung, -signal.SIGKILL]],
        "told": [
            ["watchdog started", None, None],
            ["timer expired", str(hung), str(int(signal.SIGKILL))],
            ["kill worker process", str(hung), str(int(signal.SIGKILL))],
            ["watchdog stopped", None, None],
            ["watchdog started", None, None],
            ["watchdog stopped", None, None],
        ],
    }


@pytest.mark.parametrize("named", [False, True])
def test_a_job_leaves_nothing_and_its_health_is_fresh(named: bool, tmp_path: Path, jobs: list[Job]) -> None:  # noqa: FBT001 - pytest passes it
    """While a rank hangs the health check hears of progress; after the job there is no process, FIFO or semaphore."""
    job = Job(
        tmp_path,
        "timersim",
        "timersim",
        TORCHELASTIC_HEALTH_CHECK_PORT="1",
        **({"TORCHELASTIC_TIMER_FILE": str(tmp_path / "fifo")} if named else {}),
    )
    jobs.append(job)
    pattern = str(tmp_path / "fifo") if named else f"{job.temporary}/watchdog_timer_*"

    assert job.wait() == 0
    outcome = job.outcome()
    attempts = outcome["ages"]
    assert [len(noted) > 10 for noted in attempts] == [True, True]
    assert max(max(noted) for noted in attempts) < STALE
    assert [fnmatch(path, pattern) for path in outcome["fifos"]] == [True, True]
    assert outcome["semaphores"] != []
    assert gone(job)
    assert (outcome["state"], fifos(tmp_path), named_semaphores(job.process.pid)) == ("SUCCEEDED", [], [])
    assert "leaked" not in (tmp_path / "log").read_text()


def test_torchs_server_takes_the_agent_with_the_rank(tmp_path: Path, jobs: list[Job]) -> None:
    """With torch's own server the job ends: its agent dies by the signal of the hung rank, and nothing restarts."""
    job = Job(tmp_path, "torch", "torch")
    jobs.append(job)

    assert job.wait() == -signal.SIGKILL
    assert [path.name for path in sorted(tmp_path.glob("pid-*"))] == ["pid-0-0", "pid-1-0"]
    assert len(fifos(job.temporary)) == 1
    job.end()
    assert named_semaphores(job.process.pid) == []
