"""Making a server for a world, from a callable or a class, with a sentence for what is missing."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol


class Server(Protocol):
    """What a world needs of a server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


ServerMaker = Callable[..., Any]
"""`server(world)` that returns a server, or a class that is made as `MemoryTimerServer` or `LocalTimerServer` is."""


class ServerError(TypeError):
    """Something that can't be used as a server; the text says what is missing."""


def make_server(server: ServerMaker, world: Any) -> Any:
    """Calls `server` for `world`; raises ServerError where it, or what it returns, is no server.

    A class is called as `server(queue, max_interval)`, or with what the world's wire has for it, and with `clock` and
    `reaper` where its constructor has them.
    """
    name = getattr(server, "__qualname__", repr(server))
    if not callable(server):
        raise ServerError(f"{name} is no server: it can't be called; give a class, or a function server(world)")
    made = _construct(server, name, world) if isinstance(server, type) else _call(server, name, world)
    missing = [method for method in ("start", "stop") if not callable(getattr(made, method, None))]
    if missing:
        raise ServerError(
            f"{name} is no server: what it makes, a {type(made).__name__}, has no {' and no '.join(missing)}()"
        )
    return made


def _construct(server: type, name: str, world: Any) -> Any:
    signature = _signature(server, name)
    queue = getattr(world, "mp_queue", None) or world.queue
    given = getattr(world, "arguments", None) or {"queue": queue, "max_interval": world.max_interval}
    offered = {"clock": world.clock, "reaper": world.reap}
    accepted = {key: value for key, value in offered.items() if key in signature.parameters}
    try:
        signature.bind(*given.values(), **accepted)
    except TypeError as error:
        call = ", ".join([*given, *(f"{key}=…" for key in accepted)])
        raise ServerError(
            f"{name}{signature} can't be called as {name}({call}): {error}; give a function server(world) that makes it"
        ) from None
    if inspect.isabstract(server):
        methods = ", ".join(sorted(server.__abstractmethods__))  # type: ignore[attr-defined]  # an abstract class has them
        raise ServerError(f"{name} is no server: it lacks {methods}")
    try:
        return server(*given.values(), **accepted)
    except (Exception, SystemExit) as error:
        raise ServerError(f"{name}({', '.join(given)}) raised {type(error).__name__}: {error}") from error


def _call(server: ServerMaker, name: str, world: Any) -> Any:
    signature = _signature(server, name)
    try:
        signature.bind(world)
    except TypeError as error:
        raise ServerError(f"{name}{signature} can't be called as {name}(world): {error}") from None
    try:
        return server(world)
    except (Exception, SystemExit) as error:
        raise ServerError(f"{name}(world) raised {type(error).__name__}: {error}") from error


def _signature(server: ServerMaker, name: str) -> inspect.Signature:
    try:
        return inspect.signature(server)
    except ValueError:
        raise ServerError(f"{name} is no server: it does not say what it is called with") from None
