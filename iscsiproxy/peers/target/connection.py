"""One connection of the target: PDUs in, PDUs out, from the login to the end.

The server feeds what it receives, sends what `next_pdu` gives, and closes the transport when `closed` is set and
`next_pdu` has no more. Nothing here waits or reads a clock.

What is to be sent waits in one row, as iterators that make their PDUs when they are asked for: a long read costs no
more than its data. StatSN, ExpCmdSN, MaxCmdSN and digests are put in at that moment, so they are those of the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from iscsiproxy.errors import AhsError
from iscsiproxy.peers.parameters import DEFAULT_SEGMENT
from iscsiproxy.peers.target.conduct import Disconnect
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.management import ManagementRequest
from iscsiproxy.peers.target.requests import LogoutRequest, NopRequest, TextRequest
from iscsiproxy.peers.target.task import Burst, Task
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire import serial
from iscsiproxy.wire.ahs import AhsType, parse_ahs
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.peers.target.node import Node
    from iscsiproxy.peers.target.session import Request, Session

__all__ = ["Connection"]

#: Reject reasons (RFC 7143 11.17.1)
_DATA_DIGEST, _PROTOCOL_ERROR, _NOT_SUPPORTED, _TOO_MANY_IMMEDIATE = 0x02, 0x04, 0x05, 0x06
_IN_PROGRESS, _INVALID_FIELD = 0x07, 0x09
#: What takes a StatSN (RFC 7143 4.2.2.2); NOP-In, Data-In and Reject are looked at closer
_STATUS_PDUS = frozenset(
    {
        *(Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.LOGIN_RESPONSE, Opcode.TEXT_RESPONSE),
        *(Opcode.LOGOUT_RESPONSE, Opcode.ASYNC),
    }
)
_NUMBERED = frozenset(
    {
        *(Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST),
    }
)
#: What may carry an AHS, and what may not carry data (RFC 7143 11.2.1.5, 11.5, 11.14)
_NO_DATA = frozenset({Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST, Opcode.SNACK})
#: How much data may wait to be sent before nothing more is received, in bytes.
_MOST_WAITING = 1 << 20
#: What a queued answer costs us beside its data, in bytes, or a little more.
_PDU_COST = 1 << 10
#: How many immediate commands may be under way at once (RFC 7143 4.2.2.1)
_MOST_IMMEDIATE = 64
#: How many ended commands are remembered whose Data-Out may still be on its way.
_MOST_ABSORBED = 1024
#: Task attributes 5 to 7 are reserved (RFC 7143 11.3.1)
_LAST_ATTRIBUTE = 4
#: AsyncEvents "negotiation", "task termination" (RFC 7143 11.9.1)
_TASKS_TERMINATED = 5
#: The StatSN of the first Login Response; any will do (RFC 7143 4.2.2.2)
_FIRST_STATSN = 1


class Connection:
    """One iSCSI connection; made by `Node.accept`.

    The server's loop, after each `receive`: set `receive_digests` (header, data) and `receive_segment` (bytes) on its
    stream, and receive no more while `stalled` is set (it falls when `next_pdu` has been called) or once `closed` is.
    `on_output` is called when `next_pdu` may give something or `closed` has been set, also on account of another
    connection; it must not call back into the connection.
    """

    def __init__(self, node: Node, portal: str) -> None:
        self._node = node
        self.settings = node.settings
        self.conduct = node.conduct
        self.portal = portal
        self.session: Session | None = None
        self.closed = False
        self.reason = ""
        self.receive_digests = (False, False)
        self.receive_segment = DEFAULT_SEGMENT
        self.on_output: Callable[[], None] = lambda: None
        self.text: TextExchange | None = None
        self._login: Login | None = Login(node)
        self._login_exp_cmdsn = 0
        self._send_digests = (False, False)
        self._out: deque[tuple[Iterator[Pdu], int]] = deque()
        self._waiting = 0
        self._statsn = _FIRST_STATSN
        self.exp_statsn = _FIRST_STATSN
        self._bursts: dict[int, Burst] = {}
        self._absorbed: dict[tuple[int, int], None] = {}
        self._ping_tag = NO_TAG
        self._closing = False
        self._final = False

    def __repr__(self) -> str:
        state = f"closed: {self.reason}" if self.closed else "full feature" if self.session else repr(self._login)
        return f"<Connection to {self.portal} {state}, StatSN {self._statsn}, {len(self._out)} to send>"

    @property
    def logged_in(self) -> bool:
        """Whether the connection is in full feature phase: `login_timeout` runs until then."""
        return self.session is not None

    @property
    def stalled(self) -> bool:
        """Whether so much waits to be sent that nothing should be received for now."""
        return self._waiting > _MOST_WAITING

    @property
    def awaits_data(self) -> bool:
        """Whether Data-Out is due: `data_timeout` runs from the last PDU received while this is set."""
        session = self.session
        return session is not None and any(task.bursts for task in session.tasks.values())

    @property
    def pinged(self) -> bool:
        """Whether a `ping` is not answered yet."""
        return self._ping_tag != NO_TAG

    def portals_of(self, target: str) -> Sequence[str]:
        """Give the portals of a target: the one that this initiator has reached leads to all of them."""
        return (self.portal,)

    def visible_targets(self) -> Sequence[str]:
        """Name the targets that discovery tells."""
        return self._node.visible_targets()

    # --- sending --------------------------------------------------------------------------------------------------

    def put(self, pdus: Iterable[Pdu], *, cost: int = 0) -> None:
        """Queue PDUs without sequence numbers; `cost` is how many bytes wait in them where they are not made yet."""
        if isinstance(pdus, Sequence):
            cost += sum(map(len, pdus))
        cost += _PDU_COST
        self._out.append((iter(pdus), cost))
        self._waiting += cost
        self.on_output()

    def next_pdu(self) -> Pdu | None:
        """Give the next PDU to send, sealed, or None if there is none now."""
        while self._out:
            pdus, cost = self._out[0]
            pdu = next(pdus, None)
            if pdu is not None:
                return self._stamped(pdu)
            self._out.popleft()
            self._waiting -= cost
        if self._closing and not self.closed:
            self.drop(self.reason)
        return None

    def _stamped(self, pdu: Pdu) -> Pdu:
        """Put in sequence numbers and digests."""
        login = pdu.opcode == Opcode.LOGIN_RESPONSE
        if login and pdu["Status-Class"]:
            return pdu  # none of the numbers means anything (RFC 7143 11.13.5)
        numbers = {}
        session = self.session
        if session is not None:
            numbers = {"ExpCmdSN": session.exp_cmdsn, "MaxCmdSN": session.max_cmdsn}
        elif login:
            numbers = {"ExpCmdSN": self._login_exp_cmdsn, "MaxCmdSN": self._login_exp_cmdsn}
        if pdu.opcode != Opcode.DATA_IN or pdu["S"]:
            numbers["StatSN"] = self._statsn
        if self._advances(pdu):
            self._statsn = serial.add(self._statsn, 1)
        header, data = (False, False) if login else self._send_digests
        return pdu.with_fields(numbers).sealed(header=header, data=data)

    def _advances(self, pdu: Pdu) -> bool:
        """Tell whether a PDU takes a StatSN (RFC 7143 4.2.2.2)."""
        match pdu.opcode:
            case Opcode.DATA_IN:
                return bool(pdu["S"])
            case Opcode.NOP_IN:
                return pdu["ITT"] != NO_TAG
            case Opcode.REJECT:
                return self.conduct.reject_advances(pdu.data[0] & 0x3F)
            case opcode:
                return opcode in _STATUS_PDUS

    def reject(self, pdu: Pdu, reason: int) -> None:
        """Send a Reject with the whole header of a PDU (RFC 7143 11.17)."""
        self.put([Pdu.build(Opcode.REJECT, data=pdu.bhs + pdu.ahs, F=1, Reason=reason, ITT=NO_TAG)])

    def ping(self) -> None:
        """Ask for a sign of life with a NOP-In (RFC 7143 11.19); does nothing while an earlier one is not answered."""
        if self.session is None or self.pinged:
            return
        self._ping_tag = self.session.take_tag()
        self.put([Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=self._ping_tag)])

    def pong(self, tag: int) -> None:
        """Take the answer to a ping."""
        if tag == self._ping_tag:
            self._ping_tag = NO_TAG

    def send_async(
        self, event: int, *, lun: int = 0, parameters: tuple[int, int, int] = (0, 0, 0), data: bytes = b""
    ) -> None:
        """Send an Asynchronous Message (RFC 7143 11.9); `lun` is a LUN field, `data` the whole data segment."""
        one, two, three = parameters
        self.put(
            [
                Pdu.build(
                    Opcode.ASYNC,
                    data=data,
                    F=1,
                    LUN=lun,
                    ITT=NO_TAG,
                    AsyncEvent=event,
                    Parameter1=one,
                    Parameter2=two,
                    Parameter3=three,
                )
            ]
        )

    def tasks_terminated(self, lun: int) -> None:
        """Take note that another initiator's doing has ended a command (RFC 7143 4.2.3.4, 11.9.1)."""
        session = self.session
        if session is not None and session.parameters.task_reporting == "FastAbort":
            self.send_async(_TASKS_TERMINATED, lun=lun)

    # --- the end --------------------------------------------------------------------------------------------------

    def close_after_output(self, reason: str, *, final: bool = False) -> None:
        """Receive nothing more, send what is queued, then close; `final` ends the session too."""
        self._closing = True
        self._final = self._final or final
        self.reason = self.reason or reason
        self.on_output()

    def drop(self, reason: str) -> None:
        """Close without another word: a timeout, an error, or the server's end."""
        self._out.clear()
        self._waiting = 0
        self._end(reason)

    def garbled(self, reason: str) -> None:
        """Take note that the stream made no PDU: close (RFC 7143 7.7)."""
        self.drop(f"garbled: {reason}")

    def lost(self) -> None:
        """Take note that the transport is gone, whichever way; may be called in any state, more than once."""
        self.drop("lost")

    def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self.reason = self.reason or reason
        session, self.session = self.session, None
        if session is not None:
            self._node.disconnected(session, self, final=self._final)
        self.on_output()

    # --- receiving ------------------------------------------------------------------------------------------------

    def receive(self, pdu: Pdu) -> None:
        """Take a PDU as it came; whatever is wrong with it is answered or closes the connection."""
        if self.closed or self._closing:
            return
        try:
            if self._login is not None:
                self._receive_login(self._login, pdu)
            else:
                self._receive(pdu)
        except Disconnect:
            self.drop("a quirk")

    def _receive_login(self, login: Login, pdu: Pdu) -> None:
        responses = login.receive(pdu)
        if pdu.opcode == Opcode.LOGIN_REQUEST:
            self._login_exp_cmdsn = pdu["CmdSN"]
        if login.logged_in is not None:
            self._login = None
            self.session = self._node.admit(login.logged_in, login.tsih, self)
            parameters = self.session.parameters
            self.text = TextExchange(
                self,
                parameters,
                discovery=self.session.discovery,
                target=self.session.identity.target,
            )
            self.receive_digests = self._send_digests = (parameters.header_digest, parameters.data_digest)
            self.receive_segment = parameters.receive_segment
        if responses:
            self.put(responses)
        if login.failed:
            self.reason = f"login: {login.reason}"
            if responses:
                self.close_after_output(self.reason)
            else:
                self.drop(self.reason)

    def _receive(self, pdu: Pdu) -> None:
        """Take a PDU in full feature phase."""
        session = self.session
        assert session is not None
        if pdu.header_digest_ok() is False:
            # Not even its length can be believed (RFC 7143 7.8).
            self.drop("a wrong header digest")
            return
        opcode = pdu.opcode
        if opcode in (Opcode.DATA_OUT, Opcode.SNACK) or opcode in _NUMBERED:
            self.exp_statsn = pdu["ExpStatSN"]
        if (reason := self._objection(pdu, session)) is not None:
            self.reject(pdu, reason)
        elif opcode == Opcode.DATA_OUT:
            self._receive_data(pdu, session)
        elif opcode == Opcode.NOP_OUT and pdu["ITT"] == NO_TAG:
            self.pong(pdu["TTT"])
        elif session.admits(pdu):
            self._receive_request(pdu, session)
        elif self.conduct.duplicate_kills_original():
            for task in [task for task in session.tasks.values() if task.cmdsn == pdu["CmdSN"] and not task.immediate]:
                task.abort()

    def _objection(self, pdu: Pdu, session: Session) -> int | None:
        """Give the reason to reject a PDU for what it is, if there is one (RFC 7143 11.17.1)."""
        opcode = pdu.opcode
        if sender_of(opcode) is End.TARGET or opcode == Opcode.LOGIN_REQUEST:
            return _PROTOCOL_ERROR
        if opcode == Opcode.SNACK:
            return _PROTOCOL_ERROR  # ErrorRecoveryLevel 0 knows none (7.1.5)
        if opcode not in _NUMBERED and opcode != Opcode.DATA_OUT:
            return _NOT_SUPPORTED
        if session.discovery and opcode not in (Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST):
            return _PROTOCOL_ERROR  # RFC 7143 4.3
        if (pdu.ahs and opcode != Opcode.SCSI_COMMAND) or (pdu.data and opcode in _NO_DATA):
            return _INVALID_FIELD
        if pdu.data_digest_ok() is False and opcode != Opcode.DATA_OUT:
            return _DATA_DIGEST
        if pdu["ITT"] == NO_TAG and (opcode != Opcode.NOP_OUT or not pdu["I"]):
            return _INVALID_FIELD
        return None

    def _receive_request(self, pdu: Pdu, session: Session) -> None:
        """Take what has a CmdSN and is in its window."""
        if pdu["ITT"] in session.tasks:
            self.reject(pdu, _IN_PROGRESS)
            return
        request: Request
        match pdu.opcode:
            case Opcode.SCSI_COMMAND:
                if (reason := self._command_objection(pdu, session)) is not None:
                    self.reject(pdu, reason)
                    return
                request = session.tasks[pdu["ITT"]] = Task(self, pdu)
            case Opcode.NOP_OUT:
                request = NopRequest(self, pdu)
            case Opcode.TMF_REQUEST:
                request = ManagementRequest(self._node, self, pdu)
            case Opcode.TEXT_REQUEST:
                request = TextRequest(self, pdu)
            case _:
                request = LogoutRequest(self, pdu)
        session.enter(pdu, request)

    def _command_objection(self, pdu: Pdu, session: Session) -> int | None:
        """Give the reason to reject a SCSI Command (RFC 7143 11.3)."""
        reads, writes, final, length = pdu["R"], pdu["W"], pdu["F"], len(pdu.data)
        if pdu["I"] and sum(task.immediate for task in session.tasks.values()) >= _MOST_IMMEDIATE:
            return _TOO_MANY_IMMEDIATE
        if pdu["ATTR"] > _LAST_ATTRIBUTE or not (writes or final) or (length and not writes):
            return _INVALID_FIELD
        if pdu["EDTL"] and not (reads or writes):
            return _INVALID_FIELD
        if writes and not final and length and length == pdu["EDTL"]:
            return _INVALID_FIELD
        try:
            kinds = [segment.type for segment in parse_ahs(pdu.ahs)]
        except AhsError:
            return _INVALID_FIELD
        if any(kind not in tuple(AhsType) for kind in kinds) or len(set(kinds)) != len(kinds):
            return _INVALID_FIELD
        if (AhsType.BIDIRECTIONAL_READ_EDTL in kinds) != bool(reads and writes):
            return _INVALID_FIELD
        return None

    # --- Data-Out -------------------------------------------------------------------------------------------------

    def remember_tag(self, burst: Burst) -> None:
        """Take note that Data-Out with this burst's Target Transfer Tag is due."""
        self._bursts[burst.tag] = burst

    def forget_tag(self, tag: int) -> None:
        """Take note that no more is due with this tag."""
        self._bursts.pop(tag, None)

    def absorb(self, itt: int, bursts: Iterable[Burst]) -> None:
        """Let the rest of some bursts come and go: their command has ended."""
        for burst in bursts:
            self._bursts.pop(burst.tag, None)
            self._absorbed[itt, burst.tag] = None
            if len(self._absorbed) > _MOST_ABSORBED:
                del self._absorbed[next(iter(self._absorbed))]

    def _receive_data(self, pdu: Pdu, session: Session) -> None:
        itt, tag = pdu["ITT"], pdu["TTT"]
        intact = pdu.data_digest_ok() is not False
        if not intact:
            self.reject(pdu, _DATA_DIGEST)
        task = session.tasks.get(itt)
        burst = None
        if tag == NO_TAG:
            burst = task.unsolicited_burst() if task is not None else None
        elif tag in self._bursts and self._bursts[tag].task is task:
            burst = self._bursts[tag]
        if burst is not None and task is not None and tag in (NO_TAG, burst.tag):
            if tag != NO_TAG and pdu["LUN"] != task.lun:
                self.reject(pdu, _INVALID_FIELD)  # RFC 7143 4.2.5.3
                return
            task.take(burst, pdu, intact=intact)
        elif (itt, tag) in self._absorbed:
            if pdu["F"]:
                del self._absorbed[itt, tag]
        elif intact:
            self.reject(pdu, _INVALID_FIELD)
