"""Runs of sectors that may hold one of several contents, because a write to them is in flight, or ended unsurely.

A span has one history: the commands whose content a read may find in each of its sectors. Where a command touches a
part of a span, the span is cut there first, so that the cost goes with the number of commands that overlap, not with
that of sectors. What is in no span holds what its page says.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from iscsiproxy.checks.disk.ops import Op

__all__ = ["Candidate", "Span", "Spans"]


class Candidate(NamedTuple):
    """A command whose content may be there. Reads that were issued after `until` do not find it any more.

    `seen` is when a read ended that had found it, and nothing else that it could have been.
    """

    op: Op
    until: int | None = None
    seen: int | None = None

    @property
    def over(self) -> int | None:
        """The moment after which this write does not come any more; None while it may."""
        if self.seen is None or self.op.over is None:
            return self.op.over if self.seen is None else self.seen
        return min(self.seen, self.op.over)


class Span:
    """Sectors from `first` up to, not including, `end`, all with the same candidates, the earliest first.

    `disputed` tells that a read found something else there: nothing is concluded from reads until it is written anew.
    """

    __slots__ = ("candidates", "disputed", "end", "first")

    def __init__(self, first: int, end: int, candidates: tuple[Candidate, ...], *, disputed: bool = False) -> None:
        self.first = first
        self.end = end
        self.candidates = candidates
        self.disputed = disputed

    def __repr__(self) -> str:
        return f"<Span {self.first}-{self.end - 1}: {', '.join(str(one.op) for one in self.candidates)}>"

    def add(self, op: Op) -> None:
        """Add a candidate, once."""
        if all(one.op is not op for one in self.candidates):
            self.candidates = (*self.candidates, Candidate(op))


class Spans:
    """All spans of a disk, in order; they do not overlap. `base` is the candidate that stands for the pages."""

    def __init__(self, base: Op) -> None:
        self._base = (Candidate(base),)
        self._firsts: list[int] = []
        self._spans: list[Span] = []

    def __repr__(self) -> str:
        return f"<Spans: {len(self._spans)}>"

    def __len__(self) -> int:
        return len(self._spans)

    def all(self) -> list[Span]:
        """Give all spans."""
        return list(self._spans)

    def overlapping(self, first: int, end: int) -> list[Span]:
        """Give the spans that have a sector of a range."""
        firsts = self._firsts
        if not firsts:
            return []
        low = bisect_right(firsts, first)
        if low and self._spans[low - 1].end > first:
            low -= 1
        return self._spans[low : bisect_left(firsts, end, low)]

    def carve(self, first: int, end: int) -> list[Span]:
        """Cut the spans at the ends of a range; give those inside it."""
        self._cut(first)
        self._cut(end)
        return self._spans[bisect_left(self._firsts, first) : bisect_left(self._firsts, end)]

    def cover(self, first: int, end: int) -> list[Span]:
        """Fill a range with spans: those that are there, and new ones in between; give them in order."""
        self._cut(first)
        self._cut(end)
        low, high = bisect_left(self._firsts, first), bisect_left(self._firsts, end)
        covering: list[Span] = []
        at = first
        for span in self._spans[low:high]:
            if span.first > at:
                covering.append(Span(at, span.first, self._base))
            covering.append(span)
            at = span.end
        if at < end:
            covering.append(Span(at, end, self._base))
        self._spans[low:high] = covering
        self._firsts[low:high] = [span.first for span in covering]
        return covering

    def discard(self, span: Span) -> None:
        """Take a span out."""
        at = bisect_left(self._firsts, span.first)
        if at < len(self._spans) and self._spans[at] is span:
            del self._firsts[at], self._spans[at]

    def clear(self) -> None:
        """Take all spans out."""
        self._firsts.clear()
        self._spans.clear()

    def _cut(self, at: int) -> None:
        index = bisect_left(self._firsts, at) - 1
        if index < 0:
            return
        span = self._spans[index]
        if span.end > at:
            rest = Span(at, span.end, span.candidates, disputed=span.disputed)
            span.end = at
            self._firsts.insert(index + 1, at)
            self._spans.insert(index + 1, rest)
