"""Sequence numbers that stay honest although the proxy adds and takes away PDUs.

What the proxy sends on its own account has numbers that one end knows and the other does not; what it swallows has
numbers the other way round. From then on the two ends count differently, and everything that passes is translated:
CmdSN and its kin for a whole session and all its connections, StatSN for a connection, DataSN and R2TSN for a task
(RFC 7143 4.2.2). No I/O, no opinion: PDUs go in, PDUs come out, in the order in which they are written.

What an end is told never goes back because of the proxy: an initiator that was told a MaxCmdSN may use it, and what it
was told too much waits for `room`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from iscsiproxy.session.layout import mask, reader
from iscsiproxy.session.serialmap import SerialMap
from iscsiproxy.session.traffic import REQUESTS
from iscsiproxy.session.translation import (
    ANSWERS,
    WITHOUT_CMDSN,
    ConnectionNumbers,
    SessionNumbers,
    acknowledge,
    counts,
    filled,
    hear,
    in_initiator_numbers,
    in_target_numbers,
    to_initiator,
    to_target,
    window,
)
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import gt, le

__all__ = ["Numbers", "NumbersError"]

#: How many sessions without a connection are kept, for somebody to come back to.
_SESSIONS_KEPT = 64
#: How many connections of a session are remembered by their CID, for a reinstatement.
_CIDS_KEPT = 64
_TOP = 0xFFFFFFFF
_NONE: frozenset[str] = frozenset()

_REQUEST = reader(Opcode.SCSI_COMMAND, "Opcode", "CmdSN", "ExpStatSN")
_EXP_STAT_SN = reader(Opcode.DATA_OUT, "ExpStatSN")
_ANSWER = reader(Opcode.NOP_IN, "ITT", "StatSN", "ExpCmdSN", "MaxCmdSN")
_I = mask(Opcode.SCSI_COMMAND, "I")


class NumbersError(Exception):
    """What one end consumed and the other did not cannot be hidden."""


class Numbers:
    """The translation of all connections of a run. `session_of` gives the session of a connection, 0 for none yet.

    Every PDU that is written is told by `outgoing`, `passed` or `author`, and what is not written by `unsent`.
    """

    def __init__(self, session_of: Callable[[int], int]) -> None:
        self._session_of = session_of
        self._connections: dict[int, ConnectionNumbers] = {}
        self._sessions: dict[int, SessionNumbers] = {}

    def __repr__(self) -> str:
        return f"<Numbers of {len(self._connections)} connections, {len(self._sessions)} sessions>"

    # --- connections -------------------------------------------------------------------------------------------------

    def open(self, conn: int) -> None:
        """Begin with a connection."""
        self.close(conn)
        self._open(conn)

    def close(self, conn: int) -> None:
        """End a connection. Its session is kept for a while, for the initiator to come back to."""
        connection = self._connections.pop(conn, None)
        if connection is None:
            return
        session = connection.session
        session.conns.discard(conn)
        connection.headers.clear()
        if not session.conns and session.number in self._sessions:
            # Those that have been without a connection for the longest time go first.
            self._sessions[session.number] = self._sessions.pop(session.number)
        dormant = [number for number, session in self._sessions.items() if not session.conns]
        for number in dormant[:-_SESSIONS_KEPT]:
            del self._sessions[number]

    def lost(self, conn: int) -> None:
        """Take note that PDUs went by unseen: what the ends said last is not known, until they say more."""
        connection = self._connections.get(conn)
        if connection is None:
            return
        session = connection.session
        for numbering in (session.commands, connection.statuses):
            numbering.forget()
        for acknowledged in (
            session.expected,
            session.maximum,
            connection.expected,
            connection.maximum,
            connection.acks,
        ):
            acknowledged.forget()

    def active(self, conn: int) -> bool:
        """Tell whether anything on this connection is translated; if not, what passes goes as it is.

        A connection is active too as long as its login may turn out to be one into a session that is.
        """
        connection = self._connections.get(conn)
        if connection is None:
            return False
        if not connection.settled:
            if not connection.answered:
                return True
            self._settle(connection)
        return connection.session.active or not connection.statuses.identity

    def own(self, conn: int, itt: int) -> None:
        """Take an ITT for the proxy's own use on the target's leg: a task of the initiator gets another one there."""
        self._at(conn).session.tags.own(itt)

    def disown(self, conn: int, itt: int) -> None:
        """Give back such an ITT; no PDU with it will come any more."""
        self._at(conn).session.tags.disown(itt)

    # --- what is written ---------------------------------------------------------------------------------------------

    def passed(self, conn: int, to: End, pdu: Pdu) -> None:
        """Take note of a PDU that was written as it is, on a connection that is not active."""
        if pdu.opcode == Opcode.LOGIN_REQUEST:
            self.outgoing(conn, to, pdu)
        else:
            self.recall(conn, to, pdu)

    def recall(self, conn: int, to: End, pdu: Pdu) -> None:
        """Take what a PDU says of numbers that went by as it was, maybe a while ago and unseen."""
        if pdu.opcode == Opcode.LOGIN_RESPONSE:
            self.outgoing(conn, to, pdu)  # it says what is acknowledged next, too
            return
        connection = self._at(conn, pdu)
        opcode = pdu.opcode
        if to is End.TARGET:
            if opcode in REQUESTS or opcode == Opcode.LOGIN_REQUEST:
                first, cmd_sn, exp_stat_sn = _REQUEST(pdu.bhs)
                if first & _I:
                    connection.session.commands.hint(cmd_sn)
                else:
                    connection.session.commands.use(cmd_sn)
                if opcode in REQUESTS:
                    acknowledge(connection, exp_stat_sn)
            elif opcode in WITHOUT_CMDSN:
                (exp_stat_sn,) = _EXP_STAT_SN(pdu.bhs)
                if exp_stat_sn != connection.acks.heard:
                    acknowledge(connection, exp_stat_sn)
        elif opcode in ANSWERS:
            itt, stat_sn, exp_cmd_sn, max_cmd_sn = _ANSWER(pdu.bhs)
            if exp_cmd_sn != connection.expected.heard or max_cmd_sn != connection.maximum.heard:
                window(connection, exp_cmd_sn, max_cmd_sn)
            if counts(pdu, opcode, itt):
                connection.statuses.use(stat_sn)
            elif opcode != Opcode.DATA_IN:
                connection.statuses.hint(stat_sn)

    def outgoing(
        self,
        conn: int,
        to: End,
        pdu: Pdu,
        *,
        exact: frozenset[str] = _NONE,
        extra: bool = False,
        late: bool = False,
    ) -> Pdu:
        """Give a PDU in the receiver's numbers, and take note that it is written to `to` now.

        One that is the same there is the very same object. Fields in `exact` stay as they are and count for nothing. An
        `extra` one goes behind the PDU whose numbers it has, takes the next ones of its own, and moves on what follows;
        but a status that has not gone yet counts as the status it is (the last piece of a split Data-In). A `late` one
        stood back behind others of its connection, and says no less than those of what has been received.

        Digests are not made right. Raises NumbersError if an extra one cannot be numbered.
        """
        connection = self._at(conn, pdu)
        if sender_of(pdu.opcode) is to:
            return pdu
        try:
            if to is End.TARGET:
                return to_target(connection, pdu, exact, extra=extra, late=late)
            return to_initiator(connection, pdu, exact, extra=extra, late=late)
        except ValueError as error:
            raise NumbersError(str(error)) from error

    def unsent(self, conn: int, sender: End, pdu: Pdu, how: Literal["raw", "hidden"]) -> None:
        """Take note that a PDU is not written.

        `raw`: its numbers are used up, the receiver misses them. `hidden`: they are taken out of the receiver's count,
        and its sender is told that they were received. One that was sent or hidden before is hidden as it is.

        Raises NumbersError if what comes behind it has gone already.
        """
        connection = self._at(conn, pdu)
        session, opcode, hidden = connection.session, pdu.opcode, how == "hidden"
        if sender_of(opcode) is not sender:
            return
        try:
            if opcode in REQUESTS:
                acknowledge(connection, pdu["ExpStatSN"])
                if not pdu["I"]:
                    session.commands.skip(pdu["CmdSN"], hidden=hidden)
            elif opcode in WITHOUT_CMDSN:
                acknowledge(connection, pdu["ExpStatSN"])
                if hidden and opcode == Opcode.DATA_OUT:
                    _take_out(session.tasks.part_burst(pdu["ITT"], pdu["TTT"]), pdu["DataSN"])
            elif opcode in ANSWERS:
                hear(session, pdu["ExpCmdSN"], pdu["MaxCmdSN"])
                if hidden and opcode == Opcode.LOGIN_RESPONSE and not connection.answered:
                    # Whatever StatSN the initiator sees first is the right one.
                    connection.statuses.next = (pdu["StatSN"] + 1) & _TOP
                elif counts(pdu, opcode, pdu["ITT"]):
                    connection.statuses.skip(pdu["StatSN"], hidden=hidden)
                if hidden and opcode in (Opcode.DATA_IN, Opcode.R2T):
                    number = pdu["DataSN" if opcode == Opcode.DATA_IN else "R2TSN"]
                    _take_out(session.tasks.part_answers(session.tags.back(pdu["ITT"])), number)
        except ValueError as error:
            raise NumbersError(str(error)) from error

    def author(
        self,
        conn: int,
        to: End,
        pdu: Pdu,
        fill: frozenset[str],
        translate: frozenset[str] = _NONE,
    ) -> Pdu:
        """Give a PDU of the proxy's own the numbers in `fill`, and take note that it is written to `to` now.

        CmdSN, ExpStatSN, StatSN, ExpCmdSN and MaxCmdSN are what is right for the receiver now; one that the PDU
        consumes is the proxy's own from here on. DataSN and R2TSN are given as the sender's next, and then taken out of
        its hand. Fields in `translate` are given in the other end's numbers (CmdSN, RefCmdSN, RefTaskTag, ExpStatSN,
        BegRun). All others stay, and count for nothing.

        Raises NumbersError if a number is not known.
        """
        connection = self._at(conn, pdu)
        new: dict[str, int] = {}
        try:
            if translate:
                new = in_target_numbers(connection, pdu) if to is End.TARGET else in_initiator_numbers(connection, pdu)
                new = {name: value for name, value in new.items() if name in translate}
            new |= filled(connection, pdu, fill)
        except ValueError as error:
            raise NumbersError(str(error)) from error
        return pdu.with_fields(new) if new else pdu

    def room(self, conn: int, pdu: Pdu, *, authored: bool) -> bool:
        """Tell whether a request is inside the target's window as it will be numbered (RFC 7143 4.2.2.1).

        Immediate ones always are. A request of the initiator's waits only for what it was told too much: one that is
        beyond what it was told is its own affair. One that the proxy authors waits until the window is known.
        """
        if pdu.opcode not in REQUESTS or pdu["I"]:
            return True
        connection = self._at(conn, pdu)
        session = connection.session
        maximum = session.maximum.heard
        if authored:
            coming = session.commands.coming
            return coming is not None and maximum is not None and le(coming, maximum)
        if session.commands.identity or maximum is None or session.maximum.told is None:
            return True
        cmd_sn = pdu["CmdSN"]
        return not (le(cmd_sn, session.maximum.told) and gt(session.commands.forward(cmd_sn), maximum))

    def heard(self, conn: int, pdu: Pdu) -> None:
        """Take note of the window in a PDU that a target has sent, before it is written."""
        if pdu.opcode in ANSWERS:
            hear(self._at(conn, pdu).session, pdu["ExpCmdSN"], pdu["MaxCmdSN"])

    # --- inside ------------------------------------------------------------------------------------------------------

    def _open(self, conn: int) -> ConnectionNumbers:
        session = SessionNumbers()
        session.conns.add(conn)
        connection = self._connections[conn] = ConnectionNumbers(conn, session)
        return connection

    def _at(self, conn: int, pdu: Pdu | None = None) -> ConnectionNumbers:
        """Give the connection, in the session it is in now."""
        connection = self._connections.get(conn) or self._open(conn)
        if connection.settled:
            return connection
        if pdu is not None and pdu.opcode == Opcode.LOGIN_REQUEST:
            self._log_in(connection, pdu)
        elif pdu is None or pdu.opcode != Opcode.LOGIN_RESPONSE:
            self._settle(connection)
        return connection

    def _settle(self, connection: ConnectionNumbers) -> None:
        """Find the session of a connection whose login is over, or was not seen."""
        number = self._session_of(connection.number)
        if not number:
            return
        connection.settled = True
        old = connection.session
        session = self._sessions.get(number)
        if session is None:
            session = old if not old.number else SessionNumbers()
            session.number = number
            self._sessions[number] = session
            if connection.cid is not None:
                session.isid, session.tsih = session.isid or old.isid, session.tsih or old.tsih
        self._join(connection, session)

    def _log_in(self, connection: ConnectionNumbers, pdu: Pdu) -> None:
        """Take a Login Request: one with a TSIH is for a session that there is (RFC 7143 6.3.1)."""
        if connection.cid is not None:
            return
        connection.cid, session = pdu["CID"], connection.session
        session.isid, session.tsih = pdu["ISID"], pdu["TSIH"]
        if not session.tsih:
            return
        for each in list(self._connections.values()):
            if each.answered and not each.settled:
                self._settle(each)
        number = self._session_of(connection.number)
        known = self._sessions.get(number) if number else None
        if known is None:
            # The latest one: of two sessions alike, the other has had its time.
            alike = (each for each in self._sessions.values() if (each.isid, each.tsih) == (session.isid, session.tsih))
            known = max(alike, key=lambda each: each.number, default=None)
        if known is not None:
            self._join(connection, known)

    def _join(self, connection: ConnectionNumbers, session: SessionNumbers) -> None:
        connection.session.conns.discard(connection.number)
        session.conns.add(connection.number)
        connection.session = session
        if connection.settled and connection.cid is not None:
            session.by_cid.pop(connection.cid, None)
            session.by_cid[connection.cid] = connection
            if len(session.by_cid) > _CIDS_KEPT:
                del session.by_cid[next(iter(session.by_cid))]


def _take_out(numbers: SerialMap, number: int) -> None:
    """Take a DataSN or R2TSN out; one that is sent again was out before."""
    if not numbers.removed(number):
        numbers.remove(number)
