"""What passes between the iSCSI target and the device server (SAM-5 5, the procedure calls of a SCSI transport).

A command's way through `device.Device`:

1. `submit(command)` puts it into the task set of its logical unit. As soon as its task attribute allows it to begin, be
   it at once or when another command ends, the device calls `command.on_enabled()`, once.
2. `begin(command)` checks it: it gives a `Result` if the command ends here (an error, a unit attention, no medium
   touched), or a `Want`: how many bytes of data-out the command needs.
3. `execute(command, data)` does it, with exactly the bytes wanted, or fewer if the initiator's buffer was shorter.
4. `finish(command)` takes it out of the task set when its status has been handed to the wire; that may enable others.

A command that something else ends first (a task management function, PREEMPT AND ABORT, a reset) leaves the task set,
and `command.on_cleared(cause)` tells the transport, except for `Device.disconnect`, which the transport itself calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from iscsiproxy.wire.sense import SenseCode

__all__ = ["Attribute", "CheckCondition", "Clearing", "Command", "Nexus", "Result", "Status", "Want"]


class Attribute(IntEnum):
    """Task attributes (RFC 7143 11.3.1, SAM-5 8.6). UNTAGGED is treated as SIMPLE."""

    UNTAGGED = 0
    SIMPLE = 1
    ORDERED = 2
    HEAD_OF_QUEUE = 3
    ACA = 4


class Status(IntEnum):
    """SCSI status codes (SAM-5 5.3.1)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


@dataclass(frozen=True, slots=True)
class Nexus:
    """An I_T nexus: initiator port (name and ISID) and target port (portal group) (RFC 7143 4.4.3.2).

    A later session of the same two ports is the same nexus: persistent reservations outlive sessions.
    """

    initiator: str
    isid: int
    portal_group: int = 1

    def __str__(self) -> str:
        return f"{self.initiator},i,0x{self.isid:012x}"


class Clearing(Enum):
    """Why a command was ended by something else than itself."""

    ABORTED = "aborted by its own initiator"  #: ABORT TASK, ABORT TASK SET: no status is sent (SAM-5 5.5)
    CLEARED = "cleared by another initiator"  #: no status either, UA 2F/00 is pending; TASK ABORTED if TAS is set
    RESET = "cleared by a reset"


@dataclass(slots=True, eq=False, kw_only=True)
class Command:
    """One SCSI command on its way. The transport makes it; compared by identity.

    `lun` is the number of the logical unit (`wire.fields.lun_number`), there or not. `tag` is for people. `offered` is
    how many bytes of data-out the initiator has for it, None where that is not known.
    """

    nexus: Nexus
    lun: int
    cdb: bytes
    attribute: Attribute
    tag: int
    on_enabled: Callable[[], None]
    on_cleared: Callable[[Clearing], None]
    offered: int | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """The command needs `length` bytes of data-out before it can be executed; 0 for none."""

    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended.

    `data` is its data-in, already cut to the allocation length but not to the initiator's buffer. `sense` is whole
    sense data, empty unless `status` asks for it. `wanted` is how many bytes of data-out the CDB asks for in all: the
    transport needs it for residual counts (RFC 7143 11.4.5).
    """

    status: Status = Status.GOOD
    data: bytes | memoryview = b""
    sense: bytes = b""
    wanted: int = 0


class CheckCondition(Exception):  # noqa: N818 -- SAM's name for it, and not an error of the program
    """Raised inside the device server to end a command with CHECK CONDITION and this sense.

    `information` goes into the INFORMATION field (SPC-4 4.5), as the LBA of a miscompare does.
    """

    def __init__(self, key: int, asc: int, ascq: int = 0, *, information: int | None = None) -> None:
        self.code = SenseCode(key, asc, ascq)
        self.information = information
        super().__init__(str(self.code))
