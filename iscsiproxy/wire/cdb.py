"""SCSI command descriptor blocks: which command, where, how much (SPC, SBC; RFC 7143 11.3.5).

One table holds the commands: opcode, service action where the opcode alone does not tell, length, and where the logical
block address, the number of blocks, and the allocation or parameter list length are. Block commands and the primary
commands are known in full, of other device types only what a disk or CD initiator sends. Where an opcode means one
thing to a disk and another to a tape or changer, the disk wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from iscsiproxy.errors import ScsiError

__all__ = ["CDB_NAMES", "Cdb", "changed_cdb", "decode_cdb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdb:
    """What a CDB asks for. A number the command does not have is None.

    `name` is the standard's, in capitals, with the size where there are several: `WRITE(10)`; an unknown command is
    `CDB-0x..`, with its service action behind a slash where the opcode has some. `blocks` counts logical blocks, the
    lengths are bytes: `allocation_length` of what the command reads, `parameter_length` of what it sends.
    """

    name: str
    opcode: int
    service_action: int | None = None
    action: str | None = None
    LBA: int | None = None
    blocks: int | None = None
    allocation_length: int | None = None
    parameter_length: int | None = None

    def __str__(self) -> str:
        parts = [self.name]
        if self.action is not None:
            parts.append(self.action)
        for label, value in (
            ("LBA", self.LBA),
            ("blocks", self.blocks),
            ("allocation_length", self.allocation_length),
            ("parameter_length", self.parameter_length),
        ):
            if value is not None:
                parts.append(f"{label}={value}")
        return " ".join(parts)


class _Span(NamedTuple):
    """A number inside a CDB: `size` bytes from `offset`, and what it means when it is 0."""

    offset: int
    size: int
    mask: int = -1
    zero: int = 0


class _Shape(NamedTuple):
    """The length of a CDB and where its numbers are."""

    length: int
    lba: _Span | None = None
    blocks: _Span | None = None
    allocation: _Span | None = None
    parameter: _Span | None = None


class _Actions(NamedTuple):
    """An opcode whose commands are told apart by a service action."""

    span: _Span
    commands: Mapping[int, tuple[str, _Shape]]


def _in(length: int, offset: int, size: int) -> _Shape:
    return _Shape(length, allocation=_Span(offset, size))


def _out(length: int, offset: int, size: int) -> _Shape:
    return _Shape(length, parameter=_Span(offset, size))


_PLAIN6, _PLAIN10, _PLAIN12, _PLAIN16 = _Shape(6), _Shape(10), _Shape(12), _Shape(16)
#: READ(6) and WRITE(6): 21 bits of address, and no blocks means 256 (SBC)
_BLOCKS6 = _Shape(6, lba=_Span(1, 3, 0x1FFFFF), blocks=_Span(4, 1, zero=256))
_LBA10, _LBA12, _LBA16, _LBA32 = _Span(2, 4), _Span(2, 4), _Span(2, 8), _Span(12, 8)
_BLOCKS10 = _Shape(10, lba=_LBA10, blocks=_Span(7, 2))
_BLOCKS12 = _Shape(12, lba=_LBA12, blocks=_Span(6, 4))
_BLOCKS16 = _Shape(16, lba=_LBA16, blocks=_Span(10, 4))
_BLOCKS32 = _Shape(32, lba=_LBA32, blocks=_Span(28, 4))
_IN16 = _in(16, 10, 4)
_OUT16 = _out(16, 10, 4)
_IN12, _OUT12 = _in(12, 6, 4), _out(12, 6, 4)
_LBA_IN16 = _Shape(16, lba=_LBA16, allocation=_Span(10, 4))
#: Where service actions are: five bits of byte 1, or bytes 8 and 9 of a variable length CDB (SPC)
_ACTION = _Span(1, 1, 0x1F)
_LONG_ACTION = _Span(8, 2)

_COMMANDS: Mapping[int, tuple[str, _Shape]] = {
    0x00: ("TEST UNIT READY", _PLAIN6),
    0x01: ("REZERO UNIT", _PLAIN6),
    0x03: ("REQUEST SENSE", _in(6, 4, 1)),
    0x04: ("FORMAT UNIT", _PLAIN6),
    0x05: ("READ BLOCK LIMITS", _PLAIN6),
    0x07: ("REASSIGN BLOCKS", _PLAIN6),
    0x08: ("READ(6)", _BLOCKS6),
    0x0A: ("WRITE(6)", _BLOCKS6),
    0x0B: ("SEEK(6)", _Shape(6, lba=_Span(1, 3, 0x1FFFFF))),
    0x12: ("INQUIRY", _in(6, 3, 2)),
    0x15: ("MODE SELECT(6)", _out(6, 4, 1)),
    0x16: ("RESERVE(6)", _PLAIN6),
    0x17: ("RELEASE(6)", _PLAIN6),
    0x1A: ("MODE SENSE(6)", _in(6, 4, 1)),
    0x1B: ("START STOP UNIT", _PLAIN6),
    0x1C: ("RECEIVE DIAGNOSTIC RESULTS", _in(6, 3, 2)),
    0x1D: ("SEND DIAGNOSTIC", _out(6, 3, 2)),
    0x1E: ("PREVENT ALLOW MEDIUM REMOVAL", _PLAIN6),
    0x23: ("READ FORMAT CAPACITIES", _in(10, 7, 2)),
    0x25: ("READ CAPACITY(10)", _Shape(10, lba=_LBA10)),
    0x28: ("READ(10)", _BLOCKS10),
    0x2A: ("WRITE(10)", _BLOCKS10),
    0x2B: ("SEEK(10)", _Shape(10, lba=_LBA10)),
    0x2E: ("WRITE AND VERIFY(10)", _BLOCKS10),
    0x2F: ("VERIFY(10)", _BLOCKS10),
    0x34: ("PRE-FETCH(10)", _BLOCKS10),
    0x35: ("SYNCHRONIZE CACHE(10)", _BLOCKS10),
    0x37: ("READ DEFECT DATA(10)", _in(10, 7, 2)),
    0x3B: ("WRITE BUFFER", _out(10, 6, 3)),
    0x3C: ("READ BUFFER(10)", _in(10, 6, 3)),
    0x3E: ("READ LONG(10)", _Shape(10, lba=_LBA10, allocation=_Span(7, 2))),
    0x3F: ("WRITE LONG(10)", _Shape(10, lba=_LBA10, parameter=_Span(7, 2))),
    0x41: ("WRITE SAME(10)", _BLOCKS10),
    0x42: ("UNMAP", _out(10, 7, 2)),
    0x43: ("READ TOC/PMA/ATIP", _in(10, 7, 2)),
    0x46: ("GET CONFIGURATION", _in(10, 7, 2)),
    0x48: ("SANITIZE", _out(10, 7, 2)),
    0x4A: ("GET EVENT STATUS NOTIFICATION", _in(10, 7, 2)),
    0x4C: ("LOG SELECT", _out(10, 7, 2)),
    0x4D: ("LOG SENSE", _in(10, 7, 2)),
    0x50: ("XDWRITE(10)", _BLOCKS10),
    0x51: ("XPWRITE(10)", _BLOCKS10),
    0x52: ("XDREAD(10)", _BLOCKS10),
    0x53: ("XDWRITEREAD(10)", _BLOCKS10),
    0x55: ("MODE SELECT(10)", _out(10, 7, 2)),
    0x56: ("RESERVE(10)", _out(10, 7, 2)),
    0x57: ("RELEASE(10)", _out(10, 7, 2)),
    0x5A: ("MODE SENSE(10)", _in(10, 7, 2)),
    0x5E: ("PERSISTENT RESERVE IN", _in(10, 7, 2)),
    0x5F: ("PERSISTENT RESERVE OUT", _out(10, 5, 4)),
    0x85: ("ATA PASS-THROUGH(16)", _PLAIN16),
    0x86: ("ACCESS CONTROL IN", _IN16),
    0x87: ("ACCESS CONTROL OUT", _OUT16),
    0x88: ("READ(16)", _BLOCKS16),
    0x89: ("COMPARE AND WRITE", _Shape(16, lba=_LBA16, blocks=_Span(13, 1))),
    0x8A: ("WRITE(16)", _BLOCKS16),
    0x8B: ("ORWRITE(16)", _BLOCKS16),
    0x8C: ("READ ATTRIBUTE", _IN16),
    0x8D: ("WRITE ATTRIBUTE", _OUT16),
    0x8E: ("WRITE AND VERIFY(16)", _BLOCKS16),
    0x8F: ("VERIFY(16)", _BLOCKS16),
    0x90: ("PRE-FETCH(16)", _BLOCKS16),
    0x91: ("SYNCHRONIZE CACHE(16)", _BLOCKS16),
    0x93: ("WRITE SAME(16)", _BLOCKS16),
    0x9A: ("WRITE STREAM(16)", _Shape(16, lba=_LBA16, blocks=_Span(12, 2))),
    0x9B: ("READ BUFFER(16)", _IN16),
    0x9C: ("WRITE ATOMIC(16)", _Shape(16, lba=_LBA16, blocks=_Span(12, 2))),
    0xA0: ("REPORT LUNS", _IN12),
    0xA1: ("ATA PASS-THROUGH(12)", _PLAIN12),
    0xA2: ("SECURITY PROTOCOL IN", _IN12),
    0xA8: ("READ(12)", _BLOCKS12),
    0xAA: ("WRITE(12)", _BLOCKS12),
    0xAE: ("WRITE AND VERIFY(12)", _BLOCKS12),
    0xAF: ("VERIFY(12)", _BLOCKS12),
    0xB5: ("SECURITY PROTOCOL OUT", _OUT12),
    0xB7: ("READ DEFECT DATA(12)", _IN12),
    0xBE: ("READ CD", _Shape(12, lba=_LBA12, blocks=_Span(6, 3))),
}

_FAMILIES: Mapping[int, _Actions] = {
    0x7F: _Actions(
        _LONG_ACTION,
        {
            0x0003: ("XDREAD(32)", _BLOCKS32),
            0x0004: ("XDWRITE(32)", _BLOCKS32),
            0x0006: ("XPWRITE(32)", _BLOCKS32),
            0x0007: ("XDWRITEREAD(32)", _BLOCKS32),
            0x0009: ("READ(32)", _BLOCKS32),
            0x000A: ("VERIFY(32)", _BLOCKS32),
            0x000B: ("WRITE(32)", _BLOCKS32),
            0x000C: ("WRITE AND VERIFY(32)", _BLOCKS32),
            0x000D: ("WRITE SAME(32)", _BLOCKS32),
            0x000E: ("ORWRITE(32)", _BLOCKS32),
            0x000F: ("WRITE ATOMIC(32)", _BLOCKS32),
            0x0010: ("WRITE STREAM(32)", _BLOCKS32),
            0x0012: ("GET LBA STATUS(32)", _Shape(32, lba=_LBA32, allocation=_Span(28, 4))),
        },
    ),
    0x83: _Actions(
        _ACTION,
        {
            0x00: ("EXTENDED COPY(LID1)", _OUT16),
            0x01: ("EXTENDED COPY(LID4)", _OUT16),
            0x10: ("POPULATE TOKEN", _OUT16),
            0x11: ("WRITE USING TOKEN", _OUT16),
            0x1C: ("COPY OPERATION ABORT", _PLAIN16),
        },
    ),
    0x84: _Actions(
        _ACTION,
        {
            0x00: ("RECEIVE COPY STATUS(LID1)", _IN16),
            0x01: ("RECEIVE COPY DATA(LID1)", _IN16),
            0x03: ("RECEIVE COPY OPERATING PARAMETERS", _IN16),
            0x04: ("RECEIVE COPY FAILURE DETAILS(LID1)", _IN16),
            0x05: ("RECEIVE COPY STATUS(LID4)", _IN16),
            0x06: ("RECEIVE COPY DATA(LID4)", _IN16),
            0x07: ("RECEIVE ROD TOKEN INFORMATION", _IN16),
            0x08: ("REPORT ALL ROD TOKENS", _IN16),
        },
    ),
    0x94: _Actions(
        _ACTION,
        {
            0x01: ("CLOSE ZONE", _Shape(16, lba=_LBA16)),
            0x02: ("FINISH ZONE", _Shape(16, lba=_LBA16)),
            0x03: ("OPEN ZONE", _Shape(16, lba=_LBA16)),
            0x04: ("RESET WRITE POINTER", _Shape(16, lba=_LBA16)),
        },
    ),
    0x95: _Actions(_ACTION, {0x00: ("REPORT ZONES", _LBA_IN16)}),
    0x9E: _Actions(
        _ACTION,
        {
            0x10: ("READ CAPACITY(16)", _LBA_IN16),
            0x11: ("READ LONG(16)", _Shape(16, lba=_LBA16, allocation=_Span(12, 2))),
            0x12: ("GET LBA STATUS(16)", _LBA_IN16),
            0x13: ("REPORT REFERRALS", _LBA_IN16),
            0x14: ("STREAM CONTROL", _IN16),
            0x15: ("BACKGROUND CONTROL", _PLAIN16),
            0x16: ("GET STREAM STATUS", _IN16),
            0x17: ("GET PHYSICAL ELEMENT STATUS", _IN16),
        },
    ),
    0x9F: _Actions(
        _ACTION,
        {
            0x11: ("WRITE LONG(16)", _Shape(16, lba=_LBA16, parameter=_Span(12, 2))),
            0x12: ("WRITE SCATTERED(16)", _Shape(16, blocks=_Span(10, 4))),
        },
    ),
    0xA3: _Actions(
        _ACTION,
        {
            0x05: ("REPORT IDENTIFYING INFORMATION", _IN12),
            0x0A: ("REPORT TARGET PORT GROUPS", _IN12),
            0x0B: ("REPORT ALIASES", _IN12),
            0x0C: ("REPORT SUPPORTED OPERATION CODES", _IN12),
            0x0D: ("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", _IN12),
            0x0E: ("REPORT PRIORITY", _IN12),
            0x0F: ("REPORT TIMESTAMP", _IN12),
            0x10: ("MANAGEMENT PROTOCOL IN", _IN12),
        },
    ),
    0xA4: _Actions(
        _ACTION,
        {
            0x06: ("SET IDENTIFYING INFORMATION", _OUT12),
            0x0A: ("SET TARGET PORT GROUPS", _OUT12),
            0x0B: ("CHANGE ALIASES", _OUT12),
            0x0E: ("SET PRIORITY", _OUT12),
            0x0F: ("SET TIMESTAMP", _OUT12),
            0x10: ("MANAGEMENT PROTOCOL OUT", _OUT12),
        },
    ),
    0xAB: _Actions(_ACTION, {0x01: ("READ MEDIA SERIAL NUMBER", _IN12)}),
}

#: Commands of one name whose service action says what they do (SPC, SBC)
_ACTION_NAMES: Mapping[int, Mapping[int, str]] = {
    0x48: {1: "OVERWRITE", 2: "BLOCK ERASE", 3: "CRYPTOGRAPHIC ERASE", 0x1F: "EXIT FAILURE MODE"},
    0x5E: {0: "READ KEYS", 1: "READ RESERVATION", 2: "REPORT CAPABILITIES", 3: "READ FULL STATUS"},
    0x5F: {
        0: "REGISTER",
        1: "RESERVE",
        2: "RELEASE",
        3: "CLEAR",
        4: "PREEMPT",
        5: "PREEMPT AND ABORT",
        6: "REGISTER AND IGNORE EXISTING KEY",
        7: "REGISTER AND MOVE",
        8: "REPLACE LOST RESERVATION",
    },
}

#: The names of all known commands, in order.
CDB_NAMES: tuple[str, ...] = tuple(
    sorted(
        {name for name, _ in _COMMANDS.values()}
        | {name for family in _FAMILIES.values() for name, _ in family.commands.values()}
    )
)


@lru_cache(maxsize=256)  # a command that passes is asked about several times
def decode_cdb(cdb: bytes) -> Cdb:
    """Read a CDB: the 16 bytes of the BHS field, with what an extended CDB adds; more than it has is ignored.

    Raises ScsiError if the CDB is shorter than its command needs.
    """
    name, action, shape = _known(cdb)
    opcode = cdb[0]
    if shape is None:
        return Cdb(name=name, opcode=opcode, service_action=action)
    action_name: str | None = None
    if opcode in _ACTION_NAMES:
        action = _read(cdb, _ACTION)
        action_name = _ACTION_NAMES[opcode].get(action, f"0x{action:02x}")
    return Cdb(
        name=name,
        opcode=opcode,
        service_action=action,
        action=action_name,
        LBA=shape.lba and _read(cdb, shape.lba),
        blocks=shape.blocks and _read(cdb, shape.blocks),
        allocation_length=shape.allocation and _read(cdb, shape.allocation),
        parameter_length=shape.parameter and _read(cdb, shape.parameter),
    )


def changed_cdb(cdb: bytes, number: str, value: int) -> bytes:
    """Give a CDB with another `LBA`, or number of `blocks`.

    Raises ScsiError if the CDB is shorter than its command needs, ValueError if the command has no such number or the
    value does not fit.
    """
    name, _, shape = _known(cdb)
    span = None if shape is None else {"LBA": shape.lba, "blocks": shape.blocks}.get(number)
    if span is None:
        raise ValueError(f"{name} has no {number}")
    most = span.zero or ((1 << 8 * span.size) - 1) & span.mask
    least = 1 if span.zero else 0
    if not least <= value <= most:
        raise ValueError(f"{name} takes {least} to {most}, not {value}")
    end = span.offset + span.size
    kept = int.from_bytes(cdb[span.offset : end], "big") & ~span.mask
    stored = kept | (0 if value == span.zero else value)
    return cdb[: span.offset] + stored.to_bytes(span.size, "big") + cdb[end:]


def _known(cdb: bytes) -> tuple[str, int | None, _Shape | None]:
    """Give the name of a command, its service action if that tells it, and where its numbers are if it is known."""
    if not cdb:
        raise ScsiError("CDB: expected at least 1 byte, got none")
    opcode = cdb[0]
    name = f"CDB-0x{opcode:02x}"
    action: int | None = None
    family = _FAMILIES.get(opcode)
    if family is not None:
        _need(name, cdb, family.span.offset + family.span.size)
        action = _read(cdb, family.span)
        name = f"{name}/0x{action:0{2 * family.span.size}x}"
        known = family.commands.get(action)
    else:
        known = _COMMANDS.get(opcode)
    if known is None:
        return name, action, None
    name, shape = known
    _need(name, cdb, shape.length)
    return name, action, shape


def _need(name: str, cdb: bytes, length: int) -> None:
    if len(cdb) < length:
        raise ScsiError(f"{name}: expected {length} bytes of CDB, got {len(cdb)}")


def _read(cdb: bytes, span: _Span) -> int:
    return (int.from_bytes(cdb[span.offset : span.offset + span.size], "big") & span.mask) or span.zero
