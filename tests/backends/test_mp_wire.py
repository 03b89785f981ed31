"""The wire: whole messages, read without blocking."""

import os
import queue
import struct
from typing import Any

import pytest

from timersim.backends.clients.mp_wire import QueueFace, QueueWire
from timersim.fakes import VirtualClock


@pytest.fixture
def wire() -> Any:
    """Yields a wire, closed at the end."""
    wire = QueueWire()
    yield wire
    wire.close()


def test_what_was_put_is_read_in_order_and_no_more_owed(wire: QueueWire) -> None:
    """Each message that was put is read once, and then the wire is drained."""
    for number in range(3):
        wire._queue.put(number)
    seen: list[Any] = []
    while len(seen) < 3:
        seen += wire.read()

    assert seen == [0, 1, 2]
    assert wire.is_drained()
    assert wire.read() == []


def test_a_half_written_message_does_not_block(wire: QueueWire) -> None:
    """A message of which only a part has been written is read when the rest is there."""
    wire._queue._sem.acquire()
    payload = b"\x80\x04K\x07."  # the pickle of 7
    frame = struct.pack("!i", len(payload)) + payload
    writer = wire._queue._writer.fileno()
    for byte in frame[:-1]:
        os.write(writer, bytes([byte]))
        assert wire.read() == []
    assert not wire.is_drained()
    os.write(writer, frame[-1:])

    assert wire.read() == [7]
    assert wire.is_drained()


def test_a_long_message_is_one_message(wire: QueueWire) -> None:
    """A message that is longer than the pipe is read as a whole."""
    long = b"x" * 1_000_000
    wire._queue.put(long)
    seen: list[Any] = []
    while not seen:
        seen = wire.read()

    assert seen == [long]


def test_a_writer_with_the_lock_is_waited_for(wire: QueueWire, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a writer holds the lock `pass_lock` does not pass, and says so after its limit."""
    monkeypatch.setattr("timersim.backends.clients.mp_wire.LOCK_LIMIT", 0.05)
    wire.pass_lock()
    wire._queue._wlock.acquire()

    with pytest.raises(TimeoutError, match=r"^a writer holds the queue's lock for more than 0\.05 s of real time$"):
        wire.pass_lock()
    wire._queue._wlock.release()
    wire.pass_lock()


def test_the_face_waits_in_virtual_time() -> None:
    """A `get` of the face waits on the clock, and raises Empty at its end."""
    clock = VirtualClock(start=100)
    face = QueueFace(clock)
    clock.call_later(3, lambda: face.deliver("late"))

    assert face.get(timeout=5) == "late"
    assert clock.time() == 103
    with pytest.raises(queue.Empty):
        face.get(timeout=5)
    assert clock.time() == 108
    with pytest.raises(queue.Empty):
        face.get(block=False)


def test_one_item_is_for_one_reader() -> None:
    """Of two tasks that wait for one item, one gets it and the other waits on."""
    clock = VirtualClock()
    face = QueueFace(clock)
    got: list[str] = []

    def read() -> None:
        try:
            got.append(face.get(timeout=5))
        except queue.Empty:
            got.append("nothing")

    clock.spawn(read, name="first")
    clock.spawn(read, name="second")
    clock.advance(1)
    face.deliver("item")
    clock.advance(10)

    assert got == ["item", "nothing"]
