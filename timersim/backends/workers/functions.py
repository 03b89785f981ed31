"""Functions as workers: how a new process finds one, what it is given, and what a schedule does to it."""

import inspect
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from timersim.lab.operations import (
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Resume,
    Start,
    StartServer,
    StopServer,
)

OPERATIONS: tuple[type[Operation], ...] = (PauseServer, Crash, Exit, Start, Pause, Resume, StopServer, StartServer)
"""What a schedule can do where workers acquire and release of their own accord."""

METHODS = ("spawn", "forkserver", "fork")
"""How multiprocessing starts a process with a full interpreter."""

OFFERED = ("clock", "client", "worker", "incarnation")
"""What a function is given where it has a parameter of that name."""


def given_to(function: Callable[..., object]) -> tuple[str, ...]:
    """Returns by name what a function is given; TypeError where it wants what there is not.

    >>> def train(clock, steps=3): ...
    >>> given_to(train)
    ('clock',)
    """
    if not callable(function):
        raise TypeError(f"a worker is a function: worker={function!r}")
    signature = inspect.signature(function)
    given = tuple(name for name in OFFERED if name in signature.parameters)
    try:
        signature.bind(**dict.fromkeys(given))
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{name}{signature} can't be a worker: {error}; a worker is given what it has parameters for of "
            f"{', '.join(OFFERED)}, and anything else needs a default"
        ) from None
    return given


def reference(function: Callable[..., object]) -> str:
    """Returns the MODULE:NAME by which a new process finds a function; ValueError where it would not find it.

    >>> from timersim.backends.names import make_backend
    >>> reference(make_backend)
    'timersim.backends.names:make_backend'
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", repr(function))
    if _found(module, name) is not function or not (module != "__main__" or hasattr(sys.modules[module], "__file__")):
        raise ValueError(
            f"a worker is a function that a new process can import: {module}:{name} can't be; define it with def at "
            'the top of a module, or let it be inherited, with start_method="fork"'
        )
    return f"{module}:{name}"


def spec_with(
    spec: Mapping[str, Any], worker: Callable[..., object] | None, start_method: str | None, limit: int | None
) -> Mapping[str, Any] | None:
    """Returns what rebuilds a backend, with what is stated of its workers; None where a function has no name.

    >>> spec_with({"name": "file"}, None, "fork", None)
    {'name': 'file', 'start_method': 'fork'}
    """
    found = None
    if worker is not None:
        try:
            found = reference(worker)
        except ValueError:
            return None
        if found.startswith("__main__:"):
            return None
    stated = {"worker": found, "start_method": start_method, "limit": limit}
    return {**spec, **{name: value for name, value in stated.items() if value is not None}}


def _found(module: str | None, name: str) -> object:
    try:
        return attrgetter(name)(sys.modules[module or ""])
    except (KeyError, AttributeError):
        return None
