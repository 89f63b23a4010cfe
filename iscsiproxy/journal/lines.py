"""The lines of a journal, as they are in the file: one JSON object each, told apart by `e`.

Absent members have the value given here. Bytes are lower-case hexadecimal. Unknown members are ignored and unknown
kinds are kept by the reader, so that a later program of the same version may add both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from iscsiproxy.session import events

__all__ = [
    "LINES",
    "VERSION",
    "BoundLine",
    "ClosedLine",
    "ConnectFailedLine",
    "ConnectedLine",
    "DecidedLine",
    "DeliveredLine",
    "DrawnLine",
    "EndLine",
    "EventLine",
    "FiredLine",
    "FullFeatureLine",
    "HeaderLine",
    "IoDoneLine",
    "Line",
    "LostLine",
    "NotedLine",
    "PduLine",
    "PingedLine",
    "ReceivedLine",
    "RefusedLine",
    "StagedLine",
    "UnframedLine",
    "ViolatedLine",
]

#: The version of the format; it changes when a reader of the old one would be misled
VERSION = 1

_Leg = Literal["initiator", "target"]
_Changes = tuple[tuple[str, str, str], ...]


class HeaderLine(Struct, omit_defaults=True):
    """The first line."""

    journal: int  #: VERSION
    program: str
    started: str  #: the wall clock at `t` 0, ISO 8601 with offset
    hash: str  #: how blocks are hashed
    block: int  #: bytes in a block
    seed: int | None = None
    maps: tuple[str, ...] = ()  #: LISTEN=TARGET
    scenarios: tuple[str, ...] = ()  #: the names of the scenarios armed at the start
    facts: dict[str, Any] = {}


class EventLine(Struct, omit_defaults=True, tag_field="e"):
    """What a line of an event has."""

    n: int
    t: float  #: seconds since `started`, six decimals
    conn: int


class ConnectedLine(EventLine, tag="connected"):
    """Both legs of a pair are connected."""

    initiator: str
    listen: str
    local: str
    target: str


class ConnectFailedLine(EventLine, tag="connect-failed"):
    """The target could not be reached."""

    initiator: str
    target: str
    reason: str


class RefusedLine(EventLine, tag="refused"):
    """A rule refused a connection."""

    initiator: str
    listen: str


class PduLine(EventLine):
    """What lines of PDUs have. All but `pdu` is left out where it is as in the PDU received."""

    leg: _Leg
    pdu: str  #: its name, for people
    bhs: str = ""
    ahs: str = ""
    header_digest: str = ""
    header_digest_ok: bool | None = None
    data_digest: str = ""
    data_digest_ok: bool | None = None
    length: int | None = None  #: bytes in the data segment, where they are not DataSegmentLength
    text: tuple[str, ...] | None = None  #: the data segment cut at its NULs: each of these ended with one
    tail: str = ""  #: what came behind the last NUL
    data: str = ""  #: the data segment
    blocks: str = ""  #: or the hash of each of its pieces, 16 digits each
    withheld: bool = False  #: or nothing of it, because a secret is in there
    pad: str | None = None  #: the padding, where it is not the right number of zeros


class ReceivedLine(PduLine, tag="received"):
    """A PDU came in."""

    partial: bool = False


class DeliveredLine(PduLine, tag="delivered"):
    """A PDU was given to a peer."""

    of: int | None = None
    same: bool = False  #: exactly the PDU that was received as `of`
    changes: _Changes = ()
    rules: tuple[str, ...] = ()
    start: int = 0  #: the bytes from here
    sent: int = -1  #: up to here went; -1 is the end
    author: int = 0


class FullFeatureLine(EventLine, tag="full-feature"):
    """The full feature phase was entered."""

    leg: _Leg
    keys: tuple[tuple[str, str], ...]


class ViolatedLine(EventLine, tag="violated"):
    """The session state met what its tables do not have."""

    leg: _Leg
    by: _Leg
    text: str
    section: str
    of: int


class UnframedLine(EventLine, tag="unframed"):
    """The bytes are no PDUs any more."""

    leg: _Leg
    reason: str


class FiredLine(EventLine, tag="fired"):
    """An act took effect."""

    rule: str
    act: str
    label: str
    text: str
    of: int | None = None
    changes: _Changes = ()


class DecidedLine(EventLine, tag="decided"):
    """The engine decided something that is no act."""

    rule: str
    what: str
    text: str
    of: int | None = None


class NotedLine(EventLine, tag="noted"):
    """A note was left."""

    rule: str
    text: str
    of: int | None = None


class ClosedLine(EventLine, tag="closed"):
    """One side of a leg came to its end."""

    leg: _Leg
    how: Literal["fin", "rst", "timeout"]
    by: Literal["peer", "proxy", "fault"]


class BoundLine(EventLine, tag="bound"):
    """A name was bound."""

    rule: str
    name: str
    of: int
    made: bool = False
    each: bool = False


class PingedLine(EventLine, tag="pinged"):
    """A barrier came one step further."""

    barrier: int
    end: _Leg
    what: Literal["sent", "answered", "passed", "closed", "hung"]
    of: int | None = None
    text: str = ""


class IoDoneLine(EventLine, tag="io"):
    """What the application saw."""

    what: Literal["good", "error", "mismatch"]
    text: str


class StagedLine(EventLine, tag="staged"):
    """A run of a scenario entered a stage."""

    stage: Literal["steady", "fault", "aftermath", "cleared"]
    text: str = ""


class DrawnLine(EventLine, tag="drawn"):
    """Chaos put a fault in force, or took it out."""

    number: int
    fault: str
    what: Literal["armed", "fired", "expired", "missed"]
    commands: int


class LostLine(Struct, omit_defaults=True, tag_field="e", tag="lost"):
    """Here `count` lines are missing: the disk was too slow or full."""

    count: int


class EndLine(Struct, omit_defaults=True, tag_field="e", tag="end"):
    """The last line of a journal that was closed properly; `lost` counts all that is missing."""

    events: int
    lost: int = 0


Line = (
    ConnectedLine
    | ConnectFailedLine
    | RefusedLine
    | ReceivedLine
    | DeliveredLine
    | FullFeatureLine
    | ViolatedLine
    | UnframedLine
    | FiredLine
    | DecidedLine
    | NotedLine
    | BoundLine
    | PingedLine
    | IoDoneLine
    | StagedLine
    | DrawnLine
    | ClosedLine
    | LostLine
    | EndLine
)

#: The kind of line that records each event
LINES: Mapping[type[events.Event], type[EventLine]] = {
    events.Bound: BoundLine,
    events.Closed: ClosedLine,
    events.ConnectFailed: ConnectFailedLine,
    events.Connected: ConnectedLine,
    events.Decided: DecidedLine,
    events.Delivered: DeliveredLine,
    events.Fired: FiredLine,
    events.FullFeature: FullFeatureLine,
    events.IoDone: IoDoneLine,
    events.Noted: NotedLine,
    events.Pinged: PingedLine,
    events.Drawn: DrawnLine,
    events.Staged: StagedLine,
    events.Received: ReceivedLine,
    events.Refused: RefusedLine,
    events.Unframed: UnframedLine,
    events.Violated: ViolatedLine,
}
