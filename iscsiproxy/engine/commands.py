"""What the engine asks the relay to do; only the relay does it.

A PDU that arrives opens a *slot* in the line of its direction, named by the `n` of its `Received` event. Slots leave in
the order in which they came: what is behind an unfinished slot waits (unless the slot was detached). A slot is finished
by `Finish`; a PDU that no rule wants needs no command at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscsiproxy.session.events import Change
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Close", "Command", "Detach", "Finish", "Report", "Resume", "Send", "SetTimer", "Stall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Put a PDU into the slot `slot`, behind what is in it.

    Lengths, padding and digests are exactly as they shall be on the wire. `start` and `stop` bound the bytes of the PDU
    to be sent now (`stop` None: to its end), so that a PDU may be cut in two. `changes` and `rules` say what was done
    to it.
    """

    slot: int
    pdu: Pdu
    changes: tuple[Change, ...] = ()
    rules: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The slot holds all it will ever hold."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Take the slot out of the line: what is behind it may go; its PDUs go whenever they are put in."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close one leg or both of a connection: RST, FIN, or FIN of our sending side only (half).

    With `slot`, only when what was put into that slot so far has been written; without it, now.
    """

    conn: int
    how: Literal["rst", "fin", "half"]
    end: Literal["initiator", "target", "both"]
    slot: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Neither read from nor write to one leg or both, until `Resume` with the same token. `slot` as in Close."""

    conn: int
    end: Literal["initiator", "target", "both"]
    token: int
    slot: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """End the stall of that token."""

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Call the engine's `timer(token)` at that time (seconds since the run began)."""

    at: float
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Put an event into the journal and before the user; the relay numbers and dates it.

    `kind` is `fired`, `noted` or one of the `what` of `Decided`. `held` with `of` says besides that the PDU of that
    number is in hand: its slot is opened, and waits.
    """

    kind: Literal["fired", "noted", "matched", "chance", "shadowed", "failed", "held", "released", "expired", "ended"]
    conn: int
    rule: str
    text: str
    act: str = ""
    of: int | None = None
    label: str = ""
    changes: tuple[Change, ...] = ()


Command = Send | Finish | Detach | Close | Stall | Resume | SetTimer | Report
