"""CDBs in words: `READ lba=0 blocks=8`, `WRITE …`, `TEST_UNIT_READY`, `INQUIRY` (SPC, SBC)."""

from __future__ import annotations

import re

from iscsiproxy.language.problems import nearest, problem, quoted
from iscsiproxy.language.spec import Position
from iscsiproxy.language.tokens import number_value

__all__ = ["CDB_WORDS", "build_cdb"]

CDB_WORDS = ("READ", "WRITE", "TEST_UNIT_READY", "INQUIRY")
#: Operation codes of READ(10), WRITE(10), READ(16) and WRITE(16) (SBC)
_SHORT = {"READ": 0x28, "WRITE": 0x2A}
_LONG = {"READ": 0x88, "WRITE": 0x8A}
#: A whole CDB of 6 to 16 bytes, in hex
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,16}")
#: INQUIRY of 255 bytes (SPC)
_INQUIRY = bytes([0x12, 0, 0, 0, 255, 0])


def build_cdb(text: str, where: Position) -> bytes | None:
    """Make the 16 bytes of the CDB field; None if `text` is neither of the words nor plain hex digits.

    Numbers that do not fit READ(10) or WRITE(10) make a READ(16) or WRITE(16). Raises FileError.
    """
    if _HEX.fullmatch(text):
        return bytes.fromhex(text).ljust(16, b"\0")
    word, *rest = text.split() or [""]
    if word not in CDB_WORDS:
        return None
    given = {"lba": 0, "blocks": 1} if word in _SHORT else {}
    seen = set()
    for part in rest:
        name, equals, digits = part.partition("=")
        value = number_value(digits)
        if name not in given or not equals:
            hint = nearest(name, given) or (f"it takes {quoted(given)}" if given else None)
            raise problem(f"`{word}` takes no `{part}`", where, hint)
        if value is None or value >= 1 << (64 if name == "lba" else 32) or name in seen:
            raise problem(f"`{part}` is not one number", where)
        seen.add(name)
        given[name] = value
    if word == "TEST_UNIT_READY":
        return bytes(16)
    if word == "INQUIRY":
        return _INQUIRY.ljust(16, b"\0")
    lba, blocks = given["lba"], given["blocks"]
    if lba < 1 << 32 and blocks < 1 << 16:
        cdb = bytes([_SHORT[word], 0, *lba.to_bytes(4, "big"), 0, *blocks.to_bytes(2, "big"), 0])
    else:
        cdb = bytes([_LONG[word], 0, *lba.to_bytes(8, "big"), *blocks.to_bytes(4, "big"), 0, 0])
    return cdb.ljust(16, b"\0")
