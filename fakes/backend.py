"""The simulated backend: any server, with simulated workers, in virtual time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from timersim.fakes.faults import WireKind
from timersim.fakes.patch import importable
from timersim.fakes.servers import ServerMaker
from timersim.fakes.simulated_run import SimulatedRun
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.operations import OPERATIONS, Operation
from timersim.lab.specs import MAX_INTERVAL, spec_of
from timersim.memory_timer import MemoryTimerServer
from timersim.reaper import ProcessReaper
from timersim.sequenced_server import SequencedTimerServer


class SimulatedBackend(Backend):
    """Runs a server in virtual time with simulated workers: a tick is a virtual second.

    `server` is a callable `server(world)`, or a class with the constructor of `MemoryTimerServer`. `contract` is what
    it promises; unless stated that it reaps within `max_interval` ticks, and within 0 for timersim's own server, which
    survives every fault. `wire` is how requests go: on a "shared" one as over a `multiprocessing.Queue`, on a
    "sequenced" one as over timersim's socket, where the server is a `SequencedTimerServer`. `patch` names the modules
    in which `time`, `threading`, `queue` and `os.kill` become ours; unless stated those of the server's class and of
    its bases.

    >>> SimulatedBackend(max_interval=30).contract.reap_within
    0
    """

    def __init__(
        self,
        server: ServerMaker | None = None,
        *,
        wire: WireKind = "shared",
        contract: Contract | None = None,
        max_interval: int = MAX_INTERVAL,
        patch: Sequence[str] | None = None,
        name: str = "memory",
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.server: ServerMaker = server or (MemoryTimerServer if wire == "shared" else _sequenced)
        self._wire = wire
        self.max_interval = max_interval
        self.operations: frozenset[type[Operation]] = frozenset(OPERATIONS.values())
        self.contract = contract or _contract(self.server, wire, max_interval)
        self._patch = importable(patch)
        self._spec = spec or spec_of(
            "memory",
            self.server,
            self.server if server is None else MemoryTimerServer,
            contract=contract,
            max_interval=max_interval,
            patch=patch,
            wire=None if wire == "shared" else wire,
        )

    def __repr__(self) -> str:
        return f"SimulatedBackend({getattr(self.server, '__qualname__', self.server)}, name={self.name!r})"

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self._spec

    @contextmanager
    def open(self) -> Iterator[World]:
        world = self._new_run()
        with world.running(self.server, self._patch):
            yield world

    def _new_run(self) -> SimulatedRun:
        return SimulatedRun(self.max_interval, self._wire)


ALL = frozenset(OPERATIONS)
"""Every operation: timersim's own servers keep their promises under all of them."""


_HAZARDS = {"replay-safe": "requests carry no sequence"}
"""What a wire like torch's can't keep, and why."""


def _sequenced(world: Any) -> SequencedTimerServer:
    reaper = ProcessReaper(clock=world.clock, kernel=world.kernel)
    return SequencedTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=reaper)


def _contract(server: ServerMaker, wire: WireKind, max_interval: int) -> Contract:
    """Returns what a server promises of which nothing is stated: one of timersim's own that it wakes in time."""
    if wire == "sequenced":
        within = 0 if server is _sequenced else max_interval
        return Contract(reap_within=within, retry_within=max_interval, order="sequence", survives=ALL)
    if isinstance(server, type) and issubclass(server, MemoryTimerServer):
        return Contract(reap_within=0, retry_within=max_interval, identity="pid", survives=ALL, exempt=_HAZARDS)
    return Contract(reap_within=max_interval)
