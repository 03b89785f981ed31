"""The packets of the socket: what is read is what was written, and nothing else is read."""

import inspect
import math
import struct

import pytest

from timersim.socket_packets import (
    LONGEST_PACKET,
    LONGEST_SCOPE,
    Kind,
    answer_packet,
    read_answer,
    read_request,
    request_packet,
)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("sequence", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("number", [-1.0, -0.0, 1e308, math.inf, -math.inf])
@pytest.mark.parametrize("scope", ["", "load", "ß\n\0", "s" * LONGEST_SCOPE])
def test_a_request_is_read_as_it_was_written(kind: Kind, sequence: int, number: float, scope: str) -> None:
    """A packet tells its kind, its sequence, its number and its scope."""
    assert read_request(request_packet(kind, sequence, number, scope)) == (kind, sequence, number, scope)


def test_a_request_has_no_field_for_a_pid() -> None:
    """Nobody can name another process: who speaks is not in a packet."""
    assert list(inspect.signature(request_packet).parameters) == ["kind", "sequence", "number", "scope"]
    assert request_packet(Kind.REQUEST, 3, 60.0, "load") == struct.pack("!BBQd", 1, 1, 3, 60.0) + b"load"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", r"the version is 1: b''"),
        (b"\x02" + bytes(17), r"the version is 1: b'\\x02'"),
        (b"\x01" + bytes(16), "a packet has from 18 to 16402 bytes: 17"),
        (b"\x01" + bytes(LONGEST_PACKET), "a packet has from 18 to 16402 bytes: 16403"),
        (b"\x01\x02" + bytes(16), "2 is not a valid Kind"),
        (b"\x01\x01" + bytes(16) + b"\xff", "can't decode"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(packet: bytes, reason: str) -> None:
    """A packet of another version or kind, too short, too long or not text is a ValueError."""
    with pytest.raises(ValueError, match=reason):
        read_request(packet)


@pytest.mark.parametrize("length", [LONGEST_SCOPE - 1, LONGEST_SCOPE, LONGEST_SCOPE + 1])
def test_a_scope_has_a_longest_length(length: int) -> None:
    """A scope of LONGEST_SCOPE bytes is sent; one byte more is refused, counted in UTF-8."""
    scope = "ß" + "s" * (length - 2)
    if length <= LONGEST_SCOPE:
        assert len(request_packet(Kind.REQUEST, 1, 1.0, scope)) == length + 18 <= LONGEST_PACKET
    else:
        with pytest.raises(ValueError, match=r"^a scope has at most 16384 bytes in UTF-8: 16385 in 'ßsss"):
            request_packet(Kind.REQUEST, 1, 1.0, scope)


@pytest.mark.parametrize("sequence", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("reason", [None, "", "not a ß"])
def test_an_answer_is_read_as_it_was_written(sequence: int, reason: str | None) -> None:
    """An answer tells its sequence, and why the request was refused; an empty reason is a refusal too."""
    assert read_answer(answer_packet(sequence, reason)) == (sequence, reason)


@pytest.mark.parametrize("packet", [b"", b"\x02" + bytes(9), b"\x01" + bytes(8)])
def test_what_is_no_answer_is_refused(packet: bytes) -> None:
    """An answer of another version, or one that is cut, is a ValueError."""
    with pytest.raises(ValueError, match=r"^no answer of a server that speaks version 1: "):
        read_answer(packet)
