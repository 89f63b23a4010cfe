"""Data-In: direction, numbers, places, bursts and the A bit (RFC 7143 11.7).

What a SNACK or a reassignment has asked for comes out of order: behind that only numbers and limits are judged.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_DATA_IN = frozenset({Opcode.DATA_IN})


def _knows_bursts(moment: Moment) -> bool:
    """Tell whether what was negotiated about bursts is known."""
    return moment.conn.terms.known and moment.session.seen


def _has_direction(moment: Moment) -> Outcome:
    """T-022: see that data comes, or is asked for, where the command says so."""
    task = moment.own
    if task is None:
        return None
    flag = "R" if moment.opcode == Opcode.DATA_IN else "W"
    if task.values[flag]:
        return FINE
    return Breach(text=f"{moment.pdu.label} ITT={task.itt:#x}: the command has {flag}=0", proof=(task.note,))


def _is_counted(moment: Moment) -> Outcome:
    """T-023: see that DataSN goes up by one from 0; R2Ts of a bidirectional command count with it."""
    task = moment.own
    if task is None or not task.reads:
        return None
    number = moment["DataSN"]
    due = task.next_sn
    if number == due or (task.resends is not None and task.resends.allow(number)):
        return FINE
    if lt(number, due):
        text = f"DataSN {number} came again and nobody had asked for it: {due} comes next"
    else:
        text = f"DataSN {number} where {due} comes next"
    return Breach(text=text, proof=_behind(task))


def _behind(task: Task) -> tuple[Note, ...]:
    return (task.note,) if task.data_in is None else (task.data_in, task.note)


class _Floor:
    """Where the next sequence may begin at the lowest, while PDUs inside of one come in any order."""

    def __init__(self) -> None:
        self.end = 0


def _is_in_order(moment: Moment) -> Outcome:
    """T-024: see that data comes in the order that was negotiated."""
    task = moment.own
    if task is None or task.resends is not None:
        return None
    offset, terms = moment["BufferOffset"], moment.conn.terms
    if offset == task.in_end and terms.data_pdu_in_order:
        return FINE if terms.known and moment.session.seen and task.data_in is not None else None
    if task.data_in is None or not moment.length or not _knows_bursts(moment):
        return None
    if not task.data_in["DataSegmentLength"]:
        return None  # an empty one is nowhere
    if terms.data_pdu_in_order and not task.in_final:
        text = f"Buffer Offset {offset} where the sequence goes on at {task.in_end} (DataPDUInOrder=Yes)"
        return Breach(text=text, proof=_behind(task))
    if not terms.data_sequence_in_order:
        return None
    if terms.data_pdu_in_order:
        floor = task.in_end
    else:
        kept = task.recall(_Floor)
        if task.in_final:
            kept.end = task.in_extents.end
        floor = kept.end
    if offset >= floor:
        return FINE
    text = f"Buffer Offset {offset}: the sequence before ended at {floor} (DataSequenceInOrder=Yes)"
    return Breach(text=text, proof=_behind(task), clause="RFC 7143 13.19, RFC 7143 11.7.6")


def _is_inside(moment: Moment) -> Outcome:
    """T-025: see that no more comes than the initiator has a buffer for."""
    task = moment.own
    if task is None or not task.reads:
        return None
    end = moment["BufferOffset"] + moment.length
    if task.writes:
        assert task.note.pdu is not None
        if not task.note.pdu.ahs:
            return None  # nobody said how much it may be
        limit = task.read_edtl
    else:
        limit = task.values["EDTL"]
    if end <= limit or not moment.length:
        return FINE
    return Breach(text=f"data up to {end}: the command expects {limit} bytes", proof=(task.note,))


def _is_a_burst(moment: Moment) -> Outcome:
    """T-026: see that a sequence of Data-In is no longer than MaxBurstLength."""
    task = moment.own
    if task is None or task.resends is not None or not _knows_bursts(moment):
        return None
    limit, before = moment.conn.terms.max_burst, task.in_sequence
    total = before + moment.length
    if total <= limit:
        return FINE
    if before > limit:
        return None  # told before
    return Breach(text=f"{total} bytes in one sequence: MaxBurstLength is {limit}", proof=_behind(task))


class _Acks:
    """Where the initiator was asked to acknowledge data: `at` bytes; `early` came too soon if it was not the last."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.early: tuple[Note, int] | None = None


def _asks_rarely(moment: Moment) -> Outcome:
    """T-030: see that an acknowledgement is asked for where that is allowed, and seldom enough."""
    task = moment.own
    if task is None:
        return None
    if not moment["A"]:
        kept = task.known(_Acks)
        if kept is None or kept.early is None or task.resends is not None:
            return None
        early, kept.early = kept.early, None
        return _too_often(moment, task, *early)
    if not _knows_bursts(moment):
        return None
    if not moment.terms.error_recovery_level:
        return Breach(text="A=1 at ErrorRecoveryLevel 0", proof=(task.note,))
    if moment["TTT"] == NO_TAG:
        return Breach(text="A=1 without a Target Transfer Tag", proof=(task.note,), clause="RFC 7143 11.7.4")
    if moment["LUN"] != task.lun:
        text = f"A=1 with LUN {moment['LUN']:#x}: the command has {task.lun:#x}"
        return Breach(text=text, proof=(task.note,), clause="RFC 7143 11.7.4")
    return _is_seldom(moment, task)


def _is_seldom(moment: Moment, task: Task) -> Outcome:
    if task.resends is not None:
        return FINE
    kept, at = task.recall(_Acks), task.in_bytes + moment.length
    early, kept.early = kept.early, None
    since, kept.at = None if kept.at is None else at - kept.at, at
    if since is not None and since < moment.terms.max_burst:
        kept.early = (moment.note, since)
    return FINE if early is None else _too_often(moment, task, *early)


def _too_often(moment: Moment, task: Task, note: Note, since: int) -> Breach:
    number, limit = note["DataSN"], moment.terms.max_burst
    text = f"A=1 in DataSN {number}, {since} bytes behind the last one, was not on the last Data-In"
    return Breach(text=f"{text}: MaxBurstLength is {limit}", proof=(note, task.note))


FAMILY = Family(
    name="data_in",
    title="Data-In",
    rules=(
        Rule(
            id="T-022",
            title="Data-In comes for commands with R=1, R2T for commands with W=1",
            severity=Severity.MUST,
            clause="RFC 7143 11.3.1",
            check=_has_direction,
            sent=frozenset({Opcode.DATA_IN, Opcode.R2T}),
            why="The initiator has no buffer for data in a direction that it did not announce.",
        ),
        Rule(
            id="T-023",
            title="DataSN counts the Data-In PDUs of a command from 0, together with the R2Ts of a bidirectional one",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.4, RFC 7143 11.7.5",
            check=_is_counted,
            sent=_DATA_IN,
            why="An initiator can tell that a PDU was lost by DataSN alone.",
        ),
        Rule(
            id="T-024",
            title="Data-In comes in the order that DataPDUInOrder and DataSequenceInOrder ask for",
            severity=Severity.MUST,
            clause="RFC 7143 13.18, RFC 7143 11.7.6",
            check=_is_in_order,
            sent=_DATA_IN,
            why="Initiators that offload data placement take the next PDU for the next bytes.",
        ),
        Rule(
            id="T-025",
            title="Data-In stays within the Expected Data Transfer Length",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.6, RFC 7143 11.4.5.2",
            check=_is_inside,
            sent=_DATA_IN,
            why="What is beyond the buffer overwrites memory of an initiator that trusts the offset.",
        ),
        Rule(
            id="T-026",
            title="A sequence of Data-In is at most MaxBurstLength long",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.1, RFC 7143 13.13",
            check=_is_a_burst,
            sent=_DATA_IN,
            why="An initiator may have made room for no more.",
        ),
        Rule(
            id="T-030",
            title="The A bit needs ErrorRecoveryLevel 1, a tag and the LUN, and comes once per MaxBurstLength",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.2",
            check=_asks_rarely,
            sent=_DATA_IN,
            why="An initiator at level 0 cannot acknowledge data, and one that has to do so all the time is slow.",
        ),
    ),
)
