"""A FIFO as a request queue: lines of JSON, from any number of writers, of which one may write nonsense."""

import fcntl
import json
import os
import re
import select
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timersim.api import TimerRequest, shown
from timersim.clock import Clock
from timersim.descriptor_queue import DescriptorRequestQueue
from timersim.refusals import Refusals

LONGEST_LINE = select.PIPE_BUF
"""Bytes of the longest line, its newline included: no more is written in one piece."""

_FLAT_OBJECT = re.compile(rb'\{(?:[^"{}\\]|"(?:[^"\\]|\\.)*+")*+\}\s*\Z')
"""A JSON object without another one in it, at the end: found in linear time, whatever is sent."""

Parse = Callable[[dict[str, Any]], TimerRequest]
"""Makes a request of a line's JSON object; raises ValueError, TypeError or KeyError where it is none."""


class FifoRequestQueue(DescriptorRequestQueue):
    """The reading end of a FIFO at `path`, which `make` makes; `parse` makes a request of a line's JSON object.

    A line that is none costs itself alone: also the valid line that follows half of one is read. It holds a
    writing end of its own, so that the FIFO is not at its end when no client has it open.
    """

    def __init__(self, path: str, parse: Parse, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.path = path
        self._parse = parse
        self._ends: tuple[int, int] | None = None
        self._buffer = bytearray()
        self._refusals = Refusals(self._clock)

    def make(self) -> None:
        """Makes the FIFO, in the place of one that is there; raises FileExistsError for any other file."""
        path = Path(self.path)
        if path.exists():
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise FileExistsError(f"a FIFO is made at a path where nothing is, or a FIFO: {self.path}")
            path.unlink()
        os.mkfifo(path)

    def fileno(self) -> int:
        """Returns the reading end, opening the FIFO where it is not open."""
        if self._ends is None:
            reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            self._ends = reader, os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        return self._ends[0]

    def close(self) -> None:
        """Gives its descriptors back, and takes the FIFO away."""
        if self._ends is not None:
            for fd in self._ends:
                os.close(fd)
            self._ends = None
        self._buffer.clear()
        Path(self.path).unlink(missing_ok=True)
        super().close()

    def _read(self) -> None:
        """Reads once as much as a FIFO can hold: what had arrived, and no more of a flood."""
        fd = self.fileno()
        try:
            self._buffer += os.read(fd, fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
        except BlockingIOError:
            return  # nothing is there
        self._take_lines()

    def _take_lines(self) -> None:
        *lines, rest = self._buffer.split(b"\n")
        for line in lines:
            if line:
                self._take(bytes(line))
        if len(rest) > LONGEST_LINE:
            self._refusals.log(f"a line is longer than {LONGEST_LINE} bytes")
            rest = rest[-LONGEST_LINE:]  # a valid line may begin in there
        self._buffer = rest

    def _take(self, line: bytes) -> None:
        try:
            self._requests.append(self._parse(_object(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._refusals.log(f"{error} in {shown(line)}")


def _object(line: bytes) -> dict[str, Any]:
    """Returns the JSON object of a line, or the one with which it ends: half a line may stand before it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        end = _FLAT_OBJECT.search(line)
        if end is None:
            raise
        value = json.loads(end[0])
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value
