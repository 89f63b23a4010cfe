"""Turn what was understood of a capture into the records of a journal, with their numbers.

A capture made at one point shows what an unarmed proxy at that point would tell: each PDU received from one end is
delivered to the other as it is. A capture of this program shows both legs; there a PDU delivered is one received before
if its bytes say so, and comments tell what a fault did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from iscsiproxy.capture.links import Links
from iscsiproxy.capture.marks import Act, acts_of, delivery_of
from iscsiproxy.journal import Lost, Record, record_of
from iscsiproxy.session.events import (
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    How,
    Noted,
    Received,
    Unframed,
)
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = [
    "By",
    "Came",
    "Conn",
    "Crossed",
    "Ended",
    "Garbage",
    "Keys",
    "Missing",
    "Opened",
    "Said",
    "Tale",
    "Teller",
    "Went",
]

Keys: TypeAlias = tuple[tuple[str, str], ...]
By: TypeAlias = Literal["peer", "proxy", "fault"]


class Conn:
    """One connection of the journal to be; `key` is its own from the beginning, `number` comes with its first event.

    `names` are the addresses of a Connected: initiator, listen, local, target. `opened` tells that it was told of.
    """

    __slots__ = ("key", "links", "names", "number", "opened", "successor")

    def __init__(self, key: int, names: tuple[str, str, str, str]) -> None:
        self.key = key
        self.number = 0
        self.opened = False
        self.successor: Conn | None = None  #: what it is told as from some place on
        self.names = names
        self.links = Links()

    def __repr__(self) -> str:
        return f"<Conn {self.number or '?'} {self.names[0]} to {self.names[3]}>"


@dataclass(frozen=True, slots=True)
class Tale:
    """Something to be told; `at` is in seconds since the first packet of the file."""

    conn: Conn
    at: float


@dataclass(frozen=True, slots=True)
class Opened(Tale):
    """A connection began."""


@dataclass(frozen=True, slots=True)
class Crossed(Tale):
    """A PDU of `sender` passed. `keys` are those of the full feature phase, if it began with this."""

    sender: End
    pdu: Pdu
    partial: bool = False
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class Came(Tale):
    """A PDU came in on a leg of the proxy. `comments` are those of its packets."""

    leg: End
    pdu: Pdu
    partial: bool = False
    keys: Keys | None = None
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Went(Tale):
    """A PDU went out on a leg of the proxy. `comments` are those of its packets."""

    leg: End
    pdu: Pdu
    partial: bool = False
    keys: Keys | None = None
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended(Tale):
    """One side of a leg came to its end."""

    leg: End
    how: How
    by: By


@dataclass(frozen=True, slots=True)
class Garbage(Tale):
    """The bytes on a leg are no PDUs."""

    leg: End
    reason: str


@dataclass(frozen=True, slots=True)
class Said(Tale):
    """Comments on a packet that carries nothing."""

    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing(Tale):
    """Here something was not captured."""


class _When(TypedDict):
    n: int
    at: float
    conn: int


class Teller:
    """Numbers events, and connections in the order in which they appear."""

    def __init__(self) -> None:
        self._n = 0
        self._conns = 0
        self._authored = 0

    def __repr__(self) -> str:
        return f"<Teller {self._n} events, {self._conns} connections>"

    def tell(self, tale: Tale) -> Iterator[Record]:
        """Give the records of something that happened."""
        if isinstance(tale, Missing):
            yield Record(Lost(count=1))
            return
        for event in self._events(tale):
            yield record_of(event)

    def _when(self, tale: Tale) -> _When:
        self._n += 1
        conn = tale.conn
        if not conn.number:
            self._conns += 1
            conn.number = self._conns
        return {"n": self._n, "at": tale.at, "conn": conn.number}

    def _events(self, tale: Tale) -> Iterator[Event]:
        match tale:
            case Crossed():
                yield from self._crossed(tale)
            case Came():
                yield from self._came(tale)
            case Went():
                yield from self._went(tale)
            case Opened():
                initiator, listen, local, target = tale.conn.names
                yield Connected(initiator=initiator, listen=listen, local=local, target=target, **self._when(tale))
            case Ended():
                yield Closed(leg=tale.leg, how=tale.how, by=tale.by, **self._when(tale))
            case Garbage():
                yield Unframed(leg=tale.leg, reason=tale.reason, **self._when(tale))
            case Said():
                yield from self._acts(tale, acts_of(tale.comments), None, "")

    def _crossed(self, tale: Crossed) -> Iterator[Event]:
        sender, pdu = tale.sender, tale.pdu
        received = self._received(tale, sender)
        yield received
        if tale.keys is not None:
            for leg in (sender, sender.other):
                yield FullFeature(leg=leg, keys=tale.keys, **self._when(tale))
        yield Delivered(leg=sender.other, pdu=pdu, of=received.n, **self._when(tale))

    def _received(self, tale: Crossed | Came, leg: End) -> Received:
        pdu, partial = tale.pdu, tale.partial
        return Received(
            leg=leg,
            pdu=pdu,
            header_digest_ok=pdu.header_digest_ok(),
            data_digest_ok=pdu.data_digest_ok(),
            partial=partial,
            **self._when(tale),
        )

    def _came(self, tale: Came) -> Iterator[Event]:
        received = self._received(tale, tale.leg)
        acts = acts_of(tale.comments) if tale.comments else []
        pdu = tale.pdu
        tale.conn.links.came(tale.leg, pdu, received.n, [act.rule for act in acts])
        yield received
        yield from self._acts(tale, acts, received.n, f"{pdu.label} ITT={pdu['ITT']:#x}")
        if tale.keys is not None:
            yield FullFeature(leg=tale.leg, keys=tale.keys, **self._when(tale))

    def _went(self, tale: Went) -> Iterator[Event]:
        if tale.keys is not None:
            yield FullFeature(leg=tale.leg, keys=tale.keys, **self._when(tale))
        known = delivery_of(tale.comments)
        of, made = None, known.authored
        if not made:
            touched = bool(known.rules or known.changes)
            of, made = tale.conn.links.went(tale.leg.other, tale.pdu, known.rules, touched=touched)
        self._authored += made
        yield Delivered(
            leg=tale.leg,
            pdu=tale.pdu,
            of=of,
            changes=known.changes,
            rules=known.rules,
            author=self._authored if made else 0,
            **self._when(tale),
        )

    def _acts(self, tale: Tale, acts: Iterable[Act], of: int | None, label: str) -> Iterator[Event]:
        for act in acts:
            when = self._when(tale)
            if act.decision is not None:
                yield Decided(rule=act.rule, what=act.decision, of=of, text=act.text, **when)
            elif act.act:
                yield Fired(rule=act.rule, act=act.act, of=of, label=label, text=act.text, changes=act.changes, **when)
            else:
                yield Noted(rule=act.rule, of=of, text=act.text, **when)
