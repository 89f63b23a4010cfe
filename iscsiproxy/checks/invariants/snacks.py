"""SNACK: what an initiator asks for again, and the data that it acknowledges (RFC 7143 11.16, 11.7.2).

What is asked for may be one number beyond the last that was seen: a timer may ask for it before anything shows that it
is missing.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment, advances_stat_sn
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.serial import add, lt

__all__ = ["FAMILY"]

_SNACK = frozenset({Opcode.SNACK})
_DATA, _STATUS, _DATA_ACK, _R_DATA = 0, 1, 2, 3
#: How many Data-In PDUs that want an acknowledgement are remembered
_ASKED = 512
#: So soon a connection is given up on account of what has come just now, in seconds
_AT_ONCE = 1.0


class _Acks:
    """The Data-In PDUs of a connection that have the A bit, by Target Transfer Tag.

    `ignored` is the first that has it at ErrorRecoveryLevel 0, where it means nothing.
    """

    def __init__(self) -> None:
        self.by_tag: dict[int, Note] = {}
        self.ignored: Note | None = None

    def keep(self, note: Note) -> None:
        """Note one more."""
        self.by_tag.pop(note["TTT"], None)
        self.by_tag[note["TTT"]] = note
        if len(self.by_tag) > _ASKED:
            del self.by_tag[next(iter(self.by_tag))]


class _Tags:
    """The SNACK Tags of a task."""

    def __init__(self) -> None:
        self.used: set[int] = set()


class _Mark:
    """How many bytes of a task had come when it last had the A bit."""

    def __init__(self) -> None:
        self.bytes = 0


# --- I-035 ------------------------------------------------------------------------------------------------------------


def _is_well_formed(moment: Moment) -> Outcome:
    """I-035: a SNACK is agreed on, and has the fields of its type."""
    if not moment.full_feature:
        return None
    kind = moment["Type"]
    if moment.terms.known and moment.terms.error_recovery_level == 0:
        return Breach(text="SNACK with ErrorRecoveryLevel=0", clause="RFC 7143 7.1.5")
    if kind not in codes.SNACK_TYPE:
        return Breach(text=f"Type {kind} is reserved", clause="RFC 7143 11.16.1")
    name, itt, ttt = codes.SNACK_TYPE.text(kind), moment["ITT"], moment["TTT"]
    if (itt == NO_TAG) is not (kind in (_STATUS, _DATA_ACK)):
        return Breach(text=f"{name} with ITT={itt:#x}", clause="RFC 7143 11.16.4")
    if itt != NO_TAG and moment.session.complete and (moment.task is None or not moment.task.is_scsi):
        return Breach(text=f"{name} with ITT={itt:#x}, which is of no command", clause="RFC 7143 11.16.4")
    if kind in (_DATA, _STATUS) and ttt != NO_TAG:
        return Breach(text=f"{name} with TTT={ttt:#x}", clause="RFC 7143 11.16.5")
    if kind == _DATA_ACK:
        return _is_a_copy(moment)
    if kind == _R_DATA:
        return _has_a_tag(moment)
    return FINE


def _is_a_copy(moment: Moment) -> Outcome:
    """Hold a DataACK against the Data-In that it is for."""
    ttt, conn = moment["TTT"], moment.conn
    if moment["RunLength"]:
        return Breach(text=f"DATA_ACK with RunLength={moment['RunLength']}", clause="RFC 7143 11.16.7")
    acks = conn.known(_Acks)
    note = None if acks is None else acks.by_tag.get(ttt)
    if note is None:
        if not conn.complete or ttt in conn.ack_tags:
            return None
        return Breach(text=f"DATA_ACK with TTT={ttt:#x}: no Data-In with A had that", clause="RFC 7143 11.16.5")
    if moment["LUN"] != note["LUN"]:
        text = f"DATA_ACK with LUN={moment['LUN']:#x} of a Data-In with LUN={note['LUN']:#x}"
        return Breach(text=text, proof=(note,), clause="RFC 7143 11.16.5")
    return FINE


def _has_a_tag(moment: Moment) -> Outcome:
    """Hold an R-Data SNACK against those before it."""
    tag, task = moment["TTT"], moment.task
    if tag in (0, NO_TAG):
        return Breach(text=f"R_DATA with SNACK Tag {tag:#x}", clause="RFC 7143 11.16.5")
    if moment["BegRun"] or moment["RunLength"]:
        text = f"R_DATA with BegRun={moment['BegRun']}, RunLength={moment['RunLength']}: both have to be 0"
        return Breach(text=text, clause="RFC 7143 11.16.6, RFC 7143 11.16.7")
    if task is None:
        return None
    used = task.recall(_Tags).used
    if tag in used:
        return Breach(text=f"R_DATA with SNACK Tag {tag:#x} a second time", clause="RFC 7143 11.16.5")
    used.add(tag)
    return FINE


# --- I-036 ------------------------------------------------------------------------------------------------------------


def _asks_for_what_is_missing(moment: Moment) -> Outcome:
    """I-036: a SNACK asks for what was sent, and has not been acknowledged."""
    if not moment.full_feature:
        return None
    kind = moment["Type"]
    if kind == _STATUS:
        return _of_status(moment)
    task = moment.conn.ack_tags.get(moment["TTT"]) if kind == _DATA_ACK else moment.task
    if task is None or not task.is_scsi or kind not in codes.SNACK_TYPE:
        return None
    status = task.terminal
    if status is not None and _counted(moment, status) and _acknowledged(moment, status["StatSN"]):
        text = f"{codes.SNACK_TYPE.text(kind)} for ITT={task.itt:#x}, whose status is acknowledged"
        clause = "RFC 7143 11.7.2" if kind == _DATA_ACK else "RFC 7143 11.16.1"
        return Breach(text=text, proof=(status,), clause=clause)
    if kind == _R_DATA or (task.resends is not None and task.resends.afresh is not None):
        return FINE
    first, length, top = moment["BegRun"], moment["RunLength"], _next_data_sn(moment, task)
    if kind == _DATA_ACK:
        if lt(top, first):
            text = f"DATA_ACK up to DataSN {first} of ITT={task.itt:#x}, of which {top} is the next"
            return Breach(text=text, proof=(task.note,), clause="RFC 7143 11.16.6")
        return FINE
    acked = task.acked_sn
    if (first or length) and lt(first, acked):
        text = f"DataSN {first} of ITT={task.itt:#x} is asked for again: {acked} is the next not acknowledged"
        return Breach(text=text, proof=(task.note,), clause="RFC 7143 11.16.2")
    if lt(top, _last(first, length)):
        text = f"DataSN {_last(first, length)} of ITT={task.itt:#x} is asked for, of which {top} is the next"
        return Breach(text=text, proof=(task.note,))
    return FINE


def _of_status(moment: Moment) -> Outcome:
    first, length = moment["BegRun"], moment["RunLength"]
    if not first and not length:
        return FINE
    if _acknowledged(moment, first):
        return Breach(text=f"StatSN {first} is asked for, which is acknowledged", proof=_proof(moment.conn.acked_note))
    top, last = _next_stat_sn(moment), _last(first, length)
    if top is not None and lt(top, last):
        return Breach(text=f"StatSN {last} is asked for, and {top} is the next", proof=_proof(moment.conn.status_note))
    return FINE


def _proof(note: Note | None) -> tuple[Note, ...]:
    return () if note is None else (note,)


def _last(first: int, length: int) -> int:
    return add(first, max(length - 1, 0))


def _counted(moment: Moment, status: Note) -> bool:
    """Tell whether a status was the one with its StatSN on this connection, and not taken for an old one."""
    return status.conn == moment.conn.number and moment.conn.statuses.get(status["StatSN"]) is status


def _acknowledged(moment: Moment, stat_sn: int) -> bool:
    """Tell whether a status is acknowledged, by this PDU or before."""
    acked = moment.conn.acked
    return lt(stat_sn, moment["ExpStatSN"]) or (acked is not None and lt(stat_sn, acked))


def _next_stat_sn(moment: Moment) -> int | None:
    """Give the StatSN that comes next by all that was given, with a wrong digest too; None if that is not known."""
    top = moment.conn.next_stat
    for note in moment.conn.given:
        pdu = note.pdu
        number = None if pdu is None else pdu.get("StatSN")
        if pdu is None or number is None or (pdu.opcode == Opcode.DATA_IN and not pdu["S"]):
            continue
        values = {name: pdu[name] for name in ("ITT", "S", "StatSN") if name in pdu.fields}
        number = add(number, int(advances_stat_sn(pdu.opcode, values)))
        if top is None or lt(top, number):
            top = number
    return top


def _next_data_sn(moment: Moment, task: Task) -> int:
    """Give the DataSN or R2TSN of a task that comes next by all that was given, with a wrong digest too."""
    top = task.next_sn
    for note in moment.conn.given:
        pdu = note.pdu
        if pdu is None or pdu["ITT"] != task.itt or note.n < task.note.n:
            continue
        number = pdu.get("DataSN") if pdu.opcode == Opcode.DATA_IN else pdu.get("R2TSN")
        number = pdu.get("ExpDataSN") if number is None else add(number, 1)
        if number is not None and lt(top, number):
            top = number
    return top


# --- I-037 ------------------------------------------------------------------------------------------------------------


def _acknowledges_data(moment: Moment) -> Outcome:
    """I-037: Data-In with the A bit is acknowledged, when all before it is there; at level 0 the bit means nothing."""
    if moment.closed is not None:
        return _gave_up(moment)
    if moment.sent:
        return _acked(moment)
    if not moment.values["A"] or not moment.full_feature or not moment.terms.known:
        return None
    task, ttt, acks = moment.task, moment["TTT"], moment.conn.recall(_Acks)
    if not moment.terms.error_recovery_level:
        if acks.ignored is None:
            acks.ignored = moment.note
            return None
        return FINE if _survived(moment, acks.ignored) else None
    if ttt == NO_TAG or task is None or not task.is_scsi:
        return None
    acks.keep(moment.note)
    if _has_to_be_acked(moment, task):
        conn = moment.conn
        moment.owe(
            ttt,
            f"Data-In with A, TTT={ttt:#x}, was not acknowledged by a SNACK of type DataACK",
            proof=(task.note,),
            still=lambda: task.live and task.aborting is None and conn.logout is None and not conn.ended,
        )
    return None


def _has_to_be_acked(moment: Moment, task: Task) -> bool:
    """Tell whether the A bit came in its time, and nothing is missing: else it may be left for now, or for ever."""
    end, mark = moment["BufferOffset"] + moment.length, task.recall(_Mark)
    since = task.in_bytes + moment.length - mark.bytes
    mark.bytes = task.in_bytes + moment.length
    final = moment["S"] or (moment["F"] and end >= task.read_edtl)
    return bool(since >= moment.terms.max_burst or final) and task.in_extents.gap(moment["BufferOffset"]) is None


def _acked(moment: Moment) -> Outcome:
    if moment["Type"] != _DATA_ACK or not moment.full_feature:
        return None
    ttt, acks = moment["TTT"], moment.conn.known(_Acks)
    settled = moment.settle(ttt)
    note, task = None if acks is None else acks.by_tag.get(ttt), moment.conn.ack_tags.get(ttt)
    if note is None or task is None:
        return None
    in_order = moment.terms.data_pdu_in_order and moment.terms.data_sequence_in_order
    gap = task.in_extents.gap(note["BufferOffset"] + note.length)
    if in_order and gap is not None and task.itt == note["ITT"]:
        text = f"DATA_ACK for ITT={task.itt:#x} while its data from {gap} on is missing"
        return Breach(text=text, proof=(note,))
    return FINE if settled else None


def _gave_up(moment: Moment) -> Outcome:
    """See whether the initiator ended the connection at an A bit that it has to ignore."""
    conn, acks = moment.conn, moment.conn.known(_Acks)
    if acks is None or acks.ignored is None:
        return None
    note = acks.ignored
    if _survived(moment, note):
        return FINE
    disturbed = conn.disturbed
    calm = disturbed is None or disturbed.at - note.at <= moment.scene.limits.slack
    if not moment.sent or conn.ended or conn.logout is not None or not calm:
        return None
    if note.forged or note.changed - {"A", "TTT", "LUN"}:
        return None
    return Breach(text="the connection was given up at a Data-In with A, at ErrorRecoveryLevel 0", proof=(note,))


def _survived(moment: Moment, note: Note) -> bool:
    """Tell whether the initiator went on behind what it was given."""
    acked = moment.conn.acked_note
    went_on = acked is not None and acked.at - note.at > moment.scene.limits.slack
    return went_on or moment.at - note.at > _AT_ONCE


FAMILY = Family(
    name="snacks",
    title="SNACK and DataACK",
    rules=(
        Rule(
            id="I-035",
            title="A SNACK is sent at ErrorRecoveryLevel 1 or 2, with the fields of its type",
            severity=Severity.MUST,
            clause="RFC 7143 11.16",
            check=_is_well_formed,
            sent=_SNACK,
            why="A target that cannot tell what is asked for rejects it, and the command never ends.",
        ),
        Rule(
            id="I-036",
            title="A SNACK asks for what was sent and is not acknowledged",
            severity=Severity.MUST,
            clause="RFC 7143 11.16",
            check=_asks_for_what_is_missing,
            sent=_SNACK,
            why="What is acknowledged the target has thrown away: the SNACK is rejected, and the command is lost.",
        ),
        Rule(
            id="I-037",
            title="Data-In with A is acknowledged at ErrorRecoveryLevel 1 or 2, and like any other at 0",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.2",
            check=_acknowledges_data,
            sent=_SNACK,
            given=frozenset({Opcode.DATA_IN}),
            closed=True,
            why="A target that keeps its data until it is acknowledged runs out of room, and the read stalls.",
        ),
    ),
)
