"""What is given up of spans when they become too many, or the writes in them too large."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.spans import Candidate, Span
from iscsiproxy.journal.payload import HASH_LENGTH

__all__ = ["CANDIDATES", "HELD", "SPANS", "condense", "to_give_up"]

#: Spans that a logical unit may have before the oldest are given up.
SPANS = 8192
#: Writes that a span may have before the two oldest that are over become one that may be anything.
CANDIDATES = 32
#: Sectors of writes that are over and still in spans: 512 MiB of disk in 8 MiB
HELD = 1 << 20


def to_give_up(spans: Sequence[Span], reads: Collection[Op], *, most: int, held: int) -> tuple[Sequence[Span], int]:
    """Pick the oldest spans, so that about three quarters of what is allowed stay; and say what these hold.

    A span in which something can change, or where a read is on its way that may find what was before, is not picked.
    """
    quiet = [span for span in spans if _is_quiet(span, reads)]
    quiet.sort(key=lambda span: max(one.op.issued for one in span.candidates))
    excess = len(spans) - most * 3 // 4 if len(spans) > most else 0
    picked = excess
    while True:
        gone = set(quiet[:picked])
        holding = _held([span for span in spans if span not in gone])
        if holding <= held * 3 // 4 or picked >= len(quiet):
            return quiet[:picked], holding
        picked += max(len(quiet) // 8, 1)


def _is_quiet(span: Span, reads: Collection[Op]) -> bool:
    return all(one.op.over is not None for one in span.candidates) and not any(
        read.first < span.end and span.first < read.end for read in reads
    )


def _held(spans: Sequence[Span]) -> int:
    """Count the sectors whose hashes the spans keep in memory, those of commands in flight not counted."""
    ops = {one.op for span in spans for one in span.candidates if one.op.state is not State.FLYING}
    return sum(len(op.buffer) for op in ops) // HASH_LENGTH


def condense(span: Span) -> None:
    """Make the two oldest candidates that are over into one that may be anything."""
    over = [one for one in span.candidates if one.op.over is not None][:2]
    if len(over) < 2:
        return
    first, second = over
    both = Op(
        Effect(action=Action.RELEASE, name="one of several writes", ranges=((span.first, span.end),)),
        issued=max(first.op.issued, second.op.issued),
    )
    both.state = State.MAYBE
    both.over = max(one.op.over for one in over if one.op.over is not None)
    until = None if first.until is None or second.until is None else max(first.until, second.until)
    span.candidates = tuple(
        Candidate(both, until) if one is second else one for one in span.candidates if one is not first
    )
