"""What each block may hold, while writes that overlap are on their way and some of them are lost.

A write counts from when it is issued (with the next generation, in the order of CmdSN) until it ends: *good*, so that
it was done; *maybe*, when nobody knows (the session was lost, the command aborted or failed); or *void*, when the
target said that it did not begin it. A block keeps the writes that a read may still find there. One write rules out
another when it was good and came after it; what "after" means is the `Ordering` that the two were issued under:

- FREE: one had ended before the other was issued. Of writes in flight together either may be the last (SAM-5 8.6,
  SIMPLE tasks with unrestricted reordering).
- RESTRICTED: the other has the lower CmdSN. A read in flight beside them may find either (SPC-4 7.5.8, SIMPLE tasks
  with the queue algorithm modifier 0).
- ORDERED: the other has the lower CmdSN, and a read finds what was written by lower CmdSNs than its own, whatever else
  is in flight (RFC 7143 4.2.2.1; SAM-5 8.6, ORDERED tasks).

What was in flight when a session was lost and is issued again has no order but that of FREE. Nothing here is async.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from iscsiproxy.peers.workload.mismatch import Mismatch, MismatchKind
from iscsiproxy.peers.workload.pattern import Content, Look, Pattern, Stamp

__all__ = ["Contents", "End", "Ordering", "Read", "Write"]

#: How many writes a block's history holds; when more end badly, the oldest become one that may be any of them.
_HISTORY = 64
#: How many refused writes are remembered by name.
_REFUSED = 4096


class Ordering(Enum):
    """Which of two writes in flight together is the last."""

    FREE = "free"
    RESTRICTED = "restricted"
    ORDERED = "ordered"


class End(Enum):
    """How a write ended."""

    GOOD = "good"
    MAYBE = "maybe"
    VOID = "void"


@dataclass(slots=True, eq=False, repr=False)
class Write:
    """A write on its way, or what became of it. `issued` and `ended` are moments of the model's own clock.

    `oldest` differs from `generation` where several writes have become one that may be any of them.
    """

    first: int
    count: int
    generation: int
    issued: int
    oldest: int
    ended: int | None = None
    good: bool = False
    #: It was in flight when a session was lost.
    loose: bool = False
    doubts: list[Mismatch] = field(default_factory=list)

    def __repr__(self) -> str:
        state = "pending" if self.ended is None else "good" if self.good else "maybe"
        return f"<Write {self.generation} of {self.first}+{self.count}: {state}{', loose' * self.loose}>"

    def covers(self, generation: int) -> bool:
        """Tell whether this is that write."""
        return self.oldest <= generation <= self.generation


@dataclass(slots=True, eq=False)
class Read:
    """A read on its way."""

    first: int
    count: int
    issued: int
    loose: bool = False


#: What was in a block before the run.
_BEFORE = Write(0, 0, 0, -1, 0, ended=-1, good=True)


class Contents:
    """The possible contents of the blocks that a run touches. Each command is begun with one call and ended with one.

    Memory grows with the number of blocks touched; a block costs more while it is uncertain, up to a bound.
    """

    def __init__(self, pattern: Pattern, ordering: Ordering = Ordering.FREE) -> None:
        self.pattern = pattern
        self.ordering = ordering
        self._tick = 0
        self._generation = 0
        #: Block -> the writes that may be what it holds, by generation; what is not here was not written.
        self._blocks: dict[int, list[Write]] = {}
        #: Hashes of what was read from blocks that were not written.
        self._before: dict[int, int] = {}
        self._writes: dict[Write, None] = {}
        self._reads: dict[Read, None] = {}
        self._refused: dict[int, None] = {}

    def __repr__(self) -> str:
        flying = f"{len(self._writes)} writes and {len(self._reads)} reads in flight"
        return f"<Contents of {len(self._blocks)} blocks, {self._generation} generations, {flying}>"

    def touched(self) -> list[int]:
        """List the blocks that were written or read, in order."""
        return sorted(self._blocks.keys() | self._before.keys())

    def busy(self, first: int, count: int, *, writing: bool) -> bool:
        """Tell whether a command on these blocks would overlap one in flight, two reads not counted."""
        flying: list[Write | Read] = [*self._writes]
        if writing:
            flying += self._reads
        return any(one.first < first + count and first < one.first + one.count for one in flying)

    def write(self, first: int, count: int) -> tuple[Write, bytes]:
        """Begin the next write; give it and its data. Writes and reads are begun in the order of their CmdSN."""
        self._generation += 1
        write = Write(first, count, self._generation, self._now(), self._generation)
        self._writes[write] = None
        for block in range(first, first + count):
            history = self._blocks.get(block)
            if history is None:
                self._blocks[block] = [_BEFORE, write]
                continue
            history.append(write)
            if len(history) > _HISTORY:
                _condense(history)
        return write, self.pattern.blocks(first, [write.generation] * count)

    def written(self, write: Write, end: End) -> list[Mismatch]:
        """End a write; give what its end has shown to be wrong of reads that ended before it."""
        del self._writes[write]
        blocks = range(write.first, write.first + write.count)
        if end is End.VOID:
            self._refused[write.generation] = None
            if len(self._refused) > _REFUSED:
                del self._refused[next(iter(self._refused))]
            for block in blocks:
                history = self._blocks[block]
                history.remove(write)
                if history == [_BEFORE]:
                    del self._blocks[block]
            return []
        write.ended = self._now()
        write.good = end is End.GOOD
        if not write.good:
            return []
        # A read in flight may still find what this write has replaced.
        floor = min((read.issued for read in self._overlapping(write)), default=self._tick + 1)
        loose = any(read.loose for read in self._overlapping(write))
        for block in blocks:
            history = self._blocks[block]
            if len(history) > 1:
                history[:] = [
                    one
                    for one in history
                    # One that is pending may yet be issued again, and come last after all.
                    if one.ended is None or not self._ruled_out(one, history, floor, loose=loose)
                ]
        doubts, write.doubts = write.doubts, []
        return [] if write.loose else doubts

    def read(self, first: int, count: int) -> Read:
        """Begin a read."""
        read = Read(first, count, self._now())
        self._reads[read] = None
        return read

    def dropped(self, read: Read) -> None:
        """End a read that gave no data."""
        del self._reads[read]

    def found(self, read: Read, data: bytes | memoryview) -> list[Mismatch]:
        """End a read with all its data; give the blocks that are wrong."""
        size = self.pattern.block_size
        if len(data) != read.count * size:
            raise ValueError(f"{len(data)} bytes of a read of {read.count} blocks")
        try:
            if self._as_settled(read, data):
                return []
            view = memoryview(data)
            wrong = []
            for offset in range(read.count):
                part = view[offset * size : (offset + 1) * size]
                mismatch = self._judge(read, read.first + offset, bytes(part))
                if mismatch is not None:
                    wrong.append(mismatch)
            return wrong
        finally:
            del self._reads[read]

    def interrupted(self) -> None:
        """Take note that the session was lost and all that was in flight is issued again, in whatever order."""
        for write in self._writes:
            write.loose = True
        for read in self._reads:
            read.loose = True

    def possible(self, block: int) -> tuple[int, ...]:
        """Give the generations that a read issued now could find; 0 is what was there before the run."""
        found = self._candidates(Read(block, 1, self._tick + 1), block)
        return tuple(generation for one in found for generation in sorted({one.oldest, one.generation}))

    # --- the order ------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        self._tick += 1
        return self._tick

    def _overlapping(self, write: Write) -> list[Read]:
        end = write.first + write.count
        return [one for one in self._reads if one.first < end and write.first < one.first + one.count]

    def _ruled_out(self, loser: Write, history: list[Write], issued: int, *, loose: bool) -> bool:
        """Tell whether a read issued at that moment can no longer find a write."""
        for winner in history:
            if not winner.good or winner.ended is None or winner.issued <= loser.issued:
                continue
            if self.ordering is Ordering.FREE or loose or winner.loose or loser.loose:
                if loser.ended is not None and loser.ended < winner.issued and winner.ended < issued:
                    return True
            elif (winner.issued if self.ordering is Ordering.ORDERED else winner.ended) < issued:
                return True
        return False

    def _candidates(self, read: Read, block: int) -> list[Write]:
        history = self._blocks.get(block)
        if history is None:
            return [_BEFORE]
        strict = self.ordering is Ordering.ORDERED and not read.loose
        return [
            one
            for one in history
            if not (strict and not one.loose and one.issued > read.issued)
            and not self._ruled_out(one, history, read.issued, loose=read.loose)
        ]

    # --- what was read --------------------------------------------------------------------------------------------

    def _as_settled(self, read: Read, data: bytes | memoryview) -> bool:
        """Compare in one go where every block has one possible content; False leaves the judgement to others."""
        generations = []
        for block in range(read.first, read.first + read.count):
            history = self._blocks.get(block)
            if history is None or len(history) != 1 or not history[0].good or history[0].issued > read.issued:
                return False
            generations.append(history[0].generation)
        return self.pattern.blocks(read.first, generations) == data

    def _judge(self, read: Read, block: int, data: bytes) -> Mismatch | None:
        candidates = self._candidates(read, block)
        chosen = self._exact(block, data, candidates)
        if chosen is None:
            content = self.pattern.identify(data)
            chosen, kind = self._match(read, block, content, candidates)
            if kind is not None:
                return self._mismatch(kind, block, candidates, content, data)
        history = self._blocks.get(block)
        if history is not None and chosen is not None:
            self._learn(read, block, history, chosen, data)
        return None

    def _exact(self, block: int, data: bytes, candidates: list[Write]) -> Write | None:
        """Find the write that the block is exactly; most are right, and this is the fast way to see it."""
        for one in reversed(candidates):
            if one.generation == one.oldest > 0 and self.pattern.block(block, one.generation) == data:
                return one
        return None

    def _match(
        self, read: Read, block: int, content: Content, candidates: list[Write]
    ) -> tuple[Write | None, MismatchKind | None]:
        """Say which write was found, or what is wrong; neither, where a read saw a write at work."""
        before = next((one for one in candidates if one.oldest == 0), None)
        own = [stamp for stamp in content.stamps if stamp.run == self.pattern.run]
        if not own:
            if before is not None:
                if self._before.setdefault(block, content.hash) == content.hash:
                    return before, None
                return None, MismatchKind.CHANGED
            return None, MismatchKind.ZEROS if content.look is Look.ZEROS else MismatchKind.FOREIGN
        if content.look is Look.WHOLE:
            return self._match_whole(read, block, own[0], candidates)
        racing = self.ordering is not Ordering.ORDERED and any(
            one.ended is None or one.ended > read.issued for one in candidates
        )
        fitting = all(
            stamp.run == self.pattern.run
            and stamp.block == block
            and any(one.covers(stamp.generation) for one in candidates)
            for stamp in content.stamps
        )
        if racing and fitting and (content.look is Look.TORN or before is not None):
            return None, None
        if any(stamp.block != block for stamp in own):
            return None, MismatchKind.MISPLACED
        return None, MismatchKind.TORN if content.look is Look.TORN else MismatchKind.DAMAGED

    def _match_whole(
        self, read: Read, block: int, stamp: Stamp, candidates: list[Write]
    ) -> tuple[Write | None, MismatchKind | None]:
        if stamp.block != block:
            return None, MismatchKind.MISPLACED
        for one in candidates:
            if one.covers(stamp.generation):
                return one, None
        if stamp.generation in self._refused:
            return None, MismatchKind.REFUSED
        if stamp.generation > self._generation:
            return None, MismatchKind.FOREIGN
        history = self._blocks.get(block, ())
        if any(one.covers(stamp.generation) and one.issued > read.issued for one in history):
            return None, MismatchKind.EARLY
        return None, MismatchKind.STALE

    def _learn(self, read: Read, block: int, history: list[Write], chosen: Write, data: bytes) -> None:
        """Narrow what a block may hold to what was found there, once nothing can change it any more."""
        if self.ordering is Ordering.ORDERED and not (read.loose or chosen.loose):
            for one in history:
                if one.ended is None and not one.loose and chosen.issued < one.issued < read.issued:
                    content = self.pattern.identify(data)
                    one.doubts.append(self._mismatch(MismatchKind.STALE, block, [one], content, data))
        if len(history) == 1:
            return
        floor = min(one.issued for one in self._reads if one.first <= block < one.first + one.count)
        if any(one.ended is None or one.ended > floor for one in history):
            return
        if chosen is _BEFORE:
            del self._blocks[block]
        elif chosen.oldest == chosen.generation:
            history[:] = [chosen if chosen.good else _settled(chosen)]

    def _mismatch(
        self, kind: MismatchKind, block: int, candidates: list[Write], content: Content, data: bytes
    ) -> Mismatch:
        wanted = max((one.generation for one in candidates), default=0)
        offset = 0
        if wanted:
            due = self.pattern.block(block, wanted)
            offset = next((at for at, (one, other) in enumerate(zip(data, due, strict=True)) if one != other), 0)
        return Mismatch(
            kind=kind,
            block=block,
            expected=tuple(generation for one in candidates for generation in sorted({one.oldest, one.generation})),
            found=content.stamps[:4],
            offset=offset,
            excerpt=data[offset : offset + 16].hex(),
        )


def _settled(write: Write) -> Write:
    """Make of a write that may have been done one that was, for the blocks where it was found."""
    return Write(write.first, write.count, write.generation, write.issued, write.oldest, ended=write.ended, good=True)


def _condense(history: list[Write]) -> None:
    """Make the two oldest writes that have ended into one that may be either."""
    ended = [one for one in history if one.ended is not None][:2]
    if len(ended) < 2:
        return
    one, other = ended
    assert one.ended is not None and other.ended is not None  # noqa: PT018 -- for mypy
    both = Write(
        other.first,
        other.count,
        max(one.generation, other.generation),
        max(one.issued, other.issued),
        min(one.oldest, other.oldest),
        ended=max(one.ended, other.ended),
        loose=one.loose or other.loose,
    )
    history[history.index(other)] = both
    history.remove(one)
