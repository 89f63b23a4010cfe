"""A bounded set of sectors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.checks.disk.ranges import Ranges

_RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=20)


@given(_RANGES)
def test_it_has_what_was_put_in(added: list[tuple[int, int]]) -> None:
    ranges, flat = Ranges(), set[int]()
    for first, count in added:
        ranges.add(first, first + count)
        flat.update(range(first, first + count))
        assert {at for at in range(80) if at in ranges} == flat
    for first in range(70):
        assert ranges.overlaps(first, first + 5) == any(at in flat for at in range(first, first + 5))


@given(_RANGES)
def test_with_a_bound_it_has_more_but_never_less(added: list[tuple[int, int]]) -> None:
    ranges, flat = Ranges(3), set[int]()
    for first, count in added:
        ranges.add(first, first + count)
        flat.update(range(first, first + count))
        assert len(ranges) <= 3
        assert flat <= {at for at in range(80) if at in ranges}


def test_the_nearest_grow_together() -> None:
    ranges = Ranges(2)
    for first in (0, 100, 10):
        ranges.add(first, first + 1)
    assert 5 in ranges
    assert 50 not in ranges
    assert repr(ranges) == "<Ranges: 2>"
    ranges.clear()
    assert 5 not in ranges
