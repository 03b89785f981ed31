"""The watch on leftovers sees each kind."""

import os
import subprocess
import sys
import threading
from multiprocessing import get_context

import pytest

from timersim.backends.leftovers import watch_leftovers


def test_nothing_is_left_of_nothing() -> None:
    """A block that leaves nothing leaves an empty list."""
    with watch_leftovers() as left:
        subprocess.run([sys.executable, "-c", ""], check=True)

    assert left == []


def test_a_process_is_seen() -> None:
    """A child that outlives the block is named by its pid."""
    with watch_leftovers() as left:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    child.communicate()
    assert f"process {child.pid}" in left


def test_a_thread_is_seen() -> None:
    """A thread that outlives the block is named."""
    done = threading.Event()
    with watch_leftovers() as left:
        thread = threading.Thread(target=done.wait, name="the stray")
        thread.start()

    done.set()
    thread.join()
    assert left == ["thread 'the stray'"]


def test_a_descriptor_is_seen() -> None:
    """A descriptor that outlives the block is named by what it leads to."""
    with watch_leftovers() as left:
        fd = os.open("/dev/null", os.O_RDONLY)

    os.close(fd)
    assert left == ["descriptor /dev/null"]


def test_a_semaphore_is_seen() -> None:
    """A named semaphore that outlives the block is named."""
    with watch_leftovers() as left:
        lock = get_context("spawn").Lock()

    assert len(left) == 1
    assert left[0].startswith("semaphore /mp-")
    del lock


def test_an_exception_passes_and_the_watch_is_made() -> None:
    """An exception in the block passes through, and what is left is named all the same."""
    with pytest.raises(KeyError), watch_leftovers() as left:  # noqa: PT012 - both belong together
        fd = os.open("/dev/null", os.O_RDONLY)
        raise KeyError

    os.close(fd)
    assert left == ["descriptor /dev/null"]
