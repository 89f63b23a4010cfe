"""Where a content comes from, as long as it is remembered."""

from __future__ import annotations

from xxhash import xxh3_64_digest

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.checks.disk.history import History, Origin
from iscsiproxy.checks.disk.ops import Op, State
from tests.checks.disk.play import data, payload


def hashes(text: str) -> bytes:
    return b"".join(xxh3_64_digest(data(letter)) for letter in text)


def write(first: int, text: str, state: State = State.GOOD) -> Op:
    end = first + len(text)
    op = Op(Effect(action=Action.WRITE, name="W", ranges=((first, end),), length=512 * len(text)), issued=1)
    op.data(payload(data(text)))
    op.state = state
    return op


def test_the_latest_that_brought_it_and_else_the_one_that_replaced_it() -> None:
    history = History()
    first, second, third = write(10, "ab"), write(10, "ax"), write(11, "c")
    for op, before in ((first, "yz"), (second, "ab")):
        history.add(op, 10, 12, hashes(before))
    history.add(third, 11, 12)
    assert history.origins(9, hashes("qac")) == [None, Origin(second), Origin(third)]
    assert history.origins(10, hashes("yb")) == [Origin(first, replaced=True), Origin(first)]
    assert history.origins(11, hashes("z")) == [Origin(first, replaced=True)]
    assert [past.op for past in history.covering(11, 12)] == [third, second, first]


def test_a_refused_write_is_named_only_where_no_other_is() -> None:
    history = History()
    good, void = write(0, "a"), write(0, "a", State.VOID)
    history.add(good, 0, 1)
    history.add(void, 0, 1)
    assert history.origins(0, hashes("a")) == [Origin(good)]
    other = write(0, "b", State.VOID)
    history.add(other, 0, 1)
    assert history.origins(0, hashes("b")) == [Origin(other)]


def test_a_part_of_a_command_is_enough() -> None:
    history = History()
    op = write(0, "abcd")
    history.add(op, 2, 3, hashes("x"))
    assert history.origins(2, hashes("c")) == [Origin(op)]
    assert history.origins(1, hashes("bx")) == [None, Origin(op, replaced=True)]


def test_a_content_is_found_elsewhere() -> None:
    history = History()
    op = write(100, "abc")
    history.add(op, 100, 103)
    assert history.elsewhere(hashes("b")) is op
    assert history.elsewhere(hashes("z")) is None


def test_the_oldest_are_forgotten() -> None:
    history = History(ops=2)
    ops = [write(0, letter) for letter in "abc"]
    for op in ops:
        history.add(op, 0, 1)
    assert len(history) == 2
    assert history.origins(0, hashes("a")) == [None]
    small = History(hashes=3)
    for op in ops:
        small.add(op, 0, 1, hashes("x"))
    assert repr(small) == "<History: 1 commands, 2 hashes>"
