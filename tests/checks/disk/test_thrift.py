"""What is given up, and what has to stay."""

from __future__ import annotations

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.spans import Candidate, Span
from iscsiproxy.checks.disk.thrift import condense, to_give_up


def op(first: int, end: int, issued: int, over: int | None = None, action: Action = Action.WRITE) -> Op:
    made = Op(Effect(action=action, name="X", ranges=((first, end),)), issued=issued)
    made.over = over
    made.state = State.FLYING if over is None else State.MAYBE
    made.buffer += b"x" * 8 * (end - first)
    return made


def span(at: int, *ops: Op) -> Span:
    return Span(at, at + 4, tuple(Candidate(one) for one in ops))


def test_the_oldest_go_until_a_quarter_is_free() -> None:
    spans = [span(4 * at, op(4 * at, 4 * at + 4, issued=10 - at, over=20)) for at in range(9)]
    picked, held = to_give_up(spans, [], most=8, held=1000)
    assert picked == [spans[8], spans[7], spans[6]]
    assert held == 6 * 4
    assert to_give_up(spans, [], most=9, held=1000) == ([], 9 * 4)


def test_the_oldest_go_until_they_hold_less() -> None:
    spans = [span(4 * at, op(4 * at, 4 * at + 4, issued=at, over=20)) for at in range(8)]
    picked, held = to_give_up(spans, [], most=100, held=16)
    assert (picked, held) == (spans[:5], 12)


def test_what_may_change_or_is_being_read_stays() -> None:
    over, flying = op(0, 4, 1, 2), op(4, 8, 1)
    spans = [span(0, over), span(4, flying), span(8, op(8, 12, 1, 2), flying), span(12, op(12, 16, 1, 2))]
    picked, held = to_give_up(spans, [op(15, 20, 3, action=Action.READ)], most=1, held=0)
    assert list(picked) == [spans[0]]
    assert held == 8, "what is in flight is not counted"


def test_the_two_oldest_that_are_over_become_one_that_may_be_anything() -> None:
    ops = [op(0, 4, 1), op(0, 4, 2, 5), op(0, 4, 3, 4), op(0, 4, 6, 7)]
    crowd = span(0, *ops)
    condense(crowd)
    first, both, last = (one.op for one in crowd.candidates)
    assert (first, last) == (ops[0], ops[3])
    assert (both.effect.action, both.issued, both.over) == (Action.RELEASE, 3, 5)
    crowd = span(0, ops[0], ops[1])
    condense(crowd)
    assert [one.op for one in crowd.candidates] == ops[:2]
    late = Span(0, 4, (Candidate(ops[1], until=8), Candidate(ops[2], until=9), Candidate(ops[3])))
    condense(late)
    assert [one.until for one in late.candidates] == [9, None]
