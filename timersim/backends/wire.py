"""The wire: what connects the real workers of a backend to its server, and what is known of a call on it."""

import select
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from timersim.backends.pool import PoolError, Worker
from timersim.fakes.clock import VirtualClock
from timersim.fakes.servers import Server
from timersim.fakes.table_watch import TableWatch
from timersim.fakes.waiting import HOLD_LIMIT, HoldTimeout
from timersim.lab.contract import Contract
from timersim.lab.record import Meddled, Recorder
from timersim.table_server import TableTimerServer

REFUSED_WHILE_STOPPED = frozenset(
    {"a release or re-arm at the expiration", "release, re-arm and expiration at one instant"}
)
"""The goals for which mostly a server is stopped: seldom reached where it can't be sent anything then."""


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
        wait_for(self.process.commands.fileno(), f"worker {self.worker}: {self.command[0]}")
        said = self.process.answer()
        if not said:
            raise PoolError(f"worker {self.worker} ended when told to {self.command[0]}")
        return said


class Line:
    """A wire for the length of one run; the server sees its `queue`, or is made with other `arguments`.

    Each request of the server is known by what it says: it is the oldest one of its worker that arrived and says so.
    """

    queue: Any = None
    mp_queue: Any = None
    arguments: Mapping[str, Any] | None = None
    returns_late: bool = False
    """Whether it is told by `returned` of each call that it has returned."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.recorder: Recorder
        self.table: TableWatch
        self.returned: Callable[[int], None]
        self._arrived: defaultdict[tuple[int, str], list[Call]] = defaultdict(list)
        self._numbers: dict[int, tuple[int, Any]] = {}

    def attach(self, recorder: Recorder, table: TableWatch, returned: Callable[[int], None]) -> None:
        """Says where the run records, what sees the server's table, and whom to tell of a call that returned late."""
        self.recorder = recorder
        self.table = table
        self.returned = returned

    def watch(self, server: Server) -> None:
        """Is told of each server of the run before it starts."""

    def is_calling(self, process: Worker) -> bool:
        """Returns whether a worker is in a call that has not returned."""
        return False

    def forget(self, process: Worker) -> None:
        """Is told of a worker that has died."""

    def make(self, call: Call) -> None:
        """Has a worker make a call; returns when what the worker does about it at this instant is done."""
        if call.make() == b"done":
            self.has_arrived(call)
        else:
            self.was_refused(call)

    def has_arrived(self, call: Call) -> None:
        """Records that the server can read a request."""
        self.recorder.arrived(call.number)
        self._arrived[call.key].append(call)

    def was_refused(self, call: Call) -> None:
        """Records that a call raised, since there was no server."""
        self.recorder.add(Meddled, call.number, "refused", self.recorder.now())

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


class Wire(ABC):
    """A transport of the process backend, kept from run to run."""

    server: type[TableTimerServer]
    """timersim's own server on it."""
    seldom: frozenset[str] = frozenset()
    """The goals to which it seldom lets a run come."""

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
    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        """Returns the wire for a run."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds."""


def wait_for(fd: int, owed: str) -> None:
    """Waits in real time, with everything else standing still, until a descriptor is readable; HoldTimeout."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(HOLD_LIMIT * 1000):
        raise HoldTimeout(f"no answer within {HOLD_LIMIT} s of real time: {owed}")
