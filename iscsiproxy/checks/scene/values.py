"""All fields of a header in one step: rules ask for many of them, of every PDU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct

from iscsiproxy.wire.fields import FieldKind, fields_of

__all__ = ["values_of"]

_WORDS = Struct(">12I").unpack_from
_WORD = 4


def _decoder(opcode: int) -> Callable[[bytes], dict[str, int]]:
    """Make the function that reads the fields of one opcode; CDBs are left to who wants one."""
    inside: list[tuple[str, int, int, int]] = []  # name, word, shift, mask behind the shift
    across: list[tuple[str, int, int, int]] = []  # name, first word, last word, shift
    for name, field in fields_of(opcode).items():
        if field.kind is FieldKind.BYTES:
            continue
        first, last = field.offset // _WORD, (field.offset + field.size - 1) // _WORD
        behind = 8 * (_WORD * (last + 1) - field.offset - field.size)
        if first == last:
            inside.append((name, first, behind + field.shift, field.maximum))
        else:
            across.append((name, field.offset, field.offset + field.size, 0))

    def decode(bhs: bytes) -> dict[str, int]:
        words = _WORDS(bhs)
        values = {name: words[word] >> shift & mask for name, word, shift, mask in inside}
        for name, start, end, _ in across:
            values[name] = int.from_bytes(bhs[start:end], "big")
        return values

    return decode


_DECODERS = tuple(_decoder(opcode) for opcode in range(64))


@lru_cache(maxsize=64)  # a PDU that passes is seen on both legs
def values_of(bhs: bytes) -> Mapping[str, int]:
    """Read every field that a header of this opcode has, by name; not the CDB."""
    return _DECODERS[bhs[0] & 0x3F](bhs)
