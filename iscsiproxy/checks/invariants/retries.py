"""Retries: a command that is sent again to fill a gap in CmdSN (RFC 7143 7.2.1, 4.2.2.1, 10.4)."""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
#: How far CmdSN may go past a retry (RFC 7143 4.2.2.1)
_FAR: Final = (1 << 31) - 1
#: How many retries of a session are remembered
_KEPT: Final = 64


class _Retry:
    """A retry that may still be somewhere: `cmd_sn` is its number, `next` that of the session when it was sent.

    `newer` is the first command behind it on its connection: once that is acknowledged, nothing old can turn up there.
    """

    __slots__ = ("cmd_sn", "conn", "newer", "next", "note")

    def __init__(self, cmd_sn: int, following: int, conn: int, note: Note) -> None:
        self.cmd_sn = cmd_sn
        self.next = following
        self.conn = conn
        self.note = note
        self.newer: int | None = None


class _Retries:
    """Those of a session."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open: list[_Retry] = []


def _retried(moment: Moment) -> Task | None:
    """Give the task whose first request is sent again, with its CmdSN; also one that was rejected."""
    if moment["I"] or not moment.full_feature:
        return None
    task = moment.task
    if task is None:
        before = moment.session.find(moment["ITT"])
        task = before if before is not None and before.rejected is not None else None
    if task is None or task.immediate or task.opcode != moment.opcode or task.cmd_sn != moment["CmdSN"]:
        return None
    return task


def _is_the_same(moment: Moment) -> Outcome:
    """I-007: see that a retry is what was sent before, on the connection where it was sent."""
    task = _retried(moment)
    if task is None:
        return None
    first = task.note.pdu
    assert first is not None
    place = moment.scene.conns.get(task.conn)
    name = f"the retry of CmdSN {task.cmd_sn}"
    if place is not None and place is not moment.conn and place.logout_answer is None:
        text = f"{name} was sent on connection {moment.conn.number}, the command on {place.number}"
        return Breach(text=text, proof=(task.note,))
    for field in moment.values:
        if field != "ExpStatSN" and moment[field] != first[field]:
            text = f"{name} has {field}={moment[field]:#x}, the command had {first[field]:#x}"
            return Breach(text=text, proof=(task.note,))
    if moment.opcode == Opcode.SCSI_COMMAND and (moment.pdu.cdb != first.cdb or moment.pdu.ahs != first.ahs):
        return Breach(text=f"{name} has another CDB", proof=(task.note,))
    data = moment.data
    if data is not None and len(first.data) == task.note.length and data != first.data:
        return Breach(text=f"{name} has other data", proof=(task.note,))
    return FINE


def _fills_a_gap(moment: Moment) -> Outcome:
    """I-008: see that nothing is retried that the initiator knew to have arrived."""
    task, session = _retried(moment), moment.session
    if task is None or task.rejected is not None or session.book.used(task.cmd_sn) is not True:
        return None
    number = task.cmd_sn
    if task.terminal is not None and moment.has_read(task.terminal):
        return Breach(text=f"CmdSN {number} was retried behind its response", proof=(task.terminal, task.note))
    if session.exp_cmd is None or not lt(number, session.exp_cmd):
        return FINE
    told = _acknowledged(moment, number)
    if told is None or not moment.has_read(told):
        return None
    text = f"CmdSN {number} was retried behind its acknowledgement by ExpCmdSN {told['ExpCmdSN']}"
    return Breach(text=text, proof=(told, task.note))


def _acknowledged(moment: Moment, number: int) -> Note | None:
    """Find the first PDU that acknowledged a command, among the last ones of this connection."""
    for note in moment.conn.given:
        expected = None if note.pdu is None else note.pdu.get("ExpCmdSN")
        if expected is not None and lt(number, expected):
            return note
    return None


def _goes_on(moment: Moment) -> Outcome:
    """I-009: see that CmdSN does not come round to a retry that may still be on its way."""
    known = moment.session.known(_Retries)
    if known is None or not known.open or moment["I"] or not moment.full_feature:
        return None
    number, session = moment["CmdSN"], moment.session
    conns, expected = moment.scene.conns, session.exp_cmd
    known.open = [
        retry
        for retry in known.open
        if retry.conn in conns and not (retry.newer is not None and expected is not None and lt(retry.newer, expected))
    ]
    if session.book.next is None or lt(number, session.book.next):
        return None  # it is a retry itself, or fills a gap
    for retry in known.open:
        if (number - retry.cmd_sn) & 0xFFFFFFFF > _FAR:
            text = f"CmdSN {number} is more than 2**31 - 1 past {retry.cmd_sn}, whose retry nothing has followed yet"
            return Breach(text=text, proof=(retry.note,))
    return FINE if known.open else None


def _follow(moment: Moment) -> None:
    """Keep each retry, and the first command behind it on its connection."""
    if moment["I"]:
        return
    task, book = _retried(moment), moment.session.book
    if task is not None and book.next is not None:
        known = moment.session.recall(_Retries)
        known.open.append(_Retry(task.cmd_sn, book.next, moment.conn.number, moment.note))
        del known.open[:-_KEPT]
        return
    found = moment.session.known(_Retries)
    if found is None:
        return
    number = moment["CmdSN"]
    for retry in found.open:
        if retry.conn == moment.conn.number and retry.newer is None and not lt(number, retry.next):
            retry.newer = number


FAMILY = Family(
    name="retries",
    title="Retries of commands",
    rules=(
        Rule(
            id="I-007",
            title="A retry is the same command with the same tag and CmdSN, on the same connection",
            severity=Severity.MUST,
            clause="RFC 7143 7.2.1",
            check=_is_the_same,
            sent=_COMMANDS,
            why="The target has the first one or the second: the initiator does not know what was executed.",
        ),
        Rule(
            id="I-008",
            title="A command is retried only to fill a gap: not when it was acknowledged or answered",
            severity=Severity.MUST,
            clause="RFC 7143 7.2.1",
            check=_fills_a_gap,
            sent=_COMMANDS,
            why="Such a duplicate is ignored: an initiator that waits for its effect waits in vain.",
        ),
        Rule(
            id="I-009",
            title="CmdSN goes no further than 2**31 - 1 past a retry that no acknowledged command has followed",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1, RFC 7143 10.4",
            check=_goes_on,
            sent=_COMMANDS,
            why="An old copy that turns up then is inside the window again, and is executed.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_follow, sent=_COMMANDS),),
)
