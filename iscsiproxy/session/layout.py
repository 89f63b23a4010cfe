"""Read several header fields in one step, where speed counts; the offsets stay in `wire.fields`."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from iscsiproxy.wire.fields import fields_of

__all__ = ["LENGTH", "mask", "reader"]

#: Cuts a DataSegmentLength of three bytes out of the word it is read in (RFC 7143 11.2.1.6).
LENGTH = 0xFFFFFF

_CODES = {1: "B", 2: "H", 4: "I"}


def reader(opcode: int, *names: str) -> Callable[[bytes], tuple[Any, ...]]:
    """Make a function that reads these fields of a BHS as integers, in the order of their offsets.

    A field is read with all bits of its bytes: flags and codes want `mask`, a DataSegmentLength wants `LENGTH`.
    Raises KeyError for a field the PDU does not have, ValueError for fields out of order or of another size.
    """
    layout, at = ">", 0
    for name in names:
        field = fields_of(opcode)[name]
        offset, size = field.offset, field.size
        if size == 3:
            offset, size = offset - 1, 4
        if offset < at or size not in _CODES:
            raise ValueError(f"{name} cannot be read behind byte {at}")
        layout += f"{offset - at}x{_CODES[size]}"
        at = offset + size
    return Struct(layout).unpack_from


def mask(opcode: int, name: str) -> int:
    """Give the bits of a field inside its bytes."""
    return fields_of(opcode)[name].mask
