"""The shadow disk: what honest targets may do, and each way in which one can be wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from iscsiproxy.checks.disk import Action, Counts, Disk, Effect, Kind, Outcome, Pages, Reason, Wrong, effect_of
from iscsiproxy.checks.disk.commands import END
from iscsiproxy.journal import Payload
from tests.checks.disk.honest import Honest
from tests.checks.disk.play import ORDERED, Play, data, kinds, payload, read_16, write_16

COMPARE_AND_WRITE = 0x89
VERIFY_16 = 0x8F
WRITE_SAME_16 = 0x93
UNMAP = bytes.fromhex("42000000000000001800")


def left_out(play: Play) -> dict[Reason, int]:
    return play.disk.counts.left_out


# --- one after the other ----------------------------------------------------------------------------------------------


def test_what_was_written_is_read_back() -> None:
    play = Play()
    play.write(8, "abcd")
    assert play.read(8, "abcd") == ()
    assert play.disk.counts == Counts(judged=4)


def test_the_first_read_tells_what_was_there_and_later_ones_must_agree() -> None:
    play = Play()
    assert play.read(0, "ab") == ()
    assert play.disk.counts == Counts(left_out={Reason.NEW: 2})
    assert play.read(0, "ab") == ()
    (wrong,) = play.read(0, "ax")
    assert (wrong.kind, wrong.ranges, wrong.refs) == (Kind.CORRUPTION, ((1, 1),), (3, 1))
    assert str(wrong) == (
        "corruption at LBA 1, seen by READ(16) of LBA 0-1: expected what READ(16) of LBA 0-1 found, "
        "found what nobody is known to have written or read there"
    )


def test_a_lost_write_is_found_by_the_first_read() -> None:
    play = Play()
    play.write(0, "ab")
    play.write(0, "cd")
    (wrong,) = play.read(0, "ab")
    assert wrong == Wrong(
        kind=Kind.LOST,
        disk="disk",
        ranges=((0, 2),),
        read="READ(16) of LBA 0-1",
        expected=("what WRITE(16) of LBA 0-1 wrote",),
        found=("what WRITE(16) of LBA 0-1 wrote",),
        refs=(3, 2, 1),
    )


def test_a_lost_write_over_what_was_only_read() -> None:
    play = Play()
    play.read(0, "a")
    play.write(0, "b")
    (wrong,) = play.read(0, "a")
    assert (wrong.kind, wrong.found, wrong.refs) == (Kind.LOST, ("what READ(16) of LBA 0 found",), (3, 2, 1))


def test_a_stale_read_comes_after_one_that_had_found_the_newer_content() -> None:
    play = Play()
    play.write(0, "ab")
    play.write(0, "cd")
    play.read(0, "cd")
    (wrong,) = play.read(0, "ad")
    assert (wrong.kind, wrong.ranges) == (Kind.STALE, ((0, 1),))
    assert wrong.refs == (4, 2, 1, 3), (
        "the read, what was due, what was found, and the read that had found what was due"
    )


def test_of_a_torn_write_a_part_is_there() -> None:
    play = Play()
    play.write(0, "abcd")
    play.write(0, "efgh")
    (wrong,) = play.read(0, "ebgd")
    assert (wrong.kind, wrong.ranges, wrong.refs) == (Kind.TORN, ((1, 1), (3, 1)), (3, 2, 1))


def test_sectors_that_a_write_left_as_they_were_tear_nothing() -> None:
    play = Play()
    play.write(0, "xb")
    play.write(0, "xd")
    assert kinds(play.read(0, "xb")) == [Kind.LOST]


def test_corruption_names_where_else_the_content_is() -> None:
    play = Play()
    play.write(0, "a")
    play.write(100, "b")
    (wrong,) = play.read(0, "b")
    assert wrong.kind is Kind.CORRUPTION
    assert wrong.found == ("what nobody is known to have written or read there, but WRITE(16) of LBA 100 has it",)
    (wrong,) = play.read(100, "0")
    assert wrong.found == ("zeros",)


def test_one_read_may_be_wrong_in_several_ways_and_each_is_one_finding() -> None:
    play = Play()
    play.write(0, "aaaaaaaa")
    play.write(0, "bb")
    play.write(4, "cc")
    play.read(4, "cc")
    assert [(wrong.kind, wrong.ranges) for wrong in play.read(0, "aaxxacax")] == [
        (Kind.LOST, ((0, 2),)),
        (Kind.STALE, ((4, 1),)),
        (Kind.CORRUPTION, ((2, 2), (7, 1))),
    ]


def test_one_fault_is_one_finding() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b")
    assert kinds(play.read(0, "a")) == [Kind.LOST]
    assert play.read(0, "a") == ()
    assert play.read(0, "b") == (), "what was written is right, whatever was found before"
    assert kinds(play.read(0, "x")) == [Kind.CORRUPTION]
    play.write(0, "c")
    assert kinds(play.read(0, "a")) == [Kind.LOST], "with the next write it is over"


def test_ranges_are_logical_blocks() -> None:
    play = Play(block=8)
    play.write(2, "a" * 24)
    play.write(2, "b" * 24)
    (wrong,) = play.read(2, "bbbbbbba" + "bbbbbbbb" + "abbbbbbb")
    assert (wrong.kind, wrong.ranges) == (Kind.TORN, ((2, 1), (4, 1)))


# --- how writes end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["ab", "xy", "xb", "ay"])
def test_an_unsure_write_may_be_there_or_not_block_by_block(found: str) -> None:
    play = Play()
    play.write(0, "ab")
    play.write(0, "xy", Outcome.MAYBE)
    assert play.read(0, found) == ()
    assert play.read(0, found) == ()
    other = {"ab": "xy", "xy": "ab", "xb": "ay", "ay": "xb"}[found]
    assert play.read(0, other) != (), "it was over, so the first read has settled it"


def test_nothing_but_the_two_may_be_there_after_an_unsure_write() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b")
    play.write(0, "c", Outcome.MAYBE)
    (wrong,) = play.read(0, "a")
    assert (wrong.kind, wrong.refs) == (Kind.LOST, (4, 2, 3, 1))
    assert kinds(play.read(0, "z")) == [Kind.CORRUPTION]


def test_an_unsure_write_that_was_seen_not_to_be_there_may_not_come_later() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b", Outcome.MAYBE)
    assert play.read(0, "a") == ()
    (wrong,) = play.read(0, "b")
    assert (wrong.kind, wrong.refs) == (Kind.MISORDERED, (4, 1, 2, 3))


def test_a_lost_write_may_come_until_its_session_is_gone() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b", Outcome.LOST)
    assert play.read(0, "a", session="b") == ()
    play.write(0, "c", session="b")
    assert play.read(0, "c", session="b") == ()
    assert play.read(0, "b", session="b") == (), "it has come, over what was written after it was given up"
    play.write(0, "d", Outcome.LOST)
    play.disk.session_gone("a")
    assert play.read(0, "b", session="b") == ()
    assert kinds(play.read(0, "d", session="b")) == [Kind.MISORDERED]


def test_a_session_that_is_gone_ends_what_it_had_in_flight() -> None:
    play = Play()
    play.write(0, "a")
    write, read = play.writing(0, "b"), play.reading(0, 1)
    other = play.writing(1, "c", session="b")
    play.disk.session_gone("a")
    assert play.end(write, Outcome.GOOD) == play.found(read, "x") == ()
    assert play.read(0, "a", session="b") == ()
    assert kinds(play.read(0, "b", session="b")) == [Kind.MISORDERED]
    assert play.end(other) == ()


def test_a_refused_write_must_not_be_there() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b", Outcome.VOID)
    assert play.read(0, "a") == ()
    (wrong,) = play.read(0, "b")
    assert (wrong.kind, wrong.refs) == (Kind.REFUSED, (4, 1, 2, 3))


def test_a_refused_write_that_was_seen_before_it_was_refused() -> None:
    play = Play()
    play.write(0, "aa")
    write = play.writing(0, "bb", order=2)
    read = play.reading(0, 1, session="b")
    assert play.found(read, "b") == ()
    (wrong,) = play.end(write, Outcome.VOID)
    assert (wrong.kind, wrong.ranges, wrong.refs) == (Kind.REFUSED, ((0, 1),), (3, 2))
    assert play.read(0, "ba") == ()


def test_a_command_ends_once() -> None:
    play = Play()
    play.write(0, "a")
    write = play.writing(0, "b")
    assert play.end(write, Outcome.MAYBE) == play.end(write, Outcome.GOOD) == ()
    assert play.read(0, "a") == ()


# --- in flight together -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["a", "b"])
def test_a_read_beside_a_write_may_find_either(found: str) -> None:
    play = Play()
    play.write(0, "a")
    write, read = play.writing(0, "b", order=1), play.reading(0, 1, order=2)
    assert play.end(write) == play.found(read, found) == ()
    assert play.read(0, "b") == ()


def test_a_read_that_found_a_write_at_work_binds_those_that_follow() -> None:
    play = Play()
    play.write(0, "a")
    write = play.writing(0, "b")
    assert play.read(0, "b") == ()
    (wrong,) = play.read(0, "a")
    assert (wrong.kind, wrong.refs) == (Kind.STALE, (4, 2, 1, 3))
    assert play.end(write) == ()


def test_of_two_writes_of_a_session_the_higher_CmdSN_wins() -> None:
    play = Play()
    play.disk.tell_restricted(restricted=True)
    first, second = play.writing(0, "a", order=0xFFFFFFFF), play.writing(0, "b", order=0)
    assert play.end(second) == play.end(first) == ()
    assert play.read(0, "b") == ()
    (wrong,) = play.read(0, "a")
    assert (wrong.kind, wrong.certain, wrong.refs) == (Kind.MISORDERED, True, (4, 2, 1, 3))


def test_without_the_control_mode_page_the_order_of_simple_commands_is_not_certain() -> None:
    play = Play()
    first, second = play.writing(0, "a", order=1), play.writing(0, "b", order=2)
    assert play.end(first) == play.end(second) == ()
    (wrong,) = play.read(0, "a")
    assert (wrong.kind, wrong.certain) == (Kind.MISORDERED, False)


def test_ordered_commands_are_in_order_for_certain_and_free_ones_not_at_all() -> None:
    play = Play()
    play.disk.tell_restricted(restricted=False)
    first, second = play.writing(0, "a", order=1), play.writing(0, "b", order=2)
    assert play.end(first) == play.end(second) == play.read(0, "a") == ()
    third, fourth = play.writing(0, "c", order=3), play.writing(0, "d", order=4, attribute=ORDERED)
    assert play.end(third) == play.end(fourth) == ()
    (wrong,) = play.read(0, "c")
    assert (wrong.kind, wrong.certain) == (Kind.MISORDERED, True)


@pytest.mark.parametrize(
    ("sessions", "orders"), [(("a", "b"), (1, 2)), (("a", "a"), (None, 1)), (("a", "a"), (1, None))]
)
@pytest.mark.parametrize("found", ["x", "y"])
def test_sessions_and_immediate_commands_have_no_order_among_them(
    sessions: tuple[str, str], orders: tuple[int | None, int | None], found: str
) -> None:
    play = Play()
    first = play.writing(0, "x", session=sessions[0], order=orders[0])
    second = play.writing(0, "y", session=sessions[1], order=orders[1])
    assert play.end(first) == play.end(second) == ()
    assert play.read(0, found) == ()
    (wrong,) = play.read(0, "y" if found == "x" else "x")
    assert wrong.kind is Kind.STALE, "the first read has shown which of them was the last"


def test_a_head_of_queue_command_overtakes() -> None:
    play = Play()
    first, second = play.writing(0, "x", order=1), play.writing(0, "y", order=2, attribute=3)
    assert play.end(first) == play.end(second) == play.read(0, "x") == ()


def test_what_has_ended_precedes_what_is_issued_in_any_session() -> None:
    play = Play()
    play.write(0, "x", session="a", order=9)
    play.write(0, "y", session="b", order=1)
    assert kinds(play.read(0, "x", session="c")) == [Kind.LOST]


def test_ordered_reads_find_what_came_before_them() -> None:
    play = Play()
    play.write(0, "a")
    write = play.writing(0, "b", order=1, attribute=ORDERED)
    read = play.reading(0, 1, order=2, attribute=ORDERED)
    later = play.writing(0, "c", order=3, attribute=ORDERED)
    assert play.end(write) == ()
    (wrong,) = play.found(read, "c")
    assert (wrong.kind, wrong.refs) == (Kind.MISORDERED, (3, 2, 4))
    play.end(later)
    write = play.writing(0, "d", order=4, attribute=ORDERED)
    read = play.reading(0, 1, order=5, attribute=ORDERED)
    assert play.end(write) == ()
    assert kinds(play.found(read, "a")) == [Kind.LOST]


def test_a_mixture_beside_a_write_is_left_out_but_older_data_is_not() -> None:
    play = Play()
    play.write(0, "a")
    play.write(0, "b")
    write = play.writing(0, "c")
    assert play.read(0, "?") == ()
    assert left_out(play) == {Reason.RACED: 1}
    assert kinds(play.read(0, "a")) == [Kind.LOST]
    assert play.end(write) == ()


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
    assert left_out(play) == {Reason.RELEASED: 6}
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
    assert left_out(play) == {Reason.NEW: 1}
    assert kinds(play.read(0, "ayc")) == [Kind.CORRUPTION]


def test_an_unsure_orwrite_leaves_what_the_next_read_tells() -> None:
    play = Play()
    play.write(0, "a")
    play.end(play.begin(b"\x8b" + read_16(0, 1)[1:], 512), Outcome.MAYBE)
    assert play.read(0, "x") == ()
    assert left_out(play) == {Reason.UNKNOWN: 1}
    assert play.read(0, "x") == ()
    assert kinds(play.read(0, "a")) == [Kind.STALE]


# --- data that is not known -------------------------------------------------------------------------------------------


def test_data_comes_in_any_pieces_and_twice() -> None:
    play = Play()
    play.write(0, "abcd")
    op = play.reading(0, 4)
    op.data(payload(data("cd"), 1024))
    op.data(payload(data("ab")))
    op.data(payload(data("bc"), 512))
    assert play.end(op) == ()
    assert play.disk.counts == Counts(judged=4)


def test_a_sector_in_two_pieces_is_not_judged() -> None:
    play = Play()
    play.write(0, "abc")
    op = play.reading(0, 3)
    op.data(payload(data("abc")[:700]))
    op.data(payload(data("xbc")[700:], 700))
    assert play.end(op) == ()
    assert play.disk.counts == Counts(judged=2, left_out={Reason.UNSEEN: 1})


def test_what_did_not_pass_is_not_known_and_the_next_read_tells() -> None:
    play = Play()
    play.write(0, "abc")
    op = play.begin(write_16(0, 3), 1536)
    op.data(payload(data("x")))
    op.data(payload(data("z"), 1024))
    assert play.end(op) == ()
    assert play.read(0, "xyz") == ()
    assert left_out(play) == {Reason.NEW: 1}
    assert kinds(play.read(0, "xbz")) == [Kind.STALE]


def test_what_came_twice_and_differed_is_not_known() -> None:
    play = Play()
    op = play.writing(0, "ab")
    op.data(payload(data("x"), 512))
    op.data(payload(data("b"), 512))
    assert play.end(op) == ()
    assert play.read(0, "ac") == ()
    assert left_out(play) == {Reason.NEW: 1}


def test_a_payload_without_all_of_its_hashes_says_nothing() -> None:
    play = Play()
    play.write(0, "a")
    op = play.reading(0, 1)
    op.data(Payload(0, 512, b""))
    assert play.end(op) == ()
    assert left_out(play) == {Reason.UNSEEN: 1}


def test_an_underflow_leaves_the_rest_of_a_write_unsure() -> None:
    play = Play()
    play.write(0, "abc")
    op = play.writing(0, "xyz")
    assert play.end(op, residual=600) == ()
    assert play.read(0, "xqc") == ()
    assert left_out(play) == {Reason.UNKNOWN: 1}
    assert kinds(play.read(0, "a")) == [Kind.LOST]


def test_an_underflow_cuts_what_was_read() -> None:
    play = Play()
    play.write(0, "ab")
    op = play.reading(0, 2)
    op.data(payload(data("ax")))
    assert play.end(op, residual=512) == ()
    assert play.disk.counts == Counts(judged=1, left_out={Reason.UNSEEN: 1})


def test_an_EDTL_below_what_the_CDB_asks_for() -> None:
    play = Play()
    play.write(0, "ab")
    op = play.begin(write_16(0, 2), 512)
    op.data(payload(data("x")))
    assert play.end(op) == ()
    op = play.begin(read_16(0, 2), 512)
    op.data(payload(data("x")))
    assert play.end(op) == play.read(0, "xz") == ()


# --- the block size ---------------------------------------------------------------------------------------------------


def test_the_block_size_is_concluded_from_a_command_until_it_is_told() -> None:
    play = Play(Disk("disk"), block=8)
    play.write(1, "a" * 8)
    assert (play.disk.block_size, play.disk.guessed) == (4096, True)
    (wrong,) = play.read(1, "b" * 8)
    assert (wrong.ranges, wrong.certain) == (((1, 1),), False)
    play.disk.told(bytes.fromhex("25000000000000000000"), bytes.fromhex("000fffff00001000"))
    assert (play.disk.block_size, play.disk.guessed) == (4096, False)
    assert play.read(1, "b" * 8) == ()
    play.write(1, "c" * 8)
    (wrong,) = play.read(1, "a" * 8)
    assert wrong.certain


def test_a_wrong_guess_is_dropped_with_all_that_was_concluded() -> None:
    play = Play(Disk("disk"))
    op = play.begin(read_16(0, 1), 1024)
    write = play.begin(write_16(9, 1), 1024)
    op.data(payload(data("ab")))
    assert play.end(op) == ()
    assert play.read(0, "a") == ()
    assert play.disk.block_size is None
    assert play.read(0, "b") == ()
    play.end(write)
    assert play.disk.counts == Counts(left_out={Reason.NEW: 2, Reason.SIZE: 2}, forgotten=2)
    play.disk.tell_block_size(512)
    assert play.read(0, "c") == ()
    assert left_out(play)[Reason.NEW] == 3


def test_another_block_size_than_was_told_leaves_nothing_known() -> None:
    play = Play()
    play.write(0, "ab")
    read, write = play.reading(0, 1), play.writing(0, "c", session="b")
    play.disk.tell_block_size(4096)
    assert play.found(read, "x") == ()
    play.block = 8
    assert play.read(3, "a" * 8) == play.read(3, "b" * 8) == ()
    assert left_out(play) == {Reason.GAP: 1, Reason.RACED: 16}
    assert play.end(write) == ()


def test_blocks_that_are_no_sectors_are_left_out() -> None:
    play = Play(Disk("disk", block_size=520))
    op = play.begin(read_16(0, 2), 1040)
    op.data(payload(bytes(1040)))
    assert play.end(op) == ()
    assert left_out(play) == {Reason.SIZE: 3}


def test_a_compare_and_write_in_flight_when_the_block_size_turns_out_to_be_another() -> None:
    play = Play()
    op = play.begin(bytes([COMPARE_AND_WRITE, *bytes(12), 2, 0, 0]), 2048)
    play.disk.tell_block_size(4096)
    op.data(payload(data("abcd")))
    assert play.end(op) == ()
    assert left_out(play) == {Reason.GAP: 2}


# --- what is forgotten ------------------------------------------------------------------------------------------------


def test_after_a_gap_nothing_is_known_also_of_what_is_in_flight() -> None:
    play = Play()
    play.write(0, "ab")
    read, write = play.reading(0, 2), play.writing(0, "x")
    play.disk.gap()
    assert play.found(read, "zz") == play.end(write) == ()
    assert play.read(0, "yc") == ()
    assert play.disk.counts == Counts(left_out={Reason.GAP: 2, Reason.NEW: 2}, forgotten=2)


def test_unsure_spans_are_given_up_when_they_are_too_many() -> None:
    play = Play(Disk("disk", block_size=512, spans=8))
    for at in range(12):
        play.write(2 * at, "a")
        play.write(2 * at, "b", Outcome.MAYBE)
    counts = play.disk.counts
    assert counts.forgotten
    assert kinds(play.read(22, "c")) == [Kind.CORRUPTION], "the latest is still known"
    assert play.read(0, "c") == ()


def test_unsure_writes_are_given_up_when_they_hold_too_much() -> None:
    play = Play(Disk("disk", block_size=512, held=64))
    for at in range(6):
        play.write(16 * at, "a" * 16)
        play.write(16 * at, "b" * 16, Outcome.MAYBE)
    assert play.disk.counts.forgotten
    assert play.read(0, "c") == ()
    assert kinds(play.read(80, "c")) == [Kind.CORRUPTION]


def test_what_is_in_flight_is_not_given_up() -> None:
    play = Play(Disk("disk", block_size=512, spans=4))
    ops = [play.writing(2 * at, "b") for at in range(12)]
    for op in ops:
        assert play.end(op) == ()
    assert play.read(0, "b") == ()
    assert kinds(play.read(22, "c")) == [Kind.CORRUPTION]


def test_very_many_unsure_writes_of_one_sector_become_anything() -> None:
    play = Play()
    play.write(0, "a")
    for letter in "bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN":
        play.write(0, letter, Outcome.MAYBE)
    assert play.read(0, "?") == ()
    assert left_out(play) == {Reason.RELEASED: 1}
    play.write(0, "o")
    assert kinds(play.read(0, "b")) != []


def test_what_is_too_large_is_left_out() -> None:
    play = Play()
    play.write(0, "a")
    blocks = 1 << 18
    play.end(play.begin(read_16(0, blocks), 512 * blocks))
    assert left_out(play) == {Reason.LARGE: blocks}
    play.end(play.begin(write_16(0, blocks), 512 * blocks))
    assert play.read(0, "b") == ()
    assert left_out(play)[Reason.NEW] == 1


def test_a_disk_says_what_it_is() -> None:
    play = Play()
    op = play.writing(0, "a", order=0x10)
    assert repr(play.disk) == "<Disk disk: 1 in flight, 1 spans unsure>"
    assert repr(op) == "<Op WRITE(16) of LBA 0, CmdSN 0x10: in flight>"


def test_a_command_by_its_cdb() -> None:
    disk = Disk("disk", block_size=512)
    assert disk.command(bytes(6), 0) is None
    op = disk.command(read_16(5, 2), 1024, session="a", order=3, attribute=1, ref="ref")
    assert op is not None
    assert (op.effect.action, op.first, op.end, op.ref) == (Action.READ, 5, 7, "ref")


def test_an_effect_without_sectors_does_no_harm() -> None:
    play = Play()
    play.write(0, "a")
    op = play.disk.begin(Effect(action=Action.RELEASE, name="UNMAP"))
    assert play.end(op) == play.read(0, "a") == ()


# --- all together -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_a_target_that_does_what_it_should_is_never_wrong(seed: int) -> None:
    disk = Disk("disk", block_size=512)
    assert Honest(seed, disk).run(150) == []
    assert disk.counts.judged


@pytest.mark.parametrize("seed", range(60))
def test_nor_is_it_when_there_is_hardly_any_memory(seed: int) -> None:
    disk = Disk("disk", block_size=512, pages=Pages(1), spans=4, held=32, ops=6, hashes=60)
    assert Honest(seed, disk, size=200).run(150) == []


def test_a_target_that_loses_a_write_now_and_then_is_found() -> None:
    found = Counter(
        wrong.kind for seed in range(30) for wrong in Honest(seed, Disk("disk", block_size=512), lies=0.3).run(150)
    )
    assert found.keys() >= {Kind.LOST, Kind.CORRUPTION, Kind.COMPARE}
