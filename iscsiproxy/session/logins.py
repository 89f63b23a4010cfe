"""The login of each connection, and the session it ends in (RFC 7143 6.3, 11.12, 11.13).

A leading login (TSIH 0) makes a session, or takes the place of one with the same names and ISID; one with a TSIH joins
the session that has it, as a new connection or in the place of one with the same CID.
"""

from __future__ import annotations

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
from iscsiproxy.session.machine import Exchange, Machine, Misstep, Symbol, symbol_of
from iscsiproxy.session.sessions import Connection, Registry
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tasks import Serials, Task, header_of
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Logins"]

_LOGIN_PHASES = (Phase.SECURITY, Phase.OPERATIONAL)


class Logins:
    """Follows the logins of one leg. `serials` numbers the tasks of the leg."""

    def __init__(self, serials: Serials) -> None:
        self.sessions = Registry()
        self._serials = serials

    def __repr__(self) -> str:
        return f"<Logins into {self.sessions!r}>"

    def adopt(self, connection: Connection, first: Pdu) -> None:
        """Begin with a connection whose beginning was not seen: guess its phase from the first PDU that is."""
        symbol = symbol_of(first)
        if first.opcode == Opcode.LOGIN_REQUEST:
            return
        session = connection.session = self.sessions.new()
        if first.opcode != Opcode.LOGIN_RESPONSE:
            connection.machine = Machine(Phase.FULL_FEATURE)
            session.conns[connection.key] = connection
            return
        connection.machine = Machine(Phase.OPERATIONAL if first["CSG"] == 1 else Phase.SECURITY)
        asked = {
            Symbol.GRANT_SECURITY_TO_OPERATIONAL: Exchange.TO_OPERATIONAL,
            Symbol.GRANT_SECURITY_TO_FULL: Exchange.TO_FULL,
            Symbol.GRANT_OPERATIONAL_TO_FULL: Exchange.TO_FULL,
        }
        connection.machine.exchange = asked.get(symbol, Exchange.STAY)
        session.isid, session.tsih = first["ISID"], first["TSIH"]

    # --- requests ----------------------------------------------------------------------------------------------------

    def request(self, connection: Connection, pdu: Pdu, at: float) -> list[Fact]:
        """Take a Login Request."""
        machine = connection.machine
        old = machine.phase
        misstep = machine.step(symbol_of(pdu))
        facts = _violations(connection, misstep)
        if machine.phase not in _LOGIN_PHASES:
            return facts
        if connection.login is None:
            self._begin(connection, pdu, at)
        else:
            connection.numbers.ack(pdu["ExpStatSN"])
            if not connection.tsih and pdu["CmdSN"] != connection.first_cmd_sn:
                text = f"CmdSN {pdu['CmdSN']:#x} in a login that began with {connection.first_cmd_sn:#x}"
                facts.append(Violation(conn=connection.number, by=End.INITIATOR, text=text, section="RFC 7143 11.12.8"))
        connection.hear(pdu)
        self._identify(connection, at)
        return facts + _phase_changed(connection, old)

    def _begin(self, connection: Connection, pdu: Pdu, at: float) -> None:
        connection.login = self.task(connection, pdu, at)
        connection.cid = pdu["CID"]
        connection.isid = pdu["ISID"]
        connection.tsih = pdu["TSIH"]
        connection.first_cmd_sn = pdu["CmdSN"]
        session = connection.session = self.sessions.new()
        session.isid, session.tsih = connection.isid, connection.tsih
        if not connection.tsih:
            session.commands.start(connection.first_cmd_sn)
            session.negotiation = connection.negotiation

    def task(self, connection: Connection, pdu: Pdu, at: float) -> Task:
        """Make the task that a whole login is (RFC 7143 11.12)."""
        return Task(self._serials.take(), header_of(pdu), pdu["ITT"], pdu["CmdSN"], connection.number, at)

    def _identify(self, connection: Connection, at: float) -> None:
        """Find the session as soon as the names allow it."""
        session = connection.session
        if session is None or self.sessions.registered(session):
            return
        session.identify(connection.negotiation)
        if connection.tsih:
            joined = self.sessions.joined(session, at)
            if joined is not None:
                connection.session = joined

    # --- responses ---------------------------------------------------------------------------------------------------

    def response(self, connection: Connection, pdu: Pdu, at: float) -> list[Fact]:
        """Take a Login Response."""
        machine = connection.machine
        old = machine.phase
        symbol = symbol_of(pdu)
        facts = _violations(connection, machine.step(symbol))
        if old in (Phase.FULL_FEATURE, Phase.LOGOUT, Phase.CLOSED):
            return facts
        if symbol is Symbol.REFUSE:
            status = pdu["Status-Class"] << 8 | pdu["Status-Detail"]
            facts.append(LoginFailed(conn=connection.number, status=status))
            return facts + _phase_changed(connection, old)
        session = connection.session
        if session is None:
            return facts
        number = connection.number
        for complaint, section in (
            (connection.numbers.status(pdu["StatSN"], once=False), "RFC 7143 4.2.2.2"),
            (session.commands.tell(pdu["ExpCmdSN"], pdu["MaxCmdSN"]), "RFC 7143 4.2.2.1"),
            (self._wrong_tsih(connection, pdu["TSIH"]), "RFC 7143 11.13.3"),
        ):
            if complaint is not None:
                facts.append(Violation(conn=number, by=End.TARGET, text=complaint, section=section))
        connection.hear(pdu)
        self._identify(connection, at)
        if machine.phase is not Phase.FULL_FEATURE:
            return facts + _phase_changed(connection, old)
        connection.agree()
        facts.append(DigestsOn(conn=number, header=connection.header_digest, data=connection.data_digest))
        facts += _phase_changed(connection, old)
        facts.append(self._enter(connection, pdu["TSIH"], at))
        facts.append(FullFeatureReached(conn=number, keys=connection.negotiation.settled))
        return facts

    def _wrong_tsih(self, connection: Connection, tsih: int) -> str | None:
        if connection.login is None:
            return None
        final = connection.machine.phase is Phase.FULL_FEATURE
        if connection.tsih:
            asked = connection.tsih
            return f"TSIH {tsih:#x} in the login to a session of TSIH {asked:#x}" if tsih != asked else None
        if final:
            return None if tsih else "TSIH 0 for a new session"
        return f"TSIH {tsih:#x} before the final Login Response" if tsih else None

    def _enter(self, connection: Connection, tsih: int, at: float) -> Fact:
        """Bring a connection that is logged in into its session."""
        session = connection.session or self.sessions.new()
        number, cid = connection.number, connection.key
        session.expires = None
        if connection.tsih == 0 and connection.login is not None:
            old = self.sessions.reinstated(session, at)
            session.tsih = tsih
            session.conns[cid] = connection
            if old is not None:
                self.sessions.drop(old)
            self.sessions.add(session)
            if old is None:
                return SessionFormed(conn=number, session=session.number)
            conns = tuple(sorted(member.number for member in old.conns.values()))
            return SessionReinstated(conn=number, session=session.number, old=old.number, conns=conns)
        session.commands.single = False
        session.tsih = session.tsih or tsih
        if session.negotiation is not None:
            connection.negotiation.adopt(session.negotiation)
            connection.agree()
        else:
            session.negotiation = connection.negotiation
        self.sessions.add(session)
        before = session.conns.get(cid)
        lost = session.lost.pop(cid, None)
        if before is not None:
            session.leave(before)
            lost = before.number
        session.conns[cid] = connection
        if lost is not None:
            return ConnectionReinstated(conn=number, session=session.number, old=lost)
        return SessionJoined(conn=number, session=session.number)


def _violations(connection: Connection, misstep: Misstep | None) -> list[Fact]:
    if misstep is None:
        return []
    return [Violation(conn=connection.number, by=misstep.by, text=misstep.text, section=misstep.section)]


def _phase_changed(connection: Connection, old: Phase) -> list[Fact]:
    new = connection.machine.phase
    return [] if new is old else [PhaseChanged(conn=connection.number, old=old, new=new)]
