"""Serial number arithmetic (RFC 1982) for CmdSN, StatSN and their kin (RFC 7143 4.2.2.1).

Numbers of `bits` bits go round in a circle: `a` is before `b` if the way up from `a` to `b` is shorter than half of it.
Two numbers exactly half a circle apart are in no order (RFC 1982 3.2 leaves it undefined): then neither is less than
the other, and `lt`, `le`, `gt` and `ge` are all False.
"""

from __future__ import annotations

__all__ = ["SERIAL_BITS", "add", "distance", "ge", "gt", "le", "lt"]

#: The width of iSCSI's sequence numbers (RFC 7143 4.2.2.1)
SERIAL_BITS = 32


def add(a: int, n: int, bits: int = SERIAL_BITS) -> int:
    """Go `n` steps up from `a`, or down if `n` is negative."""
    return (a + n) & ((1 << bits) - 1)


def lt(a: int, b: int, bits: int = SERIAL_BITS) -> bool:
    """Tell whether `a` comes before `b`."""
    return 0 < ((b - a) & ((1 << bits) - 1)) < 1 << (bits - 1)


def le(a: int, b: int, bits: int = SERIAL_BITS) -> bool:
    """Tell whether `a` is `b` or comes before it."""
    return ((b - a) & ((1 << bits) - 1)) < 1 << (bits - 1)


def gt(a: int, b: int, bits: int = SERIAL_BITS) -> bool:
    """Tell whether `a` comes after `b`."""
    return lt(b, a, bits)


def ge(a: int, b: int, bits: int = SERIAL_BITS) -> bool:
    """Tell whether `a` is `b` or comes after it."""
    return le(b, a, bits)


def distance(a: int, b: int, bits: int = SERIAL_BITS) -> int:
    """Count the steps from `a` to `b`, negative if `b` comes before `a`; half a circle counts as positive."""
    up = (b - a) & ((1 << bits) - 1)
    return up if up <= 1 << (bits - 1) else up - (1 << bits)
