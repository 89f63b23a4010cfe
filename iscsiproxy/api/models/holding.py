"""PDUs in hand, PDUs in full, and PDUs of the proxy's own."""

from __future__ import annotations

from typing import Literal

from iscsiproxy.api.models.base import Asked, End, Line, Number, Seconds, Told
from iscsiproxy.api.models.state import Timer

__all__ = ["Edit", "Field", "Held", "Injected", "Injection", "PduView", "Stepped"]


class Field(Told, frozen=True, kw_only=True):
    """One field of a PDU: its value, as number and as people read it."""

    name: str
    value: int
    text: str


class PduView(Told, frozen=True, kw_only=True):
    """One PDU in full.

    `lines` list all fields, texts, sense, digests and data for people; `raw` are its bytes in hexadecimal, `size` how
    many it had: of a long one only the beginning is kept. Secrets are hidden in both. `of` is the event of the PDU
    that it came from.
    """

    n: int
    at: float
    conn: int
    leg: End
    event: Literal["received", "delivered", "held"]
    label: str
    summary: str
    fields: tuple[Field, ...]
    lines: tuple[str, ...]
    raw: str
    size: int
    of: int | None = None
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Held(Told, frozen=True, kw_only=True):
    """A PDU in hand: it came in on `leg` as event `n`, and goes on when `until` comes.

    `changes` were made to it, `behind` counts the PDUs that wait behind it.
    """

    n: int
    at: float
    since: float
    conn: int
    leg: End
    rule: str
    until: str
    label: str
    summary: str
    changes: tuple[str, ...]
    behind: int = 0
    timer: Timer | None = None


class Edit(Asked, frozen=True, kw_only=True):
    """What to do to a held PDU, as acts of the language: `set CDB.LBA=2048`, `corrupt header-digest; resize 512`."""

    acts: Line
    confirm: bool = False


class Stepped(Told, frozen=True, kw_only=True):
    """What a step let go; the next PDU of its connection is held."""

    released: Held


class Injection(Asked, frozen=True, kw_only=True):
    """A PDU of the proxy's own, as a template: `NOP-In TTT=0x12345678`.

    It is sent now, and `wait` seconds are given to its answer.
    """

    pdu: Line
    conn: Number | None = None
    wait: Seconds = 5.0
    confirm: bool = False


class Injected(Told, frozen=True, kw_only=True):
    """What was sent, and what answered it; null: nothing, in that time. `asks` tells whether it asks for an answer."""

    rule: str
    sent: PduView | None
    asks: bool
    answer: PduView | None
