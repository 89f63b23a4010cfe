"""Asynchronous Messages: what a target may announce, and what an initiator has to do about it (RFC 7143 11.9).

That AsyncEvent 1 comes on the connection that is to be logged out needs no rule: it names no other one.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["FAMILY"]

_ASYNC = frozenset({Opcode.ASYNC})
_LOGOUT, _DROP, _DROP_ALL, _NEGOTIATE, _TERMINATION = 1, 2, 3, 4, 5
#: AsyncEvents of vendors (RFC 7143 11.9.1); in RFC 3720 there was one
_VENDOR = frozenset(range(248, 256))
_OLD_VENDOR = frozenset({255})
_OLD = frozenset({Profile.RFC3720, Profile.RFC5048})
#: What needs no answer, and no more than a look
_HARMLESS = _VENDOR | {0}
#: Beside the whole seconds of Parameter3 (RFC 7143 11.9.1), in seconds
_ROUNDING = 1.0
#: So soon a connection is given up on account of what has come just now, in seconds
_AT_ONCE = 1.0
#: How many requests of the target are remembered
_REMEMBERED = 64


# --- what a target announces ------------------------------------------------------------------------------------------


def _is_known(moment: Moment) -> Outcome:
    """T-055: an AsyncEvent is one of the standard's; 5 was agreed on."""
    event = moment["AsyncEvent"]
    vendor = _OLD_VENDOR if moment.profile in _OLD else _VENDOR
    if event > _TERMINATION and event not in vendor:
        return Breach(text=f"AsyncEvent {event} is reserved")
    if event != _TERMINATION:
        return FINE
    if not moment.terms.known:
        return None
    if moment.terms.task_reporting != "FastAbort":
        return Breach(text=f"AsyncEvent 5, task termination, with TaskReporting={moment.terms.task_reporting}")
    return FINE


def _drops(moment: Moment) -> Outcome:
    """T-056: a connection whose end was announced does end."""
    conn, session, scene = moment.conn, moment.session, moment.scene
    if moment.closed is not None:
        settled = moment.settle(conn.number, scope="session")
        return FINE if settled and moment.sent else None
    event = moment["AsyncEvent"]
    if event not in (_DROP, _DROP_ALL) or not moment.full_feature:
        return None
    for number, cid in session.conns.items():
        other = scene.conns.get(number)
        if other is None or other.ended or (event == _DROP and cid != moment["Parameter1"]):
            continue
        text = f"AsyncEvent {event}, and the connection with CID {cid} was not dropped"
        moment.owe(number, text, within=scene.limits.close, scope="session", still=partial(_is_up, other))
    return None


def _is_up(conn: Conn) -> bool:
    return not conn.ended


# --- what an initiator does -------------------------------------------------------------------------------------------


class _Heard:
    """What the target has announced on a connection.

    `logout` asks for one; `terminated` are, by LUN, the messages that end tasks; `harmless` the last one that asks for
    nothing. What was told of the initiator is told once.
    """

    def __init__(self) -> None:
        self.logout: Note | None = None
        self.asked: deque[tuple[object, Note]] = deque(maxlen=_REMEMBERED)
        self.terminated: dict[int, Note] = {}
        self.harmless: Note | None = None
        self.told: set[str] = set()


def _heeds(moment: Moment) -> Outcome:
    """I-044: a request to log out, to negotiate or to forget tasks is complied with in time."""
    if moment.closed is not None:
        return _gave_up(moment)
    heard = moment.conn.known(_Heard)
    if heard is None and moment.sent and moment.opcode != Opcode.LOGOUT_REQUEST:
        return None
    if not moment.full_feature:
        return None
    if not moment.sent:
        return _asked(moment)
    if moment.opcode == Opcode.LOGOUT_REQUEST or heard is None:
        return _logged_out(moment)
    if moment.opcode == Opcode.TEXT_REQUEST:
        return FINE if moment.settle(("text", moment.conn.number), scope="session") else None
    if moment.opcode == Opcode.NOP_OUT:
        return _acknowledged(moment, heard)
    if moment.opcode == Opcode.DATA_OUT:
        return _went_on(moment, heard)
    return _began(moment, heard)


def _asked(moment: Moment) -> Outcome:
    conn, session, scene, event = moment.conn, moment.session, moment.scene, moment["AsyncEvent"]
    heard = conn.recall(_Heard)
    proper = conn.next_stat in (None, moment["StatSN"]) and not moment["TotalAHSLength"] and moment.framed
    if not proper or conn.logout is not None or conn.ended or session.discovery:
        return None
    seconds = moment["Parameter3"]
    within = seconds + _ROUNDING if seconds else scene.limits.slow
    if event == _LOGOUT:
        heard.logout = heard.logout or moment.note
        key: tuple[object, ...] = ("logout", conn.number)
        text = f"AsyncEvent 1 asks for a logout in {seconds} s, and no Logout Request came"
    elif event == _NEGOTIATE:
        if any(task.opcode == Opcode.TEXT_REQUEST for task in session.live(conn.number)):
            return None
        key = ("text", conn.number)
        text = f"AsyncEvent 4 asks for a negotiation in {seconds} s, and no Text or Logout Request came"
    elif event == _TERMINATION and moment.terms.known and moment.terms.task_reporting == "FastAbort":
        lun = moment["LUN"]
        heard.terminated[lun] = moment.note
        key, within = ("nop", conn.number, lun), scene.limits.answer
        text = f"AsyncEvent 5 for LUN {lun:#x} was not acknowledged by a NOP-Out with that LUN"
    else:
        heard.harmless = moment.note if event in _HARMLESS else None
        return None
    heard.asked.append((key, moment.note))
    moment.owe(key, text, within=within, scope="session", still=lambda: conn.logout is None and not conn.ended)
    return None


def _logged_out(moment: Moment) -> Outcome:
    """Take a logout as what was asked for, on whichever connection it comes."""
    session, reason = moment.session, codes.LOGOUT_REASON.text(moment["ReasonCode"])
    outcome: Outcome = None
    for number, cid in session.conns.items():
        if reason != "CLOSE_SESSION" and cid != moment["CID"]:
            continue
        negotiated = moment.settle(("text", number), scope="session")
        if not moment.settle(("logout", number), scope="session"):
            outcome = FINE if negotiated else outcome
            continue
        outcome = FINE
        other = moment.scene.conns.get(number)
        heard = None if other is None else other.known(_Heard)
        if reason not in ("CLOSE_SESSION", "CLOSE_CONNECTION") and heard is not None and heard.logout is not None:
            text = f"Logout Request with reason {reason} where AsyncEvent 1 asks to close"
            return Breach(text=text, proof=(heard.logout,)) if moment.has_read(heard.logout) else None
    return outcome


def _acknowledged(moment: Moment, heard: _Heard) -> Outcome:
    note = heard.terminated.get(moment["LUN"])
    if note is None or moment["ITT"] != NO_TAG or not moment.acknowledges(note):
        return None
    return FINE if moment.settle(("nop", moment.conn.number, moment["LUN"]), scope="session") else None


def _went_on(moment: Moment, heard: _Heard) -> Outcome:
    """See that no data is sent any more for what has ended (RFC 7143 4.2.3.4, 11.9.1)."""
    task = moment.task
    if not heard.terminated or task is None or moment["TTT"] == NO_TAG or "data" in heard.told:
        return None
    note = heard.terminated.get(task.lun)
    if note is None or task.note.n > note.n or not moment.acknowledges(note):
        return None
    heard.told.add("data")
    return Breach(text=f"Data-Out for LUN {task.lun:#x}, whose tasks AsyncEvent 5 has ended", proof=(note, task.note))


def _began(moment: Moment, heard: _Heard) -> Outcome:
    """See that no new command comes on a connection that is to be logged out."""
    note = heard.logout
    if note is None or moment.task is not None or "command" in heard.told or not moment.acknowledges(note):
        return None
    heard.told.add("command")
    text = "a new command where AsyncEvent 1 asks for a logout"
    return Breach(text=text, proof=(note,), severity=Severity.SHOULD)


def _gave_up(moment: Moment) -> Outcome:
    """See whether the initiator ended the connection instead: a way out, but not the one that it was shown."""
    conn, heard = moment.conn, moment.conn.known(_Heard)
    if heard is None or not moment.sent or conn.ended or conn.logout is not None:
        return None
    for key, note in heard.asked:
        if moment.settle(key, scope="session") and _is_last_trouble(moment, note):
            text = f"the connection was given up where AsyncEvent {note['AsyncEvent']} asks for something else"
            return Breach(text=text, proof=(note,), severity=Severity.HEURISTIC)
    last = heard.harmless
    if last is not None and moment.at - last.at < _AT_ONCE and _is_last_trouble(moment, last):
        text = f"the connection was given up at AsyncEvent {last['AsyncEvent']}, which asks for nothing"
        return Breach(text=text, proof=(last,), severity=Severity.HEURISTIC)
    return None


def _is_last_trouble(moment: Moment, note: Note) -> bool:
    """Tell whether no fault has touched the connection behind a message."""
    disturbed = moment.conn.disturbed
    return disturbed is None or disturbed.at - note.at <= moment.scene.limits.slack


FAMILY = Family(
    name="asyncs",
    title="Asynchronous Messages",
    rules=(
        Rule(
            id="T-055",
            title="An AsyncEvent is one that the standard has, and 5 only with TaskReporting=FastAbort",
            severity=Severity.MUST,
            clause="RFC 7143 11.9.1",
            check=_is_known,
            sent=_ASYNC,
            why="An initiator that does not know an event can only drop the session.",
        ),
        Rule(
            id="T-056",
            title="A connection whose drop is announced is dropped",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.9.1",
            check=_drops,
            sent=_ASYNC,
            closed=True,
            why="The initiator has stopped using it and waits for its end before it comes back.",
        ),
        Rule(
            id="I-044",
            title="A request to log out or to negotiate is complied with in time, and ended tasks are acknowledged",
            severity=Severity.MUST,
            clause="RFC 7143 11.9.1",
            check=_heeds,
            sent=frozenset(
                {Opcode.LOGOUT_REQUEST, Opcode.TEXT_REQUEST, Opcode.NOP_OUT, Opcode.DATA_OUT, Opcode.SCSI_COMMAND}
            ),
            given=_ASYNC,
            closed=True,
            why="A target that fails over or is updated cuts the connection off, with all that is under way on it.",
        ),
    ),
)
