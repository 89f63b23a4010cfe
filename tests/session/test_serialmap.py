from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.session.serialmap import KEPT, Acknowledged, Numbering, SerialMap
from iscsiproxy.wire.serial import add, le

__all__: list[str] = []

TOP = 0xFFFFFFFF
STARTS = [0, 10, 0x7FFFFFFE, 0x80000000, TOP - 2, TOP]
starts = pytest.mark.parametrize("start", STARTS)


def numbering(start: int) -> Numbering:
    numbers = Numbering()
    numbers.hint(start)
    return numbers


def test_nothing_changed() -> None:
    numbers = SerialMap()
    assert numbers.identity
    for number in STARTS:
        assert numbers.forward(number) == numbers.back(number) == number
        assert numbers.back_expected(number) == numbers.back_max(number) == number


@starts
def test_inserted(start: int) -> None:
    numbers = SerialMap()
    assert numbers.insert(start) == start
    assert not numbers.identity
    assert [numbers.forward(add(start, n)) for n in (-1, 0, 1)] == [add(start, n) for n in (-1, 1, 2)]
    # The inserted one acknowledges nothing, and belongs to what is before it.
    assert [numbers.back_expected(add(start, n)) for n in (0, 1, 2)] == [add(start, n) for n in (0, 0, 1)]
    assert [numbers.back_max(add(start, n)) for n in (-1, 0, 1)] == [add(start, n) for n in (-1, -1, 0)]
    assert [numbers.back(add(start, n)) for n in (-1, 0, 1)] == [add(start, n) for n in (-1, -1, 0)]


@starts
def test_removed(start: int) -> None:
    numbers = SerialMap()
    numbers.remove(start)
    assert numbers.removed(start)
    assert not numbers.removed(add(start, 1))
    assert [numbers.forward(add(start, n)) for n in (-1, 1, 2)] == [add(start, n) for n in (-1, 0, 1)]
    # It has no number of its own: that of what is before it, or of what comes.
    assert numbers.forward(start) == add(start, -1)
    assert numbers.forward(start, coming=True) == start
    # It is acknowledged with what is before it.
    assert [numbers.back_expected(add(start, n)) for n in (-1, 0, 1)] == [add(start, n) for n in (-1, 1, 2)]
    assert [numbers.back_max(add(start, n)) for n in (-2, -1, 0)] == [add(start, n) for n in (-2, 0, 1)]


@starts
def test_removed_in_a_row(start: int) -> None:
    numbers = SerialMap()
    for n in range(3):
        numbers.remove(add(start, n))
    assert numbers.back_expected(add(start, -1)) == add(start, -1)
    assert numbers.back_expected(start) == add(start, 3)
    assert numbers.forward(start, coming=True) == start


@starts
def test_as_proven_on_the_wire(start: int) -> None:
    """Every third command is followed by a borrowed number."""
    numbers = numbering(start)
    breaks, owned = [], []
    for n in range(12):
        numbers.use(add(start, n))
        if n % 3 == 2:
            breaks.append(add(start, n + 1))
            owned.append(numbers.borrow())
    for n in range(15):
        source = add(start, n)
        assert numbers.forward(source) == add(source, sum(le(place, source) for place in breaks))
    for n in range(17):
        expected = add(start, n)
        assert numbers.back_expected(expected) == add(expected, -sum(not le(expected, own) for own in owned))
        assert numbers.back_max(expected) == add(expected, -sum(le(own, expected) for own in owned))


def test_counts_part_in_order_only() -> None:
    numbers = SerialMap()
    numbers.insert(5)
    numbers.insert(5)
    numbers.remove(5)
    for wrong in (4, 5):
        with pytest.raises(ValueError, match="have parted at 0x5"):
            numbers.insert(wrong)
    numbers.insert(6)
    with pytest.raises(ValueError, match="have parted at 0x6"):
        numbers.remove(5)


def test_what_is_remembered_is_bounded() -> None:
    numbers = SerialMap()
    for n in range(KEPT + 10):
        numbers.insert(n)
    assert numbers.forward(KEPT + 10) == 2 * (KEPT + 10)
    assert numbers.forward(KEPT) == 2 * KEPT + 1
    # Those from before that are as if the first places had always been there.
    assert numbers.forward(3) == 3 + 10


def test_a_place_is_forgotten_before_its_numbers_come_round_again() -> None:
    numbers = numbering(0)
    numbers.use(0)
    assert numbers.borrow() == 1
    for far in range(0, 1 << 33, 1 << 29):
        numbers.next = far & TOP
        numbers.use(far & TOP)
    assert numbers.forward(0x100) == 0x101
    assert numbers.forward(0) == 1
    assert numbers.back_expected(0) == TOP


EDITS = st.lists(st.sampled_from(["use", "borrow", "hide", "skip"]), max_size=40)


@given(start=st.sampled_from(STARTS), edits=EDITS)
def test_both_sides_have_every_number_once(start: int, edits: list[str]) -> None:
    numbers = numbering(start)
    at_source, at_destination = start, start
    pairs: list[tuple[int | None, int | None]] = []
    for edit in edits:
        if edit == "borrow":
            assert numbers.borrow() == at_destination
            pairs.append((None, at_destination))
            at_destination = add(at_destination, 1)
            continue
        if edit == "use":
            numbers.use(at_source)
        else:
            numbers.skip(at_source, hidden=edit == "hide")
        pairs.append((at_source, None if edit == "hide" else at_destination))
        at_destination = add(at_destination, edit != "hide")
        at_source = add(at_source, 1)
    assert (numbers.next, numbers.coming) == (at_source, at_destination)
    for source, destination in pairs:
        if source is not None and destination is not None:
            assert numbers.forward(source) == destination
            assert numbers.back(destination) == source
    # An acknowledgement covers what it has to, nothing it must not, and never goes back.
    last = None
    for n in range(-1, len(pairs) + 3):
        expected = add(start, n)
        acked = numbers.back_expected(expected)
        assert last is None or le(last, acked)
        last = acked
        for source, destination in pairs:
            if source is not None and destination is not None:
                assert le(add(source, 1), acked) == le(add(destination, 1), expected)
        assert numbers.back_max(add(expected, -1)) == add(acked, -1)
    assert numbers.back_expected(at_destination) == at_source
    # A straight line beyond.
    assert numbers.back_expected(add(at_destination, 7)) == add(at_source, 7)


@starts
def test_hidden_only_as_long_as_nothing_later_has_gone(start: int) -> None:
    numbers = numbering(start)
    numbers.use(add(start, 2))
    with pytest.raises(ValueError, match="has gone before"):
        numbers.hide(start)
    numbers.use(start)
    # It has gone now: a copy of it is no new number, nor is one that was hidden.
    numbers.hide(start)
    numbers.hide(add(start, 3))
    numbers.hide(add(start, 3))
    assert numbers.coming == add(start, 3)
    assert numbers.next == add(start, 4)


def test_what_the_receiver_misses_cannot_be_hidden_later() -> None:
    numbers = numbering(5)
    numbers.skip(5, hidden=False)
    assert numbers.coming == 6
    with pytest.raises(ValueError, match="has gone before"):
        numbers.hide(5)
    numbers.use(5)
    assert numbers.next == 6


def test_fresh() -> None:
    numbers = Numbering()
    assert numbers.fresh(3)
    numbers.use(3)
    numbers.use(6)
    assert [numbers.fresh(n) for n in range(3, 8)] == [False, True, True, False, True]


def test_a_hint_is_for_what_is_not_known() -> None:
    numbers = numbering(5)
    numbers.hint(9)
    assert numbers.next == 5
    numbers.forget()
    assert numbers.coming is None
    with pytest.raises(ValueError, match="not known"):
        numbers.borrow()
    numbers.hint(9)
    assert numbers.coming == 9


def test_holes_are_bounded() -> None:
    numbers = numbering(0)
    numbers.use(1 << 20)
    numbers.hide(5)
    assert numbers.coming == (1 << 20) + 1


def test_what_is_told_does_not_go_back() -> None:
    numbers, maximum = numbering(10), Acknowledged()
    assert maximum.tell(20, numbers.back_max) == 20
    numbers.borrow()
    assert maximum.tell(20, numbers.back_max) == 20
    assert maximum.tell(21, numbers.back_max) == 20
    assert maximum.tell(22, numbers.back_max) == 21
    # But for a sender who goes back himself.
    assert maximum.tell(12, numbers.back_max) == 11
    assert (maximum.heard, maximum.told) == (22, 21)


def test_what_was_only_heard_does_not_count_as_told() -> None:
    numbers, maximum = numbering(10), Acknowledged()
    assert maximum.again(numbers.back_max) is None
    assert maximum.tell(20, numbers.back_max) == 20
    maximum.hear(30)
    numbers.borrow()
    assert maximum.tell(20, numbers.back_max) == 20
    assert maximum.again(numbers.back_max) == 29
    maximum.forget()
    assert (maximum.heard, maximum.told) == (None, None)


def test_reprs() -> None:
    numbers = numbering(1)
    numbers.borrow()
    assert repr(numbers) == "<Numbering +1, 1 places>"
    assert repr(Acknowledged()) == "<Acknowledged heard=None told=None>"
