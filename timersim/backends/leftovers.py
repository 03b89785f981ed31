"""Leftovers: what a block has left behind, by name."""

import gc
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from multiprocessing import resource_tracker
from pathlib import Path

import psutil

from timersim.backends.named_files import described, held_by_others, pipes_and_sockets, shared_memory
from timersim.backends.private_path import private_directories
from timersim.backends.workers.pool import living_pools

LOOKS, PAUSE = 10, 0.05
"""How often it is looked again where something may be ending right now, and after how many seconds: half a second."""

Key = tuple[str, object, object]
"""What a thing is, and two values that tell it from all others of its kind."""


class LeftoverError(AssertionError):
    """A block has left something behind; the text names each, with its pid, its number or its path."""


@contextmanager
def no_leftovers(*folders: str | Path) -> Iterator[None]:
    """Raises LeftoverError at the end of a block that leaves something behind, and names it.

    Processes count, and zombies, which have ended and nobody has waited for; threads; descriptors, sockets among them;
    shared memory and semaphores by name; and FIFOs and sockets in `folders` that nobody else uses, as a test's own: in
    /tmp nothing tells who made one.

    What was there before does not count, nor a process that one of these has started, as a backend its workers. What is
    ending right now has half a second. Where the block itself raises, its error is not hidden: it gets a note.
    A process whose parent has ended is init's, and not seen; shared memory that others have mapped is theirs.

    >>> with no_leftovers():
    ...     timer = threading.Timer(3600, print)
    ...     timer.name = "the alarm"; timer.start()
    Traceback (most recent call last):
    timersim.backends.leftovers.LeftoverError: left behind: thread 'the alarm'
    >>> timer.cancel(); timer.join()
    """
    __tracebackhide__ = True
    left: list[str] = []
    try:
        with watch_leftovers(*folders) as left:
            yield
    except BaseException as error:
        if left:
            error.add_note(sentence(left))
        raise
    if left:
        raise LeftoverError(sentence(left))


@contextmanager
def watch_leftovers(*folders: str | Path) -> Iterator[list[str]]:
    """Yields a list that names, at the end of the block, what `no_leftovers` would raise.

    The resource tracker of multiprocessing counts as there before: it is one for the life of a process.

    >>> with watch_leftovers() as left:
    ...     pid = os.posix_spawn("/bin/true", ["true"], {})
    ...     _ = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    >>> left == [f"process {pid} 'true', a zombie: it has ended, and nobody has waited for it"]
    True
    >>> os.waitpid(pid, 0) == (pid, 0)
    True
    """
    resource_tracker.ensure_running()
    before = set(_present(set(), folders))
    left: list[str] = []
    try:
        yield left
    finally:
        left += map(_name, _left(before, folders))


def sentence(left: list[str]) -> str:
    """Returns what is left in a sentence.

    >>> sentence(["thread 'the alarm'", "process 4711 'sleep'"])
    "left behind: thread 'the alarm', process 4711 'sleep'"
    """
    return f"left behind: {', '.join(left)}"


def outliving(left: list[str]) -> list[str]:
    """Returns what of it outlives this process, which takes its threads and its descriptors along.

    >>> outliving(["thread 'the alarm'", "descriptor 7 (/dev/null)", "socket 8 (/tmp/s)", "process 4711 'sleep'"])
    ["process 4711 'sleep'"]
    """
    return [name for name in left if not re.match(r"thread |descriptor |socket \d+ \(", name)]


def _left(before: set[Key], folders: Sequence[str | Path]) -> list[Key]:
    """Returns what was not there before, at the first look and at each that follows; one is enough for nothing."""
    left = _new(before, folders)
    if left:
        gc.collect()
    for _ in range(LOOKS):
        if not left:
            break
        time.sleep(PAUSE)
        seen = set(_new(before, folders))
        left = [key for key in left if key in seen]
    return left


def _new(before: set[Key], folders: Sequence[str | Path]) -> list[Key]:
    new = [key for key in _present(before, folders) if key not in before]
    theirs = held_by_others({value for _, value, _ in new if isinstance(value, Path)})
    return [key for key in new if key[1] not in theirs]


def _present(before: set[Key], folders: Sequence[str | Path]) -> Iterator[Key]:
    """Yields what there is, without what a process that was there before has started."""
    yield from _children(psutil.Process(), before)
    for thread in threading.enumerate():
        yield "thread", thread.ident, thread.name
    pooled = {descriptor for pool in living_pools() for descriptor in pool.descriptors}
    for entry in os.scandir("/proc/self/fd"):
        target = _target(entry.path)
        if target is not None and int(entry.name) not in pooled:
            yield "descriptor", int(entry.name), target
    for path in chain(shared_memory(), *(pipes_and_sockets(Path(folder)) for folder in folders)):
        yield "file", path, None
    for directory in private_directories():
        yield "directory", directory, None


def _children(parent: psutil.Process, before: set[Key]) -> Iterator[Key]:
    with suppress(psutil.NoSuchProcess):
        for child in parent.children():
            key = "process", child.pid, child.create_time()
            yield key
            if key not in before:
                yield from _children(child, before)


def _target(link: str) -> str | None:
    try:
        target = str(Path(link).readlink())
    except FileNotFoundError:
        return None  # it was the one of this very listing
    return None if target.endswith("/fd") and target.startswith("/proc/") else target


def _name(key: Key) -> str:
    match key:
        case "process", int(pid), _:
            return f"process {pid}{_state(pid)}"
        case "descriptor", int(number), str(target) if target.startswith("socket:"):
            return f"socket {number} ({_address(number) or target})"
        case "thread", _, name:
            return f"thread {name!r}"
        case "file", Path() as path, _:
            return described(path)
        case kind, what, None:
            return f"{kind} {what}"
        case kind, what, detail:
            return f"{kind} {what} ({detail})"


def _state(pid: int) -> str:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return f" {process.name()!r}" + (", a zombie: it has ended, and nobody has waited for it" if is_zombie else "")
    return ""


def _address(descriptor: int) -> str:
    """Returns where a socket is bound; nothing where it is not, or is closed."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as other:
        address = other.getsockname()
        return address if isinstance(address, str) else ":".join(map(str, address[:2]))
    return ""
