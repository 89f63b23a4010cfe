from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.scene.extents import Extents

__all__: list[str] = []

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=12)


def extents(*ranges: tuple[int, int]) -> Extents:
    found = Extents()
    for start, length in ranges:
        found.add(start, length)
    return found


def test_what_comes_in_order_is_one_range() -> None:
    assert list(extents((0, 512), (512, 512), (1024, 8))) == [(0, 1032)]


def test_a_hole_is_a_gap_until_it_is_filled() -> None:
    found = extents((0, 8), (16, 8))
    assert found.gap(24) == 8
    assert not found.covers(0, 24)
    found.add(8, 8)
    assert found.gap(24) is None
    assert found.covers(0, 24)


def test_nothing_is_covered_by_anything() -> None:
    assert extents().covers(5, 0)
    assert not extents((0, 8)).overlaps(4, 0)
    assert not extents()
    assert extents().end == 0


@given(RANGES, st.tuples(st.integers(0, 40), st.integers(0, 12)))
def test_it_is_a_set_of_bytes(ranges: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    found = extents(*ranges)
    bytes_ = {at for start, length in ranges for at in range(start, start + length)}
    wanted = set(range(asked[0], asked[0] + asked[1]))
    assert {at for start, end in found for at in range(start, end)} == bytes_
    assert found.total == len(bytes_)
    assert found.end == max(bytes_, default=-1) + 1
    assert found.overlaps(*asked) == bool(wanted & bytes_)
    assert found.covers(*asked) == (wanted <= bytes_)
    assert found.gap(50) == next(at for at in range(51) if at not in bytes_)
    ranges_ = list(found)
    assert all(end < start for (_, end), (start, _) in pairwise(ranges_)), "ranges that touch"
