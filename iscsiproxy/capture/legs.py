"""The two legs of a connection as a capture shows them: which bytes of the stream each event stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from iscsiproxy.capture.tcp import ACK, FIN, MAX_PAYLOAD, PSH, RST, SYN, Endpoint, Stream, endpoint, payload_sum
from iscsiproxy.session.events import Connected
from iscsiproxy.wire.digest import DIGEST_LENGTH
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu, padding

__all__ = ["Leg", "Packet", "connected_legs", "unknown_legs"]

#: Pieces of this size or less are copied together: cheaper than to hand them on one by one
_SMALL = 1 << 12
#: For connections whose addresses are not known: documentation addresses (RFC 5737), the port of iSCSI, private ports
_STAND_INS = tuple(bytes([192, 0, 2, last]) for last in (1, 2, 3, 4))
_ISCSI_PORT = 3260
_FIRST_PORT, _PORTS = 49152, 16384
#: What spreads the first sequence numbers, so that a port used again is seen to be another connection (RFC 9293 3.4.1)
_SPREAD = 0x9E3779B1

#: The sums of the packets of a PDU
_Sums = tuple[int, ...]


class Packet(NamedTuple):
    """One packet: its IP and TCP headers, its payload, and how many bytes of payload it had on the wire."""

    header: bytes
    payload: tuple[bytes | memoryview, ...] = ()
    captured: int = 0
    length: int = 0


@dataclass(slots=True, repr=False)
class Leg:
    """One leg. `peer` is the side of the stream where the peer is: the initiator opens its leg, the proxy the other."""

    end: End
    stream: Stream
    header_digest: bool = False
    data_digest: bool = False
    _came: tuple[Pdu, _Sums] | None = None  # the last PDU received, and its sums
    _ended: set[int] = field(default_factory=set)  # sides that sent FIN

    def __repr__(self) -> str:
        return f"<Leg {self.end} {self.stream!r}>"

    @property
    def peer(self) -> int:
        """The side of the stream where the peer is."""
        return 0 if self.end is End.INITIATOR else 1

    @property
    def ended(self) -> bool:
        """Tell whether both sides have ended."""
        return len(self._ended) == 2

    def handshake(self) -> list[Packet]:
        """Give the packets that open the connection."""
        stream = self.stream
        return [
            Packet(stream.segment(0, SYN)),
            Packet(stream.segment(1, SYN | ACK)),
            Packet(stream.segment(0, ACK)),
        ]

    def note(self, *, by_peer: bool) -> list[Packet]:
        """Give a packet that says nothing, to carry a comment."""
        return [Packet(self.stream.segment(self._side(by_peer), ACK))]

    def received(self, pdu: Pdu, *, partial: bool) -> list[Packet]:
        """Give the packets of a PDU that the peer sent."""
        if partial:
            return self._header_only(pdu, self.peer, self._wire_length(pdu))
        packets, sums = self._whole(pdu, self.peer, None)
        self._came = (pdu, sums)
        return packets

    def delivered(self, pdu: Pdu, start: int, stop: int, *, partial: bool, source: Leg) -> list[Packet]:
        """Give the packets of the bytes of a PDU from `start` to `stop` (-1: the end) that the proxy sent.

        `source` is the leg that it came in on.
        """
        side = 1 - self.peer
        if partial:
            length = self._wire_length(pdu)
            return self._header_only(pdu, side, length if stop < 0 else stop, start)
        if start or 0 <= stop < len(pdu):
            return self._packets((pdu.raw[start : None if stop < 0 else stop],), side)[0]
        known = source._came
        return self._whole(pdu, side, known[1] if known is not None and known[0] is pdu else None)[0]

    def closed(self, *, by_peer: bool, reset: bool) -> list[Packet]:
        """Give the packets that end one side of the connection, or both."""
        side = self._side(by_peer)
        self._came = None
        if reset:
            self._ended.update((0, 1))
            return [Packet(self.stream.segment(side, RST | ACK))]
        if side in self._ended:
            return []
        self._ended.add(side)
        return [
            Packet(self.stream.segment(side, FIN | ACK)),
            Packet(self.stream.segment(1 - side, ACK)),
        ]

    def _side(self, by_peer: bool) -> int:
        return self.peer if by_peer else 1 - self.peer

    def _wire_length(self, pdu: Pdu) -> int:
        """Count the bytes of a PDU whose data is not here."""
        length = pdu["DataSegmentLength"]
        header = len(pdu.bhs) + len(pdu.ahs) + DIGEST_LENGTH * self.header_digest
        return header + (length + padding(length) + DIGEST_LENGTH * self.data_digest if length else 0)

    def _whole(self, pdu: Pdu, side: int, sums: _Sums | None) -> tuple[list[Packet], _Sums]:
        if len(pdu.data) <= _SMALL:
            raw = pdu.raw
            size = len(raw)
            sums = sums or (payload_sum((raw,)),)
            return [Packet(self.stream.segment(side, PSH | ACK, size, sums[0]), (raw,), size, size)], sums
        pieces = (b"".join((pdu.bhs, pdu.ahs, pdu.header_digest)), pdu.data, pdu.pad + pdu.data_digest)
        return self._packets(pieces, side, sums)

    def _packets(self, pieces: Sequence[bytes], side: int, sums: _Sums | None = None) -> tuple[list[Packet], _Sums]:
        """Give the packets that carry `pieces`, and their sums, which may be known."""
        payloads = tuple(_cut(pieces))
        sums = sums or tuple(map(payload_sum, payloads))
        packets = []
        for number, (payload, total) in enumerate(zip(payloads, sums, strict=True), 1):
            size = sum(map(len, payload))
            flags = PSH | ACK if number == len(payloads) else ACK
            packets.append(Packet(self.stream.segment(side, flags, size, total), payload, size, size))
        return packets, sums

    def _header_only(self, pdu: Pdu, side: int, stop: int, start: int = 0) -> list[Packet]:
        """Give the packets of a PDU of which only the header was kept: they are cut, and say so."""
        header = (pdu.bhs + pdu.ahs)[start:stop]
        length = max(0, stop - start)
        packets = []
        while length:
            size = min(length, MAX_PAYLOAD)
            length -= size
            packets.append(Packet(self.stream.segment(side, ACK, size), (header,), len(header), size))
            header = b""
        return packets


def connected_legs(event: Connected) -> dict[End, Leg]:
    """Make the legs of a pair, with their addresses where these are numeric."""
    client, listen, local, server = (
        endpoint(text, stand_in)
        for text, stand_in in zip(
            (event.initiator, event.listen, event.local, event.target), _stand_ins(event.conn), strict=True
        )
    )
    return _legs(client, listen, local, server, event.conn)


def unknown_legs(conn: int) -> dict[End, Leg]:
    """Make the legs of a pair that nothing is known of."""
    return _legs(*_stand_ins(conn), conn)


def _legs(client: Endpoint, listen: Endpoint, local: Endpoint, server: Endpoint, conn: int) -> dict[End, Leg]:
    first = conn * _SPREAD
    return {
        End.INITIATOR: Leg(End.INITIATOR, Stream(client, listen, first)),
        End.TARGET: Leg(End.TARGET, Stream(local, server, first)),
    }


def _stand_ins(conn: int) -> tuple[Endpoint, Endpoint, Endpoint, Endpoint]:
    client, listen, local, server = _STAND_INS
    port = _FIRST_PORT + conn % _PORTS
    return (
        Endpoint(client, port),
        Endpoint(listen, _ISCSI_PORT),
        Endpoint(local, port),
        Endpoint(server, _ISCSI_PORT),
    )


def _cut(pieces: Sequence[bytes]) -> Iterator[tuple[bytes | memoryview, ...]]:
    """Cut the bytes of `pieces` into payloads of MAX_PAYLOAD, without copying large ones."""
    payload: list[bytes | memoryview] = []
    room = MAX_PAYLOAD
    for piece in pieces:
        left: bytes | memoryview = piece
        while len(left) > room:
            view = memoryview(left)
            yield (*payload, view[:room])
            left, payload, room = view[room:], [], MAX_PAYLOAD
        if left:
            payload.append(left)
            room -= len(left)
    if payload:
        yield tuple(payload)
