"""Keep what is told in the order of the packets, although some of it is understood later than it came."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Holder", "Order"]

Item = TypeVar("Item")


class Holder(Protocol):
    """Somebody who may hold others up."""

    def decide(self) -> None:
        """Make up your mind, with what there is: nothing more can be kept."""


class Order(Generic[Item]):
    """Items in, with the packet that made each; items out in the order of packets.

    Whoever does not know yet what to make of a packet holds back all that comes from there on. `limit` bounds the bytes
    that wait: beyond it, who has held the longest has to decide.
    """

    def __init__(self, limit: int = 1 << 26) -> None:
        self.ready: deque[Item] = deque()
        self.waiting = 0  #: bytes
        self._limit = limit
        self._holds: dict[Holder, int] = {}
        self._heap: list[tuple[int, int, int, Item]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"<Order {len(self.ready)} ready, {len(self._heap)} wait for {len(self._holds)} holds>"

    @property
    def busy(self) -> bool:
        """Tell whether anything waits or is held back."""
        return bool(self._heap or self._holds)

    def put(self, frame: int, item: Item, size: int = 0) -> None:
        """Add an item that came of packet number `frame`, behind those that did too."""
        if not self._holds and not self._heap:
            self.ready.append(item)
            return
        self._count += 1
        heapq.heappush(self._heap, (frame, self._count, size, item))
        self.waiting += size

    def hold(self, holder: Holder, frame: int) -> None:
        """Hold back what came of packet number `frame` or a later one, until `free`."""
        self._holds[holder] = frame

    def free(self, holder: Holder) -> None:
        """Let go what `holder` has held."""
        self._holds.pop(holder, None)

    def settle(self) -> None:
        """Let go what nobody holds, and press for decisions if too much waits."""
        self._release()
        while self.waiting > self._limit and self._holds:
            oldest = min(self._holds, key=self._holds.__getitem__)
            oldest.decide()
            self.free(oldest)
            self._release()

    def _release(self) -> None:
        heap = self._heap
        if not heap:
            return
        upto = min(self._holds.values(), default=None)
        while heap and (upto is None or heap[0][0] < upto):
            _, _, size, item = heapq.heappop(heap)
            self.waiting -= size
            self.ready.append(item)
