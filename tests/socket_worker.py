"""A process that does what it is told, line by line, for the tests of the socket: `python socket_worker.py PATH`.

Each line is an expression, evaluated with the names of this module; the answer is the repr of its value, or
the type and text of what it raised.
"""

import json
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence

from timersim import SocketTimerClient, SocketTimerServer, SystemClock, expires
from timersim.incarnation import start_ticks
from timersim.socket_packets import Kind, read_answer, request_packet

path = sys.argv[1] if len(sys.argv) > 1 else ""
client = SocketTimerClient(path)
connections: list[socket.socket] = []
"""Raw connections that are kept open."""

LIMIT = 10.0


class Interrupting(SystemClock):
    """A clock on which the wait with this `number` is interrupted: at once, or `late`, with the answer there."""

    def __init__(self, number: int, *, late: bool = False) -> None:
        self.number = number
        self.late = late

    def wait_readable(self, fds: Sequence[int], timeout: float) -> list[int]:
        """Waits, or raises KeyboardInterrupt."""
        self.number -= 1
        if self.number != -1:
            return super().wait_readable(fds, timeout)
        if self.late:
            super().wait_readable(fds, timeout)
        raise KeyboardInterrupt("now")


def opened() -> socket.socket:
    """Opens a connection on which nothing is said."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    raw.settimeout(LIMIT)
    raw.connect(path)
    connections.append(raw)
    return raw


def greeted(ticks: float | None = None) -> socket.socket:
    """Opens a connection and says hello."""
    raw = opened()
    answer = say(raw, 1, start_ticks(os.getpid()) if ticks is None else ticks, kind=Kind.HELLO)
    if answer != (1, None):
        raise RuntimeError(str(answer))
    return raw


def say(
    raw: socket.socket, sequence: int, number: float, scope: str = "", kind: Kind = Kind.REQUEST
) -> tuple[int, str | None]:
    """Sends a packet and returns the answer."""
    raw.send(request_packet(kind, sequence, number, scope))
    assert select.select([raw], [], [], LIMIT)[0]
    return read_answer(raw.recv(65_536))


def inherited() -> socket.socket:
    """Returns the connection of the client of this process, or of its parent's."""
    assert client._link._socket is not None
    return client._link._socket


def in_a_child(target: Callable[[], object], *, orphan: bool = False) -> object:
    """Returns what `target` returned in a forked child; with `orphan` its parent, the client's owner, dies first."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if orphan:
            client.acquire("s", 2e6)
            mine = os.getpid()
            if os.fork():
                os.kill(os.getpid(), signal.SIGKILL)
            while os.getppid() == mine:
                time.sleep(0.001)
        try:
            said = target()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, json.dumps([said, os.getpid()]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = json.loads(answers.read())
    os.waitpid(pid, 0)
    return (*answer, pid) if orphan else tuple(answer)


def killed_after(target: Callable[[], object]) -> int:
    """Forks a child that is killed the moment `target` has returned, and returns its pid."""
    pid = os.fork()
    if pid == 0:
        target()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    return pid


def told_over_a_passed_descriptor(number: float) -> object:
    """Passes the client's connection to a process that has not inherited it, which speaks on it."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = socket.recv_fds(its, 10, 1)[1][0]
        said = say(socket.socket(fileno=fd), 99, number, "s")
        os.write(writer, json.dumps([said, os.getpid()]).encode())
        os._exit(0)
    client.acquire("s", 2e6)
    socket.send_fds(mine, [b"x"], [inherited().fileno()])
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = json.loads(answers.read())
    os.waitpid(pid, 0)
    mine.close()
    its.close()
    return answer


def passes_descriptors(number: int) -> int:
    """Sends descriptors along with `number` packets that are none, and returns how many were refused."""
    raw = opened()
    refused = 0
    for _ in range(number):
        socket.send_fds(raw, [b"\0"], [0, 1, 2])
        assert select.select([raw], [], [], LIMIT)[0]
        refused += read_answer(raw.recv(65_536))[1] is not None
    return refused


def seconds(target: Callable[[], object]) -> object:
    """Returns what `target` raised, and how long it took."""
    began = time.monotonic()
    said = ""
    try:
        target()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    return said, time.monotonic() - began


def overfill(raw: socket.socket, first: int) -> int:
    """Sends requests until there is no room, reads no answer, and returns how many fitted in."""
    raw.settimeout(0)
    for number in range(first, first + 10_000):
        try:
            raw.send(request_packet(Kind.REQUEST, number, 2e6, "flood"))
        except BlockingIOError:
            break
    return number - first


def threaded(threads: int, rounds: int) -> list[str]:
    """Uses one client in several threads, half of them with requests to be refused; returns wrong outcomes."""
    wrong: list[str] = []

    def use(index: int) -> None:
        bad = index % 2 == 0
        for number in range(rounds):
            try:
                client.acquire(f"{index}.{number}", float("nan") if bad else 2e6)
                outcome = "armed"
            except Exception as error:
                outcome = str(error)
            expected = "the server refused the request: expiration_time is not a number of seconds: nan"
            if outcome != (expected if bad else "armed"):
                wrong.append(outcome)

    started = [threading.Thread(target=use, args=(index,)) for index in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(LIMIT)
    return wrong


def _hostile(source: random.Random, *, is_greeted: bool) -> bytes:
    """Draws a packet; what could arm a timer of this process in the past is never drawn."""
    number = source.choice([float("nan"), float("inf"), float("-inf"), 1e308, 2e9, -1.0])
    sequence = source.choice([0, 1, source.randrange(2**32), 2**64 - 1])
    good = request_packet(Kind.REQUEST, sequence, number, source.choice(["", "s", "ß" * 40]))
    match source.randrange(9):
        case 0:
            return b""
        case 1:
            return source.randbytes(source.randrange(1, 60)) if not is_greeted else b"\x07" + source.randbytes(30)
        case 2:
            return bytes([source.randrange(2, 256)]) + good[1:]
        case 3:
            return good[:1] + bytes([source.randrange(2, 256)]) + good[2:]
        case 4:
            return good[: source.randrange(18)]
        case 5:
            return good + source.choice([b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"])
        case 6:
            return good + b"x" * source.choice([16_385, 20_000])
        case 7:
            flipped = bytearray(good)
            where = source.choice([at for at in range(len(good)) if not (is_greeted and 10 <= at < 18)])
            flipped[where] ^= 1 << source.randrange(8)
            return bytes(flipped)
        case _:
            return struct.pack("!BBQd", 1, source.randrange(2), sequence, number)


def attack(seed: int, packets: int) -> int:
    """Sends hostile packets, over connections that are opened, greeted or not, and dropped; returns how many."""
    source = random.Random(seed)
    sent = 0
    while sent < packets:
        is_greeted = source.random() < 0.5
        raw = greeted() if is_greeted else opened()
        connections.remove(raw)
        for _ in range(min(source.randrange(60), packets - sent)):
            try:
                raw.send(_hostile(source, is_greeted=is_greeted))
            except OSError:
                break
            sent += 1
            if source.random() < 0.9 and select.select([raw], [], [], 0)[0]:
                raw.recv(65_536)
        raw.close()
    return sent


def guarded(after: float) -> None:
    """Hangs in its second block."""
    with expires(after=60, scope="first", client=client):
        pass
    with expires(after=after, scope="second", client=client):
        time.sleep(1000)


def serve() -> SocketTimerServer:
    """Starts a server in this process."""
    global server
    server = SocketTimerServer(path, max_interval=60)
    server.start()
    return server


server: SocketTimerServer

if __name__ == "__main__":
    for line in sys.stdin:
        try:
            answer = repr(eval(line))
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        print(answer, flush=True)  # noqa: T201 - to who told it
