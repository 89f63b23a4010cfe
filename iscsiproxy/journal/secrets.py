"""Keep CHAP answers out of the journal and of comments, in every form: text, hexadecimal, hash and digest.

CHAP_N, CHAP_A, CHAP_I and CHAP_C stay: a user's name and a challenge prove nothing without the answer, and a judge
needs them (a reflected challenge, RFC 7143 9.2.1). Of CHAP_R each byte of the value becomes `*`, so that lengths stay
true.

Knowing where an answer is takes memory: a pair may straddle PDUs (C bit), a fault may cut it elsewhere, rename its key
or quote it in what it reports. So a `Veil` follows the text of each connection, one stream for what came and one for
what went on each leg, and remembers which PDUs bore an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from iscsiproxy.journal.payload import TEXT
from iscsiproxy.session.events import Change
from iscsiproxy.wire.fields import FIELDS
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.secrecy import SECRET_KEYS, mask_secrets

__all__ = ["HIDDEN", "Veil", "veil_change", "veil_text"]

#: What stands where a value was left out
HIDDEN = "(withheld)"

_KEYS = sorted(SECRET_KEYS)
_STARTS = tuple(f"{key}=".upper().encode() for key in _KEYS)
_LONGEST = max(map(len, _STARTS))
_ANY = re.compile("|".join(map(re.escape, _KEYS)), re.IGNORECASE)
_NAMES = tuple(key.upper().encode() for key in _KEYS)
#: What may be an answer, or part of one, in a line of words that names its key: all behind `=`, and any long literal
_VALUE = re.compile(rf"((?:{_ANY.pattern})\s*[=:]\s*)[^\s,;]+|0x[0-9a-f]{{5,}}|0b[a-z0-9+/=]{{5,}}", re.IGNORECASE)
#: A run of hexadecimal, of base64 or of bytes escaped by repr
_LITERAL = re.compile(r"(?:\\x[0-9a-fA-F]{2}|[0-9A-Za-z+/=]){16,}")
_FIELDS = frozenset(name for table in FIELDS.values() for name in table)
_PAIR = re.compile(r"(?:text\.)?([A-Z][\w.\-+@#]*)")
#: Before the full feature phase a PDU of any opcode may be a login PDU in disguise; none is longer than this
_LONGEST_LOGIN = 1 << 16
#: How many PDUs that bore an answer are remembered: the last ones
_REMEMBERED = 1024


def veil_text(text: str) -> str:
    """Leave secret values out of a line of words."""
    if not _ANY.search(text):
        return text
    return _VALUE.sub(lambda match: f"{match[1] or ''}{HIDDEN}", text)


def veil_change(change: Change, *, bearing: bool) -> Change:
    """Leave secret values out of what was changed; `bearing`: in a PDU that has one, and so maybe in any part of it."""
    if change.what in _FIELDS:
        return change
    pair = _PAIR.fullmatch(change.what)
    if _ANY.search(change.what) or (bearing and pair is None):
        return Change(what=change.what, old=HIDDEN, new=HIDDEN)
    old, new = veil_text(change.old), veil_text(change.new)
    if bearing:
        old, new = _LITERAL.sub(HIDDEN, old), _LITERAL.sub(HIDDEN, new)
    return Change(what=change.what, old=old, new=new)


def _mentions(data: bytes) -> bool:
    """Tell whether `data` may be login text with a secret in it."""
    if len(data) > _LONGEST_LOGIN:
        return False
    upper = data.upper()
    return any(name in upper for name in _NAMES)


class Veil:
    """Hides the secrets of all connections of one run; told of everything in the order of the events."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, End, bool], bytes] = {}  # the start of a pair whose end was not seen yet
        self._full: set[int] = set()  # connections in full feature phase
        self._ended: set[tuple[int, End]] = set()  # legs of which one side has ended
        self._bearing: dict[int, None] = {}  # the n of PDUs that bore a secret, oldest first

    def __repr__(self) -> str:
        return f"<Veil {len(self._begun)} streams inside a pair, {len(self._bearing)} PDUs bore a secret>"

    def full_feature(self, conn: int) -> None:
        """Take note that `conn` has entered the full feature phase: only text PDUs hold text from here on."""
        self._full.add(conn)

    def closed(self, conn: int, leg: End) -> None:
        """Take note that one side of a leg has ended; a connection is forgotten when both legs have."""
        if (conn, leg.other) not in self._ended:
            self._ended.add((conn, leg))
            return
        self._ended -= {(conn, leg), (conn, leg.other)}
        self._full.discard(conn)
        for key in [key for key in self._begun if key[0] == conn]:
            del self._begun[key]

    def bears(self, n: int | None) -> bool:
        """Tell whether PDU `n` bore a secret."""
        return n in self._bearing

    def data(
        self, data: bytes, opcode: int, *, conn: int, leg: End, came: bool, n: int, of: int | None = None
    ) -> bytes | None:
        """Hide the secrets in a data segment, byte for byte; gives `data` itself if there is none.

        None if a secret is in there and it cannot be said where: then nothing of it may be kept. `came` tells a PDU
        received from one delivered; `of` is the PDU that a delivered one was made of.
        """
        if opcode not in TEXT:
            if of not in self._bearing and (conn in self._full or not _mentions(data)):
                return data
            self._remember(n)
            return None
        stream = (conn, leg, came)
        begun = self._begun.pop(stream, b"")
        if not data:
            if begun:
                self._begun[stream] = begun
            return data
        first, nul, _ = data.partition(b"\0")
        start = (begun + first)[:_LONGEST].upper()
        hidden = mask_secrets(data, inside_pair=bool(begun) and start.startswith(_STARTS))
        tail = begun + first if not nul else data[data.rfind(b"\0") + 1 :]
        if tail:
            self._begun[stream] = tail[:_LONGEST]
        if hidden == data and of in self._bearing:
            self._remember(n)
            return None
        if hidden != data or tail.upper().startswith(_STARTS):
            self._remember(n)
        return data if hidden == data else hidden

    def text(self, text: str, of: int | None = None) -> str:
        """Hide the secrets in a line of words about PDU `of`."""
        if of in self._bearing:
            text = _LITERAL.sub(HIDDEN, text)
        return veil_text(text)

    def changes(self, changes: Iterable[Change], of: int | None = None, n: int | None = None) -> tuple[Change, ...]:
        """Hide the secrets in what was changed in PDU `of`, or made of it as PDU `n`."""
        bearing = of in self._bearing or n in self._bearing
        return tuple(veil_change(change, bearing=bearing) for change in changes)

    def _remember(self, n: int) -> None:
        self._bearing[n] = None
        if len(self._bearing) > _REMEMBERED:
            del self._bearing[next(iter(self._bearing))]
