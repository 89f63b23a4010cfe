"""What commands that are no plain reads and writes do to a shadow disk."""

from __future__ import annotations

from iscsiproxy.checks.disk import Kind, Outcome, Reason, Wrong, effect_of
from iscsiproxy.checks.disk.commands import END
from tests.checks.disk.play import Play, data, kinds, payload, read_16

COMPARE_AND_WRITE = 0x89
VERIFY_16 = 0x8F
WRITE_SAME_16 = 0x93
UNMAP = bytes.fromhex("42000000000000001800")


# --- commands that are not plain reads and writes ---------------------------------------------------------------------


def test_compare_and_write_that_was_good_has_compared_and_written() -> None:
    play = Play()
    play.write(0, "a")
    op = play.begin(bytes([COMPARE_AND_WRITE, *bytes(12), 1, 0, 0]), 1024)
    op.data(payload(data("ab")))
    assert play.end(op) == ()
    assert play.disk.counts.judged == 1
    assert play.read(0, "b") == ()
    op = play.begin(bytes([COMPARE_AND_WRITE, *bytes(12), 1, 0, 0]), 1024)
    op.data(payload(data("ac")))
    (wrong,) = play.end(op)
    assert (wrong.kind, wrong.refs) == (Kind.COMPARE, (4, 2, 1, 3))
    assert play.read(0, "c") == ()


def test_compare_and_write_that_was_not_equal_has_not_written() -> None:
    play = Play()
    play.write(0, "a")
    op = play.begin(bytes([COMPARE_AND_WRITE, *bytes(12), 1, 0, 0]), 1024)
    op.data(payload(data("xb")))
    assert play.end(op, Outcome.VOID) == ()
    assert kinds(play.read(0, "b")) == [Kind.REFUSED]


def verify(play: Play, text: str, check: int, blocks: int) -> tuple[Wrong, ...]:
    op = play.begin(bytes([VERIFY_16, check << 1]) + read_16(0, blocks)[2:], 512 * len(text))
    op.data(payload(data(text)))
    return play.end(op)


def test_verify_compares_all_or_one_block_with_each() -> None:
    play = Play()
    play.write(0, "abaa")
    assert verify(play, "abaa", 1, 4) == ()
    assert kinds(verify(play, "abca", 1, 4)) == [Kind.COMPARE]
    play.write(0, "abaa")
    (wrong,) = verify(play, "a", 3, 4)
    assert (wrong.kind, wrong.ranges) == (Kind.COMPARE, ((1, 1),))


def same(play: Play, text: str, flags: int, blocks: int) -> None:
    op = play.begin(bytes([WRITE_SAME_16, flags]) + read_16(0, blocks)[2:], 512 * len(text))
    if text:
        op.data(payload(data(text)))
    assert play.end(op) == ()


def test_write_same_repeats_a_block() -> None:
    play = Play()
    same(play, "a", 0, 5)
    assert play.read(2, "aaa") == ()
    assert kinds(play.read(0, "ab")) == [Kind.CORRUPTION]
    same(play, "", 1, 4)
    assert play.read(1, "000") == ()
    assert play.read(4, "a") == ()


def test_write_same_repeats_all_sectors_of_a_block() -> None:
    play = Play(block=4)
    same(play, "abcd", 0, 3)
    assert play.read(1, "abcdabcd") == ()


def test_what_is_unmapped_may_hold_anything_until_it_is_written() -> None:
    play = Play()
    play.write(0, "abcd")
    same(play, "0", 8, 2)
    assert play.read(0, "0bcd") == play.read(0, "ab") == play.read(0, "xy") == ()
    assert play.left_out == {Reason.RELEASED: 6}
    play.write(1, "e")
    assert play.read(0, "?e") == ()
    assert kinds(play.read(0, "??cd")) == [Kind.CORRUPTION]


def test_unmap_is_narrowed_when_its_parameters_are_known() -> None:
    play = Play()
    play.write(0, "abcd")
    op = play.begin(UNMAP, 24)
    assert op.effect.ranges == ((0, END),)
    assert play.read(3, "z") == ()
    parameters = bytes.fromhex("0016 0010 00000000 0000000000000001 00000002 00000000")
    effect = effect_of(UNMAP, 24, 512, data=parameters)
    assert effect is not None
    play.disk.narrow(op, effect)
    assert kinds(play.read(3, "y")) == [Kind.CORRUPTION]
    assert play.read(1, "x") == play.end(op) == play.read(2, "x") == play.read(0, "a") == ()


def test_what_is_formatted_may_hold_anything() -> None:
    play = Play()
    play.write(0, "ab")
    op = play.begin(bytes.fromhex("040000000000"), 0)
    play.end(op, Outcome.GOOD)
    assert play.read(0, "xy") == play.read(0, "zw") == ()
    play.write(0, "c")
    assert kinds(play.read(0, "d")) == [Kind.CORRUPTION]


def test_an_orwrite_leaves_what_the_next_read_tells() -> None:
    play = Play()
    play.write(0, "abc")
    play.end(play.begin(b"\x8b" + read_16(1, 1)[1:], 512))
    assert play.read(0, "axc") == ()
    assert play.left_out == {Reason.NEW: 1}
    assert kinds(play.read(0, "ayc")) == [Kind.CORRUPTION]


def test_an_unsure_orwrite_leaves_what_the_next_read_tells() -> None:
    play = Play()
    play.write(0, "a")
    play.end(play.begin(b"\x8b" + read_16(0, 1)[1:], 512), Outcome.MAYBE)
    assert play.read(0, "x") == ()
    assert play.left_out == {Reason.UNKNOWN: 1}
    assert play.read(0, "x") == ()
    assert kinds(play.read(0, "a")) == [Kind.STALE]
