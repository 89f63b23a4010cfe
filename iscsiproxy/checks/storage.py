"""What the commands on one leg do to the disks behind it: the scene's tasks, told to the shadow of each logical unit.

The target's leg tells what the target was asked and has answered: what is wrong there is the target's. The initiator's
leg tells what the initiator has asked and was answered: what is wrong there and not on the other leg, a fault of the
proxy has done, and it was handed up as good.

A disk is known by the target's name and the LUN, whatever session leads to it. A unit attention 29h is not taken for a
power loss: targets tell it of each new session.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeAlias

from iscsiproxy.checks.disk import Disks, Op, Outcome, Wrong, effect_of, outcome_of
from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.scene.scene import Scene
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.errors import ScsiError
from iscsiproxy.journal import Payload, Record
from iscsiproxy.journal.payload import keeps_data
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import lun_number
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import Sense, sense_of_segment

__all__ = ["PAGES", "Hashes", "Storage"]

#: Pages of one leg: 2 GiB of disk in 40 MB of memory, and in 55 MB with all that is remembered of commands
PAGES = 32768
#: Behind these, tasks may have ended without an answer of their own.
_SWEEPING = frozenset({Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.REJECT, Opcode.LOGIN_RESPONSE})
_DATA = frozenset({Opcode.DATA_OUT, Opcode.DATA_IN})
_SCSI_ASYNC = codes.ASYNC_EVENT.value("SCSI_ASYNC_EVENT")
#: Lost sessions that are remembered until the same initiator logs in again
_LEFT = 1024

#: Initiator, ISID and target: two sessions of these three at a time cannot be (RFC 7143 4.4.3).
_Nexus: TypeAlias = tuple[str | None, int, str | None]


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


class _Flight(NamedTuple):
    """A command that has not ended."""

    task: Task
    key: Hashable
    op: Op
    session: Session


class Storage:
    """Follows the moments of one leg, each behind the scene; `tell` is given what is wrong, with the moment."""

    def __init__(
        self, scene: Scene, hashes: Hashes, tell: Callable[[Wrong, Moment], None], *, pages: int = PAGES
    ) -> None:
        self.disks = Disks(pages)
        self._end_of_leg = scene.end
        self._hashes = hashes
        self._tell = tell
        self._flights: dict[int, _Flight] = {}  # by the serial of the task
        self._left: dict[_Nexus, int] = {}  # the numbers of sessions that were lost with commands in flight

    def __repr__(self) -> str:
        return f"<Storage at the {self._end_of_leg}: {self.disks!r}, {len(self._flights)} commands in flight>"

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
        """Take note that events are missing: how what was in flight has ended will not be seen."""
        self.disks.gap()
        for serial in list(self._flights):
            self._drop(serial, Outcome.LOST)

    # --- commands ----------------------------------------------------------------------------------------------------

    def _begin(self, moment: Moment) -> None:
        session = moment.session
        task = session.find(moment["ITT"])
        if task is None or task.note is not moment.note:
            return  # a retry, or one that has to be ignored
        key = _key(session, task.lun)
        op = self.disks.command(
            key,
            moment.pdu.cdb,
            task.read_edtl if task.reads else task.edtl,
            data=self._kept(moment) or b"",
            sends=task.writes,
            session=session.number,
            order=None if task.immediate or task.ignored else task.cmd_sn,
            attribute=moment["ATTR"],
            ref=task.note,
        )
        if op is not None:
            self._flights[task.serial] = _Flight(task, key, op, session)
            self._bring(op, moment)
        if task.replaced is not None:
            # Whose answer comes now, and whose data, nobody can tell.
            for serial, one in list(self._flights.items()):
                if one.session is session and one.task.itt == task.itt:
                    self._drop(serial, Outcome.LOST)

    def _data(self, moment: Moment) -> None:
        task = moment.task
        if task is None or not task.is_scsi:
            return
        flight = self._flights.get(task.serial)
        if flight is None:
            if moment.opcode == Opcode.DATA_IN:
                self._learn(moment, task)
            return
        if moment.opcode == Opcode.DATA_OUT:
            self._narrow(moment, flight)
        self._bring(flight.op, moment)

    def _bring(self, op: Op, moment: Moment) -> None:
        """Give a command data that passed as it was meant."""
        if moment.length and _sound(moment) and (payload := self._hashes.of(moment.record)) is not None:
            op.data(payload)

    def _kept(self, moment: Moment) -> bytes | None:
        """Give a data segment if it is sound and every journal has it: live and later the same is said."""
        return moment.data if keeps_data(moment.opcode, moment.length) and _sound(moment) else None

    def _learn(self, moment: Moment, task: Task) -> None:
        """Take what the target tells of the disk."""
        if not moment["BufferOffset"] and task.note.pdu is not None and (data := self._kept(moment)):
            self.disks[_key(moment.session, task.lun)].told(task.note.pdu.cdb, data)

    def _narrow(self, moment: Moment, flight: _Flight) -> None:
        """Take the parameter list of UNMAP, which tells where it is at work."""
        task = flight.task
        if moment["BufferOffset"] or task.cdb is None or task.cdb.name != "UNMAP":
            return
        data = self._kept(moment)
        if data is None:
            return
        assert task.note.pdu is not None
        disk = self.disks[flight.key]
        effect = effect_of(task.note.pdu.cdb, task.edtl, disk.block_size, data=data, sends=True)
        if effect is not None:
            disk.narrow(flight.op, effect)

    def _end(self, moment: Moment) -> None:
        task = moment.task
        flight = None if task is None else self._flights.pop(task.serial, None)
        if flight is None:
            return
        _, key, op, _ = flight
        values = moment.values
        sense = self._sense(moment) if moment.opcode == Opcode.SCSI_RESPONSE else None
        if sense is not None and sense.deferred:
            self.disks[key].gap()
        outcome = outcome_of(op.effect, values["Status"], response=values.get("Response", 0), sense=sense)
        if flight.task.doubtful:
            outcome = Outcome.MAYBE  # it may be the answer to another
        residual = values["ResidualCount"] if values["U"] else 0
        for wrong in self.disks.end(key, op, outcome, residual=residual):
            self._tell(wrong, moment)

    def _sense(self, moment: Moment) -> Sense | None:
        data = self._kept(moment)
        try:
            return sense_of_segment(data) if data else None
        except ScsiError:
            return None

    def _deferred(self, moment: Moment) -> None:
        """Take a deferred error that an Asynchronous Message tells (RFC 7143 11.9.1, 11.9.4)."""
        if moment["AsyncEvent"] != _SCSI_ASYNC:
            return
        sense = self._sense(moment)
        if sense is not None and sense.deferred:
            self.disks[_key(moment.session, moment["LUN"])].gap()

    # --- ends without an answer --------------------------------------------------------------------------------------

    def _sweep(self, moment: Moment) -> None:
        """End what has ended otherwise: aborted, rejected, logged out, or lost with its connection."""
        outcome = Outcome.MAYBE if moment.closed is None else Outcome.LOST
        for serial, flight in list(self._flights.items()):
            if not flight.task.live:
                self._drop(serial, outcome)
        if moment.opcode == Opcode.LOGIN_RESPONSE and moment.full_feature:
            self._replace(moment.conn.session)

    def _replace(self, session: Session) -> None:
        """End what an earlier session of the same nexus has left behind (RFC 7143 6.3.5)."""
        nexus = _nexus(session)
        if not session.seen or session.initiator_name is None:
            return
        for serial, flight in list(self._flights.items()):
            if flight.session.number != session.number and _nexus(flight.session) == nexus:
                self._drop(serial, Outcome.MAYBE)
        if self._left.get(nexus, session.number) != session.number:
            self.disks.session_gone(self._left.pop(nexus))

    def _drop(self, serial: int, outcome: Outcome) -> None:
        """End a command that nobody will answer any more."""
        _, key, op, session = self._flights.pop(serial)
        self.disks.end(key, op, outcome)
        if outcome is Outcome.LOST:
            self._left[_nexus(session)] = session.number
            if len(self._left) > _LEFT:
                del self._left[next(iter(self._left))]


def _key(session: Session, lun: int) -> Hashable:
    return session.target_name or session.number, lun_number(lun)


def _nexus(session: Session) -> _Nexus:
    return session.initiator_name, session.isid, session.target_name


def _sound(moment: Moment) -> bool:
    """Tell whether data passed as it was meant: whole, under right digests, as long as the header says."""
    record = moment.record
    if record.data_digest_ok is False or record.header_digest_ok is False or getattr(record.entry, "partial", False):
        return False
    return moment.sent or not moment.note.changed or moment.framed
