from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.session.sequence import CommandNumbers, StatusNumbers
from iscsiproxy.wire.serial import add

__all__: list[str] = []

TOP = 0xFFFFFFFF
starts = pytest.mark.parametrize("start", [0, 10, 0x7FFFFFFE, 0x80000000, TOP - 2, TOP])


def commands(start: int, window: int = 32) -> CommandNumbers:
    """Give a session that has just logged in."""
    numbers = CommandNumbers()
    numbers.start(start)
    assert numbers.tell(start, add(start, window - 1)) is None
    return numbers


@starts
def test_commands_in_order(start: int) -> None:
    numbers = commands(start)
    for step in range(5):
        assert numbers.next == add(start, step)
        assert numbers.take(add(start, step), again=False) is None
    assert numbers.window == 27
    assert numbers.tell(add(start, 5), add(start, 36)) is None
    assert (numbers.expected, numbers.maximum, numbers.window) == (add(start, 5), add(start, 36), 32)


def test_nothing_is_known_before_it_was_seen() -> None:
    numbers = CommandNumbers()
    assert (numbers.next, numbers.expected, numbers.maximum, numbers.window) == (None, None, None, None)
    assert numbers.take(77, again=False) is None
    assert numbers.next == 78
    assert numbers.window is None


@starts
def test_the_window_is_never_negative(start: int) -> None:
    numbers = commands(start, window=1)
    assert numbers.window == 1
    assert numbers.take(start, again=False) is None
    assert numbers.window == 0
    assert numbers.take(add(start, 1), again=False) == f"CmdSN {add(start, 1):#x} is beyond MaxCmdSN {start:#x}"
    assert numbers.window == 0
    assert numbers.next == add(start, 2)


@starts
def test_a_closed_window(start: int) -> None:
    numbers = CommandNumbers()
    numbers.start(start)
    assert numbers.tell(start, add(start, -1)) is None
    assert numbers.window == 0


@starts
def test_neither_end_of_the_window_goes_back(start: int) -> None:
    numbers = commands(start)
    assert numbers.tell(add(start, 3), add(start, 40)) is None
    assert numbers.tell(start, add(start, 31)) is None
    assert (numbers.expected, numbers.maximum) == (add(start, 3), add(start, 40))
    # Each by itself: MaxCmdSN may rise while ExpCmdSN is old.
    assert numbers.tell(start, add(start, 41)) is None
    assert (numbers.expected, numbers.maximum) == (add(start, 3), add(start, 41))


@starts
def test_a_window_that_makes_no_sense_is_ignored(start: int) -> None:
    numbers = commands(start)
    maximum = numbers.maximum
    complaint = numbers.tell(add(start, 8), add(start, 6))
    assert complaint == f"MaxCmdSN {add(start, 6):#x} is below ExpCmdSN {add(start, 8):#x} - 1"
    assert (numbers.expected, numbers.maximum) == (start, maximum)


@starts
def test_a_gap_and_what_fills_it(start: int) -> None:
    numbers = commands(start)
    assert numbers.take(start, again=False) is None
    complaint = numbers.take(add(start, 4), again=False)
    assert complaint == f"CmdSN {add(start, 4):#x} where {add(start, 1):#x} was next"
    assert numbers.next == add(start, 5)
    for step in (2, 1, 3):
        assert numbers.take(add(start, step), again=False) is None
    for number in (add(start, step) for step in range(5)):
        assert numbers.take(number, again=False) == f"CmdSN {number:#x} was used before"
    assert numbers.next == add(start, 5)


def test_a_gap_is_nothing_where_several_connections_share_the_count() -> None:
    numbers = commands(10)
    numbers.single = False
    assert numbers.take(12, again=False) is None
    assert numbers.take(10, again=False) is None
    assert numbers.take(11, again=False) is None
    assert numbers.take(11, again=False) is not None


@starts
def test_a_retry_is_no_repetition(start: int) -> None:
    numbers = commands(start)
    assert numbers.take(start, again=False) is None
    assert numbers.take(start, again=True) is None
    assert numbers.next == add(start, 1)


def test_a_command_far_beyond_the_window_does_not_move_the_count() -> None:
    numbers = commands(10)
    assert numbers.take(5000, again=False) == "CmdSN 0x1388 is beyond MaxCmdSN 0x29"
    assert numbers.next == 10
    assert numbers.take(10, again=False) is None


def test_what_is_forgotten_is_not_judged() -> None:
    numbers = commands(10)
    numbers.take(10, again=False)
    numbers.forget()
    assert (numbers.next, numbers.expected, numbers.maximum) == (None, None, None)
    assert numbers.take(30, again=False) is None
    assert numbers.take(25, again=False) is None
    # From there on it is known again.
    assert numbers.take(30, again=False) == "CmdSN 0x1e was used before"
    assert numbers.take(33, again=False) == "CmdSN 0x21 where 0x1f was next"


def test_gaps_are_remembered_up_to_a_bound() -> None:
    numbers = commands(0, window=1 << 20)
    for number in range(0, 1000, 2):
        numbers.take(number, again=False)
    assert numbers.take(997, again=False) is None
    # Older gaps are forgotten, and with them what was used between them.
    assert numbers.take(1, again=False) is None
    assert numbers.take(0, again=False) is None
    assert numbers.take(998, again=False) is not None


def test_a_gap_that_is_cut_in_two_counts_twice() -> None:
    numbers = commands(0, window=1 << 20)
    for number in range(0, 64 * 4, 4):
        numbers.take(number + 3, again=False)
    assert numbers.take(101, again=False) is None
    # The oldest gap, 0 to 2, made room for the second half.
    assert numbers.take(3, again=False) is not None
    assert numbers.take(2, again=False) is None
    assert numbers.take(2, again=False) is None


def test_the_number_of_a_rejected_command_is_free_again() -> None:
    numbers = CommandNumbers()
    numbers.start(5)
    for cmd_sn in (5, 6, 7):
        assert numbers.take(cmd_sn, again=False) is None
    numbers.tell(6, 20)
    numbers.reopen(6)
    assert numbers.take(6, again=False) is None
    assert numbers.take(6, again=False) == "CmdSN 0x6 was used before"
    numbers.reopen(5)  # below ExpCmdSN: it was received, whatever a Reject says
    assert numbers.take(5, again=False) == "CmdSN 0x5 is below ExpCmdSN 0x6"
    numbers.reopen(9)  # not sent yet
    assert numbers.take(8, again=False) is None


def test_below_the_window() -> None:
    numbers = commands(10)
    numbers.take(10, again=False)
    numbers.tell(11, 42)
    assert numbers.take(9, again=False) == "CmdSN 0x9 is below ExpCmdSN 0xb"
    assert numbers.take(10, again=True) is None


@given(st.permutations(range(20)), st.sampled_from([0, TOP - 7]))
def test_any_order_fills_every_gap_once(order: list[int], start: int) -> None:
    numbers = commands(start)
    numbers.single = False
    for step in order:
        assert numbers.take(add(start, step), again=False) is None
    assert numbers.next == add(start, 20)
    for step in order:
        assert numbers.take(add(start, step), again=False) is not None


@starts
def test_status_in_order(start: int) -> None:
    numbers = StatusNumbers()
    assert numbers.next is None
    for step in range(4):
        assert numbers.status(add(start, step), once=True) is None
        assert numbers.next == add(start, step + 1)


@starts
def test_a_status_that_is_missing(start: int) -> None:
    numbers = StatusNumbers()
    numbers.status(start, once=True)
    complaint = numbers.status(add(start, 2), once=True)
    assert complaint == f"StatSN {add(start, 2):#x} where {add(start, 1):#x} was next"
    assert numbers.next == add(start, 3)
    assert numbers.status(add(start, 3), once=True) is None


@starts
def test_one_odd_status_does_not_lead_the_count_astray(start: int) -> None:
    numbers = StatusNumbers()
    numbers.status(start, once=True)
    assert numbers.status(add(start, 100), once=True) is not None
    assert numbers.status(add(start, 2), once=True) is None
    assert numbers.next == add(start, 3)


def test_a_status_again() -> None:
    numbers = StatusNumbers()
    numbers.status(10, once=True)
    numbers.status(11, once=True)
    assert numbers.status(10, once=True) == "StatSN 0xa was used before"
    assert numbers.status(10, once=False) is None
    assert numbers.next == 12


def test_a_hint_counts_only_where_nothing_is_known() -> None:
    numbers = StatusNumbers()
    numbers.hint(50)
    assert numbers.next == 50
    numbers.hint(60)
    assert numbers.next == 50


@starts
def test_acknowledgements_only_rise(start: int) -> None:
    numbers = StatusNumbers()
    numbers.status(start, once=True)
    numbers.status(add(start, 1), once=True)
    numbers.ack(add(start, 1))
    assert numbers.acked == add(start, 1)
    numbers.ack(start)
    assert numbers.acked == add(start, 1)
    numbers.ack(add(start, 2))
    assert numbers.acked == add(start, 2)


@starts
def test_an_acknowledgement_in_advance(start: int) -> None:
    numbers = StatusNumbers()
    numbers.status(start, once=True)
    numbers.ack(add(start, 2))
    assert numbers.acked == add(start, 2)
    numbers.ack(add(start, 3))
    assert numbers.acked == add(start, 2)


def test_forgotten_status() -> None:
    numbers = StatusNumbers()
    numbers.status(1, once=True)
    numbers.ack(2)
    numbers.forget()
    assert (numbers.next, numbers.acked) == (None, None)
    assert numbers.status(90, once=True) is None


def test_repr() -> None:
    assert repr(commands(10, 2)) == "<CommandNumbers next=10 expected=10 maximum=11>"
    assert repr(StatusNumbers()) == "<StatusNumbers next=None acked=None>"


@given(st.lists(st.tuples(st.integers(0, TOP), st.booleans(), st.integers(0, TOP)), max_size=200))
def test_anything_goes_and_little_is_kept(steps: list[tuple[int, bool, int]]) -> None:
    numbers, status = CommandNumbers(), StatusNumbers()
    deque((numbers.take(number, again=flag) for number, flag, _ in steps), maxlen=0)
    for number, flag, other in steps:
        numbers.tell(number, other)
        numbers.take(other, again=flag)
        status.status(number, once=flag)
        status.ack(other)
        assert numbers.window is None or 0 <= numbers.window <= 1 << 31
    assert len(numbers._holes) <= 64
