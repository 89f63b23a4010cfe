"""What comes of a command: the same for programs and for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from iscsiproxy.console.lines import Line, line

__all__ = ["Answer", "LeaveError", "View", "said"]

#: Gives lines for a screen of so many columns; 0: as long as they are
View: TypeAlias = Callable[[int], Iterable[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a command: the `data` for programs, and a `view` of it for people.

    `failed` tells a script that this is not what was asked for, although nothing was wrong with the line.
    """

    data: Any = None
    view: View | None = None
    failed: bool = False


def said(*lines: Line | str, data: Any = None, failed: bool = False) -> Answer:
    """Answer with lines that are the same on every screen."""
    made = [line(one) if isinstance(one, str) else one for one in lines]
    return Answer(data=data, view=lambda _: made, failed=failed)


class LeaveError(Exception):
    """Somebody leaves the console; `status` is the exit code."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)
        self.status = status
