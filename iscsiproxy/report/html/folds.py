"""Which rows of a ladder are shown, and how fully: what matters and what is around it is open, the rest is folded.

A row is open if something was done to it, if a finding is proven by it, or if it is near such a one on its connection.
What is between is folded to one line that says what it was. Thousands of rows that are all alike are folded too, but
for the first and the last ones. How much there is room for is an `Allowance`: a row with all its fields costs the
most, one line costs little, and what there is no room for is counted, and found in the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, TypeAlias

from iscsiproxy.report.html.row import Row
from iscsiproxy.report.html.rows import Ladder

__all__ = ["Allowance", "Depth", "Fold", "Placed", "Span", "fold"]

#: How a row is shown: with all its fields, as one line, or not at all
Depth: TypeAlias = Literal["full", "line", "none"]

#: How many PDUs of its connection are open before and behind one that matters
_BEFORE, _BEHIND = 3, 3
#: What is shorter than this is not folded
_SHORT = 4
#: Of rows in which the same was done to like PDUs so many are open, at the beginning and at the end of them
_ALIKE_FIRST, _ALIKE_LAST = 6, 2
#: How many kinds of PDUs a fold names
_KINDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many rows may be shown with all their fields, and how many more as one line."""

    full: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A row at its place, and how it is shown."""

    place: int
    row: Row
    depth: Depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What is told of rows that are folded: how many PDUs, of what kinds, what was done to some of them, and when.

    `left_out` of the rows are not in the report; they are in the lines `first_line` to `last_line` of the journal.
    """

    pdus: int
    events: int
    kinds: tuple[tuple[str, int], ...]
    done: tuple[tuple[str, int], ...]
    start: float
    end: float
    left_out: int = 0
    first_line: int = 0
    last_line: int = 0

    @property
    def title(self) -> str:
        """Say in one line what it is."""
        parts = [f"{self.pdus:,} PDU{'s' * (self.pdus != 1)}"] if self.pdus else []
        if self.events:
            parts.append(f"{self.events:,} event{'s' * (self.events != 1)}")
        if not self.done:
            return " and ".join(parts) + (", all passed on as they came" if self.pdus > 1 else "")
        return f"{' and '.join(parts)}, more of the same: {', '.join(f'{n:,} {word}' for word, n in self.done)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows in a row: open ones, or with a `fold` folded ones."""

    rows: tuple[Placed, ...]
    fold: Fold | None = None


def fold(ladder: Ladder, found: Collection[int], allowance: Allowance) -> tuple[Span, ...]:
    """Cut a ladder into spans. `found` has the places of the rows by which something is proven."""
    rows = ladder.rows
    open_ = _open(rows, frozenset(found))
    depths = _depths(rows, open_, found, allowance)
    spans = []
    for is_open, places in _stretches(rows, open_):
        placed = tuple(Placed(place=place, row=rows[place], depth=depths[place]) for place in places if place in depths)
        spans.append(Span(rows=placed, fold=None if is_open else _fold([rows[place] for place in places], placed)))
    return tuple(spans)


def _open(rows: Sequence[Row], found: frozenset[int]) -> set[int]:
    """Choose the rows that are open: those that matter, and the PDUs around them."""
    matter = _matter(rows, found)
    by_conn: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        by_conn.setdefault(row.conn, []).append(place)
    open_ = set(matter)
    for places in by_conn.values():
        for index, place in enumerate(places):
            if place in matter and rows[place].drawing != "stage":
                open_.update(places[max(0, index - _BEFORE) : index + _BEHIND + 1])
    return open_


def _matter(rows: Sequence[Row], found: frozenset[int]) -> set[int]:
    """Choose the rows that matter; of many alike only some do, unless something is proven by them."""
    matter = set(found)
    alike: dict[tuple[int, str, tuple[str, ...]], list[int]] = {}
    for place, row in enumerate(rows):
        if row.drawing == "stage":
            matter.add(place)
        elif not row.calm and place not in found:
            what = tuple(mark.word for mark in row.marks)
            alike.setdefault((row.conn, row.label, what), []).append(place)
    for places in alike.values():
        matter.update(places[:_ALIKE_FIRST] + places[-_ALIKE_LAST:])
    return matter


def _stretches(rows: Sequence[Row], open_: set[int]) -> Iterator[tuple[bool, list[int]]]:
    """Give the stretches of open rows and of others, those that are too short to fold among the open ones."""
    rest: list[int] = []
    for is_open, group in groupby(range(len(rows)), key=lambda place: place in open_):
        places = list(group)
        if is_open or len(places) < _SHORT:
            rest += places
            continue
        if rest:
            yield True, rest
            rest = []
        yield False, places
    if rest:
        yield True, rest


def _depths(rows: Sequence[Row], open_: set[int], found: Collection[int], allowance: Allowance) -> Mapping[int, Depth]:
    """Share out the room: first to what is proven, then to what is open, then to the rest. What is no PDU is a line."""
    depths: dict[int, Depth] = {}
    full, lines = allowance.full, allowance.lines
    proven = frozenset(found)
    order = sorted(range(len(rows)), key=lambda place: (place not in proven, place not in open_))
    for place in order:
        must = place in proven or rows[place].drawing == "stage"
        if full > 0 and rows[place].shown is not None:
            depths[place] = "full"
            full -= 1
        elif lines > 0 or must:
            depths[place] = "line"
            lines -= 1
    return depths


def _fold(rows: Sequence[Row], placed: Sequence[Placed]) -> Fold:
    kinds = Counter(row.label for row in rows if row.shown is not None)
    named = kinds.most_common(_KINDS)
    more = sum(kinds.values()) - sum(count for _, count in named)
    pdus = [row for row in rows if row.shown is not None]
    done = Counter(row.marks[0].word for row in rows if row.marks)
    shown = {one.row.n for one in placed}
    missing = [row.line for row in rows if row.n not in shown]
    return Fold(
        pdus=len(pdus),
        events=len(rows) - len(pdus),
        kinds=(*named, *((("others", more),) if more else ())),
        done=tuple(done.most_common(_KINDS)),
        start=min(row.at for row in rows),
        end=max(row.at for row in rows),
        left_out=len(missing),
        first_line=min(missing, default=0),
        last_line=max(missing, default=0),
    )
