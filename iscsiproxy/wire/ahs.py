"""Additional header segments (RFC 7143 11.2.2).

`AHSLength(2) | AHSType(1) | specific (AHSLength bytes) | 0..3 bytes of padding`

AHSLength counts the specific bytes alone: neither the three bytes before them nor the padding behind. A segment keeps
its exact bytes, so that unknown types, reserved bits and odd padding survive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from iscsiproxy.errors import AhsError

__all__ = ["Ahs", "AhsType", "encode_ahs", "extended_cdb", "parse_ahs", "split_ahs"]

#: AHSLength and AHSType (RFC 7143 11.2.2.1, 11.2.2.2)
_PREFIX = 3
#: The six bits of byte 2 that are the type (RFC 7143 11.2.2.1)
_TYPE_MASK = 0x3F
#: How much of a CDB is in the BHS itself (RFC 7143 11.3.5)
_BHS_CDB = 16
#: AHSLength of a Bidirectional Read EDTL: a reserved byte and the number (RFC 7143 11.2.2.4)
_BIDI_LENGTH = 5


class AhsType(IntEnum):
    """The assigned AHS types (RFC 7143 11.2.2.1)."""

    EXTENDED_CDB = 1
    BIDIRECTIONAL_READ_EDTL = 2


_LABELS = {AhsType.EXTENDED_CDB: "ExtendedCDB", AhsType.BIDIRECTIONAL_READ_EDTL: "BidirectionalReadEDTL"}


@dataclass(frozen=True, slots=True)
class Ahs:
    """One segment; `raw` is all of its bytes, padding included."""

    raw: bytes

    @classmethod
    def build(cls, ahs_type: int, specific: bytes) -> Ahs:
        """Make a segment with right length and zero padding.

        Raises ValueError if the type does not fit six bits or the length 16.
        """
        if not 0 <= ahs_type <= _TYPE_MASK or len(specific) > 0xFFFF:
            raise ValueError(
                f"an AHS has a type of 0..63 and up to 65535 bytes, not type {ahs_type}, {len(specific)} bytes"
            )
        used = len(specific).to_bytes(2, "big") + bytes([ahs_type]) + specific
        return cls(used + bytes(-len(used) & 3))

    @classmethod
    def for_cdb(cls, cdb: bytes) -> Ahs:
        """Make the Extended CDB segment of a CDB longer than 16 bytes (RFC 7143 11.2.2.3), whole CDB given.

        Raises ValueError for a CDB of 16 bytes or fewer, which must not have one.
        """
        if len(cdb) <= _BHS_CDB:
            raise ValueError(f"only a CDB longer than 16 bytes has an extended part, not one of {len(cdb)}")
        return cls.build(AhsType.EXTENDED_CDB, b"\0" + cdb[_BHS_CDB:])

    @classmethod
    def for_read_edtl(cls, length: int) -> Ahs:
        """Make the Bidirectional Read Expected Data Transfer Length segment (RFC 7143 11.2.2.4)."""
        return cls.build(AhsType.BIDIRECTIONAL_READ_EDTL, b"\0" + length.to_bytes(4, "big"))

    @property
    def type(self) -> int:
        """AHSType, six bits."""
        return self.raw[2] & _TYPE_MASK

    @property
    def label(self) -> str:
        """The name of the type; an unassigned one is `AHS-0x..`."""
        return _LABELS.get(self.type) or f"AHS-0x{self.type:02x}"  # type: ignore[call-overload]

    @property
    def length(self) -> int:
        """AHSLength: how many specific bytes there are."""
        return int.from_bytes(self.raw[:2], "big")

    @property
    def specific(self) -> bytes:
        """The bytes between the type and the padding."""
        return self.raw[_PREFIX : _PREFIX + self.length]

    @property
    def pad(self) -> bytes:
        """The padding."""
        return self.raw[_PREFIX + self.length :]

    @property
    def cdb(self) -> bytes | None:
        """What an Extended CDB adds to the CDB; None for other types (RFC 7143 11.2.2.3)."""
        return self.specific[1:] if self.type == AhsType.EXTENDED_CDB else None

    @property
    def read_edtl(self) -> int | None:
        """The read length of a bidirectional command, in bytes; None for other types and wrong lengths (11.2.2.4)."""
        if self.type != AhsType.BIDIRECTIONAL_READ_EDTL or self.length != _BIDI_LENGTH:
            return None
        return int.from_bytes(self.specific[1:], "big")


def split_ahs(ahs: bytes) -> tuple[tuple[Ahs, ...], bytes]:
    """Cut the AHS bytes of a PDU into segments, and give what is left where a length does not fit."""
    segments = []
    at = 0
    while len(ahs) - at >= _PREFIX:
        used = _PREFIX + int.from_bytes(ahs[at : at + 2], "big")
        end = at + (used + 3 & ~3)
        if end > len(ahs):
            break
        segments.append(Ahs(ahs[at:end]))
        at = end
    return tuple(segments), ahs[at:]


def parse_ahs(ahs: bytes) -> tuple[Ahs, ...]:
    """Cut the AHS bytes of a PDU into segments.

    Raises AhsError where a segment does not fit what is there.
    """
    segments, rest = split_ahs(ahs)
    if rest:
        at = len(ahs) - len(rest)
        if len(rest) < _PREFIX:
            raise AhsError(f"AHS at byte {at}: expected at least {_PREFIX} bytes, got {len(rest)}")
        length = int.from_bytes(rest[:2], "big")
        needed = _PREFIX + length + 3 & ~3
        raise AhsError(f"AHS at byte {at}: AHSLength {length} needs {needed} bytes, got {len(rest)}")
    return segments


def encode_ahs(segments: Iterable[Ahs]) -> bytes:
    """Join segments to the AHS bytes of a PDU."""
    return b"".join(segment.raw for segment in segments)


def extended_cdb(ahs: bytes) -> bytes:
    """Give the CDB bytes behind the sixteenth; empty if there are none, or if they cannot be found."""
    if not ahs:
        return b""
    for segment in split_ahs(ahs)[0]:
        if segment.cdb is not None:
            return segment.cdb
    return b""
