"""`open` of a FIFO in virtual time."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from timersim.fakes import VirtualClock
from timersim.fakes.fifo_open import fifo_open, opened_on


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Yields a clock."""
    clock = VirtualClock(1_000_000)
    yield clock
    clock.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Returns the path of a FIFO."""
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def writer(path: str) -> int:
    """Opens the FIFO as a client does that will not wait."""
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK)


def test_a_reader_waits_for_its_first_writer_then_for_each_line(clock: VirtualClock, path: str) -> None:
    """The opening waits for the first writer, a read for a line while somebody has the FIFO open, and then ends."""
    seen: list[tuple[float, str]] = []

    def read() -> None:
        with fifo_open(clock)(path) as file:
            seen.append((clock.time(), "opened"))
            while line := file.readline():
                seen.append((clock.time(), line))
            seen.append((clock.time(), "at its end"))

    task = clock.spawn(read, name="reader")
    clock.advance(5)
    fd = writer(path)
    os.write(fd, b"one\n")
    clock.advance(5)
    os.write(fd, b"two\n")
    clock.advance(5)
    os.close(fd)
    clock.advance(0)

    at = 1_000_005
    assert seen == [(at, "opened"), (at, "one\n"), (at + 5, "two\n"), (at + 10, "at its end")]
    assert not task.alive


def test_a_reader_that_is_ended_gives_its_descriptor_back(clock: VirtualClock, path: str) -> None:
    """A task that ends in the opening, or in a read, leaves nobody who reads: a writer finds nobody."""
    clock.spawn(lambda: fifo_open(clock)(path), name="reader")
    clock.advance(1)
    os.close(writer(path))
    clock.close()

    with pytest.raises(OSError, match="No such device or address"):
        writer(path)


def test_bytes_are_read_as_bytes(clock: VirtualClock, path: str) -> None:
    """In a binary mode what is read are bytes."""
    seen: list[bytes] = []
    clock.spawn(lambda: seen.append(fifo_open(clock)(path, "rb").readline()), name="reader")
    clock.advance(0)
    fd = writer(path)
    os.write(fd, b"\xff\n")
    clock.advance(0)
    os.close(fd)

    assert seen == [b"\xff\n"]


def test_anything_else_is_opened_as_ever(clock: VirtualClock, tmp_path: Path) -> None:
    """A file is opened by Python's own `open`, for writing and for reading; one that is not there raises as ever."""
    with fifo_open(clock)(tmp_path / "file", "w", encoding="utf-8") as file:
        file.write("text")
    with fifo_open(clock)(tmp_path / "file") as file:
        assert file.read() == "text"
    with pytest.raises(FileNotFoundError):
        fifo_open(clock)(tmp_path / "nothing")


def test_a_module_has_its_open_for_the_length_of_the_block(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module sees it in place of the builtin, unless it has an `open` of its own, and loses it afterwards."""
    plain, own = ModuleType("a_plain_one"), ModuleType("one_of_its_own")
    own.__dict__["open"] = mine = object()
    monkeypatch.setitem(sys.modules, "a_plain_one", plain)
    with opened_on(clock, [plain, own]):
        assert "open" in vars(plain)
        assert vars(own)["open"] is mine

    assert "open" not in vars(plain)
    assert vars(own)["open"] is mine
