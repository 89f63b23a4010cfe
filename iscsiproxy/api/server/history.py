"""What has happened lately, and those who want to be told of more: bounded, so that nobody is ever waited for.

Events are kept as they are and put into words only for who asks. The oldest is forgotten first, by number and by bytes;
of a long PDU only the beginning is kept. A reader that is too slow loses the oldest of what waits for it, and is told
how many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import trio

from iscsiproxy.api.models import Event as Told
from iscsiproxy.api.server.veiling import summed_up, veiled, veiled_changes
from iscsiproxy.journal.secrets import veil_text
from iscsiproxy.session.events import Closed, Decided, Delivered, Event, Fired, FullFeature, Noted, Received
from iscsiproxy.session.wording import kind_of, line_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["History", "Item", "Stream", "told"]

#: How many events are kept, and of how many bytes; how many wait for one reader
_MAX_EVENTS = 20_000
_MAX_BYTES = 32 << 20
_MAX_WAITING = 4096
#: What one event costs beside its PDU, about, in bytes
_OVERHEAD = 512
#: How much of the data of a PDU is kept
_DATA_KEPT = 4096
#: How many events are put into words at a time, and how long it takes until the next time, in seconds: each time costs
#: as much as many events, and what is told is for people
_BATCH = 256
_PACE = 0.025


@dataclass(frozen=True, slots=True)
class Item:
    """One event as it is kept, or what somebody beside the proxy has told.

    `size` is how many bytes a PDU had; of one that was cut `data` is how many of data, `wrong` that its digest was.
    """

    event: Event | Told
    size: int = 0
    data: int = 0
    wrong: bool = False

    @property
    def n(self) -> int:
        """The number of the event."""
        return self.event.n

    @property
    def line(self) -> str:
        """Sum up a PDU that was cut as if it had not been; of anything else nothing."""
        event = self.event
        if not self.data or not isinstance(event, Received | Delivered):
            return ""
        pdu, length = event.pdu, event.pdu["DataSegmentLength"]
        whole = f"data={self.data}{f' DataSegmentLength={length}' if length != self.data else ''}"
        text = summed_up(pdu, event.changes if isinstance(event, Delivered) else ())
        text = text.replace(f"data={len(pdu.data)} DataSegmentLength={length}", whole)
        return f"{text}{' data-digest=wrong' if self.wrong else ''}"


#: Tells whether a reader wants an event.
Wanted = Callable[[Event | Told], bool]


class Stream:
    """What one reader is told. Nobody waits for it: what does not fit is left out and counted."""

    def __init__(self, wanted: Wanted, begin: Iterable[Item], *, missing: int, follow: bool, limit: int | None) -> None:
        self._wanted = wanted
        self._waiting: deque[Item] = deque(begin)
        self._left_out = missing
        self._follow = follow
        self._limit = limit
        self._last = 0
        self._next = float("-inf")
        self._news = trio.Event()
        self.closed = False
        self.on_close: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Stream {len(self._waiting)} waiting, {self._left_out} left out{', closed' if self.closed else ''}>"

    def put(self, item: Item) -> None:
        """Offer an event."""
        if self.closed or not self._wanted(item.event):
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self._left_out += 1
        self._waiting.append(item)
        self._news.set()

    async def batch(self) -> tuple[Told, ...]:
        """Wait until there is something, and give it; nothing means that this is the end."""
        await trio.sleep_until(self._next)
        while not self.closed and self._limit != 0:
            if self._waiting or self._left_out:
                if self._follow:
                    self._next = trio.current_time() + _PACE
                return self._some()
            if not self._follow:
                break
            self._news = trio.Event()
            await self._news.wait()
        self.close()
        return ()

    def _some(self) -> tuple[Told, ...]:
        most = _BATCH if self._limit is None else min(_BATCH, self._limit)
        found = [told(self._waiting.popleft()) for _ in range(min(most, len(self._waiting)))]
        if self._limit is not None:
            self._limit -= len(found)
        if self._left_out:
            first = found[0] if found else None
            n, at = (first.n, first.at) if first is not None else (self._last, 0.0)
            text = f"up to {self._left_out} events are left out here"
            found.insert(0, Told(n=n, at=at, conn=0, event="left-out", text=text, count=self._left_out))
            self._left_out = 0
        if found:
            self._last = found[-1].n
        return tuple(found)

    def close(self) -> None:
        """End it; whoever waits in `batch` is told so."""
        if not self.closed:
            self.closed = True
            self._news.set()
            if self.on_close is not None:
                self.on_close()


class History:
    """The events kept, and the streams. `take` is a sink of the run."""

    def __init__(self, *, most: int = _MAX_EVENTS, size: int = _MAX_BYTES) -> None:
        self._most = most
        self._room = size
        self._items: deque[tuple[Item, int]] = deque()
        self._size = 0
        self._evicted = 0
        self._streams: list[Stream] = []
        self.last = 0  #: the number of the last event

    def __repr__(self) -> str:
        return f"<History {len(self._items)} events, {self._size} bytes, {len(self._streams)} streams>"

    def take(self, event: Event | Told) -> None:
        """Keep an event, and tell it to who wants it."""
        if isinstance(event, Received | Delivered):
            item, size = _kept(event)
        else:
            item, size = Item(event), _OVERHEAD
        self.last = max(self.last, event.n)
        self._items.append((item, size))
        self._size += size
        while len(self._items) > self._most or self._size > self._room:
            self._size -= self._items.popleft()[1]
            self._evicted += 1
        for stream in self._streams:
            stream.put(item)

    def read(self, wanted: Wanted, *, since: int | None, follow: bool, limit: int | None) -> Stream:
        """Begin to tell: what is kept behind event `since`, and with `follow` what comes."""
        begin: list[Item] = []
        missing = 0
        if since is not None:
            begin = [item for item, _ in self._items if item.n > since and wanted(item.event)]
            if self._evicted and self._items and since + 1 < self._items[0][0].n:
                missing = min(self._evicted, self._items[0][0].n - since - 1)
        if limit is not None:
            begin = begin[:limit]
        stream = Stream(wanted, begin, missing=missing, follow=follow, limit=limit)
        if follow:
            self._streams.append(stream)
        return stream

    def forget(self, stream: Stream) -> None:
        """Tell a stream nothing more."""
        if stream in self._streams:
            self._streams.remove(stream)

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.close()

    def find(self, n: int) -> tuple[Received | Delivered, Item] | None:
        """Give the PDU of an event, and what else is kept of it, if it is kept."""
        for item, _ in reversed(self._items):
            if item.n == n and isinstance(item.event, Received | Delivered):
                return item.event, item
        return None


def _kept(event: Received | Delivered) -> tuple[Item, int]:
    """Give a PDU as it is kept, without the end of its data if that is long."""
    pdu = event.pdu
    if len(pdu.data) <= _DATA_KEPT:
        return Item(event, size=len(pdu)), _OVERHEAD + len(pdu)
    short = replace(event, pdu=Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, bytes(pdu.data[:_DATA_KEPT])))
    wrong = pdu.data_digest_ok() is False
    return Item(short, size=len(pdu), data=len(pdu.data), wrong=wrong), _OVERHEAD + len(short.pdu)


def told(item: Item) -> Told:
    """Put an event into words."""
    event = item.event
    if isinstance(event, Told):
        return event
    leg = str(event.leg) if isinstance(event, Received | Delivered | FullFeature | Closed) else ""
    text, label, rule, act, what = "", "", "", "", ""
    of: int | None = None
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    match event:
        case Received():
            label, text = event.pdu.label, item.line or summed_up(event.pdu)
        case Delivered():
            label, text = event.pdu.label, item.line or summed_up(event.pdu, event.changes)
            of, rules, changes = event.of, event.rules, veiled(event.changes, event.pdu)
            what = "authored" if event.author and event.of is None else "copied" if event.author else ""
        case Fired():
            label, rule, act, of = event.label, event.rule, event.act, event.of
            event = replace(event, text=veil_text(event.text), changes=veiled_changes(event.changes, label))
            text, changes = line_of(event), tuple(map(str, event.changes))
        case Decided():
            rule, what, of = event.rule, event.what, event.of
        case Noted():
            rule, of = event.rule, event.of
        case _:
            pass
    return Told(
        n=event.n,
        at=round(event.at, 6),
        conn=event.conn,
        event=kind_of(event),
        text=text or veil_text(line_of(event)),  # a label is no secret, and may name a key that is
        leg=leg,
        label=label,
        rule=rule,
        act=act,
        what=what,
        of=of,
        rules=rules,
        changes=changes,
    )
