"""CmdSN: how an initiator numbers its commands (RFC 7143 4.2.2.1, 7.3, 11.12.8).

One count runs through a session. On several connections commands pass each other, so that a gap may still be filled; on
one connection they come in the order of their numbers. What was rejected leaves a place that has to be filled.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import add, distance, lt

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_REJECT: Final = frozenset({Opcode.REJECT})
_LOGIN_REQUEST: Final = frozenset({Opcode.LOGIN_REQUEST})
_LOGIN: Final = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
#: How many gaps a session may owe commands for
_KEPT: Final = 64


class _Last:
    """The non-immediate command with the highest CmdSN of a connection."""

    __slots__ = ("cmd_sn", "note")

    def __init__(self) -> None:
        self.cmd_sn: int | None = None
        self.note: Note | None = None


class _Carriers:
    """The connections that a session had when commands were sent: what one of them lost, nobody may have seen."""

    __slots__ = ("conns",)

    def __init__(self) -> None:
        self.conns: set[int] = set()


class _Holes:
    """CmdSNs of a session whose commands were rejected, with the Reject, and those that the initiator owes by now."""

    __slots__ = ("owed", "rejected", "seen")

    def __init__(self) -> None:
        self.rejected: dict[int, Note] = {}
        self.owed: set[int] = set()
        self.seen: set[int] = set()  #: all that ever were: what fills them may come late, in any order


class _Login:
    """The Login Requests of a connection: the first, and how many responses came since the last."""

    __slots__ = ("first", "responses")

    def __init__(self) -> None:
        self.first: Note | None = None
        self.responses = 0


def _missing(session: Session, number: int) -> bool:
    """Tell whether no command has filled a place yet, and none was lost that may have."""
    carriers = session.known(_Carriers)
    lost = carriers is not None and not carriers.conns <= session.conns.keys()
    return session.book.used(number) is False and not lost


# --- the count -------------------------------------------------------------------------------------------------------


def _counts(moment: Moment) -> Outcome:
    """I-004: see that a command has the number that is next, and that an immediate one does not use it up."""
    session, expected = moment.session, moment.session.book.next
    if expected is None or not session.complete or not moment.full_feature:
        return None
    number = moment["CmdSN"]
    if number == expected or (not moment["I"] and moment.settle(number, scope="session")):
        return FINE
    if moment.task is not None and (moment["I"] or number == moment.task.cmd_sn):
        return None  # it was sent before: the rules of a retry are others
    several = len(session.conns) > 1
    if moment["I"]:
        if several:
            return None  # the count may go on elsewhere meanwhile
        return Breach(text=f"an immediate command has CmdSN {number}, the next is {expected}", proof=_before(moment))
    if lt(expected, number):
        if several and distance(expected, number) <= _KEPT:
            for skipped in range(distance(expected, number)):
                _owe_what_was_skipped(moment, add(expected, skipped), number)
        if several or not _missing(session, expected):
            return None
        return Breach(text=f"CmdSN {number}, expected {expected}", proof=_before(moment))
    holes, used = session.known(_Holes), session.book.used(number)
    if used is False or number in session.book.doubtful or (holes is not None and number in holes.seen):
        return None
    what = "was used before" if used else "is lower than any that may come"
    return Breach(text=f"CmdSN {number} {what}; the next is {expected}", proof=_with(moment, number))


def _owe_what_was_skipped(moment: Moment, skipped: int, number: int) -> None:
    session = moment.session
    text = f"CmdSN {number} was sent, and CmdSN {skipped} on no connection"
    moment.owe(skipped, text, scope="session", still=lambda: _missing(session, skipped))


def _before(moment: Moment) -> tuple[Note, ...]:
    last = moment.conn.known(_Last)
    return () if last is None or last.note is None else (last.note,)


def _with(moment: Moment, number: int) -> tuple[Note, ...]:
    """Find the command that had a number; empty if it is not remembered."""
    tasks = (*moment.session.tasks.values(), *moment.session.finished.values())
    return next(((task.note,) for task in tasks if task.cmd_sn == number and not task.immediate), ())


def _is_in_order(moment: Moment) -> Outcome:
    """I-005: see that commands leave in the order of their numbers, on each connection."""
    if moment["I"] or moment.task is not None or not moment.full_feature:
        return None
    last = moment.conn.known(_Last)
    if last is None or last.cmd_sn is None or last.note is None:
        return None
    number, session = moment["CmdSN"], moment.session
    if lt(last.cmd_sn, number):
        return FINE
    holes = session.known(_Holes)
    if not session.complete or not _missing(session, number) or (holes is not None and number in holes.seen):
        return None  # I-004, or it fills the place of another
    return Breach(text=f"CmdSN {number} was sent behind CmdSN {last.cmd_sn}", proof=(last.note,))


def _keep_the_last(moment: Moment) -> None:
    """Keep the highest CmdSN of a connection, and who may carry commands."""
    moment.session.recall(_Carriers).conns.update(moment.session.conns)
    if moment["I"]:
        return
    last, number, session = moment.conn.recall(_Last), moment["CmdSN"], moment.session
    if session.max_cmd is not None and lt(session.max_cmd, number) and number != session.book.next:
        return  # the count does not follow a leap beyond the window
    if last.cmd_sn is None or lt(last.cmd_sn, number):
        last.cmd_sn, last.note = number, moment.note


# --- what was rejected -----------------------------------------------------------------------------------------------


def _fills_the_gap(moment: Moment) -> Outcome:
    """I-058: see that the place of a rejected command is filled when the session goes on."""
    session, values = moment.session, moment.values
    if not moment.full_feature:
        return None
    if not moment.sent:
        _note_hole(moment)
        return None
    holes = session.known(_Holes)
    if holes is None or not holes.rejected:
        return None
    filled = None if values["I"] else values["CmdSN"]
    if moment.opcode == Opcode.TMF_REQUEST and codes.TMF_FUNCTION.text(values["Function"]) == "ABORT_TASK":
        filled = values["RefCmdSN"]
    if filled in holes.rejected:
        del holes.rejected[filled]
        holes.owed.discard(filled)
        moment.settle(filled, scope="session")
        return FINE
    if values["I"] or moment.opcode == Opcode.LOGOUT_REQUEST:
        return None
    for number, reject in list(holes.rejected.items()):
        if not _is_open(session, number):
            del holes.rejected[number]
        elif number not in holes.owed and lt(number, values["CmdSN"]) and moment.has_read(reject):
            holes.owed.add(number)
            _owe_a_plug(moment, number, reject)
    return None


def _owe_a_plug(moment: Moment, number: int, reject: Note) -> None:
    session = moment.session
    text = f"the session went on, and the place of the rejected CmdSN {number} was not filled"
    moment.owe(
        number,
        text,
        scope="session",
        within=moment.scene.limits.slow,
        proof=(reject,),
        still=lambda: _is_open(session, number),
    )


def _is_open(session: Session, number: int) -> bool:
    """Tell whether the initiator has to fill a place: not if the target went past it, or the session ends."""
    return session.exp_cmd is None or not lt(number, session.exp_cmd)


def _note_hole(moment: Moment) -> None:
    header, task, session = rejected_header(moment.pdu), moment.task, moment.session
    if header is None or header.opcode not in _COMMANDS or header["I"] or task is None or not session.complete:
        return
    number = task.cmd_sn
    acknowledged = [one for one in (session.exp_cmd, moment["ExpCmdSN"]) if one is not None and lt(number, one)]
    if acknowledged or header["CmdSN"] != number or header.opcode != task.opcode or not task.live or task.retries:
        return
    holes = session.recall(_Holes)
    if len(holes.rejected) < _KEPT:
        holes.rejected[number] = moment.note
    holes.seen.add(number)


# --- the login -------------------------------------------------------------------------------------------------------


def _logs_in_with_one_number(moment: Moment) -> Outcome:
    """I-052: see that CmdSN stays as it is in a leading login, and that each Login Response is acknowledged."""
    conn = moment.conn
    if not conn.seen or moment.full_feature:
        return None
    login = conn.recall(_Login)
    if not moment.sent:
        login.responses += 1
        return None
    responses, login.responses = login.responses, 0
    first = login.first
    if first is None:
        login.first = moment.note
        return None
    number = first["CmdSN"]
    if not first["TSIH"] and moment["CmdSN"] != number:
        text = f"the login has CmdSN {moment['CmdSN']} now, and began with {number}"
        return Breach(text=text, proof=(first,), clause="RFC 7143 11.12.8")
    expected = conn.next_stat
    if expected is None or responses != 1:
        return None
    acked = moment["ExpStatSN"]
    if lt(acked, expected):
        text = f"ExpStatSN {acked} does not acknowledge the Login Response with StatSN {add(expected, -1)}"
        return Breach(text=text, proof=() if conn.status_note is None else (conn.status_note,),
                      clause="RFC 7143 11.12.9")  # fmt: skip
    return FINE


FAMILY = Family(
    name="command_numbers",
    title="CmdSN",
    rules=(
        Rule(
            id="I-004",
            title="CmdSN grows by one with each non-immediate command, from that of the login on",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1, RFC 7143 11.12.8",
            check=_counts,
            sent=_COMMANDS,
            why="A target waits for the number that was skipped, and delivers nothing behind it.",
        ),
        Rule(
            id="I-005",
            title="On one connection commands are sent in the order of CmdSN, but for retries",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_is_in_order,
            sent=_COMMANDS,
            why="Targets with one connection need not put commands into their order, and some ignore what comes late.",
        ),
        Rule(
            id="I-052",
            title="A leading login has one CmdSN, and each Login Request acknowledges the response before it",
            severity=Severity.MUST,
            clause="RFC 7143 11.12.8, RFC 7143 11.12.9",
            check=_logs_in_with_one_number,
            sent=_LOGIN_REQUEST,
            given=_LOGIN - _LOGIN_REQUEST,
            why="Target and initiator begin the session with different counts: its first command is ignored.",
        ),
        Rule(
            id="I-058",
            title="The place of a rejected command is filled, by a command with its CmdSN or by aborting it",
            severity=Severity.MUST,
            clause="RFC 7143 7.3",
            check=_fills_the_gap,
            sent=_COMMANDS,
            given=_REJECT,
            why="The target waits for it, and takes none of the commands that follow.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_keep_the_last, sent=_COMMANDS),),
)
