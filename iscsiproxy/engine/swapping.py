"""The answer to a request that stands in the place of another one becomes the answer that is awaited."""

from __future__ import annotations

from iscsiproxy.engine.authored import PROXY, is_last
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.standing import Standing
from iscsiproxy.session.events import Change
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Swapped"]

_NUMBERS = ("StatSN", "ExpCmdSN", "MaxCmdSN")


class Swapped:
    """Waits for the answer to one such request. `old` is the request that the initiator has sent."""

    def __init__(self, standing: list[Standing], conn: int, session: int, old: Pdu, tag: int) -> None:
        self._standing, self._conn, self._session, self._old, self._tag = standing, conn, session, old, tag

    def __repr__(self) -> str:
        return f"<Swapped {self._old.label} ITT {self._tag:#x}>"

    def wants(self, look: Look) -> bool:
        """Tell whether what has arrived answers the request."""
        pdu = look.pdu
        if pdu is None or look.leg is not End.TARGET or look.session != self._session:
            return False
        if pdu.opcode == Opcode.REJECT:
            header = pdu.data[:BHS_LENGTH]
            return len(header) == BHS_LENGTH and Pdu(header).get("ITT") == self._tag
        return pdu.get("ITT") == self._tag

    def apply(self, hand: Hand) -> None:
        """Put the awaited answer in its place; what comes before the last part of it goes no further."""
        came = hand.pdu
        if hand.dropped:
            return  # there is more to come of the answer
        if not is_last(came) and came.opcode != Opcode.TEXT_RESPONSE:
            hand.swallow(PROXY)
            return
        self._standing.remove(self)
        old = self._old
        fields: dict[str, int | bytes] = {"F": 1, "ITT": old["ITT"], **{name: came[name] for name in _NUMBERS}}
        if old.opcode == Opcode.NOP_OUT:
            answer = Pdu.build(Opcode.NOP_IN, old.data).with_fields({**fields, "TTT": NO_TAG})
        else:
            answer = Pdu.build(Opcode.SCSI_RESPONSE).with_fields(fields)
        hand.change(answer, [Change(what="PDU", old=summary(came), new=summary(answer))], PROXY)

    def forget(self, conn: int, leg: End) -> None:
        """Give up when the connection has ended."""
        if conn == self._conn and self in self._standing:
            self._standing.remove(self)
