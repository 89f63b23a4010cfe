"""CDBs that an initiator sends, and what comes back: one function to make each, one to read each answer (SPC-4, SBC-3).

Addresses and counts are in logical blocks, lengths in bytes. Nothing is checked against what the unit can do.
"""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.fields import lun_number

__all__ = [
    "Capacity",
    "Inquiry",
    "compare_and_write",
    "decode_capacity10",
    "decode_capacity16",
    "decode_inquiry",
    "decode_luns",
    "inquiry",
    "mode_sense6",
    "persistent_reserve_in",
    "persistent_reserve_out",
    "read10",
    "read16",
    "read_capacity10",
    "read_capacity16",
    "report_luns",
    "request_sense",
    "reserve_parameters",
    "synchronize_cache10",
    "test_unit_ready",
    "unmap",
    "unmap_parameters",
    "verify10",
    "write10",
    "write16",
    "write_same10",
]

#: FUA in byte 1 of READ and WRITE (SBC-3 5.7)
_FUA = 0x08
#: EVPD in byte 1 of INQUIRY (SPC-4 6.4)
_EVPD = 0x01
#: DBD in byte 1 of MODE SENSE (SPC-4 6.9)
_DBD = 0x08


def _block10(opcode: int, lba: int, blocks: int, flags: int = 0) -> bytes:
    return bytes([opcode, flags]) + lba.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + b"\0"


def _block16(opcode: int, lba: int, blocks: int, flags: int = 0) -> bytes:
    return bytes([opcode, flags]) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(2)


def test_unit_ready() -> bytes:
    """Make TEST UNIT READY."""
    return bytes(6)


def request_sense(length: int = 252) -> bytes:
    """Make REQUEST SENSE in fixed format."""
    return bytes([0x03, 0, 0, 0, length, 0])


def inquiry(page: int | None = None, length: int = 255) -> bytes:
    """Make INQUIRY, for standard data or one vital product data page."""
    return bytes([0x12, 0 if page is None else _EVPD, page or 0]) + length.to_bytes(2, "big") + b"\0"


def mode_sense6(page: int = 0x3F, subpage: int = 0, length: int = 255, *, descriptors: bool = True) -> bytes:
    """Make MODE SENSE(6) for current values."""
    return bytes([0x1A, 0 if descriptors else _DBD, page, subpage, length, 0])


def report_luns(length: int = 4096) -> bytes:
    """Make REPORT LUNS for all but the well known ones."""
    return bytes([0xA0]) + bytes(5) + length.to_bytes(4, "big") + bytes(2)


def read_capacity10() -> bytes:
    """Make READ CAPACITY(10); 8 bytes answer it."""
    return bytes([0x25]) + bytes(9)


def read_capacity16(length: int = 32) -> bytes:
    """Make READ CAPACITY(16); 32 bytes answer it."""
    return bytes([0x9E, 0x10]) + bytes(8) + length.to_bytes(4, "big") + bytes(2)


def read10(lba: int, blocks: int, *, fua: bool = False) -> bytes:
    """Make READ(10)."""
    return _block10(0x28, lba, blocks, _FUA * fua)


def write10(lba: int, blocks: int, *, fua: bool = False) -> bytes:
    """Make WRITE(10)."""
    return _block10(0x2A, lba, blocks, _FUA * fua)


def read16(lba: int, blocks: int, *, fua: bool = False) -> bytes:
    """Make READ(16)."""
    return _block16(0x88, lba, blocks, _FUA * fua)


def write16(lba: int, blocks: int, *, fua: bool = False) -> bytes:
    """Make WRITE(16)."""
    return _block16(0x8A, lba, blocks, _FUA * fua)


def verify10(lba: int, blocks: int, *, compare: bool = False) -> bytes:
    """Make VERIFY(10), of the medium or against data-out (BYTCHK)."""
    return _block10(0x2F, lba, blocks, 0x02 * compare)


def synchronize_cache10(lba: int = 0, blocks: int = 0) -> bytes:
    """Make SYNCHRONIZE CACHE(10); no blocks means all from `lba` on."""
    return _block10(0x35, lba, blocks)


def write_same10(lba: int, blocks: int, *, unmap: bool = False) -> bytes:
    """Make WRITE SAME(10), of one block of data-out."""
    return _block10(0x41, lba, blocks, 0x08 * unmap)


def compare_and_write(lba: int, blocks: int) -> bytes:
    """Make COMPARE AND WRITE: data-out is what is to be there, then what is to be written."""
    return bytes([0x89, 0]) + lba.to_bytes(8, "big") + bytes(3) + bytes([blocks, 0, 0])


def unmap(length: int) -> bytes:
    """Make UNMAP with a parameter list of that length."""
    return bytes([0x42]) + bytes(6) + length.to_bytes(2, "big") + b"\0"


def unmap_parameters(*extents: tuple[int, int]) -> bytes:
    """Make the parameter list of UNMAP from (LBA, blocks) (SBC-3 5.28)."""
    descriptors = b"".join(lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(4) for lba, blocks in extents)
    return (len(descriptors) + 6).to_bytes(2, "big") + len(descriptors).to_bytes(2, "big") + bytes(4) + descriptors


def persistent_reserve_in(action: int, length: int = 4096) -> bytes:
    """Make PERSISTENT RESERVE IN: READ KEYS is 0, READ RESERVATION 1 (SPC-4 6.15)."""
    return bytes([0x5E, action]) + bytes(5) + length.to_bytes(2, "big") + b"\0"


def persistent_reserve_out(action: int, kind: int = 0, length: int = 24) -> bytes:
    """Make PERSISTENT RESERVE OUT of a reservation type, for all of the unit (SPC-4 6.16)."""
    return bytes([0x5F, action, kind, 0, 0]) + length.to_bytes(4, "big") + b"\0"


def reserve_parameters(key: int, action_key: int = 0, *, aptpl: bool = False) -> bytes:
    """Make the parameter list of PERSISTENT RESERVE OUT (SPC-4 6.16.3)."""
    return key.to_bytes(8, "big") + action_key.to_bytes(8, "big") + bytes(4) + bytes([int(aptpl), 0, 0, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Standard INQUIRY data (SPC-4 6.4.2)."""

    device_type: int
    qualifier: int
    vendor: str
    product: str
    revision: str
    normal_aca: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How big a logical unit is; `thin` is LBPME, which only READ CAPACITY(16) tells."""

    blocks: int
    block_length: int
    thin: bool = False

    @property
    def length(self) -> int:
        """All of it in bytes."""
        return self.blocks * self.block_length


def _need(name: str, data: bytes, length: int) -> None:
    if len(data) < length:
        raise ScsiError(f"{name} data: expected at least {length} bytes, got {len(data)}")


def decode_inquiry(data: bytes) -> Inquiry:
    """Read standard INQUIRY data. Raises ScsiError if it is too short."""
    _need("INQUIRY", data, 36)
    vendor, product, revision = (
        data[begin:end].decode("ascii", "replace").rstrip(" \0") for begin, end in ((8, 16), (16, 32), (32, 36))
    )
    return Inquiry(
        device_type=data[0] & 0x1F,
        qualifier=data[0] >> 5,
        vendor=vendor,
        product=product,
        revision=revision,
        normal_aca=bool(data[3] & 0x20),
    )


def decode_capacity10(data: bytes) -> Capacity:
    """Read READ CAPACITY(10) data; a unit too big for it has 2^32 blocks. Raises ScsiError if it is too short."""
    _need("READ CAPACITY(10)", data, 8)
    return Capacity(blocks=int.from_bytes(data[:4], "big") + 1, block_length=int.from_bytes(data[4:8], "big"))


def decode_capacity16(data: bytes) -> Capacity:
    """Read READ CAPACITY(16) data. Raises ScsiError if it is too short."""
    _need("READ CAPACITY(16)", data, 12)
    return Capacity(
        blocks=int.from_bytes(data[:8], "big") + 1,
        block_length=int.from_bytes(data[8:12], "big"),
        thin=len(data) > 14 and bool(data[14] & 0x80),
    )


def decode_luns(data: bytes) -> tuple[int, ...]:
    """Read REPORT LUNS data as far as it came: numbers as `wire.fields.lun_number` gives them.

    Raises ScsiError if it is too short.
    """
    _need("REPORT LUNS", data, 8)
    end = min(len(data), 8 + int.from_bytes(data[:4], "big"))
    return tuple(lun_number(int.from_bytes(data[at : at + 8], "big")) for at in range(8, end - 7, 8))
