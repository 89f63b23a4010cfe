"""What the engine asks the relay to do; only the relay does it.

A PDU that arrives opens a *slot* in the line of its direction, named by the `n` of its `Received` event. Slots leave in
the order in which they came: what is behind an unfinished slot waits (unless the slot was detached). A slot is finished
by `Finish`; a PDU that no rule wants needs no command at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscsiproxy.session.events import Change, Event
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = [
    "Author",
    "Close",
    "Command",
    "Detach",
    "Finish",
    "Refuse",
    "Report",
    "Resume",
    "Send",
    "SetTimer",
    "Stall",
    "Tell",
    "Throttle",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Put a PDU into the slot `slot`, behind what is in it.

    Lengths, padding and digests are exactly as they shall be on the wire. `start` and `stop` bound the bytes of the PDU
    to be sent now (`stop` None: to its end), so that a PDU may be cut in two. `changes` and `rules` say what was done
    to it.

    Its sequence numbers are those of the sender; the relay translates them for the receiver when it writes the PDU,
    except the fields in `exact`. `original` is the PDU that came in, where a fault has changed it: if only one of the
    two uses up a number, the numbers of what follows move (`session.numbers`), unless it is among those in `named`,
    which are the fault itself. With `extra` it is one more than the
    sender knows of (a piece of a split PDU, a copy that is to be hidden): it takes numbers of its own, and those of
    what follows move on.
    """

    slot: int
    pdu: Pdu
    changes: tuple[Change, ...] = ()
    rules: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None
    exact: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    extra: bool = False
    original: Pdu | None = None
    ticket: int = 0  #: of a copy: the engine is told with `Delivered(author=ticket)`
    late: bool = False  #: others that came behind it have gone before, and nobody is to see that
    added: tuple[bool, bool] = (False, False)  #: a header digest, a data digest that the leg has not: they stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Send a PDU of the proxy's own to the end `to` of a connection.

    `fill` names the sequence numbers that the relay is to put in when it writes the PDU, right for the receiver at that
    time; the others are numbers of the other leg and are translated, except the fields in `exact`. A `raw` one is no
    news to anybody: it needs no room and no tag of its own. Digests and lengths are made right then too. With `slot` it
    stands there, behind what is in it; without, it goes at the next boundary between two PDUs, past what is held. A
    `patient` one also waits for a command's unsolicited data to end, and one that takes a CmdSN always for room in the
    window (RFC 7143 4.2.2.1). None is sent behind a Logout Request. The engine is told with `Delivered(author=ticket)`,
    or by `authored_in_vain(ticket)` when it can no longer go.
    """

    conn: int
    to: End
    pdu: Pdu
    ticket: int
    fill: frozenset[str] = frozenset()
    rules: tuple[str, ...] = ()
    slot: int | None = None
    patient: bool = False
    raw: bool = False
    exact: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The slot holds all it will ever hold.

    `unsent` tells what it means that the PDU that opened it was not sent: `raw`, the receiver misses it; `hidden`, the
    numbers that its sender has used up for it are taken out of the receiver's sight (`session.numbers`). `rule` is told
    when that cannot be done.
    """

    slot: int
    unsent: Literal["", "raw", "hidden"] = ""
    rule: str = ""


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
class Throttle:
    """Write to both legs of a connection at most `rate` bytes in a second, `slice` of them at a time.

    With `most` each slice has from `slice` to so many, drawn with `seed` on each leg by itself.
    It lasts until `Resume` with the same token. `slot` as in Close: what was put into it before goes as fast as it can.
    """

    conn: int
    rate: int
    slice: int
    token: int
    slot: int | None = None
    most: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Do not accept the connection that the engine is being asked about."""

    conn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """End the stall or the throttle of that token."""

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

    kind: Literal[
        "fired",
        "noted",
        "matched",
        "chance",
        "shadowed",
        "failed",
        "held",
        "released",
        "expired",
        "ended",
        "swallowed",
        "skipped",
    ]
    conn: int
    rule: str
    text: str
    act: str = ""
    of: int | None = None
    label: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Put an event of the engine's own into the journal; the relay numbers and dates it."""

    event: Event


Command = Send | Author | Finish | Detach | Close | Stall | Resume | SetTimer | Report | Tell | Throttle | Refuse
