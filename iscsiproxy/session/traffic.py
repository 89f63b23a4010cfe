"""What the PDUs of the full feature phase mean for tasks and numbers (RFC 7143 4.2, 11).

One handler an opcode. This is the path of every PDU: fields are read in one step each, and nothing is made unless there
is something to tell. A connection in this phase always has a session, be it one without a name.
"""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.session.facts import Fact, PhaseChanged, Violation
from iscsiproxy.session.layout import LENGTH, mask, reader
from iscsiproxy.session.machine import Symbol
from iscsiproxy.session.sessions import Connection, Registry
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tasks import Serials, Task, header_of
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt

__all__ = ["REQUESTS", "Traffic", "rejected"]

Facts = tuple[Fact, ...]
Handler = Callable[[Connection, Pdu, float], Facts]

#: The PDUs that begin a task, and carry a CmdSN (RFC 7143 4.2.2.1)
REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
#: Reject reasons after which a task goes on: its data is asked for again, or it was running before (RFC 7143 11.17.1)
_TASK_GOES_ON = frozenset(
    {codes.REJECT_REASON.value("DATA_DIGEST_ERROR"), codes.REJECT_REASON.value("TASK_IN_PROGRESS")}
)
#: Task management functions that end the commands of a LUN, or of all (RFC 7143 11.5.1, RFC 7144 6.3)
_ENDS_LUN = frozenset({"ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET"})
_ENDS_ALL = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET", "I_T_NEXUS_RESET"})

# The requests have these fields in the same places.
_REQUEST = reader(Opcode.SCSI_COMMAND, "Opcode", "DataSegmentLength", "ITT", "CmdSN", "ExpStatSN")
_DATA_OUT = reader(Opcode.DATA_OUT, "F", "DataSegmentLength", "ITT", "TTT", "ExpStatSN", "DataSN")
_SNACK = reader(Opcode.SNACK, "ExpStatSN")
# So have the responses.
_ANSWER = reader(Opcode.NOP_IN, "ITT", "StatSN", "ExpCmdSN", "MaxCmdSN")
_RESPONSE = reader(Opcode.SCSI_RESPONSE, "Response", "Status", "ITT", "StatSN", "ExpCmdSN", "MaxCmdSN")
_DATA_IN = reader(Opcode.DATA_IN, "S", "Status", "DataSegmentLength", "ITT", "StatSN", "ExpCmdSN", "MaxCmdSN", "DataSN")
_R2T = reader(
    Opcode.R2T,
    *("ITT", "TTT", "StatSN", "ExpCmdSN", "MaxCmdSN", "R2TSN", "BufferOffset", "DesiredDataTransferLength"),
)
_I = mask(Opcode.SCSI_COMMAND, "I")
_F = mask(Opcode.DATA_OUT, "F")
_S = mask(Opcode.DATA_IN, "S")

_CMDSN = "RFC 7143 4.2.2.1"
_STATSN = "RFC 7143 4.2.2.2"
_DATASN = "RFC 7143 4.2.2.4"


def rejected(pdu: Pdu) -> Pdu | None:
    """Give the header inside a Reject; None if the data is not there (RFC 7143 11.17.4)."""
    return Pdu(pdu.data[:BHS_LENGTH]) if len(pdu.data) >= BHS_LENGTH else None


class Traffic:
    """Follows the full feature phase of one leg; `handlers` has one for each of the 64 opcodes."""

    def __init__(self, sessions: Registry, serials: Serials) -> None:
        self._sessions = sessions
        self._serials = serials
        handlers: list[Handler] = [_nothing] * 64
        for opcode in REQUESTS:
            handlers[opcode] = self._request
        handlers[Opcode.TEXT_REQUEST] = self._text_request
        handlers[Opcode.LOGOUT_REQUEST] = self._logout_request
        handlers[Opcode.DATA_OUT] = self._data_out
        handlers[Opcode.SNACK] = self._snack
        handlers[Opcode.NOP_IN] = self._nop_in
        handlers[Opcode.SCSI_RESPONSE] = self._scsi_response
        handlers[Opcode.TMF_RESPONSE] = self._tmf_response
        handlers[Opcode.TEXT_RESPONSE] = self._text_response
        handlers[Opcode.DATA_IN] = self._data_in
        handlers[Opcode.LOGOUT_RESPONSE] = self._logout_response
        handlers[Opcode.R2T] = self._r2t
        handlers[Opcode.ASYNC] = self._async
        handlers[Opcode.REJECT] = self._reject
        self.handlers = tuple(handlers)
        #: What a PDU of a target tells of numbers; what is not here does so as an Async Message does.
        self._tellers: dict[int, Handler] = {
            Opcode.DATA_IN: self._data_in,
            Opcode.R2T: self._r2t,
            Opcode.NOP_IN: self._nop_in,
        }

    def __repr__(self) -> str:
        return f"<Traffic after task {self._serials.last}>"

    def recall(self, connection: Connection, pdu: Pdu, at: float) -> None:
        """Take the numbers alone of a PDU that went by a while ago, on a connection whose tasks are not known."""
        opcode, session = pdu.opcode, connection.session
        assert session is not None
        if opcode in (Opcode.DATA_OUT, Opcode.SNACK):
            self._snack(connection, pdu, at)
        elif opcode in REQUESTS or opcode == Opcode.LOGIN_REQUEST:
            first, _, _, cmd_sn, exp_stat_sn = _REQUEST(pdu.bhs)
            if opcode != Opcode.LOGIN_REQUEST:
                connection.numbers.ack(exp_stat_sn)
            if not first & _I:
                session.commands.take(cmd_sn, again=False)
            elif session.commands.next is None:
                session.commands.start(cmd_sn)
        elif sender_of(opcode) is End.TARGET:
            self._tellers.get(opcode, self._async)(connection, pdu, at)

    # --- from the initiator ------------------------------------------------------------------------------------------

    def _request(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        first, lengths, itt, cmd_sn, exp_stat_sn = _REQUEST(pdu.bhs)
        session = connection.session
        assert session is not None
        connection.numbers.ack(exp_stat_sn)
        task = session.tasks.find(itt)
        again = task is not None and task.is_retry(pdu, cmd_sn)
        complaint = None
        if not first & _I:
            complaint = session.commands.take(cmd_sn, again=task is not None and again and task.cmd_sn == cmd_sn)
        if task is not None and again:
            task.cmd_sn = cmd_sn
        elif itt != NO_TAG:
            session.tasks.start(
                Task(self._serials.take(), header_of(pdu), itt, cmd_sn, connection.number, at, lengths & LENGTH)
            )
        return () if complaint is None else _violation(connection, End.INITIATOR, complaint, _CMDSN)

    def _text_request(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        connection.hear(pdu, full_feature=True)
        return self._request(connection, pdu, at)

    def _logout_request(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        facts = self._request(connection, pdu, at)
        reason = codes.LOGOUT_REASON.text(pdu["ReasonCode"])
        this = reason == "CLOSE_SESSION" or (reason == "CLOSE_CONNECTION" and connection.cid in (None, pdu["CID"]))
        machine = connection.machine
        if this and machine.phase is Phase.FULL_FEATURE:
            machine.step(Symbol.LOGOUT)
            facts += (PhaseChanged(conn=connection.number, old=Phase.FULL_FEATURE, new=machine.phase),)
        return facts

    def _data_out(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        flags, lengths, itt, ttt, exp_stat_sn, data_sn = _DATA_OUT(pdu.bhs)
        numbers, session = connection.numbers, connection.session
        if exp_stat_sn != numbers.acked:
            numbers.ack(exp_stat_sn)
        assert session is not None
        task = session.tasks.live.get(itt)
        if task is None:
            return ()
        length = lengths & LENGTH
        task.received += length
        following = (data_sn + 1) & 0xFFFFFFFF
        if ttt == NO_TAG:
            expected, task.unsolicited = task.unsolicited, following
        else:
            r2t = task.r2ts.get(ttt)
            if r2t is None:
                return ()
            r2t.progress += length
            expected, r2t.data_sn = r2t.data_sn, following
            if flags & _F or r2t.progress >= r2t.length:
                del task.r2ts[ttt]
        if data_sn == expected:
            return ()
        return _violation(connection, End.INITIATOR, f"DataSN {data_sn:#x} where {expected:#x} was next", _DATASN)

    def _snack(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        (exp_stat_sn,) = _SNACK(pdu.bhs)
        connection.numbers.ack(exp_stat_sn)
        return ()

    # --- from the target ---------------------------------------------------------------------------------------------

    def _data_in(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        flags, status, lengths, itt, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn = _DATA_IN(pdu.bhs)
        session = connection.session
        assert session is not None
        facts: Facts = ()
        commands = session.commands
        if max_cmd_sn != commands.maximum or exp_cmd_sn != commands.expected:
            facts = _window(connection, exp_cmd_sn, max_cmd_sn)
        task = session.tasks.live.get(itt)
        if task is not None:
            task.sent += lengths & LENGTH
            if data_sn == task.data_sn:
                task.data_sn = (data_sn + 1) & 0xFFFFFFFF
            else:
                facts += _data_sn(connection, task, data_sn, "DataSN")
        if flags & _S:
            facts += _status(connection, stat_sn)
            _finish(connection, itt, Opcode.SCSI_COMMAND, status)
        return facts

    def _scsi_response(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        response, status, itt, stat_sn, exp_cmd_sn, max_cmd_sn = _RESPONSE(pdu.bhs)
        facts = _status(connection, stat_sn) + _window(connection, exp_cmd_sn, max_cmd_sn)
        # The status says something only if the command was completed (RFC 7143 11.4.2).
        _finish(connection, itt, Opcode.SCSI_COMMAND, None if response else status)
        return facts

    def _r2t(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn, offset, length = _R2T(pdu.bhs)
        session = connection.session
        assert session is not None
        connection.numbers.hint(stat_sn)
        facts = _window(connection, exp_cmd_sn, max_cmd_sn)
        task = session.tasks.live.get(itt)
        if task is None:
            return facts
        if r2t_sn == task.data_sn:
            task.data_sn = (r2t_sn + 1) & 0xFFFFFFFF
        else:
            facts += _data_sn(connection, task, r2t_sn, "R2TSN")
        # With error recovery an R2T may be sent again, or for data that was lost (RFC 7143 7.2, 11.8).
        if task.open_r2t(ttt, offset, length, allowed=connection.r2ts) and connection.once:
            text = f"{len(task.r2ts)} open R2Ts where MaxOutstandingR2T is {connection.r2ts}"
            facts += _violation(connection, End.TARGET, text, "RFC 7143 13.17")
        return facts

    def _nop_in(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        itt, stat_sn, exp_cmd_sn, max_cmd_sn = _ANSWER(pdu.bhs)
        facts = _window(connection, exp_cmd_sn, max_cmd_sn)
        if itt == NO_TAG:
            connection.numbers.hint(stat_sn)
            return facts
        _finish(connection, itt, Opcode.NOP_OUT)
        return _status(connection, stat_sn) + facts

    def _async(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        _, stat_sn, exp_cmd_sn, max_cmd_sn = _ANSWER(pdu.bhs)
        return _status(connection, stat_sn) + _window(connection, exp_cmd_sn, max_cmd_sn)

    def _text_response(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        facts = self._async(connection, pdu, at)
        connection.hear(pdu, full_feature=True)
        if pdu["F"]:
            _finish(connection, pdu["ITT"], Opcode.TEXT_REQUEST)
        return facts

    def _tmf_response(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        facts = self._async(connection, pdu, at)
        session, request = connection.session, _finish(connection, pdu["ITT"], Opcode.TMF_REQUEST)
        assert session is not None
        if request is None:
            return facts
        tasks, command = session.tasks, request.command
        function = codes.TMF_FUNCTION.text(command["Function"])
        response = codes.TMF_RESPONSE.text(pdu["Response"])
        named = tasks.live.get(command["RefTaskTag"])
        if function == "ABORT_TASK" and response in ("FUNCTION_COMPLETE", "TASK_DOES_NOT_EXIST"):
            if named is not None:
                tasks.finish(named)
        elif response != "FUNCTION_COMPLETE":
            pass
        elif function in _ENDS_LUN:
            tasks.abort(command["LUN"], before=request.serial)
        elif function in _ENDS_ALL:
            tasks.abort(None, before=request.serial)
        elif function == "TASK_REASSIGN" and named is not None:
            tasks.assign(named, connection.number)
        return facts

    def _logout_response(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        facts = self._async(connection, pdu, at)
        session, request = connection.session, _finish(connection, pdu["ITT"], Opcode.LOGOUT_REQUEST)
        assert session is not None
        if request is None or pdu["Response"]:
            return facts
        reason = codes.LOGOUT_REASON.text(request.command["ReasonCode"])
        if reason == "CLOSE_SESSION":
            session.tasks.finish_all()
            self._sessions.drop(session)
            return facts
        cid = request.command["CID"]
        closed = session.conns.get(cid)
        session.lost.pop(cid, None)
        if closed is not None:
            if reason == "CLOSE_CONNECTION":
                session.tasks.finish_all(closed.number)
            session.leave(closed)
        if not session.conns:
            self._sessions.drop(session)
        return facts

    def _reject(self, connection: Connection, pdu: Pdu, at: float) -> Facts:
        facts = self._async(connection, pdu, at)
        session, header = connection.session, rejected(pdu)
        assert session is not None
        if header is None or header.opcode not in REQUESTS:
            return facts
        if not header["I"]:
            session.commands.reopen(header["CmdSN"])
        if pdu["Reason"] in _TASK_GOES_ON:
            return facts
        task = session.tasks.live.get(header["ITT"])
        if task is not None and task.cmd_sn == header["CmdSN"] and task.command.opcode == header.opcode:
            session.tasks.finish(task)
        return facts


def _nothing(_connection: Connection, _pdu: Pdu, _at: float) -> Facts:
    return ()


def _violation(connection: Connection, by: End, text: str, section: str) -> Facts:
    return (Violation(conn=connection.number, by=by, text=text, section=section),)


def _status(connection: Connection, stat_sn: int) -> Facts:
    complaint = connection.numbers.status(stat_sn, once=connection.once)
    return () if complaint is None else _violation(connection, End.TARGET, complaint, _STATSN)


def _window(connection: Connection, exp_cmd_sn: int, max_cmd_sn: int) -> Facts:
    assert connection.session is not None
    complaint = connection.session.commands.tell(exp_cmd_sn, max_cmd_sn)
    return () if complaint is None else _violation(connection, End.TARGET, complaint, _CMDSN)


def _data_sn(connection: Connection, task: Task, number: int, name: str) -> Facts:
    """Judge a DataSN or R2TSN that was not the next one: left out some, or, where nothing is sent again, went back."""
    expected = task.data_sn
    ahead = lt(expected, number)
    if ahead:
        task.data_sn = (number + 1) & 0xFFFFFFFF
    if not ahead and not connection.once:
        return ()
    return _violation(connection, End.TARGET, f"{name} {number:#x} where {expected:#x} was next", _DATASN)


def _finish(connection: Connection, itt: int, opcode: int, status: int | None = None) -> Task | None:
    """End the task that `itt` names, if it is of the kind that such a response ends."""
    assert connection.session is not None
    tasks = connection.session.tasks
    task = tasks.find(itt)
    if task is None or task.command.opcode != opcode:
        return None
    tasks.finish(task, status)
    return task
