"""The target node: its targets, and the sessions that lead to them.

A node takes a connection for each transport that the server accepts, and keeps the sessions by TSIH. What a login may
do is decided here: which target there is, and whether a session is new, takes the place of an older one, or gets a new
connection in place of a lost one (RFC 7143 6.3.4, 6.3.5, 6.3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.target.conduct import Conduct
from iscsiproxy.peers.target.connection import Connection
from iscsiproxy.peers.target.session import Session
from iscsiproxy.peers.target.settings import Identity, LoggedIn, TargetSettings
from iscsiproxy.wire.sense import SenseCode

__all__ = ["Node"]

#: Login statuses (RFC 7143 11.13.5)
_NOT_FOUND, _TOO_MANY_CONNECTIONS, _NO_SESSION, _OUT_OF_RESOURCES = 0x0203, 0x0206, 0x020A, 0x0302
#: How many sessions there may be at once.
_MOST_SESSIONS = 1024
#: Some commands cleared by iSCSI protocol event, on each logical unit that had any (RFC 7143 11.14.5)
_CLEARED_BY_EVENT = SenseCode(0x6, 0x47, 0x7F)
_MAX_TSIH = 0xFFFF


class Node:
    """One iSCSI target node; pure, no I/O.

    `targets` are its devices by target name. A session that lost its connection and may get a new one (Time2Retain is
    not 0) is given to `on_orphaned`, who calls `expire` when the time is over; unless told otherwise that is at once.
    """

    def __init__(self, targets: Mapping[str, Device], settings: TargetSettings, conduct: Conduct | None = None) -> None:
        self.settings = settings
        self.conduct = conduct or Conduct()
        self.on_orphaned: Callable[[Session], None] = self.expire
        self._targets = dict(targets)
        self._sessions: dict[int, Session] = {}
        self._last_tsih = 0

    def __repr__(self) -> str:
        return f"<Node of {', '.join(self._targets)}: {len(self._sessions)} sessions>"

    def accept(self, portal: str) -> Connection:
        """Take a new connection to `portal`, the "host:port" that the initiator reached, as SendTargets tells it."""
        return Connection(self, portal)

    def connections(self) -> tuple[Connection, ...]:
        """Give the connections in full feature phase, for `send_async` at shutdown."""
        return tuple(session.connection for session in self._sessions.values() if session.connection is not None)

    def sessions(self) -> tuple[Session, ...]:
        """Give the sessions, connected or not."""
        return tuple(self._sessions.values())

    def session_of(self, tsih: int) -> Session | None:
        """Give the session with this TSIH, if there is one."""
        return self._sessions.get(tsih)

    # --- what a login asks ----------------------------------------------------------------------------------------

    def refusal(self, identity: Identity) -> int | None:
        """Give the login status that refuses this login, or None (RFC 7143 6.3.1, 11.13.5)."""
        if identity.target is not None and identity.target not in self._targets:
            return _NOT_FOUND
        if identity.tsih:
            session = self._sessions.get(identity.tsih)
            if session is None or not _same_nexus(session.identity, identity):
                return _NO_SESSION
            return None if session.identity.cid == identity.cid else _TOO_MANY_CONNECTIONS
        others = sum(not _same_nexus(session.identity, identity) for session in self._sessions.values())
        if others >= _MOST_SESSIONS:
            return _OUT_OF_RESOURCES
        return None

    def future_tsih(self, identity: Identity) -> int:
        """Give the TSIH that the session has or will have; each new session another."""
        if identity.tsih:
            return identity.tsih
        while True:
            self._last_tsih = self._last_tsih % _MAX_TSIH + 1
            if self._last_tsih not in self._sessions:
                return self._last_tsih

    # --- what Text asks -------------------------------------------------------------------------------------------

    def visible_targets(self) -> Sequence[str]:
        """Name the targets that discovery tells."""
        return tuple(self._targets)

    # --- sessions -------------------------------------------------------------------------------------------------

    def admit(self, login: LoggedIn, tsih: int, connection: Connection) -> Session:
        """Give a connection that has logged in its session, a new one or its own again."""
        identity = login.identity
        if identity.tsih:
            session = self._reinstate_connection(login)
        else:
            for other in [one for one in self._sessions.values() if _same_nexus(one.identity, identity)]:
                self._end(other, "session reinstatement")
            device = None if identity.target is None else self._targets[identity.target]
            session = Session(
                identity,
                tsih,
                device,
                login.parameters,
                exp_cmdsn=login.exp_cmdsn,
                window=self.settings.command_window,
                conduct=self.conduct,
            )
            self._sessions[tsih] = session
            if device is not None:
                device.connect(identity.nexus)
        session.connection = connection
        return session

    def _reinstate_connection(self, login: LoggedIn) -> Session:
        """Put a new connection in the place of a session's own (RFC 7143 6.3.4): its tasks end."""
        session = self._sessions[login.identity.tsih]
        old, session.connection = session.connection, None
        if old is not None:
            old.session = None
            old.drop("connection reinstatement")
        session.terminate()
        bereft, session.bereft = session.bereft, set()
        for lun in bereft:
            if session.device is not None and (unit := session.device.units.get(lun)) is not None:
                unit.attentions.post(session.identity.nexus, _CLEARED_BY_EVENT)
        new = login.parameters
        # What is negotiated for a connection is negotiated anew, what is the session's stays (RFC 7143 13).
        session.parameters = replace(
            session.parameters,
            header_digest=new.header_digest,
            data_digest=new.data_digest,
            send_segment=new.send_segment,
            receive_segment=new.receive_segment,
        )
        return session

    def disconnected(self, session: Session, connection: Connection, *, final: bool) -> None:
        """Take note that a session's connection is gone; `final` says that the session has logged out."""
        if session.connection is not connection:
            return
        session.connection = None
        session.terminate()
        if final or session.discovery or not session.parameters.time2retain:
            self.expire(session)
        else:
            self.on_orphaned(session)

    def expire(self, session: Session) -> None:
        """End a session that has no connection and gets none (Time2Retain is over); others are left alone."""
        if session.connection is None and self._sessions.get(session.tsih) is session:
            self._end(session, "expired")

    def close_all(self, device: Device, reason: str) -> None:
        """Close the connections of every session with a device, once what they have to say is said."""
        for session in self.sessions():
            if session.device is device and session.connection is not None:
                session.connection.close_after_output(reason, final=True)

    def _end(self, session: Session, reason: str) -> None:
        self._sessions.pop(session.tsih, None)
        connection, session.connection = session.connection, None
        session.terminate()
        if session.device is not None:
            session.device.disconnect(session.identity.nexus)
        if connection is not None:
            connection.session = None
            connection.drop(reason)


def _same_nexus(one: Identity, other: Identity) -> bool:
    return (one.target, one.nexus) == (other.target, other.nexus)
