"""What waits to be written to one leg, in order.

Everything that goes to a leg passes through its line: clean runs of bytes, PDUs, and what a fault does at a place in
the stream (close, stall, end). A *slot* is the place of one PDU that a rule has in hand: while it is unfinished, what
is behind it waits. A detached slot stands out of the line and goes as soon as it has something to send, between two
PDUs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

import trio

from iscsiproxy.session.events import Change
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Chunk", "Line", "Out", "Slot", "Step"]


@dataclass(slots=True)
class Chunk:
    """Bytes that nobody touches.

    `headers` are those of its PDUs that were looked at; `boundary` tells that a PDU ends with it.
    """

    data: bytes | memoryview
    headers: tuple[Pdu, ...] = ()
    boundary: bool = True


@dataclass(frozen=True, slots=True)
class Out:
    """A PDU to write, from byte `start` up to `stop` (None: to its end).

    `of` is the event number it came with; one that the proxy has made itself has none, but an `author`. How its numbers
    are dealt with: see `Send` for `exact`, `named`, `extra` and `original`, `Author` for `fill`, `raw` and `patient`.
    `added` are digests that it has although the leg has none, as in `Send`. A `late` one had to let others pass.
    """

    pdu: Pdu
    of: int | None
    changes: tuple[Change, ...] = ()
    rules: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None
    exact: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    extra: bool = False
    original: Pdu | None = None
    author: int = 0
    fill: frozenset[str] = frozenset()
    raw: bool = False
    patient: bool = False
    added: tuple[bool, bool] = (False, False)
    late: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do when its turn comes: `act` is called between two writes.

    `instead_of` is the PDU that is not written at this place: its turn comes when that of the PDU would. Until it is
    `ready`, it and all behind it wait; whoever makes it so calls `drain`.
    """

    act: Callable[[], None]
    instead_of: Pdu | None = None
    ready: Callable[[], bool] | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """The place of the PDU with event number `n`, of `size` bytes."""

    n: int
    size: int
    pdu: Pdu | None = None
    items: deque[Out | Step] = field(default_factory=deque)
    finished: bool = False
    detached: bool = False


class Line:
    """The queue of one direction.

    `write` sends one item and handles a peer that is gone. Whoever changes the line calls `drain`; only one drain runs
    at a time. Beyond `limit` waiting bytes `put` and `room` block, which is what stops the reading.

    `ready` tells whether a PDU may go now. One that may not is parked, with what follows of its task and every later
    command: others pass it by, or the data that its turn depends on would stand behind it. A slot is parked whole, but
    for a PDU of the proxy's own, which parks alone: what it was put before need not wait for it.
    """

    def __init__(
        self,
        write: Callable[[Chunk | Out], Awaitable[None]],
        *,
        limit: int,
        ready: Callable[[Out], bool] | None = None,
    ) -> None:
        self._write = write
        self._ready = ready
        self._parked: deque[Slot] = deque()
        self._limit = limit
        self._queue: deque[Chunk | Out | Step | Slot] = deque()
        self._detached: list[Slot] = []
        self._begun: Slot | None = None  # has written the beginning of a PDU: nothing else may go before its end
        self._waiting = 0
        self._boundary = True
        self._draining = False
        self._changed = trio.Event()

    def __repr__(self) -> str:
        state = "draining" if self._draining else "resting"
        aside = f"{len(self._detached)} detached, {len(self._parked)} parked"
        return f"<Line {len(self._queue)} in line, {aside}, {self._waiting} bytes, {state}>"

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being written."""
        return not (self._queue or self._draining or self._detached or self._parked)

    @property
    def blocked(self) -> bool:
        """Something waits that may not go yet."""
        return bool(self._parked) or any(
            slot.items for slot in (*self._detached, *self._queue) if isinstance(slot, Slot)
        )

    @property
    def holding(self) -> bool:
        """A rule has a PDU of this line in hand."""
        slots = [item for item in (*self._parked, *self._queue) if isinstance(item, Slot)]
        return bool(self._detached) or any(not slot.finished for slot in slots)

    async def put(self, item: Chunk | Out) -> None:
        """Add to the end and write what may be written; returns when there is room for more.

        A chunk's memoryview is only used until then.
        """
        if self.idle and (isinstance(item, Chunk) or self._may(item)):
            self._draining = True
            try:
                await self._write(item)
                self._boundary = _ends_pdu(item)
            finally:
                self._draining = False
            if not (self._queue or self._detached or self._parked):
                self._notify()
                return
        else:
            self.add(item)
        await self.drain()
        await self.room()

    def add(self, item: Chunk | Out) -> None:
        """Add to the end; call `drain` afterwards."""
        if isinstance(item, Chunk):
            item.data = bytes(item.data)
        self._queue.append(item)
        self._waiting += _size(item)

    def aside(self, out: Out) -> None:
        """Add something that goes at the next boundary, past what waits; call `drain` afterwards."""
        slot = Slot(0, 0, finished=True, detached=True)
        slot.items.append(out)
        if self.idle:
            self._boundary = True
        self._detached.append(slot)

    def behind_asides(self, act: Callable[[], None]) -> bool:
        """Do something behind all that goes at the next boundary; False: nothing does. Call `drain` afterwards."""
        if not any(slot.finished and slot.items for slot in self._detached):
            return False
        slot = Slot(0, 0, finished=True, detached=True)
        slot.items.append(Step(act))
        self._detached.append(slot)
        return True

    def step(self, act: Callable[[], None]) -> None:
        """Add something to do at the end of the line; call `drain` afterwards."""
        self._queue.append(Step(act))

    def open(self, n: int, size: int, pdu: Pdu | None = None) -> Slot:
        """Open the slot of a PDU at the end of the line."""
        slot = Slot(n, size, pdu)
        if self.idle:
            # A link writes past an idle line too, and a PDU begins where another one has ended.
            self._boundary = True
        self._queue.append(slot)
        self._waiting += size
        return slot

    def detach(self, slot: Slot) -> None:
        """Take a slot out of the line."""
        for places in (self._queue, self._parked):
            if not slot.detached and slot in places:
                slot.detached = True
                places.remove(slot)
                self._detached.append(slot)

    async def drain(self) -> None:
        """Write what may be written now; returns at once if that is being done already."""
        if self._draining:
            return
        self._draining = True
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Step):
                    item.act()
                else:
                    await self._write(item)
                    self._boundary = _ends_pdu(item)
        finally:
            self._draining = False
            self._notify()

    async def room(self) -> None:
        """Wait until less than the limit waits."""
        while self._waiting > self._limit:
            await self._changed.wait()

    async def empty(self) -> None:
        """Wait until everything has been written."""
        while not self.idle:
            await self._changed.wait()

    def clear(self) -> None:
        """Forget everything that waits."""
        self._queue.clear()
        self._detached.clear()
        self._parked.clear()
        self._begun = None
        self._waiting = 0
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def _next(self) -> Chunk | Out | Step | None:
        if (begun := self._begun) is not None:
            if begun.items:
                first = begun.items[0]
                return None if isinstance(first, Step) and not self._may(first) else self._take(begun)
            if not begun.finished:
                return None
            self._begun = None
            self._boundary = True  # a PDU that was cut on purpose has no other end
        if self._boundary:
            if self._detached and (item := self._next_detached()) is not None:
                return item
            if self._parked and (item := self._next_parked()) is not None:
                return item
        while self._queue:
            head = self._queue[0]
            if not isinstance(head, Slot):
                if isinstance(head, Out) and self._stays(head):
                    self._queue.popleft()
                    self._parked.append(_slot_of(head, _size(head)))
                    continue
                self._waiting -= _size(head)
                self._queue.popleft()
                return head
            if head.items:
                first = head.items[0]
                if isinstance(first, Step) and not self._may(first):
                    return None
                if not self._stays(first):
                    return self._take(head)
                if isinstance(first, Out) and first.author and first.of is None:
                    self._parked.append(_slot_of(first, 0))
                    head.items.popleft()
                else:
                    self._parked.append(head)
                    self._queue.popleft()
                continue
            if not head.finished:
                return None
            self._queue.popleft()
            self._waiting -= head.size
        return None

    def _next_parked(self) -> Out | Step | None:
        before: list[Slot] = []
        for slot in list(self._parked):
            if slot.items:
                # What follows its command here must not wait for what stands between them.
                if self._may(slot.items[0]) and not self._behind(slot.items[0], before):
                    item = self._take(slot)
                    return replace(item, late=True) if isinstance(item, Out) else item
            elif slot.finished:
                self._parked.remove(slot)
                self._waiting -= slot.size
                continue
            before.append(slot)
        return None

    def _next_detached(self) -> Out | Step | None:
        for slot in self._detached:
            if slot.items and self._may(slot.items[0]):
                return self._take(slot)
        for slot in [slot for slot in self._detached if slot.finished and not slot.items]:
            self._detached.remove(slot)
            self._waiting -= slot.size
        return None

    def _may(self, item: Out | Step) -> bool:
        if isinstance(item, Step):
            return item.ready is None or item.ready()
        return self._ready is None or bool(item.start) or self._ready(item)

    def _stays(self, item: Out | Step) -> bool:
        """Tell whether what is at the head of the line has to be parked."""
        return not self._may(item) or self._behind(item, self._parked)

    def _behind(self, item: Out | Step, parked: Iterable[Slot]) -> bool:
        """Tell whether something has to stay behind what is parked."""
        pdu = item.instead_of if isinstance(item, Step) else None if item.start else item.pdu
        if pdu is None or pdu.sender is End.TARGET:
            return False
        tag, is_command, any_parked = pdu.get("ITT"), "CmdSN" in pdu.fields and not pdu.get("I"), False
        for slot in parked:
            any_parked = True
            if any(one.get("ITT") == tag for one in _pdus_of(slot)):
                return True
            if pdu.opcode == Opcode.LOGOUT_REQUEST and _of_initiator(slot):
                return True  # what came before it goes before it: behind it nothing may (RFC 7143 11.14)
        return is_command and any_parked

    def _take(self, slot: Slot) -> Out | Step:
        item = slot.items.popleft()
        if isinstance(item, Out):
            self._begun = None if item.stop is None else slot
        return item


def _slot_of(out: Out, size: int) -> Slot:
    return Slot(0, size, items=deque([out]), finished=True)


def _of_initiator(slot: Slot) -> bool:
    """Tell whether the initiator's own PDU is yet to go."""
    return any(isinstance(item, Out) and not item.author for item in slot.items)


def _pdus_of(slot: Slot) -> list[Pdu]:
    own = [] if slot.pdu is None else [slot.pdu]
    return own + [item.pdu for item in slot.items if isinstance(item, Out)]


def _size(item: Chunk | Out | Step) -> int:
    if isinstance(item, Chunk):
        return len(item.data)
    return len(item.pdu) if isinstance(item, Out) else 0


def _ends_pdu(item: Chunk | Out) -> bool:
    return item.boundary if isinstance(item, Chunk) else item.stop is None
