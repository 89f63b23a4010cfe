"""What a session keeps, and what it does with each PDU that comes.

A `SessionCore` has the command window, the tasks and the requests that wait for an answer. Three tasks work for it: one
reads, one writes, and now and then one reacts to what the target said by itself. Whatever ends the session goes through
`fail`, which tells everybody who waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable

import trio

from iscsiproxy.peers.initiator.conduct import Conduct, Reaction
from iscsiproxy.peers.initiator.connection import Connection, Outgoing
from iscsiproxy.peers.initiator.errors import CommandAborted, CommandRejected, ConnectionLost, ProtocolError
from iscsiproxy.peers.initiator.running import Request, Running
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.waiting import Events, Tap
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG, lun_number
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SessionCore"]

#: Asynchronous messages 2 and 3: the target drops the connection, or all of the session's (RFC 7143 11.9.1)
_CONNECTION_DROP = 2
#: Reject reason "waiting for logout" (RFC 7143 11.17.1)
_WAITING_FOR_LOGOUT = 0x0C
#: How many commands are remembered that task management has ended.
_MOST_ENDED = 1024
#: The answer that each request waits for (RFC 7143 11.2.1.2)
_ANSWERS = {
    Opcode.NOP_OUT: Opcode.NOP_IN,
    Opcode.TMF_REQUEST: Opcode.TMF_RESPONSE,
    Opcode.TEXT_REQUEST: Opcode.TEXT_RESPONSE,
    Opcode.LOGOUT_REQUEST: Opcode.LOGOUT_RESPONSE,
}


class SessionCore(ABC):
    """A session in full feature phase, over one connection."""

    def __init__(
        self,
        connection: Connection,
        settings: InitiatorSettings,
        conduct: Conduct,
        *,
        cmdsn: int,
        exp_cmdsn: int,
        max_cmdsn: int,
    ) -> None:
        self.settings = settings
        self.connection = connection
        #: What the target said by itself.
        self.events = Events()
        #: Why the session is over, or None.
        self.failure: ConnectionLost | None = None
        #: The CmdSN of the next command, and what the target last said it expects and takes (RFC 7143 4.2.2.1)
        self.cmdsn = cmdsn
        self.exp_cmdsn = exp_cmdsn
        self.max_cmdsn = max_cmdsn
        self._conduct = conduct
        self._over = trio.Event()
        self._closing: ConnectionLost | None = None
        #: What the target that is about to drop the connection said, in seconds.
        self._time2wait: int | None = None
        self._itt = settings.first_itt
        self._tasks: dict[int, Running] = {}
        self._requests: dict[int, Request] = {}
        #: Tags of commands that were ended: what still comes for them is dropped (RFC 7143 4.2.3.3, 11.5.1)
        self._ended: deque[int] = deque(maxlen=_MOST_ENDED)
        self._claims: dict[int, Tap] = {}
        self._taps: list[Tap] = []
        self._window_moved = trio.Event()
        self._turn = trio.StrictFIFOLock()
        self._nursery: trio.Nursery | None = None
        self._handlers: dict[int, Callable[[Pdu], None]] = {
            Opcode.SCSI_RESPONSE: self._on_task_pdu,
            Opcode.DATA_IN: self._on_task_pdu,
            Opcode.R2T: self._on_task_pdu,
            Opcode.TMF_RESPONSE: self._on_answer,
            Opcode.TEXT_RESPONSE: self._on_answer,
            Opcode.LOGOUT_RESPONSE: self._on_answer,
            Opcode.NOP_IN: self._on_nop_in,
            Opcode.ASYNC: self._on_async,
            Opcode.REJECT: self._on_reject,
        }

    def __repr__(self) -> str:
        state = f"over: {self.failure}" if self.failure else f"{len(self._tasks)} commands"
        return f"<{type(self).__name__} CmdSN {self.cmdsn} of {self.exp_cmdsn}..{self.max_cmdsn}, {state}>"

    @property
    def parameters(self) -> Parameters:
        """What is agreed on, as of now."""
        return self.connection.parameters

    @property
    def commands(self) -> tuple[Running, ...]:
        """The SCSI commands that are on their way."""
        return tuple(self._tasks.values())

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until the session is over or this is cancelled; closes the connection. Raises nothing of the wire."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._spawn(self._read)
                self._spawn(self.connection.write)
                task_status.started()
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self.fail(ConnectionLost("the session was closed"))
            with trio.CancelScope(shield=True):
                await self.connection.aclose()

    def _spawn(self, work: Callable[[], Awaitable[object]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except ConnectionLost as error:
                self.fail(error)

        if self._nursery is not None:
            self._nursery.start_soon(guarded)

    def fail(self, error: ConnectionLost) -> None:
        """End the session, once; everybody who waits is told."""
        if self.failure is not None:
            return
        if error.time2wait is None:
            error.time2wait = self._time2wait
        self.failure = error
        for running in self._tasks.values():
            running.task.quiet = True
            running.answer.fail(error)
        for request in self._requests.values():
            request.answer.fail(error)
        for tap in (*self._taps, *self._claims.values()):
            tap.close()
        self._tasks.clear()
        self._requests.clear()
        self.connection.abandon()
        self.events.close()
        self._move_window()
        self._over.set()

    async def ended(self) -> ConnectionLost:
        """Wait until the session is over, and say why."""
        await self._over.wait()
        assert self.failure is not None
        return self.failure

    def _ensure_open(self) -> None:
        error = self.failure or self._closing
        if error is not None:
            raise error.again()

    # --- sending --------------------------------------------------------------------------------------------------

    def take_itt(self) -> int:
        """Give a task tag that nobody uses (RFC 7143 11.2.1.8)."""
        while True:
            itt = self._itt
            self._itt = serial.add(itt, 1)
            if itt != NO_TAG and itt not in self._tasks and itt not in self._requests and itt not in self._claims:
                return itt

    def _move_window(self) -> None:
        self._window_moved.set()
        self._window_moved = trio.Event()

    def _window_open(self) -> bool:
        return self.failure is not None or serial.le(self.cmdsn, self.max_cmdsn)

    async def _place(self, *, immediate: bool) -> None:
        """Wait for a place in the command window, in turn (RFC 7143 4.2.2.1); immediate commands need none."""
        self._ensure_open()
        if not immediate and (self._turn.locked() or not self._window_open()):
            async with self._turn:
                while not self._window_open():
                    await self._window_moved.wait()
            self._ensure_open()

    def _number(self, *, immediate: bool) -> int:
        """Take the CmdSN for one command that leaves now."""
        cmdsn = self.cmdsn
        if not immediate:
            self.cmdsn = serial.add(cmdsn, 1)
        return cmdsn

    def _ask(self, pdu: Pdu, *, cmdsn: int | None = None) -> Request:
        """Send a request that has its ITT; without `cmdsn` it takes the next one."""
        number = self._number(immediate=bool(pdu["I"])) if cmdsn is None else cmdsn
        request = Request(pdu.with_fields({"CmdSN": number}))
        self._requests[pdu["ITT"]] = request
        self.connection.put(Outgoing((request.pdu,)))
        return request

    async def _answer_to(self, request: Request) -> Pdu:
        return await request.answer.wait()

    # --- receiving ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            pdu = await self._receive()
            for tap in self._taps:
                tap.put(pdu)
            if self.connection.check(pdu):
                self._take_window(pdu)
                self._dispatch(pdu)

    async def _receive(self) -> Pdu:
        """Receive a PDU, and ask for a sign of life where none comes."""
        interval = self.settings.nop_interval
        if not interval:
            return await self.connection.receive()
        with trio.move_on_after(interval):
            return await self.connection.receive()
        self._ask(Pdu.build(Opcode.NOP_OUT, I=1, F=1, ITT=self.take_itt(), TTT=NO_TAG))
        with trio.move_on_after(interval):
            return await self.connection.receive()
        raise ConnectionLost(f"the target was silent for {2 * interval} seconds")

    def _take_window(self, pdu: Pdu) -> None:
        """Learn ExpCmdSN and MaxCmdSN, which only ever rise (RFC 7143 4.2.2.1)."""
        expected, most = pdu.get("ExpCmdSN"), pdu.get("MaxCmdSN")
        if expected is None or most is None or serial.lt(most, serial.add(expected, -1)):
            return
        if serial.gt(expected, self.exp_cmdsn):
            self.exp_cmdsn = expected
        if serial.gt(most, self.max_cmdsn):
            self.max_cmdsn = most
            self._move_window()

    def _dispatch(self, pdu: Pdu) -> None:
        if (claim := self._claims.get(pdu["ITT"])) is not None:
            claim.put(pdu)
        elif (handler := self._handlers.get(pdu.opcode)) is not None:
            handler(pdu)
        else:
            raise ProtocolError(f"{pdu.label} in full feature phase", section="RFC 7143 4.2.4, 11.2.1.2")

    def _on_task_pdu(self, pdu: Pdu) -> None:
        running = self._tasks.get(pdu["ITT"])
        if running is None:
            if pdu["ITT"] not in self._ended:
                self._conduct.unknown_task(pdu)
            return
        task = running.task
        match pdu.opcode:
            case Opcode.R2T:
                self.connection.put(Outgoing(task.on_r2t(pdu)))
            case Opcode.DATA_IN:
                task.on_data_in(pdu)
            case _:
                task.on_response(pdu)
        if task.outcome is not None:
            del self._tasks[task.itt]
            running.answer.settle(task.outcome)

    def _on_answer(self, pdu: Pdu) -> None:
        request = self._requests.get(pdu["ITT"])
        if request is None and pdu.opcode == Opcode.TMF_RESPONSE:
            return  # its tasks are long concluded (RFC 7143 4.2.3.3 c)
        if request is None or _ANSWERS[Opcode(request.pdu.opcode)] != pdu.opcode:
            self._conduct.unknown_task(pdu)
            return
        del self._requests[pdu["ITT"]]
        if request.concludes is not None:
            request.concludes(pdu)
        request.answer.settle(pdu)

    def _on_nop_in(self, pdu: Pdu) -> None:
        if pdu["ITT"] != NO_TAG:
            if pdu["TTT"] != NO_TAG:
                raise ProtocolError("NOP-In that answers and asks at once", section="RFC 7143 11.19, 7.7")
            self._on_answer(pdu)
        elif pdu["TTT"] != NO_TAG:
            self.events.add(pdu)
            lun = self._conduct.ping_lun(pdu["LUN"])
            reply = Pdu.build(Opcode.NOP_OUT, I=1, F=1, LUN=lun, ITT=NO_TAG, TTT=pdu["TTT"], CmdSN=self.cmdsn)
            self.connection.put(Outgoing((reply,)))

    # --- what the target says by itself ---------------------------------------------------------------------------

    def _on_reject(self, pdu: Pdu) -> None:
        """Tell whoever sent what is rejected, and fill the place of a command that was not taken (RFC 7143 7.3)."""
        self.events.add(pdu)
        if len(pdu.data) < BHS_LENGTH:
            return
        header = Pdu(pdu.data[:BHS_LENGTH])
        itt = header["ITT"]
        if (claim := self._claims.get(itt)) is not None:
            claim.put(pdu)
            return
        error = CommandRejected(pdu["Reason"])
        request: Request | Running | None = self._requests.get(itt)
        if header.opcode == Opcode.SCSI_COMMAND:
            request = self._tasks.get(itt)
        if request is None or header.opcode not in (*_ANSWERS, Opcode.SCSI_COMMAND):
            # A rejected Data-Out ends its command with a status of its own (RFC 7143 7.8).
            return
        if isinstance(request, Running):
            request.task.quiet = True
            del self._tasks[itt]
        else:
            del self._requests[itt]
        request.answer.fail(error)
        if pdu["Reason"] == _WAITING_FOR_LOGOUT:
            if self._closing is None:
                self._closing = ConnectionLost("the target waits for a logout")
                self._spawn(lambda: self._log_out_within(0))
        elif not header["I"] and serial.ge(header["CmdSN"], self.exp_cmdsn) and self._conduct.fills_place():
            if isinstance(request, Request) and request.fills:
                raise ConnectionLost("the target rejects what fills the place of a rejected command, too")
            if isinstance(request, Request) and self.settings.discovery:
                # A discovery session has no NOP-Out (RFC 7143 4.3): what was rejected comes once more.
                filler = request.pdu.with_fields({"ITT": self.take_itt()})
            else:
                filler = Pdu.build(Opcode.NOP_OUT, F=1, ITT=self.take_itt(), TTT=NO_TAG)
            self._ask(filler, cmdsn=header["CmdSN"]).fills = True

    def _on_async(self, pdu: Pdu) -> None:
        self.events.add(pdu)
        match self._conduct.reaction(pdu["AsyncEvent"]):
            case Reaction.LOG_OUT:
                # No new commands from here on, whoever has one to give (RFC 7143 11.9.1).
                self._closing = ConnectionLost("the target asked for a logout")
                self._spawn(lambda: self._log_out_within(pdu["Parameter3"]))
            case Reaction.WAIT_AND_RECONNECT:
                if pdu["AsyncEvent"] != _CONNECTION_DROP or pdu["Parameter1"] == self.connection.cid:
                    raise ConnectionLost(
                        f"the target drops the connection: AsyncEvent {pdu['AsyncEvent']}",
                        time2wait=pdu["Parameter2"],
                    )
            case Reaction.AWAIT_DROP:
                self._time2wait = pdu["Parameter2"]
            case Reaction.NEGOTIATE:
                self._spawn(self._negotiate)
            case Reaction.TERMINATE_TASKS:
                self._terminate(pdu["LUN"])
            case Reaction.NOTHING:
                pass

    def _terminate(self, lun: int) -> None:
        """Forget the tasks of a logical unit, and acknowledge that with its LUN (RFC 7143 4.2.3.4)."""
        number = lun_number(lun)
        self._end_tasks(
            [running for running in self._tasks.values() if running.lun == number],
            CommandAborted(f"the target terminated the tasks of LUN {number}"),
        )
        nop = Pdu.build(Opcode.NOP_OUT, I=1, F=1, LUN=lun, ITT=NO_TAG, TTT=NO_TAG, CmdSN=self.cmdsn)
        self.connection.put(Outgoing((nop,)))

    def _end_tasks(self, ended: list[Running], error: CommandAborted) -> None:
        for running in ended:
            running.task.quiet = True
            if self._tasks.get(running.itt) is running:
                del self._tasks[running.itt]
                self._ended.append(running.itt)
            running.answer.fail(error)

    @abstractmethod
    async def _log_out_within(self, seconds: int) -> None:
        """Log out, as the target has asked, within so many seconds (RFC 7143 11.9.1)."""

    @abstractmethod
    async def _negotiate(self) -> None:
        """Send a Text Request, as the target has asked (RFC 7143 11.9.1)."""
