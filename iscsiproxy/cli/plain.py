"""Output that cannot fail for a sign: what an old terminal's encoding does not have is drawn with what it has."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

__all__ = ["make_printable"]

_HANDLER = "iscsiproxy.plain"
#: What is drawn instead, one column each.
_INSTEAD = dict(zip("─│├┤▶◀●✗✓≠═…–", "-|||><ox+#=.-", strict=True))


def make_printable(stream: TextIO) -> None:
    """Have a stream print something for every sign, whatever its encoding; UTF-8 is left as it is."""
    if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
        stream.reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_INSTEAD.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replace)
