"""A session of the target: the command window, the order of commands, and the tasks (RFC 7143 4.2.2.1).

What carries a CmdSN comes in as a `Request` and is delivered in the order of the numbers, however it arrived; immediate
ones are delivered at once. A gap holds everything behind it. A duplicate, and what is outside the window, leads to
nothing at all.

A session has one connection now. Several would share everything here; what belongs to one is in `connection`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.target.settings import Identity
from iscsiproxy.peers.target.task import Task, abort_all
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

if TYPE_CHECKING:
    from iscsiproxy.peers.target.conduct import Conduct
    from iscsiproxy.peers.target.connection import Connection
    from iscsiproxy.peers.target.management import ManagementRequest

__all__ = ["Request", "Session"]


class Request(Protocol):
    """Something that waits for its turn in the order of CmdSN."""

    def deliver(self) -> bool:
        """Do it; False if it was rejected, so that its CmdSN counts as never received (RFC 7143 7.3)."""


class _Plug:
    """What stands in for a command that will not come: ABORT TASK has filled its place (RFC 7143 11.6.1 b)."""

    def deliver(self) -> bool:
        return True


class Session:
    """One session. `device` is None in discovery, `connection` while the session has lost its own.

    `tasks` are its SCSI commands by ITT, `managing` the task management functions that are not carried out yet: fences
    hold them until every command before them is here (RFC 7143 4.2.3.3 b).
    """

    def __init__(
        self,
        identity: Identity,
        tsih: int,
        device: Device | None,
        parameters: Parameters,
        *,
        exp_cmdsn: int,
        window: int,
        conduct: Conduct,
    ) -> None:
        self.identity = identity
        self.tsih = tsih
        self.device = device
        self.parameters = parameters
        self.connection: Connection | None = None
        self.tasks: dict[int, Task] = {}
        self.managing: dict[int, ManagementRequest] = {}
        #: The logical units whose tasks ended with connections that were lost: the initiator has not heard of it yet.
        self.bereft: set[int] = set()
        self.exp_cmdsn = exp_cmdsn
        self._window = window
        self._max_cmdsn = serial.add(exp_cmdsn, window - 1)
        self._conduct = conduct
        self._ahead: dict[int, Request] = {}
        #: The task tags of what waits, by CmdSN.
        self._tags: dict[int, int] = {}
        self._fences: list[tuple[int, Callable[[], None]]] = []
        self._advancing = False
        self._holds = 0
        self._deferred: list[Request] = []
        self._next_tag = 1

    def __repr__(self) -> str:
        state = "connected" if self.connection is not None else "orphaned"
        return (
            f"<Session {self.tsih} of {self.identity.initiator} {state}, "
            f"ExpCmdSN {self.exp_cmdsn}, {len(self.tasks)} tasks, {len(self._ahead)} ahead>"
        )

    @property
    def discovery(self) -> bool:
        """Whether this is a discovery session."""
        return self.device is None

    @property
    def immediate(self) -> int:
        """How many immediate commands are under way."""
        return sum(task.immediate for task in self.tasks.values()) + len(self.managing)

    def knows(self, itt: int) -> bool:
        """Tell whether a task that is under way has this Initiator Task Tag."""
        return itt in self.tasks or itt in self.managing or itt in self._tags.values()

    @property
    def max_cmdsn(self) -> int:
        """MaxCmdSN as it is now: room for what the window leaves beside the tasks, and never lower than it was."""
        room = max(self._window - len(self.tasks), 0)
        self._max_cmdsn = _later(self._max_cmdsn, serial.add(self.exp_cmdsn, room - 1))
        return self._max_cmdsn

    def take_tag(self) -> int:
        """Give a Target Transfer Tag that nothing else has."""
        tag = self._next_tag
        self._next_tag = self._next_tag % (NO_TAG - 1) + 1
        return tag

    # --- the order of commands ------------------------------------------------------------------------------------

    def admits(self, pdu: Pdu) -> bool:
        """Tell whether a PDU with a CmdSN is to be looked at: it is immediate, or new and inside the window."""
        if pdu["I"]:
            return True
        number = pdu["CmdSN"]
        if not serial.le(self.exp_cmdsn, number) or not serial.le(number, self.max_cmdsn):
            return False
        if number != self.exp_cmdsn and not self._conduct.queues_ahead():
            return False
        return number not in self._ahead

    @property
    def shut(self) -> bool:
        """Whether the window lets no command in."""
        return serial.lt(self.max_cmdsn, self.exp_cmdsn)

    def enter(self, pdu: Pdu, request: Request) -> None:
        """Take an admitted request; it is delivered now, or when the gap before it is filled."""
        if pdu["I"]:
            if self._holds and pdu.opcode == Opcode.SCSI_COMMAND:
                self._deferred.append(request)
            else:
                request.deliver()
            return
        self._ahead[pdu["CmdSN"]] = request
        self._tags[pdu["CmdSN"]] = pdu["ITT"]
        self._advance()

    def plug(self, number: int) -> None:
        """Count a command as received that never came (RFC 7143 11.6.1 b)."""
        self._ahead.setdefault(number, _Plug())
        self._advance()

    def plug_up_to(self, number: int) -> None:
        """Count every command before `number` as received, as far as the window goes (RFC 7143 4.2.3.3 b)."""
        last, at = self.max_cmdsn, self.exp_cmdsn
        while serial.lt(at, number) and serial.le(at, last):
            self._ahead.setdefault(at, _Plug())
            at = serial.add(at, 1)
        self._advance()

    def before(self, number: int, action: Callable[[], None]) -> None:
        """Do something once every command before `number` is here; now, if that is so."""
        self._fences.append((number, action))
        self._pass_fences()

    def hold(self) -> None:
        """Deliver no more commands until `release`: what they would do is not to be undone with what came before."""
        self._holds += 1

    def release(self) -> None:
        """Deliver what was held back, unless somebody else holds it too."""
        self._holds -= 1
        if not self._holds:
            deferred, self._deferred = self._deferred, []
            for request in deferred:
                request.deliver()
            self._advance()

    def _advance(self) -> None:
        if self._advancing:  # a delivery has led back here: the loop below goes on by itself
            return
        self._advancing = True
        try:
            while not self._holds and (request := self._ahead.pop(self.exp_cmdsn, None)) is not None:
                self._tags.pop(self.exp_cmdsn, None)
                if not request.deliver():
                    break
                self.exp_cmdsn = serial.add(self.exp_cmdsn, 1)
                self._pass_fences()
        finally:
            self._advancing = False

    def _pass_fences(self) -> None:
        passed = [fence for fence in self._fences if serial.le(fence[0], self.exp_cmdsn)]
        for fence in passed:
            self._fences.remove(fence)
        for _, action in passed:
            action()

    # --- the end --------------------------------------------------------------------------------------------------

    def terminate(self) -> None:
        """End every task and forget what waits; nothing is sent for it. `bereft` takes note of what had begun."""
        self.bereft.update(task.command.lun for task in self.tasks.values() if task.delivered)
        self._ahead.clear()
        self._tags.clear()
        self._fences.clear()
        self._deferred.clear()
        self._holds = 0
        self.managing.clear()
        abort_all(self.tasks.values())


def _later(one: int, other: int) -> int:
    return other if serial.lt(one, other) else one
