"""The state of one leg: PDUs go in, facts and snapshots come out.

The proxy has two trackers, one a leg, for the legs are told different things as soon as a fault strikes. A tracker sees
each PDU that passes on its leg, in either direction, once: what the peer sent as it came, what the proxy delivers as it
goes out. It has no opinion on who is to blame: the proxy's own doing is in a leg's state as everything else is.

Nothing a peer does raises. A connection whose beginning was not seen is taken as being in full feature phase, in a
session without a name; what was not seen is not known, and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from iscsiproxy.session.facts import (
    ConnectionReinstated,
    DigestsOn,
    Fact,
    FullFeatureReached,
    LoginFailed,
    PhaseChanged,
    SessionFormed,
    SessionJoined,
    SessionReinstated,
    Violation,
)
from iscsiproxy.session.logins import Logins
from iscsiproxy.session.machine import Symbol, symbol_of
from iscsiproxy.session.params import KEYS
from iscsiproxy.session.sessions import Connection
from iscsiproxy.session.snapshot import ConnectionView, Phase, Snapshot, TaskView
from iscsiproxy.session.tasks import Serials, Task, header_of
from iscsiproxy.session.traffic import REQUESTS, Traffic, rejected
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = [
    "ConnectionReinstated",
    "DigestsOn",
    "Fact",
    "FullFeatureReached",
    "LoginFailed",
    "PhaseChanged",
    "SessionFormed",
    "SessionJoined",
    "SessionReinstated",
    "Tracker",
    "Violation",
]

#: How many closed connections still have a snapshot.
_CLOSED_KEPT = 256
#: What both ends take during login, and until they declare something else (RFC 7143 6.3, 13.12)
_MRDSL = int(KEYS["MaxRecvDataSegmentLength"].default or 0)
_NO_KEYS: Mapping[str, str] = MappingProxyType({})
_NOTHING_DECLARED: Mapping[End, Mapping[str, str]] = MappingProxyType(dict.fromkeys(End, _NO_KEYS))
_FULL_FEATURE = Phase.FULL_FEATURE


class Tracker:
    """Everything one leg of the proxy knows: its connections, their sessions, tasks and numbers."""

    def __init__(self, leg: End) -> None:
        self.leg = leg
        self._serials = Serials()
        self._logins = Logins(self._serials)
        self._traffic = Traffic(self._logins.sessions, self._serials)
        self._handlers = self._traffic.handlers
        self._connections: dict[int, Connection] = {}
        self._closed: dict[int, Snapshot] = {}
        self._count = 0
        self._now = 0.0

    def __repr__(self) -> str:
        return f"<Tracker {self.leg} {len(self._connections)} connections, {len(self._logins.sessions)} sessions>"

    # --- what happens ------------------------------------------------------------------------------------------------

    def open(self, conn: int, at: float) -> None:
        """Begin with a connection of which no PDU has passed yet. `at` is in seconds since the run began."""
        self.close(conn, at)
        self._closed.pop(conn, None)
        self._add(conn, at)

    def close(self, conn: int, at: float) -> tuple[Fact, ...]:
        """End a connection; what passes on it after that is ignored. One that is not open gives no facts."""
        connection = self._connections.pop(conn, None)
        if connection is None:
            return ()
        self._now = at
        old = connection.machine.phase
        connection.machine.step(Symbol.CLOSE)
        if connection.session is not None:
            self._logins.sessions.lose(connection.session, connection, at)
        self._closed[conn] = self._freeze(connection, None)
        if len(self._closed) > _CLOSED_KEPT:
            del self._closed[next(iter(self._closed))]
        return () if old is Phase.CLOSED else (PhaseChanged(conn=conn, old=old, new=Phase.CLOSED),)

    def observe(self, conn: int, pdu: Pdu, at: float) -> tuple[Fact, ...]:
        """Take note of a PDU that has passed on this leg, and tell what is new by it.

        The data segment is looked at in Login, Text and Reject PDUs only; elsewhere a header without its data will do.
        """
        connection = self._connections.get(conn)
        if connection is None:
            if conn in self._closed:
                return ()
            connection = self._attach(conn, pdu, at)
        self._now = at
        opcode = pdu.opcode
        if connection.machine.phase is _FULL_FEATURE:
            if opcode == Opcode.LOGIN_REQUEST or opcode == Opcode.LOGIN_RESPONSE:
                return self._elsewhere(connection, pdu, opcode, at)
            return self._handlers[opcode](connection, pdu, at)
        return self._elsewhere(connection, pdu, opcode, at)

    def recount(self) -> None:
        """Count connections from 1 again: what has been so far was only a preparation."""
        self._count = 0

    def lost(self, conn: int) -> None:
        """Take note that PDUs passed on a connection unseen.

        Its session's numbers and tasks are unknown from here on, until PDUs tell them again.
        """
        connection = self._connections.get(conn)
        if connection is None:
            return
        connection.numbers.forget()
        if connection.session is not None:
            connection.session.commands.forget()
            connection.session.tasks.clear()

    def recall(self, conn: int, pdu: Pdu) -> None:
        """Take the numbers, and nothing else, of the last PDU that an end sent while PDUs passed unseen."""
        connection = self._connections.get(conn)
        if connection is not None and connection.session is not None:
            self._traffic.recall(connection, pdu, self._now)

    # --- what is known -----------------------------------------------------------------------------------------------

    def connection(self, conn: int) -> Connection | None:
        """Give the live state of an open connection, to be read only: for who keeps more beside it."""
        return self._connections.get(conn)

    def snapshot(self, conn: int, pdu: Pdu | None = None, at: float | None = None) -> Snapshot:
        """Freeze the state of a connection as it is before `pdu` is observed.

        The task is the one `pdu` belongs to; for a request that is new it is made up from the request, with the serial
        it will have and `at` (the last time heard of, if not given) as its beginning. A connection that has ended has
        the snapshot of its end, one never heard of that of a closed one.
        """
        connection = self._connections.get(conn)
        if connection is not None:
            task = None if pdu is None else self._task_of(connection, pdu, self._now if at is None else at)
            return self._freeze(connection, task)
        closed = self._closed.get(conn)
        if closed is not None:
            return closed
        nothing = ConnectionView(
            id=conn, CID=None, phase=Phase.CLOSED, nth=0, opened=0.0, outstanding=0, StatSN=None, ExpStatSN=None
        )
        return Snapshot(leg=self.leg, conn=nothing, session=None, task=None, keys=_NO_KEYS, declared=_NOTHING_DECLARED)

    def phase(self, conn: int) -> Phase:
        """Tell where a connection is; CLOSED for one that is not known."""
        connection = self._connections.get(conn)
        return Phase.CLOSED if connection is None else connection.machine.phase

    def session(self, conn: int) -> int:
        """Give the number of a connection's session, as in a snapshot; 0 if it has none."""
        connection = self._connections.get(conn)
        return 0 if connection is None or connection.session is None else connection.session.number

    def outstanding(self) -> Iterator[tuple[int, TaskView]]:
        """Give every task without a status and its connection, in the order of their beginning in each session."""
        seen: set[int] = set()
        for connection in self._connections.values():
            session = connection.session
            if session is not None and session.number not in seen:
                seen.add(session.number)
                yield from ((task.conn, task.view()) for task in list(session.tasks.live.values()))

    def digests(self, conn: int) -> tuple[bool, bool]:
        """Tell whether PDUs now have a header digest, and a data digest (RFC 7143 13.1)."""
        connection = self._connections.get(conn)
        return (False, False) if connection is None else (connection.header_digest, connection.data_digest)

    def keys(self, conn: int) -> Mapping[str, str]:
        """Give the negotiated keys with their values or defaults; none for a login that was not seen."""
        connection = self._connections.get(conn)
        if connection is not None:
            return connection.negotiation.settled if connection.seen else _NO_KEYS
        closed = self._closed.get(conn)
        return _NO_KEYS if closed is None else closed.keys

    def max_recv_data_segment_length(self, conn: int, of: End) -> int:
        """Give how long a data segment an end takes now, in bytes: during login always 8192 (RFC 7143 6.3, 13.12)."""
        connection = self._connections.get(conn)
        if connection is None or connection.machine.phase not in (Phase.FULL_FEATURE, Phase.LOGOUT):
            return _MRDSL
        return connection.negotiation.max_recv_data_segment_length(of)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _add(self, conn: int, at: float, *, seen: bool = True) -> Connection:
        self._now = at
        self._count += 1
        connection = self._connections[conn] = Connection(conn, self._count, at, seen=seen)
        return connection

    def _attach(self, conn: int, first: Pdu, at: float) -> Connection:
        connection = self._add(conn, at, seen=first.opcode == Opcode.LOGIN_REQUEST)
        self._logins.adopt(connection, first)
        return connection

    def _elsewhere(self, connection: Connection, pdu: Pdu, opcode: int, at: float) -> tuple[Fact, ...]:
        """Take a Login PDU, or any PDU outside the full feature phase."""
        if opcode == Opcode.LOGIN_REQUEST:
            return tuple(self._logins.request(connection, pdu, at))
        if opcode == Opcode.LOGIN_RESPONSE:
            return tuple(self._logins.response(connection, pdu, at))
        phase, symbol = connection.machine.phase, symbol_of(pdu)
        if phase is Phase.LOGOUT and symbol is Symbol.REQUEST and self._known(connection, pdu) is not None:
            # What is sent again, or goes on, is no new request.
            symbol = Symbol.SEND
        misstep = connection.machine.step(symbol)
        facts: tuple[Fact, ...] = ()
        if misstep is not None:
            facts = (Violation(conn=connection.number, by=misstep.by, text=misstep.text, section=misstep.section),)
        if phase is Phase.LOGOUT:
            facts += self._handlers[opcode](connection, pdu, at)
        return facts

    def _known(self, connection: Connection, pdu: Pdu) -> Task | None:
        """Give the task that a request goes on with, or begins again; None for a new one."""
        session = connection.session
        task = None if session is None else session.tasks.find(pdu["ITT"])
        return task if task is not None and task.is_retry(pdu, pdu["CmdSN"]) else None

    def _task_of(self, connection: Connection, pdu: Pdu, at: float) -> TaskView | None:
        opcode = pdu.opcode
        task: Task | None
        if opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE):
            task = connection.login
            if task is None and opcode == Opcode.LOGIN_REQUEST:
                return self._upcoming(pdu, at)
            return None if task is None else task.view()
        session = connection.session
        if session is None:
            return None
        if opcode in REQUESTS:
            if pdu["ITT"] == NO_TAG:
                return None
            task = self._known(connection, pdu)
            if task is None:
                return self._upcoming(pdu, at)
            return task.view()
        if opcode == Opcode.REJECT:
            header = rejected(pdu)
            task = None if header is None else session.tasks.find(header["ITT"])
        else:
            task = session.tasks.find(pdu["ITT"])
        return None if task is None else task.view()

    def _upcoming(self, pdu: Pdu, at: float) -> TaskView:
        return TaskView(
            serial=self._serials.last + 1,
            command=header_of(pdu),
            started=at,
            received=0,
            sent=0,
            R2Ts=0,
            status=None,
        )

    def _freeze(self, connection: Connection, task: TaskView | None) -> Snapshot:
        session, negotiation = connection.session, connection.negotiation
        return Snapshot(
            leg=self.leg,
            conn=connection.view(),
            session=None if session is None else session.view(),
            task=task,
            keys=negotiation.settled if connection.seen else _NO_KEYS,
            declared=negotiation.declared if connection.seen else _NOTHING_DECLARED,
        )
