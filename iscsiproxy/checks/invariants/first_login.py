"""A connection begins with its login, and has one only (RFC 7143 4.2.4, 11.12)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import ANY, FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_FULL_FEATURE_PHASE = codes.STAGE.value("FullFeaturePhase")


class _Granted:
    """The Login Response that let a connection into full feature phase, whether it had been asked to or not."""

    def __init__(self) -> None:
        self.note: Note | None = None


def _logs_in_first(moment: Moment) -> Outcome:
    """I-002: see that a connection logs in, before anything else and once."""
    if moment.opcode != Opcode.LOGIN_REQUEST:
        if moment.full_feature:
            return None
        return _too_early(moment)
    if not moment["I"]:
        return Breach(text="a Login Request with I=0: its first byte is always 0x43", clause="RFC 7143 11.12")
    if not moment.full_feature:
        return FINE
    granted = moment.conn.recall(_Granted).note
    if granted is None or not moment.conn.complete or not moment.has_read(granted):
        return None
    return Breach(text="a Login Request in full feature phase", proof=(granted,))


def _too_early(moment: Moment) -> Outcome:
    conn = moment.conn
    if not conn.complete or conn.phase is Phase.CLOSED or conn.recall(_Granted).note is not None:
        return None  # what was granted without being asked for may be taken for the end of the login
    if conn.phase is Phase.CONNECTED:
        return Breach(text=f"{moment.pdu.label} as the first PDU of the connection")
    return Breach(text=f"{moment.pdu.label} before the full feature phase")


def _note_grant(moment: Moment) -> None:
    """Keep the Login Response that says that the login is over."""
    if not moment["Status-Class"] and moment["T"] and moment["NSG"] == _FULL_FEATURE_PHASE:
        moment.conn.recall(_Granted).note = moment.note


FAMILY = Family(
    name="first_login",
    title="The login comes first, and once",
    rules=(
        Rule(
            id="I-002",
            title="A connection begins with Login Requests, and has none in full feature phase",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.4, RFC 7143 11.12",
            check=_logs_in_first,
            sent=ANY,
            why="The target drops the connection, or serves somebody who never said who it is.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_note_grant, given=frozenset({Opcode.LOGIN_RESPONSE})),),
)
