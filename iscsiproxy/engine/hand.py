"""The PDU that a rule has in hand, what was done to it, and its repair.

Lengths and padding are right because `Pdu.with_data` makes them so; digests are made when the PDU goes. What a fault,
or the peer itself, made wrong in a digest stays wrong by the very same bits: each digest is the right one,
exclusive-or'ed with a difference that is zero for a right one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from iscsiproxy.engine.facts import Look
from iscsiproxy.session.events import Change
from iscsiproxy.wire.digest import DIGEST_LENGTH, digest
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Copy", "Hand", "Saved"]

_SAME = bytes(DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class Copy:
    """A PDU that goes right behind the one in hand."""

    pdu: Pdu
    changes: tuple[Change, ...]
    rule: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Saved:
    """A hand as it was before a rule."""

    pdu: Pdu
    changes: tuple[Change, ...]
    rules: tuple[str, ...]
    copies: tuple[Copy, ...]
    differences: tuple[bytes, bytes]
    dropped: bool


@dataclass(slots=True, eq=False)
class Hand:
    """One PDU on its way; `digests` tells which digests the leg has that it will go to."""

    look: Look
    n: int
    pdu: Pdu
    digests: tuple[bool, bool]
    changes: list[Change] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    header_difference: bytes = _SAME
    data_difference: bytes = _SAME
    fate: str = ""  #: the rule that settled its fate
    dropped: bool = False
    gone: bool = False
    sent: int = 0  #: bytes that went already
    held: bool = False  #: its slot waits for commands
    orphan: str = "drop"  #: what becomes of it when its sender has gone

    def __post_init__(self) -> None:
        if self.pdu.header_digest and self.digests[0]:
            self.header_difference = _xor(self.pdu.header_digest, digest((self.pdu.bhs, self.pdu.ahs)))
        if self.pdu.data_digest and self.digests[1]:
            self.data_difference = _xor(self.pdu.data_digest, digest((self.pdu.data, self.pdu.pad)))

    def __repr__(self) -> str:
        return f"<Hand {self.n} {self.pdu!r}{' gone' if self.gone else ''}>"

    def change(self, pdu: Pdu, changes: list[Change], rule: str) -> None:
        """Put a changed PDU in place of the one in hand."""
        self.pdu = pdu
        self.changes += changes
        self.mark(rule)

    def mark(self, rule: str) -> None:
        """Take note that a rule has done something."""
        if rule not in self.rules:
            self.rules.append(rule)

    def sealed(self, pdu: Pdu) -> Pdu:
        """Give `pdu` the digests that the PDU in hand is to have: right ones, but for the differences."""
        header, data = self.digests
        sealed = pdu.sealed(header=header, data=data)
        if sealed.header_digest and self.header_difference != _SAME:
            sealed = sealed.with_parts(header_digest=_xor(sealed.header_digest, self.header_difference))
        if sealed.data_digest and self.data_difference != _SAME:
            sealed = sealed.with_parts(data_digest=_xor(sealed.data_digest, self.data_difference))
        return sealed

    def outgoing(self) -> Pdu:
        """Give the PDU as it goes on the wire."""
        return self.sealed(self.pdu) if self.changes else self.pdu

    def keep_digests(self, pdu: Pdu) -> None:
        """Make the digests that `pdu` has now stay over its bytes, right or wrong."""
        if pdu.header_digest:
            self.header_difference = _xor(pdu.header_digest, digest((pdu.bhs, pdu.ahs)))
        if pdu.data_digest:
            self.data_difference = _xor(pdu.data_digest, digest((pdu.data, pdu.pad)))

    def save(self) -> Saved:
        """Remember how things are."""
        return Saved(
            self.pdu,
            tuple(self.changes),
            tuple(self.rules),
            tuple(self.copies),
            (self.header_difference, self.data_difference),
            self.dropped,
        )

    def restore(self, saved: Saved) -> None:
        """Make things as they were."""
        self.pdu, self.dropped = saved.pdu, saved.dropped
        self.changes, self.rules, self.copies = list(saved.changes), list(saved.rules), list(saved.copies)
        self.header_difference, self.data_difference = saved.differences


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
