"""What was judged and what was not."""

from __future__ import annotations

from iscsiproxy.checks.disk.counts import Counts, Reason


def test_counts_add_up_by_reason() -> None:
    counts = Counts(judged=3)
    counts.leave_out(Reason.NEW, 2)
    counts.leave_out(Reason.NEW, 1)
    counts.leave_out(Reason.SIZE, 0)
    assert counts == Counts(judged=3, left_out={Reason.NEW: 3})
    other = Counts(judged=1, left_out={Reason.NEW: 1, Reason.RACED: 4}, forgotten=5)
    counts.add(other)
    assert counts == Counts(judged=4, left_out={Reason.NEW: 4, Reason.RACED: 4}, forgotten=5)
    assert other.left_out == {Reason.NEW: 1, Reason.RACED: 4}
