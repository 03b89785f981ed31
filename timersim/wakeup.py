"""The wake-up: a descriptor that a server waits on beside its transport's, so that `stop` is prompt."""

import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Wakeup:
    """Ends a wait from any thread. Its descriptors are made when one is waited on, and given back by `close`.

    >>> wakeup = Wakeup()
    >>> wakeup.set(); wakeup.is_set
    True
    """

    def __init__(self) -> None:
        self._fds: tuple[int, int] | None = None
        self._give_back: Callable[[], object] = _nothing
        self.is_set = False

    def fileno(self) -> int:
        """Returns the descriptor that is readable while it is set."""
        if self._fds is None:
            self._fds = os.pipe()
            os.set_blocking(self._fds[0], False)
            self._give_back = finalizer = weakref.finalize(self, _close, *self._fds)
            finalizer.atexit = False  # a watchdog that is a daemon may wait on them to the end of the program
            if self.is_set:
                self.set()
        return self._fds[0]

    def set(self) -> None:
        """Ends a wait, or the next one where there is none."""
        self.is_set = True
        if self._fds is not None:
            os.write(self._fds[1], b"w")

    def clear(self) -> None:
        """Lets the next wait wait."""
        if self.is_set and self._fds is not None:
            with suppress(BlockingIOError):
                os.read(self._fds[0], 4096)
        self.is_set = False

    def close(self) -> None:
        """Gives the descriptors back."""
        self._give_back()
        self._fds = None


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _nothing() -> None:
    """What there is to give back before a descriptor was made."""
