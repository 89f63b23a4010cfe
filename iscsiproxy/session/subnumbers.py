"""The counts inside one task, and the tags of tasks, where the two legs differ (RFC 7143 4.2.2.4, 11.2.1.8).

DataSN of Data-In and R2TSN are one count of the target for a task. DataSN of Data-Out counts anew for each R2T and for
the unsolicited data. A task has a map only once a piece of it was added or taken away; most never have. What goes
behind a PDU is counted from that PDU's own number, so nothing has to be known of the PDUs before it.

All tags are those of the initiator, unless a name says otherwise.
"""

from __future__ import annotations

from iscsiproxy.session.serialmap import SerialMap
from iscsiproxy.wire.fields import NO_TAG

__all__ = ["TASKS_KEPT", "Tags", "TaskNumbers"]

#: How many tasks with maps are kept; the oldest is forgotten first.
TASKS_KEPT = 256
#: How many maps of Data-Out a task keeps.
_BURSTS_KEPT = 64
#: How many tags that stand for others are kept.
_ALIASES_KEPT = 4096
#: Where tags that stand for others are taken from, downwards.
_ALIASES = 0xEFFFFFFE
_LOWEST_ALIAS = 0xE0000000


class _Task:
    """The maps of one task: `answers` for Data-In and R2T, `bursts` for Data-Out by TTT."""

    __slots__ = ("answers", "bursts")

    def __init__(self) -> None:
        self.answers = SerialMap()
        self.bursts: dict[int, SerialMap] = {}


class TaskNumbers:
    """DataSN and R2TSN of the tasks of a session."""

    __slots__ = ("_acks", "_tasks")

    def __init__(self) -> None:
        self._tasks: dict[int, _Task] = {}
        self._acks: dict[int, int] = {}  # the task of each TTT that asks for a DataACK

    def __repr__(self) -> str:
        return f"<TaskNumbers of {len(self._tasks)} tasks>"

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def answers(self, itt: int) -> SerialMap | None:
        """Give the map of a task's Data-In and R2T; None where all is as it is."""
        task = self._tasks.get(itt)
        return None if task is None else task.answers

    def burst(self, itt: int, ttt: int) -> SerialMap | None:
        """Give the map of the Data-Out for an R2T, or unsolicited; None where all is as it is."""
        task = self._tasks.get(itt)
        return None if task is None else task.bursts.get(ttt)

    def part_answers(self, itt: int) -> SerialMap:
        """Give the map of a task's Data-In and R2T, to be changed."""
        return self._task(itt).answers

    def part_burst(self, itt: int, ttt: int) -> SerialMap:
        """Give the map of the Data-Out for an R2T, or unsolicited, to be changed."""
        bursts = self._task(itt).bursts
        if ttt not in bursts:
            bursts[ttt] = SerialMap()
            if len(bursts) > _BURSTS_KEPT:
                del bursts[next(iter(bursts))]
        return bursts[ttt]

    def begin(self, itt: int) -> None:
        """Note that a tag names a new task."""
        self._tasks.pop(itt, None)

    def solicit(self, itt: int, ttt: int) -> None:
        """Note an R2T: the Data-Out for it counts from 0."""
        task = self._tasks.get(itt)
        if task is not None:
            task.bursts.pop(ttt, None)

    def want_ack(self, itt: int, ttt: int) -> None:
        """Note that a Data-In asks for a DataACK (A bit), which will name it by this TTT only."""
        if itt in self._tasks:
            self._acks[ttt] = itt
            if len(self._acks) > TASKS_KEPT:
                del self._acks[next(iter(self._acks))]

    def acked_by(self, ttt: int) -> SerialMap | None:
        """Give the map of the task whose Data-In asked for a DataACK with this TTT."""
        itt = self._acks.get(ttt)
        return None if itt is None else self.answers(itt)

    def _task(self, itt: int) -> _Task:
        task = self._tasks.get(itt)
        if task is None:
            task = self._tasks[itt] = _Task()
            if len(self._tasks) > TASKS_KEPT:
                del self._tasks[next(iter(self._tasks))]
        return task


class Tags:
    """Initiator Task Tags of a session that are others on the target's leg, because the proxy uses them there itself.

    A tag that was once given another keeps it, so that retries and references to finished tasks stay right.
    """

    __slots__ = ("_next", "_others", "_own", "_real")

    def __init__(self) -> None:
        self._next = _ALIASES
        self._own: set[int] = set()
        self._others: dict[int, int] = {}  # the initiator's tag: that on the target's leg
        self._real: dict[int, int] = {}  # and the other way round

    def __repr__(self) -> str:
        return f"<Tags {len(self._own)} own, {len(self._others)} changed>"

    def __bool__(self) -> bool:
        return bool(self._own or self._others)

    def own(self, itt: int) -> None:
        """Take a tag for the proxy's own use."""
        self._own.add(itt)

    def disown(self, itt: int) -> None:
        """Give it back."""
        self._own.discard(itt)

    def begin(self, itt: int) -> int:
        """Give the tag on the target's leg of a task that begins, or goes on."""
        if itt == NO_TAG or (itt not in self._own and itt not in self._real) or itt in self._others:
            return self.forward(itt)
        other = self._next
        while other in self._own or other in self._real or other in self._others:
            other -= 1
        self._next = max(other - 1, _LOWEST_ALIAS)
        self._others[itt], self._real[other] = other, itt
        if len(self._others) > _ALIASES_KEPT:
            del self._real[self._others.pop(next(iter(self._others)))]
        return other

    def forward(self, itt: int) -> int:
        """Give the tag on the target's leg."""
        return self._others.get(itt, itt)

    def back(self, itt: int) -> int:
        """Give the initiator's tag for one of the target's leg."""
        return self._real.get(itt, itt)
