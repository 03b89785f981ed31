"""The simulated kernel's side: who bears which pid, what a reap does, and how `os.kill` answers."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from timersim.fakes.run_workers import RunWorkers
from timersim.lab.record import Attempted, Died, Event, Recorder, Started


@dataclass
class Bench:
    """Fake workers at an instant that can be set, and what was recorded of them since they were made."""

    now: float
    recorder: Recorder
    workers: RunWorkers

    def news(self) -> list[Event]:
        """What was recorded since the last question."""
        events, self.recorder.events = self.recorder.events, []
        return events


@pytest.fixture
def bench() -> Bench:
    """Workers 0 and 1 as 5_000_001 and 5_000_002, at instant 0; their beginning is no news."""
    return make_bench()


def make_bench(end: Callable[[int], bool] | None = None) -> Bench:
    """Makes a bench; `end` is what ends a worker."""
    recorder = Recorder(lambda: made.now)
    workers = RunWorkers(recorder) if end is None else RunWorkers(recorder, end, leaves_zombies=False)
    made = Bench(0, recorder, workers)
    made.workers.start(0)
    made.workers.start(1)
    assert made.news() == [Started(0, 0, 0), Started(0, 1, 0)]
    return made


# Pids


def test_each_life_has_a_pid_of_its_own(bench: Bench) -> None:
    """Workers begin with pids that nobody has borne; a new life has a new one."""
    bench.recorder.died(0, "exit")
    again = bench.workers.start(0)

    assert (bench.workers.pid(0), bench.workers.pid(1), again) == (5_000_003, 5_000_002, 5_000_003)
    assert [bench.workers.life(pid) for pid in (5_000_001, 5_000_002, 5_000_003, 7)] == [(0, 0), (1, 0), (0, 1), None]
    assert [bench.workers.is_alive(pid) for pid in (5_000_001, 5_000_002, 5_000_003, 7)] == [False, True, True, False]


def test_a_given_pid_is_borne(bench: Bench) -> None:
    """A worker bears the pid that it is given, also one that a dead one bore."""
    bench.recorder.died(0, "exit")

    assert bench.workers.start(2, pid=5_000_001) == 5_000_001
    assert (bench.workers.life(5_000_001), bench.workers.is_alive(5_000_001)) == ((2, 0), True)


@pytest.mark.parametrize(("is_chosen", "bears"), [(True, (0, 0)), (False, None)])
def test_a_chosen_pid_is_recorded(bench: Bench, *, is_chosen: bool, bears: tuple[int, int] | None) -> None:
    """Who bore a pid before is recorded where the schedule chose it, and not where a kernel happened to give it."""
    bench.recorder.died(0, "exit")
    bench.news()
    bench.workers.start(2, pid=5_000_001, is_chosen=is_chosen)

    assert bench.news() == [Started(0, 2, 0, bears)]


def test_a_pid_that_is_not_given_is_new(bench: Bench) -> None:
    """A pid that was not asked for is one that nobody has borne, whatever others were given."""
    given = bench.workers.start(2, pid=5_000_004)
    chosen = bench.workers.start(3)

    assert chosen not in {5_000_001, 5_000_002, given}


# Reaps


def test_a_reap_ends_a_living_worker(bench: Bench) -> None:
    """A reap of a living worker ends it and says that it is gone; nobody else is touched."""
    gone = bench.workers.reap(5_000_001)

    assert (gone, bench.news()) == (True, [Attempted(0, 0, 0, "worker 0", "reaped"), Died(0, 0, 0, "reaped")])
    assert (bench.workers.is_alive(5_000_001), bench.workers.is_alive(5_000_002)) == (False, True)


def test_a_zombie_takes_a_second_signal_at_the_same_instant(bench: Bench) -> None:
    """A worker that was reaped is a zombie for the rest of that instant, and then it is gone."""
    bench.workers.reap(5_000_001)
    assert len(bench.news()) == 2

    answers = [bench.workers.reap(5_000_001)]
    bench.now = 1
    answers.append(bench.workers.reap(5_000_001))

    assert answers == [True, True]
    assert bench.news() == [Attempted(0, 0, 0, "worker 0", "reaped"), Attempted(1, 0, 0, "worker 0", "gone")]


def test_a_worker_that_ended_by_itself_is_gone(bench: Bench) -> None:
    """A reap of a worker that exited finds it gone, at that very instant too; its next life is not touched."""
    bench.recorder.died(0, "exit")
    bench.workers.start(0)
    assert len(bench.news()) == 2

    assert (bench.workers.reap(5_000_001), bench.news()) == (True, [Attempted(0, 0, 0, "worker 0", "gone")])
    assert bench.workers.is_alive(5_000_003)


@pytest.mark.parametrize(
    ("worker_id", "target"),
    [
        (4_000_000, "a process that is no worker"),
        (1, "pid 1"),
        (0, "pid 0"),
        (-1, "pid -1"),
        (os.getpid(), "the server itself"),
        ("rank 3", "'rank 3'"),
    ],
    ids=["stranger", "init", "group", "everybody", "itself", "name"],
)
def test_a_reap_of_no_worker_is_recorded(bench: Bench, worker_id: object, target: str) -> None:
    """A reap of what is no worker is recorded by a name that is the same in every run, and hits nobody."""
    gone = bench.workers.reap(worker_id)

    assert (gone, bench.news()) == (True, [Attempted(0, None, None, target, "gone")])


def test_a_worker_that_will_not_die_is_not_gone() -> None:
    """Where `end` says that the worker is not gone the reap failed, and may be tried again."""
    answers = iter([False, True])
    ended: list[int] = []

    def end(worker: int) -> bool:
        ended.append(worker)
        return next(answers)

    bench = make_bench(end)

    assert [bench.workers.reap(5_000_002), bench.workers.reap(5_000_002)] == [False, True]
    assert ended == [1, 1]
    assert bench.news() == [
        Attempted(0, 1, 0, "worker 1", "failed"),
        Attempted(0, 1, 0, "worker 1", "reaped"),
        Died(0, 1, 0, "reaped"),
    ]


def test_an_end_that_raises_is_recorded_and_raised() -> None:
    """Where `end` raises the attempt raised, and so does the reap; the worker lives."""

    def end(worker: int) -> bool:
        raise LookupError(worker)

    bench = make_bench(end)

    with pytest.raises(LookupError):
        bench.workers.reap(5_000_001)
    assert (bench.news(), bench.workers.is_alive(5_000_001)) == ([Attempted(0, 0, 0, "worker 0", "raised")], True)


def test_a_real_worker_that_was_reaped_is_no_zombie() -> None:
    """Where `end` really ends a worker, a second reap at the same instant finds it gone."""
    bench = make_bench(lambda worker: True)
    bench.workers.reap(5_000_001)
    assert len(bench.news()) == 2

    assert (bench.workers.reap(5_000_001), bench.news()) == (True, [Attempted(0, 0, 0, "worker 0", "gone")])


# Kills, as the kernel answers them

Kill = Callable[[int, int], None]


@dataclass
class Kernel:
    """A `kill`, and pids to try it on."""

    kill: Kill
    living: int
    zombie: int
    dead: int
    is_alive: Callable[[], bool]

    def answer(self, pid: int, number: int) -> int | None:
        """Returns the errno of a kill, None where it raised nothing."""
        try:
            self.kill(pid, number)
        except OSError as error:
            return error.errno
        return None


@pytest.fixture(params=["kernel", "fake"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """The kernel with real processes, and the fake with simulated ones."""
    if request.param == "fake":
        bench = make_bench()
        bench.workers.start(2)
        bench.recorder.died(1, "exit")
        bench.workers.reap(5_000_003)
        yield Kernel(bench.workers.kill, 5_000_001, 5_000_003, 5_000_002, lambda: bench.workers.is_alive(5_000_001))
        return
    with (
        subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE) as living,
        subprocess.Popen(["/bin/true"]) as dead,
        subprocess.Popen(["/bin/true"]) as zombie,
    ):
        dead.wait()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        yield Kernel(os.kill, living.pid, zombie.pid, dead.pid, lambda: living.poll() is None)
        living.kill()


def test_signal_0_asks_and_does_nothing(kernel: Kernel) -> None:
    """Signal 0 to a living worker raises nothing, and it lives on; to one that is dead it is ESRCH."""
    answers = [kernel.answer(pid, 0) for pid in (kernel.living, kernel.dead)]

    assert (answers, kernel.is_alive()) == ([None, errno.ESRCH], True)


@pytest.mark.parametrize("number", [0, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL])
def test_a_zombie_takes_every_signal(kernel: Kernel, number: int) -> None:
    """A signal to a zombie raises nothing: the kernel takes it, signal 0 included."""
    assert kernel.answer(kernel.zombie, number) is None


@pytest.mark.parametrize("number", [0, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL])
def test_no_signal_reaches_the_dead(kernel: Kernel, number: int) -> None:
    """Every signal to a worker that is dead and buried is ESRCH."""
    assert kernel.answer(kernel.dead, number) == errno.ESRCH


def test_a_harmless_signal_ends_nobody(kernel: Kernel) -> None:
    """A signal whose default is to go on raises nothing and ends nobody."""
    answer = kernel.answer(kernel.living, signal.SIGCONT)

    assert (answer, kernel.is_alive()) == (None, True)


def test_a_process_may_ask_for_itself(kernel: Kernel) -> None:
    """Signal 0 to the server's own pid raises nothing."""
    assert kernel.answer(os.getpid(), 0) is None


# Kills, as the fake records them


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_fatal_signal_is_a_reap(bench: Bench, number: int) -> None:
    """A fatal signal to a living worker reaps it."""
    bench.workers.kill(5_000_002, number)

    assert bench.news() == [Attempted(0, 1, 0, "worker 1", "reaped"), Died(0, 1, 0, "reaped")]


def test_a_fatal_signal_to_the_dead_is_an_attempt(bench: Bench) -> None:
    """A fatal signal to a dead worker is recorded, and answered with ESRCH."""
    bench.recorder.died(0, "exit")
    assert len(bench.news()) == 1

    with pytest.raises(ProcessLookupError) as raised:
        bench.workers.kill(5_000_001, signal.SIGKILL)

    assert (raised.value.args, bench.news()) == (
        (errno.ESRCH, "No such process"),
        [Attempted(0, 0, 0, "worker 0", "gone")],
    )


@pytest.mark.parametrize(
    ("pid", "target"),
    [(0, "pid 0"), (-1, "pid -1"), (1, "pid 1"), (os.getpid(), "the server itself")],
    ids=["group", "everybody", "init", "itself"],
)
def test_a_kill_of_whom_nobody_may_kill_is_recorded_and_never_sent(bench: Bench, pid: int, target: str) -> None:
    """A kill of pid 1 or below, or of the driver itself, raises nothing, hits nobody, and is recorded."""
    bench.workers.kill(pid, signal.SIGKILL)

    assert bench.news() == [Attempted(0, None, None, target, "gone")]
    assert bench.workers.is_alive(5_000_001)


def test_a_kill_of_a_stranger_is_recorded_and_never_sent(bench: Bench) -> None:
    """A kill of a living process that is no worker is recorded, answered with ESRCH, and not sent."""
    with subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE) as bystander:
        with pytest.raises(ProcessLookupError):
            bench.workers.kill(bystander.pid, signal.SIGKILL)
        assert bystander.stdin is not None
        bystander.stdin.write(b"go on\n")

    assert bystander.returncode == 0
    assert bench.news() == [Attempted(0, None, None, "a process that is no worker", "gone")]


@pytest.mark.parametrize(
    "pid", [5_000_001, os.getpid(), 4_000_000, 1, 0], ids=["worker", "itself", "stranger", "init", "group"]
)
def test_a_question_is_no_attempt(bench: Bench, pid: int) -> None:
    """Signal 0 kills nobody: whomever it asks for, no attempt is recorded, and nobody is accused."""
    try:
        bench.workers.kill(pid, 0)
    except OSError as error:
        assert pid in {4_000_000, 1}, error  # noqa: PT017 - only these two can fail

    assert bench.news() == []


def test_a_kill_that_does_not_end_its_worker_is_refused() -> None:
    """A kill of a worker that will not die is answered with EPERM."""
    bench = make_bench(lambda worker: False)

    with pytest.raises(PermissionError) as raised:
        bench.workers.kill(5_000_001, signal.SIGKILL)

    assert (raised.value.errno, bench.news()) == (errno.EPERM, [Attempted(0, 0, 0, "worker 0", "failed")])
