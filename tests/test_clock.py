"""The clock of the machine: what it says, how it waits, what it runs."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from timersim.clock import Clock, SystemClock
from timersim.fakes import VirtualClock

LIMIT = 10.0
"""Real seconds after which a call counts as stuck."""

A_MONTH = 30 * 24 * 3600.0

_: type[Clock] = SystemClock


@pytest.fixture(params=[SystemClock, VirtualClock], ids=["system", "virtual"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """A clock of each kind: what is claimed with it holds for both."""
    made: Clock = request.param()
    return made


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """Two pipes, as (read end, write end)."""
    made = [os.pipe(), os.pipe()]
    yield made
    for fd in (fd for pipe in made for fd in pipe):
        os.close(fd)


def ended(call: Callable[[], object]) -> bool:
    """Runs `call` in a thread; returns whether it came back in time."""
    done = threading.Event()

    def target() -> None:
        call()
        done.set()

    threading.Thread(target=target, daemon=True).start()
    return done.wait(LIMIT)


def test_the_system_clock_tells_the_wall_time_of_the_machine() -> None:
    """The system clock's time is the machine's, in seconds since the epoch."""
    before = time.time()
    told = SystemClock().time()

    assert before <= told <= time.time()


def test_the_system_clock_tells_the_monotonic_time_of_the_machine() -> None:
    """The system clock's monotonic time is the machine's."""
    before = time.monotonic()
    told = SystemClock().monotonic()

    assert before <= told <= time.monotonic()


def test_a_sleep_lasts_as_long_as_it_was_told_to(clock: Clock) -> None:
    """A sleep lets at least its seconds pass."""
    before = clock.monotonic()
    clock.sleep(0.02)

    assert clock.monotonic() - before >= 0.02


@pytest.mark.parametrize("there", [True, False])
def test_the_system_clock_hands_the_timeout_to_the_poll(*, there: bool) -> None:
    """The system clock waits by one poll for the whole timeout, and returns its answer."""
    asked: list[float] = []

    def poll(seconds: float) -> bool:
        asked.append(seconds)
        return there

    assert (SystemClock().wait(poll, 60), asked) == (there, [60])


def test_a_wait_for_what_is_there_takes_no_time(clock: Clock) -> None:
    """A wait is over at once where the awaited thing is there."""
    before = clock.monotonic()

    assert clock.wait(lambda seconds: True, timeout=60)
    assert clock.monotonic() - before < 60


def test_a_wait_for_what_never_comes_is_over_after_its_timeout(clock: Clock) -> None:
    """A wait says False once its timeout is over."""
    before = clock.monotonic()

    assert not clock.wait(threading.Event().wait, timeout=0.02)
    assert clock.monotonic() - before >= 0.02


def test_only_readable_descriptors_are_returned(clock: Clock, pipes: list[tuple[int, int]]) -> None:
    """A wait for descriptors returns those that can be read, and no other."""
    (first, _), (second, write) = pipes
    os.write(write, b"x")

    assert clock.wait_readable([first, second], timeout=60) == [second]


def test_readable_descriptors_come_in_the_order_asked_for(clock: Clock, pipes: list[tuple[int, int]]) -> None:
    """Readable descriptors are returned in the order in which they were given, not by number."""
    for _, write in pipes:
        os.write(write, b"x")
    (first, _), (second, _) = pipes

    assert clock.wait_readable([first, second], timeout=0) == [first, second]
    assert clock.wait_readable([second, first], timeout=0) == [second, first]


def test_no_descriptor_is_returned_after_the_timeout(clock: Clock, pipes: list[tuple[int, int]]) -> None:
    """A wait for descriptors returns none of them after its timeout, and not before."""
    before = clock.monotonic()

    assert clock.wait_readable([pipes[0][0]], timeout=0.02) == []
    assert clock.monotonic() - before >= 0.02


@pytest.mark.parametrize("timeout", [0.0, -1e-9, -1.0])
def test_a_timeout_that_is_over_does_not_wait(timeout: float, pipes: list[tuple[int, int]]) -> None:
    """A timeout of nothing, or less, asks once and comes back."""
    assert ended(lambda: SystemClock().wait_readable([pipes[0][0]], timeout))


def test_the_end_of_a_pipe_is_readable(clock: Clock) -> None:
    """A descriptor whose other end is closed is readable: whoever waits for it learns of the end."""
    read, write = os.pipe()
    os.close(write)
    try:
        assert clock.wait_readable([read], timeout=60) == [read]
    finally:
        os.close(read)


@pytest.mark.parametrize("timeout", [60.0, A_MONTH, math.inf], ids=["a minute", "a month", "for ever"])
def test_a_long_wait_ends_with_what_it_waits_for(timeout: float, pipes: list[tuple[int, int]]) -> None:
    """However long the timeout, a wait is over when a descriptor becomes readable."""
    read, write = pipes[0]
    writer = threading.Timer(0.02, os.write, (write, b"x"))
    writer.start()
    try:
        assert SystemClock().wait_readable([read], timeout) == [read]
    finally:
        writer.join()


def test_a_task_runs_beside_its_maker(clock: Clock) -> None:
    """A task is alive until its target has ended, and `join` waits for that."""
    gate = threading.Event()

    def target() -> None:
        clock.wait(gate.wait, LIMIT)

    task = clock.spawn(target, name="a task")

    assert (task.name, task.alive) == ("a task", True)
    task.join(timeout=0.01)
    assert task.alive
    gate.set()
    task.join(timeout=LIMIT)
    assert not task.alive


def test_a_join_without_a_timeout_waits_for_the_end(clock: Clock) -> None:
    """A join without a timeout is over when the target is."""
    done: list[str] = []

    def target() -> None:
        clock.sleep(0.02)
        done.append("done")

    task = clock.spawn(target, name="a task")
    task.join()

    assert (task.alive, done) == (False, ["done"])


@pytest.mark.parametrize("daemon", [True, False])
def test_a_task_of_the_system_clock_is_a_thread_of_its_name(*, daemon: bool) -> None:
    """A task of the system clock is a thread with its name, a daemon where it was asked to be."""
    seen: list[tuple[str, bool]] = []

    def target() -> None:
        thread = threading.current_thread()
        seen.append((thread.name, thread.daemon))

    SystemClock().spawn(target, name="a task", daemon=daemon).join(LIMIT)

    assert seen == [("a task", daemon)]
