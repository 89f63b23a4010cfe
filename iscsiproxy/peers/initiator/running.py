"""What a session has under way: SCSI commands, and other requests that wait for their answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from iscsiproxy.peers.initiator.tasks import Outcome, ScsiTask
from iscsiproxy.peers.initiator.waiting import Pending
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Request", "Running"]


@dataclass(slots=True, eq=False)
class Running:
    """A SCSI command on its way. `wait` may be called often, and cancelling it leaves the command as it is."""

    task: ScsiTask
    answer: Pending[Outcome] = field(default_factory=Pending)

    @property
    def itt(self) -> int:
        """Its task tag, which ABORT TASK refers to."""
        return self.task.itt

    @property
    def cmdsn(self) -> int:
        """Its CmdSN."""
        return self.task.cmdsn

    @property
    def lun(self) -> int:
        """The number of its logical unit."""
        return self.task.lun

    @property
    def ended(self) -> bool:
        """Whether the answer is here, or never will be."""
        return self.answer.settled

    async def wait(self) -> Outcome:
        """Wait for its status. Raises CommandFailed and ConnectionLost kinds."""
        return await self.answer.wait()


@dataclass(slots=True, eq=False)
class Request:
    """Any other PDU that waits for its answer."""

    pdu: Pdu
    answer: Pending[Pdu] = field(default_factory=Pending)
    #: What its answer changes at once, before the next PDU is looked at
    concludes: Callable[[Pdu], None] | None = None
    #: Whether it is there for its CmdSN alone, which a rejected command has left open (RFC 7143 7.3)
    fills: bool = False
