"""What the commands on one leg do to the disks behind it: the scene's tasks, told to the shadow of each logical unit.

The target's leg tells what the target was asked and has answered: what is wrong there is the target's. The initiator's
leg tells what the initiator has asked and was answered: what is wrong there and not on the other leg, a fault of the
proxy has done, and it was handed up as good.

A disk is known by the target's name and the LUN, whatever session leads to it. A unit attention 29h is not taken for a
power loss: targets tell it of each new session.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from iscsiproxy.checks.disk import Disks, Op, Outcome, Wrong, effect_of, outcome_of
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.scene.scene import Scene
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.errors import ScsiError
from iscsiproxy.journal import Payload, Record
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import Sense, sense_of_segment

__all__ = ["PAGES", "Hashes", "Storage"]

#: Pages of one leg: 32768 of them are 2 GiB of disk in 40 MB of memory
PAGES = 32768
#: Behind these, tasks may have ended without an answer of their own.
_SWEEPING = frozenset({Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.REJECT, Opcode.LOGIN_RESPONSE})
_DATA = frozenset({Opcode.DATA_OUT, Opcode.DATA_IN})
#: Answers that tell of the disk itself are no longer than this.
_TOLD = 64


class Hashes:
    """Hashes each data segment once, though it is seen on both legs."""

    def __init__(self) -> None:
        self._pdu: Pdu | None = None
        self._payload: Payload | None = None

    def __repr__(self) -> str:
        return f"<Hashes of {self._pdu!r}>"

    def of(self, record: Record) -> Payload | None:
        """Give the hashes of a record's data; None if there is none, or it was withheld."""
        pdu = record.pdu
        if pdu is None or pdu is not self._pdu:
            self._pdu, self._payload = pdu, record.payload
        return self._payload


class Storage:
    """Follows the moments of one leg, each behind the scene; `tell` is given what is wrong, with the moment."""

    def __init__(
        self, scene: Scene, hashes: Hashes, tell: Callable[[Wrong, Moment], None], *, pages: int = PAGES
    ) -> None:
        self.disks = Disks(pages)
        self._scene = scene
        self._hashes = hashes
        self._tell = tell
        self._ops: dict[int, tuple[Task, Hashable, Op, int]] = {}  # by the serial of the task; the session's number
        self._left: dict[tuple[str | None, int, str | None], int] = {}  # sessions that were lost, by their nexus

    def __repr__(self) -> str:
        return f"<Storage {self.disks!r}, {len(self._ops)} commands in flight>"

    def take(self, moment: Moment) -> None:
        """Take note of a PDU, or of the end of a connection."""
        opcode = moment.opcode
        if moment.closed is not None or opcode in _SWEEPING:
            self._sweep(moment)
        elif moment.spoiled or not moment.full_feature:
            return
        elif opcode == Opcode.SCSI_COMMAND:
            self._begin(moment)
        elif opcode in _DATA:
            self._data(moment)
            if opcode == Opcode.DATA_IN and moment["S"]:
                self._end(moment)
        elif opcode == Opcode.SCSI_RESPONSE:
            self._end(moment)
        elif opcode == Opcode.ASYNC:
            self._deferred(moment)

    def gap(self) -> None:
        """Take note that events are missing."""
        self._ops.clear()
        self.disks.gap()

    # --- commands ----------------------------------------------------------------------------------------------------

    def _begin(self, moment: Moment) -> None:
        session = moment.session
        task = session.find(moment["ITT"])
        if task is None or task.note is not moment.note:
            return  # a retry, or one that has to be ignored
        key = (session.target_name or session.number, task.lun)
        cdb = moment.pdu.cdb
        length = task.read_edtl if task.reads else task.edtl
        op = self.disks.command(
            key,
            cdb,
            length,
            data=moment.data or b"",
            sends=task.writes,
            session=session.number,
            order=None if task.immediate or task.ignored else task.cmd_sn,
            attribute=moment["ATTR"],
            ref=task.note,
        )
        if op is None:
            return
        self._ops[task.serial] = (task, key, op, session.number)
        if moment.length and self._sound(moment) and (payload := self._hashes.of(moment.record)) is not None:
            op.data(payload)

    def _data(self, moment: Moment) -> None:
        task = moment.task
        if task is None or not task.is_scsi:
            return
        known = self._ops.get(task.serial)
        if known is None:
            if moment.opcode == Opcode.DATA_IN and moment.length <= _TOLD:
                self._learn(moment, task)
            return
        _, key, op, _ = known
        if not self._sound(moment):
            return
        if moment.opcode == Opcode.DATA_OUT:
            self._narrow(moment, task, key, op)
        payload = self._hashes.of(moment.record)
        if payload is not None:
            op.data(payload)

    def _sound(self, moment: Moment) -> bool:
        """Tell whether data passed as it was meant: whole, with a right digest, if it has one."""
        return moment.record.data_digest_ok is not False and not getattr(moment.record.entry, "partial", False)

    def _learn(self, moment: Moment, task: Task) -> None:
        """Take what the target tells of the disk."""
        data = moment.data
        if data and not moment["BufferOffset"] and task.note.pdu is not None:
            key = (moment.session.target_name or moment.session.number, task.lun)
            self.disks[key].told(task.note.pdu.cdb, data)

    def _narrow(self, moment: Moment, task: Task, key: Hashable, op: Op) -> None:
        """Take the parameter list of UNMAP, which tells where it is at work."""
        data = moment.data
        if data is None or moment["BufferOffset"] or task.cdb is None or task.cdb.name != "UNMAP":
            return
        assert task.note.pdu is not None
        disk = self.disks[key]
        effect = effect_of(task.note.pdu.cdb, task.edtl, disk.block_size, data=data, sends=True)
        if effect is not None:
            disk.narrow(op, effect)

    def _end(self, moment: Moment) -> None:
        task = moment.task
        known = None if task is None else self._ops.pop(task.serial, None)
        if known is None:
            return
        _, key, op, _ = known
        values = moment.values
        sense = self._sense(moment)
        if sense is not None and sense.deferred:
            self.disks[key].gap()
        outcome = outcome_of(op.effect, values["Status"], response=values.get("Response", 0), sense=sense)
        residual = values["ResidualCount"] if values["U"] else 0
        for wrong in self.disks.end(key, op, outcome, residual=residual):
            self._tell(wrong, moment)

    def _sense(self, moment: Moment) -> Sense | None:
        if moment.opcode != Opcode.SCSI_RESPONSE or not moment.data:
            return None
        try:
            return sense_of_segment(moment.data)
        except ScsiError:
            return None

    def _deferred(self, moment: Moment) -> None:
        """Take a deferred error that an Asynchronous Message tells (RFC 7143 11.9.4)."""
        try:
            sense = sense_of_segment(moment.data) if moment.data else None
        except ScsiError:
            return
        if sense is not None and sense.deferred:
            self.disks.gap()

    # --- ends without an answer --------------------------------------------------------------------------------------

    def _sweep(self, moment: Moment) -> None:
        """End what has ended otherwise: aborted, rejected, logged out, or lost with its connection."""
        closed = moment.closed is not None
        for serial in [serial for serial, (task, *_) in self._ops.items() if not task.live or task.conn == 0]:
            task, key, op, number = self._ops[serial]
            if task.conn == 0:
                continue  # it waits for another connection
            del self._ops[serial]
            if task.rejected is not None:
                outcome = Outcome.MAYBE
            else:
                outcome = Outcome.LOST if closed and task.aborted is None else Outcome.MAYBE
            if outcome is Outcome.LOST:
                self._left[self._nexus(moment)] = number
            self.disks.end(key, op, outcome)
        if moment.opcode == Opcode.LOGIN_RESPONSE and moment.full_feature:
            gone = self._left.pop(self._nexus(moment), None)
            if gone is not None and gone != moment.session.number:
                self.disks.session_gone(gone)

    def _nexus(self, moment: Moment) -> tuple[str | None, int, str | None]:
        session = moment.session
        return session.initiator_name, session.isid, session.target_name
