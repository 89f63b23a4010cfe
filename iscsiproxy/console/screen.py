"""The terminal of a prompt: what is written appears above the line that is being typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import Output
from prompt_toolkit.shortcuts import print_formatted_text

from iscsiproxy.api.models import Event
from iscsiproxy.console.lines import STYLES, Line, Piece, clean
from iscsiproxy.console.views.events import event_line

__all__ = ["Screen", "styled"]

#: Rows that are not for events: the prompt, the toolbar, and one that says what was left out
_OWN_ROWS = 3


def styled(pieces: Iterable[Piece]) -> FormattedText:
    """Give pieces in the styles of prompt-toolkit."""
    return FormattedText([(STYLES.get(style, style), clean(text)) for style, text in pieces])


class Screen:
    """Writes above the prompt, in lines that fit."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __repr__(self) -> str:
        return f"<Screen of {self.width} columns>"

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self._output.get_size().columns

    @property
    def rows(self) -> int:
        """How many lines of events have room at a time."""
        return max(self._output.get_size().rows - _OWN_ROWS, 1)

    def events(self, events: Sequence[Event]) -> None:
        """Write events."""
        self.lines(event_line(event, self.width) for event in events)

    def lines(self, lines: Iterable[Line]) -> None:
        """Write lines."""
        pieces = [piece for line in lines for piece in (*line, ("", "\n"))]
        if pieces:
            text = FormattedText([(STYLES[style], "\n" if text == "\n" else clean(text)) for style, text in pieces])
            print_formatted_text(text, end="", output=self._output)
