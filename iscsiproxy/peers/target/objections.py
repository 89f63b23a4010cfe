"""What a target rejects a PDU for, before there is a task: its opcode, its header, its data digest (RFC 7143 11.17.1).

A command that is rejected has not been received: its CmdSN is still to come (7.3).
"""

from __future__ import annotations

from enum import IntEnum

from iscsiproxy.errors import AhsError
from iscsiproxy.wire.ahs import AhsType, parse_ahs
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["NUMBERED", "Reason", "command_objection", "misfit", "objection"]

#: What carries a CmdSN and an I bit, but for the Login Request (RFC 7143 11.2.1.1, 4.2.2.1)
NUMBERED = frozenset(
    {
        *(Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST),
    }
)
#: What may not carry data (RFC 7143 11.5, 11.14)
_NO_DATA = frozenset({Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST})
#: Task attributes 5 to 7 are reserved (RFC 7143 11.3.1)
_LAST_ATTRIBUTE = 4


class Reason(IntEnum):
    """Why a PDU is rejected (RFC 7143 11.17.1)."""

    DATA_DIGEST = 0x02
    PROTOCOL_ERROR = 0x04
    NOT_SUPPORTED = 0x05
    TOO_MANY_IMMEDIATE = 0x06
    IN_PROGRESS = 0x07
    INVALID_FIELD = 0x09


def misfit(opcode: int, *, discovery: bool) -> Reason | None:
    """Give the reason to reject a PDU for its opcode, if there is one (RFC 7143 11.17.1)."""
    if sender_of(opcode) is End.TARGET or opcode == Opcode.LOGIN_REQUEST:
        return Reason.PROTOCOL_ERROR
    if opcode == Opcode.SNACK:
        return Reason.PROTOCOL_ERROR  # ErrorRecoveryLevel 0 knows none (7.1.5)
    if opcode not in NUMBERED and opcode != Opcode.DATA_OUT:
        return Reason.NOT_SUPPORTED
    if discovery and opcode not in (Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST):
        return Reason.PROTOCOL_ERROR  # RFC 7143 4.3
    return None


def objection(pdu: Pdu) -> Reason | None:
    """Give the reason to reject a PDU for what its header says or its data digest, if there is one."""
    opcode = pdu.opcode
    if (pdu.ahs and opcode != Opcode.SCSI_COMMAND) or (pdu.data and opcode in _NO_DATA):
        return Reason.INVALID_FIELD
    if pdu.data_digest_ok() is False and opcode != Opcode.DATA_OUT:
        return Reason.DATA_DIGEST
    if pdu["ITT"] == NO_TAG and (opcode != Opcode.NOP_OUT or not pdu["I"]):
        return Reason.INVALID_FIELD
    return None


def command_objection(pdu: Pdu) -> Reason | None:
    """Give the reason to reject a SCSI Command (RFC 7143 11.3)."""
    reads, writes, final, length = pdu["R"], pdu["W"], pdu["F"], len(pdu.data)
    if pdu["ATTR"] > _LAST_ATTRIBUTE or not (writes or final) or (length and not writes):
        return Reason.INVALID_FIELD
    if pdu["EDTL"] and not (reads or writes):
        return Reason.INVALID_FIELD
    if not final and length == pdu["EDTL"]:
        return Reason.INVALID_FIELD  # there is nothing left to come (11.3.4)
    try:
        kinds = [segment.type for segment in parse_ahs(pdu.ahs)]
    except AhsError:
        return Reason.INVALID_FIELD
    if any(kind not in tuple(AhsType) for kind in kinds) or len(set(kinds)) != len(kinds):
        return Reason.INVALID_FIELD
    if (AhsType.BIDIRECTIONAL_READ_EDTL in kinds) != bool(reads and writes):
        return Reason.INVALID_FIELD
    return None
