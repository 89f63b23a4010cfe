"""What the values of the API have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["Asked", "End", "Ends", "FileText", "Json", "Line", "Name", "Number", "Problem", "Seconds", "Told"]

End = Literal["initiator", "target"]
Ends = Literal["initiator", "target", "both"]

#: The longest line of the fault language that is read, and the longest file, in characters
Line = Annotated[str, Meta(min_length=1, max_length=4096)]
FileText = Annotated[str, Meta(min_length=1, max_length=262_144)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Number = Annotated[int, Meta(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
#: A JSON object of any kind
Json = dict[str, Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy answers."""


class Problem(Told, frozen=True, kw_only=True):
    """Why something was not done; then nothing has changed.

    `error` is for programs: `bad_request`, `unauthorized`, `not_found`, `conflict`, `confirm` (it may corrupt data on a
    target that was not declared scratch: send it again with `confirm`), `too_large`, `internal`. Where a scenario or a
    line is wrong, `line` and `column` count from 1, and `others` are further errors of it.
    """

    error: str
    message: str
    hint: str | None = None
    file: str = ""
    line: int = 0
    column: int = 0
    others: tuple[Problem, ...] = ()
