"""What a target was asked to send again: by a SNACK, or by TASK REASSIGN (RFC 7143 11.16, 7.2.2).

What is sent again has the number it had. Only an R-Data SNACK and a reassignment may change how data is cut into PDUs:
then the numbers begin again behind what was acknowledged (RFC 7143 11.16.3, 11.5.6).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire import codes
from iscsiproxy.wire.serial import lt

if TYPE_CHECKING:
    from iscsiproxy.checks.scene.connections import Conn
    from iscsiproxy.checks.scene.tasks import Task

__all__ = ["Resends", "Runs", "heed_snack"]

#: How many runs are remembered
_RUNS = 64


class Runs:
    """The numbers that SNACKs have asked for (RFC 7143 11.16.6, 11.16.7); `note` is the last of them."""

    __slots__ = ("_runs", "note")

    def __init__(self) -> None:
        self._runs: deque[tuple[int, int]] = deque(maxlen=_RUNS)
        self.note: Note | None = None

    def __repr__(self) -> str:
        return f"<Runs {list(self._runs)}>"

    def ask(self, first: int, length: int, note: Note) -> None:
        """Note a SNACK; a length of 0 is all from `first` on, and all that there is if that is 0 too."""
        self._runs.append((first, length))
        self.note = note

    def cover(self, number: int) -> bool:
        """Tell whether a number was asked for."""
        for first, length in self._runs:
            if length:
                if (number - first) & 0xFFFFFFFF < length:
                    return True
            elif not first or not lt(number, first):
                return True
        return False


class Resends:
    """What of one task has to come again.

    `runs` are the DataSNs or R2TSNs that were asked for. With `afresh` all data that was not acknowledged comes again,
    and a status behind it: an R-Data SNACK or a reassignment has asked for that.
    """

    __slots__ = ("_next", "_starts", "afresh", "runs")

    def __init__(self) -> None:
        self.runs = Runs()
        self.afresh: Note | None = None
        self._starts: frozenset[int] = frozenset()
        self._next: int | None = None

    def __repr__(self) -> str:
        return f"<Resends {self.runs!r}{f' afresh, next {self._next}' if self.afresh else ''}>"

    def restart(self, note: Note, *starts: int) -> None:
        """Note that all data comes again, from one of these DataSNs on or from 0."""
        self.afresh = note
        self._starts = frozenset({0, *starts})
        self._next = None

    def allow(self, number: int) -> bool:
        """Tell whether a PDU with this number may come again."""
        return number == self._next or number in self._starts or self.runs.cover(number)

    def sent(self, number: int) -> None:
        """Note what was sent."""
        if number == self._next or number in self._starts:
            self._next = (number + 1) & 0xFFFFFFFF


def heed_snack(conn: Conn, task: Task | None, values: Mapping[str, int], note: Note) -> None:
    """Note what a SNACK asks for or acknowledges; `task` is the one that it names, if it names one."""
    kind = codes.SNACK_TYPE.text(values["Type"])
    first, length = values["BegRun"], values["RunLength"]
    if kind == "STATUS":
        conn.status_runs.ask(first, length, note)
    elif kind == "DATA_ACK":
        task = conn.ack_tags.get(values["TTT"])
        if task is not None:
            task.acked_sn = first
    elif task is not None and kind in ("DATA_R2T", "R_DATA"):
        task.resends = task.resends or Resends()
        if kind == "R_DATA":
            task.resends.restart(note, task.acked_sn)
        else:
            task.resends.runs.ask(first, length, note)
    if task is not None:
        task.last = note
