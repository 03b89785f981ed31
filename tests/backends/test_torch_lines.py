"""What single lines, callbacks and blocks do to torch's servers, in virtual time: what no schedule can write."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from timersim.fakes import VirtualClock
from timersim.fakes.patch import patched
from timersim.fakes.threads import VirtualQueues

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch.distributed.elastic.timer import api, file_based_local_timer, local_timer  # noqa: E402 - where it is there

from timersim.backends.torch import MODULES, unheard  # noqa: E402 - as above

INTERVAL = 10
START = 1_000_000.0
SERVER = "the server itself"


class FileWorld:
    """torch's FileTimerServer in virtual time; `kills` are what it signalled, when, and with what."""

    def __init__(self, clock: VirtualClock, path: str) -> None:
        self.clock = clock
        self.path = path
        self.kills: list[tuple[float, object, int]] = []

    def start(self, **options: Any) -> None:
        """Starts a server."""
        self.server = file_based_local_timer.FileTimerServer(self.path, "a run", INTERVAL, **options)
        self.server.start()
        self.clock.advance(0)

    def kill(self, pid: object, number: int) -> None:
        """Stands in for `os.kill`: everybody lives on."""
        if not isinstance(pid, int):
            raise TypeError("an integer is required")
        if number:
            self.kills.append((self.clock.time() - START, SERVER if pid == os.getpid() else pid, number))

    def write(self, *lines: bytes) -> None:
        """Writes lines at one instant."""
        fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"".join(line + b"\n" for line in lines))
        os.close(fd)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FileWorld]:
    """Yields a world in which torch's server has virtual time."""
    clock = VirtualClock(START)
    world = FileWorld(clock, str(tmp_path / "fifo"))
    with unheard(), patched(MODULES["file"], clock, world.kill):
        yield world
    clock.close()


def line(pid: object, scope: object, due: object, signal: object = 9) -> bytes:
    """Returns a request as torch's client writes it."""
    expiration = START + due if isinstance(due, int) else due
    return json.dumps(
        {"version": 1, "pid": pid, "scope_id": scope, "expiration_time": expiration, "signal": signal}
    ).encode()


def test_who_is_hung_is_killed_and_then_the_server_itself(world: FileWorld) -> None:
    """What the others are held against: a worker due at 5 is killed at the end of the pass, and then the server."""
    world.start()
    world.write(line(77, "a", 5))
    world.clock.advance(30)

    assert world.kills == [(11, 77, 9), (11, SERVER, 9)]


def test_an_expired_timer_without_a_signal_disarms_the_others_of_its_worker(world: FileWorld) -> None:
    """A timer that is not to kill takes the worker's other timers along, which were not due: the hung is spared."""
    world.start()
    world.write(line(77, "warn", 5, signal=0), line(77, "kill", 15))
    world.clock.advance(60)

    assert (world.kills, world.server._timers) == ([], {})


@pytest.mark.parametrize("signal", ["9", None, [9]])
def test_a_signal_that_is_no_number_ends_the_watching(world: FileWorld, signal: object) -> None:
    """One line whose signal is no number makes every pass raise from then on: nobody is reaped any more."""
    world.start()
    world.write(line(77, "a", 5, signal=signal), line(78, "a", 5))
    world.clock.advance(600)

    assert world.kills == []


def test_a_pid_that_is_no_number_keeps_the_timers_of_the_dead(world: FileWorld) -> None:
    """A pid that is no number makes every clearing raise: who was reaped is reaped in each pass from then on."""
    world.start()
    world.write(line("x", "a", 3600), line(77, "a", 5))
    world.clock.advance(25)

    assert [kill for kill in world.kills if kill[1] == 77] == [(11, 77, 9), (22, 77, 9)]


@pytest.mark.parametrize("pid", [0, -1, 1])
def test_a_line_can_have_a_whole_group_killed(world: FileWorld, pid: int) -> None:
    """A pid of 1 or below goes to the kernel as it is: 0 is the server's group, -1 everybody whom it may signal."""
    world.start()
    world.write(line(pid, "a", 5))
    world.clock.advance(30)

    assert world.kills[0] == (11, pid, 9)


@pytest.mark.parametrize("bad", [b"{", b"5", b"{}", b"\xff\xfe"])
def test_a_line_that_is_no_request_takes_along_what_was_read_before(world: FileWorld, bad: bytes) -> None:
    """A line that is no request costs what the pass had read before it: a hung worker is spared for good."""
    world.start()
    world.write(line(77, "a", 5), bad)
    world.clock.advance(600)

    assert world.kills == []


@pytest.mark.parametrize("bad", [line(79, "a", "soon"), line(79, "a", None), line([79], "a", 5), line(79, ["a"], 5)])
def test_a_request_of_wrong_types_takes_along_what_was_read_after(world: FileWorld, bad: bytes) -> None:
    """A request of wrong types costs what the pass has to register after it: a hung worker is spared for good."""
    world.start()
    world.write(bad, line(77, "a", 5))
    world.clock.advance(600)

    assert world.kills == []


def test_a_callback_that_raises_ends_the_watching(world: FileWorld) -> None:
    """A `log_event` that raises at an expiration does so in every pass, before the reap: nobody is reaped."""

    def log_event(name: str, request: object) -> None:
        if name == "timer expired":
            raise OSError("the disk is full")

    world.start(log_event=log_event)
    world.write(line(77, "a", 5))
    world.clock.advance(600)

    assert world.kills == []


def test_the_server_ends_itself_with_the_worker_s_signal(world: FileWorld) -> None:
    """The signal that a client has chosen for its worker is what the server ends itself with, were it SIGUSR1."""
    world.start()
    world.write(line(77, "a", 5, signal=10))
    world.clock.advance(30)

    assert world.kills == [(11, 77, 10), (11, SERVER, 10)]


@pytest.mark.parametrize("characters", [4095, 4096])
def test_a_line_may_be_longer_than_a_pipe_writes_at_once(world: FileWorld, characters: int) -> None:
    """torch's client counts a line without its newline: one of PIPE_BUF characters is sent, and is one too long."""
    world.start()
    client = file_based_local_timer.FileTimerClient(world.path)
    scope = "s" * (characters - len(file_based_local_timer.FileTimerRequest(os.getpid(), "", 1.5, 9).to_json()))
    client.acquire(scope, 1.5)

    fd = os.open(world.path, os.O_RDONLY | os.O_NONBLOCK)
    written = os.read(fd, 65_536)
    os.close(fd)
    assert len(written) == characters + 1


def test_a_full_fifo_makes_acquire_and_release_raise(world: FileWorld) -> None:
    """While the server naps a FIFO holds some hundred requests; the next one raises in the worker's own code."""
    world.start()
    client = file_based_local_timer.FileTimerClient(world.path)

    def flood() -> None:
        for number in range(10_000):
            client.release(f"scope {number}")

    with pytest.raises(BlockingIOError):
        flood()


@contextmanager
def local_world() -> Iterator[tuple[VirtualClock, Any, list[tuple[float, int]]]]:
    """Opens a world with torch's LocalTimerServer; yields its clock, a client, and whom it has killed when."""
    clock = VirtualClock(START)
    kills: list[tuple[float, int]] = []
    queue = VirtualQueues(clock).Queue()
    with (
        unheard(),
        patched(MODULES["local"], clock, lambda pid, number: kills.append((clock.time() - START, pid))),
    ):
        server = local_timer.LocalTimerServer(queue, INTERVAL)
        server.start()
        clock.advance(0)
        yield clock, local_timer.LocalTimerClient(queue), kills
    clock.close()


def test_an_anonymous_block_inside_another_disarms_it() -> None:
    """torch names all anonymous blocks alike: at the end of the inner one the outer one is unguarded, and can hang."""
    with local_world() as (clock, client, kills), api.expires(after=60, client=client):
        with api.expires(after=30, client=client):
            clock.advance(5)
        clock.advance(3600)

        assert kills == []


def test_a_named_block_inside_another_leaves_it_armed() -> None:
    """With a name for each block the hung outer one is killed: it is the name that makes the difference."""
    with local_world() as (clock, client, kills), api.expires(after=60, scope="outer", client=client):
        with api.expires(after=30, scope="inner", client=client):
            clock.advance(5)
        clock.advance(3600)

        assert kills == [(65, os.getpid())]


def test_an_anonymous_block_in_another_thread_moves_the_deadline_of_the_first() -> None:
    """Two threads' anonymous blocks are one timer: the later deadline counts for both, the hung one waits for it."""
    with local_world() as (clock, client, kills), api.expires(after=60, client=client):

        def other_thread() -> None:
            with api.expires(after=1800, client=client):
                clock.sleep(3600)

        clock.spawn(other_thread, name="other thread")
        clock.advance(1799)
        assert kills == []
        clock.advance(12)
        assert len(kills) == 1


@pytest.mark.parametrize("worker_id", ["x", 2**70])
def test_a_worker_that_can_t_be_signalled_stays_in_the_table(worker_id: object) -> None:
    """A worker id that no kernel takes is tried again in each pass, for ever, with a traceback in the log."""
    with local_world() as (clock, client, _):
        attempts: list[float] = []

        def refuse(pid: object, number: int) -> None:
            attempts.append(clock.time() - START)
            os.kill(pid, number)  # type: ignore[arg-type]  # which raises for what is no pid

        local_timer.os.kill = refuse
        client._mp_queue.put(api.TimerRequest(worker_id, "a", START + 5))
        clock.advance(45)

        assert attempts == [10, 20, 30, 40]
