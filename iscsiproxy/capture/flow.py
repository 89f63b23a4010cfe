"""Put the segments of one direction of a TCP connection in order, as the receiver did.

What comes twice is taken once, what comes early waits for what was before it. What was never captured (`survey` knows)
is a gap, told when something behind it comes, or when the other end has it; nothing waits for it. So at any time no
more waits than was on its way over the network.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from iscsiproxy.capture.survey import Unroll, Way
from iscsiproxy.capture.tshark import FIN, RST, SYN, Segment

__all__ = ["Data", "Fin", "Flow", "Gap", "Piece", "Reset"]


class Data(NamedTuple):
    """Bytes of the stream; `whole` tells that they begin where a segment began. `comments` are those of the packet."""

    data: bytes
    whole: bool = True
    comments: tuple[str, ...] = ()


class Gap(NamedTuple):
    """Bytes of the stream that the receiver has got and the capture has not."""

    length: int


class Fin(NamedTuple):
    """The end of the stream. `comments` are those of its packet."""

    comments: tuple[str, ...] = ()


class Reset(NamedTuple):
    """The end of the connection in both directions. `comments` are those of its packet."""

    comments: tuple[str, ...] = ()


Piece: TypeAlias = Data | Gap | Fin | Reset


class Flow:
    """One direction: segments in, in the order of the file; pieces out, in the order of the stream."""

    def __init__(self, way: Way) -> None:
        self._unroll = Unroll(way.first or 0)
        self._missing = deque(way.missing)
        self._next = 0
        self._early: list[tuple[int, int, Segment]] = []  # a heap by position; the count keeps those of one in order
        self._count = 0
        self._fin: tuple[int, Fin] | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"<Flow at {self._next}, {len(self._early)} segments wait, {len(self._missing)} gaps to come>"

    @property
    def at_gap(self) -> bool:
        """Tell whether the next byte is known to be missing."""
        return bool(self._missing) and self._missing[0][0] <= self._next

    def take(self, segment: Segment) -> Iterator[Piece]:
        """Give what comes next in the stream, now that this segment is there."""
        if self._ended:
            if segment.flags & RST:
                yield Reset(segment.comments)
            return
        position = self._unroll.position(segment.seq + 1 if segment.flags & SYN else segment.seq)
        if segment.flags & FIN and self._fin is None:
            self._fin = (position + segment.length, Fin(segment.comments if not segment.length else ()))
        if segment.length:
            if position == self._next and len(segment.payload) == segment.length and not self._early:
                self._next += segment.length
                yield Data(segment.payload, True, segment.comments)
            else:
                self._count += 1
                heapq.heappush(self._early, (position, self._count, segment))
        if self._early:
            yield from self._ready()
        if self._fin is not None:
            yield from self._end()
        if segment.flags & RST:
            self._ended = True
            yield Reset(segment.comments)

    def heard(self, ack: int) -> Iterator[Gap]:
        """Give the part of a gap that the other end has received by now: it acknowledges what it has up to `ack`."""
        if self.at_gap:
            length = self._unroll.ahead(ack, self._next)
            if length > 0:
                yield self._gap(length)

    def rest(self) -> Iterator[Gap]:
        """Give the gap that the capture ends with, if there is one."""
        if self.at_gap and not self._early and not self._ended:
            yield self._gap()

    def _ready(self) -> Iterator[Piece]:
        early = self._early
        while early:
            position, _, segment = early[0]
            if position + segment.length <= self._next:
                heapq.heappop(early)
            elif position <= self._next:
                heapq.heappop(early)
                yield from self._cut(segment, self._next - position)
            elif self.at_gap:
                yield self._gap()
            else:
                return

    def _cut(self, segment: Segment, known: int) -> Iterator[Piece]:
        """Give a segment without its first bytes, which are known; it may have been cut when it was captured."""
        self._next += segment.length - known
        data = segment.payload[known:] if known else segment.payload
        if data:
            yield Data(data, not known, segment.comments)
        if len(data) < segment.length - known:
            yield Gap(segment.length - known - len(data))

    def _gap(self, most: int | None = None) -> Gap:
        """Pass over what is missing here, `most` bytes of it."""
        end = self._missing[0][1]
        length = end - self._next if most is None else min(most, end - self._next)
        self._next += length
        if self._next == end:
            self._missing.popleft()
        return Gap(length)

    def _end(self) -> Iterator[Piece]:
        assert self._fin is not None
        at, fin = self._fin
        if self._next < at and self.at_gap and not self._early:
            yield self._gap()
        if self._next >= at and not self._ended:
            self._ended = True
            yield fin
