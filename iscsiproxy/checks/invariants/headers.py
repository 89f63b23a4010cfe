"""What every header has to be, whatever it says: its opcode, its reserved bits, its AHS (RFC 7143 11, 11.2).

A field that is reserved only at times (a LUN without a Target Transfer Tag) is looked at too, but weighs less: nobody
is misled by it, and many implementations fill it in always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import ANY, FINE, FROM_INITIATOR, FROM_TARGET, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, FIELDS, NO_TAG, Field
from iscsiproxy.wire.opcodes import LABELS, Opcode
from iscsiproxy.wire.reserved import RESERVED_MASKS

__all__ = ["FAMILY"]

#: Opcodes for vendors, at either end (RFC 7143 11.2.1.2)
_VENDOR_REQUESTS = frozenset({0x1C, 0x1D, 0x1E})
_VENDOR_RESPONSES = frozenset({0x3C, 0x3D, 0x3E})
_REQUESTS = FROM_INITIATOR | _VENDOR_REQUESTS
_RESPONSES = FROM_TARGET | _VENDOR_RESPONSES
#: PDUs in which F, the highest bit of byte 1, is always 1 (RFC 7143 11.4 to 11.19)
_ALWAYS_FINAL = frozenset(
    {Opcode.NOP_OUT, Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.SNACK, Opcode.NOP_IN, Opcode.SCSI_RESPONSE,
     Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.R2T, Opcode.ASYNC, Opcode.REJECT}
)  # fmt: skip
_ALL_ONES = (1 << 64) - 1
#: The parameters that each Async event leaves reserved (RFC 7143 11.9.1)
_ASYNC_RESERVED: Mapping[str, tuple[str, ...]] = {
    "SCSI_ASYNC_EVENT": ("AsyncVCode", "Parameter1", "Parameter2", "Parameter3"),
    "LOGOUT_REQUEST": ("LUN", "AsyncVCode", "Parameter1", "Parameter2"),
    "CONNECTION_DROP": ("LUN", "AsyncVCode"),
    "SESSION_DROP": ("LUN", "AsyncVCode", "Parameter1"),
    "NEGOTIATION_REQUEST": ("LUN", "AsyncVCode", "Parameter1", "Parameter2"),
    "TASK_TERMINATION": ("AsyncVCode", "Parameter1", "Parameter2", "Parameter3"),
}
#: And those that each task management function does (RFC 7143 11.5.3, 11.5.5, 11.5.6; RFC 7144 6.3)
_TMF_RESERVED: Mapping[str, tuple[str, ...]] = {
    "ABORT_TASK": ("ExpDataSN",),
    "ABORT_TASK_SET": ("RefCmdSN", "ExpDataSN"),
    "CLEAR_ACA": ("RefCmdSN", "ExpDataSN"),
    "CLEAR_TASK_SET": ("RefCmdSN", "ExpDataSN"),
    "LUN_RESET": ("RefCmdSN", "ExpDataSN"),
    "TARGET_WARM_RESET": ("LUN", "RefCmdSN", "ExpDataSN"),
    "TARGET_COLD_RESET": ("LUN", "RefCmdSN", "ExpDataSN"),
    "TASK_REASSIGN": ("LUN", "RefCmdSN"),
}


def _place(field: Field) -> int:
    """Give the bits of a field in a header that is read as one number."""
    return field.mask << 8 * (BHS_LENGTH - field.offset - field.size)


def _header(opcode: int) -> tuple[int, int]:
    """Give the bits of a header that are the same in every PDU of an opcode, and what they are."""
    mask = bytearray(BHS_LENGTH)
    for byte, bits in RESERVED_MASKS[opcode].items():
        mask[byte] = bits
    final = _place(FIELDS[opcode]["F"]) if opcode in _ALWAYS_FINAL else 0
    return int.from_bytes(mask, "big") | final, final


_HEADERS = {opcode: _header(opcode) for opcode in RESERVED_MASKS}


def _without_tag(values: Mapping[str, int]) -> tuple[str, ...]:
    return ("LUN",) if values["TTT"] == NO_TAG else ()


def _of_ping(values: Mapping[str, int]) -> tuple[str, ...]:
    # A NOP-Out that is no ping may answer an Async, with its LUN (RFC 7143 11.9.1).
    return ("LUN",) if values["TTT"] == NO_TAG and values["ITT"] != NO_TAG else ()


#: The fields of a PDU that mean nothing in it
_AT_TIMES: Mapping[int, Callable[[Mapping[str, int]], tuple[str, ...]]] = {
    Opcode.NOP_OUT: _of_ping,
    Opcode.TEXT_REQUEST: _without_tag,
    Opcode.TMF_REQUEST: lambda values: _TMF_RESERVED.get(codes.TMF_FUNCTION.text(values["Function"]), ()),
    Opcode.NOP_IN: _without_tag,
    Opcode.TEXT_RESPONSE: _without_tag,
    Opcode.ASYNC: lambda values: _ASYNC_RESERVED.get(codes.ASYNC_EVENT.text(values["AsyncEvent"]), ()),
}
#: What iSCSIProtocolLevel 2 made of reserved bytes (RFC 7144 5.2.1, 5.3.1)
_LEVEL_2: Mapping[int, str] = {
    Opcode.SCSI_RESPONSE: "StatusQualifier",
    Opcode.TMF_RESPONSE: "AdditionalResponseInformation",
}


def _is_of_target(moment: Moment) -> Outcome:
    """T-001: see that the opcode is one of those that targets send."""
    return FINE if moment.opcode in _RESPONSES else Breach(text=_foreign(moment.opcode, "target"))


def _foreign(opcode: int, end: str) -> str:
    label = LABELS.get(opcode)
    if label is None:
        return f"opcode {opcode:#04x} is not assigned to anything that {'an' if end[0] == 'i' else 'a'} {end} sends"
    return f"opcode {opcode:#04x} is {label}, which no {end} sends"


def _has_right_bits(moment: Moment) -> Outcome:
    """T-002, and I-001 in part: see that bits without a meaning are 0, and F is 1 where it always is."""
    opcode = moment.opcode
    mask, wanted = _HEADERS[opcode]
    if int.from_bytes(moment.pdu.bhs, "big") & mask != wanted:
        return Breach(text=_wrong_bits(moment))
    later = _LEVEL_2.get(opcode)
    if later is not None and moment[later]:
        terms = moment.terms
        if terms.known and terms.protocol_level < 2:
            return Breach(
                text=f"{later}={moment[later]:#x}, which is reserved at iSCSIProtocolLevel {terms.protocol_level}"
            )
    unused = _AT_TIMES.get(opcode)
    if unused is not None:
        for name in unused(moment.values):
            value = moment[name]
            if value and not (name == "LUN" and value == _ALL_ONES):
                return Breach(text=f"{name}={value:#x}, which is reserved in this PDU", severity=Severity.HEURISTIC)
    return FINE


def _wrong_bits(moment: Moment) -> str:
    bhs, opcode = moment.pdu.bhs, moment.opcode
    if opcode in _ALWAYS_FINAL and not moment["F"]:
        return "bit 0 of byte 1 is 0, and is always 1 in this PDU"
    wrong = [(byte, mask) for byte, mask in RESERVED_MASKS[opcode].items() if bhs[byte] & mask]
    byte, mask = wrong[0]
    if byte == 0 and bhs[0] & mask == FIELDS[Opcode.NOP_OUT]["I"].mask:
        text = "the I bit is 1"
    else:
        text = f"byte {byte} is {bhs[byte]:#04x}, where the bits {mask:#04x} are reserved"
    return text if len(wrong) == 1 else f"{text}, and {len(wrong) - 1} more bytes are wrong"


def _is_of_initiator(moment: Moment) -> Outcome:
    """I-001: see that the opcode is one of those that initiators send, and the bits of the header are right."""
    opcode = moment.opcode
    if opcode not in _REQUESTS:
        return Breach(text=_foreign(opcode, "initiator"), clause="RFC 7143 11.2.1.2")
    return FINE if opcode in _VENDOR_REQUESTS else _has_right_bits(moment)


def _has_no_ahs(moment: Moment) -> Outcome:
    """T-003: see that no AHS comes from a target."""
    words = moment["TotalAHSLength"]
    return Breach(text=f"TotalAHSLength={words}, and a target's PDU has no AHS") if words else FINE


def _has_no_tag(moment: Moment) -> Outcome:
    """T-031: see that a Data-In that asks for no acknowledgement has nothing in TTT and LUN; 0 and ones both pass."""
    values = moment.values
    if values["A"]:
        return None
    ttt, lun = values["TTT"], values["LUN"]
    if ttt and ttt != NO_TAG:
        return Breach(text=f"TTT={ttt:#x} without A, where it is reserved")
    if lun and lun != _ALL_ONES and (moment.task is None or lun != moment.task.lun):
        return Breach(text=f"LUN={lun:#x} without A, where it is reserved, and which is not that of the command")
    return FINE


FAMILY = Family(
    name="headers",
    title="Opcodes, reserved bits and additional header segments",
    rules=(
        Rule(
            id="T-001",
            title="A target sends only its own PDUs",
            severity=Severity.MUST,
            clause="RFC 7143 11.2.1.2",
            check=_is_of_target,
            sent=ANY,
            why="An initiator drops the connection at such a PDU, or loses its place in the stream.",
        ),
        Rule(
            id="T-002",
            title="Reserved bits and fields of a target's PDU are 0, and bits that are always 1 are 1",
            severity=Severity.MUST,
            clause="RFC 7143 11, RFC 7143 11.2",
            check=_has_right_bits,
            sent=FROM_TARGET,
            why="What is reserved today has a meaning tomorrow, and an initiator that knows it will act on garbage.",
        ),
        Rule(
            id="T-003",
            title="A target's PDU has no additional header segment",
            severity=Severity.MUST,
            clause="RFC 7143 11.2, RFC 7143 11.2.1.5",
            check=_has_no_ahs,
            sent=FROM_TARGET,
            why="Initiators that expect none take the AHS for data, and lose their place in the stream.",
        ),
        Rule(
            id="T-031",
            title="A Data-In without A has no Target Transfer Tag and no LUN",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.7.4",
            check=_has_no_tag,
            sent=frozenset({Opcode.DATA_IN}),
            why="An initiator that takes the tag for a request answers with a SNACK that nobody asked for.",
        ),
        Rule(
            id="I-001",
            title="An initiator sends only its own PDUs; reserved bits are 0, and bits that are always 1 are 1",
            severity=Severity.MUST,
            clause="RFC 7143 11, RFC 7143 11.2",
            check=_is_of_initiator,
            sent=ANY,
            why="What is reserved today has a meaning tomorrow, and a target that knows it will act on garbage.",
        ),
    ),
)
