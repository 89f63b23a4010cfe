"""One leg as a judge sees it: a conversation between the end at that leg and the proxy, whoever stood behind that.

A scene is told every record in order. It knows what both sides have said, counts with both, and has no opinion: what is
wrong with a PDU is for the rules to say, which see each one with the state before it. Behind a wrong number it goes on
as the two ends do, so that one error does not make what follows look wrong.

What the judged end was given with a wrong digest it has not heard (RFC 7143 7.8): it changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.scene.connections import Conn, Terms, terms_of
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.requests import REQUESTS, Requests
from iscsiproxy.checks.scene.responses import Responses, rejected_header
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Memory, Task
from iscsiproxy.session.facts import ConnectionReinstated, FullFeatureReached, SessionReinstated
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt

__all__ = ["Limits", "Scene"]

_LOGIN = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
#: What the tracker has to see: it knows phases, sessions and negotiations.
_TRACKED = _LOGIN | {Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE, Opcode.LOGOUT_REQUEST, Opcode.LOGOUT_RESPONSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The patience of the judge, in seconds.

    `answer` is how long an end may take for what the standard gives no time, `slow` from when on an answer is called
    slow, `close` how long for the end of a connection, `slack` how long PDUs that cross on the wire may be on their way
    (a barrier or an acknowledgement proves the same sooner).
    """

    answer: float = 15.0
    slow: float = 5.0
    close: float = 15.0
    slack: float = 0.05


class Scene(Memory):
    """The state of the leg at `end`. What rules keep about more than one session they keep with the scene."""

    __slots__ = ("_handlers", "conns", "end", "lapsed", "limits", "now", "sessions", "tracker")

    def __init__(self, end: End, limits: Limits | None = None) -> None:
        super().__init__()
        self.end = end
        self.limits = Limits() if limits is None else limits
        self.tracker = Tracker(end)
        self.conns: dict[int, Conn] = {}  #: those that have not ended
        self.sessions: dict[int, Session] = {}  #: those with a connection, or whose tasks wait for one
        self.lapsed: list[tuple[int, int]] = []  #: connections that a login ended, and their sessions (or 0)
        self.now = 0.0
        self._handlers: Mapping[int, Callable[[Moment], None]] = {
            **Requests(end, self.conns).handlers,
            **Responses(end, self.conns, self._terms).handlers,
        }

    def __repr__(self) -> str:
        return f"<Scene at the {self.end}: {len(self.conns)} connections, {len(self.sessions)} sessions>"

    # --- connections -------------------------------------------------------------------------------------------------

    def open(self, number: int, at: float) -> None:
        """Begin with a connection of which no PDU has passed yet."""
        self.tracker.open(number, at)
        self._begin(number, at, seen=True)

    def conn_of(self, number: int, pdu: Pdu, at: float) -> Conn:
        """Give the connection that a PDU passes on; one that was not heard of before is begun in its middle."""
        conn = self.conns.get(number)
        if conn is None:
            self.tracker.observe(number, pdu, at)  # it guesses the phase, and the session is one without a name
            conn = self._begin(number, at, seen=pdu.opcode == Opcode.LOGIN_REQUEST)
            if conn.seen:
                self.tracker.open(number, at)
        return conn

    def _begin(self, number: int, at: float, *, seen: bool) -> Conn:
        conn = self.conns[number] = Conn(number, at, Session(0), seen=seen)
        conn.session.complete = False
        self._follow(conn)
        return conn

    def _follow(self, conn: Conn) -> None:
        """Take over what the tracker knows of a connection now."""
        known = self.tracker.connection(conn.number)
        if known is None:
            return
        conn.phase = known.machine.phase
        conn.cid = known.cid
        conn.seen = known.seen
        session = known.session
        if session is None:
            return
        if session.number != conn.session.number:
            conn.session.conns.pop(conn.number, None)
            mine = self.sessions.get(session.number)
            if mine is None:
                mine = self.sessions[session.number] = Session(session.number)
                mine.seen = mine.complete = known.seen and not known.tsih
                if mine.seen:
                    mine.book.start(known.first_cmd_sn)
            conn.session = mine
        mine = conn.session
        mine.conns[conn.number] = conn.cid
        mine.discovery = session.discovery
        mine.initiator_name, mine.target_name = session.initiator_name, session.target_name
        mine.isid, mine.tsih, mine.tpgt = session.isid, session.tsih, session.tpgt

    def closed(self, moment: Moment) -> bool:
        """Note the end of one side of a connection; tell whether that was the last of it."""
        event, conn = moment.closed, moment.conn
        assert event is not None
        sides = ("peer", "proxy") if event.how == "rst" else ("peer" if event.by == "peer" else "proxy",)
        conn.ended.update((event.leg, side) for side in sides)
        if len(conn.ended) < 2:
            return False
        self._lose(conn, moment.note)
        return True

    def _lose(self, conn: Conn, note: Note) -> None:
        """End a connection, and what it carried, unless the session keeps that (RFC 7143 7.1.5)."""
        self.conns.pop(conn.number, None)
        self.tracker.close(conn.number, note.at)
        conn.phase = Phase.CLOSED
        session = conn.session
        session.conns.pop(conn.number, None)
        for task in session.live(conn.number):
            if not task.immediate and not (session.exp_cmd is not None and lt(task.cmd_sn, session.exp_cmd)):
                session.book.doubt(task.cmd_sn)  # it may have been on its way
            if conn.terms.error_recovery_level == 2 and conn.logout is None:
                task.conn = 0
            else:
                session.end(task, note)
        if not session.conns and not session.tasks:
            self.sessions.pop(session.number, None)

    def missed(self) -> None:
        """Take note that events are missing."""
        for conn in self.conns.values():
            conn.forget()
            conn.session.forget()

    # --- PDUs --------------------------------------------------------------------------------------------------------

    def task_of(self, conn: Conn, pdu: Pdu, opcode: int, values: Mapping[str, int]) -> Task | None:
        """Find the task that a PDU belongs to; None for a request that begins one."""
        session = conn.session
        if opcode in _LOGIN:
            return None
        if opcode == Opcode.REJECT:
            header = rejected_header(pdu)
            return None if header is None else session.find(header["ITT"])
        itt = values["ITT"]
        task = session.find(itt)
        if task is None or opcode not in REQUESTS:
            return task
        return task if self._again(task, opcode, values) else None

    def _again(self, task: Task, opcode: int, values: Mapping[str, int]) -> bool:
        """Tell whether a request goes on with a task that is there: a retry, or a further Text Request.

        One that was rejected had never been there (RFC 7143 7.3).
        """
        if task.opcode != opcode or task.rejected is not None:
            return False
        if opcode == Opcode.TEXT_REQUEST and task.live and values["TTT"] != NO_TAG:
            return True
        if opcode == Opcode.TEXT_REQUEST and task.live and values["CmdSN"] != task.cmd_sn:
            return True
        same = values["CmdSN"] == task.cmd_sn and bool(values.get("I")) == task.immediate
        return same and (task.live or (task.terminal is not None and not task.immediate))

    def observe(self, moment: Moment) -> None:
        """Move the state on behind a PDU."""
        conn, opcode = moment.conn, moment.opcode
        self.now = moment.at
        if moment.spoiled:
            return
        if opcode in _TRACKED:
            self._track(moment)
        if opcode in _LOGIN:
            self._login(moment)
            return
        if conn.phase is Phase.FULL_FEATURE or conn.phase is Phase.LOGOUT:
            handler = self._handlers.get(opcode)
            if handler is not None:
                handler(moment)

    def _track(self, moment: Moment) -> None:
        conn = moment.conn
        facts = self.tracker.observe(conn.number, moment.pdu, moment.at)
        self._follow(conn)
        for fact in facts:
            if isinstance(fact, FullFeatureReached):
                conn.terms = self._terms(conn)
            elif isinstance(fact, SessionReinstated):
                self._replaced(fact.old, moment.note)
                self.lapsed += [(number, fact.old) for number in fact.conns]
            elif isinstance(fact, ConnectionReinstated):
                old = self.conns.get(fact.old)
                if old is not None:
                    self._lose(old, moment.note)
                    self.lapsed.append((fact.old, 0))

    def _terms(self, conn: Conn) -> Terms:
        known = self.tracker.connection(conn.number)
        return conn.terms if known is None else terms_of(known.negotiation, known=known.seen)

    def _replaced(self, number: int, note: Note) -> None:
        """End a session whose place another one has taken (RFC 7143 6.3.5)."""
        session = self.sessions.pop(number, None)
        if session is None:
            return
        for task in session.live():
            session.end(task, note)

    def _login(self, moment: Moment) -> None:
        conn, values = moment.conn, moment.values
        if moment.opcode == Opcode.LOGIN_REQUEST:
            if conn.next_stat is not None:
                conn.acknowledge(values["ExpStatSN"], moment.note)
            return
        if values["Status-Class"]:
            return
        conn.advance(values["StatSN"], moment.note)
        conn.session.tell(values["ExpCmdSN"], values["MaxCmdSN"], moment.note)
