"""What rebuilds a backend, as data: its constructor's arguments, and its server as MODULE:NAME."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from timersim.lab.contract import Contract

MAX_INTERVAL = 10
"""The ticks between two passes of a backend's server, unless stated."""

SEARCH_LIMIT = 10.0
"""Seconds that a fresh interpreter may take to look for a module."""


def spec_of(
    name: str,
    server: object,
    own: object,
    *,
    contract: Contract | None,
    max_interval: int,
    patch: Sequence[str] | None,
    wire: str | None = None,
    tick: float | None = None,
) -> Mapping[str, Any] | None:
    """Returns what rebuilds a backend by `name`, without what it has of itself; None where its server has no name.

    >>> from timersim.memory_timer import MemoryTimerServer
    >>> spec_of("memory", MemoryTimerServer, MemoryTimerServer, contract=None, max_interval=30, patch=None)
    {'name': 'memory', 'max_interval': 30}
    """
    spec: dict[str, Any] = {"name": name}
    if server is not own:
        reference = _reference(server)
        if reference is None:
            return None
        spec["server"] = reference
    if max_interval != MAX_INTERVAL:
        spec["max_interval"] = max_interval
    if contract is not None:
        spec["contract"] = stated(contract)
    if patch is not None:
        spec["patch"] = list(patch)
    if wire is not None:
        spec["wire"] = wire
    if tick is not None:
        spec["tick"] = tick
    return spec


def is_found_afresh(spec: Mapping[str, Any]) -> bool:
    """Returns whether another interpreter, started here, finds the modules of the server and of the worker.

    What only pytest finds, since it put the folder of a test into `sys.path`, it does not.
    """
    return all(_is_found_afresh(spec[part].partition(":")[0]) for part in ("server", "worker") if part in spec)


def _is_found_afresh(module: str) -> bool:
    find = "import importlib.util, sys; sys.path.insert(0, ''); sys.exit(not importlib.util.find_spec(sys.argv[1]))"
    try:
        found = subprocess.run([sys.executable, "-c", find, module], capture_output=True, timeout=SEARCH_LIMIT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def stated(contract: Contract) -> dict[str, Any]:
    """Returns the fields in which a contract differs from one of which nothing is stated."""
    plain = Contract()
    values = {field.name: getattr(contract, field.name) for field in fields(contract)}
    return {name: _jsonable(value) for name, value in values.items() if value != getattr(plain, name)}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return sorted(value) if isinstance(value, frozenset) else value


def _reference(server: object) -> str | None:
    """Returns the MODULE:NAME under which `server` is found; None where it is not, as in `__main__` or a function."""
    module, name = getattr(server, "__module__", None), getattr(server, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    try:
        found = attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        return None
    return f"{module}:{name}" if found is server else None
