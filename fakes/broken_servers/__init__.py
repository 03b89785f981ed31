"""Ablations: a correct server with one safeguard taken out, to see that the laboratory notices."""

import inspect
from dataclasses import replace
from typing import Any

from timersim.fakes.backend import SimulatedBackend
from timersim.fakes.broken_servers import answers, clocks, disks, reaping, requests, retrying, scopes, watching
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.fakes.servers import ServerMaker
from timersim.lab.contract import Contract
from timersim.lab.specs import MAX_INTERVAL
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper
from timersim.sequenced_server import SequencedTimerServer
from timersim.table_server import TableTimerServer

_ROOMS = (clocks, requests, scopes, reaping, retrying, watching, disks, answers)

ABLATIONS: dict[str, Ablation] = {ablation.safeguard: ablation for room in _ROOMS for ablation in room.ABLATIONS}
"""By the name of the safeguard, what takes it out and what that breaks."""


def without(safeguard: str, server: type[TableTimerServer]) -> type[TableTimerServer]:
    """Returns `server` with one safeguard taken out; KeyError for a safeguard that there is not.

    >>> without("reap-once", MemoryTimerServer).__name__
    'MemoryTimerServer without reap-once'
    """
    name = f"{server.__name__} without {safeguard}"
    return type(name, (ABLATIONS[safeguard].takes_out, server), {"__signature__": inspect.signature(server)})


def server_without(safeguard: str) -> ServerMaker:
    """Returns what makes the server of a simulation that lacks a safeguard."""
    kind = without(safeguard, ABLATIONS[safeguard].server)
    if not issubclass(kind, PidTimerServer):
        return kind

    def make(world: Any) -> PidTimerServer:
        reaper = ProcessReaper(clock=world.clock, kernel=world.kernel)
        return kind(world.queue, world.max_interval, clock=world.clock, reaper=reaper)

    make.__qualname__ = kind.__qualname__
    return make


def backend_without(safeguard: str, *, max_interval: int = MAX_INTERVAL, **options: Any) -> SimulatedBackend:
    """Returns a backend whose server lacks a safeguard, on the wire and under the contract of the correct server.

    `options` are those of `SimulatedBackend`, in place of what it has of itself.

    >>> backend_without("heed-the-sequence").contract.order
    'sequence'
    """
    server = ABLATIONS[safeguard].server
    given: dict[str, Any] = {
        "contract": _contract(server, max_interval),
        "max_interval": max_interval,
        "spec": {"name": "memory", "without": safeguard},
        "wire": "sequenced" if issubclass(server, SequencedTimerServer) else "shared",
    }
    if max_interval != MAX_INTERVAL:
        given["spec"]["max_interval"] = max_interval
    return SimulatedBackend(server_without(safeguard), **given | options)


def _contract(server: type[TableTimerServer], max_interval: int) -> Contract:
    """Returns what the correct server promises."""
    if server is SequencedTimerServer:
        return SimulatedBackend(wire="sequenced", max_interval=max_interval).contract
    contract = SimulatedBackend(max_interval=max_interval).contract
    return contract if server is MemoryTimerServer else replace(contract, identity="incarnation")


__all__ = ["ABLATIONS", "Ablation", "backend_without", "server_without", "without"]
