"""Write a small pcapng by hand: packets of our choice, to test the reader of captures with.

Knows nothing of the product's own writer. Packets are raw IPv4 with TCP on 127.0.0.1, their checksums left zero, as
network cards that compute them leave them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Packet", "pcapng", "segment"]

_LINKTYPE_IPV4 = 228
_PSH_ACK = 0x18

_IF_NAME = 2
_COMMENT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet of the capture: on which interface (by number) and with which comments."""

    data: bytes
    interface: int = 0
    comments: Sequence[str] = ()


def segment(*, source: int, destination: int, seq: int, payload: bytes, ack: int = 1) -> bytes:
    """Return an IPv4 packet with a TCP segment."""
    tcp = struct.pack(">HHIIBBHHH", source, destination, seq, ack, 5 << 4, _PSH_ACK, 0xFFFF, 0, 0)
    loopback = bytes([127, 0, 0, 1])
    length = 20 + len(tcp) + len(payload)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 6, 0, loopback, loopback)
    return ip + tcp + payload


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(code: int, values: Iterable[str]) -> bytes:
    """Return options of one code, and the end of options if there is any."""
    encoded = b"".join(struct.pack("<HH", code, len(value.encode())) + _padded(value.encode()) for value in values)
    return encoded + bytes(4) if encoded else b""


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def pcapng(interfaces: Sequence[str], packets: Iterable[Packet]) -> bytes:
    """Return a whole file. The packets are a millisecond apart."""
    blocks = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    blocks += [_block(1, struct.pack("<HHI", _LINKTYPE_IPV4, 0, 0) + _options(_IF_NAME, [name])) for name in interfaces]
    for number, packet in enumerate(packets):
        length = len(packet.data)
        header = struct.pack("<IIIII", packet.interface, 0, number * 1000, length, length)
        blocks.append(_block(6, header + _padded(packet.data) + _options(_COMMENT, packet.comments)))
    return b"".join(blocks)
