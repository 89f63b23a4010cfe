"""What of a conversation waits until it is understood; as long as anything does, nothing later is told."""

from __future__ import annotations

from typing import NamedTuple

from iscsiproxy.capture.flow import Data, Piece
from iscsiproxy.capture.order import Holder, Order
from iscsiproxy.capture.telling import Tale

__all__ = ["Entry", "Waiting"]


class Entry(NamedTuple):
    """A piece of one side's stream, and the packet that brought it."""

    frame: int
    at: float
    side: int
    piece: Piece


class Waiting:
    """The pieces of both sides that wait, in the order of their packets; `holder` holds back the others."""

    def __init__(self, order: Order[Tale], holder: Holder) -> None:
        self._order = order
        self._holder = holder
        self._entries: list[Entry] = []
        self._size = 0

    def __repr__(self) -> str:
        return f"<Waiting {len(self._entries)} pieces, {self._size} bytes>"

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def ends(self) -> bool:
        """Tell whether anything but data is among them."""
        return any(not isinstance(entry.piece, Data) for entry in self._entries)

    def add(self, entry: Entry, since: int) -> None:
        """Keep a piece; if it is the first, all that came of packet number `since` or a later one is held back."""
        if not self._entries:
            self._order.hold(self._holder, since)
        self._entries.append(entry)
        self._count(1, entry)

    def take(self) -> list[Entry]:
        """Take out all, and hold nobody back any more."""
        entries, self._entries = self._entries, []
        for entry in entries:
            self._count(-1, entry)
        self._order.free(self._holder)
        return entries

    def drop_stretch(self, side: int) -> None:
        """Forget the data of a side up to the first piece that is something else, and that one."""
        _, last = self.stretch(side)
        seen = False
        kept = []
        for entry in self.take():
            if seen or entry.side != side:
                kept.append(entry)
            seen = seen or entry is last
        self._keep(kept)

    def drop_data(self, side: int) -> None:
        """Forget all data of a side."""
        self._keep([entry for entry in self.take() if entry.side != side or not isinstance(entry.piece, Data)])

    def _keep(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.add(entry, entry.frame)

    def first(self, side: int) -> Entry | None:
        """Give the first piece of a side."""
        return next((entry for entry in self._entries if entry.side == side), None)

    def head(self, side: int, length: int) -> bytes:
        """Give the first bytes of a side, at most `length`."""
        head = b""
        for piece in self.stretch(side)[0]:
            head += piece.data[: length - len(head)]
            if len(head) == length:
                break
        return head

    def stretch(self, side: int) -> tuple[list[Data], Entry | None]:
        """Give the data of a side up to the first piece that is something else, and that one."""
        pieces: list[Data] = []
        for entry in self._entries:
            if entry.side == side:
                if not isinstance(entry.piece, Data):
                    return pieces, entry
                pieces.append(entry.piece)
        return pieces, None

    def _count(self, sign: int, entry: Entry) -> None:
        if isinstance(entry.piece, Data):
            size = sign * len(entry.piece.data)
            self._size += size
            self._order.waiting += size
