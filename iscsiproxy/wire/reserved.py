"""The reserved bits of every basic header segment (RFC 7143 11: sent as 0, ignored by the receiver).

Stated here on their own, not computed from the field tables, so that each checks the other. A field that is reserved
only at times (LUN without a valid Target Transfer Tag, PRI and StatusQualifier below iSCSIProtocolLevel 2) is a field.
Bits count as the RFC does: bit 0 of a byte is its highest, 0x80.
"""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.wire.opcodes import Opcode

__all__ = ["RESERVED_MASKS", "reserved_bits"]

#: Bytes and bits, `byte`, `byte-byte`, `byte.bit` or `byte.bit-bit`, for each opcode.
_STATED: Mapping[int, str] = {
    Opcode.NOP_OUT: "0.0 1.1-7 2-3 32-47",  # RFC 7143 11.18
    Opcode.SCSI_COMMAND: "0.0 1.3-4 2.4-7 3",  # RFC 7143 11.3
    Opcode.TMF_REQUEST: "0.0 2-3 40-47",  # RFC 7143 11.5
    Opcode.LOGIN_REQUEST: "0.0 1.2-3 22-23 32-47",  # RFC 7143 11.12
    Opcode.TEXT_REQUEST: "0.0 1.2-7 2-3 32-47",  # RFC 7143 11.10
    Opcode.DATA_OUT: "0.0-1 1.1-7 2-3 24-27 32-35 44-47",  # RFC 7143 11.7
    Opcode.LOGOUT_REQUEST: "0.0 2-3 8-15 22-23 32-47",  # RFC 7143 11.14
    Opcode.SNACK: "0.0-1 1.1-3 2-3 24-27 32-39",  # RFC 7143 11.16
    Opcode.NOP_IN: "0.0-1 1.1-7 2-3 36-47",  # RFC 7143 11.19
    Opcode.SCSI_RESPONSE: "0.0-1 1.1-2 1.7 10-15",  # RFC 7143 11.4
    Opcode.TMF_RESPONSE: "0.0-1 1.1-7 3 11-15 20-23 36-47",  # RFC 7143 11.6
    Opcode.LOGIN_RESPONSE: "0.0-1 1.2-3 20-23 38-47",  # RFC 7143 11.13
    Opcode.TEXT_RESPONSE: "0.0-1 1.2-7 2-3 36-47",  # RFC 7143 11.11
    Opcode.DATA_IN: "0.0-1 1.2-4 2",  # RFC 7143 11.7
    Opcode.LOGOUT_RESPONSE: "0.0-1 1.1-7 3 8-15 20-23 36-39 44-47",  # RFC 7143 11.15
    Opcode.R2T: "0.0-1 1.1-7 2-3",  # RFC 7143 11.8
    Opcode.ASYNC: "0.0-1 1.1-7 2-3 20-23 44-47",  # RFC 7143 11.9
    Opcode.REJECT: "0.0-1 1.1-7 3 8-15 20-23 40-47",  # RFC 7143 11.17
}


def _masks(stated: str) -> dict[int, int]:
    masks: dict[int, int] = {}
    for item in stated.split():
        place, dot, bits = item.partition(".")
        low, _, high = place.partition("-")
        first, _, last = bits.partition("-") if dot else ("0", "-", "7")
        mask = sum(0x80 >> bit for bit in range(int(first), int(last or first) + 1))
        for byte in range(int(low), int(high or low) + 1):
            masks[byte] = masks.get(byte, 0) | mask
    return masks


#: For each assigned opcode: byte of the BHS -> its reserved bits.
RESERVED_MASKS: Mapping[int, Mapping[int, int]] = {int(opcode): _masks(stated) for opcode, stated in _STATED.items()}


def reserved_bits(opcode: int) -> tuple[str, ...]:
    """List the addresses of the reserved bits of an opcode's BHS, as `BHS.byte.bit`; none for unassigned opcodes."""
    return tuple(
        f"BHS.{byte}.{bit}"
        for byte, mask in RESERVED_MASKS.get(opcode, {}).items()
        for bit in range(8)
        if mask & 0x80 >> bit
    )
