"""Making a server for a world, from a callable or a class, with a sentence for everything that is missing."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, Protocol


class Server(Protocol):
    """What a world needs of a server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


ServerMaker = Callable[..., Any]
"""`server(world)` that returns a server, or a class that is made as `MemoryTimerServer` or `LocalTimerServer` is."""

HOOKS: dict[str, tuple[str, ...]] = {
    "register_timers": ("timer_requests",),
    "clear_timers": ("worker_ids",),
    "get_expired_timers": ("deadline",),
    "_reap_worker": ("worker_id",),
}
"""What torch's `TimerServer` and timersim's call on their subclasses, and with what."""


_LACKING = ("start() is missing", "stop() is missing")


class ServerError(TypeError):
    """Something that can't be used as a server, or as a supervisor; the text says everything that is missing."""


def make_server(server: ServerMaker, world: Any) -> Any:
    """Calls `server` for `world`; raises ServerError where it, or what it returns, is no server.

    A class is called as `server(queue, max_interval)`, or with what the world's wire has for it, and with `clock` and
    `reaper` where its constructor has them.
    """
    name = getattr(server, "__qualname__", repr(server))
    if not callable(server):
        raise ServerError(f"{name} is no server: it can't be called; give a class, or a function server(world)")
    made = _construct(server, name, world) if isinstance(server, type) else _call(server, name, world)
    _check(made, name, "server", {"start": (), "stop": ()})
    return made


def make_supervisor(supervisor: Callable[[], Any]) -> Any:
    """Calls `supervisor`; raises ServerError where it, or what it returns, is no adapter of one.

    >>> make_supervisor(dict)
    Traceback (most recent call last):
    timersim.fakes.servers.ServerError: dict is no supervisor: start() is missing; submit(task, timeout) is missing; \
stop() is missing
    """
    name = getattr(supervisor, "__qualname__", repr(supervisor))
    if not callable(supervisor):
        raise ServerError(f"{name} is no supervisor: it can't be called; give a class, or a function supervisor()")
    made = _called(supervisor, name, "()")
    _check(made, name, "supervisor", {"start": (), "submit": ("task", "timeout"), "stop": ()})
    return made


def _construct(server: type, name: str, world: Any) -> Any:
    queue = getattr(world, "mp_queue", None) or world.queue
    given = getattr(world, "arguments", None) or {"queue": queue, "max_interval": world.max_interval}
    offered = {"clock": world.clock, "reaper": world.reap}
    accepted, wrong = _fit(server, name, tuple(given), tuple(offered))
    if wrong and not all(sentence in _LACKING for sentence in wrong):  # its constructor may still give it these
        raise ServerError(
            f"{name} is no server as it stands: {'; '.join(wrong)}; give a function server(world) that makes one of it"
        )
    return _called(server, name, f"({', '.join(given)})", *given.values(), **{key: offered[key] for key in accepted})


@lru_cache(maxsize=64)
def _fit(
    server: type, name: str, given: Sequence[str], offered: Sequence[str]
) -> tuple[Sequence[str], Collection[str]]:
    """Returns which of what is offered a class takes, and in what it is no server; a soak asks for each schedule."""
    signature = _signature(server, name)
    accepted = [key for key in offered if key in signature.parameters]
    return accepted, [*_wants(signature, name, given, accepted), *_unlike(server)]


def _call(server: ServerMaker, name: str, world: Any) -> Any:
    signature = _signature(server, name)
    try:
        signature.bind(world)
    except TypeError as error:
        raise ServerError(f"{name}{signature} can't be called as {name}(world): {error}") from None
    return _called(server, name, "(world)", world)


def _called(maker: Callable[..., Any], name: str, arguments: str, *given: Any, **named: Any) -> Any:
    try:
        return maker(*given, **named)
    except (Exception, SystemExit) as error:
        raise ServerError(f"{name}{arguments} raised {type(error).__name__}: {error}") from error


def _wants(signature: inspect.Signature, name: str, given: Sequence[str], accepted: Collection[str]) -> Iterator[str]:
    """Yields what a constructor wants that it is not given, and what it is given that it does not take."""
    call = f"{name}({', '.join([*given, *(f'{key}=…' for key in accepted)])})"
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    taken = {p.name for p in positional[: len(given)]} | set(accepted)
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    missing = [p.name for p in parameters if p.default is p.empty and p.kind not in variable and p.name not in taken]
    if missing:
        yield f"__init__ wants {_and(missing)} as well, and is called as {call}"
    if len(positional) < len(given) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        yield f"__init__ takes no {_and(given[len(positional) :])}, and is called as {call}"


def _unlike(server: type) -> Iterator[str]:
    """Yields in what the methods of a class differ from those of a server, as far as they can be seen before a call."""
    is_derived = any(base.__name__ == "TimerServer" for base in server.__mro__[1:])
    expected: dict[str, tuple[str, ...]] = {"start": (), "stop": (), **(HOOKS if is_derived else {})}
    unwritten: Collection[str] = getattr(server, "__abstractmethods__", ())
    for method, arguments in expected.items():
        found = inspect.getattr_static(server, method, None)
        if method not in unwritten and callable(found):
            yield from _uncallable(found, method, ("self", *arguments))
    lacking = {method for method in ("start", "stop") if not hasattr(server, method)}
    for method in sorted({*unwritten, *lacking}):
        yield f"{method}({', '.join(expected.get(method, ['…']))}) is missing"


def _check(made: object, name: str, what: str, methods: Mapping[str, Sequence[str]]) -> None:
    """Raises ServerError with everything that what was made lacks, or wants to be called with otherwise."""
    wrong: list[str] = []
    for method, arguments in methods.items():
        found = getattr(made, method, None)
        if callable(found):
            wrong += _uncallable(found, method, arguments)
        else:
            wrong.append(f"{method}({', '.join(arguments)}) is missing")
    kind = type(made).__name__
    if wrong:
        is_made = "" if kind == name else f" what it makes is a {kind}:"
        raise ServerError(f"{name} is no {what}:{is_made} {'; '.join(wrong)}")


def _uncallable(method: Callable[..., Any], name: str, arguments: Sequence[str]) -> Sequence[str]:
    """Returns a sentence where a method can't be called with so many arguments."""
    function = getattr(method, "__func__", method)
    if isinstance(function, FunctionType):
        return _said_of(function, name, tuple(arguments), is_bound=function is not method)
    return _said(method, name, arguments)


@lru_cache(maxsize=256)
def _said_of(function: FunctionType, name: str, arguments: tuple[str, ...], *, is_bound: bool) -> Sequence[str]:
    """Returns what `_said` does of a function, or of its method: a soak makes the same server for each schedule."""
    return _said(MethodType(function, object()) if is_bound else function, name, arguments)


def _said(method: Callable[..., Any], name: str, arguments: Sequence[str]) -> Sequence[str]:
    try:
        signature = inspect.signature(method)
        signature.bind(*arguments)
    except ValueError:
        return []  # a builtin does not say
    except TypeError as error:
        called = ", ".join(argument for argument in arguments if argument != "self")
        return [f"{name}{signature} is called as {name}({called}): {error}"]
    return []


def _signature(server: ServerMaker, name: str) -> inspect.Signature:
    try:
        return inspect.signature(server)
    except ValueError:
        raise ServerError(f"{name} is no server: it does not say what it is called with") from None


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
