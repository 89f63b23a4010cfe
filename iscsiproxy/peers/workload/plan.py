"""What a workload does, in which order: drawn from a seeded generator, and from nothing else.

The plan does not look at what is in flight, so that the same seed gives the same commands on a fast and a slow target.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

__all__ = ["Kind", "Operation", "Plan", "extents"]

#: With overlap, how often the next command is put beside one of the latest.
_NEAR = 0.75


class Kind(Enum):
    """What a command does."""

    READ = "read"
    WRITE = "write"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class Operation:
    """One command: on `count` blocks from block `first` of the logical unit. A flush is for all of it."""

    kind: Kind
    first: int = 0
    count: int = 0

    def __str__(self) -> str:
        return f"{self.kind.value} {self.first}+{self.count}" if self.count else self.kind.value


class Plan:
    """An endless row of operations on `blocks` blocks from `first` on.

    `sizes` are numbers of blocks and how often each is taken, relatively. `reads` is the fraction of reads. A command
    begins at a multiple of its own size, unless `overlap` is a number: then most begin near one of that many latest
    commands. Every `flush_every`th write is followed by a flush; 0: none.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        first: int,
        blocks: int,
        sizes: tuple[tuple[int, int], ...],
        reads: float = 0.5,
        overlap: int = 0,
        flush_every: int = 0,
    ) -> None:
        fitting = [(size, weight) for size, weight in sizes if 0 < size <= blocks]
        if not fitting:
            raise ValueError(f"no command of {sizes} fits into {blocks} blocks")
        self._rng = rng
        self._first = first
        self._blocks = blocks
        self._sizes = [size for size, _ in fitting]
        self._weights = [weight for _, weight in fitting]
        self._reads = reads
        self._latest: deque[Operation] = deque(maxlen=overlap)
        self._overlap = overlap > 0
        self._flush_every = flush_every
        self._unflushed = 0

    def __repr__(self) -> str:
        return f"<Plan for {self._first}+{self._blocks}, {self._reads:.0%} reads>"

    def __iter__(self) -> Plan:
        return self

    def __next__(self) -> Operation:
        """Draw the next operation."""
        if self._flush_every and self._unflushed >= self._flush_every:
            self._unflushed = 0
            return Operation(Kind.FLUSH)
        kind = Kind.READ if self._rng.random() < self._reads else Kind.WRITE
        self._unflushed += kind is Kind.WRITE
        (count,) = self._rng.choices(self._sizes, self._weights)
        operation = Operation(kind, self._first + self._place(count), count)
        self._latest.append(operation)
        return operation

    def _place(self, count: int) -> int:
        if not self._overlap:
            return self._rng.randrange(self._blocks // count) * count
        free = self._blocks - count
        if self._latest and self._rng.random() < _NEAR:
            beside = self._rng.choice(self._latest)
            start = beside.first - self._first
            return min(max(0, self._rng.randint(start - count + 1, start + beside.count - 1)), free)
        return self._rng.randint(0, free)


def extents(blocks: list[int]) -> Iterator[tuple[int, int]]:
    """Put sorted block numbers together to (first, count)."""
    for _, group in groupby(enumerate(blocks), lambda pair: pair[1] - pair[0]):
        members = [block for _, block in group]
        yield members[0], len(members)
