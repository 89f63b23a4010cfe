"""The captures of a scenario as its judge keeps them: each leg has its own face of a PDU, in its own numbers.

What the proxy holds or drops has no face on the other leg. There it gets the one that it would have had: its numbers
are as far from those on its own leg as they were in the last PDU that did go that way, untouched by any rule.
"""

from __future__ import annotations

from collections.abc import Hashable

from iscsiproxy.engine.captures import Book, goes_on
from iscsiproxy.engine.facts import Captured, Look
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Faces"]


class Faces(Book):
    """A book of captures made from a journal."""

    def __init__(self) -> None:
        super().__init__()
        self._shifts: dict[Hashable, int] = {}
        self._guessed: dict[int, Captured] = {}

    def request(self, look: Look) -> None:
        """Take note of a request: it may give the tag of a task captured on its leg to another one.

        A retry is known by its CmdSN, and the other leg has its own.
        """
        pdu = look.pdu
        if pdu is None or not self._by_tag:
            return
        for captured in self._by_tag.get(pdu["ITT"], ()):
            here = captured.look.leg is look.leg and captured.session == look.session
            if here and not captured.superseded and not goes_on(pdu, captured.command):
                captured.superseded = True

    def bind(self, name: str, look: Look, *, each: bool, made: bool = False) -> None:
        """Bind a name to what is looked at, with the face that the other leg would see."""
        super().bind(name, look, each=each, made=made)
        captured = self[name].members[-1]
        if captured.look is not look or look.pdu is None or not look.arrival:
            return
        counted = _counted(look)
        shift = 0 if counted is None else self._shifts.get(counted[1], 0)
        if counted is not None and shift:
            field = counted[0]
            number = serial.add(look.pdu[field], shift)
            captured.faces[look.leg.other] = look.pdu.with_fields({field: number})
            self._guessed[id(captured)] = captured

    def moved(self, look: Look, went: Pdu) -> None:
        """Take note of how a PDU that came in went out, when only its numbers are not the same."""
        counted = _counted(look)
        if counted is not None and look.pdu is not None and went.opcode == look.pdu.opcode:
            field, key = counted
            self._shifts[key] = serial.distance(look.pdu[field], went[field])

    def delivered(self, n: int | None, leg: End, pdu: Pdu) -> None:
        """Take note of how a captured PDU was delivered; what comes behind it under its number are copies."""
        for captured in self._by_n.get(n, ()) if n is not None else ():
            if self._guessed.pop(id(captured), None) is not None:
                del captured.faces[leg]
        super().delivered(n, leg, pdu)

    def show(self, name: str, leg: End, pdu: Pdu) -> None:
        """Give the last PDU that a name was bound to the face that it had on a leg."""
        captured = self[name].members[-1]
        if leg is not captured.look.leg:
            captured.faces.setdefault(leg, pdu)


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
