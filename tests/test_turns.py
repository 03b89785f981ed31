"""Turns: one at a time in the block, on any clock."""

import threading
from functools import partial

import pytest

from timersim import SystemClock
from timersim.fakes import VirtualClock
from timersim.turns import Turns


def test_one_task_at_a_time_is_in_the_block() -> None:
    """While one task is in the block the others wait, and virtual time goes on meanwhile."""
    clock = VirtualClock(0)
    turns = Turns(clock)
    log: list[tuple[float, str, str]] = []

    def use(name: str) -> None:
        with turns:
            log.append((clock.monotonic(), name, "in"))
            clock.sleep(5)
            log.append((clock.monotonic(), name, "out"))

    for name in "ab":
        clock.spawn(partial(use, name), name=name)
    clock.run_until_idle()

    assert log == [(0, "a", "in"), (5, "a", "out"), (5, "b", "in"), (10, "b", "out")]


def test_a_block_that_raises_ends_its_turn() -> None:
    """After an exception in the block the next one gets its turn."""
    turns = Turns(SystemClock())
    with pytest.raises(KeyError), turns:
        raise KeyError

    with turns:
        pass


def test_threads_take_turns() -> None:
    """Of four threads that count in the block none loses a count."""
    turns = Turns(SystemClock())
    counted = [0]

    def count() -> None:
        for _ in range(200):
            with turns:
                before = counted[0]
                threading.Event().wait(0)
                counted[0] = before + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert counted == [800]
