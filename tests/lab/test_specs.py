"""What rebuilds a backend, as data."""

from typing import Any

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab import Contract
from timersim.lab.specs import is_found_afresh
from timersim.memory_timer import MemoryTimerServer


def my_server(world: Any) -> MemoryTimerServer:
    """Makes timersim's own server."""
    return MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)


class Holder:
    """Where a server may be, too."""

    Server = MemoryTimerServer

    class Mine(MemoryTimerServer):
        """A server with a name of two parts."""


def _local() -> type[MemoryTimerServer]:
    class Local(MemoryTimerServer):
        pass

    return Local


def _of_main() -> type[MemoryTimerServer]:
    return type("Mine", (MemoryTimerServer,), {"__module__": "__main__"})


@pytest.mark.parametrize(
    ("backend", "spec"),
    [
        (SimulatedBackend(), {"name": "memory"}),
        (SimulatedBackend(name="mine"), {"name": "memory"}),
        (SimulatedBackend(my_server), {"name": "memory", "server": f"{__name__}:my_server"}),
        (SimulatedBackend(Holder.Mine), {"name": "memory", "server": f"{__name__}:Holder.Mine"}),
        (SimulatedBackend(Holder.Server), {"name": "memory"}),
        (SimulatedBackend(max_interval=11), {"name": "memory", "max_interval": 11}),
        (SimulatedBackend(max_interval=10), {"name": "memory"}),
        (SimulatedBackend(contract=Contract()), {"name": "memory", "contract": {}}),
        (
            SimulatedBackend(contract=Contract(reap_within=1, exempt={"reaped-once": "known"})),
            {"name": "memory", "contract": {"reap_within": 1, "exempt": {"reaped-once": "known"}}},
        ),
        (SimulatedBackend(patch=("json",)), {"name": "memory", "patch": ["json"]}),
        (SimulatedBackend(lambda world: my_server(world)), None),
        (SimulatedBackend(_local()), None),
        (SimulatedBackend(_of_main()), None),
    ],
)
def test_a_backend_knows_what_rebuilds_it(backend: SimulatedBackend, spec: dict[str, Any] | None) -> None:
    """It is what differs from the defaults, and the server's name; None for one that is found under no name."""
    assert backend.spec == spec


@pytest.mark.parametrize(
    ("spec", "is_found"),
    [
        ({"name": "memory"}, True),
        ({"name": "memory", "server": "json:loads"}, True),
        ({"name": "memory", "server": "no_such_module:loads"}, False),
        ({"name": "memory", "server": "no_such_module.within:loads"}, False),
    ],
)
def test_another_interpreter_is_asked_for_the_server(spec: dict[str, Any], is_found: bool) -> None:  # noqa: FBT001 - a parameter
    """A module that only this process has is not found by the next one."""
    assert is_found_afresh(spec) is is_found
