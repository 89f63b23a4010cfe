"""Events as evidence: small enough to be kept as long as somebody may point at them."""

from __future__ import annotations

from iscsiproxy.journal import Record
from iscsiproxy.session.events import Closed, Delivered, Event, Received
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Note", "note_of"]

#: A data segment up to this length is kept, in bytes: sense data, keys, an embedded header.
_KEPT = 256
_NONE: frozenset[str] = frozenset()


class Note:
    """One event; treat as immutable.

    `n` is its number in the journal, `line` where it stands in the file (0 if live). `pdu` is without its data if that
    was long; `length` tells how much there was. `changed` names the fields that a fault changed in it, `forged` tells
    that the proxy made it: of neither is a peer ever blamed.
    """

    __slots__ = ("at", "changed", "conn", "forged", "leg", "length", "line", "n", "pdu", "what")

    def __init__(
        self,
        *,
        n: int,
        at: float,
        conn: int,
        leg: End | None,
        line: int = 0,
        pdu: Pdu | None = None,
        length: int = 0,
        changed: frozenset[str] = _NONE,
        forged: bool = False,
        what: str = "",
    ) -> None:
        self.n = n
        self.at = at
        self.conn = conn
        self.leg = leg
        self.line = line
        self.pdu = pdu
        self.length = length
        self.changed = changed
        self.forged = forged
        self.what = what

    def __repr__(self) -> str:
        return f"<Note #{self.n} {self.text}>"

    @property
    def text(self) -> str:
        """What it was, in one line."""
        if self.pdu is None:
            return self.what
        text = summary(self.pdu)
        if self.length and not self.pdu.data:
            text = text.replace(" data=0", f" data={self.length}").partition(" DataSegmentLength=")[0]
        return text

    def __getitem__(self, name: str) -> int:
        """Read a field of the PDU."""
        assert self.pdu is not None
        return self.pdu[name]


def note_of(record: Record, event: Event) -> Note:
    """Make the note of an event."""
    if isinstance(event, Received | Delivered):
        pdu = event.pdu
        if len(pdu.data) > _KEPT:
            pdu = Pdu(pdu.bhs, pdu.ahs)
        changed, forged = _NONE, False
        if isinstance(event, Delivered):
            forged = bool(event.author)
            if event.changes:
                changed = frozenset(change.what for change in event.changes)
        return Note(
            n=event.n,
            at=event.at,
            conn=event.conn,
            leg=event.leg,
            line=record.line,
            pdu=pdu,
            length=record.data_length,
            changed=changed,
            forged=forged,
        )
    leg = event.leg if isinstance(event, Closed) else None
    return Note(n=event.n, at=event.at, conn=event.conn, leg=leg, line=record.line, what=_told(event))


def _told(event: Event) -> str:
    if isinstance(event, Closed):
        who = {"peer": f"the {event.leg}", "fault": "a fault", "proxy": "the proxy"}[event.by]
        return f"{who} ended the connection ({event.how})"
    return type(event).__name__
