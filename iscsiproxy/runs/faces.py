"""The captures of a scenario as its judge keeps them: each leg has its own face of a PDU, in its own numbers."""

from __future__ import annotations

from iscsiproxy.engine.captures import goes_on, same_session
from iscsiproxy.engine.faces import FacedBook
from iscsiproxy.engine.facts import Look
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Faces"]


class Faces(FacedBook):
    """A book of captures made from a journal."""

    def request(self, look: Look) -> None:
        """Take note of a request: it may give the tag of a task captured on its leg to another one.

        A retry is known by its CmdSN, and the other leg has its own.
        """
        pdu = look.pdu
        if pdu is None or not self._by_tag:
            return
        for captured in self._by_tag.get(pdu["ITT"], ()):
            here = captured.look.leg is look.leg and same_session(look, captured)
            if here and not captured.superseded and not goes_on(pdu, captured.command):
                captured.superseded = True

    def show(self, name: str, leg: End, pdu: Pdu) -> None:
        """Give the last PDU that a name was bound to the face that it had on a leg."""
        captured = self[name].members[-1]
        if leg is not captured.look.leg:
            captured.faces.setdefault(leg, pdu)
