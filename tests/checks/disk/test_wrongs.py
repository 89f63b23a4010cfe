"""Findings: what they say, and how ranges and commands are put together."""

from __future__ import annotations

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.history import History
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.wrongs import Bad, Kind, Wrong, origins_of, refused_of, wrongs_of
from tests.checks.disk.play import data, payload


def op(action: Action, first: int, text: str, issued: int, over: int | None, state: State = State.GOOD) -> Op:
    end = first + len(text)
    name = action.value.upper()
    length = 512 * len(text)
    effect = Effect(action=action, name=name, LBA=first, blocks=len(text), ranges=((first, end),), length=length)
    made = Op(effect, issued=issued, ref=f"{name} {issued}")
    made.data(payload(data(text)))
    made.over, made.state = over, state
    return made


def bad(read: Op, first: int, end: int, base: Op | None, *expected: Op, ruled: tuple[Op, ...] = ()) -> Bad:
    found = read.content(first, end)
    return Bad(first, found, expected, b"" if base is None else base.content(first, end), ruled)


def wrongs(read: Op, bads: list[Bad], history: History, *, each: int = 1) -> tuple[Wrong, ...]:
    return wrongs_of(read, bads, history, disk="d", each=each, guessed=False, restricted=None)


def test_what_it_says() -> None:
    wrong = Wrong(
        kind=Kind.TORN,
        disk="d",
        ranges=((1, 1), (4, 3)),
        read="READ(10) of LBA 0-7",
        expected=("this", "that"),
        found=("one", "other"),
        refs=(),
    )
    assert str(wrong) == (
        "torn write at LBA 1, 4-6, seen by READ(10) of LBA 0-7: expected this or that, found one and other"
    )


def test_sectors_of_a_block_are_one_and_blocks_in_a_row_a_range() -> None:
    history = History()
    due = op(Action.WRITE, 0, "abcdefghijkl", 1, 2)
    history.add(due, 0, 12)
    read = op(Action.READ, 0, "xxxxxxxxxxxx", 3, 4)
    found = wrongs(read, [bad(read, 0, 1, due), bad(read, 1, 3, due), bad(read, 5, 6, due), bad(read, 11, 12, due)],
                   history, each=2)  # fmt: skip
    assert [wrong.ranges for wrong in found] == [((0, 3), (5, 1))]


def test_what_nobody_remembers_is_said_so() -> None:
    read = op(Action.READ, 0, "x", 3, 4)
    gone = op(Action.WRITE, 0, "a", 1, 2)
    (wrong,) = wrongs(read, [bad(read, 0, 1, gone)], History())
    assert (wrong.kind, wrong.expected, wrong.refs) == (Kind.CORRUPTION, ("what was known to be there",), ("READ 3",))


def test_what_was_there_before_a_write_that_is_remembered() -> None:
    history = History()
    old, due = op(Action.WRITE, 0, "a", 1, 2), op(Action.WRITE, 0, "b", 3, 4)
    history.add(due, 0, 1, old.content(0, 1))
    read = op(Action.READ, 0, "a", 5, 6)
    (wrong,) = wrongs(read, [bad(read, 0, 1, due)], history)
    assert (wrong.kind, wrong.found) == (Kind.LOST, ("what was there before WRITE of LBA 0",))


def test_a_write_that_could_not_be_found_is_known_all_the_same() -> None:
    due = op(Action.WRITE, 0, "b", 3, 4)
    ruled = op(Action.WRITE, 0, "a", 1, 2)
    read = op(Action.READ, 0, "a", 5, 6)
    (origin,) = origins_of(bad(read, 0, 1, None, due, ruled=(ruled,)), History())
    assert origin is not None
    assert origin.op is ruled
    (wrong,) = wrongs(read, [bad(read, 0, 1, None, due, ruled=(ruled,))], History())
    assert (wrong.kind, wrong.refs) == (Kind.LOST, ("READ 5", "WRITE 3", "WRITE 1"))


def test_few_commands_are_named_however_many_there_are() -> None:
    read = op(Action.READ, 0, "x", 90, 91)
    expected = [op(Action.WRITE, 0, "b", at, at, State.MAYBE) for at in range(20)]
    (wrong,) = wrongs(read, [bad(read, 0, 1, None, *expected)], History())
    assert (len(wrong.expected), len(wrong.refs)) == (4, 5)


def test_a_refused_write_that_was_seen() -> None:
    write = op(Action.WRITE, 0, "abc", 1, 2, State.VOID)
    write.witness = "read"
    assert refused_of(write, [], disk="d", each=1, guessed=False) == ()
    (wrong,) = refused_of(write, [(0, 1), (1, 2)], disk="d", each=1, guessed=True)
    assert (wrong.kind, wrong.ranges, wrong.refs, wrong.certain) == (
        Kind.REFUSED,
        ((0, 2),),
        ("read", "WRITE 1"),
        False,
    )
