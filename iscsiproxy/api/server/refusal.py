"""How the server says no: a status code and the reason, and nothing has changed."""

from __future__ import annotations

from iscsiproxy.api.models import Problem
from iscsiproxy.errors import FileError

__all__ = ["Refusal", "refusal_of"]

_CODES = {400: "bad_request", 404: "not_found", 409: "conflict", 413: "too_large"}


class Refusal(Exception):  # noqa: N818 - no error of ours: the answer to what a client has asked for
    """Something that was asked for is not done."""

    def __init__(self, status: int, message: str, *, error: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(error=error or _CODES[status], message=message, hint=hint)


def refusal_of(error: FileError) -> Refusal:
    """Refuse what is wrong as a line or a scenario file, with its places."""
    refusal = Refusal(400, error.message, hint=error.hint)
    refusal.problem = _placed(error)
    return refusal


def _placed(error: FileError) -> Problem:
    return Problem(
        error="bad_request",
        message=error.message,
        hint=error.hint,
        file=error.file,
        line=error.line,
        column=error.column,
        others=tuple(map(_placed, error.others)),
    )
