"""A disk and the commands that go to it, with a letter for the content of each sector."""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.checks.disk import Disk, Kind, Op, Outcome, Reason, Wrong, effect_of
from iscsiproxy.journal import Payload, payload_of
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["ORDERED", "Play", "data", "kinds", "payload", "read_16", "write_16"]

ORDERED = 2


def data(text: str) -> bytes:
    """Make sectors: each letter is the content of one, `0` are zeros."""
    return b"".join(bytes(512) if letter == "0" else letter.encode("utf-32-le") * 128 for letter in text)


def payload(content: bytes, offset: int = 0) -> Payload:
    """Make what a journal keeps of a Data-Out or Data-In at that offset."""
    made = payload_of(Pdu.build(Opcode.DATA_OUT, content, BufferOffset=offset))
    assert made is not None
    return made


def read_16(lba: int, blocks: int) -> bytes:
    return b"\x88\0" + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + b"\0\0"


def write_16(lba: int, blocks: int) -> bytes:
    return b"\x8a" + read_16(lba, blocks)[1:]


def kinds(wrongs: Iterable[Wrong]) -> list[Kind]:
    return [wrong.kind for wrong in wrongs]


class Play:
    """Begins and ends commands; refs are numbers, from 1. `block` sectors make a logical block."""

    def __init__(self, disk: Disk | None = None, *, block: int = 1) -> None:
        self.disk = Disk("disk", block_size=512 * block) if disk is None else disk
        self.block = block
        self.refs = 0

    @property
    def left_out(self) -> dict[Reason, int]:
        """What was not judged, in sectors."""
        return self.disk.counts.left_out

    def begin(self, cdb: bytes, length: int, *, session: str = "a", order: int | None = None, attribute: int = 1) -> Op:
        effect = effect_of(cdb, length, self.disk.block_size)
        assert effect is not None
        self.refs += 1
        return self.disk.begin(effect, session=session, order=order, attribute=attribute, ref=self.refs)

    def writing(self, lba: int, text: str, *, session: str = "a", order: int | None = None, attribute: int = 1) -> Op:
        """Begin a write; all of its data passes."""
        cdb = write_16(lba, len(text) // self.block)
        op = self.begin(cdb, 512 * len(text), session=session, order=order, attribute=attribute)
        op.data(payload(data(text)))
        return op

    def reading(
        self, lba: int, sectors: int, *, session: str = "a", order: int | None = None, attribute: int = 1
    ) -> Op:
        return self.begin(
            read_16(lba, sectors // self.block), 512 * sectors, session=session, order=order, attribute=attribute
        )

    def found(self, op: Op, text: str) -> tuple[Wrong, ...]:
        """End a read that found that."""
        op.data(payload(data(text)))
        return self.end(op)

    def end(self, op: Op, outcome: Outcome = Outcome.GOOD, residual: int = 0) -> tuple[Wrong, ...]:
        return self.disk.end(op, outcome, residual=residual)

    def write(
        self, lba: int, text: str, outcome: Outcome = Outcome.GOOD, *, session: str = "a", order: int | None = None
    ) -> Op:
        op = self.writing(lba, text, session=session, order=order)
        assert self.end(op, outcome) == ()
        return op

    def read(self, lba: int, text: str, *, session: str = "a") -> tuple[Wrong, ...]:
        return self.found(self.reading(lba, len(text), session=session), text)
