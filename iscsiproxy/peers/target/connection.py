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

from iscsiproxy.peers.parameters import DEFAULT_SEGMENT
from iscsiproxy.peers.target.conduct import INCORRECT_AMOUNT, Disconnect
from iscsiproxy.peers.target.login import Login
from iscsiproxy.peers.target.management import ManagementRequest
from iscsiproxy.peers.target.objections import NUMBERED, Reason, command_objection, misfit, objection
from iscsiproxy.peers.target.requests import LogoutRequest, NopRequest, TextRequest
from iscsiproxy.peers.target.task import Burst, Task, abort_all
from iscsiproxy.peers.target.text import TextExchange
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.peers.target.node import Node
    from iscsiproxy.peers.target.session import Request, Session

__all__ = ["Connection"]

#: What takes a StatSN (RFC 7143 4.2.2.2); NOP-In, Data-In and Reject are looked at closer
_STATUS_PDUS = frozenset(
    {
        *(Opcode.SCSI_RESPONSE, Opcode.TMF_RESPONSE, Opcode.LOGIN_RESPONSE, Opcode.TEXT_RESPONSE),
        *(Opcode.LOGOUT_RESPONSE, Opcode.ASYNC),
    }
)
#: How much data may wait to be sent before nothing more is received, in bytes.
_MOST_WAITING = 1 << 20
#: What a queued answer costs us beside its data, in bytes, or a little more.
_PDU_COST = 1 << 10
#: How many immediate commands may be under way at once (RFC 7143 4.2.2.1)
_MOST_IMMEDIATE = 64
#: How many ended commands are remembered whose Data-Out may still be on its way.
_MOST_ABSORBED = 1024
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
        if self.closed:
            return
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
        if session is None and self._login is not None:
            # The session that a connection logs in to again has numbers already.
            session = self._node.session_of(self._login.tsih)
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
        """Send a Reject with the header of a PDU, all of it that the initiator takes (RFC 7143 11.17)."""
        assert self.session is not None
        header = (pdu.bhs + pdu.ahs)[: self.session.parameters.send_segment]
        self.put([Pdu.build(Opcode.REJECT, data=header, F=1, Reason=reason, ITT=NO_TAG)])

    def show_window(self) -> None:
        """Tell MaxCmdSN where no answer does: a shut window would stay shut for the initiator (RFC 7143 4.2.2.1)."""
        self.put([Pdu.build(Opcode.NOP_IN, F=1, ITT=NO_TAG, TTT=NO_TAG)])

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
            status = self._node.refusal(login.logged_in.identity)
            if status is None:
                self._begin(self._node.admit(login.logged_in, login.tsih, self))
            else:
                # While it logged in, the session that it wanted to join has gone, or the last place.
                self._refuse(responses[-1], status, tsih=login.logged_in.identity.tsih)
                return
        if responses:
            self.put(responses)
        if login.failed:
            self.reason = f"login: {login.reason}"
            if responses:
                self.close_after_output(self.reason)
            else:
                self.drop(self.reason)

    def _begin(self, session: Session) -> None:
        """Enter full feature phase."""
        self.session = session
        parameters = session.parameters
        self.text = TextExchange(self, parameters, discovery=session.discovery, target=session.identity.target)
        self.receive_digests = self._send_digests = (parameters.header_digest, parameters.data_digest)
        self.receive_segment = parameters.receive_segment

    def _refuse(self, response: Pdu, status: int, *, tsih: int) -> None:
        """Turn the final response of a login into a refusal, and close behind it."""
        fields = {"T": 0, "CSG": 0, "NSG": 0, "TSIH": tsih, "Status-Class": status >> 8, "Status-Detail": status & 0xFF}
        self.put([response.with_data(b"").with_fields(fields)])
        self.close_after_output("login: no such session any more")

    def _receive(self, pdu: Pdu) -> None:
        """Take a PDU in full feature phase."""
        session = self.session
        assert session is not None
        if pdu.header_digest_ok() is False:
            # Not even its length can be believed (RFC 7143 7.8).
            self.drop("a wrong header digest")
            return
        opcode = pdu.opcode
        if (reason := misfit(opcode, discovery=session.discovery)) is not None:
            self.reject(pdu, reason)
        elif opcode in NUMBERED and not session.admits(pdu):
            # Whatever else may be wrong with it, nobody hears of it (RFC 7143 4.2.2.1).
            if self.conduct.duplicate_kills_original():
                abort_all([task for task in session.tasks.values() if task.has_number(pdu["CmdSN"])])
        elif (reason := objection(pdu)) is not None:
            self.reject(pdu, reason)
        elif opcode == Opcode.DATA_OUT:
            self._receive_data(pdu, session)
        elif opcode == Opcode.NOP_OUT and pdu["ITT"] == NO_TAG:
            self.pong(pdu["TTT"])
        else:
            self._receive_request(pdu, session)

    def _receive_request(self, pdu: Pdu, session: Session) -> None:
        """Take what has a CmdSN and is in its window."""
        if session.knows(pdu["ITT"]):
            self.reject(pdu, Reason.IN_PROGRESS)
            return
        if pdu["I"] and session.immediate >= _MOST_IMMEDIATE:
            self.reject(pdu, Reason.TOO_MANY_IMMEDIATE)
            return
        request: Request
        match pdu.opcode:
            case Opcode.SCSI_COMMAND:
                if (reason := command_objection(pdu)) is not None:
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
            self.reject(pdu, Reason.DATA_DIGEST)
        task = session.tasks.get(itt)
        burst = None
        if tag == NO_TAG:
            burst = task.unsolicited_burst() if task is not None else None
        elif tag in self._bursts and self._bursts[tag].task is task:
            burst = self._bursts[tag]
        if burst is not None and task is not None and tag in (NO_TAG, burst.tag):
            if burst.solicited and pdu["LUN"] != task.lun:  # RFC 7143 4.2.5.3, 11.7.4
                self.reject(pdu, Reason.INVALID_FIELD)
                task.fail(INCORRECT_AMOUNT)
            task.take(burst, pdu, intact=intact)
        elif (itt, tag) in self._absorbed:
            if pdu["F"]:
                del self._absorbed[itt, tag]
        elif intact:
            self.reject(pdu, Reason.INVALID_FIELD)
