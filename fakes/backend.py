"""The simulated backend: any server, with simulated workers, in virtual time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from timersim.fakes.patch import importable
from timersim.fakes.servers import ServerMaker
from timersim.fakes.simulated_run import SimulatedRun
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend, World
from timersim.lab.operations import OPERATIONS, Operation
from timersim.lab.specs import MAX_INTERVAL, spec_of
from timersim.memory_timer import MemoryTimerServer


class SimulatedBackend(Backend):
    """Runs a server in virtual time with simulated workers: a tick is a virtual second.

    `server` is a callable `server(world)`, or a class with the constructor of `MemoryTimerServer`. `contract` is what
    it promises; unless stated that it reaps within `max_interval` ticks, and within 0 for timersim's own
    server. `patch` names the modules in which `time`, `threading`, `queue` and `os.kill` become ours; unless
    stated those of the server's class and of its bases.

    >>> SimulatedBackend(max_interval=30).contract.reap_within
    0
    """

    def __init__(
        self,
        server: ServerMaker = MemoryTimerServer,
        *,
        contract: Contract | None = None,
        max_interval: int = MAX_INTERVAL,
        patch: Sequence[str] | None = None,
        name: str = "memory",
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.server = server
        self.max_interval = max_interval
        self.operations: frozenset[type[Operation]] = frozenset(OPERATIONS.values())
        is_ours = isinstance(server, type) and issubclass(server, MemoryTimerServer)
        self.contract = contract or Contract(reap_within=0 if is_ours else max_interval)
        self._patch = importable(patch)
        self._spec = spec or spec_of(
            "memory", server, MemoryTimerServer, contract=contract, max_interval=max_interval, patch=patch
        )

    def __repr__(self) -> str:
        return f"SimulatedBackend({getattr(self.server, '__qualname__', self.server)}, name={self.name!r})"

    @property
    def spec(self) -> Mapping[str, Any] | None:
        return self._spec

    @contextmanager
    def open(self) -> Iterator[World]:
        world = SimulatedRun(self.max_interval)
        with world.running(self.server, self._patch):
            yield world
