"""Task management functions (RFC 7143 11.5, 11.6, 4.2.3; RFC 7144 5.3, 6).

A function on one task takes effect when it is delivered. One on many tasks covers the commands before it: it waits
until all of them are here and, unless the session has FastAbort, until the initiator has answered every R2T that they
have out (4.2.3.3 a, b). Its response is queued behind every status there is, so nothing follows it for what it covers.
Other sessions whose tasks it ends are told by their unit attentions, and with FastAbort by an Asynchronous Message too
(4.2.3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from iscsiproxy.peers.target.session import Session
from iscsiproxy.peers.target.task import Task, abort_all
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import lun_number
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.device import Device
    from iscsiproxy.peers.target.connection import Connection
    from iscsiproxy.peers.target.node import Node

__all__ = ["ManagementRequest"]

#: Functions (RFC 7143 11.5.1, RFC 7144 6.1)
_ABORT_TASK, _ABORT_TASK_SET, _CLEAR_ACA, _CLEAR_TASK_SET, _LUN_RESET = 1, 2, 3, 4, 5
_WARM_RESET, _COLD_RESET, _TASK_REASSIGN = 6, 7, 8
_QUERY_TASK, _QUERY_TASK_SET, _NEXUS_RESET, _QUERY_ASYNC_EVENT = 9, 10, 11, 12
#: Those that name a logical unit, and those that end many tasks
_WITH_LUN = frozenset(
    {_ABORT_TASK, _ABORT_TASK_SET, _CLEAR_ACA, _CLEAR_TASK_SET, _LUN_RESET, _QUERY_TASK, _QUERY_TASK_SET}
) | {_QUERY_ASYNC_EVENT}
_MANY = frozenset({_ABORT_TASK_SET, _CLEAR_TASK_SET, _LUN_RESET, _WARM_RESET, _COLD_RESET, _NEXUS_RESET})
#: Those that are about every logical unit
_EVERYWHERE = frozenset({_WARM_RESET, _COLD_RESET, _NEXUS_RESET})
_LEVEL_2 = frozenset({_QUERY_TASK, _QUERY_TASK_SET, _NEXUS_RESET, _QUERY_ASYNC_EVENT})
#: Responses (RFC 7143 11.6.1, RFC 7144 5.3)
_COMPLETE, _NO_LUN, _NO_REASSIGNMENT, _NOT_SUPPORTED, _SUCCEEDED, _REJECTED = 0, 2, 4, 5, 7, 255
#: AsyncEvent "task termination" (RFC 7143 11.9.1)
_TASKS_TERMINATED = 5


class ManagementRequest:
    """A Task Management Function Request, from its delivery to its response."""

    def __init__(self, node: Node, connection: Connection, pdu: Pdu) -> None:
        session = connection.session
        assert session is not None
        assert session.device is not None
        self._node = node
        self._connection = connection
        self._session: Session = session
        self._device: Device = session.device
        self._nexus = session.identity.nexus
        self._pdu = pdu
        self._function: int = pdu["Function"]
        self._lun = lun_number(pdu["LUN"])
        #: Immediate commands have no place in the order of CmdSN: those that came before are covered.
        self._immediate: frozenset[Task] = frozenset()

    def __repr__(self) -> str:
        return f"<ManagementRequest {self._function} on LUN {self._lun}>"

    def deliver(self) -> bool:
        """Carry the function out, now or when what it covers is here."""
        function = self._function
        if function in _LEVEL_2 and self._session.parameters.protocol_level < 2:
            self._respond(_NOT_SUPPORTED)
        elif function in _WITH_LUN and not self._device.has_unit(self._lun):
            self._respond(_NO_LUN)
        elif function in _MANY:
            self._session.managing[self._pdu["ITT"]] = self
            self._immediate = frozenset(task for task in self._session.tasks.values() if task.immediate)
            if self._function in _EVERYWHERE:
                # Nobody waits for what is still missing (4.2.3.3 b).
                self._session.plug_up_to(self._pdu["CmdSN"])
            self._session.before(self._pdu["CmdSN"], self._gather)
        elif function == _QUERY_ASYNC_EVENT:
            self._query_async_event()
        else:
            self._respond(self._on_one())
        return True

    def _respond(self, response: int, *, information: int = 0) -> None:
        answer = Pdu.build(Opcode.TMF_RESPONSE, F=1, Response=response, ITT=self._pdu["ITT"])
        self._connection.put([answer.with_fields({"AdditionalResponseInformation": information})])

    # --- one task -------------------------------------------------------------------------------------------------

    def _on_one(self) -> int:
        match self._function:
            case 1:
                return self._abort_task()
            case 3:
                self._device.clear_aca(self._nexus, self._lun)
                return _COMPLETE
            case 8:
                return _NO_REASSIGNMENT  # ErrorRecoveryLevel 0 (RFC 7143 7.2.2)
            case 9:
                return _SUCCEEDED if self._find() is not None else _COMPLETE
            case 10:
                return _SUCCEEDED if self._covered() else _COMPLETE
            case _:
                return _NOT_SUPPORTED

    def _find(self) -> Task | None:
        task = self._session.tasks.get(self._pdu["RefTaskTag"])
        return task if task is not None and lun_number(task.lun) == self._lun else None

    def _abort_task(self) -> int:
        """End one task, or fill the place of one that never came (RFC 7143 11.6.1 b, c)."""
        tag = self._pdu["RefTaskTag"]
        if tag == self._pdu["ITT"] or tag in self._session.managing:
            return _REJECTED  # task management is not a task (11.5.1)
        task = self._find()
        if task is not None:
            abort_all([task])
            return _COMPLETE
        session, number = self._session, self._pdu["RefCmdSN"]
        inside = (
            serial.le(session.exp_cmdsn, number)
            and serial.le(number, session.max_cmdsn)
            and serial.lt(number, self._pdu["CmdSN"])
        )
        if inside:
            session.plug(number)
        return self._connection.conduct.missing_task_response(inside_window=inside)

    def _query_async_event(self) -> None:
        """Tell the unit attention that comes next, and whether more follow (RFC 7144 5.3.1, SAM-5 7.10)."""
        pending = self._device.units[self._lun].attentions.pending(self._nexus)
        if not pending:
            self._respond(_COMPLETE)
            return
        first = pending[0]
        depth = 1 if len(pending) == 1 else 2
        self._respond(_SUCCEEDED, information=(depth << 4 | first.key) << 16 | first.asc << 8 | first.ascq)

    # --- many tasks -----------------------------------------------------------------------------------------------

    def _covered(self) -> Sequence[Task]:
        """List the session's own tasks that the function covers."""
        return [
            task
            for task in self._session.tasks.values()
            if (self._function in _EVERYWHERE or lun_number(task.lun) == self._lun)
            and (task in self._immediate if task.immediate else serial.lt(task.cmdsn, self._pdu["CmdSN"]))
        ]

    def _gather(self) -> None:
        """Wait for the answers to what is still asked for, then go on: every command before us is here."""
        covered = self._covered()
        if not covered or self._session.parameters.task_reporting == "FastAbort":
            self._on_many()
            return
        left = set(covered)
        # Newer commands wait where the device server could not tell them from those that are to end (4.2.3.3).
        holds = self._function != _ABORT_TASK_SET
        if holds:
            self._session.hold()

        def drained(task: Task) -> None:
            left.discard(task)
            if not left and self._session.managing.get(self._pdu["ITT"]) is self:
                self._on_many()
                if holds:
                    self._session.release()

        for task in covered:
            task.drain(partial(drained, task))

    def _on_many(self) -> None:
        if self._session.managing.pop(self._pdu["ITT"], None) is not self:
            return  # the session has ended, or lost its connection
        device, nexus, covered = self._device, self._nexus, self._covered()
        bereft = self._bereft()
        match self._function:
            case 2:
                pass
            case 4:
                device.clear_task_set(nexus, self._lun)
            case 5:
                device.reset_unit(nexus, self._lun)
            case 6 | 7:
                device.reset_target(nexus, cold=self._function == _COLD_RESET)
            case _:
                # With the nexus everything ends that the device server has of it.
                covered = [task for task in self._session.tasks.values() if task.delivered or task in covered]
        abort_all(covered)
        if self._function == _NEXUS_RESET:
            device.disconnect(nexus)
            device.connect(nexus)
        for connection, lun in bereft:
            connection.send_async(_TASKS_TERMINATED, lun=lun)
        self._respond(_COMPLETE)
        if self._function == _COLD_RESET:
            # RFC 7143 11.5.1: the connections of every session end too.
            self._node.close_all(device, "target cold reset")

    def _bereft(self) -> Iterable[tuple[Connection, int]]:
        """List who has to be told that tasks of theirs end, and of which logical units (RFC 7143 4.2.3.4)."""
        if self._function in (_ABORT_TASK_SET, _NEXUS_RESET):
            return ()
        return dict.fromkeys(
            (session.connection, task.lun)
            for session in self._node.sessions()
            if session.device is self._device and session is not self._session and session.connection is not None
            if session.parameters.task_reporting == "FastAbort"
            for task in session.tasks.values()
            if task.delivered and (self._function in _EVERYWHERE or lun_number(task.lun) == self._lun)
        )
