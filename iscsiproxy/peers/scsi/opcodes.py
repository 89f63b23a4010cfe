"""REPORT SUPPORTED OPERATION CODES: what the unit's registry of commands holds (SPC-4 6.35).

The CDB usage data tells which bits of a CDB are looked at. It is kept here by operation code; a command that is not in
the table is told as looking at everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.handler import Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "cdb_length", "cdb_usage"]

#: REPORTING OPTIONS: all, one without service action, one with, one either way (SPC-4 table 260)
_ALL, _PLAIN, _ACTION, _EITHER = range(4)
#: RCTD: with command timeouts descriptors
_RCTD = 0x80
#: CTDP and SERVACTV of a command descriptor; CTDP of the one_command format
_CTDP, _SERVACTV, _ONE_CTDP = 0x02, 0x01, 0x80
#: SUPPORT: not at all; in conformance with a standard
_UNSUPPORTED, _SUPPORTED = 1, 3
#: A command timeouts descriptor that tells no times (SPC-4 6.35.4)
_TIMEOUTS = bytes([0x00, 0x0A]) + bytes(10)
#: Bytes of a CDB by the group code in its operation code (SPC-4 4.2.5.1)
_LENGTHS = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}
#: The CONTROL byte: NACA
_CONTROL = "04"

#: Bytes of CDB usage data between operation code and CONTROL byte, the service action left out
_USAGE: Mapping[int, str] = {
    0x00: "00000000",
    0x03: "010000ff",
    0x08: "1fffffff",
    0x0A: "1fffffff",
    0x12: "03ffffff",
    0x15: "110000ff",
    0x16: "00000000",
    0x17: "00000000",
    0x1A: "08ffffff",
    0x1B: "000000f7",
    0x1C: "01ffffff",
    0x1D: "e400ffff",
    0x1E: "00000003",
    0x25: "0000000000000000",
    0x28: "f8ffffffff00ffff",
    0x2A: "f8ffffffff00ffff",
    0x2E: "f6ffffffff00ffff",
    0x2F: "f6ffffffff00ffff",
    0x34: "00ffffffff00ffff",
    0x35: "00ffffffff00ffff",
    0x37: "001f00000000ffff",
    0x41: "feffffffff00ffff",
    0x42: "010000000000ffff",
    0x55: "110000000000ffff",
    0x5A: "18ffff000000ffff",
    0x5E: "000000000000ffff",
    0x5F: "00ff0000ffffffff",
    0x88: "f8ffffffffffffffffffffffff00",
    0x89: "f8ffffffffffffffff000000ff00",
    0x8A: "f8ffffffffffffffffffffffff00",
    0x8B: "f8ffffffffffffffffffffffff00",
    0x8E: "f6ffffffffffffffffffffffff00",
    0x8F: "f6ffffffffffffffffffffffff00",
    0x90: "00ffffffffffffffffffffffff00",
    0x91: "00ffffffffffffffffffffffff00",
    0x93: "ffffffffffffffffffffffffff00",
    0x9C: "f8ffffffffffffffffffffffff00",
    0x9E: "00ffffffffffffffffffffffff00",
    0xA0: "00ff000000ffffffff00",
    0xA3: "e0ffffffffffffffff00",
    0xA8: "f8ffffffffffffffff00",
    0xAA: "f8ffffffffffffffff00",
    0xAE: "f6ffffffffffffffff00",
    0xAF: "f6ffffffffffffffff00",
    0xB7: "1f00000000ffffffff00",
}


def cdb_length(opcode: int) -> int:
    """Tell how long the CDBs of an operation code are."""
    return _LENGTHS.get(opcode >> 5, 16)


def cdb_usage(opcode: int, action: int | None) -> bytes:
    """Give the CDB usage data of a command: its operation code, its service action, and a mask for all else."""
    middle = _USAGE.get(opcode, "ff" * (cdb_length(opcode) - 2))
    usage = bytearray.fromhex(f"{opcode:02x}{middle}{_CONTROL}")
    if action is not None:
        usage[1] = usage[1] & 0xE0 | action
    return bytes(usage)


def _report(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    timeouts, option = bool(cdb[2] & _RCTD), cdb[2] & 0x07
    if option == _ALL:
        data = _all(unit.commands, timeouts=timeouts)
    elif option <= _EITHER:
        data = _one(unit.commands, option, cdb[3], access.number(cdb, 4, 6), timeouts=timeouts)
    else:
        access.invalid_field()
    return data[: access.number(cdb, 6, 10)]


def _all(commands: Commands, *, timeouts: bool) -> bytes:
    listing = bytearray()
    for opcode, action in sorted(commands, key=lambda key: (key[0], key[1] or 0)):
        flags = (_CTDP if timeouts else 0) | (0 if action is None else _SERVACTV)
        listing += bytes([opcode, 0]) + (action or 0).to_bytes(2, "big") + bytes([0, flags])
        listing += cdb_length(opcode).to_bytes(2, "big") + (_TIMEOUTS if timeouts else b"")
    return len(listing).to_bytes(4, "big") + listing


def _one(commands: Commands, option: int, opcode: int, action: int, *, timeouts: bool) -> bytes:
    has_actions = any(known == opcode and which is not None for known, which in commands)
    exists = any(known == opcode for known, _ in commands)
    if exists and option != _EITHER and has_actions != (option == _ACTION):
        access.invalid_field()
    key = (opcode, action if has_actions else None)
    if key not in commands or (option == _EITHER and not has_actions and action):
        return bytes([0, _UNSUPPORTED, 0, 0])
    usage = cdb_usage(*key)
    flags = (_ONE_CTDP if timeouts else 0) | _SUPPORTED
    return bytes([0, flags]) + len(usage).to_bytes(2, "big") + usage + (_TIMEOUTS if timeouts else b"")


#: REPORT SUPPORTED OPERATION CODES (SPC-4 6.35)
COMMANDS: Commands = {
    (0xA3, 0x0C): Handler(
        name="REPORT SUPPORTED OPERATION CODES",
        wants=lambda _unit, _nexus, _cdb: 0,
        perform=_report,
        reach=Reach(),
    ),
}
