"""Files that outlive who made them: FIFOs and sockets in a folder, shared memory and semaphores by name."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
"""Where POSIX shared memory and semaphores have their names."""


def pipes_and_sockets(folder: Path) -> Iterator[Path]:
    """Yields the FIFOs and sockets in a folder and in those below it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     os.mkfifo(f"{folder}/pipe")
    ...     [described(path) == f"FIFO {folder}/pipe" for path in pipes_and_sockets(Path(folder))]
    [True]
    """
    for place, _, names in os.walk(folder):
        yield from (path for name in names if _kind(path := Path(place, name)))


def shared_memory() -> Iterator[Path]:
    """Yields the shared memory and the semaphores of this user that have names."""
    with suppress(OSError):
        for path in SHARED_MEMORY.iterdir():
            with suppress(OSError):
                if path.lstat().st_uid == os.getuid():
                    yield path


def described(path: Path) -> str:
    """Returns what is at a path that was found here.

    >>> described(Path("/dev/shm/sem.mp-4711"))
    'semaphore /mp-4711'
    """
    if path.parent == SHARED_MEMORY:
        name = path.name.removeprefix("sem.")
        return f"{'shared memory' if name == path.name else 'semaphore'} /{name}"
    return f"{_kind(path) or 'file'} {path}"


def held_by_others(paths: set[Path]) -> set[Path]:
    """Returns those that other processes have mapped, and neither this one nor those that descend from it.

    A name says nothing about who made it: what another test run on this machine makes meanwhile is not this one's.
    """
    inodes = {}
    for path in paths:
        with suppress(OSError):
            inodes[path.lstat().st_ino] = path  # not the name: who makes a semaphore has mapped it by another one
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()] if inodes else []
    mapped = {pid: _mapped(pid) & inodes.keys() for pid in pids}
    ours = {inode for pid in pids if mapped[pid] and _is_ours(pid) for inode in mapped[pid]}
    return {inodes[inode] for pid in pids for inode in mapped[pid] - ours}


def _kind(path: Path) -> str:
    with suppress(OSError):
        mode = path.lstat().st_mode
        return "FIFO" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else ""
    return ""


def _mapped(pid: int) -> set[int]:
    """Returns the inodes of the shared memory that a process has mapped, as far as it may be seen."""
    with suppress(OSError):
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
        return {int(line.split()[4]) for line in maps.splitlines() if str(SHARED_MEMORY) in line}
    return set()


def _is_ours(pid: int) -> bool:
    """Returns whether a process is this one, or descends from it."""
    while pid and pid != os.getpid():
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        pid = int(status.rpartition(")")[2].split()[1])
    return bool(pid)
