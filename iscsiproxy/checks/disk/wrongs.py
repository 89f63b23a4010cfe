"""What is wrong about data that was read: its kind, what should have been there, what was, and who proves it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from iscsiproxy.checks.disk.commands import Action
from iscsiproxy.checks.disk.history import History, Origin, Past
from iscsiproxy.checks.disk.matching import words
from iscsiproxy.checks.disk.ops import ZEROS, Op, State
from iscsiproxy.checks.disk.order import precedes, strictly
from iscsiproxy.journal.payload import HASH_LENGTH

__all__ = ["Bad", "Kind", "Wrong", "origins_of", "refused_of", "wrongs_of"]

#: The most commands that one finding names on each side
_NAMED = 4


class Kind(Enum):
    """What can be wrong."""

    #: A write that was answered GOOD is not there: what it replaced is.
    LOST = "lost write"
    #: An older content, though the newer one had been read before.
    STALE = "stale read"
    #: Of a write that was answered GOOD some sectors are there and some are not.
    TORN = "torn write"
    #: Of two writes the wrong one was the last; or a read found one that comes after it, or that was over and not done.
    MISORDERED = "misordered write"
    #: What a write brought that the target said it had not begun.
    REFUSED = "refused write"
    #: What nobody is known to have written or read there.
    CORRUPTION = "corruption"
    #: The target said that data compared equal which is not what is there.
    COMPARE = "failed compare passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One finding: what is wrong in one way about one read or compare.

    `disk` is the key of the logical unit; `ranges` are (LBA, number of blocks), merged. `refs` are those that the
    caller gave to the commands that prove it: to the read first, then to what was expected, to what was found, and to
    reads that had found what was expected. `certain` is False where it depends on something that nobody told: the block
    size, or the queue algorithm modifier.
    """

    kind: Kind
    disk: Hashable
    ranges: tuple[tuple[int, int], ...]
    read: str
    expected: tuple[str, ...]
    found: tuple[str, ...]
    refs: tuple[Hashable, ...]
    certain: bool = True

    def __str__(self) -> str:
        where = ", ".join(f"{LBA}-{LBA + blocks - 1}" if blocks > 1 else str(LBA) for LBA, blocks in self.ranges)
        return (
            f"{self.kind.value} at LBA {where}, seen by {self.read}: expected {' or '.join(self.expected)}, "
            f"found {' and '.join(self.found)}"
        )


class Bad(NamedTuple):
    """Sectors from `first` on of a read that cannot be what was found there.

    `expected` are the writes, in the order of their issue, that would have been right, `base` the hashes that stood
    firm and would have been, if any; `ruled` are writes that were known there, but could not be found.
    """

    first: int
    found: bytes
    expected: tuple[Op, ...]
    base: bytes
    ruled: tuple[Op, ...] = ()

    @property
    def end(self) -> int:
        """Behind the last sector."""
        return self.first + len(self.found) // HASH_LENGTH


class _Verdict(NamedTuple):
    """What is wrong with one sector. `due` is the command whose content should have been there."""

    sector: int
    kind: Kind
    due: Op | None
    origin: Origin | None
    others: tuple[Op, ...]
    witness: Hashable
    certain: bool


def wrongs_of(
    read: Op,
    bads: Sequence[Bad],
    history: History,
    *,
    disk: Hashable,
    each: int,
    guessed: bool,
    restricted: bool | None,
) -> tuple[Wrong, ...]:
    """Make findings of the sectors that were wrong, one for each kind; `each` is how many sectors make a block."""
    verdicts = [verdict for bad in bads for verdict in _verdicts(read, bad, history, restricted=restricted)]
    lost = dict.fromkeys(verdict.due for verdict in verdicts if verdict.kind is Kind.LOST)
    torn = {due for due in lost if due is not None and _partly_there(read, due, history)}
    wrongs = []
    verdicts = [one._replace(kind=Kind.TORN) if one.kind is Kind.LOST and one.due in torn else one for one in verdicts]
    for kind in Kind:
        ours = [one for one in verdicts if one.kind is kind]
        if ours:
            wrongs.append(_wrong(read, kind, ours, history, disk=disk, each=each, guessed=guessed, bads=bads))
    return tuple(wrongs)


def origins_of(bad: Bad, history: History) -> list[Origin | None]:
    """Say of each sector where the content comes from that was found there; None if nobody knows."""
    origins = history.origins(bad.first, bad.found)
    for op in bad.ruled:
        content = words(op.content(bad.first, bad.end))
        for at, hash_ in enumerate(words(bad.found)):
            if content[at] == hash_:
                origins[at] = Origin(op)
    return origins


def _verdicts(read: Op, bad: Bad, history: History, *, restricted: bool | None) -> list[_Verdict]:
    found = origins_of(bad, history)
    bases = history.origins(bad.first, bad.base) if bad.base else [None] * len(found)
    witnesses = _Witnesses(bad, history)
    verdicts = []
    for at, origin in enumerate(found):
        base = bases[at]
        others = bad.expected if base is None or base.replaced else (base.op, *bad.expected)
        good = [op for op in others if op.state is State.GOOD]
        due = good[-1] if good else others[-1] if others else None
        sector = bad.first + at
        witness = witnesses.of(due, sector)
        kind = _kind(read, due, origin, witness, restricted)
        certain = kind is not Kind.MISORDERED or restricted is not None or _sure(due, origin)
        if read.effect.action is not Action.READ:
            kind = Kind.COMPARE
        verdicts.append(_Verdict(sector, kind, due, origin, others, witness, certain))
    return verdicts


def _kind(read: Op, due: Op | None, origin: Origin | None, witness: Hashable, restricted: bool | None) -> Kind:
    if origin is None:
        return Kind.CORRUPTION
    there = origin.op
    if not origin.replaced and there.writes:
        if there.state is State.VOID:
            return Kind.REFUSED
        if strictly(read, there):
            return Kind.MISORDERED
        if due is not None and due.over is not None and due.over < there.issued:
            return Kind.MISORDERED
        if due is not None and (there.over is None or there.over > due.issued) and due.writes:
            late = there.state is not State.GOOD and there.witness is None
            return Kind.MISORDERED if late or precedes(there, due, restricted=restricted is not False) else Kind.STALE
    return Kind.STALE if due is None or not due.writes or witness is not None else Kind.LOST


def _sure(due: Op | None, origin: Origin | None) -> bool:
    """Tell whether the order of two writes does not depend on how SIMPLE commands may be reordered."""
    if due is None or origin is None:
        return True
    return due.ordered or origin.op.ordered or (due.over is not None and due.over < origin.op.issued)


class _Witnesses:
    """Reads that had found what a write brought to sectors of a range, by `ref`."""

    def __init__(self, bad: Bad, history: History) -> None:
        self._reads = [past for past in history.covering(bad.first, bad.end) if past.op.reads]
        self._after: dict[Op, list[Past]] = {}

    def of(self, due: Op | None, sector: int) -> Hashable:
        if due is None or not due.writes:
            return None
        if due.over is None:
            return due.witness
        after = self._after.get(due)
        if after is None:
            after = self._after[due] = [past for past in self._reads if past.op.issued > due.over]
        return next((past.op.ref for past in after if past.first <= sector < past.end), due.witness)


def _partly_there(read: Op, due: Op, history: History) -> bool:
    """Tell whether the read found a write in other sectors, where it made a difference."""
    first, end = max(due.first, read.first), min(due.end, read.end)
    seen, content = words(read.passed(end - read.first))[first - read.first :], words(due.content(first, end))
    same = {at for at in range(end - first) if content[at] and seen[at] == content[at]}
    for past in history.covering(first, end):
        if past.op is due and past.before:
            before = words(past.before)
            for at in range(max(first, past.first), min(end, past.end)):
                if before[at - past.first] == content[at - first]:
                    same.discard(at - first)
    return bool(same)


def _wrong(
    read: Op,
    kind: Kind,
    verdicts: Sequence[_Verdict],
    history: History,
    *,
    disk: Hashable,
    each: int,
    guessed: bool,
    bads: Sequence[Bad],
) -> Wrong:
    dues = _few(op for one in verdicts for op in one.others)
    origins = list(dict.fromkeys(one.origin for one in verdicts))[:_NAMED]
    refs = [read.ref, *(op.ref for op in dues), *(one.op.ref for one in origins if one is not None)]
    refs += [one.witness for one in verdicts]
    return Wrong(
        kind=kind,
        disk=disk,
        ranges=_ranges([one.sector for one in verdicts], each),
        read=str(read),
        expected=tuple(_said(Origin(op)) for op in dues) or ("what was known to be there",),
        found=tuple(_said(one) if one is not None else _foreign(verdicts, bads, history) for one in origins),
        refs=tuple(dict.fromkeys(ref for ref in refs if ref is not None)),
        certain=not guessed and all(one.certain for one in verdicts),
    )


def refused_of(
    write: Op, ranges: Iterable[tuple[int, int]], *, disk: Hashable, each: int, guessed: bool
) -> tuple[Wrong, ...]:
    """Make the finding that a read has found a write of which the target then said that it was not begun."""
    sectors = [sector for first, end in ranges for sector in range(first, end)]
    if not sectors:
        return ()
    refs = (write.witness, write.ref)
    return (
        Wrong(
            kind=Kind.REFUSED,
            disk=disk,
            ranges=_ranges(sectors, each),
            read="a read before its end",
            expected=("what was known to be there",),
            found=(f"what {write} wrote",),
            refs=tuple(ref for ref in refs if ref is not None),
            certain=not guessed,
        ),
    )


def _few(ops: Iterable[Op]) -> list[Op]:
    return list(dict.fromkeys(ops))[:_NAMED]


def _said(origin: Origin) -> str:
    op = origin.op
    if origin.replaced:
        return f"what was there before {op}"
    return f"what {op} {'wrote' if op.writes else 'found'}"


def _foreign(verdicts: Sequence[_Verdict], bads: Sequence[Bad], history: History) -> str:
    """Say what is known of a content that does not belong there."""
    sector = next(one.sector for one in verdicts if one.origin is None)
    bad = next(bad for bad in bads if bad.first <= sector < bad.end)
    at = (sector - bad.first) * HASH_LENGTH
    hash_ = bad.found[at : at + HASH_LENGTH]
    if hash_ == ZEROS:
        return "zeros"
    op = history.elsewhere(hash_)
    return "what nobody is known to have written or read there" + (f", but {op} has it" if op is not None else "")


def _ranges(sectors: Sequence[int], each: int) -> tuple[tuple[int, int], ...]:
    """Merge sectors in order into ranges of logical blocks."""
    ranges: list[tuple[int, int]] = []
    for sector in sectors:
        block = sector // each
        if ranges and block < sum(ranges[-1]):
            continue
        if ranges and block == sum(ranges[-1]):
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((block, 1))
    return tuple(ranges)
