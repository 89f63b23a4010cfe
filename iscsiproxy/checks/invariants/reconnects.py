"""Who comes back to which session: ISID, TSIH, and sessions in another's place (RFC 7143 4.4.3, 6.3.5, 11.12.5)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.talks import LISTENERS, Reading, heard
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_LOGIN_REQUEST = frozenset({Opcode.LOGIN_REQUEST})
_LOGIN_RESPONSE = frozenset({Opcode.LOGIN_RESPONSE})
#: The two highest bits of an ISID say how the rest of it is made up; 11b is reserved (RFC 7143 11.12.5)
_KIND_SHIFT, _RESERVED_KIND = 46, 3
#: Who comes back so soon after a loss comes back for that, in seconds
_SOON = 60.0
#: How many sessions are remembered of an initiator and its target, and how many such pairs
_SESSIONS, _PAIRS = 64, 1024


class _Session:
    """A session that was logged in to, and how it ended: by `logout`, or with its `last` connection."""

    def __init__(self, isid: int, tsih: int, tpgt: str | None, note: Note) -> None:
        self.isid = isid
        self.tsih = tsih
        self.tpgt = tpgt
        self.note = note
        self.conns: set[int] = set()
        self.logout: Note | None = None
        self.last: Note | None = None


class _Book:
    """All sessions by their initiator and target, as far as they were seen."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], list[_Session]] = {}
        self.of: dict[int, _Session] = {}  #: by connection

    def sessions(self, reading: Reading) -> list[_Session] | None:
        """Give those of the initiator and the target that a login is about; None for one that names none."""
        initiator = reading.ledger.value(End.INITIATOR, "InitiatorName")
        target = reading.ledger.value(End.INITIATOR, "TargetName")
        if initiator is None or target is None or reading.place.discovery:
            return None
        found = self.pairs.setdefault((initiator, target), [])
        if len(self.pairs) > _PAIRS:
            del self.pairs[next(iter(self.pairs))]
        return found


class _Replaced:
    """Of a connection: the login by which another session has taken the place of its own."""

    def __init__(self) -> None:
        self.by: Note | None = None


def _comes_back_as_itself(moment: Moment) -> Outcome:
    """I-054: the ISID is a valid one and stays; the TSIH is that of a session that there is, or 0."""
    reading = heard(moment)
    if reading is None:
        return None
    isid, tsih = moment["ISID"], moment["TSIH"]
    if isid >> _KIND_SHIFT == _RESERVED_KIND:
        return Breach(text=f"ISID={isid:#014x} of the reserved kind 11b", clause="RFC 7143 11.12.5")
    if reading.turn or not (reading.known and reading.whole):
        return None
    sessions = moment.scene.recall(_Book).sessions(reading)
    if sessions is None:
        return FINE
    same = [one for one in sessions if one.isid == isid]
    return (_wrong_tsih(tsih, same[-1]) if tsih and same else _other_isid(moment, isid, same, sessions)) or FINE


def _wrong_tsih(tsih: int, session: _Session) -> Breach | None:
    """Hold a login to a session against the last one that the target has told of."""
    if session.logout is not None and not session.conns:
        text = f"TSIH={tsih:#x} of a session that was closed"
        return Breach(text=text, clause="RFC 7143 11.12.6", proof=(session.note, session.logout))
    if tsih != session.tsih:
        text = f"TSIH={tsih:#x}, the session has {session.tsih:#x}"
        return Breach(text=text, clause="RFC 7143 11.12.6", proof=(session.note,))
    return None


def _other_isid(moment: Moment, isid: int, same: list[_Session], sessions: list[_Session]) -> Breach | None:
    """Find an initiator that had one session, lost it, and comes back for it under another name."""
    if same or moment["TSIH"] or any(one.conns for one in sessions) or len({one.isid for one in sessions}) != 1:
        return None
    lost = sessions[-1]
    if lost.logout is not None or lost.last is None or moment.at - lost.last.at > _SOON:
        return None
    text = f"ISID={isid:#014x}, the session that was lost had {lost.isid:#014x}"
    return Breach(text=text, severity=Severity.SHOULD, clause="RFC 7143 10.1.1", proof=(lost.note, lost.last))


def _lives_alone(moment: Moment) -> Outcome:
    """I-055: once a session has taken the place of another, that one is not used any more."""
    if moment.sent:
        replaced = moment.conn.known(_Replaced)
        if replaced is None or replaced.by is None or moment.opcode == Opcode.LOGOUT_REQUEST:
            return None
        if moment.conn.disturbed is not None or not moment.has_read(replaced.by):
            return None  # what a fault held up may have been sent before
        note, replaced.by = replaced.by, None
        text = f"a {moment.pdu.label} in a session in whose place another one was logged in"
        return Breach(text=text, proof=(note,))
    reading = heard(moment)
    if reading is None or not (reading.known and reading.final and reading.place.leading) or reading.first is None:
        return None
    sessions = moment.scene.recall(_Book).sessions(reading)
    tpgt = reading.ledger.value(End.TARGET, "TargetPortalGroupTag")
    if sessions is None or tpgt is None:
        return None
    same = [one for one in sessions if one.isid == reading.first["ISID"] and one.tpgt == tpgt]
    for session in same:
        for number in session.conns:
            conn = moment.scene.conns.get(number)
            if conn is not None and number != moment.conn.number:
                conn.recall(_Replaced).by = moment.note
    return FINE if same else None


# --- what there is ---------------------------------------------------------------------------------------------------


def _logged_in(moment: Moment) -> None:
    reading = heard(moment)
    if reading is None or not (reading.known and reading.final) or reading.first is None:
        return
    book = moment.scene.recall(_Book)
    sessions = book.sessions(reading)
    if sessions is None:
        return
    isid, tsih = reading.first["ISID"], moment["TSIH"]
    session = next((one for one in reversed(sessions) if (one.isid, one.tsih) == (isid, tsih)), None)
    if session is None or reading.place.leading:
        tpgt = reading.ledger.value(End.TARGET, "TargetPortalGroupTag")
        session = _Session(isid, tsih, tpgt, moment.note)
        sessions.append(session)
        del sessions[:-_SESSIONS]
    session.conns.add(moment.conn.number)
    session.logout = session.last = None
    book.of[moment.conn.number] = session


def _lost(moment: Moment) -> None:
    session = moment.scene.recall(_Book).of.pop(moment.conn.number, None)
    if session is None:
        return
    session.conns.discard(moment.conn.number)
    if not session.conns:
        session.last, session.logout = moment.note, moment.conn.logout


FAMILY = Family(
    name="reconnects",
    title="Sessions that come back",
    rules=(
        Rule(
            id="I-054",
            title="An initiator comes back with the same ISID, and names a TSIH only of a session that there is",
            severity=Severity.MUST,
            clause="RFC 7143 10.1.1, RFC 7143 11.12.5, RFC 7143 11.12.6",
            check=_comes_back_as_itself,
            sent=_LOGIN_REQUEST,
            why="The old session stays at the target with its reservations and its commands, until it times out.",
        ),
        Rule(
            id="I-055",
            title="Two live sessions never share InitiatorName, ISID, TargetName and portal group",
            severity=Severity.MUST,
            clause="RFC 7143 4.4.3, RFC 7143 6.3.5",
            check=_lives_alone,
            sent=FROM_INITIATOR,
            given=_LOGIN_RESPONSE,
            why="The target ends the older one, and the two take it from each other for ever.",
        ),
    ),
    observers=(
        *LISTENERS,
        Observer(end=End.INITIATOR, update=_logged_in, given=_LOGIN_RESPONSE),
        Observer(end=End.INITIATOR, update=_lost, closed=True),
    ),
)
