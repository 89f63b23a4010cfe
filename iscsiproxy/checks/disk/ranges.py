"""A set of sectors as ranges, of bounded size: when there are too many, the nearest grow together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["RANGES", "Ranges"]

#: Ranges that are told apart.
RANGES = 1024


class Ranges:
    """Sectors that are said to be in it, and, once there are more ranges than `most`, some between them."""

    def __init__(self, most: int = RANGES) -> None:
        self._most = most
        self._firsts: list[int] = []
        self._ends: list[int] = []

    def __repr__(self) -> str:
        return f"<Ranges: {len(self._firsts)}>"

    def __len__(self) -> int:
        return len(self._firsts)

    def __contains__(self, sector: int) -> bool:
        return self.overlaps(sector, sector + 1)

    def overlaps(self, first: int, end: int) -> bool:
        """Tell whether a sector of a range is in it."""
        at = bisect_right(self._ends, first)
        return at < len(self._ends) and self._firsts[at] < end

    def add(self, first: int, end: int) -> None:
        """Put a range in."""
        low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)
        if low < high:
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]
        if len(self._firsts) > self._most:
            gaps = [after - before for before, after in zip(self._ends, self._firsts[1:], strict=False)]
            at = gaps.index(min(gaps))
            del self._firsts[at + 1], self._ends[at]

    def clear(self) -> None:
        """Take everything out."""
        self._firsts.clear()
        self._ends.clear()
