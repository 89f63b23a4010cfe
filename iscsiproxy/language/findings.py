"""What is found in a file that is right and yet can never happen: what, where, how bad, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscsiproxy.language.spec import Position

__all__ = ["Finding", "finding", "place_of"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that can never happen. `what` is its kind, in one word; `line` and `column` count from 1."""

    what: str
    severity: Severity
    message: str
    file: str
    line: int
    column: int
    hint: str | None = None

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {mark}{self.message}{f' ({self.hint})' if self.hint else ''}"


def finding(what: str, where: Position, message: str, hint: str | None = None, *, warn: bool = False) -> Finding:
    """Make the finding for one place of a file."""
    return Finding(
        what=what,
        severity="warning" if warn else "error",
        message=message,
        file=where.file,
        line=where.line,
        column=where.column,
        hint=hint,
    )


def place_of(found: Finding) -> Position:
    """Give the place of a finding."""
    return Position(found.file, found.line, found.column)
