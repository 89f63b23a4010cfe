"""Which bytes of a buffer there are: a set of half-open ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["Extents"]


class Extents:
    """A set of byte positions, kept as few ranges; what comes in order costs one comparison."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __repr__(self) -> str:
        return f"<Extents {', '.join(f'{start}..{end}' for start, end in self)}>"

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give each range as its first byte and the one behind its last."""
        return iter(zip(self._starts, self._ends, strict=True))

    def __bool__(self) -> bool:
        return bool(self._starts)

    @property
    def total(self) -> int:
        """How many bytes there are."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """The place behind the last byte; 0 if there is none."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, length: int) -> None:
        """Put in `length` bytes from `start`."""
        if not length:
            return
        end = start + length
        starts, ends = self._starts, self._ends
        if not starts or start > ends[-1]:
            starts.append(start)
            ends.append(end)
            return
        if start == ends[-1]:
            ends[-1] = end
            return
        first = bisect_left(ends, start)
        last = bisect_right(starts, end)
        if first < last:
            start, end = min(start, starts[first]), max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]

    def overlaps(self, start: int, length: int) -> bool:
        """Tell whether one of these bytes is there already."""
        if not length:
            return False
        at = bisect_right(self._ends, start)
        return at < len(self._starts) and self._starts[at] < start + length

    def covers(self, start: int, length: int) -> bool:
        """Tell whether all these bytes are there."""
        if not length:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= start + length

    def gap(self, end: int) -> int | None:
        """Give the first byte below `end` that is missing; None if there is none."""
        at = 0
        for start, stop in self:
            if start > at:
                break
            at = max(at, stop)
        return at if at < end else None
