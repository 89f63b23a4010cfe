"""The blocks of a pcapng file (draft-ietf-opsawg-pcapng), as many of them as are written here.

A section header, one description for each interface, then packets and drop counts. Numbers are little-endian, options
and packets padded to four bytes, times in microseconds since 1970 (the default resolution, and the journal's).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

__all__ = [
    "LINKTYPE_RAW",
    "comment_option",
    "direction_option",
    "drop_count",
    "enhanced_packet",
    "interface",
    "section_header",
]

#: Packets begin with an IPv4 or IPv6 header
LINKTYPE_RAW = 101

_SECTION_HEADER = 0x0A0D0D0A
_INTERFACE = 1
_STATISTICS = 5
_ENHANCED_PACKET = 6
_BYTE_ORDER = 0x1A2B3C4D
_VERSION = (1, 0)
_UNKNOWN_LENGTH = -1

_END_OF_OPTIONS = b"\0\0\0\0"
_COMMENT = 1
_HARDWARE, _SYSTEM, _APPLICATION = 2, 3, 4  # of a section header
_NAME, _DESCRIPTION = 2, 3  # of an interface
_FLAGS = 2  # of a packet
_DROPPED = 5  # of statistics
_INBOUND, _OUTBOUND = 1, 2

_OPTION = Struct("<HH")
_BLOCK = Struct("<II")
_LENGTH = Struct("<I")
_SECTION = Struct("<IHHq")
_DESCRIBED = Struct("<HHI")
_COUNTED = Struct("<III")
_DROPS = Struct("<Q")
_PACKET = Struct("<IIIIIII")
#: What one option holds at most, less than its 16-bit length allows
_MOST_COMMENT = 1 << 12


def section_header(*, hardware: str = "", system: str = "", application: str = "") -> bytes:
    """Make the block that begins a file."""
    options = [
        _option(code, text.encode())
        for code, text in ((_HARDWARE, hardware), (_SYSTEM, system), (_APPLICATION, application))
        if text
    ]
    return _block(_SECTION_HEADER, _SECTION.pack(_BYTE_ORDER, *_VERSION, _UNKNOWN_LENGTH), options)


def interface(name: str, description: str = "", *, linktype: int = LINKTYPE_RAW, snap_length: int = 0) -> bytes:
    """Make the block that describes an interface; they are numbered in their order from 0. No limit is 0."""
    options = [_option(_NAME, name.encode())]
    if description:
        options.append(_option(_DESCRIPTION, description.encode()))
    return _block(_INTERFACE, _DESCRIBED.pack(linktype, 0, snap_length), options)


def comment_option(text: str) -> bytes:
    """Make a comment of a packet; a very long one is cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) > _MOST_COMMENT:
        raw = raw[:_MOST_COMMENT].decode("utf-8", "ignore").encode() + "…".encode()
    return _option(_COMMENT, raw)


def direction_option(*, inbound: bool) -> bytes:
    """Make the option that tells a packet received from one sent."""
    return _option(_FLAGS, _LENGTH.pack(_INBOUND if inbound else _OUTBOUND))


def enhanced_packet(
    number: int, micros: int, captured: int, original: int, options: Iterable[bytes] = ()
) -> tuple[bytes, bytes]:
    """Make what stands before and behind the `captured` bytes of a packet that had `original` bytes on the wire."""
    tail = b"".join((bytes(-captured & 3), *options, _END_OF_OPTIONS))
    size = _PACKET.size + captured + len(tail) + _LENGTH.size
    head = _PACKET.pack(_ENHANCED_PACKET, size, number, micros >> 32, micros & 0xFFFFFFFF, captured, original)
    return head, tail + _LENGTH.pack(size)


def drop_count(number: int, micros: int, count: int, comment: str) -> bytes:
    """Make the block that says that so many packets of an interface were dropped until then."""
    body = _COUNTED.pack(number, micros >> 32, micros & 0xFFFFFFFF)
    return _block(_STATISTICS, body, (comment_option(comment), _option(_DROPPED, _DROPS.pack(count))))


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + value + bytes(-len(value) & 3)


def _block(kind: int, body: bytes, options: Iterable[bytes]) -> bytes:
    body += b"".join((*options, _END_OF_OPTIONS))
    size = _BLOCK.size + len(body) + _LENGTH.size
    return _BLOCK.pack(kind, size) + body + _LENGTH.pack(size)
