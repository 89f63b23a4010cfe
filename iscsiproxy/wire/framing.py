"""Cut a byte stream into PDUs, and say what may be forwarded without a closer look.

One `Framer` reads one direction of one connection. The caller receives straight into its buffer (`space`, `received`),
or hands it bytes (`receive_data`), and pulls events until `NEED_DATA`:

- `Run`: bytes to be forwarded as they are. A run may hold many PDUs, or begin or end inside one.
- `Header`: the header of a PDU whose data was not asked for; its bytes come in the runs that follow.
- `Pdu`: a whole PDU that somebody wants to see; its bytes are in no run.
- `Unframeable`: the stream makes no sense from here on; what is left is in its `rest`, and all later bytes are runs.

The runs, PDUs and `rest`, one after another, are the stream, byte for byte; at its end `take_rest` gives what was held
back in the hope of more. A `Header` is news, not bytes: it may come before a run that holds earlier bytes too.

An *interest table* of 64 entries, one for each opcode, says how closely to look; it may be replaced between events, as
may the digest settings (RFC 7143 13.1: they change with the final Login Response). Such a change holds from the first
PDU on that no event has shown a byte of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from struct import Struct

from iscsiproxy.wire.digest import DIGEST_LENGTH
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.pdu import Pdu

__all__ = ["EVERYTHING", "NEED_DATA", "NOTHING", "Framer", "Header", "Interest", "NeedData", "Run", "Unframeable"]

#: Byte 0 and the word of TotalAHSLength and DataSegmentLength (RFC 7143 11.2.1)
_HEAD = Struct(">B3xI")
#: The part of that word that is DataSegmentLength (RFC 7143 11.2.1.6)
_LENGTH = 0xFFFFFF
#: A buffer begins this small, and grows to its full size with the first receive that fills it: most connections idle.
_FIRST_SIZE = 1 << 14
#: `space` gives at least this much, as long as the buffer is not made smaller than it.
_MIN_SPACE = 1 << 12
#: How often `space` is called with more buffer than needed before the surplus is given back.
_PATIENCE = 32


class Interest(IntEnum):
    """How closely to look at the PDUs of one opcode."""

    NONE = 0  #: part of a run
    HEADER = 1  #: a `Header` event, then part of a run
    WHOLE = 2  #: a `Pdu` event


_WHOLE = Interest.WHOLE
#: The table that asks for every PDU whole.
EVERYTHING: tuple[Interest, ...] = (Interest.WHOLE,) * 64
#: The table that asks for no PDU at all.
NOTHING: tuple[Interest, ...] = (Interest.NONE,) * 64


class NeedData(Enum):
    """Nothing can be said before more bytes come."""

    NEED_DATA = "need data"


NEED_DATA = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes to forward as they came. The view is valid until the next call of `space` or `receive_data`."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a PDU whose data follows in runs.

    `pdu` has no data, pad or digests. `size` is the length of the whole PDU in bytes. `oversize` tells that the PDU was
    wanted whole but is larger than the cap; then all bytes before it have been given out, and the runs that follow
    begin with it.
    """

    pdu: Pdu
    oversize: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Unframeable:
    """The stream cannot be cut into PDUs any more: `reason` says why, `rest` is what was not given out yet."""

    reason: str
    rest: bytes


class Framer:
    """The framing of one direction of one connection.

    `max_pdu` caps how many bytes of one PDU are ever collected; a larger one that was wanted whole becomes a `Header`
    with `oversize`. `max_login` caps the data segment of any PDU as long as `strict` is set (during login, where the
    default MaxRecvDataSegmentLength of 8192 holds for both ends, RFC 7143 6.3): a longer one is taken for garbage.
    Memory grows with the bytes that have come, not with the lengths a header announces.
    """

    def __init__(
        self,
        *,
        interest: Sequence[Interest] = EVERYTHING,
        max_pdu: int = 1 << 21,
        buffer_size: int = 1 << 18,
        max_login: int = 1 << 16,
    ) -> None:
        self.interest = interest
        self.header_digest = False
        self.data_digest = False
        self.strict = False
        self.max_pdu = max_pdu
        self.max_login = max_login
        #: The BHS of the last PDU that was walked, looked at or not; empty before the first
        self.latest = b""
        self._size = buffer_size
        self._least = min(_MIN_SPACE, buffer_size)
        self._usual = min(_FIRST_SIZE, buffer_size)  # the buffer's length when no PDU needs more
        self._surplus = 0  # how often `space` found the buffer longer than needed
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._start = 0  # first byte not given out
        self._pos = 0  # first byte not walked; a PDU begins here, or behind _skip
        self._end = 0  # first byte not received
        self._skip = 0  # bytes from _pos on that belong to a PDU already looked at, to be given out in runs
        self._want = 0  # bytes from _start on that the PDU there has in all; 0: none is waited for
        self._broken = False

    def __repr__(self) -> str:
        digests = f"{'H' if self.header_digest else '-'}{'D' if self.data_digest else '-'}"
        state = "broken" if self._broken else f"{self._end - self._start} bytes held, {self._skip} to skip"
        return f"<Framer digests={digests} {state}>"

    @property
    def pending(self) -> int:
        """How many received bytes were not given out yet."""
        return self._end - self._start

    @property
    def inside_pdu(self) -> bool:
        """Tell whether what was received ends inside a PDU; to be asked after `NEED_DATA`."""
        return self._skip > 0 or self._end > self._start

    @property
    def mid_pdu(self) -> bool:
        """Tell whether the run just given out ends inside a PDU, so that nothing may be put behind it yet."""
        return self._skip > 0 or self._broken

    def space(self) -> memoryview:
        """Give room to receive into, never empty; call `received` with the count of bytes that were put there."""
        held = self._end - self._start
        size = len(self._buffer)
        if not held:
            self._start = self._pos = self._end = 0
            if size != self._usual:
                self._resize(0)
        else:
            room = size - self._end
            start = self._start
            # Moving what is held costs time for each of its bytes: only for a real gain in room.
            if room < self._least or (start and (start + self._want > size or (room < size >> 1 and held <= start))):
                self._resize(held)
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """Take note that `count` bytes were put into `space`."""
        self._end += count
        if self._end >= len(self._buffer) and self._usual < self._size:
            self._usual = self._size

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that came some other way."""
        left = memoryview(data)
        while left:
            room = self.space()
            count = min(len(room), len(left))
            room[:count] = left[:count]
            self.received(count)
            left = left[count:]

    def take_rest(self) -> bytes:
        """Take what is held back: the beginning of a PDU that will never be complete, when the stream has ended."""
        rest = bytes(self._view[self._start : self._end])
        self._start = self._pos = self._end
        self._skip = self._want = 0
        return rest

    def next_event(self) -> Run | Header | Pdu | Unframeable | NeedData:
        """Give the next event, in the order of the stream."""
        buffer, end = self._buffer, self._end
        pos = self._pos
        self._want = 0
        if self._broken:
            self._pos = end
            return self._run(end)
        if self._skip:
            if self._skip > end - pos:
                self._skip -= end - pos
                self._pos = end
                return self._run(end)
            pos += self._skip
            self._skip = 0
        interest = self.interest
        strict = self.strict
        bare = BHS_LENGTH + DIGEST_LENGTH if self.header_digest else BHS_LENGTH
        padded = bare + (DIGEST_LENGTH + 3 if self.data_digest else 3)
        unpack = _HEAD.unpack_from
        longest = _LENGTH
        last = end - BHS_LENGTH
        latest = -1
        # The hot path: a PDU nobody looks at costs one turn of this loop, nothing else.
        while pos <= last:
            first, lengths = unpack(buffer, pos)
            if not lengths:
                size = bare
            elif lengths <= longest:
                size = padded + lengths & ~3
            else:
                size = bare + (lengths >> 24) * 4
                if lengths & _LENGTH:
                    size += (padded - bare + (lengths & _LENGTH)) & ~3
            level = interest[first & 0x3F]
            if level or strict:
                if strict and lengths & _LENGTH > self.max_login:
                    return self._break(pos, f"a data segment of {lengths & _LENGTH} bytes during login")
                if level == _WHOLE:
                    if pos > self._start:
                        self._passed(latest)
                        self._pos = pos
                        return self._run(pos)
                    if size <= self.max_pdu:
                        if size <= end - pos:
                            return self._whole(pos, size, lengths)
                        self._want = size
                        break
                if level:
                    header = self._header(pos, size, oversize=level == _WHOLE)
                    if header is None:
                        break
                    self.latest = header.pdu.bhs
                    self._pos = pos
                    self._skip = size
                    return header
            latest = pos
            pos += size
        self._passed(latest)
        self._pos = pos
        if pos > end:
            self._pos = end
            self._skip = pos - end
        # A header that is not complete yet stays: only what was walked may go.
        return self._run(self._pos)

    def _passed(self, latest: int) -> None:
        """Remember the PDU at `latest`, behind which none was walked; -1: none was."""
        if latest >= 0:
            self.latest = bytes(self._view[latest : latest + BHS_LENGTH])

    def _run(self, upto: int) -> Run | NeedData:
        start = self._start
        if upto == start:
            return NEED_DATA
        self._start = upto
        return Run(self._view[start:upto])

    def _break(self, pos: int, reason: str) -> Run | Unframeable | NeedData:
        if pos > self._start:
            self._pos = pos
            return self._run(pos)
        self._broken = True
        self.latest = b""
        return Unframeable(reason, self.take_rest())

    def _header(self, pos: int, size: int, *, oversize: bool) -> Header | None:
        at = pos + BHS_LENGTH
        end = at + self._buffer[pos + 4] * 4
        if end > self._end:
            return None
        view = self._view
        return Header(Pdu(bytes(view[pos:at]), bytes(view[at:end])), oversize, size)

    def _whole(self, pos: int, size: int, lengths: int) -> Pdu:
        view = self._view
        at = pos + BHS_LENGTH
        bhs = bytes(view[pos:at])
        ahs = header_digest = data = pad = data_digest = b""
        if lengths > _LENGTH:
            ahs = bytes(view[at : at + (lengths >> 24) * 4])
            at += len(ahs)
        if self.header_digest:
            header_digest = bytes(view[at : at + DIGEST_LENGTH])
            at += DIGEST_LENGTH
        if length := lengths & _LENGTH:
            data = bytes(view[at : at + length])
            at += length
            if length & 3:
                pad = bytes(view[at : at + (-length & 3)])
                at += len(pad)
            if self.data_digest:
                data_digest = bytes(view[at : at + DIGEST_LENGTH])
        self._start = self._pos = pos + size
        self.latest = bhs
        return Pdu(bhs, ahs, header_digest, data, pad, data_digest)

    def _resize(self, held: int) -> None:
        """Move the `held` bytes to the front of a buffer of the length that is right now."""
        size = len(self._buffer)
        # A PDU larger than the usual buffer gets room as its bytes come, twice what is there: a header costs nothing.
        need = max(self._usual, min(self._want or 2 * held, 2 * held), held + self._least)
        if need < size:
            self._surplus += 1
            if self._surplus < _PATIENCE:
                need = size
        else:
            self._surplus = 0
        if need != size:
            self._surplus = 0
            old, self._buffer = self._view, bytearray(need)
            self._view = memoryview(self._buffer)
            self._view[:held] = old[self._start : self._end]
        elif self._start:
            self._view[:held] = self._view[self._start : self._end]
        self._pos -= self._start
        self._start, self._end = 0, held
