"""A FIFO as a request queue: lines of JSON, from any number of writers, of which one may write nonsense."""

import json
import logging
import os
import select
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timersim.api import RequestQueue, TimerRequest, shown
from timersim.clock import Clock, SystemClock
from timersim.wakeup import Wakeup

logger = logging.getLogger(__name__)

LONGEST_LINE = select.PIPE_BUF
"""Bytes of the longest line, its newline included: no more is written in one piece."""


Parse = Callable[[dict[str, Any]], TimerRequest]
"""Makes a request of a line's JSON object; raises ValueError, TypeError or KeyError where it is none."""


class FifoRequestQueue(RequestQueue):
    """The reading end of a FIFO at `path`, which `make` makes; `parse` makes a request of a line's JSON object.

    A line that is none costs itself alone: also the valid line that follows half of one is read. It holds a
    writing end of its own, so that the FIFO is not at its end when no client has it open.
    """

    def __init__(self, path: str, parse: Parse, *, clock: Clock | None = None) -> None:
        self.path = path
        self._parse = parse
        self._clock = clock or SystemClock()
        self._ends: tuple[int, int] | None = None
        self._buffer = bytearray()
        self._requests: deque[TimerRequest] = deque()
        self._wakeup = Wakeup()

    def make(self) -> None:
        """Makes the FIFO, in the place of one that is there; raises FileExistsError for any other file."""
        path = Path(self.path)
        if path.exists():
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise FileExistsError(f"a FIFO is made at a path where nothing is, or a FIFO: {self.path}")
            path.unlink()
        os.mkfifo(path)

    def open(self) -> None:
        """Opens the FIFO; nothing changes where it is open."""
        if self._ends is None:
            reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            self._ends = reader, os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Gives its descriptors back, and takes the FIFO away."""
        if self._ends is not None:
            for fd in self._ends:
                os.close(fd)
            self._ends = None
        self._wakeup.close()
        self._buffer.clear()
        Path(self.path).unlink(missing_ok=True)

    def size(self) -> int:
        """Returns how many requests have arrived; what is there is read for it."""
        self._read()
        return len(self._requests)

    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        """Takes up to `size` requests; waits for that many, `timeout` seconds at most."""
        self.open()
        assert self._ends is not None
        end = self._clock.monotonic() + timeout
        self._read()
        while len(self._requests) < size and not self._wakeup.is_set:
            left = end - self._clock.monotonic()
            if left <= 0 or not self._clock.wait_readable([self._wakeup.fileno(), self._ends[0]], left):
                break
            self._read()
        self._wakeup.clear()
        return [self._requests.popleft() for _ in range(min(size, len(self._requests)))]

    def wake(self) -> None:
        """Ends a `get` that waits, with what there is."""
        self._wakeup.set()

    def _read(self) -> None:
        self.open()
        assert self._ends is not None
        try:
            while chunk := os.read(self._ends[0], 65_536):
                self._buffer += chunk
                self._take_lines()
        except BlockingIOError:
            return  # everything that is there was read

    def _take_lines(self) -> None:
        *lines, rest = self._buffer.split(b"\n")
        for line in lines:
            if line:
                self._take(bytes(line))
        if len(rest) > LONGEST_LINE:
            logger.warning("Refused a request: a line is longer than %s bytes", LONGEST_LINE)
            rest = rest[-LONGEST_LINE:]  # a valid line may begin in there
        self._buffer = rest

    def _take(self, line: bytes) -> None:
        try:
            self._requests.append(self._parse(_object(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("Refused a request: %s in %s", error, shown(line))


def _object(line: bytes) -> dict[str, Any]:
    """Returns the JSON object of a line, or the one with which it ends: half a line may stand before it."""
    begin = line.find(b"{")
    error: ValueError = ValueError("no JSON object")
    while begin >= 0:
        try:
            value = json.loads(line[begin:])
        except ValueError as reason:
            error = reason
        else:
            if isinstance(value, dict):
                return value
        begin = line.find(b"{", begin + 1)
    raise error
