"""The shadow of one logical unit: commands in as they pass, findings out. No I/O, no clock but the order of the calls.

A write counts from when it is issued until it ends: *good*, so that it was done; *void*, when the target said that it
did not begin it; *maybe*, when nobody knows; or *lost*, when it may even be done later, until its session is gone. What
that means for the sectors is `contents`, which of two writes wins is `order`.

What is not known is never held against anybody: the first read of a sector tells what was there. Writes that do not
pass here (another path, the target's own) are not known of, and look like corruption.
"""

from __future__ import annotations

from collections.abc import Hashable

from iscsiproxy.checks.disk.answers import Outcome, block_size_of, restricted_of
from iscsiproxy.checks.disk.commands import Action, Effect, effect_of
from iscsiproxy.checks.disk.contents import Contents
from iscsiproxy.checks.disk.counts import Counts, Reason
from iscsiproxy.checks.disk.history import HASHES, OPS, History
from iscsiproxy.checks.disk.ops import Op, State
from iscsiproxy.checks.disk.pages import Pages
from iscsiproxy.checks.disk.thrift import HELD, SPANS
from iscsiproxy.checks.disk.wrongs import Wrong, refused_of, wrongs_of
from iscsiproxy.journal import BLOCK

__all__ = ["Disk"]

_STATES = {
    Outcome.GOOD: State.GOOD,
    Outcome.VOID: State.VOID,
    Outcome.MAYBE: State.MAYBE,
    Outcome.LOST: State.LOST,
}


class Disk:
    """One logical unit, over all sessions and paths to it; `key` names it in findings.

    Commands have to be begun and ended in the order in which they pass. Memory: the pages, which several disks share
    (`Pages`), and for each disk at most 8 MiB of hashes of uncertain writes and about as much for their spans
    (`Contents`), 8 MiB of hashes and about 2 MB for the commands of the history (`History`), and of the data of the
    commands in flight 1/64.
    """

    def __init__(
        self,
        key: Hashable,
        *,
        pages: Pages | None = None,
        block_size: int | None = None,
        spans: int = SPANS,
        held: int = HELD,
        ops: int = OPS,
        hashes: int = HASHES,
    ) -> None:
        self.key = key
        self.counts = Counts()
        self.block_size = block_size
        #: The block size was concluded from the lengths of commands.
        self.guessed = False
        self._may_guess = True
        self._history = History(ops, hashes)
        self._contents = Contents(
            Pages() if pages is None else pages, self._history, self.counts, spans=spans, held=held
        )
        self._tick = 0
        self._flying: dict[Op, None] = {}
        self._lost: dict[Op, None] = {}

    def __repr__(self) -> str:
        return f"<Disk {self.key}: {len(self._flying)} in flight, {len(self._contents)} spans unsure>"

    # --- commands -----------------------------------------------------------------------------------------------------

    def command(
        self,
        cdb: bytes,
        edtl: int,
        *,
        data: bytes = b"",
        sends: bool = False,
        session: Hashable = None,
        order: int | None = None,
        attribute: int = 0,
        ref: Hashable = None,
    ) -> Op | None:
        """Begin a command, if it does anything to the disk: `effect_of` and `begin` in one."""
        effect = effect_of(cdb, edtl, self.block_size, data=data, sends=sends)
        if effect is None:
            return None
        return self.begin(effect, session=session, order=order, attribute=attribute, ref=ref)

    def begin(
        self,
        effect: Effect,
        *,
        session: Hashable = None,
        order: int | None = None,
        attribute: int = 0,
        ref: Hashable = None,
    ) -> Op:
        """Take note that a command was given to the target.

        `session` is the I_T nexus: another value for each session, also for one that reinstates another. `order` is the
        CmdSN, None for an immediate command; `attribute` is ATTR. `ref` comes back in findings. A command that is sent
        again with the same CmdSN is the same.
        """
        effect = self._sized(effect)
        self._tick += 1
        op = Op(effect, issued=self._tick, session=session, order=order, attribute=attribute, ref=ref)
        self._flying[op] = None
        if op.reads and effect.ranges:
            self._contents.reads[op] = None
        if op.writes:
            self._contents.issue(op)
        return op

    def narrow(self, op: Op, effect: Effect) -> None:
        """Say what a command in flight does after all: the parameter list of UNMAP has come. Only for writes."""
        if op.state is State.FLYING and op.writes and op.effect != effect:
            self._contents.give_up(self._contents.withdraw(op))
            before = op.effect
            op.place(effect)
            self._contents.issue(op)
            self._contents.settle(before.ranges)

    def end(self, op: Op, outcome: Outcome, *, residual: int = 0) -> tuple[Wrong, ...]:
        """End a command and judge what it read; what has ended before is left alone.

        `op.data` has taken all of its data by now: that which passed with a wrong digest, or was withheld, is not given
        to it, and the sectors count as unknown. `residual` is the underflow, of a command that was good.
        """
        if op.state is not State.FLYING:
            return ()
        self._tick += 1
        del self._flying[op]
        self._contents.reads.pop(op, None)
        op.state = _STATES[outcome]
        op.over = None if outcome is Outcome.LOST else self._tick
        judged = self.counts.judged
        wrongs = self._read(op, residual) if op.reads and outcome is Outcome.GOOD else ()
        if op.writes:
            if outcome is Outcome.GOOD:
                self._contents.done(op, _written(op, residual))
            elif outcome is Outcome.LOST:
                self._lost[op] = None
            elif outcome is Outcome.VOID:
                wrongs = self._void(op)
        self._contents.relax(op)
        if op.reads and not op.writes:
            if not op.telling:
                op.buffer.clear()
            if (
                outcome is Outcome.GOOD
                and (op.telling or self.counts.judged - judged == op.end - op.first)
                and not wrongs
            ):
                self._history.add(op, op.first, op.end)
        return wrongs

    def _read(self, op: Op, residual: int) -> tuple[Wrong, ...]:
        effect = op.effect
        if op.blind is not None:
            self.counts.leave_out(op.blind, op.sectors)
            return ()
        end = op.first + _transferred(op, residual)
        if effect.action is Action.COMPARE_AND_WRITE:
            end = min(end, op.end)
        self.counts.leave_out(Reason.UNSEEN, op.end - end)
        bads = self._contents.compare(op, end) if end > op.first else []
        if not bads:
            return ()
        return wrongs_of(
            op,
            bads,
            self._history,
            disk=self.key,
            each=self._each,
            guessed=self.guessed,
            restricted=self._contents.restricted,
        )

    def _void(self, op: Op) -> tuple[Wrong, ...]:
        found = self._contents.withdraw(op)
        if not found:
            return ()
        # It was seen there, whatever the target says: it is what the sectors hold.
        op.state = State.MAYBE
        return refused_of(op, found, disk=self.key, each=self._each, guessed=self.guessed)

    @property
    def _each(self) -> int:
        return max((self.block_size or BLOCK) // BLOCK, 1)

    # --- what else is heard of it -------------------------------------------------------------------------------------

    def session_gone(self, session: Hashable) -> None:
        """Take note that nothing of a session can be done any more; what was in flight has ended, somehow."""
        for op in [op for op in self._flying if op.session == session]:
            self.end(op, Outcome.MAYBE)
        self._tick += 1
        for op in [op for op in self._lost if op.session == session]:
            del self._lost[op]
            op.over, op.state = self._tick, State.MAYBE
            self._contents.relax(op)

    def told(self, cdb: bytes, data: bytes) -> None:
        """Take what the target answered to READ CAPACITY or MODE SENSE, if it was one of these; all of its data."""
        size = block_size_of(cdb, data)
        if size is not None:
            self.tell_block_size(size)
        restricted = restricted_of(cdb, data)
        if restricted is not None:
            self.tell_restricted(restricted=restricted)

    def tell_block_size(self, size: int) -> None:
        """Take the logical block size that the target tells; all that is known is wrong if it was another."""
        if self.block_size not in (None, size):
            self._forget(everywhere=True)
        self.block_size, self.guessed = size, False

    def tell_restricted(self, *, restricted: bool) -> None:
        """Take whether SIMPLE commands are reordered in a restricted way only, as the Control mode page tells."""
        self._contents.restricted = restricted

    def gap(self) -> None:
        """Forget everything.

        To be called where something may have happened that did not pass here: events were not recorded, the target lost
        its power and with it what its cache had (UNIT ATTENTION 29h), or tells of a deferred error. Reads in flight are
        not judged, and what writes in flight bring is not known.
        """
        self._forget(everywhere=False)

    def _forget(self, *, everywhere: bool) -> None:
        """Forget everything, also what writes in flight bring, or even where: they may have been done already."""
        self._tick += 1
        pending = [op for op in (*self._lost, *self._flying) if op.writes]
        for op in (*self._contents.reads, *pending):
            op.blind = Reason.GAP
        for op in pending:
            op.place(op.effect.anywhere() if everywhere else op.effect.anyhow())
        self._contents.forget(pending)

    def _sized(self, effect: Effect) -> Effect:
        """Take or drop a block size that a command implies, where nobody told it."""
        if not effect.implied or (self.block_size is not None and not self.guessed):
            return effect
        if self.block_size is None and self._may_guess:
            self.block_size, self.guessed = effect.implied, True
        elif self.block_size != effect.implied:
            self._may_guess = False
            if self.block_size is not None:
                self._forget(everywhere=True)
                self.block_size, self.guessed = None, False
            return effect.anywhere()
        return effect


def _transferred(op: Op, residual: int) -> int:
    """Count the sectors from the first on whose data was transferred."""
    effect = op.effect
    length = min(effect.length, max(effect.EDTL - residual, 0))
    if effect.period:
        return op.end - op.first if effect.zeros or length == effect.period * BLOCK else 0
    return length // BLOCK


def _written(op: Op, residual: int) -> int:
    """Give the end of the sectors that a good write has surely written."""
    if op.effect.action in (Action.SCRAMBLE, Action.RELEASE):
        return op.end
    return op.first + max(_transferred(op, residual) - op.effect.write_at, 0)
