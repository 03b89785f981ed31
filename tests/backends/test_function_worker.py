"""A user's own code as the worker: a function in a real process, its time virtual, its deaths real."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.backends import jobs
from tests.hash_seeds import output
from timersim.backends import ProcessBackend
from timersim.backends.leftovers import watch_leftovers
from timersim.backends.process import Transport
from timersim.backends.rack import from_spec
from timersim.backends.workers.functions import OPERATIONS
from timersim.backends.workers.pool import PoolError
from timersim.fakes import HoldTimeout
from timersim.lab import (
    Acquire,
    Crash,
    Exit,
    Pause,
    PauseServer,
    Resume,
    Schedule,
    Start,
    StartServer,
    StopServer,
    Trace,
    run,
)
from timersim.lab.record import Arrived, Meddled
from timersim.strategies import find_violations, seeded_schedule
from timersim.strategies.vocabulary import vocabulary_of

LIMIT = 10.0
"""Real seconds for half an hour that takes less than one, on a machine that does a lot besides."""

TRANSPORTS: tuple[Transport, ...] = ("local", "file", "socket")

Open = Callable[..., ProcessBackend]


@pytest.fixture
def open_backend() -> Iterator[Open]:
    """Yields what makes a backend with a worker; it is closed at the end, and has left nothing."""
    made: list[ProcessBackend] = []

    def make(worker: Callable[..., object], transport: Transport = "local", **options: object) -> ProcessBackend:
        made.append(ProcessBackend(transport, worker=worker, **options))  # type: ignore[arg-type]  # as given
        return made[-1]

    with watch_leftovers() as left:
        yield make
        for backend in made:
            backend.close()
    assert left == []


def deaths(trace: Trace) -> list[tuple[int, float, str]]:
    """Returns who has died, when and how."""
    return [(death.worker, death.at, death.how) for death in trace.deaths]


def sent(trace: Trace) -> list[tuple[int, float, float | None]]:
    """Returns what was sent: by whom, when, and when it is due; None is a release."""
    return [(request.worker, request.at, request.expiration) for request in trace.requests]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_training_loop_with_timeouts_of_half_an_hour(transport: Transport, open_backend: Open) -> None:
    """A rank that hangs in its third step is killed half an hour after it began, in real seconds; the other ends."""
    backend = open_backend(jobs.train, transport)
    backend.warm()
    began = time.monotonic()

    trace = run(Schedule([Start(0), Start(1)]), backend)

    assert deaths(trace) == [(0, 240, "exit"), (1, 120 + 1800, "reaped")]
    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(1, 1920)]
    assert trace.violations == []
    assert time.monotonic() - began < LIMIT


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_a_worker_sends_is_recorded(transport: Transport, open_backend: Open) -> None:
    """Each guarded block is an acquire and a release of the trace, and each has arrived when it was sent."""
    trace = run(Schedule([Start(0)]), open_backend(jobs.train, transport))

    steps = [0, 60, 120, 180]
    assert sent(trace) == [each for at in steps for each in ((0, at, at + 1800), (0, at + 60, None))]
    assert [(request.request, request.at) for request in trace.requests] == [
        (event.request, event.at) for event in trace.events if isinstance(event, Arrived)
    ]
    assert trace.exercised["conservation"] > 0


def test_a_rank_that_is_started_again_goes_on(open_backend: Open) -> None:
    """After its reap a rank is started again, knows that it is another life, and comes through."""
    trace = run(Schedule([Start(1), Start(1, gap=3000)]), open_backend(jobs.train))

    assert deaths(trace) == [(1, 1920, "reaped"), (1, 3240, "exit")]
    assert trace.violations == []


@pytest.mark.parametrize(
    ("job", "how"),
    [
        (jobs.returns, (0, 0, "exit")),
        (jobs.raises, (0, 5, "raised ZeroDivisionError")),
        (jobs.exits, (0, 5, "status 3")),
        (jobs.ends_at_once, (0, 5, "status 4")),
        (jobs.kills_itself, (0, 5, "sigkill")),
        (jobs.terminates_itself, (0, 5, "sigterm")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_end_of_a_function_is_seen(
    job: Callable[..., object], how: tuple[int, float, str], open_backend: Open
) -> None:
    """Whether it returns, raises, exits or kills itself: its death is recorded, when it was and how."""
    trace = run(Schedule([Start(0)]), open_backend(job))

    assert (deaths(trace), trace.reaps, trace.violations) == ([how], [], [])


def test_a_traceback_reaches_the_user(open_backend: Open, capfd: pytest.CaptureFixture[str]) -> None:
    """What a function raises is on standard error, with its traceback and which worker it was."""
    run(Schedule([Start(3)]), open_backend(jobs.raises))

    error = capfd.readouterr().err
    assert error.startswith("Process worker 3:\nTraceback (most recent call last):\n")
    assert error.endswith("ZeroDivisionError: integer division or modulo by zero\n")
    assert 'jobs.py", line' in error


@pytest.mark.parametrize("job", [jobs.computes, jobs.sleeps_for_real])
def test_who_computes_too_long_ends_the_run(
    job: Callable[..., object], open_backend: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not come back to its clock is named, with the way out; it is gone afterwards."""
    monkeypatch.setattr("timersim.backends.runs.function_run.HOLD_LIMIT", 0.3)
    backend = open_backend(job)

    with pytest.raises(
        HoldTimeout,
        match=r"^worker 2 has computed for 0\.3 s of real time: while it computes virtual time stands still; "
        r"let it wait with clock\.sleep\nin task 'worker 2' at t=1000000\.0$",
    ):
        run(Schedule([Start(2)]), backend)


def test_a_function_that_goes_on_for_ever_is_ended_at_the_limit(open_backend: Open) -> None:
    """After the last operation the workers have `limit` ticks; who lives then is killed, which is no violation."""
    trace = run(Schedule([Start(0), Start(1, gap=7)]), open_backend(jobs.sleeps_in_steps, limit=100))

    assert deaths(trace) == [(0, 107, "limit"), (1, 107, "limit")]
    assert trace.violations == []


def test_a_schedule_ends_workers(open_backend: Open) -> None:
    """Exit has a worker's sleep raise SystemExit, so it releases; a crash is one at once, whatever it is."""
    schedule = Schedule([Exit(0, gap=3), *(Crash(n, how) for n, how in enumerate(("sigkill", "exit", "segv"), 1))])
    trace = run(schedule, open_backend(jobs.train))

    assert deaths(trace) == [(0, 3, "exit"), (1, 3, "sigkill"), (2, 3, "os._exit"), (3, 3, "segv")]
    assert sent(trace) == [*((n, 0, 1800) for n in range(4)), (0, 3, None)]
    assert trace.violations == []


def test_who_is_stopped_sleeps_on(open_backend: Open) -> None:
    """A worker that is stopped when its sleep ends goes on once it resumes, and finds that it is late."""
    trace = run(Schedule([Pause(0, gap=30), Resume(0, gap=100)]), open_backend(jobs.train))

    assert sent(trace)[:4] == [(0, 0, 1800), (0, 130, None), (0, 130, 1930), (0, 190, None)]
    assert deaths(trace) == [(0, 310, "exit")]


def test_who_is_stopped_for_too_long_is_reaped(open_backend: Open) -> None:
    """A stopped worker is killed when its block is due, though it would have left it."""
    trace = run(Schedule([Pause(0, gap=30)]), open_backend(jobs.train))

    assert deaths(trace) == [(0, 1800, "reaped")]
    assert trace.violations == []


def test_the_clock_of_a_worker_is_virtual(open_backend: Open, capfd: pytest.CaptureFixture[str]) -> None:
    """Time stands still while it computes; over a socket it goes on while a paused server owes an answer."""
    run(Schedule([Start(0), PauseServer(10)]), open_backend(jobs.tells_the_time, "socket"))

    instants = [1_000_000.0, 1_000_000.25, 1_000_010.0]
    assert capfd.readouterr().out == f"0 {[(at, at) for at in instants]}\n"


def test_a_worker_waits_for_another(
    open_backend: Open, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A condition is looked at again when another worker has done something, at that instant."""
    monkeypatch.chdir(tmp_path)
    trace = run(Schedule([Start(0), Start(1), Start(2)]), open_backend(jobs.waits_for_the_other))

    assert capfd.readouterr().out == "1 True 1000007.0\n2 False 1000060.0\n"
    assert deaths(trace) == [(1, 7, "exit"), (0, 8, "exit"), (2, 60, "exit")]


@pytest.mark.parametrize("transport", ["file", "socket"])
def test_who_enters_a_block_without_a_server_is_refused(transport: Transport, open_backend: Open) -> None:
    """While the server is stopped `expires` raises ConnectionError, as in production, and it is recorded."""
    trace = run(Schedule([Start(0), StopServer(gap=1), StartServer(gap=9)]), open_backend(jobs.is_refused, transport))

    assert [(event.at, event.request) for event in trace.events if isinstance(event, Meddled)] == [(5, 0)]
    assert sent(trace) == [(0, 5, 65), (0, 15, 75), (0, 16, None)]
    assert trace.violations == []


def test_one_thread_waits_in_virtual_time(open_backend: Open, capfd: pytest.CaptureFixture[str]) -> None:
    """A sleep in a thread that the driver can't see is refused, with a sentence."""
    run(Schedule([Start(0)]), open_backend(jobs.asks_in_a_thread))

    assert capfd.readouterr().out.startswith(
        "a worker has one thread of one process that waits in virtual time and guards its blocks: sleep in another one"
    )


def test_a_worker_can_have_children(open_backend: Open) -> None:
    """A worker is no daemon: it can start processes of its own."""
    assert deaths(run(Schedule([Start(0)]), open_backend(jobs.has_a_child))) == [(0, 1, "exit")]


HASHES = """
from tests.backends import jobs
from timersim.backends import ProcessBackend
from timersim.lab import Crash, Pause, Resume, Schedule, Start, run

for transport in ("local", "file", "socket"):
    backend = ProcessBackend(transport, worker=jobs.train, start_method="fork")
    ranks = [Start(2), Start(0), Start(1), Start(3)]
    schedule = Schedule([*ranks, Crash(3, "abort", gap=60), Pause(2), Start(3), Resume(2, gap=60), Start(1, gap=3000)])
    for _ in range(3):
        trace = run(schedule, backend)
        print(trace.hash, [(death.worker, death.at) for death in trace.deaths], trace.violations)
    backend.close()
"""


@pytest.mark.slow
def test_a_trace_has_the_same_hash_in_every_process() -> None:
    """Ranks that wake at one instant go in a fixed order: one hash in each run, on each wire, under each hash seed."""
    printed = [output(HASHES, seed).splitlines() for seed in (0, 1)]

    assert len(printed[0]) == 9
    assert len({*printed[0], *printed[1]}) == 1
    assert printed[0][0].endswith("[(3, 60), (0, 240), (2, 240), (3, 300), (1, 1920), (1, 3360)] []")


def test_a_schedule_does_not_acquire_for_a_function(open_backend: Open) -> None:
    """What a function does of its own accord no schedule can do for it."""
    with pytest.raises(ValueError, match=r"^the backend 'local' can't carry out Acquire\(0, \"s0\", after=5\)$"):
        run(Schedule([Acquire(0, "s0", after=5)]), open_backend(jobs.hangs))


def test_a_search_draws_what_the_backend_can_do(open_backend: Open) -> None:
    """The schedules of a search have no acquire and no release, and a correct server passes it."""
    backend = open_backend(jobs.train, "socket", start_method="fork")
    vocabulary = vocabulary_of(backend)
    drawn = {type(operation) for number in range(300) for operation in seeded_schedule(0, number, vocabulary)}

    assert drawn == set(OPERATIONS)
    assert find_violations(backend, max_examples=30).findings == []


def test_a_backend_with_a_function_is_made_again_from_its_spec(open_backend: Open) -> None:
    """What a saved schedule says of its backend makes one with the same function, limit and start method."""
    backend = open_backend(jobs.sleeps_in_steps, "file", limit=50, start_method="fork")
    spec = json.loads(json.dumps(backend.spec))
    assert spec == {
        "name": "file",
        "worker": "tests.backends.jobs:sleeps_in_steps",
        "start_method": "fork",
        "limit": 50,
    }
    with closing(from_spec(spec)) as again:
        assert run(Schedule([Start(0)]), again).hash == run(Schedule([Start(0)]), backend).hash
    assert open_backend(jobs.nested(), start_method="fork").spec is None


def test_what_nobody_can_import_is_no_worker() -> None:
    """A lambda and a nested function are refused, with the way out."""
    with pytest.raises(
        ValueError,
        match=r"^a worker is a function that a new process can import: tests\.backends\.jobs:nested\.<locals>\.inner "
        r'can\'t be; define it with def at the top of a module, or let it be inherited, with start_method="fork"$',
    ):
        ProcessBackend(worker=jobs.nested())
    with pytest.raises(ValueError, match=r"test_function_worker:.*<lambda> can't be; "):
        ProcessBackend(worker=lambda: None)


def test_a_function_of_a_program_without_a_file_is_no_worker() -> None:
    """A function of `python -c`, which no new process could import, is refused as well."""
    program = "from timersim.backends import ProcessBackend\ndef train(): ...\nProcessBackend(worker=train)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert "ValueError: a worker is a function that a new process can import: __main__:train can't be" in done.stderr


def test_a_fork_inherits_any_function() -> None:
    """With start_method="fork" a nested function is a worker."""
    with closing(ProcessBackend(worker=jobs.nested(), start_method="fork")) as backend:
        assert deaths(run(Schedule([Start(0)]), backend)) == [(0, 0, "exit")]


def test_a_function_that_a_new_process_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only this process finds its module, the error of the new one is told."""
    monkeypatch.setattr(jobs.returns, "__module__", "only_here")
    monkeypatch.setitem(sys.modules, "only_here", jobs)

    with (
        closing(ProcessBackend(worker=jobs.returns)) as backend,
        pytest.raises(
            PoolError,
            match=r"^a worker started by spawn ended before it was ready: it can't import only_here:returns: "
            r"ModuleNotFoundError: No module named 'only_here'; let the module be found by a new interpreter",
        ),
    ):
        backend.warm()


def test_a_function_that_wants_more_is_no_worker() -> None:
    """What a worker is given is said where a function wants something else."""
    with pytest.raises(
        TypeError,
        match=r"^wants_more\(learning_rate: float\) -> None can't be a worker: missing a required argument: "
        r"'learning_rate'; a worker is given what it has parameters for of clock, client, worker, incarnation, and",
    ):
        ProcessBackend(worker=jobs.wants_more)
