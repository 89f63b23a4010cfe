"""PDUs of the proxy's own, and the answers to them.

What the proxy sends on its own account is an *errand*: a PDU to one end, with a ticket by which the relay tells of it,
and perhaps an answer. Answers never reach the other end (RFC 7143 knows them by tag: the ITT of a request, the TTT of a
ping or an R2T, the header inside a Reject), and their numbers are hidden from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from iscsiproxy.engine.commands import Author
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.hand import Hand
from iscsiproxy.session.events import Delivered
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["PROXY", "Errand", "Errands", "advances", "author_of", "is_last"]

#: Who settles the fate of an answer, where a rule would be named.
PROXY = "the proxy"
#: Requests that are answered by their tag: those that begin a task (RFC 7143 4.2.5), and a login.
_ANSWERED = frozenset(
    {
        Opcode.NOP_OUT,
        Opcode.SCSI_COMMAND,
        Opcode.TMF_REQUEST,
        Opcode.LOGIN_REQUEST,
        Opcode.TEXT_REQUEST,
        Opcode.LOGOUT_REQUEST,
    }
)
#: How many PDUs that only a Reject can answer are remembered; the oldest is forgotten first.
_MAX_TAGLESS = 64


@dataclass(slots=True, eq=False)
class Errand:
    """One PDU of the proxy's own.

    `written` is called when it has gone; `answered` with the last PDU of the answer, or with None when there can be
    none any more. A `borrowed` one has the tag of somebody else's task, and so no answers of its own.
    """

    ticket: int
    conn: int
    to: End
    pdu: Pdu
    rule: str
    session: int = 0
    answered: Callable[[Look | None], None] | None = None
    written: Callable[[Delivered], None] | None = None
    borrowed: bool = False
    gone: bool = False  #: it has been written; `pdu` is then what went

    @property
    def tag(self) -> tuple[End, int] | None:
        """What its answers are known by: the end they come from, and the tag. None if only a Reject can answer it."""
        pdu = self.pdu
        if self.borrowed:
            return None
        if self.to is End.TARGET:
            return (End.TARGET, pdu["ITT"]) if pdu.opcode in _ANSWERED and pdu["ITT"] != NO_TAG else None
        return (End.INITIATOR, pdu["TTT"]) if pdu.get("TTT") not in (None, NO_TAG) else None


def is_last(pdu: Pdu) -> bool:
    """Tell whether nothing follows of an answer."""
    match pdu.opcode:
        case Opcode.DATA_IN:
            return bool(pdu["S"])
        case Opcode.R2T:
            return False
        case Opcode.TEXT_RESPONSE | Opcode.DATA_OUT:
            return bool(pdu["F"])
        case _:
            return True


def advances(pdu: Pdu) -> bool:
    """Tell whether a PDU from the target has a StatSN of its own (RFC 7143 4.2.2.2)."""
    match pdu.opcode:
        case Opcode.R2T:
            return False
        case Opcode.NOP_IN:
            return bool(pdu["ITT"] != NO_TAG)
        case Opcode.DATA_IN:
            return bool(pdu["S"])
        case _:
            return True


class Errands:
    """The errands of a run. Stands in the way of every PDU, for it may be an answer."""

    def __init__(self) -> None:
        self._by_ticket: dict[int, Errand] = {}
        self._by_tag: dict[tuple[End, int], list[Errand]] = {}
        self._tagless: deque[Errand] = deque(maxlen=_MAX_TAGLESS)
        self._last = 0

    def __repr__(self) -> str:
        return f"<Errands {len(self._by_ticket)} open>"

    def __bool__(self) -> bool:
        return bool(self._by_ticket)

    def ticket(self) -> int:
        """Give a fresh ticket."""
        self._last += 1
        return self._last

    def begin(self, errand: Errand) -> None:
        """Add one."""
        self._by_ticket[errand.ticket] = errand
        if (tag := errand.tag) is not None:
            self._by_tag.setdefault(tag, []).append(errand)
        else:
            if len(self._tagless) == _MAX_TAGLESS:
                self._end(self._tagless[0])
            self._tagless.append(errand)

    def delivered(self, event: Delivered) -> None:
        """Take note that a PDU of the proxy's own has been written."""
        errand = self._by_ticket.get(event.author)
        if errand is None or errand.gone:
            return
        errand.gone, errand.pdu = True, event.pdu
        if errand.written is not None:
            errand.written(event)
        if errand.tag is None and (errand.borrowed or errand.to is End.INITIATOR):
            self._end(errand)

    def in_vain(self, ticket: int) -> None:
        """Take note that a PDU of the proxy's own can no longer go."""
        if (errand := self._by_ticket.get(ticket)) is not None:
            self._end(errand)
            if errand.answered is not None:
                errand.answered(None)

    def _end(self, errand: Errand) -> None:
        if self._by_ticket.pop(errand.ticket, None) is None:
            return
        if (tag := errand.tag) is None:
            if errand in self._tagless:
                self._tagless.remove(errand)
            return
        same = self._by_tag[tag]
        same.remove(errand)
        if not same:
            del self._by_tag[tag]

    def find(self, look: Look) -> Errand | None:
        """Give the errand that is answered by what is looked at."""
        pdu = look.pdu
        if pdu is None:
            return None
        if pdu.opcode == Opcode.REJECT:
            header = pdu.data[:BHS_LENGTH]
            if len(header) < BHS_LENGTH:
                return None
            for errand in self._tagless:
                if errand.gone and errand.conn == look.conn and errand.pdu.bhs == header:
                    return errand
            tag = Pdu(header).get("ITT")
        elif pdu.sender is End.TARGET:
            tag = pdu.get("ITT")
        else:
            tag = pdu["TTT"] if pdu.opcode in (Opcode.NOP_OUT, Opcode.DATA_OUT) else NO_TAG
        if tag is None:
            return None
        for errand in self._by_tag.get((pdu.sender, tag), ()):
            if errand.gone and (errand.conn == look.conn or (errand.session != 0 and errand.session == look.session)):
                return errand
        return None

    # --- Standing ---

    def wants(self, look: Look) -> bool:
        """Tell whether what has arrived is an answer."""
        return bool(self._by_ticket) and self.find(look) is not None

    def apply(self, hand: Hand) -> None:
        """Keep an answer from the other end."""
        errand = self.find(hand.look)
        assert errand is not None
        hand.swallow(PROXY)
        if is_last(hand.pdu):
            answered, errand.answered = errand.answered, None
            if hand.pdu.opcode != Opcode.DATA_OUT:  # more of a burst may come, whatever F has said
                self._end(errand)
            if answered is not None:
                answered(hand.look)

    def forget(self, conn: int, leg: End) -> None:
        """End the errands of a connection that has ended."""
        for errand in [one for one in self._by_ticket.values() if one.conn == conn]:
            self._end(errand)
            if errand.answered is not None:
                errand.answered(None)


def author_of(
    errand: Errand,
    *,
    fill: frozenset[str],
    slot: int | None = None,
    patient: bool = False,
    raw: bool = False,
    exact: frozenset[str] = frozenset(),
) -> Author:
    """Make the command that sends it."""
    return Author(
        conn=errand.conn,
        to=errand.to,
        pdu=errand.pdu,
        ticket=errand.ticket,
        rules=(errand.rule,),
        fill=fill,
        slot=slot,
        patient=patient,
        raw=raw,
        exact=exact,
    )
