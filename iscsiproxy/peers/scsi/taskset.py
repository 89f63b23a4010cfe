"""The task set of a logical unit: which command may begin when (SAM-5 8).

Whom a command has to wait for is known when it comes, except for HEAD OF QUEUE commands, which everybody that waits
then waits for too. So each command counts its blockers and knows whom it blocks, and nothing is searched when one ends:

- HEAD OF QUEUE waits for nobody.
- ORDERED waits for all that came before.
- SIMPLE waits for HEAD OF QUEUE and ORDERED commands that came before, and, because the order of commands that touch
  the same blocks is kept (QUEUE ALGORITHM MODIFIER 0, restricted reordering, SPC-4 7.5.8), for those of its own nexus
  whose footprint is in conflict with its own.

There is one task set for all nexuses (TST 000b), but a SIMPLE command never waits for a SIMPLE one of another nexus: so
PREEMPT AND ABORT is not held up by the commands that it is to end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from iscsiproxy.peers.scsi.command import Attribute, Clearing, Command, Nexus
from iscsiproxy.peers.scsi.handler import Footprint

__all__ = ["TASK_LIMIT", "TaskSet"]

#: How many commands a task set holds before it is full
TASK_LIMIT = 256


class _Task:
    """A command in the task set: how many it waits for, and who waits for it."""

    __slots__ = ("blockers", "command", "enabled", "footprint", "headed", "ordered", "waiters", "wanted")

    def __init__(self, command: Command, footprint: Footprint | None) -> None:
        self.command = command
        self.headed = command.attribute is Attribute.HEAD_OF_QUEUE
        self.ordered = command.attribute is Attribute.ORDERED
        self.footprint = footprint
        self.blockers = 0
        self.waiters: list[_Task] = []
        self.enabled = False
        self.wanted = 0

    def waits_for(self, older: _Task) -> bool:
        """Tell whether this command may only begin after one that came before it."""
        if self.headed:
            return False
        if self.ordered or older.ordered or older.headed:
            return True
        mine, other = self.footprint, older.footprint
        return (
            mine is not None
            and other is not None
            and older.command.nexus == self.command.nexus
            and mine.conflicts(other)
        )


class TaskSet:
    """The commands of a logical unit that have come and not ended, in the order they came."""

    def __init__(self, limit: int = TASK_LIMIT) -> None:
        self._limit = limit
        self._tasks: dict[Command, _Task] = {}
        self._ready: deque[_Task] = deque()
        self._running = False

    def __repr__(self) -> str:
        enabled = sum(task.enabled for task in self._tasks.values())
        return f"<TaskSet {len(self._tasks)} of {self._limit} commands, {enabled} enabled>"

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, command: Command) -> bool:
        return command in self._tasks

    @property
    def full(self) -> bool:
        """Whether another command would be one too many."""
        return len(self._tasks) >= self._limit

    def submit(self, command: Command, footprint: Footprint | None = None) -> None:
        """Take a command in; `on_enabled` is called now or later, but never from within another's `on_enabled`.

        Without a footprint it is in nobody's way.
        """
        new = _Task(command, footprint)
        for older in self._tasks.values():
            if new.waits_for(older):
                new.blockers += 1
                older.waiters.append(new)
            elif new.headed and older.blockers:
                older.blockers += 1
                new.waiters.append(older)
        self._tasks[command] = new
        if not new.blockers:
            self._ready.append(new)
        self._run()

    def want(self, command: Command, length: int) -> None:
        """Remember how many bytes of data-out a command wants."""
        self._tasks[command].wanted = length

    def wanted(self, command: Command) -> int:
        """Give what `want` was told."""
        return self._tasks[command].wanted

    def finish(self, command: Command) -> None:
        """Take out a command that has ended; nothing if it is not there."""
        self._remove([command])
        self._run()

    @property
    def nexuses(self) -> set[Nexus]:
        """Whose commands there are."""
        return {command.nexus for command in self._tasks}

    def clear(self, cause: Callable[[Nexus], Clearing | None]) -> None:
        """End the commands of every nexus for which `cause` gives one, and tell their transport."""
        causes = [(command, why) for command in self._tasks if (why := cause(command.nexus)) is not None]
        self._remove([command for command, _ in causes])
        for command, why in causes:
            command.on_cleared(why)
        self._run()

    def drop(self, nexus: Nexus) -> None:
        """Take out the commands of a nexus without a word."""
        self._remove([command for command in self._tasks if command.nexus == nexus])
        self._run()

    def _remove(self, commands: list[Command]) -> None:
        gone = [task for command in commands if (task := self._tasks.pop(command, None)) is not None]
        for task in gone:
            for waiter in task.waiters:
                waiter.blockers -= 1
                if not waiter.blockers:
                    self._ready.append(waiter)

    def _run(self) -> None:
        """Enable what may begin, one after the other: what ends meanwhile adds to the queue, not to the stack."""
        if self._running:
            return
        self._running = True
        try:
            while self._ready:
                task = self._ready.popleft()
                # It may have ended, together with what it waited for or while others began.
                if task.command in self._tasks:
                    task.enabled = True
                    task.command.on_enabled()
        finally:
            self._running = False
