"""What a worker of a user's own code has of the driver: its clock and its client, which ask before they go on.

While the worker computes virtual time stands still; so what the driver said with its last answer is the time still.
"""

import os
import pickle
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from timersim.api import TimerClient
from timersim.backends.workers import zygote
from timersim.clock import Clock, Task

SECOND = 1_000_000_000
"""Nanoseconds in a second: in which the driver says what time it is."""


class Asker:
    """The worker's end of its conversation with the driver: what one of them says the other one answers.

    The answer to a request is ("go", wall clock, monotonic clock), in nanoseconds; or an end, which is obeyed. Raises
    RuntimeError in another thread or process than that which began it.
    """

    def __init__(self, commands: socket.socket) -> None:
        self._commands = commands
        self._speaker = threading.get_native_id()
        self.time_ns = self.monotonic_ns = 0

    def begin(self) -> tuple[int, int]:
        """Waits for the beginning; returns which worker this is, and in which incarnation."""
        _, worker, incarnation, self.time_ns, self.monotonic_ns = self._hear()
        return worker, incarnation

    def ask(self, *request: Any) -> None:
        """Says what is to come next, and returns when it has: SystemExit where that is the worker's end."""
        self.say(*request)
        self.go_on()

    def say(self, *request: Any) -> None:
        """Says something to which there is an answer, or none."""
        if threading.get_native_id() != self._speaker:
            raise RuntimeError(
                "a worker has one thread of one process that waits in virtual time and guards its blocks: "
                f"{request[0]} in another one, with pid {os.getpid()}"
            )
        message = pickle.dumps(request)
        if len(message) > zygote.MESSAGE_LIMIT:
            raise ValueError(f"a scope has at most {zygote.MESSAGE_LIMIT} bytes: {request!r:.80}")
        self._commands.send(message)

    def go_on(self) -> None:
        """Waits for the leave to go on, and notes what time it is then."""
        command, *values = self._hear()
        if command == "exit":
            sys.exit(0)
        if command == "go":
            self.time_ns, self.monotonic_ns = values

    def made(self, outcome: bytes) -> None:
        """Says what has come of a call that the driver knows of, and waits for the leave to go on."""
        self._commands.send(outcome)
        self.go_on()

    def _hear(self) -> Any:
        message = self._commands.recv(zygote.MESSAGE_LIMIT)
        if not message:
            os._exit(1)  # nobody is left to ask
        said = pickle.loads(message)
        if said[0] == "crash":
            zygote.crash(said[1])
        return said


class WorkerClock(Clock):
    """The clock of a worker: virtual time, which the driver lets pass while the worker waits."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def time(self) -> float:
        return self._asker.time_ns / SECOND

    def monotonic(self) -> float:
        return self._asker.monotonic_ns / SECOND

    def sleep(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"time can't go backwards: sleep({seconds!r})")
        self._asker.ask("sleep", float(seconds))

    def wait(self, poll: Callable[[float], bool], timeout: float) -> bool:
        """Waits until `poll` is true, `timeout` seconds at most; returns whether it was.

        It looks again whenever another worker has done something, or has died.
        """
        end, word = self.monotonic() + timeout, "wait"
        while not poll(0):
            left = end - self.monotonic()
            if left <= 0:
                return False
            self._asker.ask(word, left)
            word = "still"
        return True

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        ready: list[int] = []

        def look(_: float) -> bool:
            poller = select.poll()
            for fd in fds:
                poller.register(fd, select.POLLIN)
            found = {fd for fd, _ in poller.poll(0)}
            ready[:] = [fd for fd in fds if fd in found]
            return bool(ready)

        self.wait(look, timeout)
        return ready

    def spawn(self, target: Callable[[], object], *, name: str, daemon: bool = True) -> Task:
        _refuse(name)


class AskingClient(TimerClient):
    """The client of a worker: each call of the real one is announced to the driver, which records what it sends."""

    def __init__(self, client: TimerClient, clock: Clock, asker: Asker) -> None:
        self.clock = clock
        self._client = client
        self._asker = asker

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""
        self._call("acquire", scope_id, expiration_time)

    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`."""
        self._call("release", scope_id)

    def _call(self, *command: Any) -> None:
        self._asker.ask(*command)
        name, *arguments = command
        try:
            getattr(self._client, name)(*arguments)
        except Exception:
            self._asker.made(b"raised")
            raise
        self._asker.made(b"done")


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(f"a worker's clock has one thread: spawn(name={name!r}); start another worker instead")
