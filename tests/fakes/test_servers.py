"""Making a server for a world: from a function, from a class, and the sentences for what is none."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import timersim
from timersim.fakes.servers import ServerError, make_server

WORLD = SimpleNamespace(queue="queue", max_interval=30, clock="clock", reap="reap")


class Plain:
    """A server with the shortest constructor."""

    def __init__(self, queue: object, max_interval: float) -> None:
        self.got = (queue, max_interval)

    def start(self) -> None:
        """Does nothing."""

    def stop(self) -> None:
        """Does nothing."""


class WithClock(Plain):
    """A server that takes a clock."""

    def __init__(self, queue: object, max_interval: float, daemon: bool = True, *, clock: object = None) -> None:  # noqa: FBT001, FBT002 - torch's signature
        super().__init__(queue, max_interval)
        self.got += (daemon, clock)  # type: ignore[assignment]  # whatever there is


class WithReaper(Plain):
    """A server that takes a reaper."""

    def __init__(self, queue: object, max_interval: float, *, reaper: object) -> None:
        super().__init__(queue, max_interval)
        self.got += (reaper,)  # type: ignore[assignment]  # whatever there is


class WithBoth(Plain):
    """A server that takes both."""

    def __init__(self, queue: object, max_interval: float, *, clock: object, reaper: object) -> None:
        super().__init__(queue, max_interval)
        self.got += (clock, reaper)  # type: ignore[assignment]  # whatever there is


@pytest.mark.parametrize(
    ("server", "got"),
    [
        (Plain, ("queue", 30)),
        (WithClock, ("queue", 30, True, "clock")),
        (WithReaper, ("queue", 30, "reap")),
        (WithBoth, ("queue", 30, "clock", "reap")),
    ],
)
def test_a_class_is_given_what_its_constructor_takes(server: type[Plain], got: tuple[object, ...]) -> None:
    """A class is made with the world's queue and interval, and with its clock and hand where it takes them."""
    made = make_server(server, WORLD)

    assert (type(made), made.got) == (server, got)


def test_a_function_is_given_the_world() -> None:
    """A function is called with the world alone, and what it returns is the server."""
    worlds: list[object] = []
    plain = Plain("queue", 1)

    def slurm(world: object) -> Plain:
        worlds.append(world)
        return plain

    assert (make_server(slurm, WORLD) is plain, worlds) == (True, [WORLD])


def test_anything_that_can_be_called_will_do() -> None:
    """An object that can be called with the world is as good as a function."""

    class Maker:
        def __call__(self, world: Any) -> Plain:
            return Plain(world.queue, world.max_interval)

    assert make_server(Maker(), WORLD).got == ("queue", 30)


class Unfinished(ABC):
    """A server with methods that nobody wrote."""

    def __init__(self, queue: object, max_interval: float) -> None:
        self.queue = queue

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def _reap_worker(self, worker_id: int) -> bool: ...


class Needy(Plain):
    """A server that wants more than a world has."""

    def __init__(self, queue: object, max_interval: float, job_id: int, *, clock: object) -> None:
        """Takes a job."""


class Startless:
    """Half a server."""

    def __init__(self, queue: object, max_interval: float) -> None:
        """Takes what a server takes."""

    def stop(self) -> None:
        """Does nothing."""


class Broken(Plain):
    """A server whose constructor raises."""

    def __init__(self, queue: object, max_interval: float) -> None:
        raise LookupError("no such job")


class Stranger:
    """A server by its name, and in nothing else."""

    def __init__(self, queue: object, *, queue_url: str, lanes: int, tenant: str) -> None:
        """Takes what its own world has."""

    def start(self, port: int) -> None:
        """Listens."""


class Listens(Plain):
    """A server that needs a port to start."""

    def start(self, port: int) -> None:  # type: ignore[override]  # that is what is wrong with it
        """Listens."""


class MyTimerServer(timersim.TimerServer):
    """Its hooks are called by torch, with other arguments."""

    def get_expired_timers(self) -> dict[int, list[object]]:  # type: ignore[override]  # that is what is wrong with it
        return {}

    def _reap_worker(self, worker_id: int, number: int) -> bool:  # type: ignore[override]  # wrong as well
        return True


def two_arguments(world: object, job_id: int) -> None:
    """Takes more than the world."""


def nothing(world: object) -> None:
    """Forgets its return."""


def raises(world: object) -> None:
    """Raises."""
    raise LookupError("no such job")


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (7, "7 is no server: it can't be called; give a class, or a function server(world)"),
        (
            Plain("queue", 1).got,
            "('queue', 1) is no server: it can't be called; give a class, or a function server(world)",
        ),
        (
            two_arguments,
            "two_arguments(world: object, job_id: int) -> None can't be called as two_arguments(world):"
            " missing a required argument: 'job_id'",
        ),
        (
            nothing,
            "nothing is no server: what it makes is a NoneType: start() is missing; stop() is missing",
        ),
        (Startless, "Startless is no server: start() is missing"),
        (
            Unfinished,
            "Unfinished is no server as it stands: _reap_worker(…) is missing; start() is missing;"
            " stop() is missing; give a function server(world) that makes one of it",
        ),
        (
            Needy,
            "Needy is no server as it stands: __init__ wants job_id as well, and is called as"
            " Needy(queue, max_interval, clock=…); give a function server(world) that makes one of it",
        ),
        (
            Stranger,
            "Stranger is no server as it stands: __init__ wants queue_url, lanes and tenant as well, and is called as"
            " Stranger(queue, max_interval); __init__ takes no max_interval, and is called as"
            " Stranger(queue, max_interval); start(self, port: int) -> None is called as start(): missing a required"
            " argument: 'port'; stop() is missing; give a function server(world) that makes one of it",
        ),
        (
            MyTimerServer,
            "MyTimerServer is no server as it stands: get_expired_timers(self) -> dict[int, list[object]] is called as"
            " get_expired_timers(deadline): too many positional arguments; _reap_worker(self, worker_id: int,"
            " number: int) -> bool is called as _reap_worker(worker_id): missing a required argument: 'number';"
            " clear_timers(worker_ids) is missing; register_timers(timer_requests) is missing;"
            " give a function server(world) that makes one of it",
        ),
        (
            lambda world: Listens("queue", 1),
            "<lambda> is no server: what it makes is a Listens: start(port: int) -> None is called as"
            " start(): missing a required argument: 'port'",
        ),
        (Broken, "Broken(queue, max_interval) raised LookupError: no such job"),
        (raises, "raises(world) raised LookupError: no such job"),
    ],
    ids=[
        *("number", "tuple", "two arguments", "nothing", "no start", "abstract", "needy", "other methods"),
        *("other hooks", "needs a port", "broken", "raises"),
    ],
)
def test_what_is_no_server_is_told_why(server: Callable[..., object], sentence: str) -> None:
    """Something that is no server is told in a sentence what is missing, and the way out."""
    with pytest.raises(ServerError) as raised:
        make_server(server, WORLD)

    assert str(raised.value) == sentence


@pytest.mark.parametrize("server", [dict, int, print])
def test_a_builtin_is_told_too(server: Callable[..., object]) -> None:
    """A class or function without a signature to read is refused as any other, by name."""
    with pytest.raises(ServerError, match=rf"^{server.__name__}\b"):
        make_server(server, WORLD)


def test_a_server_error_is_a_type_error() -> None:
    """What can't be used as a server is an error of its type."""
    assert issubclass(ServerError, TypeError)
