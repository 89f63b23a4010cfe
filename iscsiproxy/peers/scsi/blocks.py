"""READ, WRITE, VERIFY, WRITE AND VERIFY, PRE-FETCH and SYNCHRONIZE CACHE, in all their sizes (SBC-3 5).

DPO is accepted and means nothing here; FUA brings the medium up to date. GROUP NUMBER and reserved bits are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.access import reading, writing
from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Footprint, Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "compare", "store"]

#: FUA in byte 1 of WRITE, from 10 bytes on (SBC-3 5.34)
_FUA = 0x08
#: READ(6) and WRITE(6) have neither FUA nor RDPROTECT: LBA bits are there (SBC-3 5.7)
_SIX = (0x08, 0x0A)
#: BYTCHK (SBC-3 table 138): nothing to compare with, all blocks of data, one block for each
_NOTHING, _ALL, _RESERVED, _ONE = range(4)


def _check(unit: LogicalUnit, cdb: bytes) -> tuple[int, int]:
    """Check a CDB that transfers blocks and give its LBA and number of blocks."""
    if cdb[0] not in _SIX:
        access.refuse_protection(cdb)
    lba, count = access.extent(cdb)
    access.check_transfer(unit, lba, count)
    return lba, count


# --- READ and WRITE ---------------------------------------------------------------------------------------------------


def _want_read(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    _check(unit, cdb)
    return 0


def _read(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes | memoryview:
    lba, count = access.extent(cdb)
    return unit.medium.read(lba, count) if count else b""


def _want_write(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    _, count = _check(unit, cdb)
    access.check_writable(unit)
    return count * unit.medium.block_size


def _write(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, _ = access.extent(cdb)
    store(unit, lba, data, lasting=cdb[0] not in _SIX and bool(cdb[1] & _FUA))
    return b""


def store(unit: LogicalUnit, lba: int, data: memoryview, *, lasting: bool) -> None:
    """Write the blocks there are, fewer than the CDB says if the initiator's buffer is shorter, but only whole ones."""
    if len(data) % unit.medium.block_size:
        raise CheckCondition(0x5, 0x0E, 0x03)
    if data:
        unit.medium.write(lba, data)
    if lasting:
        unit.medium.flush()


# --- VERIFY -----------------------------------------------------------------------------------------------------------


def _bytchk(cdb: bytes) -> int:
    return cdb[1] >> 1 & 0x03


def _want_verify(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    _, count = _check(unit, cdb)
    check = _bytchk(cdb)
    if check == _RESERVED:
        access.invalid_field()
    if not count or check == _NOTHING:
        return 0
    return unit.medium.block_size * (count if check == _ALL else 1)


def _verify(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, count = access.extent(cdb)
    access.whole(data, _want_verify(unit, nexus, cdb))
    if count:
        found = unit.medium.read(lba, count)
        if _bytchk(cdb) != _NOTHING:
            expected = data if _bytchk(cdb) == _ALL else bytes(data) * count
            offset = compare(expected, found, unit.medium.block_size)
            if offset is not None:
                raise CheckCondition(0xE, 0x1D, information=lba + offset // unit.medium.block_size)
    return b""


def compare(expected: bytes | memoryview, found: bytes | memoryview, block_size: int) -> int | None:
    """Give the offset of the first byte that differs; None if none does. Both are equally long."""
    expected, found = bytes(expected), bytes(found)
    if expected == found:
        return None
    block = 0
    while expected[block : block + block_size] == found[block : block + block_size]:
        block += block_size
    return next(offset for offset in range(block, len(found)) if expected[offset] != found[offset])


# --- WRITE AND VERIFY -------------------------------------------------------------------------------------------------


def _want_write_and_verify(unit: LogicalUnit, nexus: Nexus, cdb: bytes) -> int:
    if _bytchk(cdb) > _ALL:
        access.invalid_field()
    return _want_write(unit, nexus, cdb)


def _write_and_verify(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, _ = access.extent(cdb)
    # It verifies what is on the medium, so the data has to be there first (SBC-3 5.36).
    store(unit, lba, data, lasting=True)
    if data:
        found = unit.medium.read(lba, len(data) // unit.medium.block_size)
        offset = compare(data, found, unit.medium.block_size) if _bytchk(cdb) == _ALL else None
        if offset is not None:
            raise CheckCondition(0xE, 0x1D, information=lba + offset // unit.medium.block_size)
    return b""


# --- the cache --------------------------------------------------------------------------------------------------------


def _want_range(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    access.check_range(unit, *access.extent(cdb))
    return 0


def _prefetch(_unit: LogicalUnit, _nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    # GOOD, and not CONDITION MET, says that not all of it is in the cache: there is none (SBC-3 5.9).
    return b""


def _synchronize(unit: LogicalUnit, _nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    unit.medium.flush()
    return b""


def _synchronizing(cdb: bytes) -> Footprint:
    """Give what has to be written before: the number of blocks 0 stands for all to the end (SBC-3 5.26)."""
    lba, count = access.extent(cdb)
    return Footprint(lba, count or access.EVERYWHERE, writes=True)


def _reads(name: str) -> Handler:
    return Handler(name=name, wants=_want_read, perform=_read, reach=Reach(reads=True), footprint=reading)


def _writes(name: str) -> Handler:
    return Handler(name=name, wants=_want_write, perform=_write, reach=Reach(writes=True), footprint=writing)


def _verifies(name: str) -> Handler:
    return Handler(name=name, wants=_want_verify, perform=_verify, reach=Reach(reads=True), footprint=reading)


def _writes_and_verifies(name: str) -> Handler:
    return Handler(
        name=name,
        wants=_want_write_and_verify,
        perform=_write_and_verify,
        reach=Reach(writes=True),
        footprint=writing,
    )


def _prefetches(name: str) -> Handler:
    return Handler(name=name, wants=_want_range, perform=_prefetch, reach=Reach(reads=True), footprint=reading)


def _synchronizes(name: str) -> Handler:
    return Handler(
        name=name, wants=_want_range, perform=_synchronize, reach=Reach(writes=True), footprint=_synchronizing
    )


#: By operation code (SBC-3 5.1)
COMMANDS: Commands = {
    (0x08, None): _reads("READ(6)"),
    (0x28, None): _reads("READ(10)"),
    (0xA8, None): _reads("READ(12)"),
    (0x88, None): _reads("READ(16)"),
    (0x0A, None): _writes("WRITE(6)"),
    (0x2A, None): _writes("WRITE(10)"),
    (0xAA, None): _writes("WRITE(12)"),
    (0x8A, None): _writes("WRITE(16)"),
    (0x2F, None): _verifies("VERIFY(10)"),
    (0xAF, None): _verifies("VERIFY(12)"),
    (0x8F, None): _verifies("VERIFY(16)"),
    (0x2E, None): _writes_and_verifies("WRITE AND VERIFY(10)"),
    (0xAE, None): _writes_and_verifies("WRITE AND VERIFY(12)"),
    (0x8E, None): _writes_and_verifies("WRITE AND VERIFY(16)"),
    (0x34, None): _prefetches("PRE-FETCH(10)"),
    (0x90, None): _prefetches("PRE-FETCH(16)"),
    (0x35, None): _synchronizes("SYNCHRONIZE CACHE(10)"),
    (0x91, None): _synchronizes("SYNCHRONIZE CACHE(16)"),
}
