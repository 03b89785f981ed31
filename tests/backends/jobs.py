"""Jobs that users could have, for the tests of workers that call a function."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from timersim import expires
from timersim.api import TimerClient
from timersim.clock import Clock

HALF_AN_HOUR, HOURS = 1800, 5 * 3600


def train(clock: Clock, worker: int, incarnation: int) -> None:
    """Makes four steps of a minute, each guarded; the third of rank 1 hangs in its first life."""
    for step in range(4):
        with expires(after=HALF_AN_HOUR, scope="step"):
            if (worker, step, incarnation) == (1, 2, 0):
                clock.sleep(HOURS)
            clock.sleep(60)


def hangs(clock: Clock) -> None:
    """Sleeps for hours in a guarded block."""
    with expires(after=HALF_AN_HOUR, scope="step"):
        clock.sleep(HOURS)


def sleeps_in_steps(clock: Clock) -> None:
    """Makes a guarded step of ten seconds for ever."""
    while True:
        with expires(after=HALF_AN_HOUR, scope="step"):
            clock.sleep(10)


def returns() -> None:
    """Does nothing."""


def raises(clock: Clock) -> None:
    """Divides by zero, after a while, in a guarded block."""
    with expires(after=60, scope="step"):
        clock.sleep(5)
        sys.exit(1 // 0)


def exits(clock: Clock) -> None:
    """Exits with a status of its own."""
    clock.sleep(5)
    sys.exit(3)


def ends_at_once(clock: Clock) -> None:
    """Ends without unwinding."""
    with expires(after=60, scope="step"):
        clock.sleep(5)
        os._exit(4)


def kills_itself(clock: Clock) -> None:
    """Sends itself SIGKILL."""
    clock.sleep(5)
    os.kill(os.getpid(), signal.SIGKILL)


def terminates_itself(clock: Clock) -> None:
    """Sends itself SIGTERM."""
    clock.sleep(5)
    os.kill(os.getpid(), signal.SIGTERM)


def computes() -> None:
    """Computes for ever."""
    while True:
        """Nothing is found."""


def sleeps_for_real() -> None:
    """Sleeps in real time, in a call without Python, for ever."""
    ctypes.CDLL(None).sleep(100_000)


def tells_the_time(clock: Clock, client: TimerClient, worker: int) -> None:
    """Prints what time it is before and after each of its waits."""
    readings = [(clock.time(), clock.monotonic())]
    clock.sleep(0.25)
    readings.append((clock.time(), clock.monotonic()))
    client.acquire("step", clock.time() + 100)
    readings.append((clock.time(), clock.monotonic()))
    client.release("step")
    print(worker, readings, flush=True)  # noqa: T201 - it is read by the test


def waits_for_the_other(clock: Clock, worker: int) -> None:
    """Rank 0 makes a file after 7 seconds; rank 1 waits for it, and rank 2 for what never comes, a minute long."""
    mark = Path("mark")
    if worker == 0:
        clock.sleep(7)
        mark.touch()
        clock.sleep(1)
        return
    came = clock.wait(lambda _: mark.exists() and worker == 1, 60)
    print(worker, came, clock.monotonic(), flush=True)  # noqa: T201 - it is read by the test


def is_refused(clock: Clock) -> None:
    """Enters a guarded block while no server is there, and says what comes of it."""
    clock.sleep(5)
    try:
        with expires(after=60, scope="step"):
            clock.sleep(1)
    except ConnectionError:
        clock.sleep(10)
    with expires(after=60, scope="step"):
        clock.sleep(1)


def asks_in_a_thread(clock: Clock) -> None:
    """Sleeps in a thread that it has started."""
    errors: list[str] = []

    def sleep() -> None:
        try:
            clock.sleep(5)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=sleep)
    thread.start()
    thread.join()
    print(*errors, flush=True)  # noqa: T201 - it is read by the test


def has_a_child(clock: Clock) -> None:
    """Has a process of its own do something, as a loader of data does."""
    child = multiprocessing.get_context("fork").Process(target=returns)
    child.start()
    child.join()
    clock.sleep(child.exitcode or 1)


def wants_more(learning_rate: float) -> None:
    """Wants what nobody gives it."""


def nested() -> Callable[[], None]:
    """Returns a function that nobody can import."""

    def inner() -> None:
        """Does nothing."""

    return inner
