"""What rebuilds a backend, as data."""

import sys
from pathlib import Path
from types import ModuleType
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


def _called(name: str, module: str) -> type[MemoryTimerServer]:
    return type(name, (MemoryTimerServer,), {"__module__": module})


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
        (SimulatedBackend(_called("Holder", __name__)), None),
    ],
)
def test_a_backend_knows_what_rebuilds_it(backend: SimulatedBackend, spec: dict[str, Any] | None) -> None:
    """It is what differs from the defaults, and the server's name; None for one that is found under no name."""
    assert backend.spec == spec


def test_a_server_of_the_main_module_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in `__main__` here is not there in another process, whose main module is another."""
    mine = _called("Mine", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Mine", mine, raising=False)

    assert SimulatedBackend(mine).spec is None


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
    """A module that can be imported anywhere is found, and one that there is not isn't."""
    assert is_found_afresh(spec) is is_found


def test_a_module_that_only_this_process_has_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the current folder is found by the next interpreter, one that this process alone finds is not."""
    for folder, module in (("current", "lies_here"), ("beside", "lies_beside")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{module}.py").touch()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.syspath_prepend(tmp_path / "beside")
    monkeypatch.setitem(sys.modules, "was_made", ModuleType("was_made"))
    modules = ("lies_here", "lies_beside", "was_made")

    found = {module: is_found_afresh({"name": "memory", "server": f"{module}:Server"}) for module in modules}

    assert found == {"lies_here": True, "lies_beside": False, "was_made": False}
