"""Output that cannot fail: for a sign that an old terminal does not have, or because nobody reads it any more."""

from __future__ import annotations

import codecs
import io
import os
from contextlib import suppress
from typing import TextIO

import click

__all__ = ["Lines", "make_printable"]

_HANDLER = "iscsiproxy.plain"
#: What is drawn instead, one column each.
_INSTEAD = dict(zip("─│├┤▶◀●✗✓≠═…–", "-|||><ox+#=.-", strict=True))


class Lines:
    """Prints lines to `out` as long as somebody reads them, and nowhere from then on; `gone` tells that."""

    def __init__(self, out: TextIO) -> None:
        self.gone = False
        self._out = out

    def __repr__(self) -> str:
        return f"<Lines to {'nobody' if self.gone else self._out}>"

    def __call__(self, line: str) -> None:
        """Print a line."""
        if self.gone:
            return
        try:
            click.echo(line, file=self._out)
        except BrokenPipeError:
            # Whoever read this has read enough; what is done does not depend on it.
            self.gone = True
            with suppress(OSError, ValueError):
                number = self._out.fileno()
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


def make_printable(stream: TextIO) -> None:
    """Have a stream print something for every sign, whatever its encoding; UTF-8 is left as it is."""
    if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
        stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_INSTEAD.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replace)
