"""Connections, and the sessions they belong to (RFC 7143 4.4, 6.3.1).

A session is known by InitiatorName, ISID, TargetName, TargetPortalGroupTag and TSIH, a connection in it by its CID.
Discovery sessions are told apart from normal ones. A session begins with its leading login and is *registered* by the
final Login Response. When its last connection is lost it stays registered for Time2Wait + Time2Retain, so that the
initiator may come back to it; a logout ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from iscsiproxy.session.machine import Machine
from iscsiproxy.session.negotiation import Negotiation
from iscsiproxy.session.sequence import CommandNumbers, StatusNumbers
from iscsiproxy.session.snapshot import ConnectionView, SessionView
from iscsiproxy.session.tasks import Task, Tasks
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Connection", "Registry", "Session"]

#: How many sessions without a connection are kept.
_MAX_DORMANT = 64
#: How many lost CIDs of a session are kept.
_MAX_LOST = 64
#: How many open R2Ts of a task are kept where MaxOutstandingR2T is not known.
_R2TS = 64


class Session:
    """One session, or one that is about to be: `number` counts them."""

    __slots__ = (
        "_view",
        "_viewed",
        "commands",
        "conns",
        "discovery",
        "expires",
        "initiator_name",
        "isid",
        "lost",
        "negotiation",
        "number",
        "target_name",
        "tasks",
        "tpgt",
        "tsih",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.discovery = False
        self.initiator_name: str | None = None
        self.target_name: str | None = None
        self.tpgt: str | None = None
        self.isid = 0
        self.tsih = 0
        self.commands = CommandNumbers()
        self.tasks = Tasks()
        self.conns: dict[int, Connection] = {}  #: open and logged in, by CID
        self.lost: dict[int, int] = {}  #: connection numbers that ended without a logout, by CID
        self.negotiation: Negotiation | None = None  #: of the leading login
        self.expires: float | None = None  #: when it is gone, if nobody comes back
        self._view: SessionView | None = None
        self._viewed: tuple[object, ...] = ()

    def __repr__(self) -> str:
        return f"<Session {self.number} ISID={self.isid:#014x} TSIH={self.tsih:#06x} {len(self.conns)} connections>"

    def identify(self, negotiation: Negotiation) -> None:
        """Take the names from what was declared so far."""
        said = negotiation.declared[End.INITIATOR]
        self.initiator_name = said.get("InitiatorName", self.initiator_name)
        self.target_name = said.get("TargetName", self.target_name)
        self.discovery = said.get("SessionType") == "Discovery"
        self.tpgt = negotiation.declared[End.TARGET].get("TargetPortalGroupTag", self.tpgt)

    def same_place(self, other: Session) -> bool:
        """Tell whether two sessions have all in common but the TSIH (RFC 7143 4.4.3)."""
        return (
            self.initiator_name is not None
            and self.initiator_name == other.initiator_name
            and self.isid == other.isid
            and self.target_name == other.target_name
            and self.tpgt == other.tpgt
            and self.discovery == other.discovery
        )

    def keeps_tasks(self) -> bool:
        """Tell whether tasks outlive their connection (RFC 7143 7.1.5: ErrorRecoveryLevel 2)."""
        return self.negotiation is not None and self.negotiation.settled["ErrorRecoveryLevel"] == "2"

    def retention(self) -> float:
        """Give the seconds a registered session lives on without a connection (RFC 7143 7.5)."""
        assert self.negotiation is not None
        return float(self.negotiation.number("DefaultTime2Wait") + self.negotiation.number("DefaultTime2Retain"))

    def leave(self, connection: Connection) -> None:
        """Take a connection out, whose tasks end unless the session keeps them."""
        if self.conns.get(connection.key) is connection:
            del self.conns[connection.key]
        if self.keeps_tasks():
            self.tasks.abandon(connection.number)
        else:
            self.tasks.finish_all(connection.number)

    def view(self) -> SessionView:
        """Freeze what is known; as long as nothing changes, the view is the same object."""
        commands = self.commands
        news = (
            *(commands.next, commands.expected, commands.maximum, len(self.tasks.live), len(self.conns)),
            *(self.tsih, self.discovery, self.target_name, self.initiator_name),
        )
        if self._view is None or news != self._viewed:
            self._viewed = news
            self._view = SessionView(
                id=self.number,
                type="Discovery" if self.discovery else "Normal",
                TargetName=self.target_name,
                InitiatorName=self.initiator_name,
                ISID=self.isid,
                TSIH=self.tsih,
                CmdSN=commands.next,
                ExpCmdSN=commands.expected,
                MaxCmdSN=commands.maximum,
                window=commands.window,
                outstanding=len(self.tasks.live),
                conns=len(self.conns),
            )
        return self._view


class Connection:
    """One leg of one connection; `number` is the proxy's, `nth` counts those of the run.

    `seen` tells that its login was seen from the first PDU. `once` and `r2ts` are what was negotiated: nothing is ever
    sent again (ErrorRecoveryLevel 0), and how many R2Ts of a task may be open.
    """

    __slots__ = (
        "_view",
        "_viewed",
        "cid",
        "data_digest",
        "first_cmd_sn",
        "header_digest",
        "isid",
        "login",
        "machine",
        "negotiation",
        "nth",
        "number",
        "numbers",
        "once",
        "opened",
        "r2ts",
        "seen",
        "session",
        "tsih",
    )

    def __init__(self, number: int, nth: int, opened: float, *, seen: bool = True) -> None:
        self.number = number
        self.nth = nth
        self.opened = opened
        self.seen = seen
        self.machine = Machine()
        self.negotiation = Negotiation()
        self.numbers = StatusNumbers()
        self.session: Session | None = None
        self.login: Task | None = None
        self.cid: int | None = None
        self.isid = 0
        self.tsih = 0  #: of the Login Requests: 0 for a leading login
        self.first_cmd_sn = 0
        self.header_digest = False
        self.data_digest = False
        self.once = False
        self.r2ts = _R2TS
        self._view: ConnectionView | None = None
        self._viewed: tuple[object, ...] = ()

    def __repr__(self) -> str:
        return f"<Connection {self.number} {self.machine.phase.value} CID={self.cid}>"

    @property
    def key(self) -> int:
        """The CID, or -1 as long as it is not known."""
        return -1 if self.cid is None else self.cid

    def hear(self, pdu: Pdu, *, full_feature: bool = False) -> None:
        """Take the keys of a Login or Text PDU, unless its data is not there."""
        if len(pdu.data) == pdu["DataSegmentLength"]:
            self.negotiation.hear(pdu.sender, pdu.data, more=bool(pdu["C"]), full_feature=full_feature)

    def agree(self) -> None:
        """Bring into force what was negotiated, at the end of the login."""
        self.header_digest = self.negotiation.header_digest
        self.data_digest = self.negotiation.data_digest
        self.once = self.negotiation.settled["ErrorRecoveryLevel"] == "0"
        self.r2ts = self.negotiation.number("MaxOutstandingR2T")

    def view(self) -> ConnectionView:
        """Freeze what is known; as long as nothing changes, the view is the same object."""
        phase, numbers, session = self.machine.phase, self.numbers, self.session
        outstanding = 0 if session is None else session.tasks.on(self.number)
        news = (phase, self.cid, outstanding, numbers.next, numbers.acked)
        if self._view is None or news != self._viewed:
            self._viewed = news
            self._view = ConnectionView(
                id=self.number,
                CID=self.cid,
                phase=phase,
                nth=self.nth,
                opened=self.opened,
                outstanding=outstanding,
                StatSN=numbers.next,
                ExpStatSN=numbers.acked,
            )
        return self._view


class Registry:
    """The registered sessions of a leg."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<Registry of {len(self._sessions)} sessions>"

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def new(self) -> Session:
        """Make a session with the next number; it is not registered yet."""
        self._count += 1
        return Session(self._count)

    def add(self, session: Session) -> None:
        """Register a session."""
        self._sessions[session.number] = session

    def drop(self, session: Session) -> None:
        """Forget a session; connections that still are in it keep it for themselves."""
        self._sessions.pop(session.number, None)

    def registered(self, session: Session) -> bool:
        """Tell whether a session is still registered."""
        return session.number in self._sessions

    def joined(self, session: Session, at: float) -> Session | None:
        """Find the session that a login with this identity and TSIH wants to be in (RFC 7143 6.3.1)."""
        self._expire(at)
        wanted = (session.tsih, session.isid, session.initiator_name, session.target_name, session.discovery)
        for known in self:
            if wanted == (known.tsih, known.isid, known.initiator_name, known.target_name, known.discovery):
                return known
        return None

    def reinstated(self, session: Session, at: float) -> Session | None:
        """Find the session whose place a new one takes (RFC 7143 6.3.5)."""
        self._expire(at)
        return next((known for known in self if known is not session and known.same_place(session)), None)

    def lose(self, session: Session, connection: Connection, at: float) -> None:
        """Note the end of a connection without a logout."""
        if session.conns.get(connection.key) is not connection:
            return
        session.lost[connection.key] = connection.number
        if len(session.lost) > _MAX_LOST:
            del session.lost[next(iter(session.lost))]
        session.leave(connection)
        if session.conns or not self.registered(session):
            return
        if not session.keeps_tasks():
            session.tasks.clear()
        session.expires = at + session.retention()
        dormant = [known for known in self if known.expires is not None]
        for known in dormant[:-_MAX_DORMANT]:
            self.drop(known)

    def _expire(self, at: float) -> None:
        for known in list(self):
            if known.expires is not None and known.expires < at:
                self.drop(known)
