"""What is in a capture: its TCP connections, who opened them, and which of their bytes were never captured.

One look at all segments before their contents are read. It makes the reading simple: where a byte is missing it is
known whether a later packet brings it, whatever that one's place in the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from iscsiproxy.capture.tshark import ACK, FIN, SYN, Segment

__all__ = ["Span", "Trail", "Unroll", "Way", "survey"]

_WORD = 0xFFFFFFFF
_HALF = 1 << 31

#: Bytes of one direction, from the first to behind the last; they count from the first one known
Span = tuple[int, int]


class Unroll:
    """Turns the sequence numbers of one direction, which wrap, into positions in its stream (RFC 9293 3.4)."""

    __slots__ = ("_first", "_last")

    def __init__(self, first: int) -> None:
        self._first = first
        self._last = 0

    def __repr__(self) -> str:
        return f"<Unroll from {self._first} at {self._last}>"

    def position(self, seq: int) -> int:
        """Give the position that a sequence number means: the nearest to the last one given."""
        self._last += self.ahead(seq, self._last)
        return self._last

    def ahead(self, seq: int, position: int) -> int:
        """Tell how far a sequence number is ahead of a position near to it; negative if it is behind."""
        step = (seq - self._first - position) & _WORD
        return step if step < _HALF else step - (_WORD + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One direction of a connection: `first` is the sequence number of its first byte, None if nothing was captured.

    `opened` tells that its SYN was captured. `missing` are the bytes that the receiver has got and the capture has not,
    in order. `bytes` counts up to the last one that was captured.
    """

    source: tuple[bytes, int]
    first: int | None
    opened: bool
    missing: tuple[Span, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One TCP connection. `ways` are its directions, that of the first segment captured in front.

    `client` is the one of who opened the connection, None if that was not captured. `start` is the sequence number of
    the first segment.
    """

    stream: int
    interface: str
    start: int
    client: int | None
    ways: tuple[Way, Way]


class _Way:
    """A direction while it is looked at."""

    __slots__ = ("acked", "end", "first", "opened", "source", "spans", "unroll")

    def __init__(self, source: tuple[bytes, int]) -> None:
        self.source = source
        self.first: int | None = None
        self.opened = False
        self.unroll = Unroll(0)
        self.spans: list[Span] = []
        self.end: int | None = None  # where its FIN is
        self.acked: int | None = None  # how far the other end says that it has everything

    def sent(self, segment: Segment) -> None:
        seq = segment.seq
        if segment.flags & SYN:
            seq += 1
            self.opened = self.opened or self.first is None
        elif not segment.length and not segment.flags & FIN:
            return
        if self.first is None:
            self.first = seq & _WORD
            self.unroll = Unroll(self.first)
        position = self.unroll.position(seq)
        if segment.length:
            self._add(max(position, 0), position + segment.length)
        if segment.flags & FIN and self.end is None:
            self.end = position + segment.length

    def heard(self, ack: int) -> None:
        """Take note of an acknowledgement of what was sent this way."""
        if self.first is None:
            return
        known = self.spans[-1][1] if self.spans else 0
        acked = known + self.unroll.ahead(ack, known)
        if self.acked is None or acked > self.acked:
            self.acked = acked

    def _add(self, start: int, end: int) -> None:
        spans = self.spans
        if start >= end:
            return
        if not spans or start > spans[-1][1]:
            spans.append((start, end))
            return
        if start >= spans[-1][0]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
            return
        low = bisect_right(spans, (start, start))
        if low and spans[low - 1][1] >= start:
            low -= 1
        high = low
        while high < len(spans) and spans[high][0] <= end:
            start, end = min(start, spans[high][0]), max(end, spans[high][1])
            high += 1
        spans[low:high] = [(start, end)]

    def done(self) -> Way:
        missing = []
        at = 0
        for start, end in self.spans:
            if start > at:
                missing.append((at, start))
            at = end
        reached = at
        if self.end is not None and self.end > at:
            missing.append((at, self.end))
        elif self.end is None and self.acked is not None and self.acked > at + 1:
            # One more than there is may be the acknowledgement of a FIN.
            missing.append((at, self.acked))
        if self.acked is not None:
            # What was not acknowledged was lost on its way, not for the capture: what stands behind it never got there.
            missing = [span for span in missing if span[0] < self.acked]
        return Way(source=self.source, first=self.first, opened=self.opened, missing=tuple(missing), bytes=reached)


class _Trail:
    __slots__ = ("client", "interface", "start", "ways")

    def __init__(self, first: Segment) -> None:
        self.interface = first.interface
        self.start = first.seq
        self.client: int | None = None
        self.ways = (_Way(first.source), _Way(first.destination))

    def add(self, segment: Segment) -> None:
        number = 0 if segment.source == self.ways[0].source else 1
        flags = segment.flags
        self.ways[number].sent(segment)
        if flags & SYN and self.client is None:
            self.client = 1 - number if flags & ACK else number
        if flags & ACK:
            self.ways[1 - number].heard(segment.ack)


def survey(segments: Iterable[Segment]) -> dict[int, Trail]:
    """Look at all segments of a capture; give its connections by tshark's number, in the order of their beginning."""
    trails: dict[int, _Trail] = {}
    for segment in segments:
        trail = trails.get(segment.stream)
        if trail is None:
            trail = trails[segment.stream] = _Trail(segment)
        trail.add(segment)
    return {
        stream: Trail(
            stream=stream,
            interface=trail.interface,
            start=trail.start,
            client=trail.client,
            ways=(trail.ways[0].done(), trail.ways[1].done()),
        )
        for stream, trail in trails.items()
    }
