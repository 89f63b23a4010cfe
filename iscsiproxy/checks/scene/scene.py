"""One leg as a judge sees it: a conversation between the end at that leg and the proxy, whoever stood behind that.

A scene is told every record in order. It knows what both sides have said, counts with both, and has no opinion: what is
wrong with a PDU is for the rules to say, which see each one with the state before it. Behind a wrong number it goes on
as the two ends do, so that one error does not make what follows look wrong.

What the judged end was given with a wrong digest it has not heard (RFC 7143 7.8): it changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iscsiproxy.checks.moment import Moment, advances_stat_sn
from iscsiproxy.checks.scene.connections import Conn, Terms, terms_of
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.resends import Resends, heed_snack
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.checks.scene.tasks import R2T, Burst, Memory, Task
from iscsiproxy.session.facts import ConnectionReinstated, FullFeatureReached, SessionReinstated
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add, lt

__all__ = ["Limits", "Scene", "rejected_header"]

#: The PDUs that begin a task, and carry a CmdSN (RFC 7143 4.2.2.1)
_REQUESTS = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_LOGIN = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
#: What the tracker has to see: it knows phases, sessions and negotiations.
_TRACKED = _LOGIN | {Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE, Opcode.LOGOUT_REQUEST, Opcode.LOGOUT_RESPONSE}
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
_ENDS_LUN = frozenset({"ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET"})
_ENDS_ALL = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET", "I_T_NEXUS_RESET"})
#: Functions that let a target take all commands before them as received (RFC 7143 4.2.3.3 b)
_PLUGS_ALL = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The patience of the judge, in seconds.

    `answer` is how long an end may take for what the standard gives no time, `slow` from when on an answer is called
    slow, `close` how long for the end of a connection, `slack` how long PDUs that cross on the wire may be on their way
    (a barrier or an acknowledgement proves the same sooner).
    """

    answer: float = 15.0
    slow: float = 5.0
    close: float = 15.0
    slack: float = 0.05


def rejected_header(pdu: Pdu) -> Pdu | None:
    """Give the header inside a Reject; None if it is not there (RFC 7143 11.17.4)."""
    return Pdu(pdu.data[:BHS_LENGTH]) if len(pdu.data) >= BHS_LENGTH else None


class Scene(Memory):
    """The state of the leg at `end`. What rules keep about more than one session they keep with the scene."""

    __slots__ = ("_conn_of", "_handlers", "_serial", "conns", "end", "lapsed", "limits", "now", "sessions", "tracker")

    def __init__(self, end: End, limits: Limits | None = None) -> None:
        super().__init__()
        self.end = end
        self.limits = Limits() if limits is None else limits
        self.tracker = Tracker(end)
        self.conns: dict[int, Conn] = {}  #: those that have not ended
        self.sessions: dict[int, Session] = {}  #: those with a connection, or whose tasks wait for one
        self.lapsed: list[tuple[int, int]] = []  #: connections that a login ended, and their sessions (or 0)
        self.now = 0.0
        self._serial = 0
        self._handlers: Mapping[int, Callable[[Moment], None]] = {
            **dict.fromkeys(_REQUESTS, self._request),
            Opcode.DATA_OUT: self._data_out,
            Opcode.SNACK: self._snack,
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
        return f"<Scene at the {self.end}: {len(self.conns)} connections, {len(self.sessions)} sessions>"

    # --- connections -------------------------------------------------------------------------------------------------

    def open(self, number: int, at: float) -> None:
        """Begin with a connection of which no PDU has passed yet."""
        self.tracker.open(number, at)
        self._begin(number, at, seen=True)

    def conn_of(self, number: int, pdu: Pdu, at: float) -> Conn:
        """Give the connection that a PDU passes on; one that was not heard of before is begun in its middle."""
        conn = self.conns.get(number)
        if conn is None:
            self.tracker.observe(number, pdu, at)  # it guesses the phase, and the session is one without a name
            conn = self._begin(number, at, seen=pdu.opcode == Opcode.LOGIN_REQUEST)
            if conn.seen:
                self.tracker.open(number, at)
        return conn

    def _begin(self, number: int, at: float, *, seen: bool) -> Conn:
        conn = self.conns[number] = Conn(number, at, Session(0), seen=seen)
        conn.session.complete = False
        self._follow(conn)
        return conn

    def _follow(self, conn: Conn) -> None:
        """Take over what the tracker knows of a connection now."""
        known = self.tracker.connection(conn.number)
        if known is None:
            return
        conn.phase = known.machine.phase
        conn.cid = known.cid
        conn.seen = known.seen
        session = known.session
        if session is None:
            return
        if session.number != conn.session.number:
            conn.session.conns.pop(conn.number, None)
            mine = self.sessions.get(session.number)
            if mine is None:
                mine = self.sessions[session.number] = Session(session.number)
                mine.seen = mine.complete = known.seen and not known.tsih
                if mine.seen:
                    mine.book.start(known.first_cmd_sn)
            conn.session = mine
        mine = conn.session
        mine.conns[conn.number] = conn.cid
        mine.discovery = session.discovery
        mine.initiator_name, mine.target_name = session.initiator_name, session.target_name
        mine.isid, mine.tsih, mine.tpgt = session.isid, session.tsih, session.tpgt

    def closed(self, moment: Moment) -> bool:
        """Note the end of one side of a connection; tell whether that was the last of it."""
        event, conn = moment.closed, moment.conn
        assert event is not None
        sides = ("peer", "proxy") if event.how == "rst" else ("peer" if event.by == "peer" else "proxy",)
        conn.ended.update((event.leg, side) for side in sides)
        if len(conn.ended) < 2:
            return False
        self._lose(conn, moment.note)
        return True

    def _lose(self, conn: Conn, note: Note) -> None:
        """End a connection, and what it carried, unless the session keeps that (RFC 7143 7.1.5)."""
        self.conns.pop(conn.number, None)
        self.tracker.close(conn.number, note.at)
        conn.phase = Phase.CLOSED
        session = conn.session
        session.conns.pop(conn.number, None)
        for task in session.live(conn.number):
            if not task.immediate and not (session.exp_cmd is not None and lt(task.cmd_sn, session.exp_cmd)):
                session.book.doubt(task.cmd_sn)  # it may have been on its way
            if conn.terms.error_recovery_level == 2 and conn.logout is None:
                task.conn = 0
            else:
                session.end(task, note)
        if not session.conns and not session.tasks:
            self.sessions.pop(session.number, None)

    def missed(self) -> None:
        """Take note that events are missing."""
        for conn in self.conns.values():
            conn.forget()
            conn.session.forget()

    # --- PDUs --------------------------------------------------------------------------------------------------------

    def task_of(self, conn: Conn, pdu: Pdu, opcode: int, values: Mapping[str, int]) -> Task | None:
        """Find the task that a PDU belongs to; None for a request that begins one."""
        session = conn.session
        if opcode in _LOGIN:
            return None
        if opcode == Opcode.REJECT:
            header = rejected_header(pdu)
            return None if header is None else session.find(header["ITT"])
        itt = values["ITT"]
        task = session.find(itt)
        if task is None or opcode not in _REQUESTS:
            return task
        return task if self._again(task, opcode, values) else None

    def _again(self, task: Task, opcode: int, values: Mapping[str, int]) -> bool:
        """Tell whether a request goes on with a task that is there: a retry, or a further Text Request.

        One that was rejected had never been there (RFC 7143 7.3).
        """
        if task.opcode != opcode or task.rejected is not None:
            return False
        if opcode == Opcode.TEXT_REQUEST and task.live and values["TTT"] != NO_TAG:
            return True
        if opcode == Opcode.TEXT_REQUEST and task.live and values["CmdSN"] != task.cmd_sn:
            return True
        same = values["CmdSN"] == task.cmd_sn and bool(values.get("I")) == task.immediate
        return same and (task.live or (task.terminal is not None and not task.immediate))

    def observe(self, moment: Moment) -> None:
        """Move the state on behind a PDU."""
        conn, opcode = moment.conn, moment.opcode
        self.now = moment.at
        if moment.spoiled:
            return
        if opcode in _TRACKED:
            self._track(moment)
        if opcode in _LOGIN:
            self._login(moment)
            return
        if conn.phase is Phase.FULL_FEATURE or conn.phase is Phase.LOGOUT:
            handler = self._handlers.get(opcode)
            if handler is not None:
                handler(moment)

    def _track(self, moment: Moment) -> None:
        conn = moment.conn
        facts = self.tracker.observe(conn.number, moment.pdu, moment.at)
        self._follow(conn)
        for fact in facts:
            if isinstance(fact, FullFeatureReached):
                conn.terms = self._terms(conn)
            elif isinstance(fact, SessionReinstated):
                self._replaced(fact.old, moment.note)
                self.lapsed += [(number, fact.old) for number in fact.conns]
            elif isinstance(fact, ConnectionReinstated):
                old = self.conns.get(fact.old)
                if old is not None:
                    self._lose(old, moment.note)
                    self.lapsed.append((fact.old, 0))

    def _terms(self, conn: Conn) -> Terms:
        known = self.tracker.connection(conn.number)
        return conn.terms if known is None else terms_of(known.negotiation, known=known.seen)

    def _replaced(self, number: int, note: Note) -> None:
        """End a session whose place another one has taken (RFC 7143 6.3.5)."""
        session = self.sessions.pop(number, None)
        if session is None:
            return
        for task in session.live():
            session.end(task, note)

    def _login(self, moment: Moment) -> None:
        conn, values = moment.conn, moment.values
        if moment.opcode == Opcode.LOGIN_REQUEST:
            if conn.next_stat is not None:
                self._ack(conn, values["ExpStatSN"], moment.note)
            return
        if values["Status-Class"]:
            return
        conn.advance(values["StatSN"], moment.note)
        conn.session.tell(values["ExpCmdSN"], values["MaxCmdSN"], moment.note)

    # --- from the initiator ------------------------------------------------------------------------------------------

    def _snack(self, moment: Moment) -> None:
        self._ack(moment.conn, moment.values["ExpStatSN"], moment.note)
        heed_snack(moment.conn, moment.task, moment.values, moment.note)

    def _ack(self, conn: Conn, exp_stat_sn: int, note: Note) -> None:
        """Note an ExpStatSN: it never goes back, and what nobody has sent is no acknowledgement."""
        if exp_stat_sn == conn.acked or (conn.acked is not None and lt(exp_stat_sn, conn.acked)):
            return
        if conn.next_stat is None or not lt(add(conn.next_stat, 1), exp_stat_sn):
            conn.acked, conn.acked_note = exp_stat_sn, note

    def _request(self, moment: Moment) -> None:
        conn, session, values, task = moment.conn, moment.session, moment.values, moment.task
        self._ack(conn, values["ExpStatSN"], moment.note)
        cmd_sn, immediate = values["CmdSN"], bool(values["I"])
        ignored = ""
        if not immediate:
            beyond = session.max_cmd is not None and lt(session.max_cmd, cmd_sn)
            if beyond and (self.end is End.TARGET or cmd_sn != session.book.next):
                # The target may have opened its window meanwhile; an initiator that leaps is not followed.
                session.book.doubt(cmd_sn)
                ignored = "window" if self.end is End.TARGET else ""
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
                if self.end is End.INITIATOR:
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
        elif function in _ENDS_LUN or function in _ENDS_ALL:
            for task in session.live(lun=values["LUN"] if function in _ENDS_LUN else None):
                if task.is_scsi:
                    task.aborting = moment.note

    def _logout_request(self, moment: Moment) -> None:
        conn, session, values = moment.conn, moment.session, moment.values
        reason = codes.LOGOUT_REASON.text(values["ReasonCode"])
        for number, cid in session.conns.items():
            if reason == "CLOSE_SESSION" or (reason == "CLOSE_CONNECTION" and cid in (None, values["CID"])):
                other = self.conns.get(number, conn)
                other.logout = other.logout or moment.note

    def _data_out(self, moment: Moment) -> None:
        conn, values, task = moment.conn, moment.values, moment.task
        self._ack(conn, values["ExpStatSN"], moment.note)
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

    # --- from the target ---------------------------------------------------------------------------------------------

    def _window(self, moment: Moment) -> None:
        values, session = moment.values, moment.session
        session.tell(values["ExpCmdSN"], values["MaxCmdSN"], moment.note)
        if self.end is End.TARGET and session.book.gaps:
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
        elif function in _ENDS_LUN or function in _ENDS_ALL:
            lun = request.lun if function in _ENDS_LUN else None
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
                conn = self.conns.get(number)
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
            conn = self.conns.get(number)
            if conn is not None and (meant or event == "SESSION_DROP"):
                conn.notice = conn.notice or moment.note

    def _reject(self, moment: Moment) -> None:
        self._status(moment)
        header, session = rejected_header(moment.pdu), moment.session
        if header is None or header.opcode not in _REQUESTS:
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
