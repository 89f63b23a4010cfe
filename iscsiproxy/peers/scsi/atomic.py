"""Commands that nothing comes between: COMPARE AND WRITE, ORWRITE, WRITE ATOMIC (SBC-3 5.2, 5.6, SBC-4 5.48).

The device server carries out a command in one call, so they are atomic as they stand. None of them does a part of its
work: with fewer data than the CDB asks for nothing is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.access import writing
from iscsiproxy.peers.scsi.blocks import compare, store
from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS"]

#: FUA in byte 1 (SBC-3 5.2)
_FUA = 0x08


def _want(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    access.refuse_protection(cdb)
    lba, count = access.extent(cdb)
    access.check_transfer(unit, lba, count)
    access.check_writable(unit)
    return count * unit.medium.block_size


def _want_compare(unit: LogicalUnit, nexus: Nexus, cdb: bytes) -> int:
    return 2 * _want(unit, nexus, cdb)


def _compare_and_write(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, count = access.extent(cdb)
    access.whole(data, _want_compare(unit, nexus, cdb))
    if count:
        half = len(data) // 2
        offset = compare(data[:half], unit.medium.read(lba, count), unit.medium.block_size)
        if offset is not None:
            # Where in the data-out buffer the first difference is (SBC-3 5.2).
            raise CheckCondition(0xE, 0x1D, information=offset)
        store(unit, lba, data[half:], lasting=bool(cdb[1] & _FUA))
    return b""


def _orwrite(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, count = access.extent(cdb)
    access.whole(data, _want(unit, nexus, cdb))
    if count:
        both = int.from_bytes(data, "little") | int.from_bytes(unit.medium.read(lba, count), "little")
        store(unit, lba, memoryview(both.to_bytes(len(data), "little")), lasting=bool(cdb[1] & _FUA))
    return b""


def _want_atomic(unit: LogicalUnit, nexus: Nexus, cdb: bytes) -> int:
    if access.number(cdb, 10, 12):
        # ATOMIC BOUNDARY: the Block Limits page says that there are none.
        access.invalid_field()
    return _want(unit, nexus, cdb)


def _write_atomic(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    lba, _ = access.extent(cdb)
    store(unit, lba, access.whole(data, _want_atomic(unit, nexus, cdb)), lasting=bool(cdb[1] & _FUA))
    return b""


_WRITES = Reach(writes=True)

#: By operation code (SBC-3 5.1, SBC-4 5.1)
COMMANDS: Commands = {
    (0x89, None): Handler(
        name="COMPARE AND WRITE",
        wants=_want_compare,
        perform=_compare_and_write,
        reach=_WRITES,
        footprint=writing,
        exact=True,
    ),
    (0x8B, None): Handler(name="ORWRITE(16)", wants=_want, perform=_orwrite, reach=_WRITES, footprint=writing),
    (0x9C, None): Handler(
        name="WRITE ATOMIC(16)", wants=_want_atomic, perform=_write_atomic, reach=_WRITES, footprint=writing
    ),
}
