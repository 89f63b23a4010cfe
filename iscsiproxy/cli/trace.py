"""Every PDU of a connection of our own, on its way out and in, as one line each.

The stream between an embedded peer and its socket is looked at, so that what is shown is what was on the wire, however
the peer came to send it or took it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from iscsiproxy.errors import TextError
from iscsiproxy.wire.framing import EVERYTHING, Framer, Header, NeedData, Run, Unframeable
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import parse_text

__all__ = ["TracedStream"]

#: A PDU beyond this is shown by its header alone, in bytes.
_MAX_PDU = 1 << 24
#: NSG of full feature phase (RFC 7143 11.12.3)
_FULL_FEATURE = 3


class TracedStream(trio.abc.Stream):
    """A stream that shows the PDUs that pass; owns `stream`. Bytes that are no PDUs pass unseen."""

    def __init__(self, stream: trio.abc.Stream, show: Callable[[Pdu], None]) -> None:
        self._stream = stream
        self._show = show
        self._out: Framer | None = Framer(interest=EVERYTHING, max_pdu=_MAX_PDU)
        self._in: Framer | None = Framer(interest=EVERYTHING, max_pdu=_MAX_PDU)
        self._digests: dict[str, bool] = {}

    def __repr__(self) -> str:
        return f"<TracedStream of {self._stream!r}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Show what is sent, and send it."""
        self._out = self._look(self._out, data)
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive, and show it."""
        data = await self._stream.receive_some(max_bytes)
        self._in = self._look(self._in, data)
        return data

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def _look(self, framer: Framer | None, data: bytes | bytearray | memoryview) -> Framer | None:
        if framer is None:
            return None
        framer.receive_data(data)
        while True:
            match framer.next_event():
                case NeedData():
                    return framer
                case Unframeable():
                    return None
                case Header(pdu=pdu) | (Pdu() as pdu):
                    self._show(pdu)
                    if pdu.opcode == Opcode.LOGIN_RESPONSE:
                        self._learn(pdu)
                case Run():
                    pass

    def _learn(self, pdu: Pdu) -> None:
        """Look for digests from the final Login Response on (RFC 7143 13.1)."""
        with suppress(TextError):
            for key, value in parse_text(pdu.data):
                if key in ("HeaderDigest", "DataDigest"):
                    self._digests[key] = value == "CRC32C"
        if pdu["T"] and pdu["NSG"] == _FULL_FEATURE:
            for framer in (self._in, self._out):
                if framer is not None:
                    framer.header_digest = self._digests.get("HeaderDigest", False)
                    framer.data_digest = self._digests.get("DataDigest", False)
