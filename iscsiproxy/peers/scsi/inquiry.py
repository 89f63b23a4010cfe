"""INQUIRY: who a logical unit is, and what it can do (SPC-4 6.6, 7.8; SBC-3 6.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.handler import Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "UnitIdentity"]

#: EVPD of the CDB (SPC-4 6.6.1); CMDDT beside it is obsolete and nothing we have
_EVPD, _CMDDT = 0x01, 0x02
#: Peripheral qualifier 0, direct access block device (SPC-4 6.6.2)
_DISK = 0x00
#: VERSION: SPC-4
_SPC4 = 0x06
#: HISUP and RESPONSE DATA FORMAT 2
_FORMAT = 0x10 | 0x02
#: TPGS: implicit asymmetric logical unit access, reported by REPORT TARGET PORT GROUPS
_IMPLICIT_TPGS = 0x10
#: CMDQUE: commands are queued
_CMDQUE = 0x02
#: Version descriptors: SAM-5, SPC-4, SBC-3 and iSCSI, of no particular revision (SPC-4 table 141)
_VERSIONS = (0x00A0, 0x0460, 0x04C0, 0x0960)
#: Length of our standard INQUIRY data: room for eight version descriptors, and what is reserved behind them
_STANDARD_LENGTH = 96
#: NAA 3h, locally assigned (SPC-4 7.8.6.6.4)
_LOCALLY_ASSIGNED = 0x3
#: Protocol identifier of iSCSI (SPC-4 table 430)
_ISCSI = 0x5
#: Code sets (SPC-4 table 602)
_BINARY, _ASCII, _UTF8 = 1, 2, 3
#: Associations (SPC-4 table 603); what is associated with a port or a device has a protocol
_UNIT, _PORT, _DEVICE = 0, 1, 2
#: Designator types (SPC-4 table 604)
_T10, _NAA, _RELATIVE_PORT, _PORT_GROUP, _SCSI_NAME = 1, 3, 4, 5, 8
#: PIV: the protocol identifier is valid
_PIV = 0x80
#: HEADSUP, ORDSUP and SIMPSUP of the Extended INQUIRY Data page: the task attributes we know (SPC-4 7.8.7)
_ATTRIBUTES = 0x07
#: Characters of a serial number, so that it fits into a designator behind the vendor (SPC-4 7.8.6.2)
_LONGEST_SERIAL = 240
#: Length of page 86h, B0h and B1h behind their header
_LONG_PAGE = 0x3C
#: MEDIUM ROTATION RATE: none (SBC-3 6.6.3)
_NON_ROTATING = 1
#: LBPU, LBPWS, LBPWS10 and LBPRZ: all ways to unmap, and unmapped blocks read as zeros (SBC-3 6.6.5)
_UNMAPS = 0x80 | 0x40 | 0x20 | 0x04
#: PROVISIONING TYPE: thin
_THIN = 2
#: The longest WRITE ATOMIC(16), in blocks: what its CDB can say (SBC-4 5.48)
_MAX_ATOMIC = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitIdentity:
    """What a logical unit calls itself. The texts are ASCII; longer than their field they are cut."""

    vendor: str = "ISCSIPRX"
    product: str = "EMBEDDED DISK"
    revision: str = "0001"
    serial: str
    naa: bytes

    def __post_init__(self) -> None:
        texts = (self.vendor, self.product, self.revision, self.serial)
        if not all(text.isascii() and text.isprintable() for text in texts):
            raise ValueError(f"identity of a logical unit: expected printable ASCII, got {texts}")
        if not 1 <= len(self.serial) <= _LONGEST_SERIAL:
            raise ValueError(f"serial number: expected 1 to {_LONGEST_SERIAL} characters, got {len(self.serial)}")
        if len(self.naa) != 8:
            raise ValueError(f"NAA designator: expected 8 bytes, got {self.naa.hex()}")

    @classmethod
    def derive(cls, target: str, number: int, serial: str | None = None) -> UnitIdentity:
        """Make the identity of unit `number` of a target: always the same, and another for every other unit.

        Without a `serial` it is derived too.
        """
        digest = hashlib.sha256(f"{target},{number},{serial or ''}".encode()).digest()
        naa = bytes([_LOCALLY_ASSIGNED << 4 | digest[0] & 0x0F]) + digest[1:8]
        return cls(serial=serial or digest[8:16].hex(), naa=naa)


def _inquire(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    if cdb[1] & _CMDDT:
        access.invalid_field()
    if cdb[1] & _EVPD:
        data = _vpd_page(unit, cdb[2])
    elif cdb[2]:
        access.invalid_field()
    else:
        data = _standard(unit)
    return data[: access.number(cdb, 3, 5)]


def _text(text: str, size: int) -> bytes:
    return text.encode("ascii")[:size].ljust(size)


def _standard(unit: LogicalUnit) -> bytes:
    identity = unit.identity
    head = bytes([_DISK, 0, _SPC4, _FORMAT, _STANDARD_LENGTH - 5, _IMPLICIT_TPGS, 0, _CMDQUE])
    names = _text(identity.vendor, 8) + _text(identity.product, 16) + _text(identity.revision, 4)
    versions = b"".join(version.to_bytes(2, "big") for version in _VERSIONS)
    return ((head + names).ljust(58, b"\0") + versions).ljust(_STANDARD_LENGTH, b"\0")


def _vpd_page(unit: LogicalUnit, code: int) -> bytes:
    build = _PAGES.get(code)
    if build is None:
        access.invalid_field()
    body = build(unit)
    return bytes([_DISK, code]) + len(body).to_bytes(2, "big") + body


def _supported_pages(_unit: LogicalUnit) -> bytes:
    return bytes(sorted(_PAGES))


def _unit_serial_number(unit: LogicalUnit) -> bytes:
    return unit.identity.serial.encode("ascii")


def _device_identification(unit: LogicalUnit) -> bytes:
    identity, name, group = unit.identity, unit.target_name, unit.portal_group
    t10 = _text(identity.vendor, 8) + identity.serial.encode("ascii")
    port_name = f"{name},t,0x{group:04x}"
    return b"".join(
        (
            _designator(_BINARY, _UNIT, _NAA, identity.naa),
            _designator(_ASCII, _UNIT, _T10, t10),
            _designator(_BINARY, _PORT, _RELATIVE_PORT, bytes(2) + group.to_bytes(2, "big")),
            _designator(_BINARY, _PORT, _PORT_GROUP, bytes(2) + group.to_bytes(2, "big")),
            _designator(_UTF8, _PORT, _SCSI_NAME, _name_string(port_name)),
            _designator(_UTF8, _DEVICE, _SCSI_NAME, _name_string(name)),
        )
    )


def _name_string(text: str) -> bytes:
    """End a SCSI name string with a null byte, and with more until it is a multiple of four long (SPC-4 7.8.6.11)."""
    encoded = text.encode() + b"\0"
    return encoded + bytes(-len(encoded) % 4)


def _designator(code_set: int, association: int, kind: int, value: bytes) -> bytes:
    protocol, valid = (_ISCSI, _PIV) if association else (0, 0)
    return bytes([protocol << 4 | code_set, valid | association << 4 | kind, 0, len(value)]) + value


def _extended_inquiry(_unit: LogicalUnit) -> bytes:
    return bytes([0, _ATTRIBUTES]).ljust(_LONG_PAGE, b"\0")


def _block_limits(unit: LogicalUnit) -> bytes:
    size = unit.medium.block_size
    most = access.MAX_TRANSFER // size
    fields = (
        (1, 1),  # WSNZ: WRITE SAME of no blocks is refused
        (access.MAX_COMPARE, 1),
        (1 << unit.medium.physical_exponent, 2),  # OPTIMAL TRANSFER LENGTH GRANULARITY
        (most, 4),
        (access.BEST_TRANSFER // size, 4),  # OPTIMAL TRANSFER LENGTH
        (0, 4),  # MAXIMUM PREFETCH LENGTH: no limit
        (access.MAX_UNMAP_BLOCKS, 4),
        (access.MAX_UNMAP_DESCRIPTORS, 4),
        (1 << unit.medium.physical_exponent, 4),  # OPTIMAL UNMAP GRANULARITY
        (0, 4),  # UGAVALID, UNMAP GRANULARITY ALIGNMENT
        (access.MAX_WRITE_SAME // size, 8),
        (min(most, _MAX_ATOMIC), 4),  # MAXIMUM ATOMIC TRANSFER LENGTH; no alignment, granularity or boundary
    )
    return b"".join(value.to_bytes(width, "big") for value, width in fields).ljust(_LONG_PAGE, b"\0")


def _block_device_characteristics(_unit: LogicalUnit) -> bytes:
    return _NON_ROTATING.to_bytes(2, "big").ljust(_LONG_PAGE, b"\0")


def _logical_block_provisioning(_unit: LogicalUnit) -> bytes:
    return bytes([0, _UNMAPS, _THIN, 0])


_PAGES: Mapping[int, Callable[[LogicalUnit], bytes]] = {
    0x00: _supported_pages,
    0x80: _unit_serial_number,
    0x83: _device_identification,
    0x86: _extended_inquiry,
    0xB0: _block_limits,
    0xB1: _block_device_characteristics,
    0xB2: _logical_block_provisioning,
}

#: INQUIRY (SPC-4 6.6)
COMMANDS: Commands = {
    (0x12, None): Handler(
        name="INQUIRY",
        wants=lambda _unit, _nexus, _cdb: 0,
        perform=_inquire,
        reach=Reach(always=True),
        ignores_attention=True,
    )
}
