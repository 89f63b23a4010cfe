"""Reject: its reason, the header in it, and the task that it does not end (RFC 7143 11.17, 7.3)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import SINCE_7143
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["FAMILY"]

_REJECT = frozenset({Opcode.REJECT})
_RESERVED = codes.REJECT_REASON.value("RESERVED")
_NEGOTIATION_RESET = codes.REJECT_REASON.value("NEGOTIATION_RESET")
#: What tells PDUs of a connection apart
_NUMBERS = ("Opcode", "ITT", "CmdSN", "TTT", "DataSN", "BufferOffset")
#: PDUs inside a task that are no request of their own
_INSIDE = frozenset({Opcode.DATA_OUT, Opcode.SNACK})


def _is_told_right(moment: Moment) -> Outcome:
    """T-051: see that the reason is one that there is, and that the header is one that was given."""
    reason = moment["Reason"]
    deprecated = reason == _NEGOTIATION_RESET and moment.profile in SINCE_7143
    if reason not in codes.REJECT_REASON or reason == _RESERVED or deprecated:
        return Breach(text=f"reason {reason:#04x}")
    header = rejected_header(moment.pdu)
    if header is None:
        if moment.length >= BHS_LENGTH:
            return None  # it is not in the journal
        return Breach(text=f"{moment.length} bytes of data where a header of 48 is due", clause="RFC 7143 11.17.4")
    given = moment.conn.given
    if any(note.pdu is not None and note.pdu.bhs == header.bhs for note in given):
        return FINE
    if not moment.framed:
        return None
    near = next((note for note in reversed(given) if _like(note, header)), None)
    if not _knows_headers(moment) and near is None:
        return None
    text = f"the header inside is none that was given on this connection ({header.label} ITT={header['ITT']:#x})"
    return Breach(text=text, proof=() if near is None else (near,), clause="RFC 7143 11.17.4")


def _knows_headers(moment: Moment) -> bool:
    """Tell whether all headers are known that the target may have meant."""
    conn = moment.conn
    if not conn.terms.known or not conn.complete:
        return False
    return len(conn.given) < (conn.given.maxlen or 0) or moment.at - conn.given[0].at > moment.scene.limits.answer


def _like(note: Note, header: Pdu) -> bool:
    """Tell whether a header is meant to be this one: only one PDU has these numbers."""
    pdu = note.pdu
    return pdu is not None and all(pdu.get(name) == header.get(name) for name in _NUMBERS)


class _Finals:
    """Bursts whose last Data-Out came with a wrong data digest: nothing more is on its way (RFC 7143 7.8)."""

    def __init__(self) -> None:
        self.tags: set[int] = set()


def _note_final(moment: Moment) -> None:
    if moment.record.header_digest_ok is not False and moment.task is not None and moment["F"]:
        moment.task.recall(_Finals).tags.add(moment["TTT"])


def _ends_nothing(moment: Moment) -> Outcome:
    """T-052: see that a task whose PDU was rejected has a response all the same."""
    task = moment.task
    if moment.opcode != Opcode.REJECT:
        if task is None or not task.is_scsi or (moment.opcode == Opcode.DATA_IN and not moment["S"]):
            return None
        return FINE if moment.settle(task.serial) else None
    header = rejected_header(moment.pdu)
    if header is None or task is None or not task.live or not task.is_scsi or task.doubtful or task.ignored:
        return None
    if header.opcode not in _INSIDE and not _was_active(task, header):
        return None
    text = f"{header.label} ITT={task.itt:#x} was rejected, and its task has no response"
    conn = moment.conn
    moment.owe(task.serial, text, proof=(task.note,), still=lambda: moment.framed and _is_due(task, conn))
    return None


def _was_active(task: Task, header: Pdu) -> bool:
    """Tell whether the rejected PDU is the request of a task that had begun by then."""
    return header.opcode == task.opcode and (task.data_in is not None or bool(task.r2ts))


def _is_due(task: Task, conn: Conn) -> bool:
    """Tell whether nothing but the target keeps a task from its end."""
    if task.terminal is not None or task.aborted is not None or task.conn != conn.number or conn.logout is not None:
        return False
    if task.ended is not None and task.ended is not task.rejected:
        return False
    finals = task.known(_Finals)
    over = set() if finals is None else finals.tags
    if any(ttt not in over and not r2t.done for ttt, r2t in task.r2ts_open.items()):
        return False
    unsolicited = task.writes and not task.values["F"] and task.unsolicited.final is None
    return not unsolicited or NO_TAG in over


FAMILY = Family(
    name="rejects",
    title="Reject",
    rules=(
        Rule(
            id="T-051",
            title="A Reject has a reason that is defined, and the header of a PDU that came on its connection",
            severity=Severity.MUST,
            clause="RFC 7143 11.17.1",
            check=_is_told_right,
            sent=_REJECT,
            why="By the header alone the initiator knows which of its PDUs was rejected.",
        ),
        Rule(
            id="T-052",
            title="A Reject of a PDU inside a task does not end it: a response follows",
            severity=Severity.MUST,
            clause="RFC 7143 7.3",
            check=_ends_nothing,
            sent=_REJECT | {Opcode.SCSI_RESPONSE, Opcode.DATA_IN},
            why="The initiator waits for the end of a command of which the target knows nothing any more.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_note_final, spoiled=frozenset({Opcode.DATA_OUT})),),
)
