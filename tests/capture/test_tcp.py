from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.capture import pcapng
from iscsiproxy.capture.tcp import ACK, FIN, PSH, RST, SYN, Endpoint, Stream, endpoint, payload_sum
from tests.capture.blocks import Segment, segments

__all__: list[str] = []

STAND_IN = Endpoint(b"\0\0\0\0", 0)
V4 = (Endpoint(bytes([192, 0, 2, 1]), 40000), Endpoint(bytes([192, 0, 2, 2]), 3260))
V6 = (Endpoint(bytes(15) + b"\1", 40000), Endpoint(bytes([0x20, 1]) + bytes(14), 3260))
HEAD = pcapng.section_header() + pcapng.interface("a") + pcapng.interface("b")


def seen(header: bytes, payload: bytes = b"", length: int | None = None) -> Segment:
    """Read a segment back, which looks at its checksums; `length` is that of the payload if that was cut."""
    size = len(header) + len(payload)
    head, tail = pcapng.enhanced_packet(0, 0, size, size if length is None else len(header) + length)
    [segment] = segments(HEAD + head + header + payload + tail)
    return segment


def send(stream: Stream, sender: int, flags: int, payload: bytes = b"") -> Segment:
    return seen(stream.segment(sender, flags, len(payload), payload_sum((payload,))), payload)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.7:3260", "c0000207", 3260),
        ("[::1]:3261", "00000000000000000000000000000001", 3261),
        ("[fe80::2%eth0]:65535", "fe800000000000000000000000000002", 65535),
        ("[::ffff:127.0.0.1]:1", "00000000000000000000ffff7f000001", 1),
    ],
)
def test_numeric_addresses_are_read(text: str, address: str, port: int) -> None:
    assert endpoint(text, STAND_IN) == Endpoint(bytes.fromhex(address), port)


@pytest.mark.parametrize(
    "text", ["", "host:3260", "192.0.2.7", "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:65536", "memory"]
)
def test_others_are_not(text: str) -> None:
    assert endpoint(text, STAND_IN) is STAND_IN


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_connection_from_its_first_to_its_last_segment(ends: tuple[Endpoint, Endpoint]) -> None:
    stream = Stream(*ends, first=0xFFFFFFF0)
    client, server = ((end.address, end.port) for end in ends)
    expected = [
        (0, SYN, b"", 0xFFFFFFF0, 0),
        (1, SYN | ACK, b"", 0xFFFFFFF0, 0xFFFFFFF1),
        (0, ACK, b"", 0xFFFFFFF1, 0xFFFFFFF1),
        (0, PSH | ACK, b"x" * 20, 0xFFFFFFF1, 0xFFFFFFF1),
        (1, PSH | ACK, b"odd", 0xFFFFFFF1, 5),
        (1, ACK, b"y", 0xFFFFFFF4, 5),
        (0, FIN | ACK, b"", 5, 0xFFFFFFF5),
        (1, ACK, b"", 0xFFFFFFF5, 6),
        (1, RST | ACK, b"", 0xFFFFFFF5, 6),
    ]
    for sender, flags, payload, seq, ack in expected:
        segment = send(stream, sender, flags, payload)
        assert (segment.source, segment.destination) == ((client, server) if sender == 0 else (server, client))
        assert (segment.flags, segment.payload, segment.seq, segment.ack) == (flags, payload, seq, ack)
    assert repr(stream) == "<Stream 40000 -> 3260 next 6, 4294967285>"


def test_the_handshake_agrees_on_windows_that_never_fill() -> None:
    stream = Stream(*V4)
    for sender, flags in ((0, SYN), (1, SYN | ACK)):
        assert send(stream, sender, flags).options == struct.pack(">BBHBBBB", 2, 4, 61440, 1, 3, 3, 14)
    assert send(stream, 0, ACK).window << 14 > 1 << 29


def test_acknowledgements_are_never_repeated_in_a_row() -> None:
    stream = Stream(*V4, first=100)
    acks = [send(stream, 1, ACK).ack for _ in range(4)]
    assert acks == [100, 99, 100, 99]


def test_mixed_families_become_IPv6() -> None:
    segment = send(Stream(V4[0], V6[1]), 0, SYN)
    assert segment.source == (bytes(10) + b"\xff\xff" + V4[0].address, 40000)


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_the_sum_does_not_depend_on_the_parts(parts: list[bytes]) -> None:
    assert payload_sum(parts) == payload_sum((b"".join(parts),))


@pytest.mark.parametrize("length", [0, 1, 2, 3839, 3840, 3841, 7680, 7681, 61439, 61440])
def test_payloads_of_all_sizes_have_right_checksums(length: int) -> None:
    payload = bytes(at * 31 + at // 256 & 0xFF for at in range(length))
    for ends in (V4, V6):
        assert send(Stream(*ends), 0, PSH | ACK, payload).payload == payload
    assert payload_sum((payload,)) == payload_sum((memoryview(payload)[:1000], payload[1000:]))


@pytest.mark.parametrize("payload", [b"", b"\0\0", b"\xff\xff"])
@pytest.mark.parametrize("ack", range(0xFFFF - 8, 0xFFFF + 8))
def test_sums_around_zero(payload: bytes, ack: int) -> None:
    stream = Stream(Endpoint(bytes(4), 0), Endpoint(bytes(4), 0), first=ack)
    send(stream, 0, PSH | ACK, payload)
