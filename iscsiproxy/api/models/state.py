"""The run as a whole, its sessions, connections and tasks."""

from __future__ import annotations

from typing import Literal

from iscsiproxy.api.models.base import Asked, End, Ends, Number, Seconds, Told

__all__ = ["Connection", "Kill", "Leg", "Numbers", "Proxy", "Route", "Session", "Stall", "Task", "TaskQuery", "Timer"]


class Route(Told, frozen=True, kw_only=True):
    """Where initiators connect, and the target behind it; `host:port`."""

    listen: str
    target: str


class Timer(Told, frozen=True, kw_only=True):
    """The timer of a peer that runs out next while PDU `n` is held. `why` names it, and says whose default it is."""

    n: int
    what: Literal["NOP", "Data-Out", "login", "command"]
    end: End
    left: float
    why: str


class Proxy(Told, frozen=True, kw_only=True):
    """The run as a whole.

    `pdus` counts what was looked at so far, `findings` by severity (`known` those that are accepted). `left_out` is
    what could not be recorded. `internal_errors`: this run proves nothing any more.
    """

    version: str
    pid: int
    seed: int
    now: float
    routes: tuple[Route, ...]
    scratch: bool
    checked: bool
    profile: str
    journal: str | None
    capture: str | None
    sessions: int
    connections: int
    tasks: int
    pdus: int
    rules: int
    armed: int
    held: int
    stalled: int
    findings: dict[str, int]
    recording: bool
    clients: int
    last: int
    timer: Timer | None = None
    internal_errors: tuple[str, ...] = ()
    left_out: int = 0


class Numbers(Told, frozen=True, kw_only=True):
    """Command numbers of a session as one end counts them (RFC 7143 4.2.2.1); null: not known (yet)."""

    CmdSN: int | None
    ExpCmdSN: int | None
    MaxCmdSN: int | None
    window: int | None


class Session(Told, frozen=True, kw_only=True):
    """One session (RFC 7143 4.4.3)."""

    id: int
    type: str
    InitiatorName: str | None
    TargetName: str | None
    ISID: str
    TSIH: int
    connections: tuple[int, ...]
    outstanding: int
    initiator: Numbers
    target: Numbers


class Leg(Told, frozen=True, kw_only=True):
    """One of the two TCP connections of a pair: what was settled and counted on it.

    `keys` are the negotiated values, `declared` what each end said of itself.
    """

    phase: str
    StatSN: int | None
    ExpStatSN: int | None
    outstanding: int
    header_digest: bool
    data_digest: bool
    stalled: bool
    closed: bool
    keys: dict[str, str]
    declared: dict[str, dict[str, str]]


class Connection(Told, frozen=True, kw_only=True):
    """One connection pair; `id` is the proxy's own number of it, `initiator` … `target` its four addresses."""

    id: int
    session: int
    CID: int | None
    phase: str
    opened: float
    address: str
    listen: str
    local: str
    portal: str
    held: int
    initiator: Leg
    target: Leg


class Kill(Asked, frozen=True, kw_only=True):
    """Close a connection: RST, FIN, or FIN of our sending side only."""

    how: Literal["rst", "fin", "half"] = "rst"
    end: Ends = "both"


class Stall(Asked, frozen=True, kw_only=True):
    """Neither read from nor write to an end until `resume`, or for `at_most` seconds."""

    end: Ends = "both"
    at_most: Seconds | None = None


class TaskQuery(Asked, frozen=True, kw_only=True):
    """Which tasks."""

    conn: Number | None = None


class Task(Told, frozen=True, kw_only=True):
    """One task without a status; `received` and `sent` are bytes of data that went to the target and came from it."""

    conn: int
    session: int
    ITT: int
    LUN: int
    command: str
    CmdSN: int | None
    EDTL: int
    received: int
    sent: int
    R2Ts: int
    age: float
