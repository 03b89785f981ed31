"""The wire: what connects the real workers of a backend to its server, and what is known of a call on it."""

import select
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from timersim.backends.workers.pool import PoolError, Worker
from timersim.fakes.clock import VirtualClock
from timersim.fakes.servers import Server
from timersim.fakes.table_watch import TableWatch
from timersim.fakes.waiting import HOLD_LIMIT, HoldTimeout
from timersim.lab.contract import Contract
from timersim.lab.operations import SendingPoint
from timersim.lab.record import Meddled, Recorder
from timersim.table_server import TableTimerServer

REFUSED_WHILE_STOPPED = frozenset(
    {"a release or re-arm at the expiration", "release, re-arm and expiration at one instant"}
)
"""The goals for which mostly a server is stopped: seldom reached where it can't be sent anything then."""

NEEDS_LOCK = frozenset({"a crash with the lock held"})
"""The goal to which no run comes where a wire has no lock."""

SURVIVED = frozenset({"CrashSending"})
"""The faults, besides the plain ones, under which timersim's own servers keep their promises on every wire."""


@dataclass(slots=True)
class Call:
    """A worker's `acquire` or `release`, as `command`, and its number in the record."""

    worker: int
    process: Worker
    number: int
    command: tuple[Any, ...]

    @property
    def key(self) -> tuple[int, str]:
        """The worker's pid and the scope."""
        return self.process.pid, self.command[1]

    @property
    def expiration(self) -> float:
        """The expiration that it sends; negative for a release."""
        return float(self.command[2]) if self.command[0] == "acquire" else -1.0

    def make(self) -> bytes:
        """Has the worker make it, and returns what it says first."""
        self.process.send(*self.command)
        return self.hear()

    def hear(self) -> bytes:
        """Waits, in real time, for what the worker says next. Nothing else runs meanwhile."""
        return hear(self.process, f"worker {self.worker}", self.command[0])


class Line:
    """A wire for the length of one run; the server sees its `queue`, or is made with other `arguments`.

    Each request of the server is known by what it says: it is the oldest one of its worker that arrived and says so.
    """

    queue: Any = None
    mp_queue: Any = None
    arguments: Mapping[str, Any] | None = None
    sending: Sequence[SendingPoint] = ("buffered", "flushed")
    """The points at which a worker can be killed while it sends; at any other it is killed before it has written."""
    returns_late: bool = False
    """Whether it is told by `returned` of each call that it has returned."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.recorder: Recorder
        self.table: TableWatch
        self.returned: Callable[[int], None]
        self.kill: Callable[[int], None]
        self._crashing: set[int] = set()
        self._arrived: defaultdict[tuple[int, str], list[Call]] = defaultdict(list)
        self._numbers: dict[int, tuple[int, Any]] = {}

    def attach(
        self, recorder: Recorder, table: TableWatch, *, returned: Callable[[int], None], kill: Callable[[int], None]
    ) -> None:
        """Says where the run records, and what sees the server's table.

        `returned` is to be told which worker's call has returned late, `kill` which worker is to be killed.
        """
        self.recorder = recorder
        self.table = table
        self.returned = returned
        self.kill = kill

    def watch(self, server: Server) -> None:
        """Is told of each server of the run before it starts."""

    def lose(self) -> None:
        """Is told that the server has gone, with what it had read and not registered."""
        self._arrived.clear()

    def is_calling(self, process: Worker) -> bool:
        """Returns whether a worker is in a call that has not returned."""
        return False

    def is_stuck(self, process: Worker) -> bool:
        """Returns whether a worker will never be through with what it was told: it can't be used again."""
        return self.is_calling(process)

    def exits(self, process: Worker) -> bool:
        """Returns whether a worker ends that was told to exit."""
        return True

    def forget(self, process: Worker) -> None:
        """Is told of a worker that is as good as dead."""
        self._crashing.discard(process.pid)

    def let_be(self, process: Worker) -> None:
        """Has nothing happen to the next request of a worker."""
        if process.pid in self._crashing:
            self._stop_at(process, None)
            self._crashing.discard(process.pid)

    def end(self) -> None:
        """Is told that the run is over, and that who was stuck is dead."""

    def crash_next(self, process: Worker, at: SendingPoint) -> None:
        """Has a worker killed when its next request has come as far as `at`."""
        self._stop_at(process, at if at in self.sending else "buffered")
        self._crashing.add(process.pid)

    def make(self, call: Call) -> None:
        """Has a worker make a call; returns when what the worker does about it at this instant is done."""
        said = call.make()
        if said == b"done":
            self.has_arrived(call)
        elif said == b"raised":
            self.was_refused(call)
        else:
            self.has_stopped(call, said)

    def has_stopped(self, call: Call, said: bytes) -> None:
        """Has a worker killed that has stopped before its request was written, or after it."""
        if said == b"buffered":
            self.meddled(call.number, "lost")
        else:
            self.has_arrived(call)
        self.kill(call.worker)

    def has_arrived(self, call: Call) -> None:
        """Records that the server can read a request."""
        self.recorder.arrived(call.number)
        self._arrived[call.key].append(call)

    def was_refused(self, call: Call) -> None:
        """Records that a call raised, since there was no server."""
        self.recorder.add(Meddled, call.number, "refused", self.recorder.now())

    def meddled(self, number: int, fault: str) -> None:
        """Records what has happened to a request on its way."""
        self.recorder.add(Meddled, number, fault, float(self.recorder.now()))

    def number(self, request: Any) -> int | None:
        """Returns the number of what the server took from the wire; None for what is no request of the run."""
        if id(request) not in self._numbers:
            key = getattr(request, "worker_id", 0), getattr(request, "scope_id", "")
            arrived = self._arrived[key]
            call = next((each for each in arrived if each.expiration == request.expiration_time), None)
            if call is None:
                return None
            arrived.remove(call)
            self._numbers[id(request)] = call.number, request  # which keeps its id from being used again
        return self._numbers[id(request)][0]

    def _stop_at(self, process: Worker, point: str | None) -> None:
        process.send("stop_at", point)
        hear(process, f"the worker with pid {process.pid}", "stop_at")


class Wire(ABC):
    """A transport of the process backend, kept from run to run; whether in real time is said when it is made."""

    server: type[TableTimerServer]
    """timersim's own server on it."""
    seldom: frozenset[str] = frozenset()
    """The goals to which it seldom lets a run come."""
    sending: Sequence[SendingPoint] = Line.sending
    """The points at which a worker can be killed while it sends."""

    @abstractmethod
    def __init__(self, *, is_real_time: bool = False) -> None: ...

    @staticmethod
    @abstractmethod
    def contract(*, is_ours: bool, max_interval: int) -> Contract:
        """Returns what a server promises of which nothing is stated; where it `is_ours` it wakes in time."""

    @abstractmethod
    def to_pass(self) -> tuple[Any, list[int]]:
        """Returns the pickle of what the zygote needs for its workers' clients, and the descriptors that go with it."""

    @property
    @abstractmethod
    def address(self) -> Any:
        """What `zygote.client_maker` makes clients of in a full interpreter, as multiprocessing passes it on."""

    @abstractmethod
    def arguments(self, max_interval: float) -> dict[str, Any]:
        """Returns what the constructor of timersim's own server on it takes first, by name."""

    def throw_away(self) -> bool:
        """Throws away what nobody read in a run in real time; returns whether the wire can be used again."""
        return True

    @abstractmethod
    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        """Returns the wire for a run in virtual time."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds."""


def hear(process: Worker, who: str, command: str) -> bytes:
    """Waits, in real time, for what a worker that has a command says next. Nothing else runs meanwhile."""
    wait_for(process.commands.fileno(), f"{who}: {command}")
    said = process.answer()
    if not said:
        raise PoolError(f"{who} ended when told to {command}")
    return said


def wait_for(fd: int, owed: str) -> None:
    """Waits in real time, with everything else standing still, until a descriptor is readable; HoldTimeout."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(HOLD_LIMIT * 1000):
        raise HoldTimeout(f"no answer within {HOLD_LIMIT} s of real time: {owed}")
