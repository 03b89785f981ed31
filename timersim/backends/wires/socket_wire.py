"""The wire of the socket timers: calls that return when the server has answered, while the clock waits for them."""

import math
import pickle
import socket
from collections import deque
from typing import Any

from timersim.backends.private_path import SOCKET_PATH, PrivatePath
from timersim.backends.wires.wire import REFUSED_WHILE_STOPPED, SURVIVED, Call, Line, Wire
from timersim.backends.workers.pool import PoolError, Worker
from timersim.fakes.clock import VirtualClock
from timersim.fakes.servers import Server, ServerError
from timersim.fakes.waiting import HoldTimeout
from timersim.lab.contract import Contract
from timersim.lab.record import Answered
from timersim.socket_queue import SocketConnection
from timersim.socket_timer import SocketTimerServer


class SocketWire(Wire):
    """Workers that are connected to the server's socket.

    While the server is paused a worker waits in its call, a real process in a real wait. While the server is stopped
    there is no socket, and a call is refused.
    """

    server = SocketTimerServer
    seldom = REFUSED_WHILE_STOPPED

    def __init__(self, *, is_real_time: bool = False) -> None:
        self._place = PrivatePath("socket", longest=SOCKET_PATH)

    @staticmethod
    def contract(*, is_ours: bool, max_interval: int) -> Contract:
        within = 0 if is_ours else max_interval
        survives = SURVIVED if is_ours else frozenset[str]()
        return Contract(reap_within=within, retry_within=max_interval, order="sequence", survives=survives)

    def to_pass(self) -> tuple[Any, list[int]]:
        return pickle.dumps(self.address), []

    @property
    def address(self) -> Any:
        return "socket", self._place.path

    def arguments(self, max_interval: float) -> dict[str, Any]:
        return {"path": self._place.path, "max_interval": max_interval}

    def line(self, clock: VirtualClock, max_interval: int) -> Line:
        line = _SocketLine(clock)
        line.arguments = self.arguments(max_interval)
        return line

    def close(self) -> None:
        self._place.close()


class _SocketLine(Line):
    """Follows each call until it has returned.

    A worker says that it waits once its packet lies in the server's socket. Whenever the server has answered it, or
    hung up, the server's task goes on only when the worker has said what it does next: so nothing is under way at an
    instant that the clock could not see.
    """

    returns_late = True

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self._calls: dict[int, _SocketCall] = {}
        self._returned: deque[int] = deque()
        self._is_stopping = False
        self._broken: PoolError | HoldTimeout | None = None
        clock.spawn(self._tell, name="calls that return")

    def watch(self, server: Server) -> None:
        """Listens in on the server's connections, and on its stop, which hangs up on whoever waits for an answer."""
        if not isinstance(server, SocketTimerServer):
            kind = type(server).__name__
            raise ServerError(f"on a socket the server is a SocketTimerServer, or a subclass of it: {kind} is none")
        stop = server.stop

        def stop_and_hang_up() -> None:
            self._is_stopping = True
            stop()
            for call in list(self._calls.values()):
                self._hear(call)
            self._is_stopping = False

        server.stop = stop_and_hang_up  # type: ignore[method-assign]  # this server's alone
        server._socket.connect = lambda accepted: _HeardConnection(accepted, self)

    def make(self, call: Call) -> None:
        following = self._calls[call.process.pid] = _SocketCall(call)
        self._follow(following, call.make())

    def is_calling(self, process: Worker) -> bool:
        return process.pid in self._calls

    def forget(self, process: Worker) -> None:
        super().forget(process)
        self._calls.pop(process.pid, None)

    def answered(self, pid: int, reason: str | None) -> None:
        """Lets a worker go on that was answered, and has the server's task wait until it has."""
        following = self._calls.get(pid)
        if following is None:
            return  # a worker of nobody
        if following.has_asked:
            call = following.call
            self.recorder.enter(Answered, call.number, reason or "", self.table.is_armed(*call.key))
        self._hear(following)

    def _hear(self, following: "_SocketCall") -> None:
        """Waits for what the worker says next; what goes wrong ends the run, which the server would not let pass."""
        try:
            self._follow(following, following.call.hear())
        except (PoolError, HoldTimeout) as error:
            self._broken = error

    def _follow(self, following: "_SocketCall", said: bytes) -> None:
        call = following.call
        if said == b"asks" and not following.has_asked:
            following.has_asked = True
            if call.process.pid in self._crashing:
                said = b"flushed"
            else:
                self.has_arrived(call)
        if said in {b"buffered", b"flushed"}:
            self.has_stopped(call, said)
            return
        if said in {b"asks", b"greets"}:
            return
        del self._calls[call.process.pid]
        if not following.has_asked:
            self.was_refused(call)
        self._returned.append(call.worker)

    def _tell(self) -> None:
        """Tells of each call that has returned, at the instant at which it has, once the server waits or has stopped.

        What its worker sent before would lie in the socket on which the server is about to hang up.
        """
        while self.clock.wait(lambda _: self._has_news(), math.inf):
            if self._broken is not None:
                raise self._broken
            self.returned(self._returned.popleft())

    def _has_news(self) -> bool:
        return self._broken is not None or (bool(self._returned) and not self._is_stopping)


class _SocketCall:
    """A call that has not returned, and whether its request has been sent; before that it greets a new server."""

    __slots__ = ("call", "has_asked")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.has_asked = False


class _HeardConnection(SocketConnection):
    """A connection on which the run hears the answers."""

    __slots__ = ("_line",)

    def __init__(self, accepted: socket.socket, line: _SocketLine) -> None:
        super().__init__(accepted)
        self._line = line

    def answer(self, sequence: int, reason: str | None = None) -> bool:
        is_there = super().answer(sequence, reason)
        if is_there and self.incarnation is not None:
            self._line.answered(self.incarnation.pid, reason)
        return is_there
