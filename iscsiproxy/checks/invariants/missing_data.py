"""Data that is missing, and what an initiator does about it (RFC 7143 7.8, 7.9).

A number that was skipped (DataSN, R2TSN, or ExpDataSN of the response) tells that a PDU is missing, and so does a place
in the buffer that nothing was put in. The initiator has to ask for it by a SNACK, or to abort the task; to log out, or
to drop the connection, is more than that. Once the status has come the task is over, and an initiator that returns it
with an error of its own need not say so to anybody: that nothing at all was seen of it is a hint, and no more.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.extents import Extents
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_DATA: Final = frozenset({Opcode.DATA_IN, Opcode.R2T, Opcode.SCSI_RESPONSE})
_STATUS: Final = frozenset({Opcode.DATA_IN, Opcode.SCSI_RESPONSE})
_REACTIONS: Final = frozenset({Opcode.SNACK, Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST})
_COMMAND: Final = frozenset({Opcode.SCSI_COMMAND})
_GOOD: Final = codes.SCSI_STATUS.value("GOOD")
_ABORT_TASK: Final = codes.TMF_FUNCTION.value("ABORT_TASK")
#: How many tasks of a connection are remembered that lack something
_KEPT: Final = 64
#: A command that is tried again is among so many next ones to its logical unit
_NEXT: Final = 8


class _Sign:
    """The first PDU that tells that something of a task is missing, and how."""

    __slots__ = ("note", "text")

    def __init__(self) -> None:
        self.note: Note | None = None
        self.text = ""


class _Lacking:
    """The tasks of a connection that lack something, by serial number, and how many commands came behind each."""

    __slots__ = ("later", "tasks")

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.later: dict[int, int] = {}

    def keep(self, task: Task) -> None:
        """Note a task."""
        self.tasks[task.serial] = task
        self.later[task.serial] = 0
        if len(self.tasks) > _KEPT:
            oldest = next(iter(self.tasks))
            del self.tasks[oldest], self.later[oldest]

    def tried_again(self, moment: Moment) -> list[Task]:
        """Give the tasks that a new command may be a further try of."""
        found = []
        for serial, task in self.tasks.items():
            assert task.note.pdu is not None
            if task.lun == moment["LUN"]:
                self.later[serial] += 1
                if self.later[serial] <= _NEXT and task.note.pdu.cdb == moment.pdu.cdb:
                    found.append(task)
        return found


def _skipped(moment: Moment, task: Task) -> str:
    """Say which number was skipped, if one was."""
    if task.resends is not None or task.retries:
        return ""  # it has asked for something again, or what came of the first of two commands is gone
    values, opcode, following = moment.values, moment.opcode, task.next_sn
    if opcode == Opcode.SCSI_RESPONSE:
        expected = values["ExpDataSN"]
        if values["Response"] or not lt(following, expected):
            return ""
        return f"ExpDataSN is {expected}, and {following} PDUs with data came"
    name = "DataSN" if opcode == Opcode.DATA_IN else "R2TSN"
    return f"{name} is {values[name]} where {following} is next" if lt(following, values[name]) else ""


# --- while the task is alive -----------------------------------------------------------------------------------------


def _is_addressed(moment: Moment) -> Outcome:
    """I-063: see that something is done about a number that was skipped, as long as the task is there."""
    if moment.closed is not None or moment.sent:
        return _settled(moment)
    task = moment.own
    if task is None or task.terminal is not None:
        return None
    if moment.opcode == Opcode.SCSI_RESPONSE or (moment.opcode == Opcode.DATA_IN and moment["S"]):
        moment.forgive(task.serial)  # I-064
        return None
    skipped = _skipped(moment, task)
    if not skipped or moment.owes(task.serial):
        return None
    moment.conn.recall(_Lacking).keep(task)
    conn = moment.conn
    moment.owe(
        task.serial,
        f"{skipped}: no SNACK and no abort of ITT={task.itt:#x} came",
        proof=(task.note,),
        within=moment.scene.limits.slow,
        still=lambda: task.live and task.resends is None and task.aborting is None and conn.logout is None,
    )
    return None


def _settled(moment: Moment) -> Outcome:
    """Take what was done as meant for what it may be meant for."""
    known = moment.conn.known(_Lacking)
    if known is None or not known.tasks or (moment.closed is not None and not moment.sent):
        return None
    settled = [moment.settle(task.serial) for task in _meant(moment, known)]
    return FINE if any(settled) else None


def _meant(moment: Moment, known: _Lacking) -> list[Task]:
    """Choose the tasks that a SNACK, an abort, a logout, the end of the connection or a new command is about."""
    tasks = known.tasks.values()
    if moment.opcode == Opcode.SNACK:
        return [task for task in tasks if task.itt == moment["ITT"]]
    if moment.opcode == Opcode.TMF_REQUEST and moment["Function"] == _ABORT_TASK:
        return [task for task in tasks if task.itt == moment["RefTaskTag"]]
    return known.tried_again(moment) if moment.opcode == Opcode.SCSI_COMMAND else list(tasks)


# --- when it is over -------------------------------------------------------------------------------------------------


def _is_noticed(moment: Moment) -> Outcome:
    """I-064: see that a read which is GOOD, and whose data is not all there, is not taken for good."""
    if moment.closed is not None or moment.sent:
        return _settled(moment)
    task = moment.own
    if task is None or not task.reads or task.writes or task.terminal is not None:
        return None
    sign = task.known(_Sign)
    if moment.opcode == Opcode.DATA_IN and not moment["S"]:
        return None
    if moment["Status"] != _GOOD or moment.values.get("Response"):
        return None
    lacking = sign.text if sign is not None and sign.note is not None else _skipped(moment, task) or _hole(moment, task)
    if not lacking or task.resends is not None:
        return None
    moment.conn.recall(_Lacking).keep(task)
    conn = moment.conn
    first = () if sign is None or sign.note is None else (sign.note,)
    moment.owe(
        task.serial,
        f"{lacking}, with GOOD for ITT={task.itt:#x}: no SNACK, no further try and no end of the connection came",
        proof=(*first, task.note),
        within=moment.scene.limits.slow,
        still=lambda: task.resends is None and conn.logout is None,
    )
    return None


def _hole(moment: Moment, task: Task) -> str:
    """Say what was left out in front of data that came; what is missing at the end may be the target's own error."""
    offset, length = moment.values.get("BufferOffset", 0), moment.length if moment.opcode == Opcode.DATA_IN else 0
    end = max(task.in_extents.end, offset + length if length else 0)
    if task.in_extents.total + length == end and not task.in_extents.overlaps(offset, length):
        return ""
    whole = Extents()
    whole.add(offset, length)
    for start, behind in task.in_extents:
        whole.add(start, behind - start)
    gap = whole.gap(end)
    return "" if gap is None else f"bytes from {gap} on are missing in front of others"


def _watch(moment: Moment) -> None:
    """Keep the first sign of each task that goes on."""
    task = moment.own
    if task is None or task.terminal is not None or moment.opcode == Opcode.R2T:
        return
    sign = task.known(_Sign)
    if sign is None and (text := _skipped(moment, task)):
        sign = task.recall(_Sign)
        sign.note, sign.text = moment.note, text


FAMILY = Family(
    name="missing_data",
    title="Data that is missing",
    rules=(
        Rule(
            id="I-063",
            title="A DataSN or R2TSN that was skipped is asked for by a SNACK, or the task is aborted",
            severity=Severity.MUST,
            clause="RFC 7143 7.9, RFC 7143 7.8",
            check=_is_addressed,
            sent=_REACTIONS,
            given=_DATA,
            closed=True,
            why="The task goes on with a part of its data missing, and nobody will notice when it is GOOD.",
        ),
        Rule(
            id="I-064",
            title="A read that is GOOD without all its data is not taken for good",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.9, RFC 7143 7.8",
            check=_is_noticed,
            sent=_REACTIONS | _COMMAND,
            given=_STATUS,
            closed=True,
            why="The host takes what was in its buffer before for what is on the disk.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_watch, given=frozenset({Opcode.DATA_IN})),),
)
