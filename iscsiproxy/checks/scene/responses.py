"""What the PDUs of a target mean for tasks and numbers in the full feature phase (RFC 7143 4.2, 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iscsiproxy.checks.moment import Moment, advances_stat_sn
from iscsiproxy.checks.scene.connections import Conn, Terms
from iscsiproxy.checks.scene.requests import ENDS_ALL, ENDS_LUN, REQUESTS
from iscsiproxy.checks.scene.resends import Resends
from iscsiproxy.checks.scene.tasks import R2T, Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add, lt

__all__ = ["Responses", "rejected_header"]

#: What each request is answered with (RFC 7143 11.1)
_ANSWERS: Mapping[int, int] = {
    Opcode.SCSI_RESPONSE: Opcode.SCSI_COMMAND,
    Opcode.TMF_RESPONSE: Opcode.TMF_REQUEST,
    Opcode.TEXT_RESPONSE: Opcode.TEXT_REQUEST,
    Opcode.LOGOUT_RESPONSE: Opcode.LOGOUT_REQUEST,
    Opcode.NOP_IN: Opcode.NOP_OUT,
}
#: Reject reasons after which a task goes on (RFC 7143 11.17.1)
_GOES_ON = frozenset(
    {codes.REJECT_REASON.value("DATA_DIGEST_ERROR"), codes.REJECT_REASON.value("TASK_IN_PROGRESS"),
     codes.REJECT_REASON.value("SNACK_REJECT"), codes.REJECT_REASON.value("INVALID_DATA_ACK")}
)  # fmt: skip
#: Answers to a task management function behind which it has surely done nothing (RFC 7143 11.6.1)
_DECLINED = frozenset(
    {codes.TMF_RESPONSE.value("FUNCTION_NOT_SUPPORTED"), codes.TMF_RESPONSE.value("FUNCTION_AUTHORIZATION_FAILED"),
     codes.TMF_RESPONSE.value("FUNCTION_REJECTED")}
)  # fmt: skip


def rejected_header(pdu: Pdu) -> Pdu | None:
    """Give the header inside a Reject; None if it is not there (RFC 7143 11.17.4)."""
    return Pdu(pdu.data[:BHS_LENGTH]) if len(pdu.data) >= BHS_LENGTH else None


class Responses:
    """Moves the state on behind what a target said on the leg at `end`; `terms` tells what a connection has now."""

    def __init__(self, end: End, conns: Mapping[int, Conn], terms: Callable[[Conn], Terms]) -> None:
        self._end = end
        self._conns = conns
        self._terms = terms
        #: By opcode
        self.handlers: Mapping[int, Callable[[Moment], None]] = {
            Opcode.NOP_IN: self._answer,
            Opcode.SCSI_RESPONSE: self._scsi_response,
            Opcode.TMF_RESPONSE: self._tmf_response,
            Opcode.TEXT_RESPONSE: self._text_response,
            Opcode.DATA_IN: self._data_in,
            Opcode.LOGOUT_RESPONSE: self._logout_response,
            Opcode.R2T: self._r2t,
            Opcode.ASYNC: self._async,
            Opcode.REJECT: self._reject,
        }

    def __repr__(self) -> str:
        return f"<Responses at the {self._end}>"

    def _window(self, moment: Moment) -> None:
        values, session = moment.values, moment.session
        session.tell(values["ExpCmdSN"], values["MaxCmdSN"], moment.note)
        if self._end is End.TARGET and session.book.gaps:
            session.book.concede(values["ExpCmdSN"])  # what it says it has is not waited for any more

    def _status(self, moment: Moment) -> None:
        """Take a PDU that has a StatSN of its own."""
        moment.conn.advance(moment.values["StatSN"], moment.note)
        self._window(moment)

    def _answer(self, moment: Moment) -> None:
        """Take a PDU that may be the answer to a request."""
        if advances_stat_sn(moment.opcode, moment.values):
            self._status(moment)
        else:
            if moment.conn.next_stat is None:
                moment.conn.next_stat = moment.values["StatSN"]
            self._window(moment)
            return
        task = moment.task
        if task is not None and task.opcode == _ANSWERS[moment.opcode]:
            self._answered(task, moment)

    def _answered(self, task: Task, moment: Moment) -> None:
        task.answers.append(moment.note)
        task.terminal = task.terminal or moment.note
        if task.rejected is not None and not task.immediate:
            moment.session.book.take(task.cmd_sn)  # so it had begun in spite of that (RFC 7143 11.17.1)
        task.last = moment.note
        moment.session.end(task, moment.note)

    def _scsi_response(self, moment: Moment) -> None:
        task = moment.task
        if task is not None and task.is_scsi and task.status is None and not moment.values["Response"]:
            task.status = moment.values["Status"]
        self._answer(moment)

    def _text_response(self, moment: Moment) -> None:
        self._status(moment)
        task = moment.task
        if task is None or task.opcode != Opcode.TEXT_REQUEST:
            return
        task.last = moment.note
        if moment.values["F"]:
            self._answered(task, moment)
            moment.conn.terms = self._terms(moment.conn)

    def _data_in(self, moment: Moment) -> None:
        conn, values, task = moment.conn, moment.values, moment.task
        if values["S"]:
            self._status(moment)
        else:
            self._window(moment)
        if task is None or not task.is_scsi:
            return
        length, offset = moment.length, values["BufferOffset"]
        task.last = task.data_in = moment.note
        task.in_pdus += 1
        task.in_bytes += length
        task.in_end = offset + length
        task.in_extents.add(offset, length)
        task.in_final = bool(values["F"])
        task.in_sequence = 0 if values["F"] else task.in_sequence + length
        self._count(task, values["DataSN"])
        if task.resends is not None:
            task.resends.sent(values["DataSN"])
        if values["A"] and values["TTT"] != NO_TAG:
            conn.acks_asked(values["TTT"], task)
        if values["S"]:
            if task.status is None:
                task.status = values["Status"]
            self._answered(task, moment)

    def _count(self, task: Task, number: int) -> None:
        """Note a DataSN or R2TSN: the count never goes back."""
        if not lt(number, task.next_sn):
            task.next_sn = add(number, 1)

    def _r2t(self, moment: Moment) -> None:
        values, task = moment.values, moment.task
        if moment.conn.next_stat is None:
            moment.conn.next_stat = values["StatSN"]
        self._window(moment)
        if task is None or not task.is_scsi:
            return
        task.last = moment.note
        if lt(values["R2TSN"], task.next_sn):
            old = task.was_asked(values)
            if old is not None and old.note.conn == moment.conn.number:
                return  # it was sent again, and asks for nothing new (RFC 7143 7.9)
        self._count(task, values["R2TSN"])
        r2t = R2T(
            values["TTT"],
            values["BufferOffset"],
            values["DesiredDataTransferLength"],
            moment.note,
            len(task.r2ts),
        )
        task.r2ts.append(r2t)
        task.r2ts_open[r2t.ttt] = r2t

    def _tmf_response(self, moment: Moment) -> None:
        request, session = moment.task, moment.session
        self._answer(moment)
        if request is None or request.opcode != Opcode.TMF_REQUEST:
            return
        function = codes.TMF_FUNCTION.text(request.values["Function"])
        reference = request.values["RefTaskTag"]
        if moment.values["Response"] in _DECLINED:
            for task in session.live():
                if task.aborting is request.note:
                    task.aborting = None
        if codes.TMF_RESPONSE.text(moment.values["Response"]) != "FUNCTION_COMPLETE":
            return
        named = session.tasks.get(reference)
        if function == "TASK_REASSIGN":
            named = session.find(reference)  # one whose status was lost with its connection has ended here
            if named is not None:
                named.conn = moment.conn.number
                named.r2ts_open.clear()
                named.resends = named.resends or Resends()
                named.resends.restart(request.note, named.acked_sn, request.values["ExpDataSN"])
        elif function == "ABORT_TASK":
            if named is not None:
                self._abort(named, moment)
        elif function in ENDS_LUN or function in ENDS_ALL:
            lun = request.lun if function in ENDS_LUN else None
            for task in session.live(lun=lun):
                if task.is_scsi and task.serial < request.serial:
                    self._abort(task, moment)

    def _abort(self, task: Task, moment: Moment) -> None:
        task.aborted = moment.note
        moment.session.end(task, moment.note)

    def _logout_response(self, moment: Moment) -> None:
        request, session = moment.task, moment.session
        self._answer(moment)
        if request is None or request.opcode != Opcode.LOGOUT_REQUEST or moment.values["Response"]:
            return
        reason = codes.LOGOUT_REASON.text(request.values["ReasonCode"])
        everything = reason == "CLOSE_SESSION"
        for number, cid in list(session.conns.items()):
            if everything or cid in (None, request.values["CID"]):
                conn = self._conns.get(number)
                if conn is not None and conn.logout is not None:
                    conn.logout_answer = moment.note
                for task in session.live(number):
                    if reason == "REMOVE_CONNECTION_FOR_RECOVERY":
                        task.conn = 0
                    else:
                        session.end(task, moment.note)

    def _async(self, moment: Moment) -> None:
        """Take what the target announces: the end of connections or of tasks (RFC 7143 11.9.1)."""
        self._status(moment)
        session, values = moment.session, moment.values
        event = codes.ASYNC_EVENT.text(values["AsyncEvent"])
        if event == "TASK_TERMINATION":
            for task in session.live(lun=values["LUN"]):
                if task.is_scsi:
                    task.aborting = moment.note
        if event not in ("LOGOUT_REQUEST", "CONNECTION_DROP", "SESSION_DROP"):
            return
        for number, cid in session.conns.items():
            meant = number == moment.conn.number if event == "LOGOUT_REQUEST" else cid in (None, values["Parameter1"])
            conn = self._conns.get(number)
            if conn is not None and (meant or event == "SESSION_DROP"):
                conn.notice = conn.notice or moment.note

    def _reject(self, moment: Moment) -> None:
        self._status(moment)
        header, session = rejected_header(moment.pdu), moment.session
        if header is None or header.opcode not in REQUESTS:
            return
        task, cmd_sn = moment.task, header["CmdSN"]
        mine = task is not None and task.opcode == header.opcode and task.cmd_sn == cmd_sn
        if moment.values["Reason"] in _GOES_ON or (task is not None and (not mine or task.retries)):
            # Which of several requests it was, or whether the other one goes on, is not known.
            if not header["I"]:
                session.book.doubt(cmd_sn)
            return
        if not header["I"]:
            session.book.reopen(cmd_sn)
            for other in session.live():
                if other.ignored == "duplicate" and other.cmd_sn == cmd_sn:
                    other.ignored = ""  # it came into the place of the one that was rejected
                    session.book.doubt(cmd_sn)
        if task is not None and task.live:
            task.rejected = moment.note
            session.end(task, moment.note)
