from __future__ import annotations

from itertools import product

import pytest

from iscsiproxy.wire import serial

__all__: list[str] = []

small = pytest.mark.parametrize("bits", [2, 3, 4, 5])


@small
def test_all_small_numbers(bits: int) -> None:
    """The definition of RFC 1982 3.2, word for word, against the arithmetic."""
    half = 1 << (bits - 1)
    for a, b in product(range(1 << bits), repeat=2):
        before = (a < b and b - a < half) or (a > b and a - b > half)
        after = (a < b and b - a > half) or (a > b and a - b < half)
        assert serial.lt(a, b, bits) is before
        assert serial.gt(a, b, bits) is after
        assert serial.le(a, b, bits) is (before or a == b)
        assert serial.ge(a, b, bits) is (after or a == b)


@small
def test_distance_leads_from_one_to_the_other(bits: int) -> None:
    half = 1 << (bits - 1)
    for a, b in product(range(1 << bits), repeat=2):
        steps = serial.distance(a, b, bits)
        assert serial.add(a, steps, bits) == b
        assert -half < steps <= half
        if abs(steps) < half:
            assert (steps > 0, steps < 0) == (serial.lt(a, b, bits), serial.gt(a, b, bits))
            assert serial.distance(b, a, bits) == -steps
        else:
            assert not any(relation(a, b, bits) for relation in (serial.lt, serial.le, serial.gt, serial.ge))


def test_thirty_two_bits_are_the_default() -> None:
    top = 0xFFFFFFFF
    assert serial.add(top, 1) == 0
    assert serial.add(0, -1) == top
    assert serial.lt(top, 0)
    assert serial.lt(0, 0x7FFFFFFF)
    assert not serial.lt(0, 0x80000000)
    assert not serial.gt(0, 0x80000000)
    assert serial.gt(0, 0x80000001)
    assert serial.distance(top, 2) == 3
    assert serial.distance(2, top) == -3
