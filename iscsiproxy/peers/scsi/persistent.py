"""Persistent reservations: the rules, without a CDB (SPC-4 5.12, 5.13.11).

A registration belongs to an I_T nexus and outlives its sessions. Each operation that a registrant asks for raises
ReservationConflict or CheckCondition and changes nothing, or changes the state and gives the unit attentions that
others are due.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from iscsiproxy.peers.scsi.attention import (
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
)
from iscsiproxy.peers.scsi.command import CheckCondition, Nexus
from iscsiproxy.peers.scsi.handler import Reach
from iscsiproxy.peers.scsi.reservations import ReservationConflict
from iscsiproxy.wire.sense import SenseCode

__all__ = ["REGISTRATIONS", "Notices", "Persistent", "ReservationType"]

#: How many nexuses can be registered with a logical unit; what they cost is bounded by it
REGISTRATIONS = 256

_INVALID_FIELD = (0x5, 0x24, 0x00)
_INVALID_PARAMETER = (0x5, 0x26, 0x00)
#: Invalid release of persistent reservation (SPC-4 5.12.11.2.2)
_INVALID_RELEASE = (0x5, 0x26, 0x04)
#: Insufficient registration resources (SPC-4 5.12.7)
_NO_ROOM = (0x5, 0x55, 0x04)

#: Who is due which unit attention
Notices = list[tuple[Nexus, SenseCode]]


class ReservationType(IntEnum):
    """TYPE of a persistent reservation (SPC-4 table 216)."""

    WRITE_EXCLUSIVE = 1
    EXCLUSIVE_ACCESS = 3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8

    @property
    def exclusive(self) -> bool:
        """Whether others may not even read."""
        return self in (
            ReservationType.EXCLUSIVE_ACCESS,
            ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
            ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
        )

    @property
    def shared(self) -> bool:
        """Whether every registrant may do what the holder may."""
        return self >= ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY

    @property
    def held_by_all(self) -> bool:
        """Whether every registrant is a holder."""
        return self >= ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS


class Persistent:
    """The registrations of one logical unit, and its reservation if there is one."""

    def __init__(self) -> None:
        self._keys: dict[Nexus, int] = {}
        #: Who made the reservation; of a type held by all registrants, whoever
        self._holder: Nexus | None = None
        self.type: ReservationType | None = None
        self.generation = 0

    def __repr__(self) -> str:
        reserved = f"reserved {self.type.name} by {self._holder}" if self.type else "not reserved"
        return f"<Persistent {len(self._keys)} registered, {reserved}, generation {self.generation}>"

    @property
    def registered(self) -> Mapping[Nexus, int]:
        """The keys of the registered nexuses, in the order they came."""
        return self._keys

    def holds(self, nexus: Nexus) -> bool:
        """Tell whether a nexus is a holder of the reservation (SPC-4 5.12.10)."""
        if self.type is None:
            return False
        return nexus in self._keys if self.type.held_by_all else nexus == self._holder

    @property
    def holder_key(self) -> int:
        """The key of the holder; 0 where all registrants are (SPC-4 6.15.3)."""
        if self.type is None or self.type.held_by_all or self._holder is None:
            return 0
        return self._keys[self._holder]

    def conflicts(self, nexus: Nexus, reach: Reach) -> bool:
        """Tell whether a nexus may not carry out a command that reaches so far (SPC-4 table 66)."""
        if self.type is None or reach.always or self.holds(nexus):
            return False
        if self.type.shared and nexus in self._keys:
            return False
        return reach.writes or (reach.reads and self.type.exclusive)

    def forget(self) -> None:
        """Lose everything, as without PTPL_A a power loss does (SPC-4 5.12.5)."""
        self._keys.clear()
        self._holder = self.type = None
        self.generation = 0

    # --- operations ------------------------------------------------------------------------------------------------

    def register(self, nexus: Nexus, key: int, new: int, *, ignore: bool) -> Notices:
        """Register a nexus, change its key, or unregister it with the new key 0 (SPC-4 5.12.7, 5.12.11.3).

        `key` has to be the one it has, 0 for none, unless `ignore`.
        """
        if not ignore and key != self._keys.get(nexus, 0):
            raise ReservationConflict
        if new and nexus not in self._keys and len(self._keys) >= REGISTRATIONS:
            raise CheckCondition(*_NO_ROOM)
        if not new and nexus not in self._keys:
            return []
        self._count()
        if new:
            self._keys[nexus] = new
            return []
        held = self.holds(nexus)
        del self._keys[nexus]
        # One that all registrants hold ends with the last of them.
        if not held or self.type is None or (self.type.held_by_all and self._keys):
            return []
        return self._release(nexus)

    def reserve(self, nexus: Nexus, key: int, kind: ReservationType) -> None:
        """Make the reservation; a holder may ask for the same again (SPC-4 5.12.9)."""
        self._identify(nexus, key)
        if self.type is None:
            self._take(nexus, kind)
        elif not self.holds(nexus) or self.type is not kind:
            raise ReservationConflict

    def release(self, nexus: Nexus, key: int, kind: ReservationType | None) -> Notices:
        """End the reservation, of this type; who does not hold it ends nothing (SPC-4 5.12.11.2.2)."""
        self._identify(nexus, key)
        if not self.holds(nexus):
            return []
        if kind is not self.type:
            raise CheckCondition(*_INVALID_RELEASE)
        return self._release(nexus)

    def clear(self, nexus: Nexus, key: int) -> Notices:
        """End the reservation and every registration (SPC-4 5.12.11.2.6)."""
        self._identify(nexus, key)
        self._count()
        others = [other for other in self._keys if other != nexus]
        self._keys.clear()
        self._holder = self.type = None
        return [(other, RESERVATIONS_PREEMPTED) for other in others]

    def preempt(self, nexus: Nexus, key: int, victim: int, kind: ReservationType | None) -> tuple[set[Nexus], Notices]:
        """Take away the registrations of a key, and the reservation if it has it (SPC-4 5.12.11.2.3).

        `kind` is the type of the reservation that takes the place of a preempted one; None is no type. Gives the
        nexuses whose commands PREEMPT AND ABORT ends too.
        """
        self._identify(nexus, key)
        everybody = self.type is not None and self.type.held_by_all
        if not victim and not everybody:
            raise CheckCondition(*_INVALID_PARAMETER)
        replaces = not victim if everybody else self.type is not None and victim == self.holder_key
        victims = {other for other, has in self._keys.items() if has == victim or not victim}
        if not victims:
            raise ReservationConflict
        if not replaces:
            self._count()
            return victims, self._remove(nexus, victims)
        if kind is None:
            raise CheckCondition(*_INVALID_FIELD)
        self._count()
        # Who preempts itself stays registered.
        victims.discard(nexus)
        before = self.type
        notices = self._remove(nexus, victims)
        self._take(nexus, kind)
        if before is not kind:
            notices += [(other, RESERVATIONS_RELEASED) for other in self._keys if other != nexus]
        return victims, notices

    # --- what they are made of ---------------------------------------------------------------------------------------

    def _identify(self, nexus: Nexus, key: int) -> None:
        if self._keys.get(nexus) != key:
            raise ReservationConflict

    def _count(self) -> None:
        self.generation = (self.generation + 1) & 0xFFFFFFFF

    def _take(self, nexus: Nexus, kind: ReservationType) -> None:
        self._holder, self.type = nexus, kind

    def _release(self, nexus: Nexus) -> Notices:
        """End the reservation: registrants that shared it learn of it (SPC-4 5.12.11.2.2)."""
        shared = self.type is not None and self.type.shared
        self._holder = self.type = None
        return [(other, RESERVATIONS_RELEASED) for other in self._keys if other != nexus] if shared else []

    def _remove(self, nexus: Nexus, victims: set[Nexus]) -> Notices:
        """Take registrations away; those that lose one learn of it, and a reservation without a holder ends."""
        for victim in victims:
            del self._keys[victim]
        if self.type is not None and not (self._keys if self.type.held_by_all else self._holder in self._keys):
            self._holder = self.type = None
        return [(victim, REGISTRATIONS_PREEMPTED) for victim in victims if victim != nexus]
