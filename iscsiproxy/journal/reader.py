"""Read a journal back: the same events, with PDUs as far as the journal keeps them (see `Record`)."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, get_args

import msgspec
from msgspec import structs
from msgspec.json import Decoder

from iscsiproxy.errors import JournalError
from iscsiproxy.journal.lines import (
    LINES,
    VERSION,
    DeliveredLine,
    EndLine,
    EventLine,
    HeaderLine,
    Line,
    LostLine,
    PduLine,
    PingedLine,
    ReceivedLine,
    ViolatedLine,
)
from iscsiproxy.journal.payload import HASH_LENGTH, Payload
from iscsiproxy.journal.records import Ended, Header, Lost, Record, Unknown
from iscsiproxy.journal.writer import REMEMBERED
from iscsiproxy.session import events
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu, padding

__all__ = ["Reader", "read"]

_decode_header = Decoder(HeaderLine).decode
_decode = Decoder(Line).decode
_decode_any = Decoder(dict[str, Any]).decode
_EVENTS = {line: event for event, line in LINES.items()}
_KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Line))
_PLACED = frozenset({Opcode.DATA_OUT, Opcode.DATA_IN})


def read(source: str | os.PathLike[str] | IO[bytes]) -> Reader:
    """Open a journal; iterate over the result for its records.

    Raises JournalError if it is not a journal or of another version, OSError if it cannot be opened.
    """
    return Reader(source)


class Reader(AbstractContextManager["Reader"]):
    """An iterator of records, in the order of the file.

    A last line that was cut by a kill is left out, which `truncated` then tells; anything else wrong raises
    JournalError with the number of the line. A file that was opened here is closed at its end, at an error and by
    `close`.
    """

    def __init__(self, source: str | os.PathLike[str] | IO[bytes]) -> None:
        self._owned = isinstance(source, str | os.PathLike)
        if isinstance(source, str | os.PathLike):
            self.name = os.fspath(source)
            self._file: IO[bytes] = Path(source).open("rb")  # noqa: SIM115 - closed by close
        else:
            self.name = str(getattr(source, "name", "journal"))
            self._file = source
        #: The number of the last line read
        self.line = 0
        #: The last line was not complete
        self.truncated = False
        #: The journal says of itself that it was closed properly
        self.complete = False
        #: How many events are missing, as far as the lines read tell
        self.lost = 0
        self._received: list[tuple[int, Record] | None] = [None] * REMEMBERED
        try:
            self.header = self._header()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "complete" if self.complete else "truncated" if self.truncated else "reading"
        return f"<Reader {self.name} line {self.line} {state}, {self.lost} events lost>"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        raw = b"" if self._file.closed else self._file.readline()
        if not raw:
            self.close()
            raise StopIteration
        self.line += 1
        try:
            record = self._record(raw)
        except BaseException:
            self.close()
            raise
        if record is None:
            self.truncated = True
            self.close()
            raise StopIteration
        return record

    def close(self) -> None:
        """Close the file, if it was opened here. Idempotent."""
        if self._owned:
            self._file.close()

    def _wrong(self, what: object) -> JournalError:
        return JournalError(f"{self.name}: line {self.line}: {what}")

    def _header(self) -> Header:
        self.line = 1
        raw = self._file.readline()
        if not raw:
            raise self._wrong("expected the first line of a journal, got an empty file")
        try:
            version = _decode_any(raw).get("journal")
        except (msgspec.DecodeError, UnicodeDecodeError):
            version = None
        if version is None:
            raise self._wrong('expected the first line of a journal, {"journal": …}')
        if version != VERSION:
            raise self._wrong(f"expected a journal of version {VERSION}, got version {version!r}")
        try:
            line = _decode_header(raw)
        except msgspec.DecodeError as error:
            raise self._wrong(error) from error
        return Header(
            version=line.journal,
            program=line.program,
            started=line.started,
            hash=line.hash,
            block=line.block,
            seed=line.seed,
            maps=line.maps,
            scenarios=line.scenarios,
            facts=line.facts,
        )

    def _record(self, raw: bytes) -> Record | None:
        """Give the record of a line, None if the line is cut."""
        if self.complete:
            raise self._wrong("expected nothing after the line that ends the journal")
        try:
            line = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._unknown(raw, error)
        try:
            if isinstance(line, ReceivedLine):
                return self._came(line)
            if isinstance(line, DeliveredLine):
                return self._went(line)
            if isinstance(line, LostLine):
                self.lost += line.count
                return Record(Lost(count=line.count), line=self.line)
            if isinstance(line, EndLine):
                self.complete = True
                self.lost = max(self.lost, line.lost)
                return Record(Ended(events=line.events, lost=line.lost), line=self.line)
            return Record(_event(line), line=self.line)
        except ValueError as error:
            raise self._wrong(error) from error

    def _unknown(self, raw: bytes, error: Exception) -> Record | None:
        """Make what can be made of a line that is none of the known ones."""
        try:
            values = _decode_any(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if not raw.endswith(b"\n"):
                return None
            raise self._wrong(error) from error
        kind = values.get("e")
        if not isinstance(kind, str) or kind in _KINDS:
            raise self._wrong(error) from error
        return Record(Unknown(kind=kind, values=values), line=self.line)

    def _came(self, line: ReceivedLine) -> Record:
        event = events.Received(
            n=line.n,
            at=line.t,
            conn=line.conn,
            leg=End(line.leg),
            pdu=_pdu(line),
            header_digest_ok=line.header_digest_ok,
            data_digest_ok=line.data_digest_ok,
            partial=line.partial,
        )
        record = self._with_data(line, event)
        self._received[line.n % REMEMBERED] = (line.n, record)
        return record

    def _went(self, line: DeliveredLine) -> Record:
        found = None if line.of is None else self._received[line.of % REMEMBERED]
        source = found[1] if found is not None and found[0] == line.of else None
        if line.same and source is None:
            raise self._wrong(f"expected a PDU received as {line.of}, which is not there")
        pdu = source.pdu if line.same and source is not None else None
        event = events.Delivered(
            n=line.n,
            at=line.t,
            conn=line.conn,
            leg=End(line.leg),
            pdu=_pdu(line) if pdu is None else pdu,
            of=line.of,
            changes=_changes(line.changes),
            rules=line.rules,
            start=line.start,
            sent=line.sent,
            author=line.author,
        )
        if not line.same or source is None:
            return self._with_data(line, event)
        return Record(
            event,
            line=self.line,
            data_length=source.data_length,
            payload=source._payload,
            digests=(source.header_digest_ok, source.data_digest_ok),
            same=True,
            withheld=source.withheld,
        )

    def _with_data(self, line: PduLine, event: events.Received | events.Delivered) -> Record:
        pdu = event.pdu
        length = pdu["DataSegmentLength"] if line.length is None else line.length
        payload = None
        if line.blocks:
            offset = pdu["BufferOffset"] if pdu.opcode in _PLACED else 0
            hashes = bytes.fromhex(line.blocks)
            payload = Payload(offset, length, hashes)
            if len(hashes) != HASH_LENGTH * payload.pieces:
                raise ValueError(f"expected {payload.pieces} hashes of blocks, got {len(hashes) / HASH_LENGTH:g}")
        return Record(
            event,
            line=self.line,
            data_length=length,
            payload=payload,
            digests=(line.header_digest_ok, line.data_digest_ok),
            withheld=line.withheld,
        )


def _pdu(line: PduLine) -> Pdu:
    """Give the PDU of a line, its data as far as it is kept. Raises ValueError if it makes no sense."""
    bhs = bytes.fromhex(line.bhs)
    if len(bhs) != BHS_LENGTH:
        raise ValueError(f"expected a header of {BHS_LENGTH} bytes, got {len(bhs)}")
    if line.text is None:
        data = bytes.fromhex(line.data)
    else:
        data = b"".join(pair.encode() + b"\0" for pair in line.text) + line.tail.encode()
    length = Pdu(bhs)["DataSegmentLength"] if line.length is None else line.length
    if data and len(data) != length:
        raise ValueError(f"expected {length} bytes of data, got {len(data)}")
    pad = bytes(padding(length)) if line.pad is None else bytes.fromhex(line.pad)
    return Pdu(
        bhs, bytes.fromhex(line.ahs), bytes.fromhex(line.header_digest), data, pad, bytes.fromhex(line.data_digest)
    )


def _event(line: EventLine) -> events.Event:
    """Give the event of a line without a PDU."""
    values = structs.asdict(line)
    values["at"] = values.pop("t")
    if "leg" in values:
        values["leg"] = End(values["leg"])
    if "changes" in values:
        values["changes"] = _changes(values["changes"])
    if isinstance(line, ViolatedLine):
        values["by"] = End(line.by)
    elif isinstance(line, PingedLine):
        values["end"] = End(line.end)
    return _EVENTS[type(line)](**values)


def _changes(changes: tuple[tuple[str, str, str], ...]) -> tuple[events.Change, ...]:
    return tuple(events.Change(what=what, old=old, new=new) for what, old, new in changes)
