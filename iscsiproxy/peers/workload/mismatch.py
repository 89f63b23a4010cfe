"""What can be wrong with a block, and what is said of one that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from iscsiproxy.peers.workload.pattern import Stamp

__all__ = ["Mismatch", "MismatchKind"]


class MismatchKind(Enum):
    """What is wrong with a block."""

    STALE = "stale"  #: an older write than the last one that was acknowledged
    EARLY = "early"  #: a write that was issued after the read
    REFUSED = "refused"  #: a write that the target said it did not do
    MISPLACED = "misplaced"  #: what was written to another block
    TORN = "torn"  #: part of it from one write, part from another
    DAMAGED = "damaged"  #: part of it from a write, part of it nothing known
    ZEROS = "zeros"  #: zeros where something was written
    FOREIGN = "foreign"  #: nothing that this run has written
    CHANGED = "changed"  #: not written by this run, but other bytes than before


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A block that held what it may not hold.

    `expected` are the generations that would have been right, 0 for what was there before the run. `found` are the
    writes that the bytes name. `offset` is the first wrong byte of the block, `excerpt` what is there, in hexadecimal.
    """

    kind: MismatchKind
    block: int
    expected: tuple[int, ...]
    found: tuple[Stamp, ...]
    offset: int
    excerpt: str

    def __str__(self) -> str:
        due = " or ".join(f"write {one}" if one else "what was there before" for one in self.expected)
        found = " and ".join(map(str, self.found))
        if self.kind is MismatchKind.ZEROS:
            found = "zeros"
        elif not found:
            found = f"{self.excerpt} at byte {self.offset}"
        return f"block {self.block} is {self.kind.value}: expected {due}, found {found}"
