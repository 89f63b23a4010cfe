"""Read made-up segments without tshark and without a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from iscsiproxy.capture.conversation import Conversation
from iscsiproxy.capture.order import Order
from iscsiproxy.capture.survey import Trail, survey
from iscsiproxy.capture.telling import Conn, Tale, Teller
from iscsiproxy.capture.tshark import Segment
from iscsiproxy.journal import Entry, Record
from iscsiproxy.session.events import Delivered, Received
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.capture.traffic import Shot, segments

__all__ = ["Table", "delivered", "listen", "received"]


class Table:
    """What conversations share; those of both legs of one connection if `legs` names them by stream."""

    def __init__(
        self,
        found: Sequence[Segment],
        *,
        trusted: bool = True,
        legs: Mapping[int, End] | None = None,
        limit: int = 1 << 26,
    ) -> None:
        self.order: Order[Tale] = Order(limit)
        self.gaps = 0
        self.short = 0
        self.skipped = 0
        self.late: list[Conn] = []
        self.records: list[Record] = []
        self._legs = legs or {}
        self._trackers: dict[End | None, Tracker] = {}
        self._keys = 0
        self._shared: Conn | None = None
        self._teller = Teller()
        self._segments = found
        self.conversations = {
            stream: Conversation(self, trail, leg=self._legs.get(stream), trusted=trusted)
            for stream, trail in survey(found).items()
        }

    def read(self) -> Table:
        """Read all."""
        for segment in self._segments:
            self.conversations[segment.stream].take(segment)
            self.tell()
        last = self._segments[-1]
        for conversation in self.conversations.values():
            conversation.finish(last.frame, last.at)
        self.tell()
        return self

    def tell(self) -> None:
        """Make records of what can be told by now."""
        self.order.settle()
        while self.order.ready:
            self.records += self._teller.tell(self.order.ready.popleft())

    @property
    def entries(self) -> list[Entry]:
        return [record.entry for record in self.records]

    def tracker(self, leg: End | None) -> Tracker:
        return self._trackers.setdefault(leg, Tracker(leg or End.INITIATOR))

    def begin(self, trail: Trail, initiator: int) -> Conn:
        if self._legs and self._shared is not None:
            return self._shared
        client, server = (trail.ways[number].source for number in (initiator, 1 - initiator))
        one, other = (f"{host.decode()}:{port}" for host, port in (client, server))
        self._keys += 1
        conn = Conn(self._keys, (one, other, one, other))
        self._shared = self._shared or conn
        return conn

    def begin_again(self, conn: Conn) -> Conn:
        self._keys += 1
        return Conn(self._keys, conn.names)

    def cut_short(self) -> None:
        self.short += 1

    def refused(self) -> None:
        self.skipped += 1

    def joined_late(self, conn: Conn) -> None:
        self.late.append(conn)


def listen(
    shots: Iterable[Shot],
    *,
    snap: int | None = None,
    trusted: bool = True,
    legs: Mapping[int, End] | None = None,
    limit: int = 1 << 26,
) -> Table:
    """Read packets."""
    return Table(segments(shots, snap=snap), trusted=trusted, legs=legs, limit=limit).read()


def received(entries: Iterable[Entry], leg: End | None = None) -> list[Pdu]:
    """Give the PDUs that came in, on one leg or on both."""
    return [entry.pdu for entry in entries if isinstance(entry, Received) and leg in (None, entry.leg)]


def delivered(entries: Iterable[Entry], leg: End) -> list[Pdu]:
    """Give the PDUs that went out on a leg."""
    return [entry.pdu for entry in entries if isinstance(entry, Delivered) and entry.leg is leg]
