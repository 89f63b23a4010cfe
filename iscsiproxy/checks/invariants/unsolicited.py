"""Unsolicited data: what an initiator may send with a command and behind it (RFC 7143 4.2.5.2, 13.10, 13.11, 13.14).

InitialR2T and ImmediateData together say what is allowed: Yes and Yes immediate data only, Yes and No nothing, No and
Yes both, No and No Data-Out only. Whoever sends Data-Out has to send all that FirstBurstLength allows.
"""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_COMMAND = frozenset({Opcode.SCSI_COMMAND})
_DATA_OUT = frozenset({Opcode.DATA_OUT})
#: How many commands of a connection wait for their data before those that have ended are forgotten
_WAITING = 1024


class _Line:
    """The commands of a connection whose unsolicited Data-Out are not all there, in the order they were sent."""

    def __init__(self) -> None:
        self.waiting: dict[int, Note] = {}


def _write_of(moment: Moment) -> Task | None:
    """Give the live write that an unsolicited Data-Out belongs to; None for any other PDU."""
    if moment["TTT"] != NO_TAG:
        return None
    task = moment.task
    return task if task is not None and task.is_scsi and task.writes and task.ended is None else None


def _due(moment: Moment, task: Task) -> int:
    """Give how much comes unsolicited if any Data-Out does."""
    return min(moment.terms.first_burst, task.edtl)


# --- the rules -------------------------------------------------------------------------------------------------------


def _is_immediate(moment: Moment) -> Outcome:
    """I-017: see that immediate data is allowed, and not too much."""
    length, terms = moment.length, moment.terms
    if not length:
        return None
    if not moment["W"]:
        return Breach(text=f"{length} bytes of immediate data in a command without W", clause="RFC 7143 4.2.5.2")
    if length > moment["EDTL"]:
        text = f"{length} bytes of immediate data, the command has {moment['EDTL']}"
        return Breach(text=text, clause="RFC 7143 4.2.5.2")
    if not terms.known:
        return None
    if not terms.immediate_data:
        return Breach(text=f"{length} bytes of immediate data with ImmediateData=No")
    if length > terms.first_burst:
        text = f"{length} bytes of immediate data, FirstBurstLength is {terms.first_burst}"
        return Breach(text=text, clause="RFC 7143 4.2.5.2, RFC 7143 13.14")
    if length > terms.target_mrdsl:
        text = f"{length} bytes of immediate data, MaxRecvDataSegmentLength of the target is {terms.target_mrdsl}"
        return Breach(text=text, clause="RFC 7143 13.12")
    return FINE


def _is_allowed(moment: Moment) -> Outcome:
    """I-018: see that unsolicited Data-Out are allowed, and were announced."""
    task = _write_of(moment)
    if task is None or task.unsolicited.first is not None:
        return None  # it is said of the first of them
    if task.values["F"]:
        text = "an unsolicited Data-Out behind a command with F=1"
        return Breach(text=text, clause="RFC 7143 11.3.1", proof=(task.note,))
    if not moment.terms.known:
        return None
    if moment.terms.initial_r2t:
        return Breach(text="an unsolicited Data-Out with InitialR2T=Yes", proof=(task.note,))
    return FINE


def _is_all(moment: Moment) -> Outcome:
    """I-019: see that the unsolicited data is all that FirstBurstLength allows, and no more."""
    terms = moment.terms
    if not terms.known or terms.initial_r2t:
        return None
    if moment.opcode == Opcode.SCSI_COMMAND:
        _announce(moment)
        return None
    task = _write_of(moment)
    if task is None or task.values["F"]:
        return None
    due = _due(moment, task)
    total = task.immediate_length + task.unsolicited.bytes + moment.length
    final = moment["F"]
    if final:
        moment.settle(task.itt)
    if total > due or (final and total < due and task.aborting is None):
        text = f"{total} bytes come unsolicited, it has to be {due} (FirstBurstLength {terms.first_burst}, "
        text += f"EDTL {task.edtl})"
        return Breach(text=text, proof=(task.note,))
    return FINE if final else None


def _announce(moment: Moment) -> None:
    """Note that a command says that Data-Out follow it (RFC 7143 11.3.1)."""
    length, edtl = moment.length, moment["EDTL"]
    if moment["F"] or not moment["W"] or length >= min(moment.terms.first_burst, edtl):
        return
    text = f"the unsolicited data of ITT={moment['ITT']:#x} did not come in full"
    moment.owe(moment["ITT"], text, still=_awaited(moment.conn, moment.note))


def _awaited(conn: Conn, note: Note) -> Callable[[], bool]:
    """Make what tells whether the unsolicited data of a command still has to come."""

    def look() -> bool:
        task = conn.session.tasks.get(note["ITT"])
        if task is None or (task.note is not note and note not in task.retries):
            return False
        return task.aborting is None and task.conn == conn.number and conn.logout is None and conn.notice is None

    return look


def _is_in_line(moment: Moment) -> Outcome:
    """I-020: see that unsolicited Data-Out come in the order of their commands."""
    task, line = _write_of(moment), moment.conn.known(_Line)
    if task is None or line is None or task.itt not in line.waiting:
        return None
    waiting = line.waiting
    if next(iter(waiting)) == task.itt:
        return FINE if len(waiting) > 1 else None
    for itt, note in list(waiting.items()):
        if itt == task.itt:
            return FINE
        other = moment.session.tasks.get(itt)
        if other is None or other.note is not note or other.unsolicited.final is not None:
            del waiting[itt]
        elif other.aborting is None and other.immediate_length + other.unsolicited.bytes < _due(moment, other):
            text = f"the unsolicited data of ITT={itt:#x}, whose command came before, is not complete"
            return Breach(text=text, proof=(task.note, note))
    return None


# --- what they know --------------------------------------------------------------------------------------------------


def _stand_in_line(moment: Moment) -> None:
    itt, terms = moment["ITT"], moment.terms
    if moment.task is not None:
        # It comes again, and its data with it: where that stands now is not said.
        line = moment.conn.known(_Line)
        if line is not None:
            line.waiting.pop(itt, None)
        return
    if moment["F"] or not moment["W"] or moment.length >= moment["EDTL"] or (terms.known and terms.initial_r2t):
        return
    line = moment.conn.recall(_Line)
    line.waiting.pop(itt, None)
    line.waiting[itt] = moment.note
    if len(line.waiting) > _WAITING:
        tasks = moment.session.tasks
        line.waiting = {one: note for one, note in line.waiting.items() if one in tasks or one == itt}


def _leave_line(moment: Moment) -> None:
    if moment["F"] and moment["TTT"] == NO_TAG:
        line = moment.conn.known(_Line)
        if line is not None:
            line.waiting.pop(moment["ITT"], None)


FAMILY = Family(
    name="unsolicited",
    title="Unsolicited data",
    rules=(
        Rule(
            id="I-017",
            title="Immediate data comes with ImmediateData=Yes only, and no more than what was agreed",
            severity=Severity.MUST,
            clause="RFC 7143 13.11",
            check=_is_immediate,
            sent=_COMMAND,
            why="A target answers CHECK CONDITION to what it has no room for, or drops the connection.",
        ),
        Rule(
            id="I-018",
            title="Unsolicited Data-Out come with InitialR2T=No only, behind a command with F=0",
            severity=Severity.MUST,
            clause="RFC 7143 13.10, RFC 7143 4.2.5.2",
            check=_is_allowed,
            sent=_DATA_OUT,
            why="The target has no buffer for it yet: it ends the command with CHECK CONDITION.",
        ),
        Rule(
            id="I-019",
            title="Unsolicited data with Data-Out is FirstBurstLength or all there is, no more and no less",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.2",
            check=_is_all,
            sent=_COMMAND | _DATA_OUT,
            why="The target counts on all of it: it asks for what lies behind, and waits for the rest.",
        ),
        Rule(
            id="I-020",
            title="Unsolicited Data-Out come in the order of their commands",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.2",
            check=_is_in_line,
            sent=_DATA_OUT,
            why="A target that gets it in another order may terminate the session.",
        ),
    ),
    observers=(
        Observer(end=End.INITIATOR, update=_stand_in_line, sent=_COMMAND),
        Observer(end=End.INITIATOR, update=_leave_line, sent=_DATA_OUT),
    ),
)
