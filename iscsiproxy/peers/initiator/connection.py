"""One connection of a session in full feature phase: what is true of every PDU, whatever it means.

Outgoing PDUs wait in one queue, so that they leave in the order in which they were given (RFC 7143 4.2.2.1, 4.2.5.2);
ExpStatSN and digests are put on when a PDU is taken from it, which makes big writes lazy. Incoming ones are checked for
digests, length and StatSN.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import trio

from iscsiproxy.errors import FramingError
from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import ConnectionLost, ProtocolError
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire import serial
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Connection", "Outgoing"]

#: How many bytes are handed to the stream in one go.
_BATCH = 1 << 18
#: PDUs whose StatSN says nothing (RFC 7143 11.7.3), or nothing but what comes next (11.8.3, 11.19)
_TOLERATED_BEHIND = frozenset({Opcode.R2T, Opcode.NOP_IN})


class Outgoing:
    """PDUs that leave one after the other; `sent` is set when the last has been handed to the stream, or never will be.

    `stamp` puts ExpStatSN on each, `seal` the right digests.
    """

    __slots__ = ("pdus", "seal", "sent", "stamp")

    def __init__(self, pdus: Iterable[Pdu], *, stamp: bool = True, seal: bool = True) -> None:
        self.pdus: Iterator[Pdu] = iter(pdus)
        self.stamp = stamp
        self.seal = seal
        self.sent = trio.Event()


class Connection:
    """A logged-in connection; owns `stream`. `cid` is its number in the session.

    One task runs `write`, another calls `receive`; anybody may `put`.
    """

    def __init__(
        self, stream: PduStream, *, parameters: Parameters, exp_statsn: int, conduct: Conduct, cid: int = 0
    ) -> None:
        self.cid = cid
        self.exp_statsn = exp_statsn
        self.parameters = parameters
        self._stream = stream
        self._conduct = conduct
        self._queue: deque[Outgoing] = deque()
        self._news = trio.Event()
        stream.expect_digests(header=parameters.header_digest, data=parameters.data_digest)
        self.limit(parameters)

    def __repr__(self) -> str:
        return f"<Connection {self.cid}: StatSN {self.exp_statsn} expected, {len(self._queue)} to send>"

    def limit(self, parameters: Parameters) -> None:
        """Let changed parameters take effect (RFC 7143 13.12)."""
        self.parameters = parameters
        # Beyond the declared length is an error with a name; far beyond it is not even received.
        self._stream.limit(2 * parameters.receive_segment)

    # --- sending --------------------------------------------------------------------------------------------------

    def put(self, outgoing: Outgoing) -> None:
        """Queue PDUs behind all that is there."""
        self._queue.append(outgoing)
        self._news.set()

    async def write(self) -> None:
        """Send what is queued until cancelled. Raises ConnectionLost when the stream is gone."""
        while True:
            batch, done = self._take()
            if batch or done:
                try:
                    await self._stream.send(batch)
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                    raise ConnectionLost("the connection broke while sending") from error
                finally:
                    for outgoing in done:
                        outgoing.sent.set()
            else:
                self._news = trio.Event()
                await self._news.wait()

    def abandon(self) -> None:
        """Drop what is queued, and let those who wait for it go on."""
        for outgoing in self._queue:
            outgoing.sent.set()
        self._queue.clear()

    def _take(self) -> tuple[list[Pdu], list[Outgoing]]:
        batch: list[Pdu] = []
        done: list[Outgoing] = []
        length = 0
        while self._queue and length < _BATCH:
            outgoing = self._queue[0]
            pdu = next(outgoing.pdus, None)
            if pdu is None:
                done.append(self._queue.popleft())
                continue
            if outgoing.stamp and "ExpStatSN" in pdu.fields:
                pdu = pdu.with_fields({"ExpStatSN": self.exp_statsn})
            if outgoing.seal:
                pdu = pdu.sealed(header=self.parameters.header_digest, data=self.parameters.data_digest)
            batch.append(pdu)
            length += len(pdu.data)
        return batch, done

    # --- receiving ------------------------------------------------------------------------------------------------

    async def receive(self) -> Pdu:
        """Wait for the next PDU, as it came. Raises ConnectionLost, or ProtocolError for bytes that are no PDU."""
        try:
            pdu = await self._stream.receive()
        except FramingError as error:
            raise ProtocolError(str(error), section="RFC 7143 7.7") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise ConnectionLost("the connection broke") from error
        if pdu is None:
            raise ConnectionLost("the target closed the connection")
        return pdu

    def check(self, pdu: Pdu) -> bool:
        """Check digests, lengths and StatSN of a received PDU, and count it as received.

        False if it is to be dropped without a look at what it says. Raises ProtocolError, as the conduct has it.
        """
        if pdu.header_digest_ok() is False:
            self._conduct.digest_error(pdu, header=True)
            return False
        if pdu.data_digest_ok() is False:
            self._conduct.digest_error(pdu, header=False)
            return False
        if pdu.ahs:
            self._conduct.additional_header(pdu)
        if len(pdu.data) > self.parameters.receive_segment:
            raise ProtocolError(
                f"{pdu.label}: {len(pdu.data)} bytes of data, at most {self.parameters.receive_segment} are taken",
                section="RFC 7143 13.12",
            )
        self._count(pdu)
        return True

    def _count(self, pdu: Pdu) -> None:
        statsn = pdu.get("StatSN")
        if statsn is None or (pdu.opcode == Opcode.DATA_IN and not pdu["S"]):
            return
        behind = serial.lt(statsn, self.exp_statsn)
        if statsn != self.exp_statsn and not (behind and pdu.opcode in _TOLERATED_BEHIND):
            self._conduct.wrong_statsn(pdu, self.exp_statsn)
        if not behind and self._conduct.advances_statsn(pdu):
            self.exp_statsn = serial.add(statsn, 1)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
