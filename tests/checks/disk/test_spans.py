"""Spans are cut where commands end, and cover what they are asked to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.ops import Op
from iscsiproxy.checks.disk.spans import Candidate, Span, Spans


def op(issued: int = 0) -> Op:
    return Op(Effect(action=Action.WRITE, name=f"W{issued}"), issued=issued)


_STEPS = st.lists(
    st.tuples(st.sampled_from(["cover", "carve", "overlapping", "discard"]), st.integers(0, 30), st.integers(1, 10)),
    max_size=15,
)


@given(_STEPS)
def test_each_sector_has_the_writes_that_were_added_to_it(steps: list[tuple[str, int, int]]) -> None:
    spans = Spans(op())
    flat: dict[int, tuple[int, ...]] = {}
    for number, (what, first, count) in enumerate(steps, 1):
        end = first + count
        if what == "cover":
            covering = spans.cover(first, end)
            assert [at for span in covering for at in range(span.first, span.end)] == list(range(first, end))
            write = op(number)
            for span in covering:
                span.add(write)
                span.add(write)
            for at in range(first, end):
                flat[at] = (*flat.get(at, (0,)), number)
        elif what == "carve":
            inside = [at for span in spans.carve(first, end) for at in range(span.first, span.end)]
            assert inside == [at for at in range(first, end) if at in flat]
        elif what == "discard":
            for span in spans.carve(first, end):
                spans.discard(span)
            for at in range(first, end):
                flat.pop(at, None)
        touched = {at for span in spans.overlapping(first, end) for at in range(span.first, span.end)}
        assert touched.intersection(range(first, end)) == flat.keys() & range(first, end)
        held = {at: span.candidates for span in spans.all() for at in range(span.first, span.end)}
        assert {at: tuple(one.op.issued for one in candidates) for at, candidates in held.items()} == flat
        assert [span.first for span in spans.all()] == sorted(span.first for span in spans.all())


def test_a_span_that_is_not_there_is_not_discarded() -> None:
    spans = Spans(op())
    spans.cover(4, 8)
    spans.discard(Span(4, 8, ()))
    spans.discard(Span(9, 10, ()))
    assert len(spans) == 1
    assert repr(spans) == "<Spans: 1>"
    assert repr(spans.all()[0]) == "<Span 4-7: W0>"
    spans.clear()
    assert spans.all() == []


def test_a_cut_keeps_the_dispute() -> None:
    spans = Spans(op())
    (span,) = spans.cover(0, 4)
    span.disputed = True
    assert [one.disputed for one in spans.carve(2, 4)] == [True]


def test_a_write_that_was_seen_is_over() -> None:
    write = op()
    assert Candidate(write).over is None
    assert Candidate(write, seen=7).over == 7
    write.over = 5
    assert (Candidate(write).over, Candidate(write, seen=7).over, Candidate(write, seen=3).over) == (5, 5, 3)
