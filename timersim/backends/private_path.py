"""A private path: a name in a directory of its own, for a FIFO or a socket, that is gone with what it was made for."""

import os
import weakref
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp

SOCKET_PATH = 107
"""The bytes that the path of a Unix socket may have, on Linux."""


class PrivatePath:
    """A `path` of this name in a new directory, which is gone when this is closed or dropped.

    >>> place = PrivatePath("fifo")
    >>> directory = Path(place.path).parent
    >>> directory in private_directories()
    True
    >>> place.close(); directory in private_directories()
    False
    """

    def __init__(self, name: str, *, longest: int | None = None) -> None:
        directory = mkdtemp(prefix=_prefix())
        self.path = str(Path(directory) / name)
        self._end = weakref.finalize(self, rmtree, directory, ignore_errors=True)
        if longest is not None and len(os.fsencode(self.path)) > longest:
            self.close()
            raise RuntimeError(
                f"a Unix socket's path has at most {longest} bytes: {self.path}; set TMPDIR to a shorter folder"
            )

    def close(self) -> None:
        """Takes the directory away, with what is in it."""
        self._end()


def private_directories() -> list[Path]:
    """Returns the directories of this process that are there."""
    return sorted(Path(gettempdir()).glob(f"{_prefix()}*"))


def _prefix() -> str:
    return f"timersim-{os.getpid()}-"
