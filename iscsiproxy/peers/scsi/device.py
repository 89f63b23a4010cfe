"""The front of the device server: a SCSI target device with its logical units (SAM-5 4.6).

The transport gives it commands, one step at a time as `command` describes, task management functions, and the coming
and going of I_T nexuses. Commands for a logical unit that is not there are answered here (SAM-5 4.6.4, SPC-4 6.6.2).
"""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.scsi.attention import RESET
from iscsiproxy.peers.scsi.command import CheckCondition, Command, Nexus, Result, Status, Want
from iscsiproxy.peers.scsi.report import REPORT_LUNS, lun_list
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.wire.sense import SenseCode, encode_sense

__all__ = ["Device"]

_INQUIRY, _REQUEST_SENSE = 0x12, 0x03
#: Peripheral qualifier 011b, type 1Fh: not capable of supporting a device here; SPC-4, 31 more bytes (SPC-4 6.6.2)
_NOBODY = bytes([0x7F, 0x00, 0x06, 0x02, 0x1F]) + bytes(31)
#: Logical unit not supported (SAM-5 4.6.4)
_NO_UNIT = SenseCode(0x5, 0x25, 0x00)


class Device:
    """The logical units behind one iSCSI target, by number."""

    def __init__(self, units: Mapping[int, LogicalUnit]) -> None:
        self._units = dict(units)
        self._nexuses: set[Nexus] = set()
        for unit in self._units.values():
            unit.luns = tuple(sorted(self._units))

    def __repr__(self) -> str:
        return f"<Device of {len(self._nexuses)} nexuses: {', '.join(map(repr, self._units.values()))}>"

    @property
    def units(self) -> Mapping[int, LogicalUnit]:
        """The logical units by number."""
        return self._units

    def has_unit(self, lun: int) -> bool:
        """Tell whether there is a logical unit of this number."""
        return lun in self._units

    # --- nexuses ---------------------------------------------------------------------------------------------------

    def connect(self, nexus: Nexus) -> None:
        """Let a nexus begin: unit attention 29/00 for one that was never here, 29/07 for one that was lost."""
        self._nexuses.add(nexus)
        for unit in self._units.values():
            unit.connect(nexus)

    def disconnect(self, nexus: Nexus) -> None:
        """Lose a nexus (SAM-5 6.3.4): its commands vanish without callbacks."""
        self._nexuses.discard(nexus)
        for unit in self._units.values():
            unit.disconnect(nexus)

    def attend(self, nexus: Nexus, code: SenseCode) -> None:
        """Queue a unit attention for a nexus on every logical unit, as 6/47/7F after connection recovery."""
        for unit in self._units.values():
            unit.attentions.post(nexus, code)

    # --- commands --------------------------------------------------------------------------------------------------

    def submit(self, command: Command) -> None:
        """Take a command in; its `on_enabled` is called once, now or later."""
        if unit := self._units.get(command.lun):
            unit.submit(command)
        else:
            command.on_enabled()

    def begin(self, command: Command) -> Result | Want:
        """Check an enabled command; give how it ended, or how many bytes of data-out it needs."""
        if unit := self._units.get(command.lun):
            return unit.begin(command)
        return Want(0)

    def execute(self, command: Command, data: bytes | bytearray | memoryview) -> Result:
        """Carry out a command that has begun with the data-out it wanted, or what there is of it."""
        if unit := self._units.get(command.lun):
            return unit.execute(command, data)
        try:
            return self._without_unit(command.cdb)
        except CheckCondition as failure:
            return Result(status=Status.CHECK_CONDITION, sense=encode_sense(failure.code))

    def finish(self, command: Command) -> None:
        """Take out a command whose status has been handed to the wire; nothing if it is gone already."""
        if unit := self._units.get(command.lun):
            unit.finish(command)

    def _without_unit(self, cdb: bytes) -> Result:
        opcode = cdb[0]
        if opcode == REPORT_LUNS:
            return Result(data=lun_list(sorted(self._units), cdb))
        if opcode == _INQUIRY and not cdb[1] & 0x03:
            return Result(data=_NOBODY[: int.from_bytes(cdb[3:5], "big")])
        if opcode == _REQUEST_SENSE:
            return Result(data=encode_sense(_NO_UNIT, descriptor=bool(cdb[1] & 0x01))[: cdb[4]])
        raise CheckCondition(*_NO_UNIT)

    # --- task management (SAM-5 7): those with a LUN do nothing where there is no such logical unit ------------------

    def abort(self, command: Command) -> None:
        """End one command without a callback (ABORT TASK)."""
        self.finish(command)

    def abort_task_set(self, nexus: Nexus, lun: int) -> None:
        """End the commands of this nexus: `on_cleared(ABORTED)`."""
        if unit := self._units.get(lun):
            unit.abort_task_set(nexus)

    def clear_task_set(self, nexus: Nexus, lun: int) -> None:
        """End all commands: `on_cleared(ABORTED)` for this nexus', CLEARED and unit attention 2F/00 for the others'."""
        if unit := self._units.get(lun):
            unit.clear_task_set(nexus)

    def clear_aca(self, nexus: Nexus, lun: int) -> None:
        """End an auto contingent allegiance: there never is one (NORMACA 0), so nothing happens."""

    def reset_unit(self, nexus: Nexus, lun: int) -> None:
        """Do a logical unit reset: all commands end with `on_cleared(RESET)`, every nexus gets unit attention 29/03."""
        if unit := self._units.get(lun):
            unit.reset()

    def reset_target(self, nexus: Nexus, *, cold: bool) -> None:
        """Reset every logical unit; a cold reset is a power-on, unit attention 29/00 (RFC 7143 11.5.1)."""
        for unit in self._units.values():
            if cold:
                unit.power_on()
            else:
                unit.reset(RESET)
