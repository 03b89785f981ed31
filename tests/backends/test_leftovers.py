"""The watch on leftovers sees each kind, names it, and accuses nobody else."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from tempfile import gettempdir

import pytest

from timersim.backends import LeftoverError, ProcessBackend, no_leftovers
from timersim.backends.leftovers import LOOKS, watch_leftovers
from timersim.backends.private_path import PrivatePath
from timersim.lab import Acquire, Schedule, Start, run


def test_nothing_is_left_of_what_was_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A block that gives back one of each kind passes, and the end of it waits for nothing."""
    waits: list[float] = []
    monkeypatch.setattr("timersim.backends.leftovers.time.sleep", waits.append)

    with no_leftovers(tmp_path):
        subprocess.run([sys.executable, "-c", ""], check=True)
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        os.close(os.open(os.devnull, os.O_RDONLY))
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "fifo").unlink()
        memory = SharedMemory(create=True, size=1)
        memory.close()
        memory.unlink()

    assert waits == []


Leaves = Callable[[ExitStack, Path], str]
"""Leaves something behind, perhaps in a folder, has it tidied up at the end of the stack, and returns its name."""


def a_process(tidy: ExitStack, folder: Path) -> str:
    """A child that sleeps."""
    child = tidy.enter_context(subprocess.Popen(["sleep", "60"]))
    tidy.callback(child.kill)
    return f"process {child.pid} 'sleep'"


def a_zombie(tidy: ExitStack, folder: Path) -> str:
    """A child that has ended."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    tidy.callback(os.waitpid, pid, 0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return f"process {pid} 'true', a zombie: it has ended, and nobody has waited for it"


def a_thread(tidy: ExitStack, folder: Path) -> str:
    """A thread that waits."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="the stray")
    thread.start()
    tidy.callback(thread.join)
    tidy.callback(done.set)
    return "thread 'the stray'"


def a_descriptor(tidy: ExitStack, folder: Path) -> str:
    """An open file."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    tidy.callback(os.close, descriptor)
    return f"descriptor {descriptor} (/dev/null)"


def a_socket(tidy: ExitStack, folder: Path) -> str:
    """A bound socket."""
    bound = tidy.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    return f"socket {bound.fileno()} (127.0.0.1:{bound.getsockname()[1]})"


def a_fifo(tidy: ExitStack, folder: Path) -> str:
    """A FIFO in a folder of the folder."""
    (folder / "below").mkdir()
    os.mkfifo(folder / "below" / "fifo")
    return f"FIFO {folder}/below/fifo"


def a_socket_by_name(tidy: ExitStack, folder: Path) -> str:
    """The file of a socket that was closed."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket"))
    return f"socket {folder}/socket"


def a_private_directory(tidy: ExitStack, folder: Path) -> str:
    """The place of a backend."""
    place = tidy.enter_context(closing(PrivatePath("fifo")))
    return f"directory {Path(place.path).parent}"


def a_semaphore(tidy: ExitStack, folder: Path) -> str:
    """A lock that spawned processes share."""
    lock = get_context("spawn").Lock()
    tidy.callback(lambda kept: None, lock)
    name: str = lock._semlock.name  # type: ignore[attr-defined]  # a SemLock's
    return f"semaphore {name}"


def shared_memory(tidy: ExitStack, folder: Path) -> str:
    """Memory that was closed, and not unlinked."""
    memory = SharedMemory(create=True, size=1)
    memory.close()
    tidy.callback(memory.unlink)
    return f"shared memory /{memory.name}"


@pytest.mark.parametrize(
    "leave",
    [
        *(a_process, a_zombie, a_thread, a_descriptor, a_socket, a_fifo),
        *(a_socket_by_name, a_private_directory, a_semaphore, shared_memory),
    ],
)
def test_each_kind_is_named(leave: Leaves, tmp_path: Path) -> None:
    """What outlives the block is named, and nothing else is."""
    os.mkfifo(tmp_path / "was there before")
    with ExitStack() as tidy:
        with pytest.raises(LeftoverError) as caught, no_leftovers(tmp_path):
            name = leave(tidy, tmp_path)

        assert str(caught.value) == f"left behind: {name}"


@contextmanager
def a_stranger(*code: str) -> Iterator[None]:
    """Has a process that is nobody's child here run this code, and goes on once it has printed something."""
    script = "\n".join([*code, "import sys; sys.stdin.read()"])
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {script!r}])"
    (theirs, ours), (told, tells) = os.pipe(), os.pipe()
    subprocess.run([sys.executable, "-c", orphan], stdin=theirs, stdout=tells, check=True)
    os.close(theirs)
    os.close(tells)
    with os.fdopen(told, "rb") as hears:
        hears.readline()
        try:
            yield
        finally:
            os.close(ours)
            hears.read()


def test_what_others_have_mapped_is_theirs() -> None:
    """A semaphore and memory that another test run on this machine makes meanwhile are not this one's."""
    code = (
        "import multiprocessing, multiprocessing.shared_memory as shared",
        "lock = multiprocessing.get_context('spawn').Lock()",
        "memory = shared.SharedMemory(create=True, size=1)",
    )
    with ExitStack() as others:
        with watch_leftovers() as left:
            others.enter_context(a_stranger(*code, "print(lock._semlock.name, memory.name, flush=True)"))

        assert [name for name in left if not name.startswith("descriptor")] == []


@pytest.mark.parametrize(("looks", "is_left"), [(LOOKS, False), (LOOKS + 1, True)])
def test_what_is_ending_has_half_a_second(looks: int, monkeypatch: pytest.MonkeyPatch, *, is_left: bool) -> None:
    """A thread that ends before the last look is not left; one that needs longer is."""
    waits: list[float] = []
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="ending")

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == looks:
            done.set()
            thread.join()

    monkeypatch.setattr("timersim.backends.leftovers.time.sleep", sleep)
    with watch_leftovers() as left:
        thread.start()

    done.set()
    thread.join()
    assert left == (["thread 'ending'"] if is_left else [])
    assert sum(waits) == pytest.approx(0.5)


def test_the_workers_of_a_backend_that_was_there_come_and_go() -> None:
    """Workers that a pool from before forks for those that were killed are not left, nor what it holds of them."""
    with closing(ProcessBackend("socket")) as backend:
        backend.warm()
        with no_leftovers():
            trace = run(Schedule([Acquire(worker, "s0", after=worker) for worker in range(3)]), backend)
            run(Schedule([Start(worker) for worker in range(3)]), backend)

        assert backend._pool is not None
        assert (len(trace.reaps), backend._pool.forks) == (3, 6)


def test_a_backend_that_is_not_closed_is_left() -> None:
    """The processes and the place of a backend that is forgotten are named."""
    with pytest.raises(LeftoverError) as caught, no_leftovers():  # noqa: PT012 - it starts as it is told to
        backend = ProcessBackend("file")
        backend.warm()

    assert backend._pool is not None
    assert f"process {backend._pool.pid} " in str(caught.value)
    assert f"directory {gettempdir()}/timersim-{os.getpid()}-" in str(caught.value)
    backend.close()


def test_the_error_of_the_block_is_not_hidden() -> None:
    """An exception in the block passes through, with a note of what is left."""
    with ExitStack() as tidy:
        with pytest.raises(KeyError) as caught, no_leftovers():  # noqa: PT012 - both belong together
            name = a_descriptor(tidy, Path())
            raise KeyError

        assert caught.value.__notes__ == [f"left behind: {name}"]

    with pytest.raises(KeyError) as caught, no_leftovers():
        raise KeyError

    assert not hasattr(caught.value, "__notes__")


def test_a_watch_that_does_not_raise_lists_the_same() -> None:
    """The list is filled at the end of the block, also where it raises."""
    with ExitStack() as tidy, pytest.raises(KeyError), watch_leftovers() as left:  # noqa: PT012 - both belong together
        name = a_descriptor(tidy, Path())
        raise KeyError

    assert left == [name]
