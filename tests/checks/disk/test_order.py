"""Which of two commands takes effect first."""

from __future__ import annotations

import pytest

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.order import allowed, precedes, racing, strictly
from iscsiproxy.checks.disk.spans import Candidate, Span

_WRITE = Effect(action=Action.WRITE, name="W", ranges=((0, 1),))
_READ = Effect(action=Action.READ, name="R", ranges=((0, 1),))


def op(
    issued: int, over: int | None = None, *, order: int | None = None, session: str = "a", ordered: bool = False,
    effect: Effect = _WRITE,
) -> Op:  # fmt: skip
    made = Op(effect, issued=issued, session=session, order=order, attribute=2 if ordered else 1)
    made.over = over
    if over is not None:
        made.state = State.GOOD
    return made


@pytest.mark.parametrize(
    ("one", "other", "restricted", "first"),
    [
        (op(1, 2, order=9), op(3, order=1), True, True),  # over before the other was issued, whatever CmdSN says
        (op(1, 2, session="a"), op(3, session="b"), False, True),
        (op(1, order=1), op(2, order=2), True, True),
        (op(2, order=1), op(1, order=2), True, True),
        (op(1, order=0xFFFFFFFF), op(2, order=0), True, True),
        (op(1, order=1), op(2, order=2), False, False),
        (op(1, order=1, ordered=True), op(2, order=2), False, True),
        (op(1, order=1, session="a"), op(2, order=2, session="b"), True, False),
        (op(1), op(2, order=2), True, False),
        (op(1, order=1), op(2), True, False),
    ],
)
def test_precedes(one: Op, other: Op, restricted: bool, first: bool) -> None:
    assert precedes(one, other, restricted=restricted) is first
    assert not precedes(other, one, restricted=restricted)


def test_only_ordered_commands_in_flight_together_are_strictly_in_order() -> None:
    one, other = op(1, order=1, ordered=True), op(2, order=2, ordered=True)
    assert strictly(one, other)
    assert not strictly(other, one)
    assert not strictly(op(1, order=1), other)
    assert not strictly(op(1, order=1, ordered=True, session="b"), other)
    assert not strictly(op(1, 1, order=1, ordered=True), other)
    assert not strictly(op(3, order=1, ordered=True), op(1, 2, order=2, ordered=True))
    assert not strictly(op(1, ordered=True), other)


def test_what_a_read_may_find() -> None:
    old, new = op(-1, -1), op(2, 5)
    span = Span(0, 1, (Candidate(old, until=5), Candidate(new)))
    assert [one.op for one in allowed(op(3, effect=_READ), span, restricted=True)] == [old, new]
    assert [one.op for one in allowed(op(6, effect=_READ), span, restricted=True)] == [new]


def test_what_an_ordered_read_may_find() -> None:
    old, first = op(-1, -1), op(1, 5, order=1, ordered=True)
    later = op(3, order=3, ordered=True)
    read = op(2, order=2, ordered=True, effect=_READ)
    span = Span(0, 1, (Candidate(old, until=5), Candidate(first), Candidate(later)))
    assert [one.op for one in allowed(read, span, restricted=True)] == [first]
    simple = op(2, order=2, effect=_READ)
    assert [one.op for one in allowed(simple, span, restricted=True)] == [old, first, later]


def test_a_read_is_never_its_own_evidence() -> None:
    read = op(1, effect=_READ)
    assert allowed(read, Span(0, 1, (Candidate(read),)), restricted=True) == []


def test_racing() -> None:
    read = op(3, effect=_READ)
    assert racing(read, op(1))
    assert racing(read, op(1, 4))
    assert not racing(read, op(1, 2))
    assert not racing(read, op(1, 4, effect=_READ))
    assert not racing(op(3, order=2, ordered=True, effect=_READ), op(1, order=1, ordered=True))
