"""PDUs over a stream of bytes: the only place where the embedded peers touch one.

A `PduStream` works over any `trio.abc.Stream`, a socket or one in memory. It cuts, it does not judge: digests are kept
as they came, for the core to look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import trio

from iscsiproxy.errors import FramingError
from iscsiproxy.wire.digest import DIGEST_LENGTH
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.framing import EVERYTHING, Framer, Header, NeedData, Run, Unframeable
from iscsiproxy.wire.pdu import Pdu

__all__ = ["PduStream"]

#: How much is asked of the stream at a time, in bytes.
_CHUNK = 1 << 18
#: What a PDU may have beside its data: BHS, AHS, digests, padding.
_OVERHEAD = BHS_LENGTH + 4 * 255 + 2 * DIGEST_LENGTH + 3


class PduStream:
    """One end of a connection; owns `stream`. One task may receive while another sends.

    `max_segment` caps a data segment, in bytes: a PDU with a longer one is no PDU for this end.
    """

    def __init__(self, stream: trio.abc.Stream, *, max_segment: int = 1 << 18) -> None:
        self._stream = stream
        self._framer = Framer(interest=EVERYTHING, max_pdu=max_segment + _OVERHEAD)

    def __repr__(self) -> str:
        return f"<PduStream {self._framer!r}>"

    def limit(self, max_segment: int) -> None:
        """Set the longest data segment that is taken from now on."""
        self._framer.max_pdu = max_segment + _OVERHEAD

    def expect_digests(self, *, header: bool, data: bool) -> None:
        """Set the digests of what is received from the next PDU on (RFC 7143 13.1)."""
        self._framer.header_digest = header
        self._framer.data_digest = data

    def buffered(self) -> Pdu | None:
        """Give the next PDU of what has been received already, or None if it is not complete yet.

        Raises FramingError where the bytes make no PDU, or one that is too long.
        """
        match self._framer.next_event():
            case Pdu() as pdu:
                return pdu
            case NeedData():
                return None
            case Header() as header:
                raise FramingError(f"{header.pdu.label}: a data segment of {header.pdu['DataSegmentLength']} bytes")
            case Unframeable(reason=reason):
                raise FramingError(reason)
            case Run():  # pragma: no cover -- everything is asked for whole
                raise FramingError("bytes outside any PDU")

    async def receive(self) -> Pdu | None:
        """Wait for the next PDU; None when the other end has ended the stream between two PDUs.

        Raises FramingError for bytes that are no PDU or a stream that ends inside one, and
        `trio.BrokenResourceError` or `trio.ClosedResourceError` as the stream does. Cancelling it loses nothing.
        """
        while (pdu := self.buffered()) is None:
            data = await self._stream.receive_some(_CHUNK)
            if not data:
                if self._framer.inside_pdu:
                    raise FramingError("the stream ends inside a PDU")
                return None
            self._framer.receive_data(data)
        return pdu

    async def send(self, pdus: Iterable[Pdu]) -> None:
        """Send PDUs as they are, in one go. After a cancellation the stream is of no use."""
        await self._stream.send_all(b"".join(part for pdu in pdus for part in pdu.parts))

    async def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        await self._stream.send_all(data)

    async def finish(self, patience: float) -> None:
        """End our direction, and discard what still comes until the other end is through, `patience` seconds at most.

        A socket that is closed with bytes unread sends RST, which may overtake what we have sent. Raises nothing that
        the stream does.
        """
        with trio.move_on_after(patience), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(_CHUNK):
                pass

    async def aclose(self) -> None:
        """Close the stream, both ways."""
        await self._stream.aclose()

    def reset(self) -> None:
        """Arrange that closing a socket sends RST; other streams know no such thing."""
        if isinstance(self._stream, trio.SocketStream):
            import socket
            import struct

            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
