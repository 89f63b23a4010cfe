"""The names that a scenario gives: what each capture is bound to.

All of them are gathered before any expression is checked, because a name may be used above the place that binds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from iscsiproxy.language.problems import UnknownNameError, nearest, problem
from iscsiproxy.language.spec import Position
from iscsiproxy.language.syntax import MomentNode, PatternNode, Word
from iscsiproxy.language.vocabulary import (
    FUNCTIONS,
    HEADS,
    RUN_NAMES,
    describe,
    item_of,
)

__all__ = ["EACH_NAMES", "OWN_NAMES", "Captured", "Captures", "opcodes_of"]

#: Names of a PDU that are no fields of its header.
OWN_NAMES = ("length", "data", "pad", "sense", "AHS", "CDB", "BHS", "text", "header")
#: Elements and facts of a collected capture.
EACH_NAMES = ("first", "last", "count")
_SPECIAL = ("none", "fresh", "offer", "answer", "how", "nothing")
_PIECE = re.compile(r"(.+)\.[1-9][0-9]?")


@dataclass(slots=True)
class Captured:
    """What one name may be bound to: PDUs of `opcodes`, `events`, or a connection of an actor.

    `each` collects; `pieces` has parts called NAME.1, NAME.2.
    """

    name: str
    where: Position
    each: bool = False
    connection: bool = False
    pieces: bool = False
    opcodes: set[int] = field(default_factory=set)
    events: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        kinds = [describe(self.opcodes)] if self.opcodes else []
        return " or ".join([*kinds, *sorted(self.events), *(["a connection"] if self.connection else [])])


def opcodes_of(patterns: Iterable[PatternNode]) -> frozenset[int]:
    """Give the opcodes that some patterns can match."""
    return frozenset(opcode for pattern in patterns for item in pattern.items for opcode in item.opcodes)


def _taken(name: str) -> str | None:
    """Tell what a name already means where a capture is named, or None.

    Fields and codes never stand there: `A` alone is the flag, `A.CID` is of the capture.
    """
    if item_of(name) is not None:
        return "a PDU or an event"
    taken = name in OWN_NAMES or name in HEADS or name in FUNCTIONS or name in _SPECIAL or name in RUN_NAMES
    return "a word of the language" if taken else None


class Captures:
    """Every name that something in the file binds."""

    def __init__(self) -> None:
        self._known: dict[str, Captured] = {}

    def __repr__(self) -> str:
        return f"<Captures {', '.join(self._known)}>"

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def add(
        self,
        name: str,
        where: Position,
        *,
        opcodes: Iterable[int] = (),
        events: Iterable[str] = (),
        each: bool = False,
        connection: bool = False,
        pieces: bool = False,
    ) -> None:
        """Note one place that binds a name.

        Raises FileError for a name that means something else, and for one that both collects and does not.
        """
        taken = _taken(name)
        if taken:
            raise problem(f"`{name}` is {taken}; a capture needs another name", where)
        known = self._known.setdefault(name, Captured(name, where, each, connection))
        if known.each != each:
            hint = f"see line {known.where.line}"
            raise problem(f"`{name}` is bound with `as` and with `as each`; it can be only one of them", where, hint)
        known.pieces |= pieces
        known.connection |= connection
        known.opcodes.update(opcodes)
        known.events.update(events)

    def add_pattern(self, pattern: PatternNode) -> None:
        """Note what a pattern binds; raises FileError as `add`."""
        if pattern.capture is None or pattern.capture_at is None:
            return
        events = [item.name for item in pattern.items if not item.opcodes]
        self.add(
            pattern.capture.name,
            pattern.capture_at,
            opcodes=opcodes_of([pattern]),
            events=events,
            each=pattern.capture.each,
        )

    def add_moments(self, moments: Iterable[MomentNode]) -> None:
        """Note what the patterns of some moments bind; raises FileError as `add`."""
        for moment in moments:
            for step in moment.steps:
                if isinstance(step, PatternNode):
                    self.add_pattern(step)

    def find(self, name: str) -> Captured | None:
        """Give the capture of a name, a piece of a split as NAME.1; None if nothing binds it."""
        known = self._known.get(name)
        if known is None and (match := _PIECE.fullmatch(name)):
            whole = self._known.get(match[1])
            return whole if whole is not None and whole.pieces else None
        return known

    def need(self, word: Word, *, also: Iterable[str] = (), what: str = "") -> Captured:
        """Give the capture of a name.

        Raises FileError with the nearest name, of captures and of `also`; `what` is what else might have stood there.
        """
        known = self.find(word.text)
        if known is not None:
            return known
        hint = nearest(word.text, [*self._known, *also])
        begin = f"`{word.text}` is no {what}, and nothing" if what else "nothing"
        raise UnknownNameError(
            f"{begin} in the file binds {'it' if what else f'the name `{word.text}`'}",
            file=word.where.file,
            line=word.where.line,
            column=word.where.column,
            hint=hint,
            name=word.text.partition(".")[0],
        )
