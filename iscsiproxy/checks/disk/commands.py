"""What a SCSI command does to a disk: which sectors it reads, writes, compares or leaves in doubt (SBC, SPC).

A *sector* is 512 bytes here, the unit in which data is hashed; a logical block is one sector or several. An `Effect`
says where the sectors of the command are and where in the task's buffer their data is. What cannot be placed is said to
be so, never guessed: a read is then left out with its reason, a write leaves its range in doubt.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import NamedTuple

from iscsiproxy.checks.disk.counts import Reason
from iscsiproxy.errors import ScsiError
from iscsiproxy.journal import BLOCK
from iscsiproxy.wire.cdb import Cdb, decode_cdb

__all__ = ["END", "LARGEST", "Action", "Effect", "Range", "effect_of"]

#: Sectors from the first up to, not including, the last.
Range = tuple[int, int]

#: Behind the last sector of any disk: LBAs have 64 bits (SBC), blocks far fewer than 2^24 sectors
END = 1 << 88
#: The most sectors that a command may have to be followed, 64 MiB: its hashes are then 1 MiB.
LARGEST = 1 << 17

_EVERYTHING: tuple[Range, ...] = ((0, END),)

#: What a block size that nobody told may be: sizes that disks and CDs have
_LIKELY = frozenset({512, 1024, 2048, 4096})


class Action(Enum):
    """The kinds of effect."""

    READ = "read"
    WRITE = "write"
    #: One block of data is written to each block of the range (WRITE SAME).
    SAME = "same"
    #: The data is compared with what is there (VERIFY with BYTCHK 01b, or 11b: one block with each of the range).
    COMPARE = "compare"
    #: The first half of the data is compared, and the second written if it was equal.
    COMPARE_AND_WRITE = "compare and write"
    #: The range has then a content that the wire does not tell, the same at each read.
    SCRAMBLE = "scramble"
    #: The range may then hold anything, and another thing at each read, until it is written anew (UNMAP).
    RELEASE = "release"


_READING = (Action.READ, Action.COMPARE, Action.COMPARE_AND_WRITE)
_WRITING = (Action.WRITE, Action.SAME, Action.COMPARE_AND_WRITE, Action.SCRAMBLE, Action.RELEASE)


class Effect(NamedTuple):
    """What one command does.

    `ranges` are the sectors it is about: exactly one range where there is data, none where they are unknown. The data
    of its first sector is at the beginning of the task's buffer, that of the half that COMPARE AND WRITE writes
    `write_at` sectors behind; `length` is how many bytes of the buffer matter. With a `period`, the data is that many
    sectors, repeated over the range; `zeros` says that they are zeros and nothing is sent. `implied` is the block size
    that EDTL and the number of blocks give together, 0 if none. `unplaced` says why nothing can be said of the data,
    which is of `length` bytes all the same. `elsewhere` tells that other logical units may be written too.
    """

    action: Action
    name: str
    LBA: int = 0
    blocks: int = 0
    ranges: tuple[Range, ...] = ()
    length: int = 0
    EDTL: int = 0
    block_size: int = 0
    implied: int = 0
    write_at: int = 0
    period: int = 0
    zeros: bool = False
    elsewhere: bool = False
    unplaced: Reason | None = None

    def __str__(self) -> str:
        if not self.blocks:
            return self.name
        return f"{self.name} of LBA {self.LBA}" + (f"-{self.LBA + self.blocks - 1}" if self.blocks > 1 else "")

    def anyhow(self) -> Effect:
        """Make the effect of a command that leaves nobody knows what in the same place."""
        action = Action.RELEASE if self.action is Action.RELEASE else Action.SCRAMBLE
        return self._replace(action=action, length=0, write_at=0, period=0, zeros=False)

    def anywhere(self) -> Effect:
        """Make the effect of a command that does the same nobody knows where."""
        return (
            self.anyhow()._replace(ranges=_EVERYTHING)
            if self.writes
            else self._replace(ranges=(), unplaced=Reason.SIZE)
        )

    @property
    def reads(self) -> bool:
        """Whether the command tells what the disk holds."""
        return self.action in _READING

    @property
    def writes(self) -> bool:
        """Whether the command may change what the disk holds."""
        return self.action in _WRITING


#: Commands whose data is that of their range
_PLAIN = {
    **dict.fromkeys(("READ(6)", "READ(10)", "READ(12)", "READ(16)", "READ(32)"), Action.READ),
    **dict.fromkeys(("WRITE(6)", "WRITE(10)", "WRITE(12)", "WRITE(16)", "WRITE(32)"), Action.WRITE),
    **dict.fromkeys((f"WRITE AND VERIFY({size})" for size in (10, 12, 16, 32)), Action.WRITE),
    **dict.fromkeys((f"WRITE {how}({size})" for how in ("ATOMIC", "STREAM") for size in (16, 32)), Action.WRITE),
}
_SAME = frozenset({"WRITE SAME(10)", "WRITE SAME(16)", "WRITE SAME(32)"})
_VERIFY = frozenset({"VERIFY(10)", "VERIFY(12)", "VERIFY(16)", "VERIFY(32)"})
#: They write what depends on what was there, or what has no hash here
_SCRAMBLING = frozenset(
    {
        *(f"{name}({size})" for name in ("XDWRITE", "XPWRITE", "XDWRITEREAD") for size in (10, 32)),
        "ORWRITE(16)",
        "ORWRITE(32)",
        "WRITE LONG(10)",
        "WRITE LONG(16)",
    }
)
#: They write where their parameters say, which the wire does not tell us, some of them after their own end
_ANYWHERE = frozenset(
    {
        "EXTENDED COPY(LID1)",
        "EXTENDED COPY(LID4)",
        "FINISH ZONE",
        "FORMAT UNIT",
        "REASSIGN BLOCKS",
        "RESET WRITE POINTER",
        "SANITIZE",
        "SECURITY PROTOCOL OUT",
        "WRITE SCATTERED(16)",
        "WRITE USING TOKEN",
    }
)
_ATA = frozenset({"ATA PASS-THROUGH(12)", "ATA PASS-THROUGH(16)"})

#: Where the flags of a command are: byte 1, or byte 10 of a variable length CDB (SBC)
_FLAGS, _LONG_FLAGS = 1, 10
_VARIABLE_LENGTH = 0x7F
_SIX = frozenset({0x08, 0x0A})
#: RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT (SBC)
_PROTECT = 0xE0
#: BYTCHK of VERIFY (SBC)
_BYTCHK_SHIFT, _BYTCHK_MASK, _BYTCHK_ALL, _BYTCHK_ONE = 1, 0x03, 0x01, 0x03
#: ANCHOR and UNMAP of WRITE SAME (SBC)
_UNMAP = 0x18
#: PBDATA and LBDATA of WRITE SAME, which put addresses into the data (SBC-2)
_ADDRESSES = 0x06
#: NDOB of WRITE SAME(16) and (32) (SBC)
_NDOB = 0x01
#: T_DIR and T_LENGTH in byte 2 of ATA PASS-THROUGH (SAT)
_T_DIR, _T_LENGTH = 0x08, 0x03
#: UNMAP parameter list: how many bytes of descriptors; LBA and number of blocks of each (SBC)
_UNMAP_HEADER = Struct(">2xH4x")
_UNMAP_DESCRIPTOR = Struct(">QI4x")


def effect_of(
    cdb: bytes, edtl: int, block_size: int | None = None, *, data: bytes = b"", sends: bool = False
) -> Effect | None:
    """Say what a command does to the disk; None if nothing.

    `edtl` is the ExpectedDataTransferLength of a read or a write, `sends` the W bit. Without a block size the one that
    EDTL and the number of blocks imply is taken, if disks have it. `data` is the parameter list of UNMAP as far as it
    is known. A CDB that is cut short does nothing.
    """
    try:
        command = decode_cdb(cdb)
    except ScsiError:
        return None
    name = command.name
    action = _PLAIN.get(name)
    if action is not None:
        if not command.blocks:
            return None
        return _data(action, command, cdb, edtl, block_size)
    if name == "COMPARE AND WRITE":
        return _data(Action.COMPARE_AND_WRITE, command, cdb, edtl, block_size, times=2) if command.blocks else None
    if name in _VERIFY:
        return _verify(command, cdb, edtl, block_size)
    if name in _SAME:
        return _same(command, cdb, edtl, block_size)
    if name == "UNMAP":
        return _unmap(command, edtl, block_size, data)
    if name in _SCRAMBLING:
        blocks = 1 if command.blocks is None else command.blocks
        return _doubt(Action.SCRAMBLE, command, edtl, block_size, blocks) if blocks else None
    if name in _ANYWHERE or _may_write(command, cdb, sends=sends):
        elsewhere = name.startswith("EXTENDED COPY")
        return Effect(action=Action.RELEASE, name=name, ranges=_EVERYTHING, EDTL=edtl, elsewhere=elsewhere)
    return None


def _flags(cdb: bytes) -> int:
    if cdb[0] in _SIX:
        return 0
    return cdb[_LONG_FLAGS if cdb[0] == _VARIABLE_LENGTH else _FLAGS]


def _may_write(command: Cdb, cdb: bytes, *, sends: bool) -> bool:
    if command.name in _ATA:
        return not cdb[2] & _T_DIR and bool(cdb[2] & _T_LENGTH)
    return sends and command.name.startswith("CDB-")


def _sectors(lba: int, blocks: int, block_size: int) -> tuple[Range, ...]:
    each = block_size // BLOCK
    return ((lba * each, (lba + blocks) * each),)


def _unplaced(cdb: bytes, blocks: int, block_size: int) -> Reason | None:
    """Say why the data of a command cannot be told by sectors, if so."""
    if not block_size or block_size % BLOCK:
        return Reason.SIZE
    if _flags(cdb) & _PROTECT:
        return Reason.PROTECTION
    return Reason.LARGE if blocks * block_size > LARGEST * BLOCK else None


def _data(action: Action, command: Cdb, cdb: bytes, edtl: int, block_size: int | None, *, times: int = 1) -> Effect:
    """Place a command whose data is that of its range, `times` over."""
    lba, blocks = command.LBA or 0, command.blocks or 0
    share, rest = divmod(edtl, blocks * times)
    implied = share if not rest and share in _LIKELY and not _flags(cdb) & _PROTECT else 0
    size = block_size or implied
    unplaced = _unplaced(cdb, blocks, size)
    if unplaced is not None and action in _WRITING:
        return _doubt(Action.SCRAMBLE, command, edtl, size, blocks)
    return Effect(
        action=action,
        name=command.name,
        LBA=lba,
        blocks=blocks,
        ranges=() if unplaced else _sectors(lba, blocks, size),
        length=edtl if unplaced else min(edtl, blocks * size * times),
        EDTL=edtl,
        block_size=size,
        implied=implied,
        write_at=blocks * size // BLOCK * (times - 1),
        unplaced=unplaced,
    )


def _verify(command: Cdb, cdb: bytes, edtl: int, block_size: int | None) -> Effect | None:
    check = _flags(cdb) >> _BYTCHK_SHIFT & _BYTCHK_MASK
    if not command.blocks:
        return None
    if check == _BYTCHK_ALL:
        return _data(Action.COMPARE, command, cdb, edtl, block_size)
    return _repeated(Action.COMPARE, command, cdb, edtl, block_size) if check == _BYTCHK_ONE else None


def _same(command: Cdb, cdb: bytes, edtl: int, block_size: int | None) -> Effect:
    flags, blocks = _flags(cdb), command.blocks or 0
    zeros = command.name != "WRITE SAME(10)" and bool(flags & _NDOB)
    if flags & _UNMAP:
        # Where it unmaps, what is read is zeros, the data, or nobody's promise, as LBPRZ says (SBC-3 4.7.3).
        return _doubt(Action.RELEASE, command, edtl, block_size, blocks)
    if not blocks or (flags & _ADDRESSES and not zeros):
        return _doubt(Action.SCRAMBLE, command, edtl, block_size, blocks)
    return _repeated(Action.SAME, command, cdb, edtl, block_size, zeros=zeros)


def _repeated(
    action: Action, command: Cdb, cdb: bytes, edtl: int, block_size: int | None, *, zeros: bool = False
) -> Effect:
    """Place a command whose data is one block, for each of its range."""
    lba, blocks = command.LBA or 0, command.blocks or 0
    size = block_size or 0
    unplaced = _unplaced(cdb, blocks, size)
    if unplaced is not None and action in _WRITING:
        return _doubt(Action.SCRAMBLE, command, edtl, size, blocks)
    return Effect(
        action=action,
        name=command.name,
        LBA=lba,
        blocks=blocks,
        ranges=() if unplaced else _sectors(lba, blocks, size),
        length=0 if zeros else min(edtl, size),
        EDTL=edtl,
        block_size=size,
        period=size // BLOCK,
        zeros=zeros,
        unplaced=unplaced,
    )


def _doubt(action: Action, command: Cdb, edtl: int, block_size: int | None, blocks: int) -> Effect:
    """Leave a range in doubt: no blocks are all from the address on, no block size is everything."""
    lba = command.LBA or 0
    if not block_size or block_size % BLOCK:
        ranges = _EVERYTHING
    elif not blocks:
        ranges = ((lba * (block_size // BLOCK), END),)
    else:
        ranges = _sectors(lba, blocks, block_size)
    return Effect(
        action=action,
        name=command.name,
        LBA=lba,
        blocks=blocks,
        ranges=ranges,
        EDTL=edtl,
        block_size=block_size or 0,
    )


def _unmap(command: Cdb, edtl: int, block_size: int | None, data: bytes) -> Effect | None:
    """Place UNMAP: the ranges of its parameter list, or everything while that is not known in full."""
    length = min(edtl, command.parameter_length or 0)
    if not length:
        return None
    ranges = _EVERYTHING
    if block_size and not block_size % BLOCK and len(data) >= min(length, _UNMAP_HEADER.size):
        given = _UNMAP_HEADER.unpack_from(data.ljust(_UNMAP_HEADER.size, b"\0"))[0]
        stop = min(_UNMAP_HEADER.size + given, length)
        if len(data) >= stop:
            each = block_size // BLOCK
            ranges = tuple(
                (lba * each, (lba + blocks) * each)
                for lba, blocks in (
                    _UNMAP_DESCRIPTOR.unpack_from(data, at)
                    for at in range(_UNMAP_HEADER.size, stop - _UNMAP_DESCRIPTOR.size + 1, _UNMAP_DESCRIPTOR.size)
                )
                if blocks
            )
    return Effect(
        action=Action.RELEASE,
        name=command.name,
        ranges=ranges,
        EDTL=edtl,
        block_size=block_size or 0,
    )
