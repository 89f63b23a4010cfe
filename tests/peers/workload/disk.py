"""A disk in memory behind no wire at all, honest or lying in one way."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio

from iscsiproxy.peers.initiator.errors import CommandTimeout, ConnectionLost
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.scsi.command import Attribute, Status
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.sense import SenseCode, decode_sense, encode_sense

__all__ = ["BLOCK", "Disk", "Lie", "Task", "check_condition"]

BLOCK = 512


def check_condition(key: int, asc: int, ascq: int = 0) -> Outcome:
    sense = decode_sense(encode_sense(SenseCode(key, asc, ascq)))
    return Outcome(status=Status.CHECK_CONDITION, sense_data=sense)


class Task:
    """A command on its way to the disk."""

    def __init__(self, disk: Disk, cdb: bytes, data: bytes, attribute: Attribute) -> None:
        self.disk = disk
        self.number = 0
        self.cdb = decode_cdb(cdb)
        self.data = data
        self.attribute = attribute
        self.outcome: Outcome | None = None
        self.error: Exception | None = None

    @property
    def span(self) -> slice:
        lba, blocks = self.cdb.LBA or 0, self.cdb.blocks or 0
        return slice(lba * BLOCK, (lba + blocks) * BLOCK)

    async def wait(self) -> Outcome:
        """Let others go first, some of the time."""
        for _ in range(self.disk.rng.randrange(4)):
            await trio.lowlevel.checkpoint()
        self.disk.execute(self)
        self.disk.queue.remove(self)
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


#: Does a write or read in place of the disk, in its own way; False leaves it to the disk.
Lie = Callable[["Disk", Task], bool]


class Disk:
    """Does commands in the order that their attributes ask for. The first answers are `answers`, whatever was asked."""

    def __init__(self, *, blocks: int = 256, seed: int = 1, lie: Lie | None = None) -> None:
        self.rng = random.Random(seed)
        self.medium = bytearray(blocks * BLOCK)
        self.queue: list[Task] = []
        self.lie = lie
        self.answers: Sequence[Outcome] = ()
        self.lost_after: int | None = None
        self.count = 0
        self.most = 0
        self.names: list[str] = []

    async def start(
        self,
        lun: int,
        cdb: bytes,
        *,
        data_out: bytes = b"",
        read_length: int = 0,
        attribute: Attribute = Attribute.SIMPLE,
    ) -> Task:
        await trio.lowlevel.checkpoint()
        assert lun == 1
        self.count += 1
        if self.lost_after is not None and self.count > self.lost_after:
            raise ConnectionLost("the other end closed")
        task = Task(self, cdb, data_out, attribute)
        task.number = self.count
        assert read_length == (task.span.stop - task.span.start if task.cdb.name.startswith("READ") else 0)
        self.names.append(task.cdb.name)
        self.queue.append(task)
        self.most = max(self.most, len(self.queue))
        if self.answers:
            task.outcome, *self.answers = self.answers
        return task

    def execute(self, task: Task) -> None:
        if task.outcome is not None or task.error is not None:
            return
        if self.lost_after is not None and self.count > self.lost_after:
            task.error = ConnectionLost("the other end closed")
            return
        if task.attribute is Attribute.ORDERED:
            for earlier in self.queue[: self.queue.index(task)]:
                self.execute(earlier)
        if self.lie is None or not self.lie(self, task):
            self.honest(task)

    def honest(self, task: Task) -> None:
        if task.cdb.name.startswith("READ"):
            task.outcome = Outcome(data=bytes(self.medium[task.span]))
            return
        if task.cdb.name.startswith("WRITE"):
            self.medium[task.span] = task.data
        task.outcome = Outcome()

    def time_out(self, task: Task) -> None:
        task.error = CommandTimeout("no answer in 60 s")
