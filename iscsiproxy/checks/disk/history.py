"""What is remembered of commands that ended, to say of wrong data where it comes from. Bounded: the oldest go first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from iscsiproxy.checks.disk.matching import words
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.journal.payload import HASH_LENGTH

__all__ = ["HASHES", "OPS", "History", "Origin", "Past"]

#: Commands that a disk remembers.
OPS = 4096
#: Hashes that it remembers with them, 8 MiB: two for each sector that was written, what it brought and what was before
HASHES = 1 << 20


class Past(NamedTuple):
    """A command that ended, for a range; `before` are the hashes that were there until it replaced them, if it did."""

    op: Op
    first: int
    end: int
    before: bytes = b""


class Origin(NamedTuple):
    """Where a content comes from: `op` wrote it or read it, or else `op` replaced it when it was there before."""

    op: Op
    replaced: bool = False


class History:
    """The last commands of one disk, in the order of their ends."""

    def __init__(self, ops: int = OPS, hashes: int = HASHES) -> None:
        self._most_hashes = hashes
        self._past: deque[Past] = deque()
        self._most = ops
        self._hashes = 0

    def __repr__(self) -> str:
        return f"<History: {len(self._past)} commands, {self._hashes} hashes>"

    def __len__(self) -> int:
        return len(self._past)

    def add(self, op: Op, first: int, end: int, before: bytes = b"") -> None:
        """Remember that a command has ended."""
        past = self._past
        past.append(Past(op, first, end, before))
        self._hashes += _weight(past[-1])
        while len(past) > self._most or (self._hashes > self._most_hashes and len(past) > 1):
            self._hashes -= _weight(past.popleft())

    def covering(self, first: int, end: int) -> Iterator[Past]:
        """Give what is remembered of a range, the latest first."""
        return (one for one in reversed(self._past) if one.first < end and first < one.end)

    def elsewhere(self, hash_: bytes) -> Op | None:
        """Find the last command that wrote or found a content anywhere."""
        for past in reversed(self._past):
            at = past.op.buffer.find(hash_)
            if at >= 0 and at % HASH_LENGTH == 0:
                return past.op
        return None

    def origins(self, first: int, hashes: bytes) -> list[Origin | None]:
        """Say of each sector from `first` on where that content comes from; None if nobody knows."""
        wanted = words(hashes)
        end = first + len(wanted)
        origins: list[Origin | None] = [None] * len(wanted)
        open_ = {at for at, hash_ in enumerate(wanted) if hash_}
        for past in self.covering(first, end):
            if not open_:
                break
            low, high = max(first, past.first), min(end, past.end)
            content = words(past.op.content(low, high))
            skip = (low - past.first) * HASH_LENGTH
            before = words(past.before[skip : skip + (high - low) * HASH_LENGTH]) if past.before else ()
            for at in range(low - first, high - first):
                if at not in open_:
                    continue
                place = at - (low - first)
                if content[place] == wanted[at] and past.op.state is not State.VOID:
                    origins[at] = Origin(past.op)
                    open_.discard(at)
                elif origins[at] is not None:
                    continue
                # These stay open: an earlier command may be found that wrote it.
                elif content[place] == wanted[at]:
                    origins[at] = Origin(past.op)
                elif before and before[place] == wanted[at]:
                    origins[at] = Origin(past.op, replaced=True)
        return origins


def _weight(past: Past) -> int:
    return (len(past.op.buffer) + len(past.before)) // HASH_LENGTH
