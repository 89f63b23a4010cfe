"""How much was judged, and how much was not, and why: a judge is never silent about what it did not see."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Counts", "Reason"]


class Reason(Enum):
    """Why a sector that was read was not judged."""

    NEW = "nothing was known of it: what was found is what is expected from now on"
    UNSEEN = "its data did not pass whole, in a piece that is exactly this sector"
    RACED = "a write to it was in flight, and what was found may be a mixture"
    RELEASED = "it was unmapped, formatted or copied to, and may hold anything until it is written"
    DISPUTED = "it was found wrong before, and has not been written since"
    UNKNOWN = "it may hold what a write brought whose data is not known"
    SIZE = "the logical block size is not known, or not a multiple of 512"
    PROTECTION = "protection information stands between the blocks"
    LARGE = "the command is larger than what is followed"
    GAP = "events are missing, or the block size turned out to be another one"


@dataclass(slots=True)
class Counts:
    """Sectors of 512 bytes, over all reads and compares that ended with data.

    Each sector that a read asked for is in `judged` or in `left_out`, by reason, as often as it was read. `forgotten`
    are sectors whose contents were known and are not any more, for want of memory or after a gap.
    """

    judged: int = 0
    left_out: dict[Reason, int] = field(default_factory=dict)
    forgotten: int = 0

    def leave_out(self, reason: Reason, sectors: int) -> None:
        """Count sectors that are not judged."""
        if sectors:
            self.left_out[reason] = self.left_out.get(reason, 0) + sectors

    def add(self, other: Counts) -> None:
        """Add what another disk counted."""
        self.judged += other.judged
        self.forgotten += other.forgotten
        for reason, sectors in other.left_out.items():
            self.leave_out(reason, sectors)
