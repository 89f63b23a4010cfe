"""TASK REASSIGN: tasks that go on, on another connection (RFC 7143 7.2.2, 11.5.1).

A task is free to go as soon as the connection it belonged to is logged out for recovery, by a Logout Request with that
reason or by a login that takes its CID (RFC 7143 11.14.1).
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_REQUEST = frozenset({Opcode.TMF_REQUEST})
_FREEING = frozenset({Opcode.LOGOUT_RESPONSE, Opcode.LOGIN_RESPONSE})
_TASK_REASSIGN = 8
_NO_TASK, _ALLEGIANT, _NOT_SUPPORTED, _REJECTED = 1, 3, 4, 255
_FULL_FEATURE = 3
#: What is never reassigned (RFC 7143 11.5.1)
_STAYS = frozenset({Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST})


class _Home:
    """The connection that a task belonged to, once that has ended: its CID, and what logged it out for recovery."""

    def __init__(self) -> None:
        self.cid: int | None = None
        self.freed: Note | None = None


def _follow(moment: Moment) -> None:
    """Note to which connection tasks belong that lose theirs, and what makes them free."""
    session = moment.session
    if moment.closed is not None:
        for task in session.live(moment.conn.number):
            task.recall(_Home).cid = moment.conn.cid
        return
    if moment.opcode == Opcode.LOGIN_RESPONSE:
        final = not moment["Status-Class"] and moment["T"] and moment["NSG"] == _FULL_FEATURE
        if final and moment.conn.cid is not None:
            _free(moment, moment.conn.cid)
        return
    request = moment.task
    if request is None or request.opcode != Opcode.LOGOUT_REQUEST or moment["Response"]:
        return
    if codes.LOGOUT_REASON.text(request.values["ReasonCode"]) == "REMOVE_CONNECTION_FOR_RECOVERY":
        _free(moment, request.values["CID"])


def _free(moment: Moment, cid: int) -> None:
    for task in moment.session.live():
        home = task.recall(_Home)
        if task.conn:
            home.cid = moment.session.conns.get(task.conn)
        if home.cid == cid:
            home.freed = moment.note


def _keeps(moment: Moment, task: Task) -> Note | None:
    """Give what shows that a task still belongs to its connection; None if that is not sure."""
    if not task.live or task.ignored or task.doubtful:
        return None
    if task.conn:
        conn = moment.scene.conns.get(task.conn)
        return task.note if conn is not None and not conn.ended and conn.logout is None else None
    home = task.known(_Home)
    return task.note if home is not None and home.cid is not None and home.freed is None else None


class _Named:
    """What a TASK REASSIGN names, and what showed that this still belonged to its connection."""

    def __init__(self) -> None:
        self.by_tag: dict[int, tuple[Task | None, Note | None]] = {}


def _is_refused(moment: Moment) -> Outcome:
    """T-050: a task is not reassigned where that is not supported, or before its connection is logged out."""
    if not moment.full_feature or not moment.terms.known:
        return None
    named: Task | None
    if not moment.sent:
        if moment["Function"] == _TASK_REASSIGN and moment.task is None:
            named = moment.session.find(moment["RefTaskTag"])
            allegiant = None if named is None else _keeps(moment, named)
            kept = moment.session.recall(_Named).by_tag
            kept.clear()
            kept[moment["ITT"]] = named, allegiant
        return None
    request = moment.own
    if request is None or request.values["Function"] != _TASK_REASSIGN:
        return None
    named, allegiant = moment.session.recall(_Named).by_tag.pop(request.itt, (None, None))
    response = moment["Response"]
    text = f"TASK REASSIGN of ITT={request.values['RefTaskTag']:#x} was answered {response}"
    if named is not None and named.opcode in _STAYS and named.live:
        if response == 0:
            text = f"{text}, and names what is never reassigned"
            return Breach(text=text, proof=(request.note, named.note), clause="RFC 7143 11.5.1")
        return None
    if response == _REJECTED and not request.immediate:
        return None
    level = moment.terms.error_recovery_level
    if level < 2:
        there = named is not None and named.live
        if response == _NOT_SUPPORTED:
            return FINE
        if response == _ALLEGIANT or (response == _NO_TASK and not there):
            return None
        return Breach(text=f"{text} instead of 4, with ErrorRecoveryLevel={level}", proof=(request.note,))
    if allegiant is None or response == _NOT_SUPPORTED:
        return None
    if response == _ALLEGIANT:
        return FINE
    if response and named is not None and not named.conn:
        return None  # its time may be over
    return Breach(text=f"{text} instead of 3: its connection was not logged out", proof=(request.note, allegiant))


def _may_move(moment: Moment) -> Outcome:
    """I-033: TASK REASSIGN is immediate, for a task that is free, at ErrorRecoveryLevel 2."""
    if not moment.full_feature or moment["Function"] != _TASK_REASSIGN or moment.task is not None:
        return None
    if not moment["I"]:
        return Breach(text="TASK REASSIGN without I")
    if not moment.terms.known:
        return None
    level = moment.terms.error_recovery_level
    if level < 2:
        return Breach(text=f"TASK REASSIGN with ErrorRecoveryLevel={level}", clause="RFC 7143 7.1.5, RFC 7143 7.2.2")
    named = moment.session.find(moment["RefTaskTag"])
    if named is None:
        return None
    allegiant = _keeps(moment, named)
    if allegiant is not None:
        text = f"TASK REASSIGN of ITT={named.itt:#x}, whose connection was not logged out for recovery"
        return Breach(text=text, proof=(allegiant,))
    return FINE


FAMILY = Family(
    name="reassignment",
    title="Task reassignment",
    rules=(
        Rule(
            id="T-050",
            title="TASK REASSIGN is answered 4 where it is not supported, and 3 while the task keeps its connection",
            severity=Severity.MUST,
            clause="RFC 7143 7.2.2",
            check=_is_refused,
            sent=frozenset({Opcode.TMF_RESPONSE}),
            given=_REQUEST,
            why="A task that is taken from a living connection has two that answer for it.",
        ),
        Rule(
            id="I-033",
            title="TASK REASSIGN is immediate, at ErrorRecoveryLevel 2, for a task whose connection is logged out",
            severity=Severity.MUST,
            clause="RFC 7143 11.5.1, RFC 7143 7.2.2",
            check=_may_move,
            sent=_REQUEST,
            why="Whatever is still on its way on the old connection would come for a task that is elsewhere.",
        ),
    ),
    observers=(
        Observer(end=End.TARGET, update=_follow, sent=_FREEING, closed=True),
        Observer(end=End.INITIATOR, update=_follow, given=_FREEING, closed=True),
    ),
)
