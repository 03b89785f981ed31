"""The packets of the socket: a client's requests and a server's answers, as bytes."""

import struct
from enum import IntEnum

VERSION = 1
"""What both sides speak: the first byte of each packet."""

LONGEST_SCOPE = 16_384
"""Bytes of the longest scope, in UTF-8."""

_REQUEST = struct.Struct("!BBQd")
_ANSWER = struct.Struct("!BBQ")

LONGEST_PACKET = _REQUEST.size + LONGEST_SCOPE


class Kind(IntEnum):
    """What a client says: who it is, or a request."""

    HELLO = 0
    REQUEST = 1


def request_packet(kind: Kind, sequence: int, number: float, scope: str = "") -> bytes:
    """Returns a client's packet.

    `number` is a request's expiration in seconds since the epoch, negative for a release; of a hello it is
    when the client's process started, in ticks of the kernel. Raises ValueError for a scope that is too long.

    >>> read_request(request_packet(Kind.REQUEST, 3, 60.0, "load"))
    (<Kind.REQUEST: 1>, 3, 60.0, 'load')
    """
    text = scope.encode()
    if len(text) > LONGEST_SCOPE:
        raise ValueError(f"a scope has at most {LONGEST_SCOPE} bytes in UTF-8: {len(text)} in {scope[:40]!r}…")
    return _REQUEST.pack(VERSION, kind, sequence, number) + text


def read_request(packet: bytes) -> tuple[Kind, int, float, str]:
    """Reads a client's packet; raises ValueError with the reason where it is none."""
    if not packet or packet[0] != VERSION:
        raise ValueError(f"the version is {VERSION}: {packet[:1]!r}")
    if not _REQUEST.size <= len(packet) <= LONGEST_PACKET:
        raise ValueError(f"a packet has from {_REQUEST.size} to {LONGEST_PACKET} bytes: {len(packet)}")
    _, kind, sequence, number = _REQUEST.unpack_from(packet)
    return Kind(kind), sequence, number, packet[_REQUEST.size :].decode()


def answer_packet(sequence: int, reason: str | None = None) -> bytes:
    """Returns the server's answer to the request with this `sequence`; `reason` says why it was refused.

    >>> read_answer(answer_packet(3, "no such process")), read_answer(answer_packet(4))
    ((3, 'no such process'), (4, None))
    """
    return _ANSWER.pack(VERSION, reason is not None, sequence) + (reason or "").encode()


def read_answer(packet: bytes) -> tuple[int, str | None]:
    """Reads a server's answer: its sequence, and why the request was refused; raises ValueError where it is none."""
    if len(packet) < _ANSWER.size or packet[0] != VERSION:
        raise ValueError(f"no answer of a server that speaks version {VERSION}: {packet[:16]!r}")
    _, is_refused, sequence = _ANSWER.unpack_from(packet)
    return sequence, packet[_ANSWER.size :].decode() if is_refused else None
