"""What the PDUs of an initiator mean for tasks and numbers in the full feature phase (RFC 7143 4.2, 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.resends import heed_snack
from iscsiproxy.checks.scene.tasks import Burst, Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import add, lt

__all__ = ["ENDS_ALL", "ENDS_LUN", "REQUESTS", "Requests"]

#: The PDUs that begin a task, and carry a CmdSN (RFC 7143 4.2.2.1)
REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
#: Task management functions that end the commands of a LUN, or of all (RFC 7143 11.5.1)
ENDS_LUN = frozenset({"ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET"})
ENDS_ALL = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET", "I_T_NEXUS_RESET"})
#: Functions that let a target take all commands before them as received (RFC 7143 4.2.3.3 b)
_PLUGS_ALL = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET"})


class Requests:
    """Moves the state on behind what an initiator said on the leg at `end`, over the scene's connections."""

    def __init__(self, end: End, conns: Mapping[int, Conn]) -> None:
        self._end = end
        self._conns = conns
        self._serial = 0
        #: By opcode
        self.handlers: Mapping[int, Callable[[Moment], None]] = {
            **dict.fromkeys(REQUESTS, self._request),
            Opcode.DATA_OUT: self._data_out,
            Opcode.SNACK: self._snack,
        }

    def __repr__(self) -> str:
        return f"<Requests at the {self._end}, {self._serial} tasks>"

    def _snack(self, moment: Moment) -> None:
        moment.conn.acknowledge(moment.values["ExpStatSN"], moment.note)
        heed_snack(moment.conn, moment.task, moment.values, moment.note)

    def _request(self, moment: Moment) -> None:
        conn, session, values, task = moment.conn, moment.session, moment.values, moment.task
        conn.acknowledge(values["ExpStatSN"], moment.note)
        cmd_sn, immediate = values["CmdSN"], bool(values["I"])
        ignored = ""
        if not immediate:
            beyond = session.max_cmd is not None and lt(session.max_cmd, cmd_sn)
            if beyond and (self._end is End.TARGET or cmd_sn != session.book.next):
                # The target may have opened its window meanwhile; an initiator that leaps is not followed.
                session.book.doubt(cmd_sn)
                ignored = "window" if self._end is End.TARGET else ""
            elif session.book.used(cmd_sn) and task is None:
                ignored = "duplicate"
            else:
                session.book.take(cmd_sn)
        if task is not None:
            task.last = moment.note
            if moment.opcode != Opcode.TEXT_REQUEST or cmd_sn == task.cmd_sn:
                task.retries.append(moment.note)
                if task.ignored == "window" and not ignored:
                    task.ignored = ""
                if self._end is End.INITIATOR:
                    task.unsolicited = Burst()  # it comes again with the command
        elif values["ITT"] != NO_TAG:
            self._start(moment, ignored)
        if moment.opcode == Opcode.LOGOUT_REQUEST:
            self._logout_request(moment)
        elif moment.opcode == Opcode.TMF_REQUEST:
            self._plug(moment)
            self._aim(moment)

    def _start(self, moment: Moment, ignored: str) -> None:
        session = moment.session
        if ignored and session.tasks.get(moment.values["ITT"]) is not None:
            return  # what has the tag goes on as if nothing had come
        self._serial += 1
        task = Task(self._serial, moment.note, moment.values, moment.conn.number)
        task.ignored = ignored
        old = session.find(task.itt)
        if old is not None and (old.live or (old.doubtful and len(old.answers) < 2)):
            task.replaced = old.note
        task.last = moment.note
        session.start(task)
        if task.is_scsi and moment.length:
            task.out_extents.add(0, moment.length)

    def _plug(self, moment: Moment) -> None:
        """Note what a target may take as received though it never came (RFC 7143 11.6.1 b, 4.2.3.3 b)."""
        values, book = moment.values, moment.session.book
        function, cmd_sn = codes.TMF_FUNCTION.text(values["Function"]), values["CmdSN"]
        if function == "ABORT_TASK":
            if lt(values["RefCmdSN"], cmd_sn) and book.used(values["RefCmdSN"]) is False:
                book.doubt(values["RefCmdSN"])
        elif function in _PLUGS_ALL and book.next is not None:
            if lt(book.next, cmd_sn):
                book.take(add(cmd_sn, -1))
            book.concede(cmd_sn)

    def _aim(self, moment: Moment) -> None:
        """Mark what a task management function is to end, whatever will be answered (RFC 7143 11.5.1)."""
        values, session = moment.values, moment.session
        function = codes.TMF_FUNCTION.text(values["Function"])
        if function == "ABORT_TASK":
            named = session.tasks.get(values["RefTaskTag"])
            if named is not None:
                named.aborting = moment.note
        elif function in ENDS_LUN or function in ENDS_ALL:
            for task in session.live(lun=values["LUN"] if function in ENDS_LUN else None):
                if task.is_scsi:
                    task.aborting = moment.note

    def _logout_request(self, moment: Moment) -> None:
        conn, session, values = moment.conn, moment.session, moment.values
        reason = codes.LOGOUT_REASON.text(values["ReasonCode"])
        for number, cid in session.conns.items():
            if reason == "CLOSE_SESSION" or (reason == "CLOSE_CONNECTION" and cid in (None, values["CID"])):
                other = self._conns.get(number, conn)
                other.logout = other.logout or moment.note

    def _data_out(self, moment: Moment) -> None:
        conn, values, task = moment.conn, moment.values, moment.task
        conn.acknowledge(values["ExpStatSN"], moment.note)
        if task is None:
            return
        task.last = moment.note
        length = moment.length
        r2t = None if values["TTT"] == NO_TAG else task.asked_by(values["TTT"])
        if values["TTT"] != NO_TAG and r2t is None:
            return
        burst: Burst = task.unsolicited if r2t is None else r2t.burst
        task.out_extents.add(values["BufferOffset"], length)
        burst.first = burst.first or moment.note
        burst.last = moment.note
        burst.next_sn = add(values["DataSN"], 1)
        burst.end = values["BufferOffset"] + length
        burst.bytes += length
        burst.extents.add(values["BufferOffset"], length)
        if values["F"]:
            burst.final = moment.note
        if r2t is not None and r2t.done and task.r2ts_open.get(r2t.ttt) is r2t:
            del task.r2ts_open[r2t.ttt]
