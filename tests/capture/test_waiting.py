from __future__ import annotations

import pytest

from iscsiproxy.capture.flow import Data, Fin, Gap, Piece
from iscsiproxy.capture.order import Order
from iscsiproxy.capture.telling import Tale
from iscsiproxy.capture.waiting import Entry, Waiting

__all__: list[str] = []

PIECES: list[tuple[int, Piece]] = [
    (0, Data(b"abc")),
    (1, Data(b"ABCD")),
    (0, Data(b"de")),
    (0, Gap(7)),
    (0, Data(b"f")),
    (1, Data(b"EF")),
]


class Holder:
    def decide(self) -> None:
        raise AssertionError


@pytest.fixture
def order() -> Order[Tale]:
    return Order()


@pytest.fixture
def waiting(order: Order[Tale]) -> Waiting:
    waiting = Waiting(order, Holder())
    for frame, (side, piece) in enumerate(PIECES, 10):
        waiting.add(Entry(frame, frame / 1000, side, piece), since=5)
    return waiting


def pieces(waiting: Waiting) -> list[tuple[int, Piece]]:
    return [(entry.side, entry.piece) for entry in waiting.take()]


def test_what_waits_holds_back_and_counts(order: Order[Tale], waiting: Waiting) -> None:
    assert len(waiting) == 6
    assert (order.busy, order.waiting) == (True, 12)
    assert repr(waiting) == "<Waiting 6 pieces, 12 bytes>"
    assert pieces(waiting) == PIECES
    assert len(waiting) == 0
    assert (order.busy, order.waiting) == (False, 0)


def test_the_bytes_of_a_side_up_to_a_gap(waiting: Waiting) -> None:
    found, behind = waiting.stretch(0)
    assert found == [Data(b"abc"), Data(b"de")]
    assert behind is not None
    assert (behind.frame, behind.piece) == (13, Gap(7))
    assert waiting.stretch(1) == ([Data(b"ABCD"), Data(b"EF")], None)
    assert waiting.stretch(2) == ([], None)


def test_the_first_bytes_of_a_side(waiting: Waiting) -> None:
    assert [waiting.head(0, length) for length in (2, 4, 100)] == [b"ab", b"abcd", b"abcde"]
    assert waiting.head(1, 5) == b"ABCDE"
    first = waiting.first(1)
    assert first is not None
    assert first.frame == 11
    assert waiting.first(2) is None


def test_a_stretch_is_dropped_with_what_ended_it(order: Order[Tale], waiting: Waiting) -> None:
    waiting.drop_stretch(0)
    assert order.waiting == 7
    assert order.busy
    assert pieces(waiting) == [PIECES[1], PIECES[4], PIECES[5]]


def test_data_is_dropped_and_nothing_else(order: Order[Tale], waiting: Waiting) -> None:
    waiting.add(Entry(20, 0.02, 1, Fin()), since=5)
    waiting.drop_data(1)
    assert order.waiting == 6
    assert waiting.ends
    assert pieces(waiting) == [*(PIECES[n] for n in (0, 2, 3, 4)), (1, Fin())]


def test_where_nothing_is_left_nobody_is_held_back(order: Order[Tale], waiting: Waiting) -> None:
    waiting.drop_data(0)
    waiting.drop_data(1)
    waiting.drop_stretch(0)
    assert not waiting
    assert not order.busy
