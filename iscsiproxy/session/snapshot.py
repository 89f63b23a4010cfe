"""What has been said so far, frozen: the state that patterns and acts may read.

A snapshot belongs to one leg of one connection and to one moment: the state before the PDU in hand (RFC 7143 4.2).
Numbers that are not known yet are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["ConnectionView", "Phase", "SessionView", "Snapshot", "TaskView"]


class Phase(Enum):
    """Where a connection is (RFC 7143 6.3, 8.1)."""

    CONNECTED = "connected"  #: TCP only, no Login PDU yet
    SECURITY = "security"
    OPERATIONAL = "operational"
    FULL_FEATURE = "full-feature"
    LOGOUT = "logout"  #: a Logout Request was sent
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task (RFC 7143 4.2.5): the command and how far it has come.

    `serial` is unique in a run, so that a reused ITT is another task; `received` counts write bytes that reached the
    target, `sent` read bytes that came from it; `R2Ts` counts open ones; `status` is the SCSI status once there is one.
    """

    serial: int
    command: Pdu
    started: float
    received: int
    sent: int
    R2Ts: int
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """One connection; `nth` counts connections of the run from 1, `outstanding` its tasks without status."""

    id: int
    CID: int | None
    phase: Phase
    nth: int
    opened: float
    outstanding: int
    StatSN: int | None  #: the one the target has to use next
    ExpStatSN: int | None  #: the last one the initiator acknowledged up to


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """One session (RFC 7143 4.4.3); `CmdSN` is the next to be used, `window` MaxCmdSN - CmdSN + 1, never negative."""

    id: int
    type: str  #: Normal or Discovery
    TargetName: str | None
    InitiatorName: str | None
    ISID: int
    TSIH: int
    CmdSN: int | None
    ExpCmdSN: int | None
    MaxCmdSN: int | None
    window: int | None
    outstanding: int
    conns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """State of one leg of one connection. `keys` are the settled ones with their defaults (RFC 7143 13)."""

    leg: End
    conn: ConnectionView
    session: SessionView | None
    task: TaskView | None
    keys: Mapping[str, str]
    declared: Mapping[End, Mapping[str, str]]
