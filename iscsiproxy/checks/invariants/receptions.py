"""That a target takes what it has to take: every command inside the window, also behind a gap (RFC 7143 4.2.2.1).

What a target has taken it tells by ExpCmdSN, the number of the first command that it lacks. A command with just that
number, which it must have read since it has answered what came behind it on the same connection, was thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iscsiproxy.checks.moment import ANSWERED, Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_ANSWERS: Final = frozenset(ANSWERED)
_STATUS: Final = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN})
#: How long a command may lie in a target before ExpCmdSN tells that it is there, in seconds. The standard gives none.
_TAKEN: Final = 1.0
#: How many commands are remembered that were not acknowledged
_KEPT: Final = 256


class _Arrivals:
    """The commands of a session that have come and were not acknowledged, by CmdSN."""

    __slots__ = ("notes", "told")

    def __init__(self) -> None:
        self.notes: dict[int, Note] = {}
        self.told: int | None = None  #: the ExpCmdSN that was found too low last

    def keep(self, number: int, note: Note) -> None:
        """Note a command."""
        self.notes[number] = note
        if len(self.notes) > _KEPT:
            del self.notes[next(iter(self.notes))]


# --- what came is acknowledged ---------------------------------------------------------------------------------------


def _acknowledges(moment: Moment) -> Outcome:
    """T-082: see that ExpCmdSN does not name a command that the target has had for long."""
    known = moment.session.known(_Arrivals)
    if known is None or not moment.full_feature:
        return None
    expected = moment["ExpCmdSN"]
    note = known.notes.get(expected)
    if note is None:
        return FINE if known.notes else None
    if known.told == expected or not _is_overdue(moment, note, expected):
        return None
    known.told = expected
    assert moment.task is not None
    text = f"ExpCmdSN is {expected} still, {moment.at - note.at:.1f} s behind the command with this CmdSN"
    return Breach(text=f"{text}, in answer to what came after it", proof=(note, moment.task.note))


def _is_overdue(moment: Moment, note: Note, expected: int) -> bool:
    """Tell whether a command was surely there to be taken, all that time."""
    session, conn, task = moment.session, moment.conn, moment.own
    missing = session.book.lowest_missing
    if not session.complete or missing is None or not lt(expected, missing) or expected in session.book.doubtful:
        return False  # it was rejected, or whether it counts is not known
    if note.changed or note.forged or note.conn != conn.number or not moment.framed:
        return False
    if task is None or task.note.n < note.n or task.note.conn != conn.number:
        return False  # that it was read is not proven
    if any(other.opcode == Opcode.TMF_REQUEST and other is not task for other in session.live()):
        return False  # commands behind a task management function may have to wait for it (RFC 7143 4.2.3.3)
    if session.exp_cmd != expected or session.exp_note is None:
        return False  # it is told for the first time: what was missing before may have come just now
    since = max(note.at, session.exp_note.at)
    until = moment.at if conn.logout is None else conn.logout.at  # what came just before a logout need not be begun
    return until - since > _TAKEN


def _arrived(moment: Moment) -> None:
    """Keep a command, if it is one that the target has to take."""
    session, number = moment.session, moment["CmdSN"]
    if moment["I"] or not moment.full_feature:
        return
    if session.max_cmd is not None and lt(session.max_cmd, number):
        return
    if session.book.used(number) is False:
        session.recall(_Arrivals).keep(number, moment.note)


def _told(moment: Moment) -> None:
    """Forget what is acknowledged."""
    known = moment.session.known(_Arrivals)
    if known is not None and known.notes:
        expected = moment["ExpCmdSN"]
        for number in [number for number in known.notes if lt(number, expected)]:
            del known.notes[number]


# --- a copy takes nothing away ---------------------------------------------------------------------------------------


def _outlives_its_copy(moment: Moment) -> Outcome:
    """T-083: see that a command whose CmdSN came twice is carried out all the same."""
    if moment.sent:
        task = moment.own
        if task is None or not task.is_scsi or (moment.opcode == Opcode.DATA_IN and not moment["S"]):
            return None
        return FINE if moment.settle(task.serial) else None
    if moment["I"] or not moment.full_feature:
        return None
    first = _original(moment)
    if first is None or moment.owes(first.serial):
        return None
    number = first.cmd_sn
    text = f"CmdSN {number} came twice, and its command ITT={first.itt:#x} was not answered, while later ones were,"
    still = _is_starved(moment.session, moment.conn, first, moment.note)
    moment.owe(first.serial, text, proof=(first.note,), within=moment.scene.limits.slow, still=still)
    return None


def _original(moment: Moment) -> Task | None:
    """Find the live SCSI command whose CmdSN a request repeats; None if it is not known."""
    session, number = moment.session, moment["CmdSN"]
    if not session.complete or not session.book.used(number):
        return None
    found = [task for task in session.live(moment.conn.number) if task.cmd_sn == number and not task.immediate]
    if len(found) != 1:
        return None
    first = found[0]
    return first if first.is_scsi and not first.ignored and first.replaced is None and first.aborting is None else None


def _is_starved(session: Session, conn: Conn, task: Task, copy: Note) -> Callable[[], bool]:
    """Make what tells whether a command waits for the target alone, and others behind it did not have to."""

    def look() -> bool:
        if not task.live or task.aborting is not None or conn.logout is not None or _is_expecting(task):
            return False
        return any(
            other.is_scsi and other.lun == task.lun and other.terminal is not None and other.note.n > copy.n
            for other in session.finished.values()
        )

    return look


def _is_expecting(task: Task) -> bool:
    """Tell whether there is data on its way yet that the target waits for."""
    return bool(task.r2ts_open) or (task.writes and not task.values["F"] and task.unsolicited.final is None)


FAMILY = Family(
    name="receptions",
    title="What a target has to take",
    rules=(
        Rule(
            id="T-082",
            title="A command inside the window is taken, also when it comes before its turn",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_acknowledges,
            sent=_ANSWERS,
            why="The initiator does not know that the command was thrown away: the whole session waits for it.",
        ),
        Rule(
            id="T-083",
            title="A command is carried out, whether its CmdSN comes a second time or not",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 4.2.2.1",
            check=_outlives_its_copy,
            sent=_STATUS,
            given=_COMMANDS,
            why="A copy that is not just ignored may cost the command its answer, and the host hangs on it.",
        ),
    ),
    observers=(
        Observer(end=End.TARGET, update=_arrived, given=_COMMANDS),
        Observer(end=End.TARGET, update=_told, sent=_ANSWERS),
    ),
)
