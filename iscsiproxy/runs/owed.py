"""Who has to say something next where no ping may be sent: in a login, and of a text that was asked for."""

from __future__ import annotations

from typing import Final

from iscsiproxy.session.events import Delivered, Event, Received
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["Owed"]

_TALKS: Final = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})
#: NSG of full feature phase (RFC 7143 11.12.3)
_FULL_FEATURE: Final = 3


class Owed:
    """Follows the PDUs of a run: an end that was asked owes an answer until it has said something."""

    def __init__(self) -> None:
        self._by: dict[int, End] = {}

    def __repr__(self) -> str:
        return f"<Owed {', '.join(f'by the {end} on {conn}' for conn, end in self._by.items()) or 'by nobody'}>"

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if not isinstance(event, Received | Delivered) or event.pdu.opcode not in _TALKS:
            return
        pdu = event.pdu
        # Behind the last response of a login, or of a text, an initiator may be silent.
        goes_on = pdu.opcode == Opcode.LOGIN_RESPONSE and not (
            pdu["Status-Class"] or (pdu["T"] and pdu["NSG"] == _FULL_FEATURE)
        )
        if isinstance(event, Delivered) and (event.leg is End.TARGET or goes_on):
            self._by[event.conn] = event.leg
        else:
            self._by.pop(event.conn, None)

    def by(self, conn: int, end: End) -> bool:
        """Tell whether an end owes an answer on a connection."""
        return self._by.get(conn) is end
