"""A journal gone through again: each record, with the state of both legs as it was then.

The trackers are the same as in the proxy and see the same PDUs, so that a pattern means in a journal what it meant on
the wire. A PDU is given with the state before it on its leg, received and delivered alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from iscsiproxy.journal import Lost, Record
from iscsiproxy.session.events import Closed, Connected, Delivered, FullFeature, Received, Staged
from iscsiproxy.session.snapshot import Phase, Snapshot
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Replay"]

#: How many records behind a full feature phase the login that brought it is looked for.
_AHEAD = 1000


class Replay:
    """Iterate over it for the records; `state` is what had been said when the record that was given last came up."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.trackers = {end: Tracker(end) for end in End}
        self.now = 0.0
        self._records = iter(records)
        self._ahead: deque[Record] = deque()
        self._seen: set[int] = set()  #: the numbers of what was observed before its turn
        self._open: dict[
            int, set[tuple[End, bool]]
        ] = {}  #: which sides have not ended: the leg, and whether the peer's

    def __repr__(self) -> str:
        return f"<Replay at {self.now:g} s, {len(self._open)} connections open>"

    def state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        """Read what had been said on a leg before `pdu` (None: up to now)."""
        return self.trackers[leg].snapshot(conn, pdu, at=self.now)

    def __iter__(self) -> Iterator[Record]:
        """Give each record with the state that was there when it came up, then take note of what it says."""
        while (record := self._next()) is not None:
            entry = record.entry
            self.now = getattr(entry, "at", self.now)
            if isinstance(entry, Connected):
                self._open[entry.conn] = {(end, peer) for end in End for peer in (True, False)}
                for tracker in self.trackers.values():
                    tracker.open(entry.conn, entry.at)
            elif isinstance(entry, FullFeature):
                self._reach(entry)
            elif isinstance(entry, Staged) and entry.stage == "fault":
                for tracker in self.trackers.values():
                    tracker.recount()
            yield record
            if isinstance(entry, Received | Delivered):
                self._observe(entry)
            elif isinstance(entry, Closed):
                self._closed(entry)
            elif isinstance(entry, Lost):
                for tracker in self.trackers.values():
                    for conn in self._open:
                        tracker.lost(conn)

    def _next(self) -> Record | None:
        return self._ahead.popleft() if self._ahead else next(self._records, None)

    def _observe(self, event: Received | Delivered) -> None:
        if event.n in self._seen:
            self._seen.remove(event.n)
        elif isinstance(event, Received) or not event.start:
            self.trackers[event.leg].observe(event.conn, event.pdu, event.at)

    def _reach(self, event: FullFeature) -> None:
        """Take note of the Login Response that is on its way to the initiator: its record comes only behind this."""
        tracker = self.trackers[event.leg]
        if tracker.phase(event.conn) is Phase.FULL_FEATURE:
            return
        for number in range(_AHEAD):
            if number == len(self._ahead):
                record = next(self._records, None)
                if record is None:
                    return
                self._ahead.append(record)
            entry = self._ahead[number].entry
            if isinstance(entry, Delivered) and (entry.conn, entry.leg) == (event.conn, event.leg):
                self._observe(entry)
                self._seen.add(entry.n)
                return

    def _closed(self, event: Closed) -> None:
        """End the state of a connection when both sides of both its legs have ended; a RST ends two."""
        sides = self._open.get(event.conn)
        if sides is None:
            return
        ended = (True, False) if event.how == "rst" else (event.by == "peer",)
        sides -= {(event.leg, peer) for peer in ended}
        if not sides:
            del self._open[event.conn]
            for tracker in self.trackers.values():
                tracker.close(event.conn, event.at)
