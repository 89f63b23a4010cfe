"""Take a pcapng file and its packets apart, strictly and without the product's help."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Block", "Segment", "blocks", "segments"]

#: Where the options of each kind of block begin
_FIXED = {0x0A0D0D0A: 16, 1: 8, 5: 12}
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block; a packet has `data`, the others have none."""

    kind: int
    fixed: bytes
    options: tuple[tuple[int, bytes], ...]
    data: bytes = b""

    def option(self, code: int) -> list[bytes]:
        """Give the values of an option."""
        return [value for found, value in self.options if found == code]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A TCP segment; its checksums were found right, unless it was cut."""

    interface: int
    micros: int
    source: tuple[bytes, int]
    destination: tuple[bytes, int]
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    payload: bytes
    length: int
    comments: tuple[str, ...]
    inbound: bool


def blocks(data: bytes) -> list[Block]:
    """Cut a file into blocks; AssertionError for anything out of place."""
    found = []
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert size >= 12
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        body = data[at + 8 : at + size - 4]
        at += size
        if kind == _PACKET:
            captured = struct.unpack_from("<I", body, 12)[0]
            end = 20 + captured
            assert not any(body[end : end + -captured % 4])
            found.append(
                Block(kind=kind, fixed=body[:20], options=_options(body[end + -captured % 4 :]), data=body[20:end])
            )
        else:
            fixed = _FIXED[kind]
            found.append(Block(kind=kind, fixed=body[:fixed], options=_options(body[fixed:])))
    assert at == len(data)
    assert [block.kind for block in found[:3]] == [_SECTION, _INTERFACE, _INTERFACE]
    assert struct.unpack("<IHHq", found[0].fixed) == (0x1A2B3C4D, 1, 0, -1)
    return found


def _options(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while True:
        code, length = struct.unpack_from("<HH", data, at)
        at += 4
        if code == 0:
            assert length == 0
            assert at == len(data)
            return tuple(found)
        found.append((code, data[at : at + length]))
        assert not any(data[at + length : at + length + -length % 4])
        at += length + -length % 4


def segments(data: bytes) -> list[Segment]:
    """Read the packets of a file as TCP segments."""
    return [_segment(block) for block in blocks(data) if block.kind == _PACKET]


def _segment(block: Block) -> Segment:
    interface, high, low, captured, original = struct.unpack("<IIIII", block.fixed)
    packet = block.data
    if packet[0] >> 4 == 4:
        assert struct.unpack(">H", packet[2:4]) == (original,)
        assert _words(packet[:20]) == 0xFFFF
        assert packet[9] == 6
        source, destination, tcp, rest = packet[12:16], packet[16:20], packet[20:], original - 20
    else:
        assert struct.unpack(">IHBB", packet[:8]) == (6 << 28, original - 40, 6, 64)
        source, destination, tcp, rest = packet[8:24], packet[24:40], packet[40:], original - 40
    if captured == original:
        assert _words(source + destination + struct.pack(">HH", 6, rest) + tcp) == 0xFFFF
    own, other, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", tcp[:16])
    start = offset >> 4 << 2
    return Segment(
        interface=interface,
        micros=high << 32 | low,
        source=(source, own),
        destination=(destination, other),
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        options=tcp[20:start],
        payload=tcp[start:],
        length=rest - start,
        comments=tuple(comment.decode() for comment in block.option(1)),
        inbound=block.option(2) == [struct.pack("<I", 1)],
    )


def _words(data: bytes) -> int:
    """Add 16-bit words with end-around carry, the slow and certain way."""
    data += bytes(len(data) % 2)
    total = 0
    for (word,) in struct.iter_unpack(">H", data):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total
