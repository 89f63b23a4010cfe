"""The PDU that a rule has in hand, what was done to it, and its repair.

Lengths and padding are right because `Pdu.with_data` makes them so; digests are made when the PDU goes. What a fault,
or the peer itself, made wrong in a digest stays wrong by the very same bits: each digest is the right one,
exclusive-or'ed with a difference that is zero for a right one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import xor

from iscsiproxy.engine.commands import Command
from iscsiproxy.engine.facts import Look
from iscsiproxy.session.events import Change
from iscsiproxy.wire.digest import DIGEST_LENGTH, digest
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Copy", "Hand", "Saved", "resealed"]

_SAME = bytes(DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class Copy:
    """A PDU that goes right behind the one in hand.

    `begin` is called when it does, and gives its ticket; with `extra` it takes numbers of its own. `exact` and
    `added` as in Hand.
    """

    pdu: Pdu
    changes: tuple[Change, ...]
    rule: str
    begin: Callable[[], int]
    extra: bool = False
    added: tuple[bool, bool] = (False, False)
    exact: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Saved:
    """A hand as it was before a rule."""

    pdu: Pdu
    changes: tuple[Change, ...]
    rules: tuple[str, ...]
    copies: tuple[Copy, ...]
    differences: tuple[bytes, bytes] | None
    digests: tuple[bool, bool]
    added: tuple[bool, bool]
    dropped: bool
    hidden: bool
    exact: frozenset[str]
    named: frozenset[str]
    regrouped: bool
    stays: bool
    fate: str


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
    edited: set[str] = field(default_factory=set)  #: the rules whose editing of a text went on in this PDU
    fate: str = ""  #: the rule that settled its fate
    dropped: bool = False
    hidden: bool = False  #: that it does not go is to be seen by nobody
    gone: bool = False  #: no longer in hand
    exact: set[str] = field(default_factory=set)  #: fields whose numbers are not to be translated
    named: set[str] = field(default_factory=set)  #: numbers that are the fault: nothing moves on account of them
    regrouped: bool = False  #: what it has gained or lost belongs to PDUs beside it: no number moves by that
    kept: list[Command] | None = None  #: where what is to be done with it waits for its turn
    stays: bool = False  #: its slot stays open when it has gone: more is to come, and the act sees to its end
    finished: bool = False  #: its slot is finished, or never was needed
    sent: int = 0  #: bytes that went already
    held: bool = False  #: its slot waits for commands
    orphan: str = "drop"  #: what becomes of it when its sender has gone
    aside: bool = False  #: it stands out of the line: what follows may go first
    added: tuple[bool, bool] = (False, False)  #: digests that it has although its leg has none
    _differences: tuple[bytes, bytes] | None = None  #: of its digests from right ones; None: those it came with

    def __repr__(self) -> str:
        return f"<Hand {self.n} {self.pdu!r}{' gone' if self.gone else ''}>"

    def change(self, pdu: Pdu, changes: list[Change], rule: str) -> None:
        """Put a changed PDU in place of the one in hand."""
        self.pdu = pdu
        self.changes += changes
        self.mark(rule)

    def swallow(self, by: str) -> None:
        """Let it go no further, and nobody see that."""
        self.dropped = self.hidden = True
        self.fate = by

    def mark(self, rule: str) -> None:
        """Take note that a rule has done something."""
        if rule not in self.rules:
            self.rules.append(rule)

    def sealed(self, pdu: Pdu) -> Pdu:
        """Give `pdu` the digests that the PDU in hand is to have: right ones, but for the differences."""
        header, data = self.digests
        sealed = pdu.sealed(header=header, data=data)
        if not (header or data):
            return sealed
        if self._differences is None:
            self._differences = _differences_of(self.look.pdu)
        for_header, for_data = self._differences
        return sealed.with_parts(
            header_digest=_xor(sealed.header_digest, for_header), data_digest=_xor(sealed.data_digest, for_data)
        )

    def outgoing(self) -> Pdu:
        """Give the PDU as it goes on the wire. One that nobody has changed goes as it came."""
        pdu, (header, data) = self.pdu, self.digests
        same = (
            pdu is self.look.pdu
            and bool(pdu.header_digest) == header
            and bool(pdu.data_digest) == (data and pdu.data != b"")
        )
        return pdu if same else self.sealed(pdu)

    def add_digest(self, *, header: bool) -> None:
        """Give it a header or a data digest although the leg has none."""
        self.digests = (True, self.digests[1]) if header else (self.digests[0], True)
        self.added = (True, self.added[1]) if header else (self.added[0], True)

    def keep_digests(self, pdu: Pdu) -> None:
        """Make the digests that `pdu` has now stay over its bytes, right or wrong."""
        self._differences = _differences_of(pdu)

    def save(self) -> Saved:
        """Remember how things are."""
        return Saved(
            self.pdu,
            tuple(self.changes),
            tuple(self.rules),
            tuple(self.copies),
            self._differences,
            self.digests,
            self.added,
            self.dropped,
            self.hidden,
            frozenset(self.exact),
            frozenset(self.named),
            self.regrouped,
            self.stays,
            self.fate,
        )

    def restore(self, saved: Saved) -> None:
        """Make things as they were."""
        self.pdu, self.dropped, self.fate = saved.pdu, saved.dropped, saved.fate
        self.hidden, self.exact, self.named = saved.hidden, set(saved.exact), set(saved.named)
        self.regrouped, self.stays = saved.regrouped, saved.stays
        self.changes, self.rules, self.copies = list(saved.changes), list(saved.rules), list(saved.copies)
        self._differences, self.digests, self.added = saved.differences, saved.digests, saved.added


def resealed(old: Pdu, new: Pdu) -> Pdu:
    """Give a PDU that was made from another one its digests: as right, or as wrong by the same bits, as there."""
    sealed = new.sealed(header=bool(old.header_digest), data=bool(old.data_digest))
    for_header, for_data = _differences_of(old)
    return sealed.with_parts(
        header_digest=_xor(sealed.header_digest, for_header), data_digest=_xor(sealed.data_digest, for_data)
    )


def _differences_of(pdu: Pdu | None) -> tuple[bytes, bytes]:
    """Tell in which bits the digests of a PDU differ from right ones; a missing one is right."""
    header = data = _SAME
    if pdu is not None and pdu.header_digest:
        header = _xor(pdu.header_digest, digest((pdu.bhs, pdu.ahs)))
    if pdu is not None and pdu.data_digest:
        data = _xor(pdu.data_digest, digest((pdu.data, pdu.pad)))
    return header, data


def _xor(one: bytes, other: bytes) -> bytes:
    """Exclusive-or; what is missing stays missing."""
    return bytes(map(xor, one, other))
