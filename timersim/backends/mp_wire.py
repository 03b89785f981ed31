"""A `multiprocessing.Queue` as a wire under control: one reader that never blocks. Its private names live here."""

import math
import multiprocessing
import os
import pickle
import queue
import struct
from collections import deque
from multiprocessing import context, popen_spawn_posix, reduction
from typing import Any

from timersim.clock import Clock

LOCK_LIMIT = 10.0
"""Seconds of real time for which a living writer may hold the queue's lock."""


class QueueWire:
    """The reading end of a queue whose writers are other processes.

    It reads whole messages without blocking, as a half-written one would hang the queue's own `get`. A message is
    read as soon as it is in the pipe, though its writer may still hold the lock: `pass_lock` waits for that.
    """

    def __init__(self) -> None:
        queue: Any = multiprocessing.get_context("spawn").Queue()
        self._queue = queue
        self._reader = queue._reader.fileno()
        os.set_blocking(self._reader, False)
        self._buffer = bytearray()

    @property
    def queue(self) -> Any:
        """The queue itself, as multiprocessing passes it on to a process that it starts."""
        return self._queue

    def fileno(self) -> int:
        """Returns the descriptor that is readable when something can be read."""
        return self._reader  # type: ignore[no-any-return]  # a descriptor

    def read(self) -> list[Any]:
        """Returns the messages that are complete."""
        try:
            while chunk := os.read(self._reader, 65_536):
                self._buffer += chunk
        except BlockingIOError:
            pass  # everything that is there was read
        messages = []
        while (frame := self._next_frame()) is not None:
            messages.append(pickle.loads(frame))
            self._queue._sem.release()
        return messages

    def is_drained(self) -> bool:
        """Returns whether everything that was put has been read."""
        return self._queue.qsize() == 0  # type: ignore[no-any-return]  # an int

    def pass_lock(self) -> None:
        """Waits until no writer holds the lock: a writer that is killed with it would silence the others."""
        if not self._queue._wlock.acquire(timeout=LOCK_LIMIT):
            raise TimeoutError(f"a writer holds the queue's lock for more than {LOCK_LIMIT} s of real time")
        self._queue._wlock.release()

    def to_pass(self) -> tuple[bytes, list[int]]:
        """Returns the queue's pickle for a process that is no child of ours, and what descriptors it must inherit."""
        passing = _Passing()
        context.set_spawning_popen(passing)  # type: ignore[arg-type]  # it takes the Popen's place
        try:
            return bytes(reduction.ForkingPickler.dumps(self._queue)), passing.fds
        finally:
            context.set_spawning_popen(None)

    def close(self) -> None:
        """Gives the queue back."""
        self._queue.close()
        self._queue.join_thread()
        self._queue._writer.close()

    def _next_frame(self) -> bytes | None:
        """Takes a frame from the buffer: its length in four bytes, or -1 and eight, then its bytes."""
        begin = 4
        if len(self._buffer) < begin:
            return None
        (length,) = struct.unpack_from("!i", self._buffer)
        if length == -1:
            begin = 12
            if len(self._buffer) < begin:
                return None
            (length,) = struct.unpack_from("!Q", self._buffer, 4)
        if len(self._buffer) < begin + length:
            return None
        frame = bytes(self._buffer[begin : begin + length])
        del self._buffer[: begin + length]
        return frame


class QueueFace:
    """What a server sees of the wire: a queue's `qsize` and `get`, waiting on the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: deque[Any] = deque()

    def deliver(self, item: Any) -> None:
        """Adds what was read from the wire."""
        self._items.append(item)

    def qsize(self) -> int:
        return len(self._items)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - a queue's
        wait = 0 if not block else math.inf if timeout is None else timeout
        taken: list[Any] = []
        if not self._take(taken) and not (wait > 0 and self._clock.wait(lambda _: self._take(taken), wait)):
            raise queue.Empty
        return taken[0]

    def _take(self, taken: list[Any]) -> bool:
        """Takes an item at once where there is one: a second reader must not find it there."""
        if self._items:
            taken.append(self._items.popleft())
        return bool(taken)


class _Passing:
    """Stands for the child that multiprocessing would spawn: notes which descriptors it is to inherit, by number."""

    DupFd = popen_spawn_posix._DupFd

    def __init__(self) -> None:
        self.fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        self.fds.append(fd)
        return fd
