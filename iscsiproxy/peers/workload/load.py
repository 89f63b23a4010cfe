"""Reads and writes whose every answer is checked: a load that knows what each block may hold.

A `Workload` keeps up to `depth` commands in flight, in the order of its plan. What it writes names the write
(`pattern`), and what it reads is held against what the blocks may hold (`contents`), also while writes overlap and
when some of them got lost. At the end everything it has written is read once more. A mismatch, a command that failed
and a session that ended are three different things, and the report keeps them apart.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.errors import CommandFailed, ConnectionLost
from iscsiproxy.peers.initiator.tasks import Outcome
from iscsiproxy.peers.scsi.command import Attribute, Status
from iscsiproxy.peers.workload.contents import Contents, End, Ordering, Read, Write
from iscsiproxy.peers.workload.drive import Drive, OnItsWay
from iscsiproxy.peers.workload.pattern import Pattern
from iscsiproxy.peers.workload.plan import Kind, Operation, Plan, extents
from iscsiproxy.peers.workload.tally import Progress, Tally, WorkloadReport

__all__ = ["Workload", "WorkloadSettings"]

#: What a target says when it did not begin a command, and may take it later (SAM-5 5.3.1).
_LATER = (Status.BUSY, Status.TASK_SET_FULL)
#: What it says when it will not begin a command.
_REFUSED = (Status.RESERVATION_CONFLICT, Status.ACA_ACTIVE)
#: Sense keys NOT READY and UNIT ATTENTION (SPC-4 4.5.6)
_NOT_READY = 0x2
_UNIT_ATTENTION = 0x6
#: What READ(10) and WRITE(10) can say (SBC-3 5.8)
_LBA_10 = 1 << 32
#: How many commands in a row may be refused before a logical unit counts as not ready.
_READY_TRIES = 50
#: Bytes that one command of the final reading asks for.
_READ_BACK = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSettings:
    """What a workload does. Lengths are bytes, times seconds, places and sizes logical blocks.

    It ends after `count` commands or `seconds`, whichever comes first; one of them has to be given. Without `overlap`
    no write is in flight beside another command on the same blocks. With it, `ordering` says what the target promises
    about those: ORDERED gives every command the task attribute of that name. `run` tells the data of this run from
    that of any other. `retries` is how often a command is given again that the target did not begin, `pause` how long
    that waits. `kept` is how many mismatches are reported in full.
    """

    lun: int
    first: int
    blocks: int
    block_size: int
    sizes: tuple[tuple[int, int], ...] = ((8, 1),)
    reads: float = 0.5
    depth: int = 1
    count: int | None = None
    seconds: float | None = None
    flush_every: int = 0
    overlap: bool = False
    ordering: Ordering = Ordering.ORDERED
    verify: bool = True
    read_back: bool = True
    run: int = 0
    retries: int = 20
    pause: float = 0.1
    kept: int = 20

    @property
    def attribute(self) -> Attribute:
        """The task attribute of every command."""
        ordered = self.overlap and self.ordering is Ordering.ORDERED
        return Attribute.ORDERED if ordered else Attribute.SIMPLE


@dataclass(slots=True, eq=False)
class _Try:
    """An operation, and how often it was refused."""

    operation: Operation
    refused: int = 0
    recoveries: int = 0  #: how many losses there had been when it was given


class Workload:
    """One run of a load on one logical unit; `run()` it once. `report()` may be asked at any time.

    `recoveries` counts how often the drive has come back after the loss of a session, which it does by itself.
    """

    def __init__(
        self,
        drive: Drive,
        settings: WorkloadSettings,
        rng: random.Random,
        *,
        now: Callable[[], float] = trio.current_time,
        recoveries: Callable[[], int] = lambda: 0,
        on_progress: Callable[[Progress], None] | None = None,
        progress_every: float = 1.0,
    ) -> None:
        if settings.count is None and settings.seconds is None:
            raise ValueError("a workload needs a number of commands or of seconds")
        self._drive = drive
        self.settings = settings
        self._plan = Plan(
            rng,
            first=settings.first,
            blocks=settings.blocks,
            sizes=settings.sizes,
            reads=settings.reads,
            overlap=settings.depth if settings.overlap else 0,
            flush_every=settings.flush_every,
        )
        self._now = now
        self._recoveries = recoveries
        self._on_progress = on_progress
        self._progress_every = progress_every
        ordering = settings.ordering if settings.overlap else Ordering.FREE
        self._contents = Contents(Pattern(run=settings.run, block_size=settings.block_size), ordering)
        self._seen_recoveries = recoveries()
        self._tally = Tally(run=settings.run, kept=settings.kept)
        self._again: deque[_Try] = deque()
        self._retrying = 0
        self._change = trio.Event()
        self._stopped = False
        self._lost = False

    def __repr__(self) -> str:
        return f"<Workload on LUN {self.settings.lun}: {self._tally.ended}, {self._tally.in_flight} in flight>"

    def stop(self) -> None:
        """Issue nothing more: what is in flight ends, nothing is read back, and `run` returns."""
        self._stopped = True
        self._wake()

    async def run(self) -> WorkloadReport:
        """Do it all and give the report. Cancelling it leaves what was in flight to the drive."""
        tally = self._tally
        tally.ended = "running"
        tally.started = self._now()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell)
                if await self._ready():
                    tally.started = self._now()
                    await self._all(self._load())
                    tally.finished = self._now()
                    if self.settings.verify and self.settings.read_back and not self._over:
                        await self._back()
                    if not self._over:
                        tally.ended = "done"
                nursery.cancel_scope.cancel()
        finally:
            if tally.ended == "running":
                tally.ended = "cancelled"
            if tally.finished is None:
                tally.finished = self._now()
        return self.report()

    def report(self) -> WorkloadReport:
        """Give what has come of it so far."""
        return self._tally.report(self._now(), recoveries=self._recoveries())

    # --- the order of things --------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self._stopped or self._lost

    def _load(self) -> Iterator[Operation]:
        """Draw operations while there is time."""
        issued = 0
        while True:
            if self.settings.count is not None and issued >= self.settings.count:
                return
            if self.settings.seconds is not None and self._now() - self._tally.started >= self.settings.seconds:
                return
            issued += 1
            yield next(self._plan)

    async def _back(self) -> None:
        """Read everything that was written once more."""
        verified = self._tally.verified
        most = max(1, _READ_BACK // self.settings.block_size)

        def reads() -> Iterator[Operation]:
            for first, count in extents(self._contents.touched()):
                for start in range(first, first + count, most):
                    yield Operation(Kind.READ, start, min(most, first + count - start))

        await self._all(reads())
        if not self._over:
            self._tally.read_back = self._tally.verified - verified

    async def _all(self, operations: Iterator[Operation]) -> None:
        """Issue operations in their order, those refused again before new ones, until all have ended."""
        async with trio.open_nursery() as nursery:
            while not self._over:
                if self._again:
                    turn = self._again.popleft()
                elif (operation := next(operations, None)) is not None:
                    turn = _Try(operation)
                elif self._tally.in_flight or self._retrying:
                    await self._changed()
                    continue
                else:
                    break
                await self._room(turn.operation)
                if not self._over:
                    await self._issue(turn, nursery)
            self._again.clear()
            if self._stopped and not self._lost:
                self._tally.ended = "stopped"

    async def _room(self, operation: Operation) -> None:
        """Wait until the operation may be in flight."""
        while not self._over and (self._tally.in_flight >= self.settings.depth or self._collides(operation)):
            await self._changed()

    def _collides(self, operation: Operation) -> bool:
        if self.settings.overlap or not self.settings.verify:
            return False
        writing = operation.kind is Kind.WRITE
        return self._contents.busy(operation.first, operation.count, writing=writing)

    async def _changed(self) -> None:
        await self._change.wait()

    def _wake(self) -> None:
        self._change.set()
        self._change = trio.Event()

    # --- one command ----------------------------------------------------------------------------------------------

    async def _ready(self) -> bool:
        """Wait until the logical unit takes commands; unit attentions are counted."""
        text = ""
        for _ in range(_READY_TRIES):
            try:
                outcome = await (await self._drive.start(self.settings.lun, commands.test_unit_ready())).wait()
            except ConnectionLost as error:
                self._fail(error)
                return False
            except CommandFailed as error:
                text = str(error)
                break
            if outcome.good:
                return True
            text = _failure(outcome)
            if _key(outcome) == _UNIT_ATTENTION:
                self._tally.unit_attentions += 1
            elif outcome.status in _LATER or _key(outcome) == _NOT_READY:
                self._tally.busy += 1
                await trio.sleep(self.settings.pause)
            else:
                break
        self._tally.error(text)
        self._tally.ended = "not ready"
        return False

    async def _issue(self, turn: _Try, nursery: trio.Nursery) -> None:
        """Send a command, and leave its answer to a task."""
        self._look_for_recovery()
        operation, settings = turn.operation, self.settings
        ticket: Write | Read | None = None
        data = b""
        if operation.kind is Kind.WRITE:
            if settings.verify:
                ticket, data = self._contents.write(operation.first, operation.count)
            else:
                data = self._contents.pattern.blocks(operation.first, [1] * operation.count)
        elif operation.kind is Kind.READ and settings.verify:
            ticket = self._contents.read(operation.first, operation.count)
        begun = self._now()
        turn.recoveries = self._recoveries()
        self._tally.begun(begun)
        try:
            running = await self._drive.start(
                settings.lun,
                _cdb(operation),
                data_out=data,
                read_length=operation.count * settings.block_size if operation.kind is Kind.READ else 0,
                attribute=settings.attribute,
            )
        except (ConnectionLost, CommandFailed) as error:
            self._unanswered(turn, ticket, error)
            return
        nursery.start_soon(self._answer, turn, ticket, running, begun)

    async def _answer(self, turn: _Try, ticket: Write | Read | None, running: OnItsWay, begun: float) -> None:
        try:
            outcome = await running.wait()
        except (ConnectionLost, CommandFailed) as error:
            self._unanswered(turn, ticket, error)
            return
        self._look_for_recovery()
        now = self._now()
        self._tally.over(now)
        pause = self._judge(turn, ticket, outcome, now - begun)
        self._wake()
        if pause is not None:
            # It has its turn after the pause, whatever else is done meanwhile.
            self._retrying += 1
            await trio.sleep(pause)
            self._retrying -= 1
            turn.refused += 1
            self._again.append(turn)
            self._wake()

    def _judge(self, turn: _Try, ticket: Write | Read | None, outcome: Outcome, seconds: float) -> float | None:
        """Take an answer in; give the pause after which the command is given again, or None."""
        operation = turn.operation
        if not outcome.good:
            attention = _key(outcome) == _UNIT_ATTENTION
            later = outcome.response == 0 and (attention or outcome.status in _LATER)
            refused = later or (outcome.response == 0 and outcome.status in _REFUSED)
            # A drive that has given it again speaks of the last time only: the session that was lost may have done it.
            void = refused and turn.recoveries == self._recoveries()
            self._settle(ticket, End.VOID if void else End.MAYBE)
            self._tally.unit_attentions += later and attention
            self._tally.busy += later and not attention
            if later and turn.refused < self.settings.retries:
                return 0.0 if attention else self.settings.pause
            self._tally.error(_failure(outcome))
            return None
        length = operation.count * self.settings.block_size
        if operation.kind is Kind.READ and len(outcome.data) != length:
            self._settle(ticket, End.MAYBE)
            self._tally.error("short read")
            return None
        if operation.kind is Kind.WRITE and outcome.residual:
            self._settle(ticket, End.MAYBE)
            self._tally.error("short write")
            return None
        if isinstance(ticket, Read):
            self._tally.verified += ticket.count
            self._tally.wrong(self._contents.found(ticket, outcome.data))
        else:
            self._settle(ticket, End.GOOD)
        if self._tally.finished is None:
            self._tally.good(operation.kind, length, seconds)
        return None

    def _unanswered(self, turn: _Try, ticket: Write | Read | None, error: ConnectionLost | CommandFailed) -> None:
        self._look_for_recovery()
        self._settle(ticket, End.MAYBE)
        self._tally.over(self._now())
        if isinstance(error, ConnectionLost):
            self._fail(error)
        else:
            self._tally.error(f"{turn.operation.kind.value} {type(error).__name__}: {error}")
        self._wake()

    def _settle(self, ticket: Write | Read | None, end: End) -> None:
        if isinstance(ticket, Read):
            self._contents.dropped(ticket)
        elif ticket is not None:
            self._tally.uncertain += end is End.MAYBE
            self._tally.wrong(self._contents.written(ticket, end))

    # --- bookkeeping ----------------------------------------------------------------------------------------------

    def _look_for_recovery(self) -> None:
        count = self._recoveries()
        if count != self._seen_recoveries:
            self._seen_recoveries = count
            self._contents.interrupted()

    def _fail(self, error: ConnectionLost) -> None:
        if not self._lost:
            self._lost = True
            self._tally.lost = str(error)
            self._tally.ended = "session lost"

    async def _tell(self) -> None:
        if self._on_progress is None:
            return
        while True:
            await trio.sleep(self._progress_every)
            self._on_progress(self._tally.progress(self._now()))


def _cdb(operation: Operation) -> bytes:
    if operation.kind is Kind.FLUSH:
        return commands.synchronize_cache10()
    short = operation.first + operation.count <= _LBA_10
    if operation.kind is Kind.READ:
        return (commands.read10 if short else commands.read16)(operation.first, operation.count)
    return (commands.write10 if short else commands.write16)(operation.first, operation.count)


def _key(outcome: Outcome) -> int | None:
    return outcome.sense.key if outcome.status == Status.CHECK_CONDITION and outcome.sense is not None else None


def _failure(outcome: Outcome) -> str:
    """Say how a command ended, in the words of the standard."""
    if outcome.response:
        return f"iSCSI response {outcome.response:#04x}"
    try:
        name = Status(outcome.status).name.replace("_", " ")
    except ValueError:
        name = f"status {outcome.status:#04x}"
    return f"{name} {outcome.sense} ({outcome.sense.label})" if outcome.sense is not None else name
