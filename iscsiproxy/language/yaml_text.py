"""Trees written as YAML, in the form that scenario files have.

What is small stands in braces or brackets on one line, everything else on lines of its own. Each text is written in the
plainest way that the reader of files reads as just that text.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table, read_yaml
from iscsiproxy.language.spec import NOWHERE

__all__ = ["comment_lines", "text_lines", "yaml_lines"]

#: The longest line that is written, where a line can be ended
WIDTH: Final = 118
#: How a text is tried: behind its key on a line, and inside of braces and brackets
_ALONE: Final = "key: {0}\n"
_INSIDE: Final = "key: {{a: {0}, b: [{0}, c]}}\n"
_AS_KEY: Final = "{0}: value\n"


def yaml_lines(table: Table, indent: int = 0) -> list[str]:
    """Write a mapping, a line each."""
    lines: list[str] = []
    for entry in table.entries:
        lines += _entry(entry, indent)
    return lines


def text_lines(key: str, text: str, indent: int = 0) -> list[str]:
    """Write a text behind its key: folded if it is too long for one line, and can be."""
    blanks = " " * indent
    line = f"{blanks}{key}: {_text(Scalar(text, NOWHERE), _ALONE)}"
    body = textwrap.wrap(text, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)
    lines = [f"{blanks}{key}: >-", *(f"{blanks}  {part}" for part in body)]
    folds = len(line) > WIDTH and len(body) > 1 and _reads("\n".join(lines) + "\n", f'{key}: "@"\n', text)
    return lines if folds else [line]


def comment_lines(text: str, indent: int = 0) -> list[str]:
    """Write a comment; what may not stand in a file is left out of it."""
    lines = ["".join(sign for sign in line if sign.isprintable()).strip() for line in text.splitlines()]
    return [f"{' ' * indent}# {line}" for line in lines if line]


def _entry(entry: Entry, indent: int) -> list[str]:
    key, value = _text(entry.key, _AS_KEY), entry.value
    head = f"{' ' * indent}{key}:"
    if isinstance(value, Scalar):
        return [f"{head} {_text(value, _ALONE)}"] if value.quoted else text_lines(key, value.text, indent)
    if _is_small(value):
        line = f"{head} {_flow(value)}"
        if len(line) <= WIDTH:
            return [line]
    if isinstance(value, Table):
        return [head, *yaml_lines(value, indent + 2)]
    return [head, *_items(value, indent + 2)]


def _items(listing: Listing, indent: int) -> Iterator[str]:
    for item in listing.items:
        if isinstance(item, Table) and item.entries:
            first, *rest = yaml_lines(item, indent + 2)
            yield f"{' ' * indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{' ' * indent}- {_text(item, _ALONE) if isinstance(item, Scalar) else _flow(item)}"


def _is_small(node: Listing | Table) -> bool:
    """Tell whether a list or mapping may stand on one line: it holds texts, or lists of texts."""
    values = node.items if isinstance(node, Listing) else tuple(entry.value for entry in node.entries)
    if isinstance(node, Listing):
        return all(isinstance(value, Scalar) for value in values)
    return all(isinstance(value, Scalar) or (isinstance(value, Listing) and _is_small(value)) for value in values)


def _flow(node: Node) -> str:
    if isinstance(node, Scalar):
        return _text(node, _INSIDE)
    if isinstance(node, Listing):
        return f"[{', '.join(_flow(item) for item in node.items)}]"
    return f"{{{', '.join(f'{_text(entry.key, _AS_KEY)}: {_flow(entry.value)}' for entry in node.entries)}}}"


def _text(scalar: Scalar, frame: str) -> str:
    """Write a text so that it is read as it is inside the frame; one in quotes stays in quotes."""
    text = scalar.text
    if text and not scalar.quoted and _fits(text, text, frame):
        return text
    ways = (f'"{text}"', "'" + text.replace("'", "''") + "'")
    return next((way for way in ways if _fits(way, text, frame)), f'"{"".join(_escaped(text))}"')


@lru_cache(maxsize=1024)  # the same few keys and words stand in every file
def _fits(way: str, text: str, frame: str) -> bool:
    return "\n" not in way and _reads(frame.format(way), frame.format('"@"'), text)


def _reads(written: str, frame: str, text: str) -> bool:
    """Tell whether something is read as the frame, with the text where a `@` is."""
    try:
        return _shape(read_yaml(written, "")) == _shape(_empty(frame), text)
    except FileError:
        return False


@lru_cache(maxsize=16)
def _empty(frame: str) -> Node:
    return read_yaml(frame, "")


def _shape(node: Node, text: str = "@") -> object:
    if isinstance(node, Scalar):
        return text if node.text == "@" else node.text
    if isinstance(node, Listing):
        return [_shape(item, text) for item in node.items]
    return [(_shape(entry.key, text), _shape(entry.value, text)) for entry in node.entries]


def _escaped(text: str) -> Iterator[str]:
    for sign in text:
        if sign in ('"', "\\"):
            yield f"\\{sign}"
        elif sign.isprintable():
            yield sign
        else:
            code = ord(sign)
            yield f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
