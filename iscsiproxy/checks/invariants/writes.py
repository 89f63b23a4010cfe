"""How writes end: when all their data has come (RFC 7143 11.4.2, 11.4.5).

What counts is where data lies in the buffer. A Data-Out with a tag that is not open counts too: to take it is not
forbidden (RFC 7143 7.10). One whose digest was wrong has not come.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.extents import Extents
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_DATA_OUT = frozenset({Opcode.DATA_OUT})
_GOOD = codes.SCSI_STATUS.value("GOOD")
_CHECK_CONDITION = codes.SCSI_STATUS.value("CHECK_CONDITION")


class _Strays:
    """What came for a task in a Data-Out whose tags do not fit."""

    def __init__(self) -> None:
        self.extents = Extents()


class _Spoilt:
    """A connection on which a Data-Out came with a wrong digest: the target may have seen its F bit."""


def _strays(moment: Moment) -> None:
    """Take note of data that the scene cannot place: it may have been taken all the same."""
    if moment.spoiled:
        moment.conn.recall(_Spoilt)
        return
    task, ttt = moment.task, moment["TTT"]
    if task is not None and (ttt == NO_TAG or ttt in task.r2ts_open):
        return
    owners = [one for one in moment.session.live() if ttt in one.r2ts_open]
    if task is not None:
        owners.append(task)
    for owner in owners:
        owner.recall(_Strays).extents.add(moment["BufferOffset"], moment.length)


def _came(task: Task) -> Extents:
    """Put together all that came for a task."""
    strays = task.known(_Strays)
    if strays is None:
        return task.out_extents
    whole = Extents()
    for extents in (task.out_extents, strays.extents):
        for start, end in extents:
            whole.add(start, end - start)
    return whole


def _has_all_data(moment: Moment) -> Outcome:
    """T-033: see that a write is GOOD only with all its data, and fails only when nothing is on its way any more."""
    task = moment.own
    if task is None or not task.values["W"] or task.terminal is not None or moment["Response"]:
        return None
    status = moment["Status"]
    if status == _GOOD:
        return _is_good(moment, task)
    return _has_waited(moment, task) if status == _CHECK_CONDITION else None


def _is_good(moment: Moment, task: Task) -> Outcome:
    expected, left = task.values["EDTL"], moment["ResidualCount"] if moment["U"] else 0
    need = max(expected - left, 0)
    if not task.r2ts_open and task.out_extents.covers(0, need):
        return FINE
    came = _came(task)
    hole = came.gap(need)
    if not moment.framed:
        return None
    if hole is not None:
        behind = next((start for start, _ in came if start > hole), need)
        text = f"GOOD for a write of {need} bytes: {hole} to {min(behind, need) - 1} never came"
        return Breach(text=text, proof=_asked(task, hole))
    for r2t in task.r2ts_open.values():
        if not came.covers(r2t.offset, r2t.length):
            text = f"GOOD while R2T TTT={r2t.ttt:#x} is open: {r2t.burst.bytes} of {r2t.length} bytes came"
            return Breach(text=text, proof=(r2t.note, task.note))
    return FINE


def _asked(task: Task, hole: int) -> tuple[Note, ...]:
    """Give what had asked for a byte: the command, and the R2T if there was one."""
    notes = [r2t.note for r2t in task.r2ts if r2t.offset <= hole < r2t.offset + r2t.length]
    return (task.note, *notes[-1:])


def _has_waited(moment: Moment, task: Task) -> Outcome:
    """See that an error is told when the burst that is on its way is over (RFC 7143 11.4.2)."""
    conn = moment.conn
    if conn.disturbed is not None or conn.known(_Spoilt) is not None or task.resends is not None:
        return None  # who was robbed of the F bit waits no longer than it likes
    for r2t in task.r2ts_open.values():
        if task.out_extents.covers(r2t.offset, r2t.length):
            continue
        text = f"CHECK CONDITION while R2T TTT={r2t.ttt:#x} is open: {r2t.burst.bytes} of {r2t.length} bytes came"
        return Breach(text=text, proof=(r2t.note, task.note), clause="RFC 7143 11.4.2")
    terms = moment.terms
    if task.values["F"] or not terms.known or not moment.session.seen or terms.initial_r2t:
        return FINE if task.r2ts else None
    due = min(terms.first_burst, task.values["EDTL"])
    if task.unsolicited.final is not None or task.immediate_length + task.unsolicited.bytes >= due:
        return FINE
    text = "CHECK CONDITION while unsolicited data is on its way: the command has F=0, no Data-Out with F=1 has come"
    return Breach(text=text, proof=(task.note,), clause="RFC 7143 11.4.2")


FAMILY = Family(
    name="writes",
    title="Status behind write data",
    rules=(
        Rule(
            id="T-033",
            title="A write is GOOD only with all its data, and fails only when no burst is on its way",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.2, RFC 7143 11.4.5.2",
            check=_has_all_data,
            sent=frozenset({Opcode.SCSI_RESPONSE}),
            why="Bytes that never came are on the disk as something else, and nobody knows.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_strays, given=_DATA_OUT, spoiled=_DATA_OUT),),
)
