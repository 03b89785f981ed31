"""The backends by name: for the command line, the fixtures and saved schedules."""

import sys
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from timersim.lab.experiment import Backend
from timersim.lab.specs import stated
from timersim.table_server import TableTimerServer

EXAMPLES = {
    "memory": 1000,
    "local": 200,
    "file": 200,
    "socket": 200,
    "torch-local": 200,
    "torch-file": 200,
    "torch-local-memory": 1000,
    "torch-file-memory": 1000,
}
"""Every backend, with the number of schedules of a run by default."""

REAL = {"memory": "local", "torch-local-memory": "torch-local", "torch-file-memory": "torch-file"}
"""For simulated workers the backend that has the same on real ones."""

DEFAULTS = ("memory", "local", "file", "socket")
"""The backends that are checked without a choice: timersim's own."""

REAL_TIME = ("local", "file", "socket")
"""The backends that can run in real time."""

SUPERVISOR, SUPERVISED = "supervisor", 200
"""The backend that runs a supervisor of the user's, by name, and its number of schedules by default."""


class BackendError(ValueError):
    """A backend that cannot be made; the text says why, and what there is."""


def with_all_faults(backend: Backend) -> Backend:
    """Returns the backend with a contract by which a search draws every fault that it can carry out.

    >>> "Stall" in with_all_faults(make_backend("memory")).contract.survives
    True
    """
    names = frozenset(kind.__name__ for kind in backend.operations)
    backend.contract = replace(backend.contract, survives=names | backend.contract.survives)
    return backend


def make_backend(
    name: str, *, server: str | None = None, without: str | None = None, pin: bool = False, **options: Any
) -> Backend:
    """Makes a backend by name: with a server of the user's, or with a safeguard taken out of timersim's own.

    `server` is "MODULE:NAME": a callable `server(world)`, a class, or a Backend; for the backend "supervisor" an
    adapter's class. `pin` is ProcessBackend's, `options` are its constructor's, `contract` among them, but for a
    `worker`, which is "MODULE:NAME", too. Raises BackendError.

    >>> make_backend("memory").spec
    {'name': 'memory'}
    """
    if name == SUPERVISOR:
        return _supervised(server, without, **options)
    if name not in EXAMPLES:
        raise BackendError(f"there is no backend {name!r}; there are {', '.join(EXAMPLES)}")
    if "tick" in options and name not in REAL_TIME:
        raise BackendError(f"{name} has virtual time only; in real time there are {', '.join(REAL_TIME)}")
    if server is not None and without is not None:
        raise BackendError("--without takes a safeguard out of timersim's own server; it can't be used with --server")
    if name.startswith("torch-") and (server, without) != (None, None):
        raise BackendError(f"{name} runs torch's own server; it takes no other, and none can be left out of it")
    if name.startswith("torch-"):
        return _torch_backend(name, pin=pin, **options)
    maker = None if server is None else load_server(server)
    if isinstance(maker, Backend):
        if name not in {"memory", maker.name}:
            raise BackendError(f"{server} is a backend itself, {maker.name}; it can't be put on {name}")
        return maker
    given = {"name": name, "server": server, "without": without, **options}
    if "contract" in given:
        given["contract"] = stated(given["contract"])
    spec = {key: value for key, value in given.items() if value is not None}
    if "worker" in options:
        options["worker"] = load_server(options["worker"], what="worker")
    if without is not None:
        return _ablated(name, without, pin=pin, spec=spec, **options)
    return _timersim_backend(name, maker or _own_server(name), pin=pin, spec=spec, **options)


def default_names(
    server: str | None = None, without: str | None = None, *, is_real_time: bool = False
) -> tuple[str, ...]:
    """Returns the backends that are checked without a choice; BackendError for a safeguard that there is not.

    >>> default_names(without="reap-once"), default_names(without="heed-the-sequence")
    (('memory', 'local', 'file', 'socket'), ('memory', 'socket'))
    """
    if server is not None:
        return ("local" if is_real_time else "memory",)
    names = REAL_TIME if is_real_time else DEFAULTS
    return tuple(name for name in names if without is None or _has_safeguard(name, without))


def load_server(name: str, what: str = "server") -> Any:
    """Imports "MODULE:NAME", also from the current directory; raises BackendError, of `what`, where that fails."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise BackendError(f"a {what} is named MODULE:NAME, as in my_module:my_{what}: {name!r}")
    if module.endswith(".py"):
        raise BackendError(f"give the module, not the file: {module.removesuffix('.py')}:{attribute}")
    try:
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        value: Any = import_module(module)
    except (Exception, SystemExit) as error:
        raise BackendError(f"the {what} {name!r} can't be imported: {type(error).__name__}: {error}") from None
    try:
        for part in attribute.split("."):
            value = getattr(value, part)
    except AttributeError:
        raise BackendError(f"the {what} {name!r} can't be found: {module} has no {attribute!r}") from None
    return value


def _timersim_backend(name: Any, maker: Any, *, pin: bool, **options: Any) -> Backend:
    if name == "memory":
        from timersim.fakes.backend import SimulatedBackend

        return SimulatedBackend(maker, **options)
    from timersim.backends.process import ProcessBackend

    return ProcessBackend(name, server=maker, pin=pin, **options)


def _supervised(reference: str | None, without: str | None, **options: Any) -> Backend:
    from timersim.backends.supervisors.backend import SupervisorBackend

    if reference is None or without is not None:
        raise BackendError("a supervisor is one of your own: timersim check --supervisor my_module:Supervisor")
    maker = load_server(reference, what="supervisor")
    if isinstance(maker, SupervisorBackend):
        return maker
    if isinstance(maker, Backend):
        raise BackendError(f"{reference} is a backend itself, {maker.name}: timersim check --server {reference}")
    spec = {"name": SUPERVISOR, "server": reference, **options}
    if "contract" in spec:
        spec["contract"] = stated(spec["contract"])
    return SupervisorBackend(maker, spec=spec, **options)


def _torch_backend(name: str, *, pin: bool, **options: Any) -> Backend:
    from timersim.backends.torch import SimulatedTorchBackend, TorchBackend, TorchTransport

    transport: TorchTransport = "local" if name.startswith("torch-local") else "file"
    if name.endswith("-memory"):
        return SimulatedTorchBackend(transport, **options)
    return TorchBackend(transport, pin=pin, **options)


def _own_server(name: str) -> type[TableTimerServer]:
    from timersim.memory_timer import MemoryTimerServer

    if name == "memory":
        return MemoryTimerServer
    from timersim.backends.process import WIRES

    return WIRES[name].server


def _ablated(name: str, safeguard: str, *, pin: bool, **options: Any) -> Backend:
    """Makes a backend of timersim's own server with a safeguard taken out; in memory that of the wire that has it."""
    from timersim.fakes.broken_servers import backend_without, without

    if not _has_safeguard(name, safeguard):
        there = " or ".join(each for each in DEFAULTS if _has_safeguard(each, safeguard))
        raise BackendError(f"{safeguard} can't be taken out of the server of {name}; run it with --backend {there}")
    if name == "memory":
        return backend_without(safeguard, **options)
    return _timersim_backend(name, without(safeguard, _own_server(name)), pin=pin, **options)


def _has_safeguard(name: str, safeguard: str) -> bool:
    """Returns whether a safeguard can be taken out of the server of a backend; BackendError where there is none."""
    from timersim.fakes.broken_servers import ABLATIONS

    if safeguard not in ABLATIONS:
        near = " or ".join(get_close_matches(safeguard, ABLATIONS, cutoff=0.7))
        meant = f"did you mean {near}? " if near else ""
        raise BackendError(f"there is no safeguard {safeguard!r}; {meant}timersim check --ablations lists them")
    return name == "memory" or ABLATIONS[safeguard].applies_to(_own_server(name))
