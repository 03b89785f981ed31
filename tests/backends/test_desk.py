"""The desk: it hears when a task begins, finishes and ends, and knows how late it may have heard it."""

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from timersim.backends import no_leftovers
from timersim.backends.runs.run_delay import run_delay
from timersim.backends.supervisors import desk as desks
from timersim.backends.supervisors.desk import Desk, RunningTask
from timersim.clock import SystemClock, Task

LIMIT = 10.0


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk, whose descriptors are given back."""
    with no_leftovers():
        made = Desk()
        yield made
        made.close()


def heard(desk: Desk, limit: float = LIMIT) -> RunningTask:
    """Returns the first task of which something is heard."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if tasks := desk.hear(until):
            return tasks[0]
    raise AssertionError(f"nothing was heard for {limit} s")


def begun(desk: Desk) -> tuple[Task, RunningTask]:
    """Has a task hang in a thread, and returns both."""
    thread = SystemClock().spawn(desk.make(), name="a task")
    return thread, heard(desk)


def test_a_task_is_known_from_its_beginning_to_its_end(desk: Desk) -> None:
    """It is heard when it begins, with its process, and again when it has finished."""
    thread, task = begun(desk)
    assert (task.number, task.pid, task.is_over, desk.hosts(task.pidfd)) == (1, os.getpid(), False, True)

    task.tell("finish")
    assert heard(desk) is task
    thread.join(LIMIT)

    assert (task.is_over, task.has_finished, desk.hosts(task.pidfd), thread.alive) == (True, True, False, False)
    assert desk.living() == [task.pidfd]


def test_who_hangs_when_the_desk_is_closed_is_let_go(desk: Desk) -> None:
    """A task does not outlive the laboratory: its line is closed, and it returns."""
    thread, _ = begun(desk)

    desk.close()
    thread.join(LIMIT)

    assert not thread.alive


def test_a_task_that_comes_too_late_returns(desk: Desk) -> None:
    """A task that is called when the desk is gone has nothing to hang for."""
    task = desk.make()
    desk.close()

    task()


def test_who_does_not_listen_hears_late(desk: Desk) -> None:
    """For as long as nobody listened while a task ran, so late may its end have been heard."""
    time.sleep(0.1)  # nobody runs yet: it does not count
    began = time.monotonic()
    desk.hear(0)
    assert desk.deafness <= time.monotonic() - began

    thread, task = begun(desk)
    time.sleep(0.1)  # nobody listens meanwhile: that is the point
    task.tell("finish")
    assert heard(desk) is task
    thread.join(LIMIT)

    assert desk.deafness >= 0.1


def test_it_is_known_how_long_a_process_waited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its process waited for a processor before the task began does not count, and what it does later counts."""
    waited = [5.0]
    monkeypatch.setattr(desks, "run_delay", lambda pid: waited[-1])
    thread, task = begun(desk)
    waited.append(5.2)
    desk.hear(0)
    waited.append(0.0)  # it is gone
    task.tell("finish")
    heard(desk)
    thread.join(LIMIT)

    assert task.waited == pytest.approx(0.2)


def test_who_is_gone_has_waited_for_nothing() -> None:
    """A process that there is not is no error."""
    assert run_delay(2**22 + 1) == 0


def test_who_has_ended_before_its_process_is_known_is_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ends before its pidfd is open has not begun: the pid may be somebody else's by then."""
    task = desk.make()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(task.address)
    line.send(b"1")
    opened = os.pidfd_open

    def ended_meanwhile(pid: int) -> int:
        line.close()
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", ended_meanwhile)
    desk.hear(time.monotonic() + LIMIT)

    assert desk.hear(time.monotonic() + LIMIT) == []
    assert desk.living() == []


def test_the_desk_never_ends_its_own_process(desk: Desk) -> None:
    """Who runs a task in the laboratory's own process is not answered with a SIGKILL for it."""
    thread, task = begun(desk)

    assert desk.end(0) == 0

    task.tell("finish")
    heard(desk)
    thread.join(LIMIT)


def test_who_has_ended_a_moment_ago_is_no_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends between the look and the signal was not killed, and is no error."""
    process = subprocess.Popen(desk.make().argv)
    heard(desk)
    lives = desk.lives

    def was_alive(pidfd: int) -> bool:
        is_alive = lives(pidfd)
        process.kill()
        process.wait(LIMIT)
        return is_alive

    (pidfd,) = desk.living()
    monkeypatch.setattr(desk, "lives", was_alive)

    assert not desk.kill(pidfd)
    assert process.returncode == -signal.SIGKILL


def test_who_does_not_end_by_itself_is_killed(desk: Desk) -> None:
    """A process that hangs still when its time is over is killed, and counted."""
    process = subprocess.Popen(desk.make().argv)
    heard(desk)

    assert desk.end(0.01) == 1
    assert process.wait(LIMIT) == -signal.SIGKILL
    assert desk.end(0) == 0


def test_who_ends_since_its_parent_is_gone_has_not_finished(desk: Desk) -> None:
    """A task whose parent was killed ends by itself, and does not say that it was told to."""
    parent = subprocess.Popen(["sh", "-c", f"{shlex.join(desk.make().argv)} & wait"])
    task = heard(desk)

    parent.kill()
    parent.wait(LIMIT)

    assert heard(desk) is task
    assert (task.is_over, task.has_finished) == (True, False)
