"""Every error of the program, in one tree with three branches.

Either the peer's bytes are bad (`PeerError`), or what the user gave us is wrong (`UserError`), or the program has a
fault of its own (`InternalError`). A message says what, where, what was expected and what came instead; where a name is
wrong it asks for the one that was `meant`.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AhsError",
    "CaptureError",
    "DigestError",
    "FileError",
    "FramingError",
    "InternalError",
    "IscsiProxyError",
    "JournalError",
    "PeerError",
    "ScsiError",
    "TextError",
    "UsageError",
    "UserError",
    "meant",
]


class IscsiProxyError(Exception):
    """The root of the tree."""


class PeerError(IscsiProxyError):
    """Bytes from a peer do not mean what their place requires."""


class FramingError(PeerError):
    """The byte stream can no longer be cut into PDUs (RFC 7143 11.2)."""


class AhsError(PeerError):
    """An additional header segment does not fit its announced length (RFC 7143 11.2.2)."""


class DigestError(PeerError):
    """A digest is missing where one was negotiated (RFC 7143 11.2.3)."""


class TextError(PeerError):
    """A text data segment is not a list of key=value pairs (RFC 7143 6.1)."""


class ScsiError(PeerError):
    """A CDB or sense block is too short for what it announces."""


class UserError(IscsiProxyError):
    """Something the user wrote or asked for cannot be done as it stands."""


class UsageError(UserError):
    """A command line, an address or a parameter is wrong."""


class JournalError(UserError):
    """A file given as a journal is not one, or of a version this program does not read."""


class CaptureError(UserError):
    """A file given as a packet capture cannot be read: it is none, it is damaged, or tshark is missing."""


class FileError(UserError):
    """A scenario file is wrong at one place.

    `line` and `column` count from 1; `hint` is the nearest right name, or another way out. `others` are further errors
    of the same file, in its order.
    """

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, hint: str | None = None
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.hint = hint
        self.others: tuple[FileError, ...] = ()
        place = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{place + ': ' if place else ''}{message}{f' ({hint})' if hint else ''}")


class InternalError(IscsiProxyError):
    """A promise of this program was broken by the program itself."""


def meant(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """Ask whether the nearest of the names was meant; if none is near say `otherwise`, or which names there are."""
    from difflib import get_close_matches  # most runs are in want of none

    known = list(names)
    lowered = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), lowered, n=1)
    if near:
        return f"did you mean {lowered[near[0]]}?"
    return f"there are: {', '.join(known) or 'none'}" if otherwise is None else otherwise
