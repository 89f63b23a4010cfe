"""How a PDU is numbered when it is written (`session.numbers`), and which may have to wait for that."""

from __future__ import annotations

from iscsiproxy.engine.authored import is_last
from iscsiproxy.engine.hand import resealed
from iscsiproxy.proxy.line import Out
from iscsiproxy.session.numbers import Numbers, NumbersError
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Numbering", "NumbersError"]

#: Requests with a CmdSN (RFC 7143 4.2.2.1); they also begin a task of their own.
_REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
#: PDUs from a target with a StatSN of their own, whatever else they say (RFC 7143 4.2.2.2)
_STATUS = frozenset(
    {
        Opcode.SCSI_RESPONSE,
        Opcode.TMF_RESPONSE,
        Opcode.LOGIN_RESPONSE,
        Opcode.TEXT_RESPONSE,
        Opcode.LOGOUT_RESPONSE,
        Opcode.ASYNC,
        Opcode.REJECT,
    }
)
#: What a PDU of the proxy's own may say in the numbers of the other leg.
_GIVEN = frozenset({"CmdSN", "RefCmdSN", "ExpStatSN", "StatSN", "ExpCmdSN", "MaxCmdSN", "BegRun", "ExpDataSN"})


class Numbering:
    """The numbers of one connection pair, told of what is written in its order. Not `live`: nothing is ever changed."""

    def __init__(self, numbers: Numbers, conn: int, *, live: bool) -> None:
        self.live = live
        self._numbers = numbers
        self._conn = conn
        self._own: set[int] = set()  #: tags of requests of the proxy's own that are not answered yet
        self._unsolicited: set[int] = set()  #: commands whose unsolicited data has not ended
        #: The PDU whose begin has been written to an end: the event it came with, and as what it was written
        self._cut: dict[End, tuple[int | None, Pdu]] = {}
        #: The last PDU that was written to an end: the event it came with, as what it came, as what it was written
        self._last: dict[End, tuple[int | None, Pdu, Pdu]] = {}
        numbers.open(conn)

    def __repr__(self) -> str:
        return f"<Numbering of connection {self._conn}{' active' if self._numbers.active(self._conn) else ''}>"

    def ready(self, out: Out, to: End) -> bool:
        """Tell whether a PDU may be written now: it fits the window, and is in nobody's way."""
        if not self.live or to is not End.TARGET or out.raw:
            return True
        if out.patient and self._unsolicited:
            return False
        if out.author and not out.fill and not out.extra:
            return True
        # What takes a number that the initiator knows nothing of was not promised room for by anybody.
        takes = out.author or out.extra or (out.original is not None and not out.named and not _consumes(out.original))
        return self._numbers.room(self._conn, out.pdu, authored=bool(takes))

    def passed(self, to: End, header: Pdu) -> None:
        """Take note of a PDU that was written as it came."""
        if self.live:
            self._numbers.passed(self._conn, to, header)
            if to is End.TARGET:
                self._follow(header)

    def recall(self, to: End, header: Pdu) -> None:
        """Take the numbers of the last PDU that went to an end unseen."""
        if self.live:
            self._numbers.recall(self._conn, to, header)

    def heard(self, pdu: Pdu) -> None:
        """Take note of the window in what a target has sent."""
        self._numbers.heard(self._conn, pdu)

    def written(self, out: Out, to: End) -> Pdu:
        """Give a PDU in the receiver's numbers; it is written now. Raises NumbersError if there are none for it."""
        pdu = out.pdu
        if not self.live:
            return pdu
        if out.start:
            of, begun = self._cut.get(to, (None, pdu))
            return begun if of == out.of else pdu
        new = self._authored(out, to) if out.author and out.of is None else self._passing(out, to)
        if not out.author:
            self._last[to] = (out.of, pdu, new)
        if new is not pdu:
            new = resealed(pdu, new)
        if to is End.TARGET:
            self._follow(new)
        if out.stop is not None:
            self._cut[to] = (out.of, new)
        return new

    def unsent(self, pdu: Pdu, *, hidden: bool) -> None:
        """Take note that a PDU that came in is not written. Raises NumbersError if that cannot be hidden."""
        if pdu.opcode == Opcode.DATA_OUT:
            self._follow(pdu)  # no more will come
        self._numbers.unsent(self._conn, pdu.sender, pdu, "hidden" if hidden else "raw")
        if hidden and self._own:
            self._give_back(pdu)

    def _give_back(self, pdu: Pdu) -> None:
        """Give back a tag of the proxy's own when its answer has come."""
        if pdu.opcode == Opcode.REJECT and len(pdu.data) >= BHS_LENGTH:
            tag = Pdu(pdu.data[:BHS_LENGTH]).get("ITT")
        else:
            tag = pdu.get("ITT") if pdu.sender is End.TARGET and is_last(pdu) else None
        if tag in self._own:
            self._own.remove(tag)
            self._numbers.disown(self._conn, tag)

    def _authored(self, out: Out, to: End) -> Pdu:
        pdu = out.pdu
        if to is End.TARGET and pdu.opcode in _REQUESTS and pdu["ITT"] != NO_TAG and not out.raw:
            self._own.add(pdu["ITT"])
            self._numbers.own(self._conn, pdu["ITT"])
        meant = frozenset(pdu.fields) if out.raw else _GIVEN & frozenset(pdu.fields)
        translate = meant - out.fill - out.exact
        if out.raw and not (out.fill or translate):
            return pdu
        return self._numbers.author(self._conn, to, pdu, out.fill, translate)

    def _passing(self, out: Out, to: End) -> Pdu:
        numbers, conn, pdu = self._numbers, self._conn, out.pdu
        if out.author and not out.extra:
            return self._copied(out, to) if numbers.active(conn) else pdu
        original, before, after = out.original, False, False
        if original is not None and ("CmdSN" if to is End.TARGET else "StatSN") not in out.named:
            before, after = _consumes(original), _consumes(pdu)
        if not (out.extra or out.late or before is not after or out.exact or numbers.active(conn)):
            numbers.passed(conn, to, pdu)
            return pdu
        if after and not before and pdu.opcode == Opcode.DATA_IN and not out.extra:
            # Only the status is new; its data was counted all along.
            plain = numbers.outgoing(conn, to, pdu.with_fields({"S": 0}), exact=out.exact)
            return numbers.author(conn, to, plain.with_fields({"S": 1}), frozenset({"StatSN"}) - out.exact)
        extra = out.extra or (after and not before)
        new = numbers.outgoing(conn, to, pdu, exact=out.exact, extra=extra, late=out.late)
        if original is not None and "CmdSN" in out.exact and to is End.TARGET:
            # The sender has used up its own, which nobody gets.
            numbers.unsent(conn, original.sender, original, "raw")
        if before and not after and original is not None:
            numbers.unsent(conn, original.sender, _status_of(original), "hidden")
        return new

    def _copied(self, out: Out, to: End) -> Pdu:
        """Give a copy in the receiver's numbers: what the receiver meets twice is the fault, and counts for nothing."""
        pdu, meant = out.pdu, frozenset(out.pdu.fields) - out.exact - {"DataSegmentLength"}
        new = self._numbers.author(self._conn, to, pdu, frozenset(), meant)
        of, came, went = self._last.get(to, (None, pdu, pdu))
        if of != out.of or came.opcode != pdu.opcode:
            return new
        # Where it is the same as what it is a copy of, it goes as that went.
        new = new.with_fields({name: went[name] for name in meant if pdu[name] == came[name]})
        return new.with_data(went.data) if went.data != came.data == pdu.data else new

    def _follow(self, pdu: Pdu) -> None:
        """Keep up with unsolicited data (RFC 7143 11.3.1, 11.7.1)."""
        if pdu.opcode == Opcode.SCSI_COMMAND and not pdu["F"]:
            self._unsolicited.add(pdu["ITT"])
        elif self._unsolicited and pdu.opcode == Opcode.DATA_OUT and pdu["F"] and pdu["TTT"] == NO_TAG:
            self._unsolicited.discard(pdu["ITT"])


def _consumes(pdu: Pdu) -> bool:
    """Tell whether a PDU uses up a CmdSN, or a StatSN."""
    opcode = pdu.opcode
    if opcode in _REQUESTS:
        return not pdu["I"]
    if opcode == Opcode.DATA_IN:
        return bool(pdu["S"])
    if opcode == Opcode.NOP_IN:
        return bool(pdu["ITT"] != NO_TAG)
    return opcode in _STATUS


def _status_of(pdu: Pdu) -> Pdu:
    """Give what stands for the status alone, where a PDU has counted data too."""
    if pdu.opcode != Opcode.DATA_IN:
        return pdu
    numbers = {name: pdu[name] for name in ("ITT", "StatSN", "ExpCmdSN", "MaxCmdSN")}
    return Pdu.build(Opcode.SCSI_RESPONSE).with_fields(numbers)
