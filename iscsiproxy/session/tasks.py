"""The tasks of one session: every request that wants an answer, and how far it has come (RFC 7143 4.2.5).

A task begins with a SCSI Command, TMF, Text or Logout Request, or a NOP-Out with an Initiator Task Tag, and is
*outstanding* until its final response: SCSI Response or Data-In with S, TMF Response, the Text Response with F=1,
Logout Response, NOP-In, a Reject of the request, or the task management function, logout or lost connection that ended
it. Immediate requests count as well; logins do not. The requests of one text exchange are one task; so are a command
and its retry, which has the same tag and CmdSN (RFC 7143 7.2.1).

What is kept is bounded: a finished task stays to be found until its tag is used again, the oldest of too many are
forgotten, and so are the oldest outstanding ones of a peer that never answers.
"""

from __future__ import annotations

from iscsiproxy.session.snapshot import TaskView
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["FINISHED_KEPT", "OUTSTANDING_KEPT", "OpenR2T", "Serials", "Task", "Tasks", "header_of"]

#: How many finished tasks of a session can still be found.
FINISHED_KEPT = 1024
#: How many outstanding tasks of a session are kept.
OUTSTANDING_KEPT = 8192
#: How many R2Ts of a task may be open beyond MaxOutstandingR2T before the oldest is forgotten.
_SPARE_R2TS = 16


def header_of(pdu: Pdu) -> Pdu:
    """Give a PDU without data and digests."""
    return Pdu(pdu.bhs, pdu.ahs) if pdu.data or pdu.header_digest or pdu.pad else pdu


class Serials:
    """Numbers the tasks of one leg from 1; `last` was given out last."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def __repr__(self) -> str:
        return f"<Serials last={self.last}>"

    def take(self) -> int:
        """Give the next number."""
        self.last += 1
        return self.last


class OpenR2T:
    """An R2T whose data has not all come: `length` bytes wanted from `offset`, `progress` bytes seen."""

    __slots__ = ("data_sn", "length", "offset", "progress")

    def __init__(self, offset: int, length: int) -> None:
        self.offset = offset
        self.length = length
        self.progress = 0
        self.data_sn = 0  #: the DataSN its next Data-Out has to carry

    def __repr__(self) -> str:
        return f"<OpenR2T {self.progress} of {self.length} bytes at {self.offset}>"


class Task:
    """One task; `command` is a header without data. `conn` is the connection it belongs to, 0 when that was lost.

    `data_sn` is the DataSN or R2TSN the target has to use next, `unsolicited` the DataSN of the next unsolicited
    Data-Out.
    """

    __slots__ = (
        "cmd_sn",
        "command",
        "conn",
        "data_sn",
        "finished",
        "itt",
        "r2ts",
        "received",
        "sent",
        "serial",
        "started",
        "status",
        "unsolicited",
    )

    def __init__(
        self, serial: int, command: Pdu, itt: int, cmd_sn: int, conn: int, started: float, received: int = 0
    ) -> None:
        self.serial = serial
        self.command = command
        self.itt = itt
        self.cmd_sn = cmd_sn
        self.conn = conn
        self.started = started
        self.received = received
        self.sent = 0
        self.data_sn = 0
        self.unsolicited = 0
        self.r2ts: dict[int, OpenR2T] = {}
        self.status: int | None = None
        self.finished = False

    def __repr__(self) -> str:
        state = "finished" if self.finished else "outstanding"
        return f"<Task {self.serial} {self.command.label} ITT={self.itt:#010x} {state}>"

    def view(self) -> TaskView:
        """Freeze what is known."""
        return TaskView(
            serial=self.serial,
            command=self.command,
            started=self.started,
            received=self.received,
            sent=self.sent,
            R2Ts=len(self.r2ts),
            status=self.status,
        )

    def is_retry(self, command: Pdu, cmd_sn: int) -> bool:
        """Tell whether `command`, which has this task's ITT, belongs to it.

        The same CmdSN makes it so, unless the task has finished and the command takes no number: immediate commands
        share theirs. A Text Request belongs to an exchange that has not ended.
        """
        mine = self.command
        if command.opcode != mine.opcode:
            return False
        if not self.finished and command.opcode == Opcode.TEXT_REQUEST:
            return True
        immediate = command["I"]
        return cmd_sn == self.cmd_sn and immediate == mine["I"] and not (self.finished and immediate)

    def open_r2t(self, ttt: int, offset: int, length: int, *, allowed: int) -> bool:
        """Note an R2T; tell whether the task now has more open ones than `allowed` (RFC 7143 13.17)."""
        r2ts = self.r2ts
        r2ts.pop(ttt, None)
        r2ts[ttt] = OpenR2T(offset, length)
        if len(r2ts) > allowed + _SPARE_R2TS:
            del r2ts[next(iter(r2ts))]
        return len(r2ts) > allowed


class Tasks:
    """The tasks of one session by Initiator Task Tag (RFC 7143 11.2.1.8: unique in the session)."""

    __slots__ = ("_finished_kept", "_on", "_outstanding_kept", "finished", "live")

    def __init__(self, *, outstanding: int = OUTSTANDING_KEPT, finished: int = FINISHED_KEPT) -> None:
        self.live: dict[int, Task] = {}
        self.finished: dict[int, Task] = {}
        self._outstanding_kept = outstanding
        self._finished_kept = finished
        self._on: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Tasks {len(self.live)} outstanding, {len(self.finished)} finished>"

    def __len__(self) -> int:
        return len(self.live)

    def on(self, conn: int) -> int:
        """Count the outstanding tasks of a connection."""
        return self._on.get(conn, 0)

    def find(self, itt: int) -> Task | None:
        """Give the task that last used this tag, or None."""
        return self.live.get(itt) or self.finished.get(itt)

    def start(self, task: Task) -> None:
        """Take in a new task; one with the same tag is forgotten."""
        live, itt = self.live, task.itt
        old = live.pop(itt, None)
        if old is not None:
            self._count(old.conn, -1)
        else:
            self.finished.pop(itt, None)
        if len(live) >= self._outstanding_kept:
            self._count(live.pop(next(iter(live))).conn, -1)
        live[itt] = task
        self._count(task.conn, 1)

    def finish(self, task: Task, status: int | None = None) -> None:
        """Note a task's final response, with its SCSI status if it has one."""
        if status is not None:
            task.status = status
        if task.finished:
            return
        task.finished = True
        task.r2ts.clear()
        if self.live.get(task.itt) is not task:
            return
        del self.live[task.itt]
        self._count(task.conn, -1)
        finished = self.finished
        finished[task.itt] = task
        if len(finished) > self._finished_kept:
            del finished[next(iter(finished))]

    def finish_all(self, conn: int | None = None) -> None:
        """End the outstanding tasks of a connection, or all."""
        for task in list(self.live.values()):
            if conn is None or task.conn == conn:
                self.finish(task)

    def abort(self, lun: int | None, *, before: int) -> None:
        """End the SCSI commands of a LUN, or of all, that came before the task of that serial (RFC 7143 4.2.3.3)."""
        for task in list(self.live.values()):
            command = task.command
            if command.opcode != Opcode.SCSI_COMMAND or task.serial > before:
                continue
            if lun is None or command["LUN"] == lun:
                self.finish(task)

    def assign(self, task: Task, conn: int) -> None:
        """Give a task to another connection, 0 for none (RFC 7143 7.2.2)."""
        if self.live.get(task.itt) is task:
            self._count(task.conn, -1)
            self._count(conn, 1)
        task.conn = conn

    def abandon(self, conn: int) -> None:
        """Take the outstanding tasks of a lost connection as belonging to none."""
        for task in self.live.values():
            if task.conn == conn:
                self.assign(task, 0)

    def clear(self) -> None:
        """Forget every task."""
        self.live.clear()
        self.finished.clear()
        self._on.clear()

    def _count(self, conn: int, step: int) -> None:
        count = self._on.get(conn, 0) + step
        if count:
            self._on[conn] = count
        else:
            self._on.pop(conn, None)
