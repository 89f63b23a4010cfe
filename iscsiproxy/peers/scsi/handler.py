"""One SCSI command as the device server carries it out: the two steps, and what others must know of it.

A module of commands offers them as `COMMANDS`, by operation code and, where the code has them, service action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["Commands", "Footprint", "Handler", "Reach"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """The logical blocks that a command touches; `blocks` may be 0.

    Commands of one nexus with overlapping footprints, one of them writing, are carried out in the order they came
    (QUEUE ALGORITHM MODIFIER 0, restricted reordering, SPC-4 7.5.8).
    """

    lba: int
    blocks: int
    writes: bool

    def conflicts(self, other: Footprint) -> bool:
        """Tell whether the order of the two matters."""
        return (self.writes or other.writes) and (
            max(self.lba, other.lba) < min(self.lba + self.blocks, other.lba + other.blocks)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a command does to the unit as others see it: decides reservation conflicts (SPC-4 5.12, table 66)."""

    reads: bool = False  #: reads the medium: in conflict with an exclusive access reservation
    writes: bool = False  #: changes the medium or the unit's state: in conflict with every reservation of another
    always: bool = False  #: allowed whoever holds a reservation, as INQUIRY is


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """How a command is carried out. Both steps raise CheckCondition.

    `wants(unit, nexus, cdb)` checks the CDB against the unit and gives how many bytes of data-out it needs.
    `perform(unit, nexus, cdb, data)` does it and gives its data-in, cut to the allocation length. `data` has at most
    the bytes wanted; it is shorter where the initiator's buffer was.
    """

    name: str
    wants: Callable[[LogicalUnit, Nexus, bytes], int]
    perform: Callable[[LogicalUnit, Nexus, bytes, memoryview], bytes | memoryview]
    reach: Reach
    #: Is carried out while a unit attention is pending, which stays (SAM-5 5.14): INQUIRY, REPORT LUNS, REQUEST SENSE
    ignores_attention: bool = False
    footprint: Callable[[bytes], Footprint] | None = None
    #: Is refused (5/24/00) if the initiator's buffer is not as long as what it wants: nothing to do by halves
    exact: bool = False


#: Operation code and service action (None where the code has none) to the command.
Commands: TypeAlias = Mapping[tuple[int, int | None], Handler]
