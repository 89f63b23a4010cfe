"""PDUs made from a template: what is not given is right for the connection at that time.

Sequence numbers that are not given are left to the relay, which knows them when it writes; the rest is settled here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iscsiproxy.engine.actions.set_ import assign
from iscsiproxy.engine.authored import advances
from iscsiproxy.engine.facts import Look, fresh_tag
from iscsiproxy.engine.work import Built, Work
from iscsiproxy.errors import PeerError
from iscsiproxy.language.spec import Literal_, Param, ParamKind
from iscsiproxy.session.events import Change
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SPLIT", "TEMPLATE", "given", "make", "meant_for", "numbers_of"]

#: What every template takes besides fields.
TEMPLATE = (
    Param(name="text", kind=ParamKind.TEXTS, help="keys and values of its text"),
    Param(name="conn", kind=ParamKind.NAME, help="the connection to send it on: a capture of it"),
    Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
)
#: What a request may have besides.
SPLIT = Param(name="split_text", kind=ParamKind.ACT, help="send the text of a Text-Request in several rounds")
#: The sequence numbers of a PDU that goes to each end; the relay puts them in.
_NUMBERS = {
    End.TARGET: ("CmdSN", "ExpStatSN"),
    End.INITIATOR: ("StatSN", "ExpCmdSN", "MaxCmdSN"),
}
#: Requests that may be immediate, but for commands: those would overtake what is queued (RFC 7143 4.2.2.1).
_IMMEDIATE = frozenset({Opcode.NOP_OUT, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST})
#: What F says of data that goes on; in all other PDUs it is always 1, or ends what it is in.
_GOES_ON = frozenset({Opcode.DATA_OUT, Opcode.DATA_IN})
#: Tags that are none unless they are given (RFC 7143 11.5.4, 11.10.4, 11.18.2, 11.19)
_NO_TAGS = ("TTT", "RefTaskTag")
_WITHOUT_ITT = frozenset({Opcode.ASYNC, Opcode.REJECT, Opcode.NOP_IN})
#: PDUs from the target whose tag names a task, and data that belongs to one: without a tag given, that in hand.
_OF_A_TASK = frozenset({Opcode.DATA_OUT, Opcode.SNACK})
#: A logical unit stands in these beside a Target Transfer Tag only, or never (RFC 7143 11.9, 11.10.3, 11.16.3, 11.18.3)
_LUN_OF_TTT = frozenset({Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE, Opcode.SNACK})
_WITHOUT_LUN = frozenset({Opcode.NOP_IN, Opcode.NOP_OUT, Opcode.ASYNC})
#: SNACKs that name none: Status and DataACK (RFC 7143 11.16)
_SNACKS_OF_NO_TASK = (1, 2)
#: Bytes in a block, where only a CDB tells how much is to be moved.
_BLOCK = 512


def given(act: Built, work: Work) -> dict[str, Any]:
    """Evaluate the fields that a template gives. Raises ActError for one that is absent."""
    return {name: work.value(fn, name) for name, fn in act.fields.items()}


def meant_for(to: End, act: Built, work: Work) -> frozenset[str]:
    """Name the given fields that are in the numbers of that leg: what is written down, and all that was seen there."""
    look = work.look if work.look is not None else work.around()
    if look is not None and look.leg is to:
        return frozenset(act.fields)
    return frozenset(name for name, expr in act.act.fields.items() if isinstance(expr, Literal_))


def make(opcode: int, values: Mapping[str, Any], act: Built, work: Work) -> tuple[Pdu, list[Change]]:
    """Make the PDU of a template. Raises ActError for a value that does not fit."""
    look = work.look if work.look is not None else work.around()
    data = _data(values, act, work)
    if opcode == Opcode.REJECT and "data" not in values:
        data = _rejected(look)
    pdu = Pdu.build(opcode, data)
    defaults = _defaults(pdu, values, look)
    pdu = pdu.with_fields({name: value for name, value in defaults.items() if name in pdu.fields})
    return assign(pdu, {name: value for name, value in values.items() if name != "data"})


def numbers_of(pdu: Pdu, values: Mapping[str, Any]) -> frozenset[str]:
    """Name the sequence numbers of a made PDU that nobody has given."""
    names = frozenset(name for name in _NUMBERS[pdu.sender.other] if name in pdu.fields and name not in values)
    if pdu.opcode == Opcode.DATA_IN and not advances(pdu):
        names -= {"StatSN"}  # it means nothing there (RFC 7143 11.7.3)
    return names


def _data(values: Mapping[str, Any], act: Built, work: Work) -> bytes:
    text = act.params.get("text")
    if text is not None:
        pairs = [item if isinstance(item, str) else str(work.value(item, "text")) for item in text]
        return b"".join(pair.encode("utf-8", "surrogateescape") + b"\0" for pair in pairs)
    data = values.get("data", b"")
    return data.encode() if isinstance(data, str) else bytes(data)


def _rejected(look: Look | None) -> bytes:
    """Give the header of the request in hand, which is what a Reject has in it (RFC 7143 11.17.4)."""
    request = None if look is None else look.pdu
    return request.bhs + request.ahs if request is not None and request.sender is End.INITIATOR else b""


def _defaults(pdu: Pdu, values: Mapping[str, Any], look: Look | None) -> dict[str, int | bytes]:
    opcode = pdu.opcode
    found: dict[str, int | bytes] = dict.fromkeys(_NO_TAGS, NO_TAG)
    if opcode not in _GOES_ON:
        found["F"] = 1
    if opcode in _IMMEDIATE or opcode == Opcode.LOGIN_REQUEST:
        found["I"] = 1
    if "ITT" not in values:
        of_none = opcode == Opcode.SNACK and values.get("Type") in _SNACKS_OF_NO_TASK
        found["ITT"] = NO_TAG if of_none else _tag(opcode, look)
    if opcode == Opcode.R2T and "TTT" not in values:
        found["TTT"] = _fresh(look)
    no_unit = opcode in _WITHOUT_LUN or (opcode in _LUN_OF_TTT and "TTT" not in values)
    if "LUN" not in values and look is not None and not no_unit:
        found["LUN"] = _lun(look)
    if opcode == Opcode.SCSI_COMMAND:
        found |= _transfer(pdu, values)
    return found


def _tag(opcode: int, look: Look | None) -> int:
    if opcode in _WITHOUT_ITT:
        return NO_TAG
    task = None if look is None else look.view.task
    of_task = opcode in _OF_A_TASK or Pdu.build(opcode).sender is End.TARGET
    if of_task:
        return NO_TAG if task is None else task.command["ITT"]
    return _fresh(look)


def _fresh(look: Look | None) -> int:
    return 0 if look is None else fresh_tag(look)


def _lun(look: Look) -> int:
    """Give the logical unit of the task in hand, as the header has it."""
    task = look.view.task
    if task is not None and "LUN" in task.command.fields:
        return int(task.command["LUN"])
    return int(look.pdu["LUN"]) if look.pdu is not None and "LUN" in look.pdu.fields else 0


def _transfer(pdu: Pdu, values: Mapping[str, Any]) -> dict[str, int | bytes]:
    """Give R, W and EDTL of a command, from its data and its CDB (RFC 7143 11.3.1, 11.3.4)."""
    found: dict[str, int | bytes] = {"ATTR": 1}
    if pdu.data:
        return found | {"W": 1, "EDTL": len(pdu.data)}
    cdb = values.get("CDB")
    if cdb is None or "EDTL" in values:
        return found
    try:
        command = decode_cdb(bytes(cdb))
    except PeerError:
        return found
    blocks = command.blocks
    if blocks:
        return found | {"W" if command.name.startswith("WRITE") else "R": 1, "EDTL": blocks * _BLOCK}
    return found
