"""Unit attentions: what a logical unit has to tell each I_T nexus before it works for it again (SAM-5 5.14).

Each nexus has its own queue; what waits there already is not queued twice. A reset supersedes everything: what was
pending told of a state that is gone. A nexus that is lost keeps its place, so that the next session of the same two
ports learns of the loss, and of what has happened to its registrations meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.peers.scsi.command import Nexus
from iscsiproxy.wire.sense import SenseCode

__all__ = [
    "CLEARED_BY_ANOTHER",
    "LUNS_CHANGED",
    "MODE_CHANGED",
    "NEXUSES",
    "NEXUS_LOST",
    "POWER_ON",
    "REGISTRATIONS_PREEMPTED",
    "RESERVATIONS_PREEMPTED",
    "RESERVATIONS_RELEASED",
    "RESET",
    "Attentions",
]

#: Power on, reset, or bus device reset occurred (SPC-4 annex F)
POWER_ON = SenseCode(0x6, 0x29, 0x00)
#: Bus device reset function occurred: after LOGICAL UNIT RESET and TARGET WARM RESET (SAM-5 5.14, table 46)
RESET = SenseCode(0x6, 0x29, 0x03)
#: I_T nexus loss occurred (SAM-5 6.3.4)
NEXUS_LOST = SenseCode(0x6, 0x29, 0x07)
#: Mode parameters changed (SPC-4 6.9)
MODE_CHANGED = SenseCode(0x6, 0x2A, 0x01)
#: Reservations preempted, reservations released, registrations preempted (SPC-4 5.13.11)
RESERVATIONS_PREEMPTED = SenseCode(0x6, 0x2A, 0x03)
RESERVATIONS_RELEASED = SenseCode(0x6, 0x2A, 0x04)
REGISTRATIONS_PREEMPTED = SenseCode(0x6, 0x2A, 0x05)
#: Commands cleared by another initiator (SAM-5 5.8)
CLEARED_BY_ANOTHER = SenseCode(0x6, 0x2F, 0x00)
#: Reported LUNs data has changed (SPC-4 6.33)
LUNS_CHANGED = SenseCode(0x6, 0x3F, 0x0E)

#: How many lost nexuses are remembered; the one lost longest ago is then taken for new when it comes back
NEXUSES = 1024

_RESETS = frozenset({POWER_ON, RESET})


class Attentions:
    """The queues of one logical unit."""

    def __init__(self) -> None:
        self._here: dict[Nexus, list[SenseCode]] = {}
        #: Of nexuses that were lost, longest lost first
        self._gone: dict[Nexus, list[SenseCode]] = {}

    def __repr__(self) -> str:
        pending = {str(nexus): [str(code) for code in queue] for nexus, queue in self._here.items() if queue}
        return f"<Attentions of {len(self._here)} nexuses: {pending or 'none'}>"

    def connect(self, nexus: Nexus) -> None:
        """Let a nexus begin: with a power-on if it is new, with what `lost` and later events left if it is not."""
        if nexus not in self._here:
            self._here[nexus] = self._gone.pop(nexus, [POWER_ON])

    def lost(self, nexus: Nexus) -> None:
        """Forget what is pending for a nexus that is gone, except that it is."""
        if self._here.pop(nexus, None) is None:
            return
        self._gone[nexus] = [NEXUS_LOST]
        if len(self._gone) > NEXUSES:
            del self._gone[next(iter(self._gone))]

    def post(self, nexus: Nexus, code: SenseCode) -> None:
        """Queue a unit attention for a nexus; one that never connected has nothing to learn."""
        queue = self._queue(nexus)
        if queue is None or code in queue:
            return
        if code in _RESETS:
            queue.clear()
        queue.append(code)

    def post_all(self, code: SenseCode, *, but: Iterable[Nexus] = ()) -> None:
        """Queue a unit attention for every nexus but those."""
        spared = set(but)
        for nexus in (*self._here, *self._gone):
            if nexus not in spared:
                self.post(nexus, code)

    def take(self, nexus: Nexus) -> SenseCode | None:
        """Give the first that is pending, which then no longer is."""
        queue = self._queue(nexus)
        return queue.pop(0) if queue else None

    def clear(self, nexus: Nexus, code: SenseCode) -> None:
        """Withdraw one that has become known in another way."""
        queue = self._queue(nexus)
        if queue and code in queue:
            queue.remove(code)

    def pending(self, nexus: Nexus) -> tuple[SenseCode, ...]:
        """Give what is pending, first come first."""
        return tuple(self._queue(nexus) or ())

    def _queue(self, nexus: Nexus) -> list[SenseCode] | None:
        here = self._here.get(nexus)
        return self._gone.get(nexus) if here is None else here
