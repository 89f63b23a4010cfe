"""What the journal keeps of a data segment: all of it, a hash of each block, or nothing.

Text, sense data, embedded headers and whatever is tiny (a capacity, a standard inquiry) are kept whole. Everything else
is user data: of that, each 512-byte block of the task's buffer has a hash of 64 bits, placed by BufferOffset, so that
what a read returned can be compared with what was written, in whatever pieces both went.

The hash is XXH3: at 512 bytes it costs less than slicing, seven times less than BLAKE2b and less than CRC32C, which has
only 32 bits and gives the same value for every block that ends with its own CRC32C. It protects against accidents, not
against who makes collisions on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["BLOCK", "HASH", "HASH_LENGTH", "TEXT", "Payload", "Piece", "keeps_data", "payload_of"]

#: The unit of hashing: the smallest logical block of disks
BLOCK = 512
#: The name of the hash, as the journal's first line gives it
HASH = "xxh3-64"
HASH_LENGTH = 8
#: PDUs whose data segment is text (RFC 7143 11.10 to 11.13)
TEXT = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})

#: PDUs whose data segment speaks of the protocol: sense data and headers (RFC 7143 11.4.7, 11.9.4, 11.17.4)
_PROTOCOL = frozenset({Opcode.SCSI_RESPONSE, Opcode.ASYNC, Opcode.REJECT})
_MOST_PROTOCOL = 1024
#: Data this short is kept whatever it is; no disk has such blocks
_TINY = 64
_PLACED = frozenset({Opcode.DATA_OUT, Opcode.DATA_IN})
_ONE = Struct(">Q")


class Piece(NamedTuple):
    """A piece of a data segment that has one hash; `start` is its place in the task's buffer."""

    start: int
    length: int
    hash: bytes

    @property
    def whole(self) -> bool:
        """Tell whether the piece is exactly one block."""
        return self.length == BLOCK and self.start % BLOCK == 0


@dataclass(frozen=True, slots=True)
class Payload:
    """The hashes of a data segment: where it lies in the task's buffer, its length, eight bytes for each piece.

    Pieces end where blocks of the buffer end, so the first and the last may be shorter than a block.
    """

    offset: int
    length: int
    hashes: bytes

    def __repr__(self) -> str:
        return f"Payload(offset={self.offset}, length={self.length})"

    @property
    def pieces(self) -> int:
        """How many pieces there have to be."""
        return -(-(self.offset + self.length) // BLOCK) - self.offset // BLOCK if self.length else 0

    def __iter__(self) -> Iterator[Piece]:
        start, end = self.offset, self.offset + self.length
        for at in range(0, len(self.hashes), HASH_LENGTH):
            stop = min(start - start % BLOCK + BLOCK, end)
            yield Piece(start, stop - start, self.hashes[at : at + HASH_LENGTH])
            start = stop


def keeps_data(opcode: int, length: int) -> bool:
    """Tell whether a data segment of that length is kept whole."""
    return length <= _TINY or opcode in TEXT or (opcode in _PROTOCOL and length <= _MOST_PROTOCOL)


def payload_of(pdu: Pdu) -> Payload | None:
    """Hash the data segment of a PDU; None if it has none. Data-Out and Data-In lie at their BufferOffset."""
    data = pdu.data
    if not data:
        return None
    length = len(data)
    offset = pdu["BufferOffset"] if pdu.opcode in _PLACED else 0
    view = memoryview(data)
    first = -offset % BLOCK
    digests = [xxh3_64_intdigest(view[at : at + BLOCK]) for at in range(first, length, BLOCK)]
    if first:
        digests.insert(0, xxh3_64_intdigest(view[:first]))
    packer = _ONE if len(digests) == 1 else Struct(f">{len(digests)}Q")
    return Payload(offset, length, packer.pack(*digests))
