"""Read a packet capture as a journal: the events that an unarmed proxy would have told where the capture was made."""

from __future__ import annotations

import gzip
import os
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from iscsiproxy.capture.conversation import Conversation
from iscsiproxy.capture.order import Order
from iscsiproxy.capture.survey import Trail, survey
from iscsiproxy.capture.telling import Conn, Tale, Teller
from iscsiproxy.capture.tshark import Segment, Tshark
from iscsiproxy.errors import CaptureError
from iscsiproxy.journal import Record
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End

__all__ = ["CaptureReader", "read_capture"]

#: The port of iSCSI (RFC 7143 13.8)
_PORT = 3260
#: The names that our own captures give to their interfaces
_LEGS = {f"{end} leg": end for end in End}
#: How a capture begins: pcap in both byte orders, with microseconds or nanoseconds, and pcapng
_MAGIC = frozenset(
    {b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a"}
)
_GZIP = b"\x1f\x8b"
#: So many connections are named in warnings
_MOST_NAMED = 10
#: By so many seconds the times of packets from several processors may differ
_JITTER = 0.001


def read_capture(path: str | os.PathLike[str], *, ports: Iterable[int] = ()) -> CaptureReader:
    """Open a capture (pcap or pcapng, plain or compressed); iterate over the result for its records.

    `ports` are TCP ports that carry iSCSI, beside 3260: connections to them are believed sooner. Raises CaptureError if
    it is no capture, or tshark is not installed; OSError if it cannot be opened.
    """
    return CaptureReader(path, ports=ports)


class CaptureReader(AbstractContextManager["CaptureReader"]):
    """An iterator of records, in the order of the packets; `at` is in seconds since the first packet of the file.

    The file is looked through once when it is opened, and read while it is iterated over, both by tshark. Of a capture
    made at one point each PDU is told as received and delivered unchanged; of one of this program's own, each leg tells
    what crossed it. A connection captured from its middle on has no Connected. Where PDUs are missing a Lost stands.

    Memory: tshark takes about 160 MB and 80 bytes a packet. Here are the segments that wait for a retransmission, a PDU
    for each direction of each connection, and at most 64 MiB that wait until it is known what a connection is.

    The process of tshark ends with the iteration, at an error and by `close`.
    """

    def __init__(self, path: str | os.PathLike[str], *, ports: Iterable[int] = ()) -> None:
        self.path = Path(path)
        known = _is_known(self.path)
        self._tshark = Tshark(self.path)
        self._ports = frozenset((_PORT, *ports))
        self._backwards = 0.0
        self._trails = survey(self._watched(self._tshark.segments(contents=False)))
        if not self._trails and not known:
            raise CaptureError(f"{self.path}: expected a packet capture (pcap or pcapng), got something else")
        self._legs = {stream: _LEGS.get(trail.interface) for stream, trail in self._trails.items()}
        self._desk = _Desk(_partners(self._trails, self._legs))
        if not self._trails:
            self._desk.warn("there is no TCP connection in it")
        if self._backwards > _JITTER:
            self._desk.warn(f"packets are not in the order of their times, by up to {self._backwards:.6f} s")
        self._conversations: dict[int, Conversation | None] = {}  # None: nothing more comes of it
        self._records = self._read()

    def __repr__(self) -> str:
        return f"<CaptureReader {self.path.name} {self.streams} streams, {self.skipped} skipped, {self.gaps} gaps>"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        return next(self._records)

    @property
    def streams(self) -> int:
        """How many TCP connections the capture has."""
        return len(self._trails)

    @property
    def skipped(self) -> int:
        """How many of them were found to be something else than iSCSI, so far."""
        return self._desk.skipped

    @property
    def gaps(self) -> int:
        """At how many places PDUs are missing, so far."""
        return self._desk.gaps

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd about the capture, so far; complete at the end of the iteration."""
        return (*self._tshark.warnings, *self._desk.warnings)

    def close(self) -> None:
        """End the reading. Idempotent."""
        self._records.close()
        self._tshark.close()

    def _read(self) -> Generator[Record, None, None]:
        order, teller = self._desk.order, Teller()
        frame, at = 0, 0.0
        for segment in self._tshark.segments(contents=True):
            if segment.at < at:
                segment = segment._replace(at=at)
            frame, at = segment.frame, segment.at
            self._take(segment)
            if order.busy:
                order.settle()
            while order.ready:
                yield from teller.tell(order.ready.popleft())
        for stream in self._trails:
            if stream not in self._conversations:
                self._desk.refused()
            elif (conversation := self._conversations[stream]) is not None:
                conversation.finish(frame, at)
        order.settle()
        while order.ready:
            yield from teller.tell(order.ready.popleft())
        self._desk.sum_up()

    def _take(self, segment: Segment) -> None:
        stream = segment.stream
        if stream not in self._conversations:
            trail = self._trails.get(stream)
            if trail is None:
                raise CaptureError(f"{self.path}: it has changed while it was read")
            self._conversations[stream] = Conversation(
                self._desk,
                trail,
                leg=self._legs[stream],
                trusted=any(way.source[1] in self._ports for way in trail.ways),
            )
        conversation = self._conversations[stream]
        if conversation is not None:
            conversation.take(segment)
            if conversation.over:
                self._conversations[stream] = None

    def _watched(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Pass segments on, and see whether time goes backwards."""
        latest = 0.0
        for segment in segments:
            if segment.at > latest:
                latest = segment.at
            elif latest - segment.at > self._backwards:
                self._backwards = latest - segment.at
            yield segment


class _Desk:
    """What the conversations share."""

    def __init__(self, partners: Mapping[int, Trail]) -> None:
        self.order: Order[Tale] = Order()
        self.gaps = 0
        self.skipped = 0
        self.warnings: list[str] = []
        self._partners = partners
        self._conns: dict[int, Conn] = {}
        self._keys = 0
        self._trackers: dict[End | None, Tracker] = {}
        self._cut = 0
        self._late = 0

    def tracker(self, leg: End | None) -> Tracker:
        if leg not in self._trackers:
            self._trackers[leg] = Tracker(leg or End.INITIATOR)
        return self._trackers[leg]

    def begin(self, trail: Trail, initiator: int) -> Conn:
        known = self._conns.pop(trail.stream, None)
        if known is not None:
            return known
        names = _names(trail, initiator)
        partner = self._partners.get(trail.stream)
        if partner is None:
            return self._new((*names, *names))
        other = _names(partner, initiator if partner.client is None else partner.client)
        conn = self._new((*names, *other) if _LEGS[trail.interface] is End.INITIATOR else (*other, *names))
        self._conns[partner.stream] = conn
        return conn

    def begin_again(self, conn: Conn) -> Conn:
        return self._new(conn.names)

    def cut_short(self) -> None:
        self._cut += 1

    def refused(self) -> None:
        self.skipped += 1

    def joined_late(self, conn: Conn) -> None:
        self._late += 1
        if self._late <= _MOST_NAMED:
            initiator, _, _, target = conn.names
            self.warn(f"{initiator} to {target} was captured from its middle on: its login is not there")

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def sum_up(self) -> None:
        if self._late > _MOST_NAMED:
            self.warn(f"{self._late - _MOST_NAMED} further connections were captured from their middle on")
        if self._cut:
            self.warn(f"packets were cut when they were captured; PDUs known by their headers only: {self._cut}")
        if self.gaps:
            self.warn(f"packets were not captured; places at which PDUs are missing: {self.gaps}")

    def _new(self, names: tuple[str, str, str, str]) -> Conn:
        self._keys += 1
        return Conn(self._keys, names)


def _partners(trails: Mapping[int, Trail], legs: Mapping[int, End | None]) -> dict[int, Trail]:
    """Find the two legs of each proxied connection in one of our own captures: both streams begin at one number."""
    targets: defaultdict[int, deque[Trail]] = defaultdict(deque)
    for stream, leg in legs.items():
        if leg is End.TARGET:
            targets[trails[stream].start].append(trails[stream])
    found = {}
    for stream, leg in legs.items():
        trail = trails[stream]
        if leg is End.INITIATOR and targets[trail.start]:
            partner = targets[trail.start].popleft()
            found[stream], found[partner.stream] = partner, trail
    return found


def _names(trail: Trail, initiator: int) -> tuple[str, str]:
    """Give the addresses of the end that opened a connection and of the other one."""
    first, second = (_address(trail.ways[number].source) for number in (initiator, 1 - initiator))
    return first, second


def _address(source: tuple[bytes, int]) -> str:
    host, port = source[0].decode(errors="replace"), source[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_known(path: Path) -> bool:
    """Tell whether a file begins as a capture does; raises OSError if it cannot be opened."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(_GZIP):
        try:
            with gzip.open(path) as unpacked:
                head = unpacked.read(4)
        except (OSError, EOFError):
            return False
    return head in _MAGIC
