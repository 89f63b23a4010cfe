"""Header and data digests: CRC32C as iSCSI puts it on the wire (RFC 7143 11.2.3, 13.1).

The four bytes are the CRC in little-endian order. The header digest covers the BHS and all AHS, the data digest the
data segment with its padding; an empty data segment has no data digest.
"""

from __future__ import annotations

from collections.abc import Iterable

from crc32c import crc32c

__all__ = ["DIGEST_LENGTH", "digest"]

#: Length of a digest (RFC 7143 11.2.3)
DIGEST_LENGTH = 4


def digest(parts: Iterable[bytes | bytearray | memoryview]) -> bytes:
    """Compute the four digest bytes over `parts`, one after another."""
    value = 0
    for part in parts:
        value = crc32c(part, value)
    return value.to_bytes(DIGEST_LENGTH, "little")
