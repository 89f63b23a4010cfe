"""How an initiator comes back, and how it gives a command up (RFC 7143 7.5, 7.11, 13.15).

The times count from the moment at which a connection began to end on the initiator's own leg. For an end without a word
they are what was negotiated, for an announced one what the announcement says (RFC 7143 7.5.1, 7.5.2).

Of a command that nobody waits for any more a wire shows little: only that its tag is used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.talks import LISTENERS, heard
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.errors import ScsiError
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.sense import sense_of_segment

__all__ = ["FAMILY"]

_ABORT_TASK, _TASK_REASSIGN = 1, 8
_CONNECTION_DROP, _SESSION_DROP, _TERMINATION = 2, 3, 5
_RECOVERY = codes.LOGOUT_REASON.value("REMOVE_CONNECTION_FOR_RECOVERY")
#: Logout Responses that leave the connection as it was, and give a time for the next try (RFC 7143 11.15.3)
_TRY_LATER = frozenset({2, 3})
#: An initiator that counts from what it saw may be this much early, or what it did itself: a part of the time
_EARLY, _EARLIER = 0.1, 0.25
#: A reassignment may be this late, in seconds
_LATE = 1.0
#: How many initiators and targets, connections and logouts are remembered
_PORTS, _LOSSES = 1024, 64
_CHECK_CONDITION = codes.SCSI_STATUS.value("CHECK_CONDITION")
#: Unit attentions that tell that commands are gone (SPC)
_GONE = frozenset({0x29, 0x2F, 0x47})

#: InitiatorName, TargetName and ISID: the same port with the same target (RFC 7143 4.4.3)
_Port: TypeAlias = tuple[str | None, str | None, int]


# --- I-056 ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """How long to wait from a moment on: `wait` seconds, and `retain` more until it is too late."""

    at: float
    wait: float
    retain: float
    note: Note
    by: str  #: what says so
    grace: float = _EARLY

    def early(self, now: float, slack: float) -> bool:
        """Tell whether it is too early."""
        return now - self.at + max(slack, self.grace * self.wait) < self.wait

    def late(self, now: float) -> bool:
        """Tell whether it is too late."""
        return now - self.at > self.wait + self.retain + _LATE

    def breach(self, what: str, now: float) -> Breach:
        """Say that something came too early."""
        text = f"{what} {round(now - self.at, 3):g} s after the connection was lost, {self.by}={self.wait:g}"
        return Breach(text=text, proof=(self.note,))


class _Losses:
    """The connections that were lost, by port and CID, with the TSIH of their session."""

    def __init__(self) -> None:
        self.by_port: dict[_Port, dict[int, tuple[int, _Wait]]] = {}

    def add(self, session: Session, cid: int, wait: _Wait) -> None:
        """Note one more."""
        port = session.initiator_name, session.target_name, session.isid
        lost = self.by_port.pop(port, {})
        self.by_port[port] = lost
        lost.pop(cid, None)
        lost[cid] = session.tsih, wait
        if len(lost) > _LOSSES:
            del lost[next(iter(lost))]
        if len(self.by_port) > _PORTS:
            del self.by_port[next(iter(self.by_port))]


class _Announced:
    """The Asynchronous Message that announces the end of a connection."""

    def __init__(self) -> None:
        self.note: Note | None = None


class _Lost:
    """Of a task without a connection: the CID of the one that it had, and the times that hold for it."""

    def __init__(self) -> None:
        self.cid: int | None = None
        self.wait: _Wait | None = None


class _LoggedOut:
    """What became of the logouts of a session: by CID, when the next one may be tried; and what is out for recovery."""

    def __init__(self) -> None:
        self.later: dict[int, _Wait] = {}
        self.removed: set[int] = set()


def _comes_in_time(moment: Moment) -> Outcome:
    """I-056: a login, a logout or a reassignment for a lost connection comes in its time."""
    if moment.opcode == Opcode.LOGIN_REQUEST:
        return _logged_in(moment)
    if not moment.full_feature:
        return None
    if moment.opcode == Opcode.LOGOUT_REQUEST:
        return _logged_out(moment)
    if moment["Function"] != _TASK_REASSIGN or moment.task is not None:
        return None
    named = moment.session.find(moment["RefTaskTag"])
    lost = None if named is None else named.known(_Lost)
    if lost is None or lost.wait is None:
        return None
    wait = lost.wait
    if wait.early(moment.at, moment.scene.limits.slack):
        return wait.breach("TASK REASSIGN", moment.at)
    if wait.late(moment.at):
        late = round(moment.at - wait.at)
        text = f"TASK REASSIGN {late} s after the connection was lost, with {wait.by}={wait.wait:g}"
        return Breach(text=f"{text} and {wait.retain:g} s to retain tasks", proof=(wait.note,))
    return FINE


def _logged_in(moment: Moment) -> Outcome:
    reading = heard(moment)
    if reading is None or reading.turn or not (reading.known and reading.whole) or reading.place.discovery:
        return None
    initiator, target = (reading.ledger.value(End.INITIATOR, key) for key in ("InitiatorName", "TargetName"))
    lost = moment.scene.recall(_Losses).by_port.get((initiator, target, moment["ISID"]))
    if not lost or initiator is None:
        return None
    tsih, cid = moment["TSIH"], moment["CID"]
    waits = [wait for key, (session, wait) in lost.items() if not tsih or (session == tsih and key == cid)]
    for key in [key for key, (_, wait) in lost.items() if wait in waits]:
        del lost[key]
    return _judged(moment, waits, "a login")


def _logged_out(moment: Moment) -> Outcome:
    """Look at the logout of a connection that was lost, or whose logout has failed before."""
    session, cid = moment.session, moment["CID"]
    if codes.LOGOUT_REASON.text(moment["ReasonCode"]) == "CLOSE_SESSION" or moment.task is not None:
        return None
    waits = []
    before = session.known(_LoggedOut)
    if before is not None and cid in before.later:
        waits.append(before.later.pop(cid))
    port = session.initiator_name, session.target_name, session.isid
    lost = moment.scene.recall(_Losses).by_port.get(port, {})
    if cid in lost and cid not in session.conns.values() and lost[cid][0] == session.tsih:
        waits.append(lost.pop(cid)[1])
    return _judged(moment, waits, "a logout")


def _judged(moment: Moment, waits: list[_Wait], what: str) -> Outcome:
    slack = moment.scene.limits.slack
    early = next((wait for wait in waits if wait.early(moment.at, slack)), None)
    if early is not None:
        return early.breach(what, moment.at)
    return FINE if any(wait.wait for wait in waits) else None


# --- what happens to connections --------------------------------------------------------------------------------------


def _announced(moment: Moment) -> None:
    """Note the announcement of an end, with the connections that it is about; or that tasks were ended."""
    event, session = moment["AsyncEvent"], moment.session
    if event == _TERMINATION:
        session.recall(_Cleared).note = moment.note
    if event not in (_CONNECTION_DROP, _SESSION_DROP):
        return
    for number, cid in session.conns.items():
        conn = moment.scene.conns.get(number)
        if conn is not None and (event == _SESSION_DROP or cid == moment["Parameter1"]):
            conn.recall(_Announced).note = moment.note


def _lost(moment: Moment) -> None:
    """Note that a connection ends without a logout."""
    conn, session = moment.conn, moment.session
    if conn.ended or conn.phase is not Phase.FULL_FEATURE or conn.logout is not None or session.discovery:
        return
    if not conn.terms.known or conn.cid is None or conn.slowed is not None:
        return
    if conn.cid in session.recall(_LoggedOut).removed:
        return
    wait = _wait_of(moment, conn)
    moment.scene.recall(_Losses).add(session, conn.cid, wait)
    for task in session.live(conn.number):
        lost = task.recall(_Lost)
        lost.cid, lost.wait = conn.cid, wait


def _wait_of(moment: Moment, conn: Conn) -> _Wait:
    wait, retain, by = float(conn.terms.time2wait), float(conn.terms.time2retain), "DefaultTime2Wait"
    told = conn.recall(_Announced).note
    if told is not None and (moment.has_read(told) or told["Parameter2"] < wait):
        wait, retain = float(told["Parameter2"]), float(told["Parameter3"])
        by = f"Time2Wait of AsyncEvent {told['AsyncEvent']}"
    grace = _EARLIER if moment.sent else _EARLY
    return _Wait(at=moment.at, wait=wait, retain=retain, note=moment.note, by=by, grace=grace)


def _left(moment: Moment) -> None:
    """Note the times that a Logout Response gives (RFC 7143 11.15.3, 11.15.4)."""
    request, session = moment.task, moment.session
    if request is None or request.opcode != Opcode.LOGOUT_REQUEST:
        return
    cid, response = request.values["CID"], moment["Response"]
    wait = _Wait(
        at=moment.at,
        wait=float(moment["Time2Wait"]),
        retain=float(moment["Time2Retain"]),
        note=moment.note,
        by="Time2Wait of the Logout Response",
    )
    logged_out = session.recall(_LoggedOut)
    if response in _TRY_LATER:
        logged_out.later[cid] = wait
        if len(logged_out.later) > _LOSSES:
            del logged_out.later[next(iter(logged_out.later))]
    elif not response and request.values["ReasonCode"] == _RECOVERY and moment.terms.error_recovery_level == 2:
        logged_out.removed.add(cid)
        for task in session.live():
            lost = task.recall(_Lost)
            if cid in (session.conns.get(task.conn), lost.cid):
                lost.cid, lost.wait = cid, wait


# --- I-057 ------------------------------------------------------------------------------------------------------------


class _Cleared:
    """What told the initiator last that commands have ended without an answer."""

    def __init__(self) -> None:
        self.note: Note | None = None


def _cleared(moment: Moment) -> None:
    if moment["Status"] != _CHECK_CONDITION or moment.data is None:
        return
    try:
        sense = sense_of_segment(moment.data)
    except ScsiError:
        return
    if sense is not None and sense.asc in _GONE:
        moment.session.recall(_Cleared).note = moment.note


def _gives_up_aloud(moment: Moment) -> Outcome:
    """I-057: a command that is not waited for any more was aborted before its tag is used again."""
    if moment.opcode == Opcode.TMF_REQUEST:
        if moment["Function"] != _ABORT_TASK:
            return None
        named = moment.session.tasks.get(moment["RefTaskTag"])
        return FINE if named is not None and named.is_scsi and moment.task is None else None
    old = moment.session.tasks.get(moment["ITT"])
    if old is None or moment.task is not None or not _is_waited_for(moment, old):
        return None
    age = round(moment.at - old.note.at)
    text = f"ITT={old.itt:#x} is used again: its command of {age} s ago has no answer"
    return Breach(text=f"{text}, and was not aborted", proof=(old.note,))


def _is_waited_for(moment: Moment, old: Task) -> bool:
    """Tell whether the initiator has nothing to take a command for ended by."""
    if not old.is_scsi or old.ignored or old.doubtful or old.aborting is not None or not moment.full_feature:
        return False
    cleared = moment.session.known(_Cleared)
    told = cleared is not None and cleared.note is not None and cleared.note.n > old.note.n
    return not told and moment.at - old.note.at > moment.scene.limits.slow


FAMILY = Family(
    name="recovery",
    title="Coming back, and giving up",
    rules=(
        Rule(
            id="I-056",
            title="A login, a logout or a reassignment for a lost connection comes after Time2Wait, and not too late",
            severity=Severity.SHOULD,
            clause="RFC 7143 7.5, RFC 7143 13.15",
            check=_comes_in_time,
            sent=frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.TMF_REQUEST}),
            why="The target is still busy with the end of the old connection, and has asked for that much time.",
        ),
        Rule(
            id="I-057",
            title="A command without an answer is aborted before its tag is used again",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.11",
            check=_gives_up_aloud,
            sent=frozenset({Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST}),
            why="The target may still write what the initiator takes for lost, over what it has written since.",
        ),
    ),
    observers=(
        *LISTENERS,
        Observer(end=End.INITIATOR, update=_announced, given=frozenset({Opcode.ASYNC})),
        Observer(end=End.INITIATOR, update=_left, given=frozenset({Opcode.LOGOUT_RESPONSE})),
        Observer(end=End.INITIATOR, update=_lost, closed=True),
        Observer(end=End.INITIATOR, update=_cleared, given=frozenset({Opcode.SCSI_RESPONSE})),
    ),
)
