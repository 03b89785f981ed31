"""A Unix socket as a request queue: one connection a worker, and the kernel says who speaks."""

import errno
import math
import resource
import select
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from timersim.clock import Clock
from timersim.descriptor_queue import DescriptorRequestQueue
from timersim.incarnation import Incarnation, start_ticks
from timersim.refusals import Refusals
from timersim.sequenced_server import SequencedRequest
from timersim.socket_packets import LONGEST_PACKET, Kind, answer_packet, read_request

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 1_024
"""How many connections may wait to be accepted, and how many packets of one are read in one go."""

DEAF_INTERVAL = 1.0
"""Seconds without new connections once there is no descriptor for one, unless another one ends."""

_CREDENTIALS = struct.Struct("iII")
"""A `struct ucred`: pid, uid, gid."""

_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size)


class SocketConnection:
    """What connects a worker: its socket, and the incarnation that opened it, once it has said hello."""

    __slots__ = ("incarnation", "sequence", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        self.socket = accepted
        self.incarnation: Incarnation | None = None
        self.sequence = 0

    def answer(self, sequence: int, reason: str | None = None) -> bool:
        """Answers the request with this `sequence`; returns False where nobody waits for the answer any more."""
        try:
            self.socket.send(answer_packet(sequence, reason))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hangs up, for the copies that forks of this process hold too, and gives its descriptors back."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self.incarnation is not None:
            self.incarnation.close()
            self.incarnation = None


class SocketRequestQueue(DescriptorRequestQueue):
    """The listening end of a SEQPACKET socket at `path`; each request is its sender's own.

    The kernel vouches for the sender of every packet (SO_PASSCRED). One that is not the process which opened the
    connection is refused: neither a forked child nor anybody to whom the descriptor was passed speaks for another.
    """

    def __init__(self, path: str, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.path = path
        self.connect: Callable[[socket.socket], SocketConnection] = SocketConnection
        """What makes a connection of an accepted socket: a laboratory listens in on its own."""
        self._listener: socket.socket | None = None
        self._epoll: select.epoll | None = None
        self._connections: dict[int, SocketConnection] = {}
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = 100_000 if descriptors == resource.RLIM_INFINITY else descriptors // 4
        self._deaf_until: float | None = None
        self._refusals = Refusals(self._clock)

    def open(self) -> None:
        """Listens; nothing changes where it does already. Raises OSError where another server does, or a file is."""
        if self._listener is not None:
            return
        self._clear_path()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            listener.settimeout(0)
            listener.bind(self.path)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            what = error.strerror or str(error)
            raise OSError(error.errno or errno.ENAMETOOLONG, f"no socket can be made: {what}", self.path) from None
        self._listener = listener
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)

    def fileno(self) -> int:
        """Returns a descriptor that is readable when the listener is, or a connection."""
        self.open()
        assert self._epoll is not None
        return self._epoll.fileno()

    def _patience(self) -> float:
        return math.inf if self._deaf_until is None else max(0.0, self._deaf_until - self._clock.monotonic())

    def close(self) -> None:
        """Ends every connection, and takes the socket away."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._requests.clear()
        if self._listener is not None and self._epoll is not None:
            self._epoll.close()
            self._listener.close()
            Path(self.path).unlink(missing_ok=True)
        self._listener = self._epoll = self._deaf_until = None
        super().close()

    def _clear_path(self) -> None:
        """Takes away what a server that was killed has left."""
        path = Path(self.path)
        try:
            kind = path.stat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(kind):
            raise FileExistsError(errno.EEXIST, "a socket is made at a path where nothing is, or a socket", self.path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.settimeout(0)
            if caller.connect_ex(self.path) != errno.ECONNREFUSED:
                raise OSError(errno.EADDRINUSE, "another server listens", self.path)
        path.unlink()

    def _read(self) -> None:
        self.open()
        assert self._listener is not None
        assert self._epoll is not None
        if self._deaf_until is not None and self._clock.monotonic() >= self._deaf_until:
            self._deaf_until = None
            self._epoll.register(self._listener, select.EPOLLIN)
        for fd, _ in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept(self._listener, self._epoll)
            elif fd in self._connections:
                self._hear(self._connections[fd])

    def _accept(self, listener: socket.socket, epoll: select.epoll) -> None:
        for _ in range(BACKLOG):
            try:
                accepted = listener.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE} and self._drop_a_silent_one():
                    continue
                self._refusals.log(f"a connection: {error.strerror}")
                epoll.unregister(listener)  # one that can't be served would be readable all the time
                self._deaf_until = self._clock.monotonic() + DEAF_INTERVAL
                return
            connection = self._connections[accepted.fileno()] = self.connect(accepted)
            epoll.register(accepted, select.EPOLLIN)
            self._hear(connection)
            if len(self._connections) > self._most:
                self._drop_a_silent_one()

    def _drop_a_silent_one(self) -> bool:
        """Ends the oldest connection on which nobody has said who he is; returns whether there was one."""
        silent = next((each for each in self._connections.values() if each.incarnation is None), None)
        if silent is not None:
            self._refusals.log("a connection on which nothing was said, since there are too many")
            self._end(silent)
        return silent is not None

    def _hear(self, connection: SocketConnection) -> None:
        """Reads a connection's packets: those that are there, and no more of a flood."""
        for _ in range(BACKLOG):
            try:
                packet, ancillary, _, _ = connection.socket.recvmsg(LONGEST_PACKET + 1, _SPACE)
            except BlockingIOError:
                return
            except OSError:
                self._end(connection)
                return
            if not packet and not _sender(ancillary):
                self._end(connection)
                return
            reason = self._take(connection, packet, _sender(ancillary))
            if reason is not None:
                self._refusals.log(reason)
                if not connection.answer(0, reason):
                    self._end(connection)
                    return

    def _take(self, connection: SocketConnection, packet: bytes, pid: int) -> str | None:
        """Takes a packet that `pid` has sent; returns why it can't be taken, None where it can."""
        try:
            kind, sequence, number, scope = read_request(packet)
        except ValueError as error:
            return f"{error} from pid={pid}"
        if kind is Kind.HELLO:
            return self._greet(connection, pid, number, sequence)
        if connection.incarnation is None:
            return f"a request of pid={pid}, that has not said hello"
        if connection.incarnation.pid != pid:
            return f"pid={pid} speaks on the connection of pid={connection.incarnation.pid}"
        self._requests.append(SequencedRequest(pid, scope, number, sequence, connection))
        return None

    def _greet(self, connection: SocketConnection, pid: int, ticks: float, sequence: int) -> str | None:
        """Ties the connection to the incarnation that says hello, unless its pid has passed to another since."""
        if connection.incarnation is not None:
            return f"pid={pid} says hello a second time"
        try:
            incarnation = Incarnation.of(pid)
        except (OSError, ValueError, OverflowError) as error:
            return f"pid={pid} says hello: {error}"
        try:
            is_the_same = start_ticks(pid) == ticks
        except ProcessLookupError:
            is_the_same = False
        except OSError as error:
            incarnation.close()
            return f"pid={pid} says hello: {error}"
        if not is_the_same:
            incarnation.close()
            return f"pid={pid} says hello, and is not the process that it was then"
        connection.incarnation = incarnation
        connection.answer(sequence)
        return None

    def _end(self, connection: SocketConnection) -> None:
        """Forgets a connection; what it has armed stays armed until it is due, or its worker is dead."""
        self._connections.pop(connection.socket.fileno(), None)
        if self._epoll is not None:
            self._epoll.unregister(connection.socket)  # a copy in a fork of this process would keep it readable
        connection.close()
        self._deaf_until = self._deaf_until and self._clock.monotonic()


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Returns the pid for which the kernel vouches; 0 where there is none."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            return pid
    return 0
