"""Initiator Task Tags: each names one task of its session, as long as that lives (RFC 7143 11.2.1.8)."""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_UPSHOTS: Final = frozenset({Opcode.TMF_RESPONSE, Opcode.REJECT})
_NO_SUCH_TASK: Final = codes.TMF_RESPONSE.value("TASK_DOES_NOT_EXIST")


class _Gone:
    """A task of which the target has said that it is not there, or whose request it has rejected."""

    __slots__ = ("note",)

    def __init__(self) -> None:
        self.note: Note | None = None


def _is_free(moment: Moment) -> Outcome:
    """I-010: see that a new task has a tag, and one that no live task has."""
    itt = moment["ITT"]
    if itt == NO_TAG:
        if moment.opcode == Opcode.NOP_OUT:
            return None
        return Breach(text=f"a {moment.pdu.label} has the reserved tag 0xffffffff")
    if moment.task is not None or not moment.full_feature:
        return None
    live = moment.session.tasks.get(itt)
    if live is None:
        return FINE
    if live.conn == 0 or live.ignored or live.known(_Gone) is not None:
        return None  # it waits for a connection, or the initiator may hold it for ended
    return Breach(text=f"ITT={itt:#x} is that of a task that has not ended", proof=(live.note,))


def _note_what_is_gone(moment: Moment) -> None:
    """Keep what the target says is no task."""
    task, session = moment.task, moment.session
    if moment.opcode == Opcode.REJECT:
        header = rejected_header(moment.pdu)
        if task is not None and header is not None and header.opcode in _COMMANDS:
            task.recall(_Gone).note = moment.note
    elif task is not None and "RefTaskTag" in task.values and moment["Response"] == _NO_SUCH_TASK:
        named = session.tasks.get(task.values["RefTaskTag"])
        if named is not None:
            named.recall(_Gone).note = moment.note


FAMILY = Family(
    name="task_tags",
    title="Initiator Task Tags",
    rules=(
        Rule(
            id="I-010",
            title="A task has an Initiator Task Tag that no other live task of its session has, and not 0xffffffff",
            severity=Severity.MUST,
            clause="RFC 7143 11.2.1.8",
            check=_is_free,
            sent=_COMMANDS | {Opcode.LOGIN_REQUEST},
            why="Data and status of one task are taken for those of the other.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_note_what_is_gone, given=_UPSHOTS),),
)
