"""The small requests of full feature phase: NOP-Out, Text, Logout, each with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.peers.target.connection import Connection

__all__ = ["LogoutRequest", "NopRequest", "TextRequest"]

#: Reject reason "invalid PDU field" (RFC 7143 11.17.1)
_INVALID_FIELD = 0x09
#: Logout reasons and responses (RFC 7143 11.14.1, 11.15.1)
_CLOSE_SESSION, _CLOSE_CONNECTION, _RECOVERY = 0, 1, 2
_CLOSED, _NO_RECOVERY = 0, 2


class NopRequest:
    """A NOP-Out that wants a NOP-In (RFC 7143 11.18, 11.19)."""

    def __init__(self, connection: Connection, pdu: Pdu) -> None:
        self._connection = connection
        self._pdu = pdu

    def deliver(self) -> bool:
        """Send the ping data back, as much of it as the initiator takes."""
        connection, pdu = self._connection, self._pdu
        if connection.session is not None:
            data = pdu.data[: connection.session.parameters.send_segment]
            connection.put([Pdu.build(Opcode.NOP_IN, data=data, F=1, ITT=pdu["ITT"], TTT=NO_TAG)])
        return True


class TextRequest:
    """A Text Request (RFC 7143 11.10)."""

    def __init__(self, connection: Connection, pdu: Pdu) -> None:
        self._connection = connection
        self._pdu = pdu

    def deliver(self) -> bool:
        """Answer it, or reject it: then it counts as never received (RFC 7143 7.3)."""
        connection = self._connection
        exchange, session = connection.text, connection.session
        if exchange is None or session is None:
            return True
        answer = exchange.receive(self._pdu)
        if isinstance(answer, int):
            connection.reject(self._pdu, answer)
            return False
        session.parameters = exchange.parameters
        connection.put([answer])
        return True


class LogoutRequest:
    """A Logout Request (RFC 7143 11.14)."""

    def __init__(self, connection: Connection, pdu: Pdu) -> None:
        self._connection = connection
        self._pdu = pdu

    def deliver(self) -> bool:
        """Answer it; where the session ends, its tasks end with it, and the connection closes behind the answer."""
        connection, session = self._connection, self._connection.session
        if session is None:
            return True
        reason = self._pdu["ReasonCode"]
        if reason not in (_CLOSE_SESSION, _CLOSE_CONNECTION, _RECOVERY):
            return self._reject()
        if session.discovery:
            if connection.conduct.accepts_discovery_logout(reason):
                return self._close(_CLOSED)
            return self._reject() if reason == _CLOSE_CONNECTION else self._answer(_NO_RECOVERY)
        if reason == _RECOVERY:
            return self._answer(_NO_RECOVERY)
        if reason == _CLOSE_CONNECTION and self._pdu["CID"] != session.identity.cid:
            return self._answer(connection.conduct.unknown_cid_response())
        return self._close(_CLOSED)

    def _reject(self) -> bool:
        self._connection.reject(self._pdu, _INVALID_FIELD)
        return False

    def _close(self, response: int) -> bool:
        session = self._connection.session
        assert session is not None
        session.terminate()
        self._answer(response)
        self._connection.close_after_output("logout", final=True)
        return True

    def _answer(self, response: int) -> bool:
        session = self._connection.session
        assert session is not None
        self._connection.put(
            [
                Pdu.build(
                    Opcode.LOGOUT_RESPONSE,
                    F=1,
                    Response=response,
                    ITT=self._pdu["ITT"],
                    Time2Wait=session.parameters.time2wait,
                    Time2Retain=session.parameters.time2retain,
                )
            ]
        )
        return True
