"""The child: what a process with a full interpreter does as a worker, from its first step on.

It has its own process group, so that Ctrl-C is for who started it, and dies with the driver: also where it
computes, hangs or is stopped.
"""

import fcntl
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import current_process
from multiprocessing.connection import Connection
from operator import attrgetter
from typing import Any

from timersim.api import configure
from timersim.backends.workers import zygote
from timersim.backends.workers.asking import Asker, AskingClient, WorkerClock

Function = Callable[..., object] | str
"""What a worker does of its own: a function, or where it is found, as MODULE:NAME."""


def begin(
    commands: socket.socket,
    leash: Connection,
    held: Connection | None,
    wire: Any,
    function: Function | None,
    given: Sequence[str],
) -> None:
    """Is what a new process does. In a fork it has `held`, the driver's end of the leash, and lets go of it."""
    if held is not None:
        held.close()
    _settle(leash)
    if function is None:
        obey(commands, wire)
    else:
        live(commands, wire, function, given)


def obey(commands: socket.socket, wire: Any) -> None:
    """Obeys commands, as the workers of the zygote do."""
    try:
        zygote.work(commands, zygote.client_maker(wire)(commands))
    except ConnectionError:
        os._exit(1)  # nobody is left to give commands


def live(commands: socket.socket, wire: Any, function: Function, given: Sequence[str]) -> None:
    """Calls the function once the driver says so, with what is `given` to it, by name.

    What it raises leaves this process, as it would leave any: with its traceback on standard error.
    """
    try:
        called = _found(function)
    except (Exception, SystemExit) as error:
        commands.send(f"{type(error).__name__}: {error}".encode()[: zygote.MESSAGE_LIMIT])
        os._exit(1)
    client = zygote.client_maker(wire)(commands)
    commands.send(b"ready")
    asker = Asker(commands)
    worker, incarnation = asker.begin()
    current_process().name = f"worker {worker}"
    clock = WorkerClock(asker)
    guard = AskingClient(client, clock, asker)
    configure(guard)
    offered = {"clock": clock, "client": guard, "worker": worker, "incarnation": incarnation}
    try:
        called(**{name: offered[name] for name in given})
    except Exception as error:
        with suppress(OSError):
            asker.say("raised", type(error).__name__)
        raise


def _found(function: Function) -> Callable[..., object]:
    if callable(function):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., object] = attrgetter(name)(import_module(module))
    return found


def _settle(leash: Connection) -> None:
    """Leaves its parent's process group, and has the kernel kill it when the other end of the leash is closed.

    It would be killed were it stopped or hung. Which signal tells whom of a pipe's news belongs to the opened file: so
    it is opened anew, for this process alone.
    """
    os.setpgid(0, 0)
    fd = os.open(f"/proc/self/fd/{leash.fileno()}", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    if select.select([fd], [], [], 0)[0]:
        os._exit(1)  # it was closed before it could be watched
