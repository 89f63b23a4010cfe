"""What each sector of one logical unit may hold: one content that is sure, or those of the writes that are not.

A sector is sure, and its hash in its page, or it is in a span with the writes that a read may still find there. A good
write rules out those that precede it (`order`), a void one is taken out, and what a read finds rules out what cannot be
there any more: all that was over before the read was issued, but for what was found, and all that precedes that. When
one candidate is left and over, the sector is sure.

A sector that was found wrong may hold what was found from then on, beside what was expected, until it is written: one
fault is one finding.

Where the contents before all commands are known, CmdSNs come in order and no command is ORDERED, this finds exactly the
histories that are impossible, sector by sector. It is more lenient, never stricter, in these cases:

- A read that is beside a write may find what nobody knows: a mixture of both. What is known from elsewhere is found.
- What is first read beside a write does not tell what was there before it.
- A read that is ORDERED and ends before an ORDERED write of a lower CmdSN was answered need not have found that write.
- Where a higher CmdSN was seen to be done before a lower one was sent, both orders are right.
- Sectors are on their own: a command that is atomic as a whole is not held to that, unless what is missing was sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from iscsiproxy.checks.disk.commands import END, LARGEST, Action, Effect, Range
from iscsiproxy.checks.disk.counts import Counts, Reason
from iscsiproxy.checks.disk.history import History
from iscsiproxy.checks.disk.matching import match
from iscsiproxy.checks.disk.ops import Op, State, unknown
from iscsiproxy.checks.disk.order import allowed, precedes, racing
from iscsiproxy.checks.disk.pages import Pages
from iscsiproxy.checks.disk.ranges import Ranges
from iscsiproxy.checks.disk.spans import Candidate, Span, Spans
from iscsiproxy.checks.disk.thrift import CANDIDATES, HELD, SPANS, condense, to_give_up
from iscsiproxy.checks.disk.wrongs import Bad, origins_of
from iscsiproxy.journal.payload import HASH_LENGTH

__all__ = ["Contents"]


class Contents:
    """The possible contents of one logical unit.

    `restricted` tells whether SIMPLE commands are reordered in a restricted way only; None while nobody has told.
    """

    def __init__(self, pages: Pages, history: History, counts: Counts, *, spans: int = SPANS, held: int = HELD) -> None:
        self.restricted: bool | None = None
        self.reads: dict[Op, None] = {}
        self._pages = pages
        self._disk = pages.enlist()
        self._history = history
        self._counts = counts
        #: What the page says, as a command before all others
        self._base = Op(Effect(action=Action.READ, name="what was there"), issued=-1)
        self._base.over, self._base.state = -1, State.GOOD
        self._spans = Spans(self._base)
        self._released = Ranges()
        self._most_spans = self._spans_due = spans
        self._most_held = held
        self._held = 0

    def __repr__(self) -> str:
        return f"<Contents: {len(self._spans)} spans, {len(self.reads)} reads in flight>"

    def __len__(self) -> int:
        return len(self._spans)

    # --- writes -------------------------------------------------------------------------------------------------------

    def issue(self, write: Op) -> None:
        """Let a write be on its way."""
        for first, end in write.effect.ranges:
            for span in self._spans.cover(first, end):
                span.add(write)
                if len(span.candidates) > CANDIDATES:
                    condense(span)

    def done(self, write: Op, end: int) -> None:
        """End a write that is good in the sectors before `end`; what it left behind them is not known."""
        if end < write.end:
            rest = write.piece(max(end, write.first), write.end)
            rest.state = State.MAYBE
            for span in self._spans.carve(rest.first, rest.end):
                span.candidates = tuple(one._replace(op=rest) if one.op is write else one for one in span.candidates)
        for first, last in write.effect.ranges:
            for span in self._spans.carve(first, last):
                self._rule_out(span, write)

    def withdraw(self, write: Op) -> list[Range]:
        """Take a write out that was not done; give the ranges where a read has found it all the same."""
        found = []
        for first, end in write.effect.ranges:
            for span in self._spans.carve(first, end):
                rest = tuple(one for one in span.candidates if one.op is not write)
                seen = any(one.seen is not None for one in span.candidates if one.op is write)
                if seen or all(one.until is not None for one in rest):
                    found.append((span.first, span.end))
                else:
                    span.candidates = rest
        return found

    def _rule_out(self, span: Span, write: Op) -> None:
        """Let a good write win over those that precede it."""
        if all(one.op is not write for one in span.candidates):
            return
        assert write.over is not None
        span.candidates = tuple(
            one._replace(until=write.over)
            if (one.until is None or one.until > write.over) and self._loses(one, write)
            else one
            for one in span.candidates
        )
        span.disputed = span.disputed and sum(one.until is None for one in span.candidates) > 1

    def _loses(self, one: Candidate, write: Op) -> bool:
        """Tell whether another write has taken effect before this one, if at all."""
        if one.op is write:
            return False
        if one.seen is not None and one.seen < write.issued:
            return not self._precedes(write, one.op)
        return self._precedes(one.op, write)

    def _precedes(self, one: Op, other: Op) -> bool:
        return precedes(one, other, restricted=self.restricted is not False)

    # --- reads --------------------------------------------------------------------------------------------------------

    def compare(self, read: Op, end: int) -> list[Bad]:
        """Hold the sectors before `end` that a read has found against what may be there; learn from them."""
        first = read.first
        found = read.passed(end - first)
        whole = not read.broken and len(read.buffer) >= (read.effect.period or end - first) * HASH_LENGTH
        spans = self._spans.overlapping(first, end)
        if not spans:
            return self._compare_sure(read, first, found, whole=whole)
        bads: list[Bad] = []
        at = first
        for span in spans:
            low, high = max(span.first, at), min(span.end, end)
            if low > at:
                bads += self._compare_sure(read, at, _part(found, at - first, low - first), whole=whole)
            bads += self._compare_unsure(read, span, low, _part(found, low - first, high - first))
            at = high
        if at < end:
            bads += self._compare_sure(read, at, _part(found, at - first, end - first), whole=whole)
        return bads

    def _compare_sure(self, read: Op, first: int, found: bytes, *, whole: bool) -> list[Bad]:
        sectors = len(found) // HASH_LENGTH
        end = first + sectors
        due = self._pages.read(self._disk, first, end)
        if whole:
            if due == found:
                self._counts.judged += sectors
                return []
            if due == unknown(sectors) and not self._released.overlaps(first, end):
                self._define(read, first, found)
                self._counts.leave_out(Reason.NEW, sectors)
                return []
        bads = []
        for one in match(found, [due]):
            low, high = first + one.first, first + one.end
            part = _part(found, one.first, one.end)
            if not one.seen:
                self._counts.leave_out(Reason.UNSEEN, high - low)
            elif one.exact:
                self._counts.judged += high - low
            elif one.open:
                self._meet(read, low, part)
            else:
                bads.append(Bad(low, part, (), _part(due, one.first, one.end)))
                self._dispute(read, low, high)
        return bads

    def _meet(self, read: Op, first: int, found: bytes) -> None:
        """Take what was found in sectors of which nothing is known, but where it may change again."""
        for at in range(first, first + len(found) // HASH_LENGTH):
            if at in self._released:
                self._counts.leave_out(Reason.RELEASED, 1)
            else:
                self._counts.leave_out(Reason.NEW, 1)
                self._define(read, at, _part(found, at - first, at - first + 1))

    def _define(self, read: Op, first: int, found: bytes) -> None:
        self._pages.write(self._disk, first, found)
        read.telling = True

    def _dispute(self, read: Op, first: int, end: int) -> None:
        self._counts.judged += end - first
        if read.effect.action is Action.COMPARE_AND_WRITE:
            return
        read.telling = True
        for span in self._spans.cover(first, end):
            span.add(read)
            span.disputed = True

    def _compare_unsure(self, read: Op, span: Span, first: int, found: bytes) -> list[Bad]:
        end = first + len(found) // HASH_LENGTH
        # What is learned of one part cuts the span, and changes it.
        span = Span(first, end, span.candidates, disputed=span.disputed)
        ops = [one.op for one in allowed(read, span, restricted=self.restricted is not False)]
        race = any(racing(read, op) for op in ops)
        bads = []
        for one in match(found, [self._content(op, first, end) for op in ops]):
            low, high = first + one.first, first + one.end
            part = _part(found, one.first, one.end)
            if not one.seen:
                self._counts.leave_out(Reason.UNSEEN, high - low)
            elif one.exact:
                self._counts.judged += high - low
                self._learn(read, span, low, part, [ops[at] for at in (*one.exact, *one.open)], len(one.exact))
            elif one.open:
                open_ = [ops[at] for at in one.open]
                self._counts.leave_out(self._why_open(span, low, high, open_, race=race), high - low)
                if not race:
                    self._learn(read, span, low, part, open_, 0)
            else:
                ruled = tuple(one.op for one in span.candidates if one.op not in (*ops, read, self._base))
                base = self._content(self._base, low, high) if self._base in ops else b""
                bad = Bad(low, part, tuple(op for op in ops if op is not self._base), base, ruled)
                bads += self._known_in(bad) if race else [bad]
        for bad in bads:
            self._dispute(read, bad.first, bad.end)
        return bads

    def _content(self, op: Op, first: int, end: int) -> bytes:
        return self._pages.read(self._disk, first, end) if op is self._base else op.content(first, end)

    def _firm(self, op: Op, first: int, end: int) -> bool:
        """Tell whether what is not known of a candidate is at least the same at each read."""
        if op is self._base:
            return not self._released.overlaps(first, end)
        return op.effect.action is not Action.RELEASE

    def _why_open(self, span: Span, first: int, end: int, ops: Sequence[Op], *, race: bool) -> Reason:
        if race:
            return Reason.RACED
        if not all(self._firm(op, first, end) for op in ops):
            return Reason.RELEASED
        if span.disputed:
            return Reason.DISPUTED
        return Reason.NEW if self._base in ops else Reason.UNKNOWN

    def _known_in(self, bad: Bad) -> list[Bad]:
        """Give the sectors whose content is known from somewhere, and so is no mixture of two that met there."""
        known = []
        for at, origin in enumerate(origins_of(bad, self._history)):
            if origin is None:
                self._counts.leave_out(Reason.RACED, 1)
            else:
                base = _part(bad.base, at, at + 1)
                known.append(Bad(bad.first + at, _part(bad.found, at, at + 1), bad.expected, base, bad.ruled))
        return known

    def _learn(self, read: Op, span: Span, first: int, found: bytes, ops: Sequence[Op], exact: int) -> None:
        """Rule out what a read has shown not to be there: it found one of `ops`, of which so many first are known."""
        if span.disputed:
            return
        end = first + len(found) // HASH_LENGTH
        assert read.over is not None
        # From then on what was found had come, and all that it came after was over.
        bound = max(
            min(read.over, read.over if one.over is None else one.over) for one in span.candidates if one.op in ops
        )
        firm = all(self._firm(op, first, end) for op in ops)
        others = [one for one in span.candidates if one.op is not read]
        live = {one.op for one in others if one.until is None}
        gone = {one.op for one in others if one.over is not None and one.over < read.issued}
        if firm and gone.issuperset(live):
            # Nothing can change any more: whichever of them it is, this is what is there.
            kept: Op | None = ops[exact - 1]
            losers = gone - {kept}
        else:
            kept = ops[0] if len(ops) == 1 else None
            losers = {
                one.op
                for one in others
                if one.op not in ops and (one.op in gone or (kept is not None and self._loses(one, kept)))
            }
        if losers.issuperset(live):
            return  # Something always stays possible: a contradiction teaches nothing.
        new = kept
        if kept is not None and not exact and firm and kept.over is not None:
            if kept is self._base:
                self._define(read, first, found)
            else:
                new = kept.piece(first, end, found)
        if kept is not None and exact and kept is not self._base:
            kept.witness = read.ref
        seen = read.over if exact else None
        candidates = []
        for one in span.candidates:
            if one.op is kept and new is not None:
                one = Candidate(new, one.until, one.seen or seen)
            elif one.op in losers:
                # One that should have come after what was found, and is over, was never done.
                never = kept is not None and one.op in gone and self._precedes(kept, one.op)
                limit = -1 if never else bound
                one = one._replace(until=limit if one.until is None else min(one.until, limit))
            candidates.append(one)
        if tuple(candidates) == span.candidates:
            return
        for part in self._spans.carve(first, end):
            part.candidates = tuple(candidates)

    # --- what becomes sure --------------------------------------------------------------------------------------------

    def relax(self, op: Op) -> None:
        """Draw the consequences of the end of a command, after all else."""
        self.settle(op.effect.ranges)
        if op.writes and op.settled < op.end - op.first:
            self._history.add(op, op.first, op.end)
            self._held += len(op.buffer) // HASH_LENGTH
        if len(self._spans) > self._spans_due or self._held > self._most_held:
            self._tidy()

    def settle(self, ranges: Iterable[Range]) -> None:
        """Let go of what no read can find any more, and note what is sure."""
        for first, end in ranges:
            spans = self._spans.overlapping(first, end)
            if spans:
                low, high = spans[0].first, spans[-1].end
                reads = [read for read in self.reads if read.first < high and low < read.end]
                for span in spans:
                    self._relax(span, reads)

    def _relax(self, span: Span, reads: Sequence[Op]) -> None:
        if len(span.candidates) > 1:
            floor = min((one.issued for one in reads if one.first < span.end and span.first < one.end), default=None)
            span.candidates = tuple(
                one
                for one in span.candidates
                if one.until is None
                or (floor is not None and one.until >= floor)
                or one.op.state is State.FLYING  # what it brings is still known by it
            )
        if len(span.candidates) == 1:
            self._keep(span, span.candidates[0].op)

    def _keep(self, span: Span, op: Op) -> None:
        """Move a span with one candidate to the pages, if that is over."""
        if op.over is None:
            return
        self._spans.discard(span)
        if op is self._base:
            return
        first, end = span.first, span.end
        before = self._pages.read(self._disk, first, end) if end - first <= LARGEST else b""
        if op.buffer:
            self._pages.write(self._disk, first, op.content(first, end))
        else:
            self._pages.clear(self._disk, first, end)
        if op.effect.action is Action.RELEASE:
            self._released.add(first, end)
        op.settled += end - first
        self._history.add(op, first, end, before)

    # --- memory -------------------------------------------------------------------------------------------------------

    def forget(self, pending: Iterable[Op] = ()) -> None:
        """Forget everything but the writes that may still be done."""
        self._counts.forgotten += self._pages.clear(self._disk, 0, END)
        self._spans.clear()
        self._released.clear()
        for op in pending:
            self.issue(op)

    def give_up(self, ranges: Iterable[Range]) -> None:
        """Forget what sectors may hold."""
        for first, end in ranges:
            for span in self._spans.carve(first, end):
                self._spans.discard(span)
            self._pages.clear(self._disk, first, end)
            self._counts.forgotten += min(end - first, LARGEST)

    def _tidy(self) -> None:
        given_up, self._held = to_give_up(self._spans.all(), self.reads, most=self._most_spans, held=self._most_held)
        self.give_up([(span.first, span.end) for span in given_up])
        # What is in flight has to stay, however much it is: it is looked at again when it has grown.
        self._spans_due = max(self._most_spans, len(self._spans) * 5 // 4)


def _part(hashes: bytes, first: int, end: int) -> bytes:
    return hashes[first * HASH_LENGTH : end * HASH_LENGTH]
