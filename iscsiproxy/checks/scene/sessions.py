"""A session as a judge sees it: who it is, its command numbers, its tasks (RFC 7143 4.4.3, 4.2.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Memory, Task
from iscsiproxy.wire.serial import add, le, lt

__all__ = ["CommandBook", "Session"]

#: How many gaps in CmdSN are remembered, and how many tasks that have ended
_MAX_GAPS = 256
#: How many numbers below the next one are remembered as used, at least
_FLOOR_STEP = 1 << 24
#: How many numbers are remembered of which it is not known whether the target has them
_MAX_DOUBTS = 1024
_FINISHED = 2048
#: How many tasks may be outstanding: below a peer's window whatever it is
_OUTSTANDING = 1 << 16


class CommandBook:
    """Which CmdSNs of a session were used (RFC 7143 4.2.2.1). `next` is the one that comes next; None: not known.

    A number that was passed over is a *gap* until its command comes, or what was rejected or aborted fills it. Of one
    that is *doubtful* nobody can tell whether the target has it: what came beyond the window as far as that was told,
    what was on its way when a connection was lost, what an ABORT TASK stands for.
    """

    __slots__ = ("doubtful", "floor", "gaps", "next")

    def __init__(self) -> None:
        self.next: int | None = None
        self.floor: int | None = None  #: of numbers below this one it is not known whether they were used
        self.gaps: list[tuple[int, int]] = []  #: the first number of each, and the one behind its last
        self.doubtful: dict[int, None] = {}  #: oldest first

    def __repr__(self) -> str:
        return f"<CommandBook next={self.next} gaps={self.gaps}>"

    @property
    def lowest_missing(self) -> int | None:
        """The lowest number whose command has surely not come: no ExpCmdSN may be above it. None if not known."""
        number = self.gaps[0][0] if self.gaps else self.next
        while number is not None and number in self.doubtful:
            number = self._missing(add(number, 1))
        return number

    def start(self, cmd_sn: int) -> None:
        """Begin with the CmdSN of a leading login, which the first command has again (RFC 7143 11.12.8)."""
        self.next = self.floor = cmd_sn

    def forget(self) -> None:
        """Take every number as unknown."""
        self.next = self.floor = None
        self.gaps.clear()
        self.doubtful.clear()

    def used(self, cmd_sn: int) -> bool | None:
        """Tell whether a number was used before; None if that is not known."""
        if self.next is None or (self.floor is not None and lt(cmd_sn, self.floor)) or cmd_sn in self.doubtful:
            return None
        if not lt(cmd_sn, self.next):
            return False
        return not any(le(first, cmd_sn) and lt(cmd_sn, behind) for first, behind in self.gaps)

    def take(self, cmd_sn: int) -> None:
        """Note a number as used: the next one, one further on, which leaves a gap, or one that fills a gap."""
        if self.doubtful:
            self.doubtful.pop(cmd_sn, None)
        if self.next is None:
            self.next, self.floor = add(cmd_sn, 1), cmd_sn
        elif cmd_sn == self.next:
            self.next = add(cmd_sn, 1)
            if not self.next % _FLOOR_STEP and self.floor is not None:
                self.floor = add(self.next, -_FLOOR_STEP)  # numbers come round: what is far below is far above
        elif lt(self.next, cmd_sn):
            self._leave(self.next, cmd_sn)
            self.next = add(cmd_sn, 1)
        elif self.gaps:
            self._fill(cmd_sn)

    def reopen(self, cmd_sn: int) -> None:
        """Take a number as not used: its command was rejected, and counts as never received (RFC 7143 7.3)."""
        if self.used(cmd_sn):
            self._leave(cmd_sn, add(cmd_sn, 1))

    def doubt(self, cmd_sn: int) -> None:
        """Take it as not known whether the target has a number."""
        self.doubtful[cmd_sn] = None
        if len(self.doubtful) > _MAX_DOUBTS:
            del self.doubtful[next(iter(self.doubtful))]

    def concede(self, number: int) -> None:
        """Take it that the target has, or does without, all that is missing below a number."""
        while self.gaps and lt(self.gaps[0][0], number):
            _, behind = self.gaps.pop(0)
            self.floor = number
            if lt(number, behind):
                self.gaps.insert(0, (number, behind))

    def _missing(self, number: int) -> int:
        """Give the first number from this one on whose command has not come."""
        assert self.next is not None
        for first, behind in self.gaps:
            if lt(number, behind) and lt(number, self.next):
                return number if le(first, number) else first
        return number if le(self.next, number) else self.next

    def _leave(self, first: int, behind: int) -> None:
        base = self.gaps[0][0] if self.gaps and lt(self.gaps[0][0], first) else first
        self.gaps.append((first, behind))
        self.gaps.sort(key=lambda gap: (gap[0] - base) & 0xFFFFFFFF)
        if len(self.gaps) > _MAX_GAPS:
            self.floor = self.gaps.pop(0)[1]

    def _fill(self, cmd_sn: int) -> None:
        for at, (first, behind) in enumerate(self.gaps):
            if le(first, cmd_sn) and lt(cmd_sn, behind):
                parts = ((first, cmd_sn), (add(cmd_sn, 1), behind))
                self.gaps[at : at + 1] = [part for part in parts if part[0] != part[1]]
                return


class Session(Memory):
    """One session of one leg; `number` counts them. `seen` tells that its leading login was seen from the first PDU.

    While `complete`, all that passed in it is known; it is not behind events that are missing from the journal.
    """

    __slots__ = (
        "book",
        "complete",
        "conns",
        "discovery",
        "exp_cmd",
        "exp_note",
        "finished",
        "initiator_name",
        "isid",
        "max_cmd",
        "max_note",
        "number",
        "seen",
        "target_name",
        "tasks",
        "tpgt",
        "tsih",
    )

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.seen = False
        self.complete = False
        self.discovery = False
        self.initiator_name: str | None = None
        self.target_name: str | None = None
        self.tpgt: str | None = None
        self.isid = 0
        self.tsih = 0
        self.book = CommandBook()
        self.exp_cmd: int | None = None  #: the highest ExpCmdSN that the initiator was told
        self.exp_note: Note | None = None
        self.max_cmd: int | None = None  #: the highest MaxCmdSN that it was told
        self.max_note: Note | None = None
        self.tasks: dict[int, Task] = {}  #: by Initiator Task Tag, those that have not ended
        self.finished: dict[int, Task] = {}  #: the last ones that have
        self.conns: dict[int, int | None] = {}  #: the open connections, with their CIDs

    def __repr__(self) -> str:
        return f"<Session {self.number} of {len(self.conns)} connections, {len(self.tasks)} tasks>"

    def find(self, itt: int) -> Task | None:
        """Give the task that last used this tag, live or not; None if there is none that is known."""
        return self.tasks.get(itt) or self.finished.get(itt)

    def live(self, conn: int | None = None, lun: int | None = None) -> Iterator[Task]:
        """Give the tasks that have not ended, of one connection or of one LUN, if asked so; oldest first."""
        return (
            task
            for task in list(self.tasks.values())
            if (conn is None or task.conn == conn) and (lun is None or task.lun == lun)
        )

    def delivered(self, task: Task) -> bool:
        """Tell whether the target surely has looked at a task: it answers it, or nothing is missing before it."""
        if task.immediate or task.r2ts or task.data_in is not None:
            return True
        missing = self.book.lowest_missing
        return missing is not None and not self.book.doubtful and lt(task.cmd_sn, missing)

    def start(self, task: Task) -> None:
        """Take in a new task; what had its tag is forgotten."""
        self.tasks.pop(task.itt, None)
        self.finished.pop(task.itt, None)
        self.tasks[task.itt] = task
        if len(self.tasks) > _OUTSTANDING:
            del self.tasks[next(iter(self.tasks))]
            self.complete = False

    def end(self, task: Task, note: Note) -> None:
        """Note what ended a task; what comes after that ends it no second time."""
        if task.ended is not None:
            return
        task.ended = note
        if self.tasks.get(task.itt) is task:
            del self.tasks[task.itt]
            self.finished[task.itt] = task
            if len(self.finished) > _FINISHED:
                del self.finished[next(iter(self.finished))]

    def tell(self, expected: int, maximum: int, note: Note) -> None:
        """Note ExpCmdSN and MaxCmdSN as an initiator does: neither ever goes back (RFC 7143 4.2.2.1)."""
        if maximum == self.max_cmd and expected == self.exp_cmd:
            return
        if lt(maximum, (expected - 1) & 0xFFFFFFFF):
            return
        if self.max_cmd is None or lt(self.max_cmd, maximum):
            self.max_cmd, self.max_note = maximum, note
        if self.exp_cmd is None or lt(self.exp_cmd, expected):
            self.exp_cmd, self.exp_note = expected, note

    def forget(self) -> None:
        """Take its numbers and tasks as unknown: PDUs went by unseen."""
        self.complete = False
        self.book.forget()
        self.tasks.clear()
        self.finished.clear()
