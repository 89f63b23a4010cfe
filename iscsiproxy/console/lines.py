"""Lines for people: pieces of text, each in a style, which are the same in a prompt, on a terminal and in a pipe.

Styles are names; what they look like says one table, in colours that can be read on black and on white. Nothing is
said by colour alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from textwrap import wrap
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = [
    "STYLES",
    "Line",
    "Piece",
    "ansi",
    "clean",
    "columns",
    "cut",
    "folded",
    "line",
    "pad",
    "plain",
    "table",
]

#: A style and a text
Piece: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Piece, ...]

#: What a style looks like, in the words of prompt-toolkit. No yellow, no white, no grey: each is lost on some screen.
STYLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "",
        "head": "bold",
        "name": "bold",
        "initiator": "ansicyan",
        "target": "ansigreen",
        "changed": "bold ansimagenta",
        "fault": "bold ansimagenta",
        "held": "bold ansimagenta",
        "good": "ansigreen",
        "bad": "ansired",
        "alarm": "bold ansired",
        "differs": "bold ansimagenta",
        "mark": "bold ansired",
    }
)

_CODES: Final = {
    "bold": "1",
    "ansired": "31",
    "ansigreen": "32",
    "ansimagenta": "35",
    "ansicyan": "36",
}


def line(*pieces: Piece | str) -> Line:
    """Make a line of pieces; a bare text has no style."""
    return tuple(("", piece) if isinstance(piece, str) else piece for piece in pieces)


def clean(text: str) -> str:
    """Replace what is no printable character: what peers and other programs sent must not steer the terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def plain(of: Line) -> str:
    """Give the text alone."""
    return clean("".join(text for _, text in of)).rstrip()


def ansi(of: Line) -> str:
    """Give the text with the control sequences of its colours."""
    parts = []
    for style, text in of:
        code = ";".join(_CODES[word] for word in STYLES[style].split())
        parts.append(f"\x1b[{code}m{clean(text)}\x1b[0m" if code and text else clean(text))
    return "".join(parts).rstrip()


def columns(text: str) -> int:
    """Tell how wide a text is on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def cut(of: Line, width: int) -> Line:
    """Cut a line to a width; what was cut ends in `…`. A width of 0 leaves it as it is."""
    if not width or sum(columns(text) for _, text in of) <= width:
        return of
    pieces: list[Piece] = []
    left = width - 1
    for style, text in of:
        if columns(text) > left:
            pieces += [(style, _first(text, left)), ("", "…")]
            break
        pieces.append((style, text))
        left -= columns(text)
    return tuple(pieces)


def folded(text: str, width: int, *, style: str = "", indent: str = "") -> list[Line]:
    """Break a text at blanks into lines of a width; a width of 0 leaves it whole."""
    if not width:
        return [line((style, indent + text))] if text else []
    parts = wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return [line((style, part)) for part in parts]


def _first(text: str, width: int) -> str:
    end = 0
    while columns(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill a text with blanks to a width, at its left side if it stands on the `right`."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def table(head: Iterable[str], rows: Iterable[Iterable[Piece | str]], *, right: Iterable[int] = ()) -> list[Line]:
    """Lay out rows under a head, two blanks between; the columns in `right` stand on their right side."""
    at_right = frozenset(right)
    cells = [line(*row) for row in rows]
    lines = [tuple(("head", name) for name in head), *cells]
    widths = [max(columns(text) for _, text in column) for column in zip(*lines, strict=True)]
    return [
        tuple(
            (style, pad(text, widths[at], right=at in at_right) + "  " if at < len(widths) - 1 else text)
            for at, (style, text) in enumerate(row)
        )
        for row in lines
    ]
