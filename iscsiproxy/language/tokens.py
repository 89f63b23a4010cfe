"""Cut the text of one scalar into tokens, each with its place in the file.

Words may hold `_ # -` and single dots, so `n.CmdSN`, `Data-Out` and `text.X-com.example.key` are one token each, and a
minus sign that subtracts stands between blanks; so does a `/` that divides, for a sense code has two without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from iscsiproxy.language.document import Scalar
from iscsiproxy.language.parameters import NAME, Parameters
from iscsiproxy.language.problems import problem
from iscsiproxy.language.spec import Position

__all__ = [
    "DURATION",
    "MAX_TEXT",
    "SIZE_UNITS",
    "Kind",
    "Token",
    "duration_value",
    "meant",
    "number_value",
    "tokenize",
]

#: The longest expression or moment, in characters
MAX_TEXT: Final = 4096

SIZE_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}

#: What is written elsewhere for these
_OTHER_UNITS = {
    "KiB": ("k", "kb", "ki", "kib"),
    "MiB": ("m", "mb", "mi", "mib"),
    "GiB": ("g", "gb", "gi", "gib"),
    "ms": ("msec", "msecs", "millis"),
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("m", "mins", "minute", "minutes"),
}
_QUANTITY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{1,8})")

DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|min)")
_NUMBER = re.compile(r"0x([0-9A-Fa-f]+)|([0-9]+)(KiB|MiB|GiB)?")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_TOKEN = re.compile(
    rf"""
    (?P<blank>\s+)
  | (?P<text>"[^"]*")
  | (?P<sense>[0-9A-Fa-f]/[0-9A-Fa-f]{{2}}/[0-9A-Fa-f]{{2}}(?![\w/]))
  | (?P<parameter>\${NAME.pattern})
  | (?P<word>[A-Za-z0-9_\#][A-Za-z0-9_\#-]*(?:\.[A-Za-z0-9_\#][A-Za-z0-9_\#-]*)*)
  | (?P<symbol>==|!=|<=|>=|\.\.|(?<=\s)/(?=\s)|[<>(),+*%&-])
    """,
    re.VERBOSE | re.ASCII,
)
_MISTAKES = {
    "=": "`==` compares",
    "!": "write `not`",
    "|": "write `or`",
    "'": 'text stands in double quotes, "…"',
    "“": 'text stands in double quotes, "…"',
    '"': "the quotation is not closed",
    "/": "sense is written B/0C/0D; `/` divides only with blanks around it",
    "~": "`like` compares with a glob",
    "$": "a parameter is `$` and its name",
    "[": "a list of values is `in (a, b)`",
}


class Kind(Enum):
    """What a token is."""

    WORD = "a name"
    NUMBER = "a number"
    DECIMAL = "a decimal number"
    DURATION = "a duration"
    TEXT = "a text"
    SENSE = "a sense code"
    PARAMETER = "a parameter"
    SYMBOL = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `text` as written, `value` of a parameter what stands in its place.

    `before` and `after` tell that a blank stands there.
    """

    kind: Kind
    text: str
    where: Position
    before: bool = False
    after: bool = False
    value: str = ""

    def __str__(self) -> str:
        return "the end" if self.kind is Kind.END else f"`{self.text}`"


def number_value(text: str) -> int | None:
    """Read `10`, `0x0a` or `64KiB`; None if it is not a number. Only hexadecimal digits may be as many as one likes."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits, plain, unit = match.groups()
    if plain and len(plain) > 20:
        return None
    return int(digits, 16) if digits else int(plain) * SIZE_UNITS.get(unit, 1)


def duration_value(text: str) -> float | None:
    """Read `200ms`, `5s` or `1min` as seconds; None if it is not a duration."""
    match = DURATION.fullmatch(text)
    if match is None or len(text) > 20:
        return None
    # Milliseconds are divided, not multiplied, so that 2900ms is exactly 2.9
    return float(match[1]) / 1000 if match[2] == "ms" else float(match[1]) * _TIME_UNITS[match[2]]


def meant(text: str, *, time: bool | None = None) -> str | None:
    """Give the size or, with `time`, the duration that a text may be meant for; None for either means any."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, unit = match.groups()
    for right, others in _OTHER_UNITS.items():
        near = f"{number}{right}"
        fits = duration_value(near) if right in _TIME_UNITS else number_value(near)
        if time in (None, right in _TIME_UNITS) and fits is not None and (unit == right or unit.lower() in others):
            return near if near != text else None
    return None


def tokenize(scalar: Scalar, parameters: Parameters, start: int = 0) -> list[Token]:
    """Cut the text of `scalar` from offset `start` into tokens, an END at last.

    Raises FileError for a character that begins no token, and for a parameter that does not exist.
    """
    text = scalar.text
    if len(text) > MAX_TEXT:
        raise problem(f"{len(text)} characters are too many here; at most {MAX_TEXT}", scalar.position)
    tokens: list[Token] = []
    offset = start
    blank = True
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        where = scalar.at(offset)
        if match is None:
            raise _bad_character(text[offset], where)
        offset = match.end()
        if match.lastgroup == "blank":
            blank = True
            continue
        word = match[0]
        after = offset == len(text) or text[offset].isspace()
        kind = _kind(match.lastgroup or "", word)
        value = parameters.get(word[1:], where) if kind is Kind.PARAMETER else ""
        tokens.append(Token(kind, word, where, blank, after, value))
        blank = False
    tokens.append(Token(Kind.END, "", scalar.at(len(text.rstrip())), blank))
    return tokens


def _kind(group: str, word: str) -> Kind:
    if group != "word":
        return {"text": Kind.TEXT, "sense": Kind.SENSE, "parameter": Kind.PARAMETER}.get(group, Kind.SYMBOL)
    if number_value(word) is not None:
        return Kind.NUMBER
    if duration_value(word) is not None:
        return Kind.DURATION
    return Kind.DECIMAL if _DECIMAL.fullmatch(word) else Kind.WORD


def _bad_character(character: str, where: Position) -> Exception:
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return problem(f"`{shown}` has no meaning here", where, _MISTAKES.get(character))
