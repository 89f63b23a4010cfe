"""The shadow of one disk: writes and reads, one after the other and together."""

from __future__ import annotations

from collections import Counter

import pytest

from iscsiproxy.checks.disk import Counts, Disk, Kind, Outcome, Pages, Reason, Wrong
from tests.checks.disk.honest import Honest
from tests.checks.disk.play import ORDERED, Play, kinds

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
    assert play.left_out == {Reason.RACED: 1}
    assert kinds(play.read(0, "a")) == [Kind.LOST]
    assert play.end(write) == ()


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
