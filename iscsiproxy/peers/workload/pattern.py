"""Data that says which write it came from, so that a wrong block tells what happened to it.

A block is a row of cells of 32 bytes. Each begins with the same stamp: which run wrote it, for which block, as which of
the run's writes (its generation), and a checksum of that. The rest of a cell tells where in the block it is. So bytes
that moved, an older write, half of each of two, or another one's data all look different, and each names its source.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

__all__ = ["CELL", "GENERATIONS", "Content", "Look", "Pattern", "Stamp"]

#: The length of a cell, in bytes; a block is a whole number of them.
CELL = 32
#: Generations are smaller than this.
GENERATIONS = 1 << 32

_MAGIC = b"iPx\xa5"
#: Magic, run, block, generation; a CRC32 of the four follows.
_STAMP = struct.Struct(">4sIQI")
_STAMP_LENGTH = _STAMP.size + 4


class Stamp(NamedTuple):
    """Who wrote a cell: the run, the block it was for, and the generation of the write."""

    run: int
    block: int
    generation: int

    def __str__(self) -> str:
        return f"write {self.generation} to block {self.block} of run {self.run:08x}"


class Look(Enum):
    """What the bytes of a block look like."""

    WHOLE = "whole"  #: every byte is that of one write
    TORN = "torn"  #: cells of several writes, each where it belongs
    DAMAGED = "damaged"  #: part of it is that of a write, part of it no pattern at all or at the wrong place
    ZEROS = "zeros"
    FOREIGN = "foreign"  #: nothing of it is a pattern


@dataclass(frozen=True, slots=True)
class Content:
    """What was found in a block: how it looks, the writes it names in the order of the bytes, and a hash of it."""

    look: Look
    stamps: tuple[Stamp, ...]
    hash: int


class Pattern:
    """The pattern of one run, for blocks of `block_size` bytes, a multiple of 32. `run` is a number of 32 bits."""

    def __init__(self, *, run: int, block_size: int) -> None:
        if block_size <= 0 or block_size % CELL:
            raise ValueError(f"a block of {block_size} bytes: expected a multiple of {CELL}")
        self.run = run
        self.block_size = block_size
        tails = (hashlib.sha256(b"cell %d" % number).digest() for number in range(block_size // CELL))
        # What `stamp.join` puts after each stamp; the first has none before it.
        self._pieces = [b"", *(tail[: CELL - _STAMP_LENGTH] for tail in tails)]

    def __repr__(self) -> str:
        return f"<Pattern of run {self.run:08x}, blocks of {self.block_size}>"

    def block(self, block: int, generation: int) -> bytes:
        """Make what the write of that generation puts into a block."""
        packed = _STAMP.pack(_MAGIC, self.run, block, generation)
        return (packed + zlib.crc32(packed).to_bytes(4, "big")).join(self._pieces)

    def blocks(self, first: int, generations: Sequence[int]) -> bytes:
        """Make consecutive blocks, beginning with `first`, each of its own generation."""
        return b"".join([self.block(first + offset, generation) for offset, generation in enumerate(generations)])

    def identify(self, data: bytes | memoryview) -> Content:
        """Say what one block's bytes are; any bytes are fine."""
        data = bytes(data)
        fingerprint = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
        if data.count(0) == len(data):
            return Content(Look.ZEROS, (), fingerprint)
        if _MAGIC not in data:
            return Content(Look.FOREIGN, (), fingerprint)
        found: dict[Stamp, None] = {}
        damaged = len(data) != self.block_size
        for number, start in enumerate(range(0, len(data), CELL)):
            stamp = _stamp(data[start : start + _STAMP_LENGTH])
            if stamp is not None:
                found[stamp] = None
            in_place = (
                number + 1 < len(self._pieces)
                and data[start + _STAMP_LENGTH : start + CELL] == self._pieces[number + 1]
            )
            damaged = damaged or stamp is None or not in_place
        if not found:
            return Content(Look.FOREIGN, (), fingerprint)
        look = Look.DAMAGED if damaged else Look.WHOLE if len(found) == 1 else Look.TORN
        return Content(look, tuple(found), fingerprint)


def _stamp(packed: bytes) -> Stamp | None:
    if len(packed) != _STAMP_LENGTH or not packed.startswith(_MAGIC):
        return None
    if zlib.crc32(packed[:-4]) != int.from_bytes(packed[-4:], "big"):
        return None
    _, run, block, generation = _STAMP.unpack(packed[:-4])
    return Stamp(run, block, generation)
