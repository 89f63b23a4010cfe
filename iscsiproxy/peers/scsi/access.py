"""What the commands that touch logical blocks have in common: where they go, and what forbids it.

Each raises CheckCondition as SBC-3 wants it. The limits are those of the Block Limits page (SBC-3 6.6.4). Bits of a CDB
that the standard reserves are ignored, as SPC-4 4.2.5.1 allows; fields that ask for something this device server does
not have, protection information first, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Footprint
from iscsiproxy.wire.cdb import decode_cdb

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = [
    "BEST_TRANSFER",
    "EVERYWHERE",
    "MAX_COMPARE",
    "MAX_TRANSFER",
    "MAX_UNMAP_BLOCKS",
    "MAX_UNMAP_DESCRIPTORS",
    "MAX_WRITE_SAME",
    "check_range",
    "check_transfer",
    "check_writable",
    "extent",
    "invalid_field",
    "number",
    "reading",
    "refuse_protection",
    "whole",
    "writing",
]

#: MAXIMUM TRANSFER LENGTH, here in bytes: what one command can have in memory
MAX_TRANSFER = 32 * 1024 * 1024
#: OPTIMAL TRANSFER LENGTH, here in bytes
BEST_TRANSFER = 1024 * 1024
#: MAXIMUM WRITE SAME LENGTH, here in bytes: bounds how long one command can take
MAX_WRITE_SAME = 1024 * 1024 * 1024
#: MAXIMUM COMPARE AND WRITE LENGTH, as many blocks as its CDB can say (SBC-3 5.2)
MAX_COMPARE = 255
#: MAXIMUM UNMAP LBA COUNT, over all descriptors of a command
MAX_UNMAP_BLOCKS = 1024 * 1024
#: MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT: as many as a parameter list of 65535 bytes holds (SBC-3 5.28)
MAX_UNMAP_DESCRIPTORS = 4095
#: More blocks than any medium has
EVERYWHERE = 1 << 64
#: RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT (SBC-3 5.8)
_PROTECT = 0xE0


def number(cdb: bytes, start: int, stop: int) -> int:
    """Read a number from `cdb[start:stop]`."""
    return int.from_bytes(cdb[start:stop], "big")


def extent(cdb: bytes) -> tuple[int, int]:
    """Read the LBA and the number of blocks of a CDB, 0 for one it does not have."""
    known = decode_cdb(cdb)
    return known.LBA or 0, known.blocks or 0


def reading(cdb: bytes) -> Footprint:
    """Give the blocks that a CDB reads."""
    return Footprint(*extent(cdb), writes=False)


def writing(cdb: bytes) -> Footprint:
    """Give the blocks that a CDB writes."""
    return Footprint(*extent(cdb), writes=True)


def invalid_field() -> NoReturn:
    """Refuse what a CDB asks for: ILLEGAL REQUEST, INVALID FIELD IN CDB."""
    raise CheckCondition(0x5, 0x24)


def refuse_protection(cdb: bytes) -> None:
    """Refuse to transfer protection information, which no block has."""
    if cdb[1] & _PROTECT:
        invalid_field()


def check_range(unit: LogicalUnit, lba: int, count: int) -> None:
    """Refuse what goes beyond the last block, even if it is no block there."""
    if lba + count > unit.medium.blocks:
        raise CheckCondition(0x5, 0x21)


def check_transfer(unit: LogicalUnit, lba: int, count: int) -> None:
    """Refuse a range that is not there, and then one longer than a single command may transfer."""
    check_range(unit, lba, count)
    if count * unit.medium.block_size > MAX_TRANSFER:
        invalid_field()


def check_writable(unit: LogicalUnit) -> None:
    """Refuse to write where writing is forbidden: DATA PROTECT, WRITE PROTECTED."""
    if unit.write_protected:
        raise CheckCondition(0x7, 0x27)


def whole(data: memoryview, wanted: int) -> memoryview:
    """Give the data if it is all there.

    A command that cannot do a part of its work ends with INVALID FIELD IN COMMAND INFORMATION UNIT, the initiator's
    buffer being a field of that (SPC-4 annex F).
    """
    if len(data) != wanted:
        raise CheckCondition(0x5, 0x0E, 0x03)
    return data
