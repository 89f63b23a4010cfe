"""A logical unit: it checks each command as SAM-5 and SPC-4 order the checks, and has its handler carry it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.access import EVERYWHERE
from iscsiproxy.peers.scsi.attention import CLEARED_BY_ANOTHER, MODE_CHANGED, POWER_ON, RESET, Attentions
from iscsiproxy.peers.scsi.command import Attribute, CheckCondition, Clearing, Command, Nexus, Result, Status, Want
from iscsiproxy.peers.scsi.commands import COMMANDS
from iscsiproxy.peers.scsi.handler import Commands, Footprint, Handler
from iscsiproxy.peers.scsi.mode import ModePages
from iscsiproxy.peers.scsi.persistent import Persistent
from iscsiproxy.peers.scsi.reservations import ReservationConflict, Reservations
from iscsiproxy.peers.scsi.taskset import TASK_LIMIT, TaskSet
from iscsiproxy.wire.sense import SenseCode, encode_sense

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.inquiry import UnitIdentity
    from iscsiproxy.peers.scsi.medium import Medium

__all__ = ["LogicalUnit"]

#: Where the CONTROL byte is, by the group of the operation code (SAM-5 5.2, SPC-4 4.2.5)
_CONTROL_BYTE = {0: 5, 1: 9, 2: 9, 4: 15, 5: 11}
#: Variable length CDBs have theirs in byte 1 and their service action in bytes 8 and 9 (SPC-4 4.2.3)
_VARIABLE = 0x7F
#: NACA in the CONTROL byte (SAM-5 5.2)
_NACA = 0x04

_EVERYTHING = Footprint(0, EVERYWHERE, writes=True)

_INVALID_OPCODE = (0x5, 0x20, 0x00)
_INVALID_FIELD = (0x5, 0x24, 0x00)
#: Invalid message error: an ACA command where no ACA condition is (SAM-5 8.6.6)
_INVALID_MESSAGE = (0x5, 0x49, 0x00)


class LogicalUnit:
    """One logical unit of a device, with the number it has there.

    `target_name` and `portal_group` are those of the target port, for the commands that report it. `write_protected`
    says how the unit was set up; the attribute of that name also knows of the medium and of SWP in the control mode
    page. `luns` are the numbers of all the units of the device, which sets them.
    """

    def __init__(
        self,
        number: int,
        medium: Medium,
        identity: UnitIdentity,
        *,
        write_protected: bool = False,
        target_name: str = "",
        portal_group: int = 1,
        commands: Commands = COMMANDS,
        task_limit: int = TASK_LIMIT,
    ) -> None:
        self.number = number
        self.medium = medium
        self.identity = identity
        self.target_name = target_name
        self.portal_group = portal_group
        self.commands = commands
        self.luns: Sequence[int] = (number,)
        self.mode = ModePages()
        self.attentions = Attentions()
        self.tasks = TaskSet(task_limit)
        self.reservations = Reservations()
        self.persistent = Persistent()
        self._write_protected = write_protected
        self._opcodes = frozenset(opcode for opcode, _ in commands)
        #: Commands that found the task set full
        self._refused: set[Command] = set()

    def __repr__(self) -> str:
        return f"<LogicalUnit {self.number} {self.medium!r} {self.tasks!r} {self.reservations!r} {self.persistent!r}>"

    @property
    def write_protected(self) -> bool:
        """Whether nothing may be written now."""
        return self._write_protected or self.medium.read_only or self.mode.software_write_protect

    def find(self, cdb: bytes) -> Handler:
        """Give the handler of a command. Raises CheckCondition for one that the unit does not know."""
        opcode = cdb[0]
        if handler := self.commands.get((opcode, None)):
            return handler
        action = int.from_bytes(cdb[8:10], "big") if opcode == _VARIABLE else cdb[1] & 0x1F
        if handler := self.commands.get((opcode, action)):
            return handler
        raise CheckCondition(*(_INVALID_FIELD if opcode in self._opcodes else _INVALID_OPCODE))

    # --- the way of a command --------------------------------------------------------------------------------------

    def submit(self, command: Command) -> None:
        """Put a command into the task set, or remember that there was no room."""
        if self.tasks.full:
            self._refused.add(command)
            command.on_enabled()
            return
        self.tasks.submit(command, self._footprint(command.cdb))

    def begin(self, command: Command) -> Result | Want:
        """Check a command: see `device.Device.begin`."""
        if command in self._refused:
            return Result(status=Status.TASK_SET_FULL)
        if command not in self.tasks:
            return Result(status=Status.TASK_ABORTED)
        try:
            handler = self._admit(command)
            wanted = handler.wants(self, command.nexus, command.cdb)
        except CheckCondition as failure:
            return self.failed(failure)
        except ReservationConflict:
            return Result(status=Status.RESERVATION_CONFLICT)
        if handler.exact and command.offered not in (None, wanted):
            return self.failed(CheckCondition(*_INVALID_FIELD))
        self.tasks.want(command, wanted)
        return Want(wanted)

    def execute(self, command: Command, data: bytes | bytearray | memoryview) -> Result:
        """Carry a command out: see `device.Device.execute`."""
        if command not in self.tasks:
            return Result(status=Status.TASK_ABORTED)
        wanted = self.tasks.wanted(command)
        try:
            handler = self.find(command.cdb)
            given = memoryview(data)[:wanted]
            answer = handler.perform(self, command.nexus, command.cdb, given)
            if handler.reach.writes and not self.mode.write_cache:
                self.medium.flush()
            return Result(data=answer, wanted=wanted)
        except CheckCondition as failure:
            return self.failed(failure, wanted=wanted)
        except ReservationConflict:
            return Result(status=Status.RESERVATION_CONFLICT, wanted=wanted)

    def finish(self, command: Command) -> None:
        """Take a command out; nothing if it is not there."""
        self._refused.discard(command)
        self.tasks.finish(command)

    def failed(self, failure: CheckCondition, *, wanted: int = 0) -> Result:
        """Make the result of a failure, in the sense format that D_SENSE asks for (SPC-4 7.5.8)."""
        sense = encode_sense(failure.code, descriptor=self.mode.descriptor_sense, information=failure.information)
        return Result(status=Status.CHECK_CONDITION, sense=sense, wanted=wanted)

    def _footprint(self, cdb: bytes) -> Footprint | None:
        """Tell what a command touches: everything, if it changes the unit and does not say what of it.

        A command that will fail as soon as it begins touches nothing.
        """
        try:
            handler = self.find(cdb)
            if handler.footprint:
                return handler.footprint(cdb)
        except CheckCondition:
            return None
        return _EVERYTHING if handler.reach.writes else None

    def _admit(self, command: Command) -> Handler:
        """Do the checks that come before those of the command itself, in order (SAM-5 5.3.2, 5.14; SPC-4 5.12)."""
        nexus, cdb = command.nexus, command.cdb
        handler: Handler | None = None
        unknown: CheckCondition | None = None
        try:
            handler = self.find(cdb)
        except CheckCondition as failure:
            unknown = failure
        if not (handler and handler.ignores_attention) and (code := self.attentions.take(nexus)):
            raise CheckCondition(*code)
        if handler and (self.reservations.conflicts(nexus, cdb) or self.persistent.conflicts(nexus, handler.reach)):
            raise ReservationConflict
        if not handler:
            raise unknown or CheckCondition(*_INVALID_OPCODE)
        if _naca(cdb):
            raise CheckCondition(*_INVALID_FIELD)
        if command.attribute is Attribute.ACA:
            raise CheckCondition(*_INVALID_MESSAGE)
        return handler

    # --- what happens to the unit ----------------------------------------------------------------------------------

    def connect(self, nexus: Nexus) -> None:
        """Let a nexus begin."""
        self.attentions.connect(nexus)

    def disconnect(self, nexus: Nexus) -> None:
        """Let go of what a lost nexus had: its commands, its RESERVE, its unit attentions (SAM-5 6.3.4)."""
        self.reservations.drop(nexus)
        self.attentions.lost(nexus)
        self._refused = {command for command in self._refused if command.nexus != nexus}
        self.tasks.drop(nexus)

    def abort_task_set(self, nexus: Nexus) -> None:
        """End the commands of this nexus (SAM-5 7.3)."""
        self.tasks.clear(lambda owner: Clearing.ABORTED if owner == nexus else None)

    def clear_task_set(self, nexus: Nexus) -> None:
        """End everybody's commands and tell the others that this nexus did (SAM-5 7.5)."""
        self._clear(lambda owner: Clearing.ABORTED if owner == nexus else Clearing.CLEARED)

    def cancel(self, nexus: Nexus, whose: Callable[[Nexus], bool]) -> None:
        """End the commands of other nexuses on behalf of this one (SAM-5 5.8, TAS 0)."""
        self._clear(lambda owner: Clearing.CLEARED if owner != nexus and whose(owner) else None)

    def _clear(self, cause: Callable[[Nexus], Clearing | None]) -> None:
        for owner in self.tasks.nexuses:
            if cause(owner) is Clearing.CLEARED:
                self.attentions.post(owner, CLEARED_BY_ANOTHER)
        self.tasks.clear(cause)

    def reset(self, code: SenseCode = RESET) -> None:
        """Do a logical unit reset (SAM-5 6.3.3): registrations stay, whoever is asked about them (SPC-4 5.12.5.3)."""
        self.mode.reset()
        self.reservations.clear()
        self.attentions.post_all(code)
        self.tasks.clear(lambda _: Clearing.RESET)

    def power_on(self) -> None:
        """Begin anew (SAM-5 6.3.1): nothing persists through power loss, as PTPL_A says (SPC-4 5.12.5)."""
        self.persistent.forget()
        self.reset(POWER_ON)

    def mode_changed(self, nexus: Nexus) -> None:
        """Tell the others that this nexus has changed mode parameters (SPC-4 6.9)."""
        self.attentions.post_all(MODE_CHANGED, but=(nexus,))


def _naca(cdb: bytes) -> bool:
    """Tell whether the NACA bit is set, where it is known where that is."""
    at = 1 if cdb[0] == _VARIABLE else _CONTROL_BYTE.get(cdb[0] >> 5)
    return at is not None and bool(cdb[at] & _NACA)
