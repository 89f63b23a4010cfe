"""What is wrong with a line, under the line itself, or with a file, by its places."""

from __future__ import annotations

from collections.abc import Iterator

from iscsiproxy.api.models import Problem
from iscsiproxy.console.lines import Line, columns, folded, line

__all__ = ["problem"]

_INDENT = "  "


def problem(one: Problem, text: str, shift: int | None, width: int) -> Iterator[Line]:
    """Show a problem and others of the same line or file.

    `shift` leads from its columns to places in the line that was typed; None: they are places of a file.
    """
    for each in (one, *one.others):
        if shift is not None and each.column:
            yield from _pointed(text, min(each.column + shift, len(text) + 1), width)
            yield from _said(each, "", width)
        else:
            place = ":".join(str(part) for part in (each.file, each.line, each.column) if part and each.line)
            yield from _said(each, f"{place}: " if place else "", width)


def _pointed(text: str, column: int, width: int) -> Iterator[Line]:
    """Show the line, and a caret below the place; of a long line the part around it."""
    room = width - columns(_INDENT) - 1 if width else 0
    first = max(0, column - room) if room and len(text) > room else 0
    shown = text[first : first + room] if room else text
    yield line(_INDENT, shown)
    yield line(_INDENT, " " * columns(text[first : column - 1]), ("mark", "^"))


def _said(one: Problem, place: str, width: int) -> list[Line]:
    hint = f" ({one.hint})" if one.hint else ""
    return folded(f"{place}{one.message}{hint}", width, style="bad")
