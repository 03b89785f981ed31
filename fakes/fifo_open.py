"""`open` in virtual time: who reads a FIFO waits on the clock, in the opening and in each read."""

import builtins
import io
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from timersim.fakes.clock import VirtualClock


@contextmanager
def opened_on(clock: VirtualClock, modules: list[ModuleType]) -> Iterator[None]:
    """Until the end of the block, `open` in these modules opens a FIFO for a reader that waits on `clock`.

    Anything else is opened as ever. A module that has an `open` of its own keeps it.
    """
    shadowed = [module for module in modules if "open" not in vars(module)]
    opener = fifo_open(clock)
    for module in shadowed:
        vars(module)["open"] = opener
    try:
        yield
    finally:
        for module in shadowed:
            del vars(module)["open"]


def fifo_open(clock: VirtualClock) -> Callable[..., Any]:
    """Returns what stands in for `open`.

    As with the kernel's, a FIFO's opening waits for its first writer, who finds the reader there, and a read waits
    while somebody has it open for writing; nobody does at its end.
    """

    def open_(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not _is_fifo_to_read(file, mode):
            return builtins.open(file, mode, *arguments, **options)  # noqa: PTH123 - it stands in for `open`, which takes descriptors too
        with ExitStack() as opening:
            raw = opening.enter_context(_VirtualReader(clock, os.open(file, os.O_RDONLY | os.O_NONBLOCK)))
            clock.wait_readable([raw.fileno()], math.inf)
            opening.pop_all()  # who came so far has it; a task that ends while it waits has closed it
        reader = io.BufferedReader(raw)
        return reader if "b" in mode else io.TextIOWrapper(reader, *arguments[1:], **options)

    return open_


def _is_fifo_to_read(file: Any, mode: str) -> bool:
    try:
        return set(mode) <= set("rbt") and stat.S_ISFIFO(Path(file).stat().st_mode)
    except (OSError, TypeError, ValueError):
        return False


class _VirtualReader(io.RawIOBase):
    """The reading end of a FIFO, in virtual time."""

    def __init__(self, clock: VirtualClock, fd: int) -> None:
        self._clock = clock
        self._fd = fd

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                data = os.read(self._fd, len(buffer))
            except BlockingIOError:
                self._clock.wait_readable([self._fd], math.inf)
            else:
                buffer[: len(data)] = data
                return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)
