"""Write events as a packet capture."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Sequence

from iscsiproxy import __version__
from iscsiproxy.capture.comments import Comments
from iscsiproxy.capture.legs import Leg, Packet, connected_legs, unknown_legs
from iscsiproxy.capture.pcapng import (
    comment_option,
    direction_option,
    drop_count,
    enhanced_packet,
    interface,
    section_header,
)
from iscsiproxy.journal import BackgroundFile, Buffer, Target, Veil
from iscsiproxy.session.events import (
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    Noted,
    Received,
    Unframed,
    Violated,
)
from iscsiproxy.wire.opcodes import End

__all__ = ["Capture"]

_INTERFACES = {End.INITIATOR: 0, End.TARGET: 1}
_DIRECTIONS = {inbound: direction_option(inbound=inbound) for inbound in (False, True)}
#: Of how many events it is known which leg a PDU came in on
_REMEMBERED = 1 << 13
#: Packets of this size or less are copied together: cheaper than to hand their parts on one by one
_SMALL = 1 << 12


class _Held:
    """What is ready to be written but for comments that may still come."""

    __slots__ = ("comments", "inbound", "leg", "micros", "n", "packets")

    def __init__(self, leg: End, packets: Sequence[Packet], micros: int, *, inbound: bool, n: int = 0) -> None:
        self.leg = leg
        self.packets = packets
        self.micros = micros
        self.inbound = inbound
        self.n = n
        self.comments: list[str] = []


class Capture:
    """A sink of events; `capture(event)` is the same as `capture.record(event)`.

    To be called from one thread; never blocks. `started` is the wall clock (seconds since 1970) at which events were
    `at` 0, now by default. `limit` bounds the bytes that wait for the disk; PDUs beyond it are counted in `lost`. PDUs
    are captured whole only if they come whole: the relay has to be told that all of them are wanted. The owner calls
    `close`.

    A PDU received is kept back until the next event, or a moment, so that what a rule says of it stands in its comment.
    """

    def __init__(
        self, target: Target, *, started: float | None = None, limit: int = 1 << 27, linger: float = 0.02
    ) -> None:
        self._started = round((time.time() if started is None else started) * 1e6)
        self._lock = threading.Lock()
        self._veil = Veil()
        self._comments = Comments(self._veil)
        self._legs: dict[int, dict[End, Leg]] = {}
        self._came: list[tuple[int, End, bool] | None] = [None] * _REMEMBERED
        self._held: _Held | None = None
        self._old: _Held | None = None  # what was held when the writing thread last looked
        self._packets = 0
        self._file = BackgroundFile(
            target,
            missing=self._missing,
            limit=limit,
            linger=linger,
            settle=self._settle,
            mode=0o600,  # a login exchange is in there, and the data
            name="capture",
        )
        head = section_header(
            hardware=platform.machine(), system=platform.platform(), application=f"iscsiproxy {__version__}"
        )
        head += interface("initiator leg", "between the initiator and iscsiproxy")
        head += interface("target leg", "between iscsiproxy and the target")
        self._file.put((head,), len(head))

    def __repr__(self) -> str:
        return f"<Capture {self._packets} packets, {len(self._legs)} connections, {self._file!r}>"

    def __call__(self, event: Event) -> None:
        """Capture an event."""
        self.record(event)

    @property
    def packets(self) -> int:
        """How many packets were captured."""
        return self._packets

    @property
    def lost(self) -> int:
        """How many PDUs could not be captured."""
        return self._file.lost

    @property
    def failure(self) -> OSError | None:
        """What the disk says, while it takes nothing."""
        return self._file.failure

    def adopt(self, event: Connected) -> None:
        """Take note of the addresses of a connection that runs already."""
        with self._lock:
            self._legs[event.conn] = connected_legs(event)

    def record(self, event: Event) -> None:
        """Capture an event. Those that say nothing of the wire are ignored."""
        with self._lock:
            if isinstance(event, Received):
                self._flush()
                self._received(event)
            elif isinstance(event, Delivered):
                self._flush()
                self._delivered(event)
            elif isinstance(event, Fired | Noted | Decided | Violated):
                self._commented(event)
            elif isinstance(event, FullFeature):
                self._full_feature(event)
            elif isinstance(event, Connected | Closed | Unframed):
                self._flush()
                self._turned(event)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the disk has all; blocks the calling thread, for at most `timeout` seconds."""
        with self._lock:
            self._flush()
        return self._file.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits; blocks for about `timeout` seconds at most. True if nothing was lost."""
        with self._lock:
            self._flush()
        return self._file.close(timeout=timeout)

    def _received(self, event: Received) -> None:
        pdu, leg = event.pdu, self._leg(event)
        self._veil.data(pdu.data, pdu.opcode, conn=event.conn, leg=event.leg, came=True, n=event.n)
        self._came[event.n % _REMEMBERED] = (event.n, event.leg, event.partial)
        packets = leg.received(pdu, partial=event.partial)
        self._held = _Held(event.leg, packets, self._micros(event), inbound=True, n=event.n)
        if event.partial:
            self._held.comments.append("iscsiproxy: the data was too much to be kept")
        self._file.nudge()

    def _delivered(self, event: Delivered) -> None:
        pdu, leg = event.pdu, self._leg(event)
        self._veil.data(pdu.data, pdu.opcode, conn=event.conn, leg=event.leg, came=False, n=event.n, of=event.of)
        source = None if event.of is None else self._source(event.of)
        partial = source is not None and source[1] and not pdu.data
        other = self._legs[event.conn][event.leg.other]
        held = _Held(
            event.leg,
            leg.delivered(pdu, event.start, event.sent, partial=partial, source=other),
            self._micros(event),
            inbound=False,
        )
        comment = self._comments.on_delivered(event)
        if comment is not None:
            held.comments.append(comment)
        if not partial and (event.start or 0 <= event.sent < len(pdu)):
            stop = len(pdu) if event.sent < 0 else event.sent
            held.comments.append(f"iscsiproxy: bytes {event.start} to {stop} of {len(pdu)}")
        self._write(held)

    def _commented(self, event: Fired | Noted | Decided | Violated) -> None:
        comment = self._comments.on_received(event)
        if comment is None:
            return
        held = self._held
        if held is not None and held.n == event.of:
            held.comments.append(comment)
            return
        self._flush()
        source = None if event.of is None else self._source(event.of)
        if event.conn in self._legs:
            self._note(event, End.INITIATOR if source is None else source[0], comment)

    def _full_feature(self, event: FullFeature) -> None:
        self._veil.full_feature(event.conn)
        keys = dict(event.keys)
        leg = self._leg(event)
        leg.header_digest = keys.get("HeaderDigest") == "CRC32C"
        leg.data_digest = keys.get("DataDigest") == "CRC32C"

    def _turned(self, event: Connected | Closed | Unframed) -> None:
        """Capture what is no PDU."""
        if isinstance(event, Connected):
            self._legs[event.conn] = connected_legs(event)
            for end, leg in self._legs[event.conn].items():
                self._write(_Held(end, leg.handshake(), self._micros(event), inbound=end is End.INITIATOR))
        elif isinstance(event, Unframed):
            self._note(event, event.leg, self._comments.on_received(event))
        elif event.conn in self._legs:
            self._closed(event)

    def _closed(self, event: Closed) -> None:
        self._veil.closed(event.conn, event.leg)
        legs = self._legs[event.conn]
        leg = legs[event.leg]
        by_peer = event.by == "peer" and event.how != "timeout"
        held = _Held(
            event.leg, leg.closed(by_peer=by_peer, reset=event.how != "fin"), self._micros(event), inbound=by_peer
        )
        if event.how == "timeout":
            held.comments.append("iscsiproxy: the connection timed out; no such packet was seen")
        elif event.by == "fault":
            held.comments.append("iscsiproxy: closed by a fault")
        self._write(held)
        if all(leg.ended for leg in legs.values()):
            del self._legs[event.conn]

    def _leg(self, event: Received | Delivered | FullFeature | Unframed) -> Leg:
        if event.conn not in self._legs:
            self._legs[event.conn] = unknown_legs(event.conn)
            self._note(event, event.leg, "iscsiproxy: captured from the middle on; the addresses are made up")
        return self._legs[event.conn][event.leg]

    def _note(self, event: Event, end: End, comment: str | None) -> None:
        """Put a comment at this place, on a packet that says nothing else."""
        packets = self._legs[event.conn][end].note(by_peer=False)
        held = _Held(end, packets, self._micros(event), inbound=False)
        if comment is not None:
            held.comments.append(comment)
        self._write(held)

    def _source(self, of: int) -> tuple[End, bool] | None:
        found = self._came[of % _REMEMBERED]
        return found[1:] if found is not None and found[0] == of else None

    def _micros(self, event: Event) -> int:
        return self._started + round(event.at * 1e6)

    def _flush(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._write(held)

    def _write(self, held: _Held) -> None:
        if not held.packets:
            return
        parts: list[Buffer] = []
        number = _INTERFACES[held.leg]
        options = [*map(comment_option, held.comments), _DIRECTIONS[held.inbound]]
        for packet in held.packets:
            size = len(packet.header)
            head, tail = enhanced_packet(number, held.micros, size + packet.captured, size + packet.length, options)
            if packet.captured <= _SMALL:
                parts.append(b"".join((head, packet.header, *packet.payload, tail)))
            else:
                parts += (head + packet.header, *packet.payload, tail)
            options = options[-1:]
        if self._file.put(parts, sum(map(len, parts))):
            self._packets += len(held.packets)

    def _settle(self) -> bool:
        """Write what is held, in the thread that writes, if it was held the last time too; True to be asked again."""
        with self._lock:
            if self._held is self._old:
                self._flush()
            self._old = self._held
            return self._held is not None

    def _missing(self, count: int) -> bytes:
        comment = f"iscsiproxy: {count} PDUs are missing here, the disk was too slow or full"
        return drop_count(0, round(time.time() * 1e6), count, comment)
