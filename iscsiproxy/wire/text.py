"""Text data segments: key=value pairs of login and text negotiation (RFC 7143 6.1, 6.2).

`key=value NUL key=value NUL ...`

Two ways in. `parse_text` is strict and raises TextError. `inspect_text` takes what it can and lists what is wrong, for
those who judge a peer. Keys and values are str; bytes that are not UTF-8 become lone surrogates (`surrogateescape`), so
`encode_text` gives back exactly the bytes that were parsed. Order and repeats are kept.

A logical text data segment (LTDS) may be cut anywhere, inside a pair too, and sent in several PDUs with the C bit set
in all but the last; `TextJoiner` puts it together again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from iscsiproxy.errors import TextError

__all__ = [
    "MAX_KEY",
    "MAX_TEXT",
    "MAX_VALUE",
    "RESERVED_VALUES",
    "TextFault",
    "TextJoiner",
    "TextPair",
    "TextProblem",
    "encode_text",
    "inspect_text",
    "parse_text",
    "split_pairs",
]

#: The longest key name, in bytes (RFC 7143 6.1, standard-label)
MAX_KEY = 63
#: The longest simple value, in bytes, where the key does not say otherwise (RFC 7143 6.1)
MAX_VALUE = 255
#: How much text is put together before it is too much (RFC 7143 6.1: 64 KiB where authentication needs it)
MAX_TEXT = 1 << 16
#: Values that answer and are never offered, but for None in a list (RFC 7143 6.2)
RESERVED_VALUES = ("None", "Reject", "Irrelevant", "NotUnderstood")

#: A standard-label, its length aside; X#, Y# and Z# mark public extensions (RFC 7143 6.1, 13.22, 13.26)
_KEY = re.compile(r"(?:[XYZ]#)?[A-Za-z0-9.\-+@_]*", re.ASCII)
#: Keys the standards themselves begin with a small letter (RFC 7143 13.24, RFC 7145 6.8)
_LOWER_CASE_KEYS = frozenset({"iSCSIProtocolLevel", "iSERHelloRequired"})


class TextPair(NamedTuple):
    """One key and its value."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class TextFault(Enum):
    """What may be wrong with a pair. The first four break the format, the others its limits (RFC 7143 6.1)."""

    NO_EQUALS = "a pair without '='"
    EMPTY_KEY = "a pair without a key"
    EMPTY_PAIR = "an empty pair"
    NO_NUL = "a pair without its NUL"
    KEY_TOO_LONG = "a key of more than 63 bytes"
    KEY_NOT_CAPITAL = "a key that does not begin with a capital letter"
    KEY_CHARACTER = "a key with a character that keys may not have"
    VALUE_TOO_LONG = "a value of more than 255 bytes"
    VALUE_NOT_UTF8 = "a value that is not UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextProblem:
    """One thing wrong: `offset` is where its pair begins in the data, `key` the pair's key, if it has one."""

    fault: TextFault
    offset: int
    key: str = ""

    def __str__(self) -> str:
        return f"text at byte {self.offset}: {self.fault.value}{f', {self.key!r}' if self.key else ''}"


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def split_pairs(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Cut text data at its NULs: the complete pairs without their NUL, and what is behind the last one."""
    *pairs, tail = data.split(b"\0")
    return tuple(pairs), tail


def parse_text(data: bytes) -> tuple[TextPair, ...]:
    """Read text data; `encode_text` of the result is `data` again.

    Raises TextError for anything that is not a list of pairs, each with its NUL.
    """
    pairs, tail = split_pairs(data)
    result = []
    offset = 0
    for raw in pairs:
        key, equals, value = raw.partition(b"=")
        if not equals or not key:
            fault = TextFault.EMPTY_PAIR if not raw else TextFault.EMPTY_KEY if equals else TextFault.NO_EQUALS
            raise TextError(str(TextProblem(fault=fault, offset=offset)))
        result.append(TextPair(_decode(key), _decode(value)))
        offset += len(raw) + 1
    if tail:
        raise TextError(str(TextProblem(fault=TextFault.NO_NUL, offset=offset)))
    return tuple(result)


def inspect_text(data: bytes) -> tuple[tuple[TextPair, ...], tuple[TextProblem, ...]]:
    """Read what can be read of text data, and list all that is wrong with it.

    A last pair without its NUL is read; pairs without a key or a `=` are not.
    """
    pairs, tail = split_pairs(data)
    result = []
    problems = []
    offset = 0
    for raw in (*pairs, tail) if tail else pairs:
        key, equals, value = raw.partition(b"=")
        if equals and key:
            pair = TextPair(_decode(key), _decode(value))
            result.append(pair)
            problems += [TextProblem(fault=fault, offset=offset, key=pair.key) for fault in _limits(pair)]
        else:
            fault = TextFault.EMPTY_PAIR if not raw else TextFault.EMPTY_KEY if equals else TextFault.NO_EQUALS
            problems.append(TextProblem(fault=fault, offset=offset))
        offset += len(raw) + 1
    if tail:
        problems.append(TextProblem(fault=TextFault.NO_NUL, offset=offset - len(tail) - 1))
    return tuple(result), tuple(problems)


def _limits(pair: TextPair) -> list[TextFault]:
    """List the limits of RFC 7143 6.1 that `pair` breaks."""
    key, value = pair
    faults = []
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY:
        faults.append(TextFault.KEY_TOO_LONG)
    if not "A" <= key[0] <= "Z" and key not in _LOWER_CASE_KEYS:
        faults.append(TextFault.KEY_NOT_CAPITAL)
    if not _KEY.fullmatch(key):
        faults.append(TextFault.KEY_CHARACTER)
    # The limit is on each value of a list, and on what a binary value stands for; keys of binary values have their own.
    if len(value) > MAX_VALUE // 4 and any(
        len(item.encode("utf-8", "surrogateescape")) > MAX_VALUE
        for item in value.split(",")
        if item[:2].lower() not in ("0x", "0b")
    ):
        faults.append(TextFault.VALUE_TOO_LONG)
    if any("\udc80" <= character <= "\udcff" for character in value):
        faults.append(TextFault.VALUE_NOT_UTF8)
    return faults


def encode_text(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Write pairs as text data, each with its NUL. A TextPair is such a pair."""
    return b"".join(f"{key}={value}\0".encode("utf-8", "surrogateescape") for key, value in pairs)


class TextJoiner:
    """Puts the logical text data segment of one sender together from PDUs with the C bit (RFC 7143 6.2).

    `limit` caps its length in bytes.
    """

    def __init__(self, *, limit: int = MAX_TEXT) -> None:
        self.limit = limit
        self._held = bytearray()
        self._count = 0

    def __repr__(self) -> str:
        return f"<TextJoiner {self._count} PDUs, {len(self._held)} bytes held>"

    @property
    def held(self) -> bytes:
        """What has come of a segment that is not complete yet."""
        return bytes(self._held)

    @property
    def count(self) -> int:
        """How many PDUs that were."""
        return self._count

    def add(self, data: bytes, *, more: bool) -> bytes | None:
        """Take the next data segment; `more` is its C bit.

        Returns the whole once the last part is there, else None. Raises TextError when it grows beyond the limit. After
        either the joiner is empty.
        """
        if len(self._held) + len(data) > self.limit:
            length = len(self._held) + len(data)
            self.clear()
            raise TextError(f"text over several PDUs: expected at most {self.limit} bytes, got {length}")
        self._held += data
        self._count += 1
        if more:
            return None
        whole = bytes(self._held)
        self.clear()
        return whole

    def clear(self) -> None:
        """Forget what has come, as when a negotiation is reset."""
        self._held.clear()
        self._count = 0
