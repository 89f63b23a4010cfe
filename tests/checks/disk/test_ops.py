"""The data of a command, as it passes."""

from __future__ import annotations

from itertools import permutations

import pytest
from xxhash import xxh3_64_digest

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.counts import Reason
from iscsiproxy.checks.disk.ops import UNKNOWN, ZEROS, Op, State, unknown
from tests.checks.disk.play import data, payload


def hashes(text: str) -> bytes:
    return b"".join(UNKNOWN if letter == "?" else xxh3_64_digest(data(letter)) for letter in text)


def op(first: int = 0, end: int = 4, action: Action = Action.WRITE, period: int = 0, write_at: int = 0) -> Op:
    length = 512 * (period or end - first + write_at)
    return Op(
        Effect(action=action, name="X", ranges=((first, end),), length=length, period=period, write_at=write_at),
        issued=1,
    )


@pytest.mark.parametrize("order", [*permutations([("ab", 0), ("c", 2), ("d", 3)])])
def test_data_comes_in_any_order(order: tuple[tuple[str, int], ...]) -> None:
    one = op()
    for text, at in order:
        one.data(payload(data(text), 512 * at))
    assert one.passed(4) == hashes("abcd")
    assert one.content(1, 3) == hashes("bc")


def test_only_whole_sectors_count() -> None:
    one = op()
    one.data(payload(data("abcd")[100:1900], 100))
    assert one.passed(4) == hashes("?bc?")
    one.data(payload(data("a")[:100]))
    assert one.passed(4) == hashes("?bc?")


def test_the_same_again_changes_nothing_and_other_data_makes_it_unknown() -> None:
    one = op()
    one.data(payload(data("abc")))
    one.data(payload(data("bcd"), 512))
    assert (one.passed(4), one.broken) == (hashes("abcd"), False)
    one.data(payload(data("x"), 1024))
    assert (one.passed(4), one.broken) == (hashes("ab?d"), True)
    one.data(payload(data("bcd"), 512))
    assert one.passed(4) == hashes("ab?d"), "nobody knows which of the two was taken"


def test_what_is_missing_is_unknown_until_it_comes() -> None:
    one = op()
    one.data(payload(data("d"), 1536))
    assert one.passed(4) == hashes("???d")
    one.data(payload(data("abc")))
    assert one.passed(4) == hashes("abcd")


def test_data_beyond_the_command_is_left_alone() -> None:
    one = op(end=2)
    one.data(payload(data("abcd")))
    one.data(payload(data("x"), 1024))
    assert bytes(one.buffer) == hashes("ab")


def test_data_after_the_end_or_of_no_place_is_left_alone() -> None:
    one = op()
    one.state = State.GOOD
    one.data(payload(data("a")))
    blind = Op(Effect(action=Action.READ, name="X", length=512, unplaced=Reason.SIZE), issued=1)
    blind.data(payload(data("a")))
    assert not one.buffer
    assert not blind.buffer
    assert (blind.first, blind.end) == (0, 0)


def test_one_block_is_repeated() -> None:
    one = op(10, 16, Action.SAME, period=2)
    assert one.content(11, 14) == unknown(3)
    one.data(payload(data("ab")))
    assert one.content(11, 14) == hashes("bab")
    assert one.passed(5) == hashes("ababa")
    zeros = Op(Effect(action=Action.SAME, name="X", ranges=((0, 9),), period=1, zeros=True), issued=1)
    assert zeros.content(2, 4) == ZEROS * 2 == hashes("00")


def test_the_half_that_is_written_is_behind_that_which_is_compared() -> None:
    one = op(5, 7, Action.COMPARE_AND_WRITE, write_at=2)
    one.data(payload(data("abcd")))
    assert (one.passed(2), one.content(5, 7)) == (hashes("ab"), hashes("cd"))


def test_a_piece_is_the_same_command_in_a_smaller_place() -> None:
    one = Op(op().effect, issued=3, session="s", order=7, attribute=2, ref="r")
    one.over, one.state = 5, State.MAYBE
    piece = one.piece(1, 2, hashes("z"))
    assert (piece.issued, piece.over, piece.state, piece.order, piece.ordered, piece.ref) == (
        3,
        5,
        State.MAYBE,
        7,
        True,
        "r",
    )
    assert piece.content(1, 2) == hashes("z")
    assert one.piece(1, 3).content(1, 3) == unknown(2)


def test_head_of_queue_has_no_place_in_the_order() -> None:
    assert Op(op().effect, issued=1, order=7, attribute=3).order is None
    assert str(Op(op().effect, issued=1, order=7)) == "X, CmdSN 0x7"
