"""Workers with a full interpreter, by each start method of multiprocessing: as good as the zygote's, and as gone."""

import gc
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from multiprocessing import active_children, get_context

import psutil
import pytest

from tests.backends import jobs
from tests.quick import one_in
from timersim.backends import ProcessBackend
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.process import Transport
from timersim.backends.workers.functions import METHODS
from timersim.lab import Acquire, Crash, Release, Schedule, Start, StartServer, StopServer, run
from timersim.strategies import seeded_schedule

LIMIT = 10.0
"""Real seconds in which processes must have gone that would otherwise stay for ever."""

TRANSPORTS: tuple[Transport, ...] = ("local", "file", "socket")

on_each_method = pytest.mark.parametrize("method", METHODS)
on_each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@on_each_method
@pytest.mark.parametrize("transport", one_in(3, TRANSPORTS))
def test_a_full_interpreter_does_what_the_zygotes_workers_do(transport: Transport, method: str) -> None:
    """The same schedules have the same traces, with deaths of each kind, and nothing is left."""
    crashes = [Crash(number, how) for number, how in enumerate(("sigkill", "exit", "abort", "segv"))]
    schedules = [Schedule(crashes), *(seeded_schedule(5, number) for number in range(2))]
    with closing(ProcessBackend(transport)) as zygote:
        expected = [run(schedule, zygote).hash for schedule in schedules]

    with watch_leftovers() as left:
        with closing(ProcessBackend(transport, start_method=method)) as backend:  # type: ignore[arg-type]  # one of METHODS
            assert [run(schedule, backend).hash for schedule in schedules] == expected
        del backend

    assert left == []


@on_each_method
def test_who_lives_is_used_again(method: str) -> None:
    """A worker that lived to the end of a run is handed out in the next one; after a death one is started."""
    with closing(ProcessBackend(start_method=method)) as backend:  # type: ignore[arg-type]  # one of METHODS
        alive = Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4)])
        traces = [run(alive, backend) for _ in range(3)]
        assert backend._pool is not None
        assert (backend._pool.forks, [trace.reaps for trace in traces]) == (1, [[], [], []])

        run(Schedule([Acquire(0, "s0", after=5)]), backend)
        run(alive, backend)
        assert backend._pool.forks == 2


DRIVER = """
import os
import signal
import sys

import psutil
from tests.backends import jobs
from timersim.backends import ProcessBackend
from timersim.lab import Pause, Schedule, Start, run

method, kind = sys.argv[1:]
worker = {"commands": None, "computes": jobs.computes, "rests": jobs.hangs}[kind]
if __name__ == "__main__":
    backend = ProcessBackend("socket", worker=worker, start_method=method)
    backend.warm()
    if kind == "commands":
        with backend.open() as world:
            for worker in range(3):
                world.start(worker)
            world.pause(1)
            print(*(process.pid for process in psutil.Process().children(recursive=True)), flush=True)
            signal.pause()
    elif kind == "rests":
        with backend.open() as world:
            for worker in range(3):
                world.start(worker)
            world.advance(5)
            world.pause(1)
            print(*(process.pid for process in psutil.Process().children(recursive=True)), flush=True)
            signal.pause()
    else:
        pids = [process.pid for process in psutil.Process().children(recursive=True)]
        print(*pids, flush=True)
        run(Schedule([Start(0)]), backend)
"""


@pytest.mark.parametrize("kind", ["commands", "computes", "rests"])
@on_each_method
def test_a_driver_that_is_killed_leaves_nobody(method: str, kind: str) -> None:
    """SIGKILL of the driver ends its workers: who waits, who computes, and who is stopped."""
    command = [sys.executable, "-c", DRIVER, method, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
        time.sleep(0.2 if kind == "computes" else 0)  # it has begun by then, or begins with nobody there
        driver.kill()
    end = time.monotonic() + LIMIT
    while (alive := [p for p in processes if _lives(p)]) and time.monotonic() < end:
        time.sleep(0.01)

    assert len(processes) >= (1 if kind == "computes" else 3)
    assert alive == []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_fork_does_not_keep_the_servers_connections_open() -> None:
    """A worker finds the server gone and connects anew, though another was forked while it was connected."""
    schedule = Schedule([Acquire(0, "s0", after=50), Start(1, gap=1), StopServer(), StartServer(), Release(0, "s0")])
    with closing(ProcessBackend("socket")) as zygote:
        expected = run(schedule, zygote)
    with closing(ProcessBackend("socket", start_method="fork")) as backend:
        trace = run(schedule, backend)

    assert (trace.reaps, trace.violations, trace.hash) == ([], [], expected.hash)


def test_the_fork_server_of_somebody_else_is_left_alone() -> None:
    """Where multiprocessing's fork server has other children than ours, it stays; without them it goes with ours."""
    with watch_leftovers() as left:
        backend = ProcessBackend(start_method="forkserver")
        backend.warm()
        other = get_context("forkserver").Process(target=time.sleep, args=(60,))
        other.start()
        backend.close()
        assert active_children() == [other]
        other.kill()
        other.join()
        assert other.exitcode == -9
        other.close()
        with closing(ProcessBackend(start_method="forkserver")) as again:
            again.warm()

    assert left == []


def test_a_backend_that_is_dropped_leaves_nobody() -> None:
    """A backend that nobody closed ends its processes when it is collected."""
    with watch_leftovers() as left:
        backend = ProcessBackend(start_method="spawn")
        backend.warm()
        del backend
        gc.collect()

    assert left == []


def test_a_program_that_closes_nothing_ends() -> None:
    """At its exit a program does not wait for the workers of a backend that it has not closed."""
    program = (
        "from timersim.backends import ProcessBackend\n"
        'backend = ProcessBackend(start_method="spawn")\nbackend.warm()\nprint(*backend._pool._workers)'
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert (psutil.pid_exists(int(done.stdout)), done.stderr) == (False, "")


def test_no_signal_handler_is_set_in_the_driver() -> None:
    """A run with a full interpreter changes no handler and no affinity of this process."""
    before = [signal.getsignal(number) for number in signal.valid_signals()], os.sched_getaffinity(0)
    with closing(ProcessBackend(worker=jobs.returns)) as backend:
        run(Schedule([Start(0)]), backend)
        during = [signal.getsignal(number) for number in signal.valid_signals()], os.sched_getaffinity(0)

    assert during == before


def test_an_unknown_start_method_is_refused_by_name() -> None:
    """A start method that there is not is named, with those that there are."""
    with pytest.raises(ValueError, match=r"^the start method is spawn or forkserver or fork: start_method='threads'$"):
        ProcessBackend(start_method="threads")  # type: ignore[arg-type]  # that is the point
