"""Where the logical blocks are: in memory or in a file, thinly provisioned either way.

A block that was never written, or was discarded since, is unmapped and reads as zeros (LBPRZ, SBC-3 4.7.4.4). Which
ones are mapped is kept by the medium itself, as runs, so that it is exact whatever the storage below can tell.

What `read` gives is a snapshot: the transport sends it long after later commands have written.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path

from iscsiproxy.peers.scsi.command import CheckCondition

__all__ = ["BLOCK_SIZES", "CHUNK", "FileMedium", "Medium", "MemoryMedium", "Runs"]

#: Bytes of a logical block that a medium can have
BLOCK_SIZES = (512, 4096)
#: Bytes that the memory of a `MemoryMedium` grows by; a multiple of every block size
CHUNK = 256 * 1024
#: Bytes that a `FileMedium` fills at a time
_STEP = 1024 * 1024
#: MEDIUM ERROR, write error and unrecovered read error (SPC-4 annex F)
_WRITE_ERROR = (0x3, 0x0C, 0x00)
_READ_ERROR = (0x3, 0x11, 0x00)
#: LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT has four bits (SBC-3 5.16.2)
_MOST_EXPONENT = 15


class Runs:
    """A set of whole numbers, kept as runs: add and remove ranges, and ask how long it goes on."""

    __slots__ = ("_edges",)

    def __init__(self) -> None:
        #: Where it begins and ends, in turn: the numbers from edges[0] up to edges[1] are in the set, and so on
        self._edges: list[int] = []

    def __repr__(self) -> str:
        edges = self._edges
        return f"<Runs {' '.join(f'{a}..{b}' for a, b in zip(edges[::2], edges[1::2], strict=True)) or 'empty'}>"

    def add(self, start: int, stop: int) -> None:
        """Put the numbers from `start` up to, not including, `stop` into the set."""
        self._change(start, stop, inside=0)

    def remove(self, start: int, stop: int) -> None:
        """Take the numbers from `start` up to, not including, `stop` out of the set."""
        self._change(start, stop, inside=1)

    def _change(self, start: int, stop: int, *, inside: int) -> None:
        if start >= stop:
            return
        edges = self._edges
        first, last = bisect_left(edges, start), bisect_right(edges, stop)
        edges[first:last] = [edge for edge, index in ((start, first), (stop, last)) if index % 2 == inside]

    def at(self, number: int, end: int) -> tuple[bool, int]:
        """Tell whether `number` is in the set, and for how many numbers below `end` that stays so."""
        index = bisect_right(self._edges, number)
        stop = self._edges[index] if index < len(self._edges) else end
        return index % 2 == 1, min(stop, end) - number

    def within(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Give the runs between `start` and `stop`, cut to them."""
        while start < stop:
            there, length = self.at(start, stop)
            if there:
                yield start, start + length
            start += length


class Medium(ABC):
    """Logical blocks, from 0 to `blocks` - 1, of `block_size` bytes; the caller keeps inside.

    2 to the power of `physical_exponent` logical blocks are a physical block (SBC-3 5.16.2), as far as is reported.
    Reading and writing raise CheckCondition with MEDIUM ERROR where the storage below fails.
    """

    def __init__(self, blocks: int, block_size: int = 512, *, physical_exponent: int = 0) -> None:
        if block_size not in BLOCK_SIZES:
            raise ValueError(f"block size: expected one of {BLOCK_SIZES}, got {block_size}")
        if blocks < 1:
            raise ValueError(f"size of the medium: expected at least one block of {block_size} bytes, got {blocks}")
        if not 0 <= physical_exponent <= _MOST_EXPONENT:
            raise ValueError(f"physical exponent: expected 0 to {_MOST_EXPONENT}, got {physical_exponent}")
        self.blocks = blocks
        self.block_size = block_size
        self.physical_exponent = physical_exponent
        self._runs = Runs()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written at all."""
        return False

    def mapped(self, lba: int) -> tuple[bool, int]:
        """Tell whether the block is mapped, and how many blocks from it on are in the same state."""
        return self._runs.at(lba, self.blocks)

    @abstractmethod
    def read(self, lba: int, count: int) -> bytes | memoryview:
        """Give the content of `count` blocks as it is now."""

    @abstractmethod
    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:
        """Write whole blocks."""

    @abstractmethod
    def fill(self, lba: int, count: int, block: bytes) -> None:
        """Write the same block `count` times."""

    @abstractmethod
    def discard(self, lba: int, count: int) -> None:
        """Unmap the blocks: they read as zeros from now on."""

    def flush(self) -> None:
        """Bring everything written to where it lasts."""
        return

    def close(self) -> None:
        """Flush and let go of the storage."""
        return


class MemoryMedium(Medium):
    """Blocks in memory, of which only what was written takes room."""

    def __init__(self, blocks: int, block_size: int = 512, *, physical_exponent: int = 0) -> None:
        super().__init__(blocks, block_size, physical_exponent=physical_exponent)
        #: By number; no chunk reads as zeros, and `bytes` is shared by chunks that were filled and copied when written
        self._chunks: dict[int, bytearray | bytes] = {}

    def __repr__(self) -> str:
        return f"<MemoryMedium {self.blocks} x {self.block_size} bytes, {len(self._chunks)} chunks in use>"

    def read(self, lba: int, count: int) -> bytes:  # noqa: D102 -- Medium says it
        pieces = []
        for number, start, stop in self._split(lba * self.block_size, count * self.block_size):
            chunk = self._chunks.get(number)
            pieces.append(bytes(stop - start) if chunk is None else memoryview(chunk)[start:stop])
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:  # noqa: D102 -- Medium says it
        view = memoryview(data)
        done = 0
        for number, start, stop in self._split(lba * self.block_size, len(view)):
            piece = view[done : done + stop - start]
            done += stop - start
            if stop - start == CHUNK:
                self._chunks[number] = bytearray(piece)
            else:
                self._own(number)[start:stop] = piece
        self._runs.add(lba, lba + len(view) // self.block_size)

    def fill(self, lba: int, count: int, block: bytes) -> None:  # noqa: D102 -- Medium says it
        whole: bytes | None = None
        for number, start, stop in self._split(lba * self.block_size, count * self.block_size):
            if stop - start == CHUNK:
                whole = whole or block * (CHUNK // self.block_size)
                self._chunks[number] = whole
            else:
                self._own(number)[start:stop] = block * ((stop - start) // self.block_size)
        self._runs.add(lba, lba + count)

    def discard(self, lba: int, count: int) -> None:  # noqa: D102 -- Medium says it
        self._runs.remove(lba, lba + count)
        each = CHUNK // self.block_size
        for number, start, stop in self._kept(lba * self.block_size, count * self.block_size):
            there, length = self._runs.at(number * each, (number + 1) * each)
            if not there and length == each:
                del self._chunks[number]
            else:
                self._own(number)[start:stop] = bytes(stop - start)

    def _own(self, number: int) -> bytearray:
        chunk = self._chunks.get(number)
        if not isinstance(chunk, bytearray):
            chunk = self._chunks[number] = bytearray(CHUNK) if chunk is None else bytearray(chunk)
        return chunk

    def _kept(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Split a range like `_split`, but give only chunks that are there; cheap however long the range is."""
        first, last = offset // CHUNK, (offset + length - 1) // CHUNK
        if last - first < len(self._chunks):
            numbers = [number for number in range(first, last + 1) if number in self._chunks]
        else:
            numbers = [number for number in self._chunks if first <= number <= last]
        for number in numbers:
            base = number * CHUNK
            yield number, max(offset - base, 0), min(offset + length - base, CHUNK)

    @staticmethod
    def _split(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Give the chunks of a range of bytes: number, and where in the chunk the range starts and stops."""
        end = offset + length
        while offset < end:
            number, start = divmod(offset, CHUNK)
            stop = min(CHUNK, start + end - offset)
            yield number, start, stop
            offset += stop - start


class FileMedium(Medium):
    """Blocks in a file or block device.

    With `size` (bytes) the file is made if it is missing, lengthened, sparsely, if it is shorter, and used only so far
    if it is longer. Without, it is taken as it is, less what is no whole block. What the file system knows as holes
    begins as unmapped. A discarded block is overwritten with zeros: the file keeps the room, and does not remember it
    as unmapped.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int | None = None,
        *,
        block_size: int = 512,
        physical_exponent: int = 0,
        read_only: bool = False,
    ) -> None:
        """Open the file. Raises OSError if it cannot be opened, ValueError if there is no block in it."""
        self._path = Path(path)
        self._read_only = read_only
        create = size is not None and not read_only
        self._file = os.open(
            path, (os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT * create) | os.O_CLOEXEC, 0o666
        )
        try:
            length = os.lseek(self._file, 0, os.SEEK_END)
            if size is not None:
                if create and length < size:
                    os.ftruncate(self._file, size)
                    length = size
                length = min(length, size)
            super().__init__(length // block_size, block_size, physical_exponent=physical_exponent)
            self._find_data(length)
        except BaseException:
            os.close(self._file)
            raise

    def __repr__(self) -> str:
        return f"<FileMedium {self._path} {self.blocks} x {self.block_size} bytes{' read-only' * self._read_only}>"

    @property
    def read_only(self) -> bool:
        """Whether the file was opened for reading only."""
        return self._read_only

    def read(self, lba: int, count: int) -> bytes:  # noqa: D102 -- Medium says it
        offset, end = lba * self.block_size, (lba + count) * self.block_size
        pieces = []
        try:
            while offset < end and (piece := os.pread(self._file, end - offset, offset)):
                pieces.append(piece)
                offset += len(piece)
        except OSError as error:
            raise CheckCondition(*_READ_ERROR, information=offset // self.block_size) from error
        if offset < end:
            # Somebody has cut the file while it was in use.
            raise CheckCondition(*_READ_ERROR, information=offset // self.block_size)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:  # noqa: D102 -- Medium says it
        self._put(lba, memoryview(data))
        self._runs.add(lba, lba + len(data) // self.block_size)

    def fill(self, lba: int, count: int, block: bytes) -> None:  # noqa: D102 -- Medium says it
        self._repeat(lba, lba + count, block)
        self._runs.add(lba, lba + count)

    def discard(self, lba: int, count: int) -> None:  # noqa: D102 -- Medium says it
        for start, stop in self._runs.within(lba, lba + count):
            self._repeat(start, stop, bytes(self.block_size))
        self._runs.remove(lba, lba + count)

    def flush(self) -> None:
        """Have the operating system write what it still holds."""
        if self._read_only:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise CheckCondition(*_WRITE_ERROR) from error

    def close(self) -> None:
        """Flush and close the file; doing it again is nothing.

        Raises OSError if not everything could be brought to the disk: no initiator is left to be told.
        """
        if self._file < 0:
            return
        try:
            if not self._read_only:
                os.fsync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def _repeat(self, start: int, stop: int, block: bytes) -> None:
        step = _STEP // self.block_size
        many = memoryview(block * min(step, stop - start))
        for lba in range(start, stop, step):
            self._put(lba, many[: min(step, stop - lba) * self.block_size])

    def _put(self, lba: int, view: memoryview) -> None:
        offset = lba * self.block_size
        try:
            while view:
                written = os.pwrite(self._file, view, offset)
                view = view[written:]
                offset += written
        except OSError as error:
            raise CheckCondition(*_WRITE_ERROR, information=offset // self.block_size) from error

    def _find_data(self, length: int) -> None:
        """Take everything as mapped that is no hole; a file that cannot tell has none."""
        offset = 0
        try:
            while offset < length:
                start = os.lseek(self._file, offset, os.SEEK_DATA)
                offset = os.lseek(self._file, start, os.SEEK_HOLE)
                self._runs.add(start // self.block_size, min(-(-offset // self.block_size), self.blocks))
        except OSError as error:
            # Nothing but a hole up to the end.
            if error.errno != errno.ENXIO:
                self._runs.add(0, self.blocks)
