"""Leftovers: what this process has more of than before, processes, threads, descriptors, semaphores, directories."""

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.synchronize import SemLock
from pathlib import Path

import psutil

from timersim.backends.private_path import private_directories


@contextmanager
def watch_leftovers() -> Iterator[list[str]]:
    """Yields a list that names, at the end of the block, what the block has left behind.

    The resource tracker of multiprocessing counts as there before: it is one for the life of a process.

    >>> with watch_leftovers() as left:
    ...     descriptor = os.open("/dev/null", os.O_RDONLY)
    >>> left
    ['descriptor /dev/null']
    >>> os.close(descriptor)
    """
    resource_tracker.ensure_running()
    before = _present()
    left: list[str] = []
    try:
        yield left
    finally:
        gc.collect()
        left += [name for key, name in _present().items() if key not in before]


def _present() -> dict[tuple[str, object], str]:
    """Returns what there is, by what identifies it, with its name."""
    present: dict[tuple[str, object], str] = {}
    for child in psutil.Process().children(recursive=True):
        present["process", (child.pid, child.create_time())] = f"process {child.pid}"
    for thread in threading.enumerate():
        present["thread", thread.ident] = f"thread {thread.name!r}"
    for entry in os.scandir("/proc/self/fd"):
        target = _target(entry.path)
        if target is not None:
            present["descriptor", (entry.name, target)] = f"descriptor {target}"
    for lock in gc.get_objects():
        if issubclass(type(lock), SemLock) and lock._semlock.name is not None:
            present["semaphore", lock._semlock.name] = f"semaphore {lock._semlock.name}"
    for directory in private_directories():
        present["directory", directory] = f"directory {directory}"
    return present


def _target(link: str) -> str | None:
    try:
        target = str(Path(link).readlink())
    except FileNotFoundError:
        return None  # it was the one of this very listing
    return None if target.endswith("/fd") and target.startswith("/proc/") else target
