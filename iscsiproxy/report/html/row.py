"""The row of a ladder, as a value: one PDU or event, what became of it, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from iscsiproxy.journal import Change, Record
from iscsiproxy.wire.opcodes import End

__all__ = ["WORDS", "Drawing", "Mark", "Row"]

#: How a row is drawn: a PDU that went as it came, one that a fault did something to, one that the proxy made, …
Drawing: TypeAlias = Literal[
    "whole",
    "changed",
    "never",
    "repeated",
    "made",
    "late",
    "joined",
    "ended",  # by the sender
    "reset",
    "shut",  # by the proxy, on the leg away from the sender
    "cut",
    "event",
    "stage",
]

#: What each act did to a PDU, in a word; another act is called by its name
WORDS: Final[Mapping[str, str]] = {
    "answer": "answered",
    "close": "closed",
    "corrupt": "corrupted",
    "delay": "delayed",
    "drop": "dropped",
    "duplicate": "duplicated",
    "inject": "injected",
    "merge": "merged",
    "pass": "let pass",
    "probe": "probed",
    "refuse": "refused",
    "replay": "replayed",
    "resize": "resized",
    "set": "changed",
    "split": "split",
    "split_text": "split",
    "stall": "stalled",
    "swap": "swapped",
    "text": "changed",
    "throttle": "throttled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One thing to be said of a row: a word for it, the whole of it, the rule that did it, and what it changed.

    `quiet` tells that it is no fault, but the proxy's own business.
    """

    word: str
    text: str = ""
    rule: str = ""
    changes: tuple[Change, ...] = ()
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One PDU or event, the first event of it numbered `n`.

    `sender` is who sent it, or at whose leg it happened; None for what is of no leg. `came` is the PDU as it came,
    None for one that the proxy made; `went` is each time that it was delivered. `pairs` are the keys that were settled.
    `calm` tells that there is nothing to see: it went as it came.
    """

    n: int
    at: float
    conn: int
    drawing: Drawing
    label: str
    sender: End | None = None
    came: Record | None = None
    went: tuple[Record, ...] = ()
    text: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    marks: tuple[Mark, ...] = ()
    line: int = 0
    calm: bool = False

    @property
    def hit(self) -> bool:
        """Tell whether a fault did something to it, or it is a fault itself."""
        return any(not mark.quiet for mark in self.marks)

    @property
    def shown(self) -> Record | None:
        """The PDU to be shown, if there is one: as it came, or as the proxy made it."""
        return self.came or (self.went[0] if self.went else None)
