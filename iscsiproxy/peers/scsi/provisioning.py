"""How big the medium is and which of its blocks are mapped: READ CAPACITY, GET LBA STATUS, UNMAP, WRITE SAME (SBC-3 5).

Blocks can be unmapped but not anchored, and unmapped ones read as zeros. Every block is a physical one of its own
unless the medium says otherwise; unmapping does not care.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Footprint, Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS"]

#: LBPME and LBPRZ of READ CAPACITY(16) data (SBC-3 5.16.2)
_LBPME, _LBPRZ = 0x80, 0x40
#: PROVISIONING STATUS (SBC-3 5.4.2.2)
_MAPPED, _DEALLOCATED = 0, 1
#: Descriptors of one GET LBA STATUS at most, however much the initiator has room for
_MOST_STATUS = 1024
#: The largest number a 32-bit field holds
_MAX32 = 0xFFFFFFFF
#: ANCHOR of UNMAP (SBC-3 5.28)
_UNMAP_ANCHOR = 0x01
#: Bytes before the descriptors of an UNMAP parameter list, and of each of them (SBC-3 5.28.2)
_UNMAP_HEADER = 8
_UNMAP_DESCRIPTOR = 16
#: Byte 1 of WRITE SAME: ANCHOR and UNMAP, NDOB of the longer one (SBC-3 5.45), PBDATA and LBDATA (SBC-2 5.36)
_ANCHOR, _UNMAP, _NDOB, _PATTERN = 0x10, 0x08, 0x01, 0x06
_WRITE_SAME_16 = 0x93


def _nothing(_unit: LogicalUnit, _nexus: Nexus, _cdb: bytes) -> int:
    return 0


def _read_capacity_10(unit: LogicalUnit, _nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    last = min(unit.medium.blocks - 1, _MAX32)
    return last.to_bytes(4, "big") + unit.medium.block_size.to_bytes(4, "big")


def _read_capacity_16(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    medium = unit.medium
    data = (
        (medium.blocks - 1).to_bytes(8, "big")
        + medium.block_size.to_bytes(4, "big")
        + bytes([0, medium.physical_exponent, _LBPME | _LBPRZ, 0])
    )
    return data.ljust(32, b"\0")[: access.number(cdb, 10, 14)]


def _want_status(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    access.check_range(unit, access.number(cdb, 2, 10), 1)
    return 0


def _lba_status(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    lba, room = access.number(cdb, 2, 10), access.number(cdb, 10, 14)
    descriptors = bytearray()
    for _ in range(min(max((room - 8) // 16, 1), _MOST_STATUS)):
        if lba >= unit.medium.blocks:
            break
        mapped, length = unit.medium.mapped(lba)
        length = min(length, _MAX32)
        status = _MAPPED if mapped else _DEALLOCATED
        descriptors += lba.to_bytes(8, "big") + length.to_bytes(4, "big") + bytes([status, 0, 0, 0])
        lba += length
    return ((len(descriptors) + 4).to_bytes(4, "big") + bytes(4) + descriptors)[:room]


# --- UNMAP ------------------------------------------------------------------------------------------------------------


def _want_unmap(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    if cdb[1] & _UNMAP_ANCHOR:
        access.invalid_field()
    access.check_writable(unit)
    length = access.number(cdb, 7, 9)
    if 0 < length < _UNMAP_HEADER:
        raise CheckCondition(0x5, 0x1A)
    return length


def _unmap(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    length = access.number(cdb, 7, 9)
    if length:
        ranges = list(_ranges(access.whole(data, length)))
        if len(ranges) > access.MAX_UNMAP_DESCRIPTORS or sum(n for _, n in ranges) > access.MAX_UNMAP_BLOCKS:
            raise CheckCondition(0x5, 0x26)
        for lba, count in ranges:
            access.check_range(unit, lba, count)
        for lba, count in ranges:
            unit.medium.discard(lba, count)
    return b""


def _ranges(data: memoryview) -> Iterator[tuple[int, int]]:
    size = int.from_bytes(data[2:4], "big")
    if _UNMAP_HEADER + size > len(data):
        raise CheckCondition(0x5, 0x1A)
    for offset in range(_UNMAP_HEADER, _UNMAP_HEADER + size - size % _UNMAP_DESCRIPTOR, _UNMAP_DESCRIPTOR):
        lba, count = data[offset : offset + 8], data[offset + 8 : offset + 12]
        yield int.from_bytes(lba, "big"), int.from_bytes(count, "big")


# --- WRITE SAME -------------------------------------------------------------------------------------------------------


def _want_write_same(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    access.refuse_protection(cdb)
    if cdb[1] & (_ANCHOR | _PATTERN):
        access.invalid_field()
    lba, count = access.extent(cdb)
    access.check_range(unit, lba, count)
    # No blocks do not stand for all to the end: WSNZ is 1 (SBC-3 5.45.1, 6.6.4).
    if not 0 < count * unit.medium.block_size <= access.MAX_WRITE_SAME:
        access.invalid_field()
    access.check_writable(unit)
    return 0 if _without_data(cdb) else unit.medium.block_size


def _write_same(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, count = access.extent(cdb)
    size = unit.medium.block_size
    block = bytes(size) if _without_data(cdb) else bytes(access.whole(data, size))
    # A block that would not read as it should were it unmapped has to be written (SBC-3 5.45.1).
    if cdb[1] & _UNMAP and not any(block):
        unit.medium.discard(lba, count)
    else:
        unit.medium.fill(lba, count, block)
    return b""


def _without_data(cdb: bytes) -> bool:
    return cdb[0] == _WRITE_SAME_16 and bool(cdb[1] & _NDOB)


def _everything(_cdb: bytes) -> Footprint:
    """Give all there is: which blocks are unmapped only the parameter list tells."""
    return Footprint(0, access.EVERYWHERE, writes=True)


def _writes_same(name: str) -> Handler:
    return Handler(
        name=name,
        wants=_want_write_same,
        perform=_write_same,
        reach=Reach(writes=True),
        footprint=access.writing,
        exact=True,
    )


#: By operation code and service action (SBC-3 5.1)
COMMANDS: Commands = {
    (0x25, None): Handler(name="READ CAPACITY(10)", wants=_nothing, perform=_read_capacity_10, reach=Reach()),
    (0x9E, 0x10): Handler(name="READ CAPACITY(16)", wants=_nothing, perform=_read_capacity_16, reach=Reach()),
    (0x9E, 0x12): Handler(
        name="GET LBA STATUS(16)",
        wants=_want_status,
        perform=_lba_status,
        reach=Reach(reads=True),
        footprint=lambda cdb: Footprint(access.number(cdb, 2, 10), access.EVERYWHERE, writes=False),
    ),
    (0x42, None): Handler(
        name="UNMAP", wants=_want_unmap, perform=_unmap, reach=Reach(writes=True), footprint=_everything
    ),
    (0x41, None): _writes_same("WRITE SAME(10)"),
    (0x93, None): _writes_same("WRITE SAME(16)"),
}
