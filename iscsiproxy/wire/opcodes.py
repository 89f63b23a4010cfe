"""The opcodes of RFC 7143 11.2.1.2, and which end may send them.

An opcode is six bits; the others of byte 0 are I (0x40) and a reserved bit (0x80). Bit 0x20 of the opcode tells the
direction: clear in what an initiator sends, set in what a target sends. Every one of the 64 values has a name:
`Opcode-0x1c` and the like for those the RFC leaves unassigned or to vendors.
"""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["GROUPS", "LABELS", "End", "Opcode", "label_of", "opcode_of", "sender_of"]


class End(Enum):
    """One end of an iSCSI connection; also the leg of the proxy that leads to that end."""

    INITIATOR = "initiator"
    TARGET = "target"

    @property
    def other(self) -> End:
        """The end at the other side of the wire."""
        return End.TARGET if self is End.INITIATOR else End.INITIATOR

    def __str__(self) -> str:
        return self.value


class Opcode(IntEnum):
    """The assigned opcodes (RFC 7143 11.2.1.2)."""

    NOP_OUT = 0x00
    SCSI_COMMAND = 0x01
    TMF_REQUEST = 0x02
    LOGIN_REQUEST = 0x03
    TEXT_REQUEST = 0x04
    DATA_OUT = 0x05
    LOGOUT_REQUEST = 0x06
    SNACK = 0x10
    NOP_IN = 0x20
    SCSI_RESPONSE = 0x21
    TMF_RESPONSE = 0x22
    LOGIN_RESPONSE = 0x23
    TEXT_RESPONSE = 0x24
    DATA_IN = 0x25
    LOGOUT_RESPONSE = 0x26
    R2T = 0x31
    ASYNC = 0x32
    REJECT = 0x3F


#: The name of each assigned opcode, as users write it.
LABELS: dict[int, str] = {
    Opcode.NOP_OUT: "NOP-Out",
    Opcode.SCSI_COMMAND: "SCSI-Command",
    Opcode.TMF_REQUEST: "TMF-Request",
    Opcode.LOGIN_REQUEST: "Login-Request",
    Opcode.TEXT_REQUEST: "Text-Request",
    Opcode.DATA_OUT: "Data-Out",
    Opcode.LOGOUT_REQUEST: "Logout-Request",
    Opcode.SNACK: "SNACK",
    Opcode.NOP_IN: "NOP-In",
    Opcode.SCSI_RESPONSE: "SCSI-Response",
    Opcode.TMF_RESPONSE: "TMF-Response",
    Opcode.LOGIN_RESPONSE: "Login-Response",
    Opcode.TEXT_RESPONSE: "Text-Response",
    Opcode.DATA_IN: "Data-In",
    Opcode.LOGOUT_RESPONSE: "Logout-Response",
    Opcode.R2T: "R2T",
    Opcode.ASYNC: "Async",
    Opcode.REJECT: "Reject",
}

_BY_LABEL = {label: opcode for opcode, label in LABELS.items()}
_ALL = frozenset(range(64))

#: Group names that stand for several opcodes. `Status-PDU` also asks S of a Data-In, which is not a matter of opcodes.
GROUPS: dict[str, frozenset[int]] = {
    "Initiator-PDU": frozenset(op for op in _ALL if not op & 0x20),
    "Target-PDU": frozenset(op for op in _ALL if op & 0x20),
    "Any-PDU": _ALL,
    "Status-PDU": frozenset(
        {
            Opcode.NOP_IN,
            Opcode.SCSI_RESPONSE,
            Opcode.TMF_RESPONSE,
            Opcode.LOGIN_RESPONSE,
            Opcode.TEXT_RESPONSE,
            Opcode.DATA_IN,
            Opcode.LOGOUT_RESPONSE,
            Opcode.ASYNC,
            Opcode.REJECT,
        }
    ),
}


def label_of(opcode: int) -> str:
    """Name an opcode (0..63); an unassigned one is `Opcode-0x..`."""
    return LABELS.get(opcode) or f"Opcode-0x{opcode:02x}"


def opcode_of(label: str) -> int | None:
    """Give the opcode that `label` names, or None. Understands `Opcode-0x1c`."""
    known = _BY_LABEL.get(label)
    if known is not None:
        return int(known)
    if label.startswith("Opcode-0x") and len(label) == len("Opcode-0x00"):
        try:
            value = int(label[len("Opcode-0x") :], 16)
        except ValueError:
            return None
        return value if value < 64 and label_of(value) == label else None
    return None


def sender_of(opcode: int) -> End:
    """Tell which end sends this opcode (RFC 7143 11.2.1.2: the 0x20 bit)."""
    return End.TARGET if opcode & 0x20 else End.INITIATOR
