"""A `multiprocessing.Queue` as a wire under control: one reader that never blocks. Its private names live here."""

import math
import multiprocessing
import os
import pickle
import queue
import socket
import struct
from collections import deque
from collections.abc import Callable
from multiprocessing import context, popen_spawn_posix, reduction
from typing import Any

from timersim.backends.clients.calling import Stops
from timersim.clock import Clock
from timersim.local_timer import LocalTimerClient

LOCK_LIMIT = 10.0
"""Seconds of real time for which a living writer may hold the queue's lock."""


class QueueWire:
    """The reading end of a queue whose writers are other processes.

    It reads whole messages without blocking, as a half-written one would hang the queue's own `get`. A message is
    read as soon as it is in the pipe, though its writer may still hold the lock: `pass_lock` waits for that.
    Where it `has_reader`, a server that reads `queue` for itself, its part is only to leave it empty.
    """

    def __init__(self, *, has_reader: bool = False) -> None:
        queue: Any = multiprocessing.get_context("spawn").Queue()
        self._queue = queue
        self._reader = queue._reader.fileno()
        os.set_blocking(self._reader, has_reader)
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

    def throw_away(self) -> bool:
        """Takes what is left in a queue to which nobody writes; returns whether it can be used again.

        It can't where a writer was killed with the lock, or between its count and its write.
        """
        if not self._queue._wlock.acquire(block=False):
            return False
        self._queue._wlock.release()
        while self._queue._poll(0):
            self._queue.get()
        return self.is_drained()

    def is_drained(self) -> bool:
        """Returns whether everything that was put has been read."""
        return self._queue.qsize() == 0  # type: ignore[no-any-return]  # an int

    def pass_lock(self) -> None:
        """Waits until no writer holds the lock: a writer that is killed with it would silence the others."""
        if not self._queue._wlock.acquire(timeout=LOCK_LIMIT):
            raise TimeoutError(f"a writer holds the queue's lock for more than {LOCK_LIMIT} s of real time")
        self._queue._wlock.release()

    def lose(self, messages: int) -> None:
        """Counts out what was put, and died with its process before it was written."""
        for _ in range(messages):
            self._queue._sem.release()

    def mend(self) -> None:
        """Makes the queue what it was before a writer was killed with its lock.

        All who waited for the lock are dead by now: it is given back on behalf of the dead, and what came of a message,
        and what is still counted, is thrown away. That takes 20 microseconds, where a new queue with a new pool takes
        160 milliseconds; each one who waited costs a fork of 2 milliseconds besides.
        """
        self.read()
        self._buffer.clear()
        self.lose(self._queue.qsize())
        self._queue._wlock.release()

    def to_pass(self, kind: str = "") -> tuple[bytes, list[int]]:
        """Returns the queue's pickle for a process that is no child of ours, and what descriptors it must inherit.

        With a `kind` it is that of (kind, queue).
        """
        passing = _Passing()
        context.set_spawning_popen(passing)  # type: ignore[arg-type]  # it takes the Popen's place
        try:
            return bytes(reduction.ForkingPickler.dumps((kind, self._queue) if kind else self._queue)), passing.fds
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


def flush(queue: Any, look_again: Callable[[], None]) -> None:
    """Returns when a queue's feeder thread has written everything that this process has put: it waits for more.

    `look_again` is called as long as it has not.
    """
    while True:
        with queue._notempty:
            if not queue._buffer and queue._notempty._waiters:
                return
        look_again()


class StoppingQueueClient(LocalTimerClient):
    """A client of a queue whose feeder thread can stop in the middle of a request, of which the call has returned.

    Stopped "buffered" it has not come to the writers' lock, "lock held" it has it and has written nothing, "half
    written" it has written half of the message, "flushed" the whole, and has not given the lock back.
    """

    def __init__(self, mp_queue: Any, commands: socket.socket) -> None:
        super().__init__(mp_queue)
        self._stops = Stops(commands)
        sending = _StoppingWriter(mp_queue, self._stops)
        mp_queue._wlock, mp_queue._send_bytes = sending, sending.send_bytes  # its thread takes them when it starts

    def stop_at(self, point: str | None) -> None:
        """Has the next request stop at a point, or at none."""
        self._stops.at = point


class _StoppingWriter:
    """What a feeder thread sees of the writers' lock, and by which it writes."""

    def __init__(self, mp_queue: Any, stops: Stops) -> None:
        self._stops = stops
        self._lock = mp_queue._wlock
        self._send_bytes = mp_queue._send_bytes
        self._writer = mp_queue._writer.fileno()

    def acquire(self) -> None:
        self._stops.come_to("buffered")
        self._lock.acquire()
        self._stops.come_to("lock held")

    def send_bytes(self, message: bytes) -> None:
        if self._stops.at == "half written":
            frame = struct.pack("!i", len(message)) + message
            os.write(self._writer, frame[: len(frame) // 2])
            self._stops.come_to("half written")
        self._send_bytes(message)

    def release(self) -> None:
        self._stops.come_to("flushed")
        self._lock.release()


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
