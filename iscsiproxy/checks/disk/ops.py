"""One command that a disk is asked to do: its place in the order, the data that passed, what became of it."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum

from xxhash import xxh3_64_digest

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.journal import BLOCK, Payload
from iscsiproxy.journal.payload import HASH_LENGTH
from iscsiproxy.wire.codes import ATTR

__all__ = ["UNKNOWN", "ZEROS", "Op", "State", "unknown"]

#: Stands for the hash of a sector whose content is not known. No content is known to have this hash.
UNKNOWN = bytes(HASH_LENGTH)
#: The hash of a sector of zeros
ZEROS = xxh3_64_digest(bytes(BLOCK))

_HEAD_OF_QUEUE = ATTR.value("HEAD_OF_QUEUE")
_ORDERED = ATTR.value("ORDERED")


class State(Enum):
    """What became of a command. LOST: nobody will answer it, but it may still be done."""

    FLYING = "in flight"
    GOOD = "good"
    VOID = "refused"
    MAYBE = "unsure"
    LOST = "lost"


def unknown(sectors: int) -> bytes:
    """Give the hashes of so many sectors of which nothing is known."""
    return bytes(sectors * HASH_LENGTH)


class Op:
    """A command from when it is issued.

    `issued` and `over` are moments of the disk's own clock, `over` None while it may still change the disk. `order` is
    the CmdSN; None for an immediate command, and where the order is not known. `witness` is the `ref` of a read that
    found what this has written.
    """

    __slots__ = (
        "_clashes",
        "blind",
        "broken",
        "buffer",
        "effect",
        "end",
        "first",
        "issued",
        "order",
        "ordered",
        "over",
        "reads",
        "ref",
        "sectors",
        "session",
        "settled",
        "state",
        "telling",
        "witness",
        "writes",
    )

    def __init__(
        self,
        effect: Effect,
        *,
        issued: int,
        session: Hashable = None,
        order: int | None = None,
        attribute: int = 0,
        ref: Hashable = None,
    ) -> None:
        self.effect = effect
        self.reads = effect.reads
        self.writes = effect.writes
        self.issued = issued
        self.over: int | None = None
        self.state = State.FLYING
        self.session = session
        self.order = None if attribute == _HEAD_OF_QUEUE else order
        self.ordered = attribute == _ORDERED
        self.ref = ref
        self.witness: Hashable = None
        #: Why what it finds cannot be judged, if so
        self.blind = effect.unplaced
        #: It has told what a sector holds, so that its data is kept.
        self.telling = False
        #: Sectors that surely hold what it wrote, or did when it was seen
        self.settled = 0
        #: The range that its data is of; empty where it has none
        self.first, self.end = effect.ranges[0] if len(effect.ranges) == 1 else (0, 0)
        #: How many sectors it is about, also where nobody knows which
        self.sectors = self.end - self.first or -(-effect.length // BLOCK)
        #: Eight bytes for each sector of the task's buffer, as far as data has passed
        self.buffer = bytearray(ZEROS * effect.period if effect.zeros else b"")
        #: Some sector of the buffer was passed over, or came twice and differed
        self.broken = False
        self._clashes: set[int] = set()

    def __repr__(self) -> str:
        return f"<Op {self}: {self.state.value}>"

    def __str__(self) -> str:
        return str(self.effect) + ("" if self.order is None else f", CmdSN 0x{self.order:x}")

    def data(self, payload: Payload) -> None:
        """Take what passed of the task's buffer, in any order and also twice; only whole sectors count.

        A sector that came twice and was not the same is not known.
        """
        first = -(-payload.offset // BLOCK)
        end = min(payload.offset + payload.length, self.effect.length) // BLOCK
        if end <= first or self.state is not State.FLYING or self.effect.unplaced is not None:
            return
        skip = HASH_LENGTH if payload.offset % BLOCK else 0
        new = payload.hashes[skip : skip + (end - first) * HASH_LENGTH]
        if len(new) != (end - first) * HASH_LENGTH:
            return
        buffer = self.buffer
        at = first * HASH_LENGTH
        if at != len(buffer):
            if at > len(buffer):
                self.broken = True
                buffer.extend(bytes(at - len(buffer)))
            else:
                new = self._reconciled(at, new)
        buffer[at : at + len(new)] = new

    def _reconciled(self, at: int, new: bytes) -> bytes:
        """Blot out what came before and was not the same."""
        old = self.buffer[at : at + len(new)]
        if new.startswith(old) and not self._clashes:
            return new
        merged = bytearray(new)
        for place in range(0, len(old), HASH_LENGTH):
            known, now = old[place : place + HASH_LENGTH], new[place : place + HASH_LENGTH]
            index = (at + place) // HASH_LENGTH
            if known not in (now, UNKNOWN):
                self._clashes.add(index)
                self.broken = True
            if index in self._clashes:
                merged[place : place + HASH_LENGTH] = UNKNOWN
        return bytes(merged)

    def passed(self, sectors: int) -> bytes:
        """Give the hashes of the first sectors of the data; for a period, as often as it takes."""
        return self._hashes(0, 0, sectors)

    def content(self, first: int, end: int) -> bytes:
        """Give the hashes of what this has put into sectors of its range, or of what it found there."""
        return self._hashes(self.effect.write_at, first - self.first, end - self.first)

    def _hashes(self, base: int, first: int, end: int) -> bytes:
        length = (end - first) * HASH_LENGTH
        period = self.effect.period
        if not self.buffer:
            return bytes(length)
        if period:
            pattern = bytes(self.buffer).ljust(period * HASH_LENGTH, b"\0")
            skip = first % period * HASH_LENGTH
            return (pattern * ((end - first) // period + 2))[skip : skip + length]
        at = (base + first) * HASH_LENGTH
        return bytes(self.buffer[at : at + length]).ljust(length, b"\0")

    def piece(self, first: int, end: int, hashes: bytes = b"") -> Op:
        """Make what this has left in a part of its range: content that was found there, or nothing that is known."""
        action = Action.WRITE if hashes else Action.SCRAMBLE
        effect = self.effect._replace(action=action, ranges=((first, end),), write_at=0, period=0, zeros=False)
        piece = Op(effect, issued=self.issued, session=self.session, order=self.order, ref=self.ref)
        piece.ordered, piece.witness = self.ordered, self.witness
        piece.over, piece.state = self.over, self.state
        piece.buffer += hashes
        return piece

    def place(self, effect: Effect) -> None:
        """Say what the command does after all."""
        self.effect = effect
        self.writes = effect.writes
        self.first, self.end = effect.ranges[0] if len(effect.ranges) == 1 else (0, 0)
        self.buffer = bytearray(ZEROS * effect.period if effect.zeros else b"")
