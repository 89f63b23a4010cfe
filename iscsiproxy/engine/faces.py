"""Captures with a face for each leg, in its own numbers, whatever has become of the PDU.

What the proxy holds or drops has no face on the other leg. There it gets the one that it would have had: its numbers
are as far from those on its own leg as they were in the last PDU that did go that way, untouched by any rule.
"""

from __future__ import annotations

from collections.abc import Hashable

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.facts import Look
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["FacedBook"]


class FacedBook(Book):
    """A book of captures that is told how PDUs went out."""

    def __init__(self) -> None:
        super().__init__()
        self._shifts: dict[Hashable, int] = {}

    @property
    def shifted(self) -> bool:
        """Whether the numbers of a PDU have ever been others on the other leg."""
        return bool(self._shifts)

    def bind(self, name: str, look: Look, *, each: bool, made: bool = False) -> None:
        """Bind a name to what is looked at, with the face that the other leg would see."""
        super().bind(name, look, each=each, made=made)
        captured = self[name].members[-1]
        if captured.look is not look or look.pdu is None or not look.arrival or not self._shifts:
            return
        counted = _counted(look)
        shift = 0 if counted is None else self._shifts.get(counted[1], 0)
        if counted is not None and shift:
            field = counted[0]
            number = serial.add(look.pdu[field], shift)
            captured.faces[look.leg.other] = look.pdu.with_fields({field: number})
            captured.guessed = True

    def moved(self, look: Look, went: Pdu) -> None:
        """Take note of how a PDU that came in went out, when only its numbers are not the same."""
        counted = _counted(look)
        if counted is not None and look.pdu is not None and went.opcode == look.pdu.opcode:
            field, key = counted
            self._shifts[key] = serial.distance(look.pdu[field], went[field])

    def delivered(self, n: int | None, leg: End, pdu: Pdu) -> None:
        """Take note of how a captured PDU was delivered; what comes behind it under its number are copies."""
        for captured in self._by_n.get(n, ()) if n is not None else ():
            if captured.guessed:
                captured.guessed = False
                del captured.faces[leg]
        super().delivered(n, leg, pdu)


def _counted(look: Look) -> tuple[str, Hashable] | None:
    """Name the number that a PDU has of its own, and what counts it: a session CmdSN, a connection StatSN."""
    pdu = look.pdu
    if pdu is None:
        return None
    if pdu.sender is End.INITIATOR:
        return ("CmdSN", ("CmdSN", look.session)) if "CmdSN" in pdu.fields else None
    if "StatSN" not in pdu.fields or (pdu.opcode == Opcode.DATA_IN and not pdu["S"]):
        return None
    if pdu.opcode == Opcode.R2T or (pdu.opcode == Opcode.NOP_IN and pdu["ITT"] == NO_TAG):
        return None  # it has the next one, and takes none
    return "StatSN", ("StatSN", look.conn)
