"""The decisions of an initiator that somebody is known to take differently, each as the standard wants it.

The session asks `conduct` at these places and has no other branch that deviates. A quirk is a subclass that overrides
one method, or a few that belong to one deviation; `with_quirks` stacks them.

A method that judges returns where the matter is to be let pass, and raises where it ends the session: `ProtocolError`
for what the target did wrong, `ConnectionLost` for what the initiator will not live with.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.wire.codes import ASYNC_EVENT
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Conduct", "Reaction", "advances_statsn", "with_quirks"]

#: Asynchronous messages of a vendor (RFC 7143 11.9.1)
_VENDOR_EVENTS = range(248, 256)

#: PDUs that take a StatSN, and those that do so only now and then (RFC 7143 4.2.2.2, 11.7.3, 11.19)
_STATUS_PDUS = frozenset(
    {
        Opcode.SCSI_RESPONSE,
        Opcode.TMF_RESPONSE,
        Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.ASYNC,
        Opcode.REJECT,
    }
)
_NO_TASK = 0xFFFFFFFF


class Reaction(Enum):
    """What an initiator does about an asynchronous message (RFC 7143 11.9.1)."""

    NOTHING = "take note"
    LOG_OUT = "log out"
    WAIT_AND_RECONNECT = "give the connection up and come back after Time2Wait"
    AWAIT_DROP = "let the target drop the connection, and come back after Time2Wait"
    NEGOTIATE = "send a Text Request"
    TERMINATE_TASKS = "forget the tasks of the logical unit, and acknowledge"


def advances_statsn(pdu: Pdu) -> bool:
    """Tell whether a target's PDU takes a StatSN (RFC 7143 4.2.2.2)."""
    opcode = pdu.opcode
    if opcode == Opcode.DATA_IN:
        return bool(pdu["S"])
    if opcode == Opcode.NOP_IN:
        return pdu["ITT"] != _NO_TASK
    return opcode in _STATUS_PDUS


class Conduct:
    """What the standard wants. Sequence numbers are 32-bit, lengths bytes, times seconds."""

    # --- login ----------------------------------------------------------------------------------------------------

    def login_tsih(self, tsih: int) -> int:
        """Give the TSIH of a Login Request (RFC 7143 11.12.6: not 0 to reinstate a connection)."""
        return tsih

    def wrong_transit(self, message: str) -> None:
        """Judge T, CSG or NSG of a Login Response that do not go with the request (RFC 7143 6.3, 11.13.6)."""
        raise ProtocolError(message, section="RFC 7143 11.13.6")

    def repeated_key(self, key: str) -> None:
        """Judge a key that the target declares or negotiates again (RFC 7143 6.3: the initiator drops)."""
        raise ProtocolError(f"{key} a second time", section="RFC 7143 6.3")

    def inadmissible_value(self, message: str) -> None:
        """Judge a login answer that the key or the offer does not allow (RFC 7143 6.2.1: the initiator drops)."""
        raise ProtocolError(message, section="RFC 7143 6.2.1")

    def continues_response(self) -> bool:
        """Tell whether a Login Response with C is put together with the ones that follow (RFC 7143 6.2)."""
        return True

    def login_rounds(self) -> int:
        """Give how many Login Requests there may be before the login is given up; 0: as many as it takes."""
        return 0

    def repeats_offers(self) -> bool:
        """Tell whether each new text of the operational stage has all the offers (RFC 7143 6.3: a key once only)."""
        return False

    def wrong_portal_group(self, expected: int, found: int) -> None:
        """Judge a TargetPortalGroupTag that is not the one that was looked for (RFC 7143 13.9)."""
        raise ProtocolError(f"portal group {found} instead of {expected}", section="RFC 7143 13.9")

    # --- every PDU ------------------------------------------------------------------------------------------------

    def digest_error(self, pdu: Pdu, *, header: bool) -> None:
        """Judge a wrong digest at ErrorRecoveryLevel 0; returning drops the PDU (RFC 7143 7.8: session recovery)."""
        part = "header" if header else "data"
        raise ProtocolError(f"{pdu.label}: wrong {part} digest", section="RFC 7143 7.8")

    def additional_header(self, pdu: Pdu) -> None:
        """Judge an AHS in what a target sent (RFC 7143 11.2.1.5, 7.7: a format error)."""
        raise ProtocolError(f"{pdu.label} with an AHS", section="RFC 7143 11.2.1.5")

    def advances_statsn(self, pdu: Pdu) -> bool:
        """Tell whether a PDU takes a StatSN, so that the next one is expected after it (RFC 7143 4.2.2.2)."""
        return advances_statsn(pdu)

    def wrong_statsn(self, pdu: Pdu, expected: int) -> None:
        """Judge a StatSN that is not the next one (RFC 7143 7.9: at ErrorRecoveryLevel 0 session recovery)."""
        raise ProtocolError(f"{pdu.label}: StatSN {pdu['StatSN']}, expected {expected}", section="RFC 7143 7.9")

    def unknown_task(self, pdu: Pdu) -> None:
        """Judge a PDU whose ITT names no task; returning drops the PDU (RFC 7143 7.10)."""
        raise ProtocolError(f"{pdu.label}: no task {pdu['ITT']:#010x}", section="RFC 7143 7.10")

    # --- data -----------------------------------------------------------------------------------------------------

    def wrong_datasn(self, message: str) -> None:
        """Judge a DataSN, R2TSN or ExpDataSN that tells that a PDU is missing (RFC 7143 7.9)."""
        raise ProtocolError(message, section="RFC 7143 7.9")

    def wrong_offset(self, message: str) -> None:
        """Judge Data-In that does not begin where the last one ended (RFC 7143 11.7.6, 13.18)."""
        raise ProtocolError(message, section="RFC 7143 11.7.6")

    def long_sequence(self, length: int) -> None:
        """Judge Data-In beyond MaxBurstLength without F (RFC 7143 13.13).

        The target's fault, but nothing that an initiator comes to harm by, and no format error (7.7): tgtd does it.
        """

    def missing_data(self, message: str) -> None:
        """Judge a good status for a read with fewer bytes than the residual count leaves (RFC 7143 11.4.5)."""
        raise ProtocolError(message, section="RFC 7143 11.4.5.1")

    def acknowledge_asked(self, pdu: Pdu) -> None:
        """Judge the A bit of a Data-In at ErrorRecoveryLevel 0 (RFC 7143 11.7.2: ignored)."""

    # --- what the target says by itself ---------------------------------------------------------------------------

    def ping_lun(self, lun: int) -> int:
        """Give the LUN field of the answer to a target's ping (RFC 7143 11.18.2: a copy)."""
        return lun

    def reaction(self, event: int) -> Reaction:
        """Choose what to do about an AsyncEvent (RFC 7143 11.9.1); unknown ones are protocol errors (11)."""
        try:
            return _REACTIONS[event]
        except KeyError:
            if event in _VENDOR_EVENTS:
                return Reaction.NOTHING
            raise ProtocolError(f"AsyncEvent {ASYNC_EVENT.text(event)}", section="RFC 7143 11.9.1") from None

    def fills_place(self) -> bool:
        """Tell whether a NOP-Out takes the CmdSN of a command that was rejected before it was taken (RFC 7143 7.3)."""
        return True

    # --- recovery -------------------------------------------------------------------------------------------------

    def reconnect_after(self, time2wait: float, *, told: bool) -> float:
        """Give how long to wait before the next login (RFC 7143 7.5, 13.15: at least Time2Wait).

        `told` if the target named the time when the session ended, else it is what was negotiated.
        """
        return time2wait

    def reconnect_interval(self) -> float:
        """Give how long after one recovery the next may begin at the soonest; 0: at any time."""
        return 0.0


_REACTIONS = {
    0: Reaction.NOTHING,
    1: Reaction.LOG_OUT,
    2: Reaction.WAIT_AND_RECONNECT,
    3: Reaction.WAIT_AND_RECONNECT,
    4: Reaction.NEGOTIATE,
    5: Reaction.TERMINATE_TASKS,
}


def with_quirks(quirks: Iterable[type[Conduct]]) -> Conduct:
    """Make a conduct that deviates as each of the quirks says, and nowhere else."""
    conduct: Conduct = type("Conduct", (*dict.fromkeys(quirks), Conduct), {})()
    return conduct
