"""Timers over a Unix socket: workers are processes of this machine, and nobody can speak for another."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from timersim.api import TimerClient
from timersim.clock import Clock, SystemClock
from timersim.incarnation import start_ticks
from timersim.reaper import ProcessReaper
from timersim.sequenced_server import SequencedTimerServer
from timersim.socket_packets import Kind, read_answer, request_packet
from timersim.socket_queue import SocketRequestQueue
from timersim.turns import Turns

__all__ = ["SocketTimerClient", "SocketTimerServer"]

OPEN_ATTEMPTS, OPEN_INTERVAL = 10, 0.1
"""How often a client looks for the server before it gives up, and how many seconds apart."""

ANSWER_LIMIT = 10.0
"""Seconds that a client waits for an answer, unless told otherwise."""


class SocketTimerClient(TimerClient):
    """The client of the `SocketTimerServer` at `path`; any thread may use it, and a forked child too.

    `acquire` and `release` return when the server has registered the request. One that raised has changed
    nothing: RuntimeError with the reason where the request was refused, ConnectionError where no server answers at
    `path`, TimeoutError where it answers for longer than `answer_within` seconds not at all. An acquire that Ctrl-C
    interrupted after its answer had come is released.
    """

    def __init__(self, path: str, *, clock: Clock | None = None, answer_within: float = ANSWER_LIMIT) -> None:
        self.clock = clock or SystemClock()
        self._path = path
        self._answer_within = answer_within
        self._link = _Link(path, self.clock, answer_within)

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""
        self._own_link().request(scope_id, expiration_time)

    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`."""
        self._own_link().request(scope_id, -1.0)

    def close(self) -> None:
        """Releases what this process holds here, and hangs up; the next `acquire` connects again."""
        with suppress(ConnectionError, TimeoutError):  # a server that is gone, or that hangs, guards nothing
            self._own_link().part()

    def _own_link(self) -> "_Link":
        """Returns this process's own: a forked child has none yet, and its parent's is not its to use."""
        if self._link.pid != os.getpid():
            self._link.hang_up()
            self._link = _Link(self._path, self.clock, self._answer_within)
        return self._link


class _TooLate(BaseException):
    """An interrupt, as Ctrl-C is one, of a wait whose answer had come: what it asked for is registered."""

    def __init__(self, interrupt: BaseException) -> None:
        self.interrupt = interrupt


class _Link:
    """One process's side of a connection: opened when needed, and opened anew when it broke."""

    def __init__(self, path: str, clock: Clock, limit: float) -> None:
        self.pid = os.getpid()
        self._path = path
        self._clock = clock
        self._limit = limit
        self._turns = Turns(clock)
        self._socket: socket.socket | None = None
        self._sequence = 0
        self._held: dict[str, None] = {}

    def request(self, scope: str, expiration: float) -> None:
        """Has the server register a request."""
        with self._turns:
            self._request(scope, float(expiration))

    def part(self) -> None:
        """Releases what is held, and hangs up."""
        with self._turns:
            try:
                for scope in list(self._held):
                    self._request(scope, -1.0)
            finally:
                self.hang_up()

    def _request(self, scope: str, expiration: float) -> None:
        try:
            reason = self._ask_again(lambda sequence: request_packet(Kind.REQUEST, sequence, expiration, scope))
        except _TooLate as late:
            if expiration >= 0:
                self._ask_again(lambda sequence: request_packet(Kind.REQUEST, sequence, -1.0, scope))
            raise late.interrupt from None
        if reason is not None:
            raise RuntimeError(f"the server refused the request: {reason}")
        if expiration < 0:
            self._held.pop(scope, None)
        else:
            self._held[scope] = None

    def _ask_again(self, packet: Callable[[int], bytes]) -> str | None:
        """Asks, and where the connection turns out to be an old server's once more on a new one."""
        is_new = self._socket is None
        try:
            return self._ask(self._socket or self._connect(), packet)
        except ConnectionError:
            self.hang_up()
            if is_new:
                raise
            return self._ask(self._connect(), packet)

    def _ask(self, link: socket.socket, packet: Callable[[int], bytes], *, is_hello: bool = False) -> str | None:
        """Sends a packet and returns why it was refused, None where it was not."""
        self._sequence += 1
        data = packet(self._sequence)
        try:
            link.send(data)
            return self._answer(link, {0, self._sequence} if is_hello else {self._sequence})
        except BaseException as error:
            if not self._abandon(link) or is_hello:
                raise
            if isinstance(error, OSError):
                return None
            raise _TooLate(error) from None

    def _answer(self, link: socket.socket, sequences: set[int]) -> str | None:
        """Waits for an answer of these `sequences`; others were provoked by a child that holds the connection too."""
        end = self._clock.monotonic() + self._limit
        while (left := end - self._clock.monotonic()) >= 0 and self._clock.wait_readable([link.fileno()], left):
            answer = link.recv(65_536)
            if not answer:
                raise ConnectionResetError(errno.ECONNRESET, "the server has gone before it answered", self._path)
            sequence, reason = read_answer(answer)
            if sequence in sequences:
                return reason
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {self._limit} s from the server", self._path)

    def _abandon(self, link: socket.socket) -> bool:
        """Hangs up for both sides; returns whether the answer came all the same, and so the request is registered.

        An answer after this fails on the server's side, which then takes the request back.
        """
        try:
            link.shutdown(socket.SHUT_RDWR)
            while answer := link.recv(65_536):
                sequence, reason = read_answer(answer)
                if sequence == self._sequence:
                    return reason is None
        except OSError:
            pass  # it was broken
        finally:
            self.hang_up()
        return False

    def _connect(self) -> socket.socket:
        """Opens the connection and says hello, or raises ConnectionError once it has looked for long enough."""
        started = start_ticks(self.pid)
        for attempt in range(OPEN_ATTEMPTS):
            if attempt:
                self._clock.sleep(OPEN_INTERVAL)
            link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            link.settimeout(0)
            try:
                link.connect(self._path)
            except OSError as error:
                link.close()
                what = error.strerror or str(error)
                continue
            self._socket = link
            try:
                self._greet(link, started)
            except (BrokenPipeError, ConnectionResetError) as error:  # a server that ends, or has too many connections
                what = error.strerror or str(error)
                continue
            return link
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"no SocketTimerServer answers: {what}", self._path)

    def _greet(self, link: socket.socket, started: int) -> None:
        reason = self._ask(link, lambda sequence: request_packet(Kind.HELLO, sequence, started), is_hello=True)
        if reason is not None:
            self.hang_up()
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"the server refused this process: {reason}", self._path)

    def hang_up(self) -> None:
        """Closes this process's end, if it is open."""
        link, self._socket = self._socket, None
        if link is not None:
            link.close()


class SocketTimerServer(SequencedTimerServer):
    """The watchdog of `SocketTimerClient`s, with a socket at `path`. Linux only.

    The kernel says who speaks, so that nobody but root has another killed; an acquire is answered when it is armed.
    An end of a connection disarms nothing, since a worker's child may still hold it: a worker is gone when the kernel
    says so. `stop` takes the socket away and keeps the timers; `start` guards them again.

    >>> import tempfile
    >>> server = SocketTimerServer(tempfile.mkdtemp() + "/timers", max_interval=60)
    >>> server.start(); server.stop()
    """

    def __init__(
        self,
        path: str,
        max_interval: float = 60,
        daemon: bool = True,  # noqa: FBT001, FBT002 - as in the other servers
        *,
        clock: Clock | None = None,
        reaper: ProcessReaper | None = None,
    ) -> None:
        self._socket = SocketRequestQueue(path, clock=clock)
        super().__init__(self._socket, max_interval, daemon, clock=clock, reaper=reaper)

    def start(self) -> None:
        """Starts the watchdog; nothing changes where it runs already."""
        self._socket.open()
        super().start()

    def stop(self) -> None:
        """Stops the watchdog and takes the socket away; when this returns, nothing is reaped any more.

        What had arrived is answered, and known when it is started again.
        """
        super().stop()
        self._socket.close()

    def _take_leave(self) -> None:
        self.register_timers(self._take_arrived())
