"""RESERVE and RELEASE as SPC-2 has them: one nexus has the whole logical unit, until it releases it or goes.

They and persistent reservations keep out of each other's way as with CRH 0 (SPC-4 5.12.3): where a registration is,
RESERVE and RELEASE end with RESERVATION CONFLICT, and so does every persistent reserve command while the unit is
reserved (SPC-2 5.5.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Commands, Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "ReservationConflict", "Reservations"]

_RESERVE_6, _RELEASE_6, _RESERVE_10, _RELEASE_10 = 0x16, 0x17, 0x56, 0x57
_PREVENT_ALLOW = 0x1E
#: What others may do with a reserved unit: REQUEST SENSE, INQUIRY, LOG SENSE, REPORT LUNS, and a RELEASE that does
#: nothing (SPC-2 table 10)
_ALLOWED = frozenset({0x03, 0x12, 0x4D, 0xA0, _RELEASE_6, _RELEASE_10})
#: Third party and extent reservations (SPC-2 7.21): obsolete
_NOT_OURS = 0x13

_INVALID_FIELD = (0x5, 0x24, 0x00)


class ReservationConflict(Exception):  # noqa: N818 -- a status, not an error of the program
    """Raised inside the device server to end a command with RESERVATION CONFLICT."""


class Reservations:
    """Who has the unit, if anybody has."""

    def __init__(self) -> None:
        self.holder: Nexus | None = None

    def __repr__(self) -> str:
        return f"<Reservations held by {self.holder or 'nobody'}>"

    def conflicts(self, nexus: Nexus, cdb: bytes) -> bool:
        """Tell whether a nexus has to leave this command because another has the unit (SPC-2 table 10)."""
        if self.holder is None or self.holder == nexus or cdb[0] in _ALLOWED:
            return False
        return not (cdb[0] == _PREVENT_ALLOW and not cdb[4] & 0x03)

    def drop(self, nexus: Nexus) -> None:
        """Release what a nexus has."""
        if self.holder == nexus:
            self.holder = None

    def clear(self) -> None:
        """Release it, whoever has it (SPC-2 5.5.2: a reset)."""
        self.holder = None


def _wants(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    if unit.persistent.registered:
        raise ReservationConflict
    if cdb[1] & _NOT_OURS:
        raise CheckCondition(*_INVALID_FIELD)
    return 0


def _reserve(unit: LogicalUnit, nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    if unit.reservations.holder not in (None, nexus):
        raise ReservationConflict
    unit.reservations.holder = nexus
    return b""


def _release(unit: LogicalUnit, nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    unit.reservations.drop(nexus)
    return b""


#: Carried out in order with what else their nexus does, and never in conflict by the rules for persistent reservations
_REACH = Reach(writes=True, always=True)

COMMANDS: Commands = {
    (_RESERVE_6, None): Handler(name="RESERVE(6)", wants=_wants, perform=_reserve, reach=_REACH),
    (_RELEASE_6, None): Handler(name="RELEASE(6)", wants=_wants, perform=_release, reach=_REACH),
    (_RESERVE_10, None): Handler(name="RESERVE(10)", wants=_wants, perform=_reserve, reach=_REACH),
    (_RELEASE_10, None): Handler(name="RELEASE(10)", wants=_wants, perform=_release, reach=_REACH),
}
