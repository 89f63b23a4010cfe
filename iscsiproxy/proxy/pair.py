"""A connection pair: two legs that carry one iSCSI connection, and the link of each direction.

The pair owns both sockets from the moment it is made: when `run` returns, or is cancelled, both are closed. A FIN from
one peer becomes a FIN to the other, in its place in the stream; a RST becomes a RST. Faults may close a leg on their
own; the other one then stays as it is until its peer ends it. A leg that a fault stalls learns of the other's end when
the stall is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import trio

from iscsiproxy.proxy.address import Address
from iscsiproxy.proxy.leg import Leg
from iscsiproxy.proxy.line import Line
from iscsiproxy.proxy.link import Link
from iscsiproxy.proxy.numbering import Numbering
from iscsiproxy.proxy.portals import Portals, TextAddresses
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.events import Change, Closed, Connected, FullFeature, How, Violated
from iscsiproxy.session.tracker import DigestsOn, FullFeatureReached, Violation
from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Pair"]

#: How long a peer has to close its side after a fault or a shutdown sent it a FIN, in seconds.
_LINGER = 5.0


class Pair:
    """One connection through the proxy; `conn` is its number in the run."""

    def __init__(self, relay: Relay, conn: int, initiator: Leg, target: Leg, portals: Portals) -> None:
        self.conn = conn
        self._relay = relay
        self._legs = {End.INITIATOR: initiator, End.TARGET: target}
        self._links = {
            End.INITIATOR: Link(relay, self, initiator, target),
            End.TARGET: Link(relay, self, target, initiator),
        }
        self.numbering = Numbering(relay.numbers, conn, live=relay.engine is not None)
        self._addresses = TextAddresses(portals, initiator.local, target.peer)
        self._nursery: trio.Nursery | None = None
        self._in_full_feature: set[End] = set()
        self._blind = False  # some PDUs pass unseen

    def __repr__(self) -> str:
        return f"<Pair {self.conn} {self._legs[End.INITIATOR]!r} {self._legs[End.TARGET]!r}>"

    async def run(self) -> None:
        """Relay until both peers have ended, one has reset, or a fault has closed both legs."""
        relay = self._relay
        relay.pairs[self.conn] = self
        relay.open(self.conn)
        try:
            # Drains live in the outer nursery: as long as a link runs, one can be started.
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._connected()
                async with trio.open_nursery() as links:
                    for link in self._links.values():
                        links.start_soon(link.run)
                self._nursery = None
                nursery.cancel_scope.cancel()
        except Exception:
            # An error of ours: no peer shall take the end for a regular one.
            for leg in self._legs.values():
                leg.reset()
            raise
        finally:
            self._nursery = None
            ended = [leg for leg in self._legs.values() if leg.shut()]
            for leg in self._legs.values():
                leg.close()
            try:
                for leg in ended:
                    self._closed(leg, "fin", "proxy")
            finally:
                relay.forget(self.conn)

    def _connected(self) -> None:
        relay = self._relay
        initiator, target = self._legs[End.INITIATOR], self._legs[End.TARGET]
        relay.happened(
            Connected(
                n=relay.next_n(),
                at=relay.now,
                conn=self.conn,
                initiator=str(initiator.peer),
                listen=str(initiator.local),
                local=str(target.local),
                target=str(target.peer),
            )
        )

    @property
    def initiator(self) -> Address:
        """Where the initiator connects from."""
        return self._legs[End.INITIATOR].peer

    @property
    def addresses(self) -> tuple[str, str, str, str]:
        """The initiator's address, ours that it came to, ours towards the target, the target's."""
        initiator, target = self._legs[End.INITIATOR], self._legs[End.TARGET]
        return str(initiator.peer), str(initiator.local), str(target.local), str(target.peer)

    def leg(self, end: End) -> Leg:
        """Give one of the two legs."""
        return self._legs[end]

    async def settled(self) -> None:
        """Wait until nothing of this pair waits to be written."""
        for link in self._links.values():
            await link.line.empty()

    # --- what has passed ---------------------------------------------------------------------------------------------

    def observed(self, leg: Leg, pdu: Pdu, n: int) -> None:
        """Update the state of `leg` by a PDU that has passed on it, and switch digests and interest when it says so.

        On the target leg this happens when a PDU has come in, on the initiator leg before it goes out: the peer's next
        bytes may be there at once (RFC 7143 6.3).
        """
        relay = self._relay
        relay.looked += 1
        for fact in relay.trackers[leg.end].observe(self.conn, pdu, relay.now):
            if isinstance(fact, DigestsOn):
                leg.header_digest, leg.data_digest = fact.header, fact.data
                framer = self._links[leg.end].framer
                framer.header_digest, framer.data_digest = fact.header, fact.data
            elif isinstance(fact, FullFeatureReached):
                self._full_feature(leg, tuple(fact.keys.items()))
            elif isinstance(fact, Violation) and relay.records:
                relay.emit(
                    Violated(
                        n=relay.next_n(),
                        at=relay.now,
                        conn=self.conn,
                        leg=leg.end,
                        by=fact.by,
                        text=fact.text,
                        section=fact.section,
                        of=n,
                    )
                )

    def _full_feature(self, leg: Leg, keys: tuple[tuple[str, str], ...]) -> None:
        relay = self._relay
        self._in_full_feature.add(leg.end)
        self._links[leg.end].framer.strict = False
        event = FullFeature(n=relay.next_n(), at=relay.now, conn=self.conn, leg=leg.end, keys=keys)
        if leg.end is End.INITIATOR:
            self.refresh()
            relay.happened(event)
        else:
            relay.emit(event)

    def refresh(self) -> bool:
        """Take the interest tables anew; tell whether PDUs passed unseen until now, so that `recall` is called for.

        Before full feature phase, and where the legs differ, everything is seen.
        """
        relay = self._relay
        whole = len(self._in_full_feature) < 2 or len({leg.digests for leg in self._legs.values()}) > 1
        for sender, link in self._links.items():
            link.framer.interest = EVERYTHING if whole else relay.interest(sender)
        was, self._blind = self._blind, any(Interest.NONE in link.framer.interest for link in self._links.values())
        if self._blind is not was:
            # What is known of numbers and tasks is no longer kept up, or has not been for a while.
            for tracker in relay.trackers.values():
                tracker.lost(self.conn)
            relay.numbers.lost(self.conn)
        return was and not self._blind

    def recall(self) -> None:
        """Take the numbers from the last PDU that each end has sent; what went by unseen went as it was."""
        for sender, link in self._links.items():
            if link.framer.latest:
                header = Pdu(link.framer.latest)
                for tracker in self._relay.trackers.values():
                    tracker.recall(self.conn, header)
                self.numbering.recall(sender.other, header)

    def readdress(self, leg: Leg, pdu: Pdu) -> tuple[Pdu, tuple[Change, ...]]:
        """Rewrite target addresses in what goes to the initiator."""
        if leg.end is not End.INITIATOR:
            return pdu, ()
        limit = self._relay.trackers[End.INITIATOR].max_recv_data_segment_length(self.conn, of=End.INITIATOR)
        return self._addresses.rewrite(pdu, limit=limit)

    # --- ends --------------------------------------------------------------------------------------------------------

    async def source_ended(self, link: Link, how: str) -> None:
        """Pass on a peer's FIN behind what it sent before, its RST at once, unless a rule still holds something."""
        source, other = link.source, link.destination
        self._closed(source, cast(How, how), "peer")
        if how == "rst":
            source.close()
            if not link.line.holding:
                self._reset(other)
                return
            link.line.step(lambda: self._reset(other))
        elif not source.discard:
            link.line.step(lambda: self._shut(other))
        await link.line.drain()
        await link.line.empty()

    def source_reset(self, link: Link) -> None:
        """Pass on a peer's RST at once, while its link waits for the other peer; what a rule holds goes first."""
        if not link.line.holding and not link.source.stalled and not link.source.closed:
            self._closed(link.source, "rst", "peer")
            link.source.close()
            self._reset(link.destination)

    def destination_lost(self, link: Link) -> None:
        """Pass on a RST that the peer at the destination sent."""
        link.line.clear()
        self._closed(link.destination, "rst", "peer")
        link.destination.close()
        self._reset(link.source)

    def _reset(self, leg: Leg) -> None:
        self._unless_stalled(leg, self._reset_now)

    def _shut(self, leg: Leg) -> None:
        self._unless_stalled(leg, self._shut_now)

    def _unless_stalled(self, leg: Leg, act: Callable[[Leg], None]) -> None:
        """Pass the end of one leg on to the other; a leg that a fault keeps silent learns of it when that is over."""
        if leg.stalled and self._nursery is not None:
            self._nursery.start_soon(self._when_it_is_over, leg, act)
        else:
            act(leg)

    async def _when_it_is_over(self, leg: Leg, act: Callable[[Leg], None]) -> None:
        await leg.unstalled()
        act(leg)

    def _reset_now(self, leg: Leg) -> None:
        if leg.reset():
            self._closed(leg, "rst", "proxy")
        self._finish()

    def _shut_now(self, leg: Leg) -> None:
        if leg.shut():
            self._closed(leg, "fin", "proxy")

    def _closed(self, leg: Leg, how: How, by: Literal["peer", "proxy", "fault"]) -> None:
        relay = self._relay
        relay.happened(Closed(n=relay.next_n(), at=relay.now, conn=self.conn, leg=leg.end, how=how, by=by))

    def _finish(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # --- what faults do ----------------------------------------------------------------------------------------------

    def _named(self, end: str) -> list[Leg]:
        return list(self._legs.values()) if end == "both" else [self._legs[End(end)]]

    def fault_close(self, how: str, end: str) -> None:
        """Close a leg or both: `rst`, `fin`, or only our sending side (`half`)."""
        for leg in self._named(end):
            if how == "rst":
                news = leg.reset()
            else:
                news = leg.shut()
                leg.discard = leg.discard or how == "fin"
            if news:
                self._closed(leg, "rst" if how == "rst" else "fin", "fault")
        if all(leg.closed for leg in self._legs.values()):
            self._finish()
        elif how == "fin" and end == "both" and self._nursery is not None:
            self._nursery.start_soon(self._linger)

    async def _linger(self) -> None:
        await trio.sleep(_LINGER)
        self._finish()

    def stall(self, end: str, token: int) -> None:
        """Neither read from nor write to a leg, or both."""
        for leg in self._named(end):
            leg.stall(token)

    def throttle(self, rate: int, size: int, token: int, *, most: int = 0, seed: int = 0) -> None:
        """Write slowly to both legs."""
        for leg in self._legs.values():
            leg.throttle(rate, size, token, most=most, seed=seed)

    def resume(self, token: int) -> None:
        """End that stall or throttle, wherever it is."""
        for leg in self._legs.values():
            leg.resume(token)

    def window_moved(self) -> None:
        """Let go what waits for room in the target's window, on every connection of the session."""
        for pair in self._relay.waiting():
            pair.wake(pair.towards(End.TARGET))

    def towards(self, end: End) -> Line:
        """Give the line of what goes to an end."""
        return self._links[end.other].line

    def wake(self, line: Line) -> None:
        """Drain a line in a task of its own."""
        if self._nursery is not None and not line.idle:
            self._nursery.start_soon(line.drain)
