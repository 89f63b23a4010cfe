"""The one offset table: where every field of every basic header segment is (RFC 7143 11).

All numbers are big-endian. A field is found by PDU and name, `FIELDS[Opcode.R2T]["BufferOffset"]`; its name is the
RFC's without spaces, with the short forms ITT, TTT, EDTL, LUN and the flag letters. No other module knows an offset.
Opcodes without a table of their own have the common fields (RFC 7143 11.2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["BHS_LENGTH", "FIELDS", "NO_TAG", "Field", "FieldKind", "fields_of", "lun_number", "lun_value"]

#: Length of the basic header segment (RFC 7143 11.2.1)
BHS_LENGTH = 48
#: The reserved Initiator or Target Transfer Tag: no tag (RFC 7143 11.2.1.8, 11.7.4)
NO_TAG = 0xFFFFFFFF


class FieldKind(Enum):
    """What may be done with a field's value."""

    NUMBER = "number"
    SERIAL = "serial"  #: ordered by serial number arithmetic (RFC 7143 4.2.2.1)
    TAG = "tag"  #: only equal or not
    FLAG = "flag"
    CODE = "code"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `size` bytes from `offset`, of which the bits of `mask` belong to it.

    Values are integers, shifted down to the mask's lowest bit by `shift`; `maximum` is the largest that fits. A field
    of kind BYTES reads as one big integer too; `raw` gives its bytes.
    """

    name: str
    offset: int
    size: int
    kind: FieldKind
    mask: int
    codes: codes.CodeTable | None = field(default=None, hash=False)
    shift: int = field(init=False, repr=False, compare=False)
    maximum: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Derived once: fields are read for every PDU that a rule looks at.
        shift = (self.mask & -self.mask).bit_length() - 1
        object.__setattr__(self, "shift", shift)
        object.__setattr__(self, "maximum", self.mask >> shift)

    def get(self, bhs: bytes | bytearray | memoryview) -> int:
        """Read the field as an integer."""
        if self.size == 1:
            return (bhs[self.offset] & self.mask) >> self.shift
        return (int.from_bytes(bhs[self.offset : self.offset + self.size], "big") & self.mask) >> self.shift

    def raw(self, bhs: bytes | bytearray | memoryview) -> bytes:
        """Read the bytes the field lies in."""
        return bytes(bhs[self.offset : self.offset + self.size])

    def put(self, bhs: bytearray, value: int) -> None:
        """Write the field and leave all other bits alone.

        Raises ValueError if `value` does not fit.
        """
        if not 0 <= value <= self.maximum:
            raise ValueError(f"{self.name} takes 0..{self.maximum:#x}, not {value:#x}")
        old = int.from_bytes(bhs[self.offset : self.offset + self.size], "big")
        new = (old & ~self.mask) | (value << self.shift)
        bhs[self.offset : self.offset + self.size] = new.to_bytes(self.size, "big")


def lun_number(value: int) -> int:
    """Turn the 8 bytes of a LUN field into the number people use (RFC 7143 11.2.1.7, SAM).

    Peripheral addressing below 256 and flat space below 16384 give their number; any other form stays the raw value.
    """
    first, rest = value >> 48, value & 0xFFFFFFFFFFFF
    if rest == 0 and first < 0x0100:
        return first
    if rest == 0 and first >> 14 == 0b01:
        return first & 0x3FFF
    return value


def lun_value(number: int) -> int:
    """Turn a LUN number into the 8 bytes of the field; raw values above 16383 stay as they are."""
    if number < 0x100:
        return number << 48
    if number < 0x4000:
        return (0x4000 | number) << 48
    return number


def _number(name: str, offset: int, size: int, kind: FieldKind = FieldKind.NUMBER) -> Field:
    return Field(name, offset, size, kind, (1 << 8 * size) - 1)


def _flag(name: str, mask: int, offset: int = 1) -> Field:
    return Field(name, offset, 1, FieldKind.FLAG, mask)


def _code(name: str, offset: int, table: codes.CodeTable, mask: int = 0xFF) -> Field:
    return Field(name, offset, 1, FieldKind.CODE, mask, table)


#: Byte 0 and the lengths are in every BHS (RFC 7143 11.2.1)
_OPCODE = Field("Opcode", 0, 1, FieldKind.NUMBER, 0x3F)
_I = _flag("I", 0x40, offset=0)
_F = _flag("F", 0x80)
_AHSL = _number("TotalAHSLength", 4, 1)
_DSL = _number("DataSegmentLength", 5, 3)
_LUN = _number("LUN", 8, 8, FieldKind.TAG)
_ITT = _number("ITT", 16, 4, FieldKind.TAG)
_TTT = _number("TTT", 20, 4, FieldKind.TAG)
_CMDSN = _number("CmdSN", 24, 4, FieldKind.SERIAL)
_EXPSTATSN = _number("ExpStatSN", 28, 4, FieldKind.SERIAL)
_STATSN = _number("StatSN", 24, 4, FieldKind.SERIAL)
_EXPCMDSN = _number("ExpCmdSN", 28, 4, FieldKind.SERIAL)
_MAXCMDSN = _number("MaxCmdSN", 32, 4, FieldKind.SERIAL)
_TARGET_SNS = (_STATSN, _EXPCMDSN, _MAXCMDSN)
#: Login stages and identity (RFC 7143 11.12, 11.13)
_LOGIN = (
    _flag("T", 0x80),
    _flag("C", 0x40),
    Field("CSG", 1, 1, FieldKind.CODE, 0x0C, codes.STAGE),
    Field("NSG", 1, 1, FieldKind.CODE, 0x03, codes.STAGE),
    _number("Version-max", 2, 1),
)
_ISID = _number("ISID", 8, 6, FieldKind.TAG)
_TSIH = _number("TSIH", 14, 2, FieldKind.TAG)

_COMMON = (_OPCODE, _I, _F, _AHSL, _DSL, _ITT)
_HEAD = (_OPCODE, _AHSL, _DSL)


def _table(*fields: Field) -> Mapping[str, Field]:
    return {each.name: each for each in fields}


_UNKNOWN = _table(*_COMMON, _LUN)

#: Every field of every assigned opcode.
FIELDS: Mapping[int, Mapping[str, Field]] = {
    # RFC 7143 11.18
    Opcode.NOP_OUT: _table(*_HEAD, _I, _F, _LUN, _ITT, _TTT, _CMDSN, _EXPSTATSN),
    # RFC 7143 11.3; PRI is RFC 7144 5.1.1
    Opcode.SCSI_COMMAND: _table(
        *_HEAD,
        _I,
        _F,
        _flag("R", 0x40),
        _flag("W", 0x20),
        _code("ATTR", 1, codes.ATTR, 0x07),
        Field("PRI", 2, 1, FieldKind.NUMBER, 0xF0),
        _LUN,
        _ITT,
        _number("EDTL", 20, 4),
        _CMDSN,
        _EXPSTATSN,
        _number("CDB", 32, 16, FieldKind.BYTES),
    ),
    # RFC 7143 11.5
    Opcode.TMF_REQUEST: _table(
        *_HEAD,
        _I,
        _F,
        _code("Function", 1, codes.TMF_FUNCTION, 0x7F),
        _LUN,
        _ITT,
        _number("RefTaskTag", 20, 4, FieldKind.TAG),
        _CMDSN,
        _EXPSTATSN,
        _number("RefCmdSN", 32, 4, FieldKind.SERIAL),
        _number("ExpDataSN", 36, 4),
    ),
    # RFC 7143 11.12
    Opcode.LOGIN_REQUEST: _table(
        *_HEAD,
        _I,
        *_LOGIN,
        _number("Version-min", 3, 1),
        _ISID,
        _TSIH,
        _ITT,
        _number("CID", 20, 2, FieldKind.TAG),
        _CMDSN,
        _EXPSTATSN,
    ),
    # RFC 7143 11.10
    Opcode.TEXT_REQUEST: _table(*_HEAD, _I, _F, _flag("C", 0x40), _LUN, _ITT, _TTT, _CMDSN, _EXPSTATSN),
    # RFC 7143 11.7
    Opcode.DATA_OUT: _table(
        *_HEAD, _F, _LUN, _ITT, _TTT, _EXPSTATSN, _number("DataSN", 36, 4), _number("BufferOffset", 40, 4)
    ),
    # RFC 7143 11.14
    Opcode.LOGOUT_REQUEST: _table(
        *_HEAD,
        _I,
        _F,
        _code("ReasonCode", 1, codes.LOGOUT_REASON, 0x7F),
        _ITT,
        _number("CID", 20, 2, FieldKind.TAG),
        _CMDSN,
        _EXPSTATSN,
    ),
    # RFC 7143 11.16; bytes 20-23 are the Target Transfer Tag or the SNACK Tag
    Opcode.SNACK: _table(
        *_HEAD,
        _F,
        _code("Type", 1, codes.SNACK_TYPE, 0x0F),
        _LUN,
        _ITT,
        _TTT,
        _EXPSTATSN,
        _number("BegRun", 40, 4),
        _number("RunLength", 44, 4),
    ),
    # RFC 7143 11.19
    Opcode.NOP_IN: _table(*_HEAD, _F, _LUN, _ITT, _TTT, *_TARGET_SNS),
    # RFC 7143 11.4; StatusQualifier is RFC 7144 5.2.1
    Opcode.SCSI_RESPONSE: _table(
        *_HEAD,
        _F,
        _flag("o", 0x10),
        _flag("u", 0x08),
        _flag("O", 0x04),
        _flag("U", 0x02),
        _code("Response", 2, codes.SCSI_RESPONSE),
        _code("Status", 3, codes.SCSI_STATUS),
        _number("StatusQualifier", 8, 2),
        _ITT,
        _number("SNACKTag", 20, 4, FieldKind.TAG),
        *_TARGET_SNS,
        _number("ExpDataSN", 36, 4),
        _number("BidirectionalReadResidualCount", 40, 4),
        _number("ResidualCount", 44, 4),
    ),
    # RFC 7143 11.6; AdditionalResponseInformation is RFC 7144 5.3.1
    Opcode.TMF_RESPONSE: _table(
        *_HEAD,
        _F,
        _code("Response", 2, codes.TMF_RESPONSE),
        _number("AdditionalResponseInformation", 8, 3),
        _ITT,
        *_TARGET_SNS,
    ),
    # RFC 7143 11.13
    Opcode.LOGIN_RESPONSE: _table(
        *_HEAD,
        *_LOGIN,
        _number("Version-active", 3, 1),
        _ISID,
        _TSIH,
        _ITT,
        *_TARGET_SNS,
        _number("Status-Class", 36, 1),
        _number("Status-Detail", 37, 1),
    ),
    # RFC 7143 11.11
    Opcode.TEXT_RESPONSE: _table(*_HEAD, _F, _flag("C", 0x40), _LUN, _ITT, _TTT, *_TARGET_SNS),
    # RFC 7143 11.7
    Opcode.DATA_IN: _table(
        *_HEAD,
        _F,
        _flag("A", 0x40),
        _flag("O", 0x04),
        _flag("U", 0x02),
        _flag("S", 0x01),
        _code("Status", 3, codes.SCSI_STATUS),
        _LUN,
        _ITT,
        _TTT,
        *_TARGET_SNS,
        _number("DataSN", 36, 4),
        _number("BufferOffset", 40, 4),
        _number("ResidualCount", 44, 4),
    ),
    # RFC 7143 11.15
    Opcode.LOGOUT_RESPONSE: _table(
        *_HEAD,
        _F,
        _code("Response", 2, codes.LOGOUT_RESPONSE),
        _ITT,
        *_TARGET_SNS,
        _number("Time2Wait", 40, 2),
        _number("Time2Retain", 42, 2),
    ),
    # RFC 7143 11.8
    Opcode.R2T: _table(
        *_HEAD,
        _F,
        _LUN,
        _ITT,
        _TTT,
        *_TARGET_SNS,
        _number("R2TSN", 36, 4),
        _number("BufferOffset", 40, 4),
        _number("DesiredDataTransferLength", 44, 4),
    ),
    # RFC 7143 11.9
    Opcode.ASYNC: _table(
        *_HEAD,
        _F,
        _LUN,
        _ITT,
        *_TARGET_SNS,
        _code("AsyncEvent", 36, codes.ASYNC_EVENT),
        _number("AsyncVCode", 37, 1),
        _number("Parameter1", 38, 2),
        _number("Parameter2", 40, 2),
        _number("Parameter3", 42, 2),
    ),
    # RFC 7143 11.17; bytes 36-39 are DataSN or R2TSN
    Opcode.REJECT: _table(
        *_HEAD, _F, _code("Reason", 2, codes.REJECT_REASON), _ITT, *_TARGET_SNS, _number("DataSN", 36, 4)
    ),
}


def fields_of(opcode: int) -> Mapping[str, Field]:
    """Give the field table of an opcode (0..63); unassigned ones have the common fields."""
    return FIELDS.get(opcode, _UNKNOWN)
