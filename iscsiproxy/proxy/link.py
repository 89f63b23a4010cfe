"""One direction of a connection pair: read, frame, ask, write.

A link reads its source leg, cuts the bytes into PDUs and passes them to the line of the other leg. Bytes that nobody
wants to see go on as they came, in the poller's turn; the link's own task wakes only for what has to wait or to be
asked. Reading stops while too much waits to be written, so that backpressure goes from end to end.
"""

from __future__ import annotations

from dataclasses import replace
from operator import or_
from typing import Protocol

import trio

from iscsiproxy.engine.commands import Author, Close, Command, Detach, Finish, Report, Send, Stall, Throttle
from iscsiproxy.proxy.carrier import Closable
from iscsiproxy.proxy.leg import Leg
from iscsiproxy.proxy.line import Chunk, Line, Out
from iscsiproxy.proxy.numbering import Numbering, NumbersError
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.events import Change, Delivered, Received, Unframed
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.framing import EVERYTHING, NEED_DATA, Framer, Header, NeedData, Run, Unframeable
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Link", "PairSide"]

#: Commands that take the PDU of their slot out of the relay's hand.
_GOVERNING = (Send, Author, Finish, Detach, Close, Stall, Throttle)
#: What may be sent beside a request of the initiator's, with a number of its own.
_MORE_REQUESTS = frozenset({Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST})
#: What may carry a TargetAddress (RFC 7143 13.8).
_WITH_ADDRESS = (Opcode.LOGIN_RESPONSE, Opcode.TEXT_RESPONSE)


class PairSide(Closable, Protocol):
    """What a link knows of its pair."""

    conn: int

    numbering: Numbering

    def observed(self, leg: Leg, pdu: Pdu, n: int) -> None:
        """Take note that a PDU has passed on a leg."""

    def window_moved(self) -> None:
        """Take note that a target's window may have opened: what waits for that may go."""

    def readdress(self, leg: Leg, pdu: Pdu) -> tuple[Pdu, tuple[Change, ...]]:
        """Rewrite the target addresses in a PDU that goes to `leg`."""

    async def source_ended(self, link: Link, how: str) -> None:
        """Pass on that the peer at the source leg sent FIN or RST."""

    def source_reset(self, link: Link) -> None:
        """Pass on a RST of the peer at the source leg although the link is busy, if nothing is held."""

    def destination_lost(self, link: Link) -> None:
        """Pass on that the peer at the destination leg has reset the connection."""


class Link:
    """One direction. `run` reads until the source ends; the legs belong to the pair."""

    def __init__(self, relay: Relay, pair: PairSide, source: Leg, destination: Leg) -> None:
        self.source = source
        self.destination = destination
        self.framer = Framer(interest=EVERYTHING, max_pdu=relay.settings.max_pdu)
        self.framer.strict = True
        self.line = Line(self._write, limit=relay.settings.max_held, ready=self._may_go)
        self._relay = relay
        self._pair = pair
        self._headers: list[Pdu] = []  # seen, but their bytes are still to be forwarded
        #: What needs the task: an event, the source's end (NEED_DATA), its RST, or an error of ours
        self._left: Run | Pdu | Unframeable | NeedData | Exception | None = None
        self._ended = False  # the source's end has come; what was sent before it may still be there
        self._was_reset = False
        self._ready = True  # the source may have something to receive
        self._task: trio.lowlevel.Task | None = None  # our own, while it rests

    def __repr__(self) -> str:
        return f"<Link {self.source.end} to {self.destination.end} {self.framer!r} {self.line!r}>"

    async def run(self) -> None:
        """Forward until the source's end has been passed on, or the source leg is closed by us."""
        source, poller = self.source, self._relay.poller
        if source.closed:
            return
        source.on_close = self._source_closed
        poller.register(source.fileno, self._readable)
        try:
            while not source.closed:
                await source.unstalled()
                if not await self._finish_forwarding():
                    return
                if not self._step() and not source.closed:
                    await self._park()
        finally:
            # A closed leg has unregistered itself: by now its number may be another connection's.
            if not source.closed:
                poller.unregister(source.fileno)

    def _readable(self, ended: bool, failed: bool) -> bool:
        """Forward what has come, if the link's task has nothing to do; tell whether that woke the task."""
        self._ready = True
        self._ended = ended
        if self._task is None:
            # The task will look before it rests, but it may be waiting for a peer that no longer reads.
            if failed:
                self._pair.source_reset(self)
            return False
        try:
            if not self._step():
                return False
        except Exception as error:  # noqa: BLE001 - raised by the task, whose connection alone it shall cost
            self._left = error
        self._wake()
        return True

    def _step(self) -> bool:
        """Receive and forward as far as that needs no waiting; tell whether the task has to go on."""
        source, destination, framer, line = self.source, self.destination, self.framer, self.line
        while self._ready:
            if source.stalled:
                return True
            space = framer.space()
            try:
                count = source.receive_into(space)
            except BlockingIOError:
                self._ready = False
                return False
            except OSError:
                self._was_reset = True
                return True
            if not count:
                self._left = NEED_DATA
                return True
            # A short read has emptied the socket; more will be told of, but not an end that was there already.
            self._ready = count == len(space) or self._ended
            if source.discard:
                continue
            framer.received(count)
            while (event := framer.next_event()) is not NEED_DATA:
                if isinstance(event, Run) and line.idle:
                    if self._headers:
                        self._observe_headers()
                    data = event.data
                    try:
                        sent = destination.try_send(data)
                    except OSError:
                        sent = 0  # the line's writer meets it again, and knows what to do
                    if sent < len(data):
                        self._left = Run(data[sent:])
                        return True
                    if not framer.pending:
                        break  # nothing is held back: the usual case, and asking would say the same
                elif isinstance(event, Header):
                    self._looked(event)
                else:
                    self._left = event
                    return True
        return False

    async def _finish_forwarding(self) -> bool:
        """Do what `_step` had to leave; False when the source has ended."""
        left, self._left = self._left, None
        if self._was_reset:
            if not self.source.closed:
                await self._pair.source_ended(self, "rst")
            return False
        if left is None:
            return True
        if isinstance(left, Exception):
            raise left
        framer = self.framer
        if isinstance(left, NeedData):
            if not self.source.discard and (rest := framer.take_rest()):
                await self.line.put(Chunk(rest, boundary=False))
            await self._pair.source_ended(self, "fin")
            return False
        event: Run | Header | Pdu | Unframeable | NeedData = left
        while not isinstance(event, NeedData) and not self.source.closed:
            match event:
                case Run():
                    headers, self._headers = tuple(self._headers), []
                    await self.line.put(Chunk(event.data, headers, not framer.mid_pdu))
                case Pdu():
                    await self._arrived(event)
                case Header():
                    self._looked(event)
                case _:
                    await self._unframeable(event)
            event = framer.next_event()
        return True

    def _observe_headers(self) -> None:
        """Take note that the PDUs of a run, of which only the headers were looked at, go to the destination now."""
        for header in self._headers:
            self._pair.numbering.passed(self.destination.end, header)
            self._pair.observed(self.destination, header, 0)
        self._headers = []

    async def _park(self) -> None:
        """Rest until `_wake`; cancellation ends it."""
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _source_closed(self) -> None:
        self._relay.poller.unregister(self.source.fileno)
        self._wake()

    async def _arrived(self, pdu: Pdu) -> None:
        relay, pair = self._relay, self._pair
        n = relay.next_n()
        commands: tuple[Command, ...] = ()
        if relay.engine is not None or relay.records:
            event = self._received(n, pdu)
            relay.emit_pdu(event)
            if relay.engine is not None:
                commands = tuple(relay.engine.received(event, self.destination.digests))
        pair.observed(self.source, pdu, n)
        if self.source.end is End.TARGET and pair.numbering.live:
            pair.numbering.heard(pdu)
            pair.window_moved()
        if any(_in_hand(command, n) for command in commands):
            relay.hold(pair, self.line, n, pdu)
            relay.carry_out(commands)
            await self.line.drain()
            await self.line.room()
        elif any(_goes_too(command, self.destination.end) for command in commands):
            # This PDU lets another one go. What stood out of the line goes behind it, or it would overtake nothing.
            self.line.add(Out(pdu, n))
            await self.line.drain()
            relay.carry_out(commands)
            await self.line.drain()
            await self.line.room()
        else:
            relay.carry_out(commands)
            await self.line.put(Out(pdu, n))

    def _received(self, n: int, pdu: Pdu, *, partial: bool = False) -> Received:
        relay = self._relay
        check = relay.records and not partial
        return Received(
            n=n,
            at=relay.now,
            conn=self._pair.conn,
            leg=self.source.end,
            pdu=pdu,
            header_digest_ok=pdu.header_digest_ok() if check else None,
            data_digest_ok=pdu.data_digest_ok() if check else None,
            partial=partial,
        )

    def _looked(self, header: Header) -> None:
        """Take note of a PDU of which only the header is looked at."""
        relay, n = self._relay, 0
        if header.oversize:
            n = relay.next_n()
            event = self._received(n, header.pdu, partial=True)
            relay.emit_pdu(event)
            if relay.engine is not None:
                relay.carry_out(relay.engine.received(event, self.destination.digests))
        self._pair.observed(self.source, header.pdu, n)
        self._headers.append(header.pdu)

    async def _unframeable(self, event: Unframeable) -> None:
        relay = self._relay
        relay.emit(
            Unframed(n=relay.next_n(), at=relay.now, conn=self._pair.conn, leg=self.source.end, reason=event.reason)
        )
        if relay.settings.close_on_garbage:
            self._pair.fault_close("rst", "both")
        elif event.rest:
            await self.line.put(Chunk(event.rest))

    async def _write(self, item: Chunk | Out) -> None:
        """Write one item of the line."""
        if isinstance(item, Chunk):
            for header in item.headers:
                self._pair.numbering.passed(self.destination.end, header)
                self._pair.observed(self.destination, header, 0)
            await self._send(item.data)
        else:
            await self._deliver(item)

    async def _send(self, data: bytes | memoryview) -> bool:
        """Send and tell whether all of it went; a destination that is gone is the pair's affair."""
        try:
            return await self.destination.send(data)
        except trio.ClosedResourceError:
            return False
        except OSError:
            if not self.destination.closed:
                self._pair.destination_lost(self)
            return False

    def _may_go(self, out: Out) -> bool:
        return self._too_late(out) or self._pair.numbering.ready(out, self.destination.end)

    def _too_late(self, out: Out) -> bool:
        """Tell whether a PDU will never have room: the target was told that nothing follows, or has been closed."""
        if self.destination.end is not End.TARGET:
            return False
        # A copy that is the fault may go there; a request that nobody is to know of may not.
        unseen = (out.author and out.of is None) or (out.extra and out.pdu.opcode in _MORE_REQUESTS)
        return not self.destination.writable or (bool(unseen) and self._logged_out(out))

    def _in_vain(self, out: Out) -> None:
        """Tell the engine that a PDU of its own does not go."""
        relay = self._relay
        if out.author and relay.engine is not None:
            relay.carry_out(relay.engine.authored_in_vain(out.author, relay.now))

    def _logged_out(self, out: Out) -> bool:
        return not out.raw and self._relay.trackers[End.TARGET].phase(self._pair.conn) is Phase.LOGOUT

    async def _deliver(self, out: Out) -> None:
        relay, pair, leg = self._relay, self._pair, self.destination
        pdu, changes = out.pdu, out.changes
        if not leg.writable or self._too_late(out):
            # Nobody gets it, or it had to wait and nothing is sent behind a Logout Request.
            self._in_vain(out)
            return
        whole = not out.start and out.stop is None
        if whole and pdu.opcode in _WITH_ADDRESS:
            pdu, more = pair.readdress(leg, pdu)
            changes += more
        header, data = map(or_, leg.digests, out.added)
        if bool(pdu.header_digest) != header or (bool(pdu.data) and bool(pdu.data_digest) != data):
            # The legs have settled on different digests: each carries its own.
            # A digest that both have is the peer's own, right or wrong.
            sealed = pdu.sealed(header=header, data=data)
            pdu = pdu.with_parts(
                header_digest=None if header and pdu.header_digest else sealed.header_digest,
                data_digest=None if data and pdu.data_digest else sealed.data_digest,
            )
        try:
            pdu = pair.numbering.written(replace(out, pdu=pdu), leg.end)
        except NumbersError as error:
            relay.unnumbered(pair.conn, out.rules[-1] if out.rules else "", out.of, str(error))
            self._in_vain(out)
            return
        before = relay.before(pair.conn, leg.end, pdu)
        if not out.start:
            pair.observed(leg, pdu, out.of or 0)
        raw = pdu.raw
        sent = await self._send(raw if whole else raw[out.start : out.stop])
        if not sent or (relay.engine is None and not relay.records):
            return
        event = Delivered(
            n=relay.next_n(),
            at=relay.now,
            conn=pair.conn,
            leg=leg.end,
            pdu=pdu,
            of=out.of,
            changes=changes,
            rules=out.rules,
            start=out.start,
            sent=-1 if out.stop is None else out.stop,
            author=out.author,
        )
        relay.emit_pdu(event)
        if relay.engine is not None:
            relay.carry_out(relay.engine.delivered(event, before))


def _goes_too(command: Command, to: End) -> bool:
    """Tell whether a command sends something else the same way."""
    return isinstance(command, Send | Finish) or (isinstance(command, Author) and command.to is to)


def _in_hand(command: Command, n: int) -> bool:
    """Tell whether a command shows that a rule has the PDU with event number `n` in hand: it is not to go by itself."""
    if isinstance(command, Report):
        return command.kind == "held" and command.of == n
    return isinstance(command, _GOVERNING) and command.slot == n
