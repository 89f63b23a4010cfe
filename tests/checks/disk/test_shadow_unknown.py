"""What a shadow disk makes of data that it has not seen, of blocks whose size is not known, and what it forgets."""

from __future__ import annotations

from iscsiproxy.checks.disk import Action, Counts, Disk, Effect, Kind, Outcome, Reason
from iscsiproxy.journal import Payload
from tests.checks.disk.play import Play, data, kinds, payload, read_16, write_16

COMPARE_AND_WRITE = 0x89
UNMAP = bytes.fromhex("42000000000000001800")


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
    assert play.left_out == {Reason.NEW: 1}
    assert kinds(play.read(0, "xbz")) == [Kind.STALE]


def test_what_came_twice_and_differed_is_not_known() -> None:
    play = Play()
    op = play.writing(0, "ab")
    op.data(payload(data("x"), 512))
    op.data(payload(data("b"), 512))
    assert play.end(op) == ()
    assert play.read(0, "ac") == ()
    assert play.left_out == {Reason.NEW: 1}


def test_a_payload_without_all_of_its_hashes_says_nothing() -> None:
    play = Play()
    play.write(0, "a")
    op = play.reading(0, 1)
    op.data(Payload(0, 512, b""))
    assert play.end(op) == ()
    assert play.left_out == {Reason.UNSEEN: 1}


def test_an_underflow_leaves_the_rest_of_a_write_unsure() -> None:
    play = Play()
    play.write(0, "abc")
    op = play.writing(0, "xyz")
    assert play.end(op, residual=600) == ()
    assert play.read(0, "xqc") == ()
    assert play.left_out == {Reason.UNKNOWN: 1}
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
    assert play.left_out[Reason.NEW] == 3


def test_another_block_size_than_was_told_leaves_nothing_known() -> None:
    play = Play()
    play.write(0, "ab")
    read, write = play.reading(0, 1), play.writing(0, "c", session="b")
    play.disk.tell_block_size(4096)
    assert play.found(read, "x") == ()
    play.block = 8
    assert play.read(3, "a" * 8) == play.read(3, "b" * 8) == ()
    assert play.left_out == {Reason.GAP: 1, Reason.RACED: 16}
    assert play.end(write) == ()


def test_blocks_that_are_no_sectors_are_left_out() -> None:
    play = Play(Disk("disk", block_size=520))
    op = play.begin(read_16(0, 2), 1040)
    op.data(payload(bytes(1040)))
    assert play.end(op) == ()
    assert play.left_out == {Reason.SIZE: 3}


def test_a_compare_and_write_in_flight_when_the_block_size_turns_out_to_be_another() -> None:
    play = Play()
    op = play.begin(bytes([COMPARE_AND_WRITE, *bytes(12), 2, 0, 0]), 2048)
    play.disk.tell_block_size(4096)
    op.data(payload(data("abcd")))
    assert play.end(op) == ()
    assert play.left_out == {Reason.GAP: 2}


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
    assert play.left_out == {Reason.RELEASED: 1}
    play.write(0, "o")
    assert kinds(play.read(0, "b")) != []


def test_what_is_too_large_is_left_out() -> None:
    play = Play()
    play.write(0, "a")
    blocks = 1 << 18
    play.end(play.begin(read_16(0, blocks), 512 * blocks))
    assert play.left_out == {Reason.LARGE: blocks}
    play.end(play.begin(write_16(0, blocks), 512 * blocks))
    assert play.read(0, "b") == ()
    assert play.left_out[Reason.NEW] == 1


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
