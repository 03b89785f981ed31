"""The simulated process table: what it can do beyond the check that it shares with the real kernel."""

import logging
import math
import queue
import signal
from typing import TYPE_CHECKING, Any

import pytest

from timersim import LocalTimerServer, ProcessReaper, TimerRequest
from timersim.fakes import FakeWorkers, StraySignalError, VirtualClock, WorkerStatus
from timersim.kernel import Kernel
from timersim.reaper import DEATH_LIMIT, NotReapableError

if TYPE_CHECKING:
    from collections.abc import Callable

_: type[Kernel] = FakeWorkers

START = 1_000_000.0

TICK = 0.001
"""Seconds: what boundaries are tried at."""

ALIVE = WorkerStatus("running")


@pytest.fixture
def clock() -> VirtualClock:
    """A virtual clock at START."""
    return VirtualClock(START)


@pytest.fixture
def workers(clock: VirtualClock) -> FakeWorkers:
    """An empty process table."""
    return FakeWorkers(clock)


def zombie(number: int) -> WorkerStatus:
    """Says that a child died of this signal."""
    return WorkerStatus("zombie", -number)


# Their pids and lives


def test_pids_are_those_that_no_kernel_gives(workers: FakeWorkers) -> None:
    """Workers have pids above 2**22, one after the other, each its own; those that were borne are not given again."""
    workers.start(5_000_002)
    pids = [workers.start() for _ in range(3)]
    workers.exit(5_000_001)
    assert workers.wait(5_000_001) == 0

    assert [*pids, workers.start()] == [5_000_001, 5_000_003, 5_000_004, 5_000_005]


@pytest.mark.parametrize("pid", [-1, 0, 1, 5_000_000])
def test_a_pid_that_cannot_be_a_workers_is_refused(pid: int, workers: FakeWorkers) -> None:
    """A pid of 1 or below, and that of who watches, are refused with the rule and the value."""
    message = rf"^a worker's pid is above 1 and not that of who watches: start\(pid={pid}\)$"
    with pytest.raises(ValueError, match=message):
        workers.start(pid)
    assert (workers.start(2), workers.own_pid) == (2, 5_000_000)


def test_who_watches_may_have_a_pid_of_its_own(clock: VirtualClock) -> None:
    """The pid of who watches can be given, and is nobody else's; workers are its children."""
    workers = FakeWorkers(clock, own_pid=5_000_001)

    assert (workers.start(), workers.own_pid) == (5_000_002, 5_000_001)
    assert workers.table() == [(5_000_002, 5_000_001, "running")]


def test_a_pid_is_borne_until_its_status_is_taken(workers: FakeWorkers) -> None:
    """The pid of a living worker and of a zombie is taken, the next one's is the next incarnation."""
    pid = workers.start(4242)
    with pytest.raises(ValueError, match=r"^a pid has one bearer until its status is taken: 4242 is running$"):
        workers.start(pid)
    workers.exit(pid, 3)
    with pytest.raises(ValueError, match="4242 is zombie"):
        workers.start(pid)
    assert (workers.wait(pid), workers.incarnation_number(pid), workers.alive(pid)) == (3, 0, False)

    assert (workers.start(pid), workers.incarnation_number(pid), workers.alive(pid)) == (4242, 1, True)
    assert (workers.status(pid), workers.table()) == (ALIVE, [(4242, 5_000_000, "running")])


def test_an_incarnation_is_one_life(workers: FakeWorkers) -> None:
    """The incarnation of a former life is over, and never signals the pid's next bearer."""
    pid = workers.start()
    former = workers.incarnation(pid)
    workers.exit(pid)
    former.send_signal(signal.SIGKILL)  # a zombie takes it
    workers.wait(pid)
    workers.start(pid)
    latter = workers.incarnation(pid)

    with pytest.raises(ProcessLookupError):
        former.send_signal(signal.SIGKILL)
    assert (former.alive, latter.alive, workers.status(pid)) == (False, True, ALIVE)
    latter.send_signal(signal.SIGKILL)
    assert (latter.alive, workers.status(pid)) == (False, zombie(signal.SIGKILL))


def test_a_pid_that_nobody_has_borne_is_nobodys(workers: FakeWorkers) -> None:
    """Of a pid that nobody has borne there is no incarnation, and nothing is known."""
    assert (workers.status(4242), workers.alive(4242)) == (WorkerStatus("gone"), False)
    for ask in (workers.incarnation, workers.incarnation_number, workers.exit, workers.make_mortal):
        with pytest.raises(ProcessLookupError):
            ask(4242)


@pytest.mark.parametrize("end", [False, True])
def test_a_parent_lives(*, end: bool, workers: FakeWorkers) -> None:
    """Who is dead, or nobody, is nobody's parent."""
    parent = workers.start(4242) if end else 4242
    if end:
        workers.exit(parent)

    with pytest.raises(ValueError, match=r"^a parent lives: start\(parent=4242\)$"):
        workers.start(parent=parent)


def test_a_child_of_init_leaves_no_zombie(workers: FakeWorkers) -> None:
    """Init takes the status of its children at once; it is known all the same."""
    pid = workers.start(parent=1)
    assert workers.table() == [(pid, 1, "running")]
    workers.crash(pid, signal.SIGSEGV)

    assert (workers.table(), workers.status(pid)) == ([], WorkerStatus("gone", -11))
    assert workers.start(pid) == pid


def test_the_table_is_in_the_order_of_the_starts(workers: FakeWorkers) -> None:
    """Who bears a pid is listed with parent and state, the first first; a pid that is reused counts as new."""
    first, second, third = workers.start(30), workers.start(20, parent=30), workers.start(10)
    workers.kill(second, signal.SIGSTOP)
    workers.exit(third)
    assert workers.table() == [(30, 5_000_000, "running"), (20, 30, "stopped"), (10, 5_000_000, "zombie")]

    workers.exit(first)
    workers.wait(first)
    workers.start(30)
    assert workers.table() == [(20, 1, "stopped"), (10, 5_000_000, "zombie"), (30, 5_000_000, "running")]


# What ends them


@pytest.mark.parametrize("hindrance", ["stopped", "immortal"])
def test_who_cannot_run_does_nothing_by_itself(hindrance: str, workers: FakeWorkers) -> None:
    """A worker that is stopped or in an uninterruptible sleep neither ends by itself nor unblocks a signal."""
    pid = workers.start(immortal=hindrance == "immortal", blocks={signal.SIGTERM})
    if hindrance == "stopped":
        workers.kill(pid, signal.SIGSTOP)
    acts: list[Callable[[], None]] = [
        lambda: workers.exit(pid),
        lambda: workers.crash(pid, signal.SIGSEGV),
        lambda: workers.unblock(pid, signal.SIGTERM),
    ]
    for act in acts:
        with pytest.raises(RuntimeError, match=f"^a worker that is {hindrance} does nothing by itself: pid={pid}$"):
            act()
    assert workers.alive(pid)


@pytest.mark.parametrize("number", [-1, 0, 65, signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD])
def test_nobody_crashes_of_a_signal_that_ends_nobody(number: int, workers: FakeWorkers) -> None:
    """A crash is of a signal that ends who does nothing about it."""
    pid = workers.start()

    with pytest.raises(ValueError, match=f"^nobody crashes of signal {int(number)}$"):
        workers.crash(pid, number)
    assert workers.alive(pid)


@pytest.mark.parametrize("number", [1, 64])
def test_a_crash_escapes_nobody(number: int, workers: FakeWorkers) -> None:
    """Who ignores and blocks a signal crashes of it all the same."""
    pid = workers.start(ignores={number}, blocks={number})
    workers.crash(pid, number)

    assert workers.wait(pid) == -number


def test_sigkill_and_sigstop_cannot_be_ignored(workers: FakeWorkers) -> None:
    """To name SIGKILL and SIGSTOP among what is ignored changes nothing."""
    pid = workers.start(ignores=signal.valid_signals())
    seen = []
    for number in (signal.SIGTERM, signal.SIGTSTP, signal.SIGSTOP, signal.SIGKILL):
        workers.kill(pid, number)
        seen.append(workers.status(pid))

    assert seen == [ALIVE, ALIVE, WorkerStatus("stopped"), zombie(signal.SIGKILL)]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([], ALIVE),
        ([signal.SIGKILL], zombie(signal.SIGKILL)),
        ([signal.SIGTERM, signal.SIGKILL], zombie(signal.SIGTERM)),
        ([signal.SIGSTOP], WorkerStatus("stopped")),
        ([signal.SIGSTOP, signal.SIGTERM], zombie(signal.SIGTERM)),
        ([signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL], zombie(signal.SIGKILL)),
        ([signal.SIGSTOP, signal.SIGCONT], ALIVE),
        ([signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT, signal.SIGKILL], zombie(signal.SIGKILL)),
        ([signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL], zombie(signal.SIGTERM)),
        ([signal.SIGHUP, signal.SIGUSR1], ALIVE),
    ],
)
def test_an_immortal_worker_takes_what_was_sent_when_it_wakes(
    sent: list[int], status: WorkerStatus, workers: FakeWorkers
) -> None:
    """In an uninterruptible sleep nothing is taken; after it the first fatal signal is, or what pends in order."""
    pid = workers.start(immortal=True, ignores={signal.SIGHUP}, blocks={signal.SIGUSR1})
    for number in sent:
        workers.kill(pid, number)
        assert workers.status(pid) == ALIVE

    workers.make_mortal(pid)
    assert workers.status(pid) == status


def test_who_is_mortal_stays_as_it_is(workers: FakeWorkers, clock: VirtualClock) -> None:
    """To make a mortal worker mortal delivers nothing to who is stopped, and puts off no death."""
    stopped, dying = workers.start(), workers.start(dies_after=5)
    for pid, number in [(stopped, signal.SIGSTOP), (stopped, signal.SIGTERM), (dying, signal.SIGTERM)]:
        workers.kill(pid, number)
    clock.advance(4)
    workers.make_mortal(stopped)
    workers.make_mortal(dying)
    clock.advance(1)

    assert (workers.status(stopped), workers.status(dying)) == (WorkerStatus("stopped"), zombie(signal.SIGTERM))


# Slow deaths


@pytest.mark.parametrize(("offset", "status"), [(-TICK, ALIVE), (0, zombie(9)), (TICK, zombie(9))])
@pytest.mark.parametrize("was", ["running", "stopped"])
def test_a_death_takes_its_time(
    was: str, offset: float, status: WorkerStatus, workers: FakeWorkers, clock: VirtualClock
) -> None:
    """With `dies_after` a worker is dead so many seconds after the fatal signal, and runs till then."""
    pid = workers.start(dies_after=5.0)
    if was == "stopped":
        workers.kill(pid, signal.SIGSTOP)
    workers.kill(pid, signal.SIGKILL)
    assert clock.pending == [(START + 5, f"pid {pid}: death")]
    clock.advance(5 + offset)

    assert workers.status(pid) == status


def test_who_is_dying_takes_no_more(workers: FakeWorkers, clock: VirtualClock) -> None:
    """A dying worker is not stopped; a second fatal signal hastens nothing and changes no status."""
    pid = workers.start(dies_after=5)
    workers.kill(pid, signal.SIGTERM)
    clock.advance(3)
    for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGKILL):
        workers.kill(pid, number)
    assert workers.status(pid) == ALIVE
    clock.advance(2)

    assert (workers.status(pid), clock.pending) == (zombie(signal.SIGTERM), [])


@pytest.mark.parametrize(("killed_at", "instant", "number"), [(6, 9, 9), (7, 10, 15), (8, 10, 15)])
def test_sigkill_overtakes_a_slower_death(
    killed_at: float, instant: float, number: int, workers: FakeWorkers, clock: VirtualClock
) -> None:
    """Where signals have times of their own a worker dies of the one of which it is dead first, or of the former."""
    died: list[float] = []
    workers.on_death(lambda pid, incarnation, status: died.append(clock.monotonic() - START))
    pid = workers.start(dies_after={signal.SIGTERM: 10, signal.SIGKILL: 3})
    workers.kill(pid, signal.SIGTERM)
    clock.advance(killed_at)
    workers.kill(pid, signal.SIGKILL)
    clock.run_until_idle()

    assert (died, workers.wait(pid)) == ([instant], -number)


def test_a_signal_without_a_time_of_its_own_ends_at_once(workers: FakeWorkers) -> None:
    """Where signals have times of their own others end a worker at once."""
    pid = workers.start(dies_after={signal.SIGTERM: 10})
    workers.kill(pid, signal.SIGHUP)

    assert workers.status(pid) == zombie(signal.SIGHUP)


def test_who_is_dying_may_end_by_itself(workers: FakeWorkers, clock: VirtualClock) -> None:
    """A dying worker that exits is dead then, once, and the next bearer of its pid is left alone."""
    died: list[int] = []
    workers.on_death(lambda pid, number, status: died.append(status))
    pid = workers.start(dies_after=5)
    workers.kill(pid, signal.SIGTERM)
    workers.exit(pid, 3)
    assert (workers.wait(pid), workers.start(pid)) == (3, pid)
    clock.advance(10)

    assert (workers.status(pid), died) == (ALIVE, [3])


def test_an_immortal_dies_slowly_from_when_it_wakes(workers: FakeWorkers, clock: VirtualClock) -> None:
    """The seconds of a death are counted from the end of an uninterruptible sleep."""
    pid = workers.start(immortal=True, dies_after=5)
    workers.kill(pid, signal.SIGKILL)
    clock.advance(100)
    workers.make_mortal(pid)
    clock.advance(5 - TICK)
    assert workers.alive(pid)
    clock.advance(TICK)

    assert workers.status(pid) == zombie(signal.SIGKILL)


@pytest.mark.parametrize("delay", [-1, -TICK, math.nan, math.inf])
def test_a_death_that_takes_no_time_that_is_one_is_refused(delay: float, workers: FakeWorkers) -> None:
    """A time to die that is no number of seconds is refused by its name, and nobody is started."""
    times: list[float | dict[int, float]] = [delay, {signal.SIGTERM: delay}]
    for dies_after in times:
        with pytest.raises(ValueError, match=r"^dies_after is a number of seconds of at least 0: dies_after="):
            workers.start(dies_after=dies_after)
    assert workers.table() == []


# Signals that go astray


@pytest.mark.parametrize(
    ("pid", "whom"),
    [(1, "init"), (0, "its own group"), (-1, "everybody"), (-4242, "a group"), (5_000_000, "who watches")],
)
def test_a_signal_for_more_than_a_worker_is_not_sent(pid: int, whom: str, workers: FakeWorkers) -> None:
    """What would hit init, groups, everybody or who watches is an error, and noted; to ask is neither."""
    worker = workers.start(4242)
    workers.kill(pid, 0)
    assert workers.astray == []

    with pytest.raises(StraySignalError, match=rf"^signal 9 for {whom}: kill\({pid}, 9\)$"):
        workers.kill(pid, 9)
    assert (workers.astray, workers.status(worker)) == ([(pid, 9)], ALIVE)


# What is told of deaths


def test_a_death_is_told_at_its_instant(workers: FakeWorkers, clock: VirtualClock) -> None:
    """Each death is told once, when it happens, to all who asked, in their order, with the incarnation and status."""
    told: list[object] = []
    workers.on_death(lambda *death: told.append((clock.monotonic() - START, *death)))
    workers.on_death(lambda pid, number, status: told.append(pid))
    pid = workers.start(4242)
    workers.exit(pid, 3)
    workers.wait(pid)
    workers.start(pid, dies_after=5)
    workers.kill(pid, signal.SIGTERM)
    clock.advance(60)

    assert told == [(0, 4242, 0, 3), 4242, (5, 4242, 1, -signal.SIGTERM), 4242]


def test_who_is_told_of_a_death_finds_it_done(workers: FakeWorkers) -> None:
    """When a death is told its children are orphans, and the pid of init's child is free for the next one."""
    tables: list[object] = []

    def restart(pid: int, number: int, status: int) -> None:
        tables.append(workers.table())
        if number == 0:
            workers.start(pid, parent=1)

    workers.on_death(restart)
    worker = workers.start(30, parent=1)
    workers.start(20, parent=worker)
    workers.kill(worker, signal.SIGKILL)

    assert tables == [[(20, 1, "running")]]
    assert workers.table() == [(20, 1, "running"), (30, 1, "running")]


# The reaper's kernel


@pytest.mark.parametrize("where", ["in a task", "outside"])
@pytest.mark.parametrize(
    ("dies_after", "is_gone", "passed"),
    [(0, True, 0), (DEATH_LIMIT - TICK, True, DEATH_LIMIT - TICK), (DEATH_LIMIT, True, DEATH_LIMIT),
     (DEATH_LIMIT + TICK, False, DEATH_LIMIT)],
)  # fmt: skip
def test_a_reap_waits_for_a_death_in_virtual_time(
    *, where: str, dies_after: float, is_gone: bool, passed: float, workers: FakeWorkers, clock: VirtualClock
) -> None:
    """A reap lets time pass until the death, DEATH_LIMIT at most, and says whether it came."""
    pid = workers.start(dies_after=dies_after)
    reaper = ProcessReaper(clock=clock, kernel=workers)
    seen: list[tuple[bool, float]] = []

    def reap() -> None:
        seen.append((reaper(pid), round(clock.monotonic() - START, 6)))

    if where == "outside":
        reap()
    else:
        clock.spawn(reap, name="reap")
        clock.advance(1)

    assert seen == [(is_gone, passed)]


def test_an_immortal_worker_is_not_reaped_until_it_is_mortal(workers: FakeWorkers, clock: VirtualClock) -> None:
    """The reap of an uninterruptible sleeper fails; once it wakes it is dead, and the next reap says so."""
    pid = workers.start(immortal=True)
    reaper = ProcessReaper(clock=clock, kernel=workers, tree=True)
    assert (reaper(pid), reaper(pid), workers.status(pid)) == (False, False, ALIVE)
    assert clock.monotonic() == START + DEATH_LIMIT  # the second one does not wait
    workers.make_mortal(pid)

    assert (workers.status(pid), reaper(pid)) == (zombie(signal.SIGKILL), True)


def test_a_tree_is_frozen_before_it_is_killed(workers: FakeWorkers, clock: VirtualClock) -> None:
    """A tree dies from the worker down, and one that may not be signalled spares nobody else."""
    died: list[int] = []
    workers.on_death(lambda pid, number, status: died.append(pid))
    worker, bystander = workers.start(), workers.start()
    first, foreign = workers.start(parent=worker), workers.start(parent=worker, owned=False)
    grandchild = workers.start(parent=foreign)
    reaper = ProcessReaper(clock=clock, kernel=workers, tree=True)

    assert (reaper(worker), died) == (False, [worker, first, grandchild])
    assert [workers.status(pid) for pid in (foreign, bystander)] == [ALIVE, ALIVE]
    assert [each.pid for each in workers.descendants(workers.incarnation(worker), lambda pid: False)] == []


def test_the_known_are_left_out_of_the_descendants(workers: FakeWorkers) -> None:
    """Descendants are told generation by generation, without the dead and those that are known."""
    worker = workers.start()
    first, second = workers.start(parent=worker), workers.start(parent=worker)
    grandchild, dead = workers.start(parent=first), workers.start(parent=first)
    workers.exit(dead)
    root = workers.incarnation(worker)

    assert [each.pid for each in workers.descendants(root, lambda pid: False)] == [first, second, grandchild]
    assert [each.pid for each in workers.descendants(root, {first}.__contains__)] == [second, grandchild]


def test_who_watches_is_never_reaped(workers: FakeWorkers, clock: VirtualClock) -> None:
    """The reaper refuses the pid of the simulated process in which it lives."""
    reaper = ProcessReaper(clock=clock, kernel=workers)
    with pytest.raises(NotReapableError, match="pid=5000000"):
        reaper(workers.own_pid)


class Guard:
    """A server of simulated workers, with a grace."""

    def __init__(self, workers: FakeWorkers, clock: VirtualClock, grace: float) -> None:
        requests: Any = queue.Queue()
        self.requests = requests
        self._clock = clock
        reaper = ProcessReaper(clock=clock, kernel=workers, grace=grace)
        self.server = LocalTimerServer(requests, 5, clock=clock, reaper=reaper)
        self.server.start()

    def acquire(self, pid: int, after: float) -> None:
        """Sends an acquire, due in `after` seconds."""
        self.requests.put(TimerRequest(pid, "s", self._clock.time() + after))
        self._clock.advance(0)


@pytest.fixture
def deaths(workers: FakeWorkers, clock: VirtualClock) -> list[tuple[float, int, int, int]]:
    """The deaths, as they come: the instant, the pid, its incarnation and the status."""
    made: list[tuple[float, int, int, int]] = []
    workers.on_death(lambda *death: made.append((clock.monotonic() - START, *death)))
    return made


def test_a_server_reaps_simulated_workers(
    workers: FakeWorkers, clock: VirtualClock, deaths: list[tuple[float, int, int, int]]
) -> None:
    """A server ends those that hang, each at its instant: the obedient by SIGTERM, others after the grace."""
    guard = Guard(workers, clock, grace=30)
    obedient, deaf = workers.start(), workers.start(ignores={signal.SIGTERM})
    slow, well = workers.start(dies_after=12), workers.start()
    for pid in (obedient, deaf, slow):
        guard.acquire(pid, 60)
    guard.acquire(well, 3600)
    clock.advance(1000)

    assert deaths == [(60, obedient, 0, -15), (72.25, slow, 0, -15), (90, deaf, 0, -9)]
    assert (len(guard.server._timers), workers.status(well)) == (1, ALIVE)
    guard.server.stop()


def test_a_server_spares_the_next_bearer_of_a_pid(
    workers: FakeWorkers, clock: VirtualClock, deaths: list[tuple[float, int, int, int]]
) -> None:
    """A timer of a former life ends nobody: the pid's next bearer lives, until it hangs itself."""
    guard = Guard(workers, clock, grace=0)
    pid = workers.start()
    guard.acquire(pid, 60)
    clock.advance(59)
    workers.exit(pid)
    workers.wait(pid)
    workers.start(pid)
    clock.advance(60)
    assert deaths == [(59, pid, 0, 0)]
    guard.acquire(pid, 60)
    clock.advance(60)

    assert deaths[1:] == [(179, pid, 1, -signal.SIGKILL)]
    guard.server.stop()


def test_an_immortal_worker_spares_nobody_else(
    workers: FakeWorkers,
    clock: VirtualClock,
    deaths: list[tuple[float, int, int, int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who can't be killed is tried again, holds nobody up for longer than one wait, and dies when it wakes."""
    guard = Guard(workers, clock, grace=0)
    immortal, other = workers.start(immortal=True), workers.start()
    guard.acquire(immortal, 60)
    guard.acquire(other, 60)
    clock.call_later(100, lambda: workers.make_mortal(immortal))
    with caplog.at_level(logging.CRITICAL):
        clock.advance(200)

    assert deaths == [(60 + DEATH_LIMIT, other, 0, -9), (100, immortal, 0, -9)]
    assert len(guard.server._timers) == 0
    guard.server.stop()
