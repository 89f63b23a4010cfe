"""The requests that a session makes: commands, task management, NOP, Text, Logout; and raw access to the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import trio

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.connection import Connection, Outgoing
from iscsiproxy.peers.initiator.core import SessionCore
from iscsiproxy.peers.initiator.errors import (
    CommandAborted,
    CommandFailed,
    CommandTimeout,
    ConnectionLost,
    ProtocolError,
)
from iscsiproxy.peers.initiator.login import Established
from iscsiproxy.peers.initiator.running import Running
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.initiator.tasks import Outcome, ScsiTask
from iscsiproxy.peers.initiator.texts import TextDialogue
from iscsiproxy.peers.initiator.waiting import Tap
from iscsiproxy.peers.scsi.command import Attribute
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import TextPair

__all__ = ["LogoutOutcome", "Session", "TargetRecord"]

#: Task management functions (RFC 7143 11.5.1, RFC 7144 6.3)
_ABORT_TASK, _ABORT_TASK_SET, _CLEAR_TASK_SET, _LUN_RESET = 1, 2, 4, 5
_WARM_RESET, _COLD_RESET, _QUERY_TASK, _NEXUS_RESET = 6, 7, 9, 11
#: Those that name one task, end the tasks of one logical unit, end all (RFC 7143 4.2.3, 11.5)
_OF_ONE_TASK = frozenset({_ABORT_TASK, _QUERY_TASK})
_OF_ONE_UNIT = frozenset({_ABORT_TASK_SET, _CLEAR_TASK_SET, _LUN_RESET})
_OF_ALL = frozenset({_WARM_RESET, _COLD_RESET, _NEXUS_RESET})
#: Those without a LUN (RFC 7143 11.5.3)
_WITHOUT_LUN = _OF_ALL
#: Function complete, task does not exist (RFC 7143 11.6.1)
_COMPLETE, _NO_SUCH_TASK = 0, 1
#: Logout reasons (RFC 7143 11.14.1)
_CLOSE_SESSION = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutOutcome:
    """What a Logout Response says (RFC 7143 11.15); times in seconds."""

    response: int
    time2wait: int
    time2retain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """One target of a SendTargets answer, with its addresses `host:port,portal-group` (RFC 7143 appendix C)."""

    name: str
    addresses: tuple[str, ...] = ()


class Session(SessionCore):
    """A session in full feature phase. Made by `open_session`, which owns and closes it.

    Every method raises `ConnectionLost` when the session is over, or a `ProtocolError`, which is one, if the target's
    fault ended it. Cancelling a method leaves the session whole; the command goes on without anybody to hear of it.
    """

    def __init__(
        self, established: Established, stream: PduStream, settings: InitiatorSettings, conduct: Conduct
    ) -> None:
        super().__init__(
            Connection(
                stream,
                parameters=established.parameters,
                exp_statsn=established.exp_statsn,
                conduct=conduct,
                cid=settings.cid,
            ),
            settings,
            conduct,
            cmdsn=settings.first_cmdsn,
            exp_cmdsn=established.exp_cmdsn,
            max_cmdsn=established.max_cmdsn,
        )
        self.tsih = established.tsih
        #: All that the target said in the login, in order.
        self.login_keys = established.keys
        self._texts = trio.StrictFIFOLock()

    # --- commands -------------------------------------------------------------------------------------------------

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: int = Attribute.SIMPLE,
        immediate: bool = False,
    ) -> Running:
        """Send a SCSI command as soon as the window allows, and return without waiting for its status.

        `lun` is a number, as `wire.fields.lun_number` gives it. `data_out` is all there is to write, `read_length` how
        many bytes may be read; with both the command is bidirectional.
        """
        await self._place(immediate=immediate)
        running = Running(
            ScsiTask(
                itt=self.take_itt(),
                lun=lun,
                cdb=cdb,
                data_out=data_out,
                read_length=read_length,
                attribute=attribute,
                immediate=immediate,
                parameters=self.parameters,
                conduct=self._conduct,
            )
        )
        task = running.task
        task.cmdsn = self._number(immediate=immediate)
        request = task.request().with_fields({"CmdSN": task.cmdsn})
        self._tasks[task.itt] = running
        self.connection.put(Outgoing((request,)))
        if not request["F"]:
            self.connection.put(Outgoing(task.unsolicited(request)))
        return running

    async def command(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: int = Attribute.SIMPLE,
        immediate: bool = False,
    ) -> Outcome:
        """Give a SCSI command and wait for its status, whatever it is; arguments as in `start`.

        Raises CommandTimeout after the settings' `command_timeout`, when the task is aborted, and CommandAborted or
        CommandRejected when something else ended it.
        """
        running = None
        with trio.move_on_after(self.settings.command_timeout or float("inf")):
            running = await self.start(
                lun, cdb, data_out=data_out, read_length=read_length, attribute=attribute, immediate=immediate
            )
            return await running.wait()
        if running is None:
            raise CommandTimeout(f"no place in the command window in {self.settings.command_timeout} seconds")
        return await self._give_up(running)

    async def _give_up(self, running: Running) -> Outcome:
        """Abort a command that took too long; only then may the session go on (RFC 7143 7.11)."""
        with trio.move_on_after(self.settings.command_timeout):
            await self.abort(running)
            try:
                return await running.wait()
            except CommandAborted:
                raise CommandTimeout(f"no answer in {self.settings.command_timeout} seconds") from None
        self.fail(ConnectionLost("neither a command nor its ABORT TASK was answered"))
        return await running.wait()

    # --- task management ------------------------------------------------------------------------------------------

    async def abort(self, running: Running) -> int:
        """Send ABORT TASK and give the response (RFC 7143 11.6.1); the command ends unless its status came first."""
        return await self.task_management(_ABORT_TASK, task=running)

    async def task_management(
        self,
        function: int,
        *,
        lun: int = 0,
        task: Running | None = None,
        task_tag: int | None = None,
        cmdsn: int | None = None,
        immediate: bool = True,
    ) -> int:
        """Send a task management function and give the response code (RFC 7143 11.5, 11.6).

        A task to abort or to query is named by `task`, or by `lun`, `task_tag` and `cmdsn`. When the target says that
        the function is complete, the commands it covers end with CommandAborted.
        """
        await self._place(immediate=immediate)
        if task is not None:
            lun, task_tag = task.lun, task.itt
            # A task that was immediate is referred to by the CmdSN of this very request (RFC 7143 11.5.5).
            cmdsn = self.cmdsn if task.task.immediate else task.cmdsn
        covered = self._covered(function, lun, task_tag)
        if self.parameters.task_reporting == "FastAbort" and function in _OF_ONE_UNIT | _OF_ALL:
            # No more data for them from now on (RFC 7143 4.2.3.4).
            for running in covered:
                running.task.quiet = True
        request = self._ask(
            Pdu.build(
                Opcode.TMF_REQUEST,
                I=int(immediate),
                F=1,
                Function=function,
                LUN=0 if function in _WITHOUT_LUN else lun_value(lun),
                ITT=self.take_itt(),
                RefTaskTag=NO_TAG if task_tag is None else task_tag,
                RefCmdSN=cmdsn or 0,
            )
        )

        def conclude(answer: Pdu) -> None:
            gone = answer["Response"] == _NO_SUCH_TASK and function == _ABORT_TASK
            if answer["Response"] == _COMPLETE or gone:
                self._end_tasks(covered, CommandAborted(f"ended by task management function {function}"))

        # What comes for them from now on is too late, were it in the same segment (RFC 7143 4.2.3.3, 11.5.1).
        request.concludes = conclude
        response: int = (await self._answer_to(request))["Response"]
        return response

    def _covered(self, function: int, lun: int, task_tag: int | None) -> list[Running]:
        if function == _ABORT_TASK:
            return [running for running in self.commands if running.itt == task_tag]
        if function in _OF_ONE_UNIT:
            return [running for running in self.commands if running.lun == lun]
        return list(self.commands) if function in _OF_ALL else []

    # --- NOP, Text, Logout ----------------------------------------------------------------------------------------

    async def nop(self, data: bytes = b"", *, immediate: bool = True) -> bytes:
        """Ping the target with some data, and give what it echoes (RFC 7143 11.18)."""
        await self._place(immediate=immediate)
        request = self._ask(
            Pdu.build(Opcode.NOP_OUT, data=data, I=int(immediate), F=1, ITT=self.take_itt(), TTT=NO_TAG)
        )
        return (await self._answer_to(request)).data

    async def text(self, pairs: Iterable[tuple[str, str]], *, immediate: bool = False) -> tuple[TextPair, ...]:
        """Hold a Text negotiation and give all that the target said, in order (RFC 7143 6.4, 11.10).

        However many PDUs it takes, in either direction. Raises CommandRejected if the target rejects it.
        """
        async with self._texts:
            await self._place(immediate=immediate)
            dialogue = TextDialogue(pairs, itt=self.take_itt(), limit=self.parameters.send_segment, immediate=immediate)
            answer = None
            try:
                while (pdu := dialogue.next_request(answer)) is not None:
                    if answer is not None:
                        await self._place(immediate=immediate)
                    answer = await self._answer_to(self._ask(pdu))
            except ProtocolError as error:
                self.fail(error)
                raise
            if (segment := dialogue.declared_segment) is not None:
                self.connection.limit(replace(self.parameters, send_segment=segment))
            if (segment := dialogue.offered_segment) is not None:
                self.connection.limit(replace(self.parameters, receive_segment=segment))
            return dialogue.pairs

    async def send_targets(self, value: str = "All") -> tuple[TargetRecord, ...]:
        """Ask which targets there are: `All`, a target's name, or nothing for this session's (RFC 7143 appendix C)."""
        records: list[TargetRecord] = []
        for key, found in await self.text([("SendTargets", value)]):
            if key == "TargetName":
                records.append(TargetRecord(name=found))
            elif key == "TargetAddress" and records:
                records[-1] = TargetRecord(name=records[-1].name, addresses=(*records[-1].addresses, found))
        return tuple(records)

    async def logout(self, reason: int = _CLOSE_SESSION, *, cid: int | None = None) -> LogoutOutcome:
        """Log out, and give the response; after a good one for this connection the session is over.

        `cid` names a connection where the reason does; without it that is this one (RFC 7143 11.14).
        """
        self._ensure_open()
        number = self.connection.cid if cid is None else cid
        own = reason == _CLOSE_SESSION or number == self.connection.cid
        over = ConnectionLost("logged out")
        if own:
            self._closing = over
        try:
            request = self._ask(
                Pdu.build(
                    Opcode.LOGOUT_REQUEST,
                    I=1,
                    F=1,
                    ReasonCode=reason,
                    ITT=self.take_itt(),
                    CID=0 if reason == _CLOSE_SESSION else number,
                )
            )
            answer = await self._answer_to(request)
        finally:
            if own:
                self._closing = None
        outcome = LogoutOutcome(
            response=answer["Response"], time2wait=answer["Time2Wait"], time2retain=answer["Time2Retain"]
        )
        if own and outcome.response == _COMPLETE:
            over.time2wait = outcome.time2wait
            self.fail(over)
        return outcome

    async def _log_out_within(self, seconds: int) -> None:
        """Do as an asynchronous message asks: end what is on its way, and log out in time (RFC 7143 11.9.1)."""
        with trio.move_on_after(seconds / 2):
            for running in self.commands:
                await running.answer.over()
        self._closing = None
        with trio.move_on_after(self.settings.logout_timeout):
            await self.logout()
        self.fail(ConnectionLost("the target asked for a logout and did not answer it"))

    async def _negotiate(self) -> None:
        """Do as an asynchronous message asks: send a Text Request, if only an empty one (RFC 7143 11.9.1)."""
        if not self._texts.locked():
            try:
                await self.text(())
            except CommandFailed:
                # The target asked for it, and may still say no.
                return

    # --- raw access -----------------------------------------------------------------------------------------------

    async def send_raw(self, pdu: Pdu, *, cmdsn: bool = False, expstatsn: bool = False, digests: bool = True) -> Pdu:
        """Send any PDU, and return it as numbered once it has been handed to the stream.

        With `cmdsn` it takes the session's next CmdSN, with `expstatsn` the right ExpStatSN; else both are as given.
        Without `digests` those of the PDU go out as they are, right, wrong or missing. No window is respected.
        """
        self._ensure_open()
        if cmdsn:
            pdu = pdu.with_fields({"CmdSN": self._number(immediate=bool(pdu["I"]))})
        outgoing = Outgoing((pdu,), stamp=expstatsn, seal=digests)
        self.connection.put(outgoing)
        await outgoing.sent.wait()
        self._ensure_open()
        return pdu

    def tap(self, capacity: int = 1024) -> Tap:
        """Show every PDU that the target sends from now on, as it came and before it is judged.

        To be used as a context manager.
        """
        tap = Tap(capacity, self._taps.remove)
        self._taps.append(tap)
        if self.failure is not None:
            tap.close()
        return tap

    def claim(self, itt: int, capacity: int = 1024) -> Tap:
        """Take what the target sends for a task tag out of the session's hands, Rejects too.

        To be used as a context manager; `take_itt` gives a tag that is free.
        """
        tap = Tap(capacity, lambda _: self._release(itt))
        self._claims[itt] = tap
        if self.failure is not None:
            tap.close()
        return tap

    def _release(self, itt: int) -> None:
        self._claims.pop(itt, None)
