"""Logout: what may still be said behind it, what it is answered with, and that both ends close (RFC 7143 11.14, 11.15).

A Logout Request names the connections that it closes: all of the session, or the one with its CID, which need not be
the one that it came on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_TARGET, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_LOGOUT = frozenset({Opcode.LOGOUT_REQUEST})
_ANSWER = frozenset({Opcode.LOGOUT_RESPONSE})
_REJECT = frozenset({Opcode.REJECT})
#: Requests that an end makes of its own accord; a SNACK asks for what belongs to an older one
_REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_SESSION = codes.LOGOUT_REASON.value("CLOSE_SESSION")
_RECOVERY = codes.LOGOUT_REASON.value("REMOVE_CONNECTION_FOR_RECOVERY")
_DONE = codes.LOGOUT_RESPONSE.value("CLOSED_SUCCESSFULLY")
_NOT_FOUND = codes.LOGOUT_RESPONSE.value("CID_NOT_FOUND")
_NO_RECOVERY = codes.LOGOUT_RESPONSE.value("CONNECTION_RECOVERY_NOT_SUPPORTED")
#: The ErrorRecoveryLevel with connection recovery (RFC 7143 7.1.5)
_RECOVERS = 2


class _Leaving:
    """The Logout Request that names a connection, and the answer that lets it go."""

    def __init__(self) -> None:
        self.request: Note | None = None
        self.answer: Note | None = None


class _Cids:
    """The CIDs of connections that a session has lost."""

    def __init__(self) -> None:
        self.gone: set[int | None] = set()


def _meant(moment: Moment, request: Note) -> Iterator[Conn]:
    """Give the open connections that a Logout Request names."""
    reason, cid = request["ReasonCode"], request["CID"]
    for number, other in list(moment.session.conns.items()):
        conn = moment.scene.conns.get(number)
        if conn is not None and (reason == _SESSION or (reason in codes.LOGOUT_REASON and other == cid)):
            yield conn


def _cids(moment: Moment) -> set[int] | None:
    """Give the CIDs that the session has or had; None if they are not all known."""
    session = moment.session
    gone = session.known(_Cids)
    cids = set(session.conns.values()) | (set() if gone is None else gone.gone)
    elsewhere = moment.terms.max_connections > 1 and bool(session.book.gaps)
    if not session.complete or not moment.terms.known or None in cids or elsewhere:
        return None
    return {cid for cid in cids if cid is not None}


def _request_of(moment: Moment) -> Task | None:
    """Give the Logout Request that a response, or a Reject, belongs to."""
    task = moment.task
    return task if task is not None and task.opcode == Opcode.LOGOUT_REQUEST else None


def _ended(conn: Conn, end: End) -> bool:
    return (end, "peer") in conn.ended or conn.phase is Phase.CLOSED


def _unclosed(conn: Conn, end: End) -> Callable[[], bool]:
    """Make what tells whether an end has still to close a connection."""
    return lambda: not _ended(conn, end) and conn.slowed is None


# --- the target ------------------------------------------------------------------------------------------------------


def _is_the_last(moment: Moment) -> Outcome:
    """T-076: see that a Logout is answered, that the answer is the last word, and that the target closes."""
    leaving = moment.conn.known(_Leaving)
    if leaving is None:
        return None
    if moment.closed is not None:
        return _closes(moment, leaving) if moment.sent else None
    answer = leaving.answer
    # On another connection what is sent later may come first.
    if answer is not None and (answer.conn == moment.conn.number or moment.at - answer.at > moment.scene.limits.slack):
        return Breach(text=f"a {moment.pdu.label} behind the Logout Response", proof=(answer,))
    request = _request_of(moment)
    if moment.opcode == Opcode.LOGOUT_RESPONSE and request is not None and moment["Response"] == _DONE:
        for conn in _meant(moment, request.note):
            if not _ended(conn, End.TARGET):
                text = f"connection {conn.number} was not closed behind the Logout Response"
                moment.owe(
                    conn.number,
                    text,
                    within=moment.scene.limits.close,
                    proof=(request.note,),
                    scope="leg",
                    still=_unclosed(conn, End.TARGET),
                )
    return None


def _closes(moment: Moment, leaving: _Leaving) -> Outcome:
    if leaving.answer is not None:
        moment.settle(moment.conn.number, scope="leg")
        return FINE
    conn, request = moment.conn, leaving.request
    if request is None or request.conn != conn.number or conn.disturbed is not None or not conn.complete:
        return None
    if (End.TARGET, "proxy") in conn.ended or moment.at - request.at <= moment.scene.limits.slack:
        return None
    task = moment.session.find(request["ITT"])
    if task is None or task.ignored or not task.live:
        return None
    return Breach(text="the target closes the connection without a Logout Response", proof=(request,))


def _is_answered(moment: Moment) -> Outcome:
    """T-077: see that the answer to a Logout is the one that fits."""
    request = _request_of(moment)
    if request is None or request.doubtful:
        return None
    response, reason, cid = moment["Response"], request.values["ReasonCode"], request.values["CID"]
    proof = (request.note,)
    if response not in codes.LOGOUT_RESPONSE:
        return Breach(text=f"Response {response:#x} is reserved", proof=proof)
    if reason not in codes.LOGOUT_REASON:
        return None
    asked = f"ReasonCode {reason} ({codes.LOGOUT_REASON.text(reason)})"
    if moment.session.discovery and reason != _SESSION:
        if response != _DONE:
            return FINE
        return Breach(text=f"success for {asked} in a discovery session", clause="RFC 7143 4.3", proof=proof)
    if response == _NO_RECOVERY and (
        reason != _RECOVERY or (moment.terms.known and moment.terms.error_recovery_level >= _RECOVERS)
    ):
        level = moment.terms.error_recovery_level
        return Breach(text=f"no connection recovery for {asked} at ErrorRecoveryLevel {level}", proof=proof)
    if reason == _SESSION:
        return Breach(text=f"CID not found for {asked}", proof=proof) if response == _NOT_FOUND else FINE
    if response == _NOT_FOUND and cid == moment.conn.cid:
        return Breach(text=f"CID {cid} not found, which is that of this connection", proof=proof)
    if response != _DONE:
        return FINE
    if reason == _RECOVERY and moment.terms.known and moment.terms.error_recovery_level < _RECOVERS:
        text = f"success for {asked} at ErrorRecoveryLevel {moment.terms.error_recovery_level}"
        return Breach(text=text, proof=proof)
    cids = _cids(moment)
    if cids is not None and cid not in cids:
        return Breach(text=f"success for CID {cid}, which the session never had", proof=proof)
    return FINE


# --- the initiator ---------------------------------------------------------------------------------------------------


def _is_well_formed(moment: Moment) -> Outcome:
    """I-041: see that a Logout Request has a reason that there is, a CID that there is, and no data."""
    if moment.length or moment["TotalAHSLength"]:
        text = f"{moment.length} bytes of data and {4 * moment['TotalAHSLength']} of AHS in a Logout Request"
        return Breach(text=text, clause="RFC 7143 11.14.2")
    reason, cid = moment["ReasonCode"], moment["CID"]
    if reason not in codes.LOGOUT_REASON:
        return Breach(text=f"ReasonCode {reason} is reserved", clause="RFC 7143 11.14.1")
    if reason == _SESSION:
        return FINE
    cids = _cids(moment)
    if cids is None:
        return None
    if cid not in cids:
        return Breach(text=f"CID {cid} is that of no connection of the session", clause="RFC 7143 11.14.3")
    return FINE


def _is_nothing_new(moment: Moment) -> Outcome:
    """I-042: see that no new request follows a Logout Request on the connections that it closes."""
    leaving = moment.conn.known(_Leaving)
    if leaving is None or leaving.request is None:
        return None
    if not moment.sent:
        return FINE  # it is answered, and until here there was nothing
    if moment.task is not None or (moment.opcode == Opcode.NOP_OUT and moment["ITT"] == NO_TAG):
        return None  # what is sent again or goes on is not new, an answer to a ping no request
    if moment.opcode == Opcode.LOGOUT_REQUEST and moment.conn.disturbed is not None:
        return None  # the first may have been lost
    request = leaving.request
    if request.conn != moment.conn.number and moment.at - request.at <= moment.scene.limits.slack:
        return None  # on another connection what is sent later may come first
    return Breach(text=f"a new {moment.pdu.label} behind the Logout Request", proof=(request,))


def _is_closed(moment: Moment) -> Outcome:
    """I-043: see that the initiator closes what it has logged out.

    It may wait for the target's FIN, so it has the time twice until that is there.
    """
    limit = moment.scene.limits.close
    if moment.closed is None:
        request = _request_of(moment)
        if request is not None and moment["Response"] == _DONE:
            for conn in _meant(moment, request.note):
                _has_to_close(moment, conn, 2 * limit)
        return None
    leaving = moment.conn.known(_Leaving)
    if leaving is None or leaving.answer is None:
        return None
    if moment.sent:
        moment.settle(moment.conn.number, scope="leg")
        return FINE
    if moment.closed.how == "fin":
        _has_to_close(moment, moment.conn, limit)
    return None


def _has_to_close(moment: Moment, conn: Conn, within: float) -> None:
    if not _ended(conn, End.INITIATOR):
        text = f"connection {conn.number} was not closed behind the Logout Response"
        moment.owe(conn.number, text, within=within, scope="leg", still=_unclosed(conn, End.INITIATOR))


# --- what they know --------------------------------------------------------------------------------------------------


def _is_asked(moment: Moment) -> None:
    if moment.task is not None:
        return
    for conn in _meant(moment, moment.note):
        leaving = conn.recall(_Leaving)
        leaving.request = leaving.request or moment.note


def _is_told(moment: Moment) -> None:
    request = _request_of(moment)
    if request is None:
        return
    for conn in _meant(moment, request.note):
        leaving = conn.recall(_Leaving)
        if moment.opcode == Opcode.LOGOUT_RESPONSE and moment["Response"] == _DONE:
            leaving.answer = leaving.answer or moment.note
        elif leaving.request is request.note:
            leaving.request = None  # it stays open


def _is_gone(moment: Moment) -> None:
    moment.session.recall(_Cids).gone.add(moment.conn.cid)


FAMILY = Family(
    name="logouts",
    title="Logout",
    rules=(
        Rule(
            id="T-076",
            title="A Logout is answered; the target sends nothing behind its Logout Response, and closes",
            severity=Severity.MUST,
            clause="RFC 7143 11.14, RFC 7143 11.15",
            check=_is_the_last,
            sent=FROM_TARGET,
            closed=True,
            why="An initiator that waits for the FIN keeps the connection, and its ISID, for as long.",
        ),
        Rule(
            id="T-077",
            title="A Logout of an unknown CID, or for a recovery that there is not, is answered so",
            severity=Severity.MUST,
            clause="RFC 7143 11.15.1",
            check=_is_answered,
            sent=_ANSWER,
            why="An initiator that is told of success takes commands for terminated that still run.",
        ),
        Rule(
            id="I-041",
            title="A Logout Request has a defined reason, the CID of a connection of the session, and no data",
            severity=Severity.MUST,
            clause="RFC 7143 11.14",
            check=_is_well_formed,
            sent=_LOGOUT,
            why="The target closes another connection, or none.",
        ),
        Rule(
            id="I-042",
            title="No new request is sent behind a Logout Request on a connection that it closes",
            severity=Severity.MUST,
            clause="RFC 7143 11.14",
            check=_is_nothing_new,
            sent=_REQUESTS,
            given=_ANSWER,
            why="Whether such a request was carried out nobody can tell.",
        ),
        Rule(
            id="I-043",
            title="The initiator closes the connections that it has logged out",
            severity=Severity.MUST,
            clause="RFC 7143 11.14",
            check=_is_closed,
            given=_ANSWER,
            closed=True,
            why="A connection that stays half open costs the target a socket each time.",
        ),
    ),
    observers=tuple(
        observer
        for end in End
        for observer in (
            Observer(end=end, update=_is_asked, sent=_LOGOUT, given=_LOGOUT),
            Observer(end=end, update=_is_told, sent=_ANSWER | _REJECT, given=_ANSWER | _REJECT),
            Observer(end=end, update=_is_gone, closed=True),
        )
    ),
)
