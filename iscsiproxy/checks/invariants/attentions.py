"""Tasks that died with their connection while the session lives on: somebody has to be told (RFC 7143 11.14.5).

Whether a task had died, or had just ended well with its status lost on the way, is only sure of one that could not end:
a write that waited for data. Of a connection that logs itself out all that has no answer was terminated.
"""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.errors import ScsiError
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.sense import SenseCode, sense_of_segment

__all__ = ["FAMILY"]

_COMMAND = frozenset({Opcode.SCSI_COMMAND})
_STATUSES = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN})
_ENDINGS = frozenset({Opcode.LOGOUT_RESPONSE, Opcode.LOGIN_RESPONSE})
_CLEARED = SenseCode(0x6, 0x47, 0x7F)
_UNIT_ATTENTION = 0x6
_CHECK_CONDITION = codes.SCSI_STATUS.value("CHECK_CONDITION")
#: The statuses of a command that was carried out
_DONE = frozenset(map(codes.SCSI_STATUS.value, ("GOOD", "CONDITION_MET", "INTERMEDIATE", "INTERMEDIATE_CONDITION_MET")))
#: INQUIRY, REPORT LUNS, REQUEST SENSE: they report no unit attention (SPC, SAM)
_SILENT = frozenset({0x12, 0xA0, 0x03})
_FULL_FEATURE = 3
#: How many logical units and connections are remembered
_UNITS = 1024


class _Due:
    """A unit attention that a logical unit owes, from `since` on (seconds), for the tasks that ended by `note`.

    `open` are the commands that may bring it. `suspect` was carried out without it: one of the `rivals` that were under
    way at the time may bring it yet. `waiting` are tasks that still may be taken up on another connection.
    """

    def __init__(self, note: Note, task: Note, since: float, waiting: Task | None = None) -> None:
        self.note = note
        self.task = task
        self.since = since
        self.waiting = waiting
        self.open: dict[int, Note] = {}
        self.suspect: Note | None = None
        self.rivals: frozenset[int] = frozenset()


class _Attentions:
    """What is due, by session and LUN; and what was lost with connections that are not logged out yet, by CID."""

    def __init__(self) -> None:
        self.due: dict[tuple[int, int], _Due] = {}
        self.lost: dict[tuple[int, int], list[Task]] = {}

    def owe(self, session: Session, due: _Due, lun: int) -> None:
        """Note one more, unless there is one already."""
        self.due.setdefault((session.number, lun), due)
        if len(self.due) > _UNITS:
            del self.due[next(iter(self.due))]

    def lose(self, session: Session, cid: int, tasks: list[Task]) -> None:
        """Note what was lost with a connection."""
        self.lost[session.number, cid] = tasks
        if len(self.lost) > _UNITS:
            del self.lost[next(iter(self.lost))]


# --- what ends --------------------------------------------------------------------------------------------------------


def _received(session: Session, task: Task) -> bool:
    """Tell whether a task was active at the target: one behind a gap was not even delivered."""
    sure = task.is_scsi and not task.ignored and not task.doubtful and task.aborting is None
    return sure and session.delivered(task)


def _unfinished(session: Session, tasks: Iterable[Task]) -> list[Task]:
    """Give those that cannot have ended: the target has asked for data that it was not given."""
    return [task for task in tasks if task.r2ts_open and _received(session, task)]


def _follow(moment: Moment) -> None:
    """Note which tasks end with their connection, or will if nobody takes them up."""
    conn, session = moment.conn, moment.session
    attentions = moment.scene.recall(_Attentions)
    if moment.closed is not None:
        if conn.phase is Phase.FULL_FEATURE and conn.terms.known and conn.cid is not None:
            attentions.lose(session, conn.cid, _unfinished(session, session.live(conn.number)))
    elif moment.opcode == Opcode.LOGIN_RESPONSE:
        if not moment["Status-Class"] and moment["T"] and moment["NSG"] == _FULL_FEATURE and conn.cid is not None:
            _reinstated(moment, attentions, conn.cid)
    elif moment.task is not None and moment.task.opcode == Opcode.LOGOUT_REQUEST and not moment["Response"]:
        _logged_out(moment, attentions, moment.task)


def _reinstated(moment: Moment, attentions: _Attentions, cid: int) -> None:
    """Take a login with the CID of another connection as the logout of that (RFC 7143 6.3.4, 11.14.1)."""
    session, scene = moment.session, moment.scene
    tasks = attentions.lost.pop((session.number, cid), [])
    for number, other in session.conns.items():
        if number != moment.conn.number and other == cid and number in scene.conns:
            if scene.conns[number].terms.error_recovery_level == 2:
                return
            tasks += _unfinished(session, session.live(number))
    for task in tasks:
        if not (task.live and task.conn == 0):  # one that waits for another connection has not ended
            attentions.owe(session, _Due(moment.note, task.note, moment.at), task.lun)


def _logged_out(moment: Moment, attentions: _Attentions, request: Task) -> None:
    """Take a logout that went well, where the session goes on."""
    session, scene, cid = moment.session, moment.scene, request.values["CID"]
    reason = codes.LOGOUT_REASON.text(request.values["ReasonCode"])
    others = [number for number, other in session.conns.items() if other != cid and number in scene.conns]
    if reason == "CLOSE_SESSION" or not others:
        return
    tasks = attentions.lost.pop((session.number, cid), [])
    for number, other in session.conns.items():
        if other == cid:
            live = list(session.live(number))
            own = number == moment.conn.number
            tasks += [task for task in live if _received(session, task)] if own else _unfinished(session, live)
    for task in tasks:
        if reason == "CLOSE_CONNECTION":
            attentions.owe(session, _Due(moment.note, task.note, moment.at), task.lun)
        elif reason == "REMOVE_CONNECTION_FOR_RECOVERY" and task.writes:
            kept = moment["Time2Wait"] + moment["Time2Retain"] + scene.limits.slow
            attentions.owe(session, _Due(moment.note, task.note, moment.at + kept, task), task.lun)


# --- what is told -----------------------------------------------------------------------------------------------------


def _is_told(moment: Moment) -> Outcome:
    """T-078: the next command of a logical unit brings the unit attention."""
    attentions = moment.scene.known(_Attentions)
    if attentions is None or not attentions.due or not moment.full_feature:
        return None
    if not moment.sent:
        due = attentions.due.get((moment.session.number, moment["LUN"]))
        if due is not None and moment.task is None and moment.pdu.cdb[0] not in _SILENT:
            _begun(moment, attentions, due)
        return None
    task = moment.own
    if task is None or (moment.opcode == Opcode.DATA_IN and not moment["S"]):
        return None
    key = moment.session.number, task.lun
    due = attentions.due.get(key)
    if due is None:
        return None
    if not moment.conn.complete:
        del attentions.due[key]
        return None
    outcome, over = _answered(moment, due, task)
    if over:
        del attentions.due[key]
    return outcome


def _begun(moment: Moment, attentions: _Attentions, due: _Due) -> None:
    if due.waiting is not None and not (due.waiting.live and due.waiting.conn == 0):
        del attentions.due[moment.session.number, moment["LUN"]]  # it was taken up
    elif moment.at - due.since > moment.scene.limits.slack:
        due.open[moment["ITT"]] = moment.note


def _answered(moment: Moment, due: _Due, task: Task) -> tuple[Outcome, bool]:
    """Look at a status; tell whether nothing is due any more."""
    asked = due.open.pop(task.itt, None)
    status = None if moment.values.get("Response") else moment["Status"]
    if status == _CHECK_CONDITION:
        code = _sense(moment)
        if code == _CLEARED:
            return FINE, True
        if code is None or code.key == _UNIT_ATTENTION:
            return None, True  # another one may stand for it
    if asked is not None and status in _DONE and due.suspect is None:
        due.suspect = asked
        due.rivals = frozenset(due.open)
    if due.suspect is None or not due.rivals.isdisjoint(due.open):
        return None, False
    text = f"no CHECK CONDITION 6/47/7F on LUN {task.lun:#x}, whose tasks ended with their connection"
    return Breach(text=text, proof=(due.suspect, due.note, due.task)), True


def _sense(moment: Moment) -> SenseCode | None:
    """Read the sense data; None where it is missing, or is not known."""
    data = moment.data
    try:
        sense = None if data is None else sense_of_segment(data)
    except ScsiError:
        return None
    return None if sense is None else sense.code


FAMILY = Family(
    name="attentions",
    title="Commands cleared by iSCSI protocol events",
    rules=(
        Rule(
            id="T-078",
            title="When tasks died with their connection, the next command of their logical unit is told so",
            severity=Severity.MUST,
            clause="RFC 7143 11.14.5",
            check=_is_told,
            sent=_STATUSES,
            given=_COMMAND,
            why="An initiator that is not told takes writes for done that never were, and goes on.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_follow, sent=_ENDINGS, closed=True),),
)
