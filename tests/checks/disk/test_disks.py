"""Several logical units: one memory, one count, and copies from one to another."""

from __future__ import annotations

from iscsiproxy.checks.disk import Counts, Disks, Kind, Op, Outcome, Reason, Wrong
from tests.checks.disk.play import data, kinds, payload, read_16, write_16

EXTENDED_COPY = bytes.fromhex("83000000000000000000000001000000")


def begin(disks: Disks, key: str, cdb: bytes, text: str, session: str = "a") -> Op:
    op = disks.command(key, cdb, 512 * len(text), session=session)
    assert op is not None
    op.data(payload(data(text)))
    return op


def write(disks: Disks, key: str, text: str, outcome: Outcome = Outcome.GOOD) -> None:
    assert disks.end(key, begin(disks, key, write_16(0, len(text)), text), outcome) == ()


def read(disks: Disks, key: str, text: str) -> tuple[Wrong, ...]:
    return disks.end(key, begin(disks, key, read_16(0, len(text)), text, "b"), Outcome.GOOD)


def test_disks_know_nothing_of_each_other() -> None:
    disks = Disks()
    write(disks, "one", "a")
    write(disks, "other", "b")
    assert disks["one"] is disks["one"]
    assert read(disks, "one", "a") == read(disks, "other", "b") == ()
    (wrong,) = read(disks, "other", "a")
    assert (wrong.kind, wrong.disk) == (Kind.CORRUPTION, "other")
    assert disks.counts() == Counts(judged=3)
    assert repr(disks) == "<Disks: 2, <Pages: 2 of 65536, 2 disks>>"


def test_a_session_is_gone_everywhere() -> None:
    disks = Disks()
    for key in ("one", "other"):
        write(disks, key, "a")
        write(disks, key, "b", Outcome.LOST)
    disks.session_gone("a")
    for disk in disks:
        assert read(disks, str(disk.key), "a") == ()
        assert kinds(read(disks, str(disk.key), "b")) == [Kind.MISORDERED]


def test_a_copy_may_write_to_the_other_units() -> None:
    disks = Disks()
    for key in ("one", "other"):
        write(disks, key, "a")
    copy = disks.command("one", EXTENDED_COPY, 256)
    assert copy is not None
    assert disks.end("one", copy, Outcome.GOOD) == ()
    assert read(disks, "other", "x") == read(disks, "one", "y") == ()
    assert disks.counts().left_out == {Reason.RELEASED: 2}
    write(disks, "other", "b")
    assert kinds(read(disks, "other", "a")) == [Kind.LOST]


def test_a_copy_that_was_refused_has_done_nothing() -> None:
    disks = Disks()
    write(disks, "one", "a")
    copy = disks.command("other", EXTENDED_COPY, 256)
    assert copy is not None
    disks.end("other", copy, Outcome.VOID)
    assert kinds(read(disks, "one", "x")) == [Kind.CORRUPTION]


def test_the_pages_are_shared_and_what_is_forgotten_is_counted() -> None:
    disks = Disks(pages=1)
    write(disks, "one", "ab")
    write(disks, "other", "c")
    assert read(disks, "one", "xy") == ()
    assert disks.counts() == Counts(left_out={Reason.NEW: 2}, forgotten=3)


def test_a_gap_is_everywhere() -> None:
    disks = Disks()
    write(disks, "one", "a")
    write(disks, "other", "b")
    disks.gap()
    assert read(disks, "one", "x") == read(disks, "other", "y") == ()
    assert disks.counts() == Counts(left_out={Reason.NEW: 2}, forgotten=2)
