"""What never comes to its end: tasks, lost sessions, and initiators that try again too hard.

The standard gives no times for any of this (RFC 7143 7.11 and 7.14 leave them to whoever implements it), so these rules
are heuristics, with times that no healthy pair comes near.
"""

from __future__ import annotations

from collections import deque

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

#: How long a SCSI command may take, and how long an initiator may wait for one, in seconds
_TASK_ENDS = 60.0
_GIVES_UP = 120.0
#: How long an initiator may take to come back with what it had outstanding
_COMES_BACK = 60.0
#: So many logins in so many seconds are a storm, and so many retries of one command
_STORM = 10
_STORM_SECONDS = 5.0
_TIGHT = 50
_TIGHT_SECONDS = 1.0

_COMMAND = frozenset({Opcode.SCSI_COMMAND})
_ANSWERS = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN, Opcode.TMF_RESPONSE, Opcode.REJECT})
_STATUS = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN})
_LATER = frozenset({codes.SCSI_STATUS.value("BUSY"), codes.SCSI_STATUS.value("TASK_SET_FULL")})


def _ends(moment: Moment) -> Outcome:
    """T-L01: see that each SCSI command comes to its end."""
    return _awaited(moment, "has no end")


def _gives_up(moment: Moment) -> Outcome:
    """I-L01: see that the initiator does not wait for ever: it aborts the task, or gives the connection up."""
    if moment.sent and moment.opcode == Opcode.TMF_REQUEST:
        moment.forgive(moment["RefTaskTag"])
        if codes.TMF_FUNCTION.text(moment["Function"]) != "ABORT_TASK":
            for task in moment.session.live(moment.conn.number):
                moment.forgive(task.itt)
        return None
    return _awaited(moment, "is waited for")


def _awaited(moment: Moment, what: str) -> Outcome:
    if moment.opcode == Opcode.SCSI_COMMAND:
        if moment.task is None and not moment.owes(moment["ITT"]):
            moment.owe(moment["ITT"], f"SCSI-Command ITT={moment['ITT']:#x} {what}: no answer")
        return None
    task = moment.task
    if moment.opcode == Opcode.TMF_RESPONSE:
        # What it ended is known when the scene has moved on: all that it may have ended is let go.
        if not moment["Response"]:
            for other in moment.session.live(moment.conn.number):
                moment.forgive(other.itt)
        return None
    if task is None or not task.is_scsi or (moment.opcode == Opcode.DATA_IN and not moment["S"]):
        return None
    return FINE if moment.settle(task.itt) else None


class _Fruitless:
    """The last logins that no answer to a command came behind."""

    def __init__(self) -> None:
        self.logins: deque[tuple[float, Note]] = deque(maxlen=_STORM)


def _comes_back(moment: Moment) -> Outcome:
    """I-L02: see that who loses a session with commands under way comes back for them."""
    session, conn = moment.session, moment.conn
    key = session.initiator_name, session.target_name
    if moment.closed is None:
        final = moment.opcode == Opcode.LOGIN_RESPONSE and not moment["Status-Class"] and moment["T"]
        return FINE if final and moment["NSG"] == 3 and moment.settle(key, scope="leg") else None
    others = [number for number in session.conns if number != conn.number]
    if moment.sent or others or conn.logout is not None or conn.phase is not Phase.FULL_FEATURE or session.discovery:
        return None
    tasks = [task for task in session.live(conn.number) if task.is_scsi]
    if tasks and session.initiator_name is not None:
        text = f"{session.initiator_name} lost its session with {len(tasks)} commands under way and did not come back"
        moment.owe(key, text, scope="leg", proof=(tasks[0].note,))
    return None


def _is_patient(moment: Moment) -> Outcome:
    """I-L03: see that logins that lead nowhere are not tried again in a tight loop."""
    if moment.conn.phase is not Phase.CONNECTED:
        return None
    logins = moment.scene.recall(_Fruitless).logins
    logins.append((moment.at, moment.note))
    if len(logins) < _STORM:
        return None
    if moment.at - logins[0][0] >= _STORM_SECONDS:
        return FINE
    text = f"{_STORM} logins that led nowhere in {moment.at - logins[0][0]:.1f} s"
    return Breach(text=text, proof=(logins[0][1],))


def _fruitful(moment: Moment) -> None:
    """Take note that a session was of some use."""
    logins = moment.scene.recall(_Fruitless).logins
    if logins:
        logins.clear()


class _Refused:
    """When commands of one kind were refused for now, and sent again."""

    def __init__(self) -> None:
        self.cdb = b""
        self.times: deque[float] = deque(maxlen=_TIGHT)
        self.note: Note | None = None


def _refused(moment: Moment) -> None:
    """Take note of what was refused for now."""
    task = moment.task
    if task is None or not task.is_scsi or moment["Status"] not in _LATER:
        return
    if moment.opcode == Opcode.DATA_IN and not moment["S"]:
        return
    assert task.note.pdu is not None
    kept = moment.session.recall(_Refused)
    kept.cdb, kept.note = task.note.pdu.cdb, moment.note


def _waits(moment: Moment) -> Outcome:
    """I-L04: see that a command that was refused for now (BUSY, TASK SET FULL) is not sent again at once, and again."""
    kept = moment.session.known(_Refused)
    if kept is None or kept.note is None or moment.pdu.cdb != kept.cdb:
        return None
    times = kept.times
    times.append(moment.at)
    if len(times) < _TIGHT or times[-1] - times[0] >= _TIGHT_SECONDS:
        return FINE
    text = f"{len(times)} times the same command in {times[-1] - times[0]:.2f} s behind a refusal"
    times.clear()
    return Breach(text=text, proof=(kept.note,))


FAMILY = Family(
    name="liveness",
    title="Ends, recovery and patience",
    rules=(
        Rule(
            id="T-L01",
            title="A SCSI command comes to its end",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.11",
            check=_ends,
            sent=_ANSWERS,
            given=_COMMAND,
            within=_TASK_ENDS,
            calm=True,
            why="A command that is lost in a target hangs its file system until the initiator's own timer runs out.",
        ),
        Rule(
            id="I-L01",
            title="A command that is not answered is aborted, or its connection given up",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.11",
            check=_gives_up,
            sent=_COMMAND | {Opcode.TMF_REQUEST},
            given=_ANSWERS,
            within=_GIVES_UP,
            why="An initiator without a timer of its own hangs with its target.",
        ),
        Rule(
            id="I-L02",
            title="Who loses a session with commands under way comes back",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 7.1.4.4",
            check=_comes_back,
            given=frozenset({Opcode.LOGIN_RESPONSE}),
            closed=True,
            within=_COMES_BACK,
            why="A cable that is put back in after a moment has to be enough for I/O to go on.",
        ),
        Rule(
            id="I-L03",
            title="Logins that lead nowhere are not tried again in a tight loop",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.13.5",
            check=_is_patient,
            sent=frozenset({Opcode.LOGIN_REQUEST}),
            why="A hundred hosts that come back without a pause keep a target that restarts from coming up.",
        ),
        Rule(
            id="I-L04",
            title="What was refused with BUSY or TASK SET FULL is not sent again in a tight loop",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.4.2",
            check=_waits,
            sent=_COMMAND,
            why="A target that has no room gets none while it is asked again all the time.",
        ),
    ),
    observers=(
        Observer(end=End.INITIATOR, update=_refused, given=_STATUS),
        Observer(end=End.INITIATOR, update=_fruitful, given=_STATUS | {Opcode.NOP_IN, Opcode.TEXT_RESPONSE}),
    ),
)
