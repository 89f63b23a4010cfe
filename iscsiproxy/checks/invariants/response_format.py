"""The SCSI Response: its code, its sense data, its SNACK Tag (RFC 7143 11.4)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_SCSI_RESPONSE = frozenset({Opcode.SCSI_RESPONSE})
_SNACK = frozenset({Opcode.SNACK})
_CHECK_CONDITION = codes.SCSI_STATUS.value("CHECK_CONDITION")
_R_DATA = codes.SNACK_TYPE.value("R_DATA")
#: Response codes from here on are for vendors (RFC 7143 11.4.3)
_VENDOR = 0x80
#: SenseLength, and the header of sense data of either format (RFC 7143 11.4.7.1, SPC)
_LENGTH_OF_LENGTH = 2
_LEAST_SENSE = 8


class _Tags:
    """The SNACK Tags of a task, by the R-Data SNACK that brought them."""

    def __init__(self) -> None:
        self.notes: dict[int, Note] = {}


def _has_sense(moment: Moment) -> Outcome:
    """T-038: see that a CHECK CONDITION says why, and that SenseLength is that of what is there."""
    if moment["Response"]:
        return None
    length, failed = moment.length, moment["Status"] == _CHECK_CONDITION
    if not length and not failed:
        return None
    if failed and length < _LENGTH_OF_LENGTH + _LEAST_SENSE:
        what = f"{length} bytes, too few for sense data" if length else "no data segment: there is no sense data"
        return Breach(text=f"CHECK CONDITION with {what}")
    data = moment.data
    if data is None:
        return None
    sense = int.from_bytes(data[:_LENGTH_OF_LENGTH], "big")
    if sense > length - _LENGTH_OF_LENGTH:
        return Breach(text=f"SenseLength={sense} in a data segment of {length} bytes")
    if failed and sense < _LEAST_SENSE:
        return Breach(text=f"CHECK CONDITION with SenseLength={sense}, too few for sense data")
    return FINE


def _has_known_code(moment: Moment) -> Outcome:
    """T-039: see that the code is one of those there are, and the SNACK Tag one that the initiator gave."""
    response, tag = moment["Response"], moment["SNACKTag"]
    if response not in codes.SCSI_RESPONSE and response < _VENDOR:
        return Breach(text=f"Response={response:#04x}, which is reserved", clause="RFC 7143 11.4.3")
    if not tag:
        return FINE
    task = moment.task
    if task is None or not (moment.conn.complete and moment.session.complete):
        return None
    if tag in task.recall(_Tags).notes:
        return FINE
    return Breach(
        text=f"SNACKTag={tag:#x}, and no R-Data SNACK for this task had it",
        proof=(task.note,),
        clause="RFC 7143 11.4.4",
    )


def _note_tag(moment: Moment) -> None:
    """Keep the tag of an R-Data SNACK."""
    if moment["Type"] == _R_DATA and moment.task is not None:
        moment.task.recall(_Tags).notes[moment["TTT"]] = moment.note


FAMILY = Family(
    name="response_format",
    title="The fields and the sense data of a SCSI Response",
    rules=(
        Rule(
            id="T-038",
            title="A CHECK CONDITION comes with sense data, and SenseLength fits the data segment",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.7, RFC 7143 7.7",
            check=_has_sense,
            sent=_SCSI_RESPONSE,
            why="An initiator that does not know why a command failed drops the session or repeats it without end.",
        ),
        Rule(
            id="T-039",
            title="The Response code is assigned, and the SNACK Tag is that of an R-Data SNACK, or 0",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.3, RFC 7143 11.4.4",
            check=_has_known_code,
            sent=_SCSI_RESPONSE,
            why="A reserved code says nothing of what became of the command.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_note_tag, given=_SNACK),),
)
