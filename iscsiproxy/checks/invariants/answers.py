"""What a target's PDUs belong to: a live task of their connection, until it has ended (RFC 7143 4.2.5, 7.3, 11.5.1).

A tag that two requests used at a time tells nothing: whatever comes with it may belong to the other.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import ANSWERED, Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode, label_of
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_OF_TASKS = frozenset(ANSWERED)
_WITHOUT_END = frozenset({Opcode.DATA_IN, Opcode.R2T, Opcode.TEXT_RESPONSE})


def _ends(moment: Moment) -> bool:
    """Tell whether a PDU of a task is the last that it has."""
    opcode = moment.opcode
    if opcode not in _WITHOUT_END:
        return True
    if opcode == Opcode.DATA_IN:
        return bool(moment["S"])
    return opcode == Opcode.TEXT_RESPONSE and bool(moment["F"])


def _name(moment: Moment) -> str:
    return f"{moment.pdu.label} ITT={moment['ITT']:#x}"


# --- T-018 -----------------------------------------------------------------------------------------------------------


def _has_a_task(moment: Moment) -> Outcome:
    """T-018: see that a tag is that of a request of the right kind, on the connection that it came on."""
    if not moment.full_feature or (moment.opcode == Opcode.NOP_IN and moment["ITT"] == NO_TAG):
        return None
    task, wanted = moment.task, ANSWERED[moment.opcode]
    if task is None:
        if not moment.session.complete or _was_given(moment, wanted) or not moment.framed:
            return None
        return Breach(text=f"{_name(moment)}: no request with this tag was given")
    if task.opcode != wanted:
        if task.doubtful or task.ignored or _was_given(moment, wanted):
            return None
        text = f"{_name(moment)}: the tag is that of a {label_of(task.opcode)}"
        return Breach(text=text, proof=(task.note,))
    if task.doubtful or task.ignored:
        return None
    if task.conn == moment.conn.number:
        return FINE
    if any(other.values.get("RefTaskTag") == task.itt for other in moment.session.live(moment.conn.number)):
        return None  # on its way to this connection
    text = f"{_name(moment)}: the request came on connection {task.note.conn}"
    return Breach(text=text, proof=(task.note,), clause="RFC 7143 4.2.5.1, RFC 7143 7.2.2")


def _was_given(moment: Moment, opcode: int) -> bool:
    """Tell whether such a request came after all: with a wrong digest, or before the login was over."""
    return any(
        note.pdu is not None and note.pdu.opcode == opcode and note["ITT"] == moment["ITT"]
        for note in moment.conn.given
    )


# --- T-019, T-020 ----------------------------------------------------------------------------------------------------


def _ends_once(moment: Moment) -> Outcome:
    """T-019: see that a task has one end; a SNACK or a reassignment may ask for it again."""
    if not _ends(moment):
        return None
    task = moment.own
    if task is None:
        return None
    if task.terminal is None:
        return FINE if task.live else None
    if _asked_again(moment, task):
        return FINE
    first, second = task.terminal["StatSN"], moment["StatSN"]
    text = f"{_name(moment)} with StatSN {second}: the task was answered with StatSN {first}"
    return Breach(text=text, proof=(task.terminal, task.note))


def _asked_again(moment: Moment, task: Task) -> bool:
    stat_sn = moment["StatSN"]
    terminal = task.terminal
    if terminal is not None and terminal["StatSN"] == stat_sn and moment.conn.status_runs.cover(stat_sn):
        return True
    resends = task.resends
    if resends is None:
        return False
    return resends.afresh is not None or (moment.opcode == Opcode.DATA_IN and resends.allow(moment["DataSN"]))


def _is_over(moment: Moment) -> Outcome:
    """T-020: see that nothing comes for a task behind its end."""
    task = moment.own
    if task is None:
        return None
    if task.rejected is not None and task.terminal is None:
        return _behind_a_reject(moment, task)
    if _ends(moment):
        return None
    terminal = task.terminal
    if terminal is None:
        return FINE if task.live else None
    resends = task.resends
    if resends is not None and (resends.afresh is not None or resends.allow(_number(moment))):
        return FINE
    return Breach(text=f"{_name(moment)}: the task had ended with StatSN {terminal['StatSN']}",
                  proof=(terminal, task.note))  # fmt: skip


def _number(moment: Moment) -> int:
    return moment.values.get("DataSN", moment.values.get("R2TSN", 0))


def _behind_a_reject(moment: Moment, task: Task) -> Outcome:
    """See that a request which was rejected before it began is not answered as well (RFC 7143 7.3)."""
    assert task.rejected is not None
    if task.retries or task.data_in is not None or task.r2ts:
        return None  # it was alive, or the Reject is of a copy
    return Breach(
        text=f"{_name(moment)}: the request had been rejected",
        proof=(task.rejected, task.note),
        severity=Severity.SHOULD,
        clause="RFC 7143 7.3",
    )


# --- T-021 -----------------------------------------------------------------------------------------------------------


class _Aborts:
    """A session in which tasks were aborted."""


def _is_quiet(moment: Moment) -> Outcome:
    """T-021: see that aborted tasks have no answer behind that of the function which aborted them."""
    task = moment.own
    if moment.opcode == Opcode.TMF_RESPONSE and not moment["Response"] and task is not None:
        if any(other.is_scsi for other in moment.session.live()):
            moment.session.recall(_Aborts)
        return None
    if task is None or moment.session.known(_Aborts) is None:
        return None
    aborted = task.aborted
    if aborted is None:
        return FINE
    if aborted.conn != moment.conn.number and moment.at - aborted.at <= moment.scene.limits.slack:
        return None
    request = moment.session.find(aborted["ITT"])
    if request is None or request.opcode != Opcode.TMF_REQUEST or request.ignored or request.doubtful:
        return None
    function = codes.TMF_FUNCTION.text(request.values["Function"])
    if function != "ABORT_TASK" and not lt(task.cmd_sn, request.cmd_sn):
        return None
    text = f"{_name(moment)}: {function.replace('_', ' ')} had aborted the task"
    return Breach(text=text, proof=(aborted, request.note, task.note))


FAMILY = Family(
    name="answers",
    title="What answers belong to",
    rules=(
        Rule(
            id="T-018",
            title="What answers a request has the tag of one of its kind, on the same connection",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.1, RFC 7143 11.1",
            check=_has_a_task,
            sent=_OF_TASKS,
            why="An initiator drops the session at a tag that it does not know, or gives data to the wrong task.",
        ),
        Rule(
            id="T-019",
            title="A task has exactly one final response, unless it is asked for again",
            severity=Severity.MUST,
            clause="RFC 7143 7.3, RFC 7143 11.16.3",
            check=_ends_once,
            sent=_OF_TASKS,
            why="The second response may end the next command that has the same tag.",
        ),
        Rule(
            id="T-020",
            title="Nothing follows for a task that has ended",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.1, RFC 7143 11.7.3",
            check=_is_over,
            sent=_OF_TASKS,
            why="Data behind the status is written to memory that belongs to somebody else by then.",
        ),
        Rule(
            id="T-021",
            title="Tasks that a task management function has aborted have no response behind its own",
            severity=Severity.MUST,
            clause="RFC 7143 11.5.1",
            check=_is_quiet,
            sent=_OF_TASKS,
            why="The initiator has given tag and buffer to another command when the late response comes.",
        ),
    ),
)
