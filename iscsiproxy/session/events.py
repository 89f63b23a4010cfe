"""What happens on the wire and in the proxy, one frozen event each.

These are the words that the relay, the engine, the journal and the checks share. `n` numbers the events of one run from
1; `at` is in seconds since the run began; `conn` is the proxy's own number of a connection pair, from 1; `leg` says on
which of its two TCP connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = [
    "Bound",
    "Change",
    "Closed",
    "ConnectFailed",
    "Connected",
    "Decided",
    "Delivered",
    "Drawn",
    "Event",
    "Fired",
    "FullFeature",
    "How",
    "IoDone",
    "Noted",
    "Pinged",
    "Received",
    "Refused",
    "Staged",
    "Unframed",
    "Violated",
]

#: How a TCP connection came to its end.
How = Literal["fin", "rst", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing a fault changed in a PDU: a field, a key or a part, before and after, as text."""

    what: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.what} {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has."""

    n: int
    at: float
    conn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    """Both legs of a pair are connected. Addresses are `host:port`, IPv6 hosts in brackets."""

    initiator: str  #: the initiator's own address
    listen: str  #: the proxy's address it connected to
    local: str  #: the proxy's own address on the target leg
    target: str  #: the target's address


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectFailed(Event):
    """An initiator came, but the target could not be reached; the initiator was closed."""

    initiator: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """An initiator came and a rule refused it: its leg is reset at once, and the target never hears of it.

    For `connect` in a pattern this is as good as a Connected; a Closed of the initiator leg, by a fault, follows.
    """

    initiator: str
    listen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Event):
    """A PDU came in on `leg`.

    `header_digest_ok` and `data_digest_ok` are None where there is no digest or nobody looked. `partial` tells that the
    data segment was too large to be kept: `pdu` is then a header only, its DataSegmentLength still true.
    """

    leg: End
    pdu: Pdu
    header_digest_ok: bool | None = None
    data_digest_ok: bool | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Event):
    """Bytes of a PDU were given to the peer on `leg`.

    `of` is the `n` of the PDU it came from (None for one the proxy authored); `changes` and `rules` say what faults did
    to it. The bytes from `start` up to `sent` went now (`sent` -1: to the end): a fault may cut a PDU, or send it in
    two parts with a pause between them.
    """

    leg: End
    pdu: Pdu
    of: int | None
    changes: tuple[Change, ...] = ()
    rules: tuple[str, ...] = ()
    start: int = 0
    sent: int = -1
    author: int = 0  #: the ticket of a PDU that the proxy made itself; 0 for one that passes


@dataclass(frozen=True, slots=True, kw_only=True)
class FullFeature(Event):
    """The connection has entered the full feature phase, seen on `leg`; the settled keys of that leg."""

    leg: End
    keys: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violated(Event):
    """The session state met something its tables do not have; a fact for the judge, never an exception."""

    leg: End
    by: End
    text: str
    section: str
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unframed(Event):
    """The bytes on `leg` stopped being PDUs; from here on they pass through raw."""

    leg: End
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired(Event):
    """An act of a rule took effect. `of` is the PDU it acted on, None for an event or a timer."""

    rule: str
    act: str
    of: int | None
    label: str  #: the PDU or event acted on, such as `SCSI-Command ITT=0x1`
    text: str  #: what was done, in one line
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """The engine decided something that is no act: a match, a draw, a shadowed fate, an act that could not be done."""

    rule: str
    what: Literal[
        "matched", "chance", "shadowed", "failed", "held", "released", "expired", "ended", "swallowed", "skipped"
    ]
    of: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A rule or a user left a note."""

    rule: str
    of: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """One side of a leg came to its end.

    `by` is the peer at that leg, or the proxy: `fault` when a rule closed it, `proxy` when it passed on the other leg's
    end or shut down.
    """

    leg: End
    how: How
    by: Literal["peer", "proxy", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound(Event):
    """A name was bound to what was seen: the event numbered `of`, a PDU received or delivered, or an event.

    `made` tells of what an act made (then `of` was delivered), `each` of one more in a collection.
    """

    rule: str  #: `scenario/rule`, or `scenario/` for an actor's step
    name: str
    of: int
    made: bool = False
    each: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinged(Event):
    """A barrier came one step further: `barrier` numbers the barriers of a run, `end` is who has to answer.

    `sent`: the ping has gone, or there could be none and the next genuine answer stands for it; `answered`: `of` is the
    answer; `passed`: the quiet time is over too; `closed`: the connection ended instead; `hung`: neither came in time.
    """

    barrier: int
    end: End
    what: Literal["sent", "answered", "passed", "closed", "hung"]
    of: int | None = None
    text: str = ""  #: what it is for


@dataclass(frozen=True, slots=True, kw_only=True)
class IoDone(Event):
    """What the application saw of one piece of I/O, as the driver of the initiator tells it."""

    what: Literal["good", "error", "mismatch"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged(Event):
    """A run of a scenario entered a stage: `steady`, `fault`, `aftermath` or `cleared`; `conn` is 0."""

    stage: Literal["steady", "fault", "aftermath", "cleared"]
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Event):
    """Chaos put a fault in force, or took it out; `conn` is 0.

    `number` counts what was drawn, from 1. `commands` is how many SCSI Commands initiators had sent by then in this
    phase. It is over when all its rules have `fired`, or when its time was up; `missed` is what was drawn while it was
    in force already.
    """

    number: int
    fault: str
    what: Literal["armed", "fired", "expired", "missed"]
    commands: int
