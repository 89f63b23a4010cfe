"""Write events as a journal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from msgspec import structs
from msgspec.json import Encoder

from iscsiproxy import __version__
from iscsiproxy.journal.background import BackgroundFile, Target
from iscsiproxy.journal.lines import (
    LINES,
    VERSION,
    DeliveredLine,
    EndLine,
    EventLine,
    HeaderLine,
    LostLine,
    ReceivedLine,
)
from iscsiproxy.journal.payload import BLOCK, HASH, TEXT, keeps_data, payload_of
from iscsiproxy.journal.secrets import HIDDEN, Veil
from iscsiproxy.session.events import Change, Closed, Delivered, Event, Fired, FullFeature, Received
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu, padding
from iscsiproxy.wire.secrecy import SECRET_KEYS

__all__ = ["REMEMBERED", "Journal"]

#: For how many events a PDU received can be referred to by one delivered (a power of two)
REMEMBERED = 1 << 13

#: Members made of words, which may quote what a PDU said
_WORDS = frozenset({"label", "reason", "text"})
_MEMBERS = {kind: tuple(field.name for field in fields(kind)) for kind in LINES}
_encode = Encoder().encode


class Journal:
    """A sink of events; `journal(event)` is the same as `journal.record(event)`.

    To be called from one thread; never blocks. `started` is the wall clock (seconds since 1970) at which events were
    `at` 0, now by default. `limit` bounds the bytes that wait for the disk; what comes beyond it is counted in `lost`.
    The owner calls `close`.
    """

    def __init__(
        self,
        target: Target,
        *,
        started: float | None = None,
        seed: int | None = None,
        maps: Iterable[str] = (),
        scenarios: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
        limit: int = 1 << 26,
        linger: float = 0.02,
    ) -> None:
        self._veil = Veil()
        self._received: list[tuple[int, bytes, int] | None] = [None] * REMEMBERED
        self._events = 0
        self._file = BackgroundFile(target, missing=_missing, limit=limit, linger=linger, name="journal")
        header = HeaderLine(
            journal=VERSION,
            program=f"iscsiproxy {__version__}",
            started=datetime.fromtimestamp(time.time() if started is None else started, UTC).isoformat(),
            hash=HASH,
            block=BLOCK,
            seed=seed,
            maps=tuple(maps),
            scenarios=tuple(scenarios),
            facts=dict(facts or {}),
        )
        line = _encode(header) + b"\n"
        self._file.put((line,), len(line))

    def __repr__(self) -> str:
        return f"<Journal {self._events} events, {self._file!r}>"

    def __call__(self, event: Event) -> None:
        """Record an event."""
        self.record(event)

    @property
    def events(self) -> int:
        """How many events were recorded."""
        return self._events

    @property
    def lost(self) -> int:
        """How many events could not be recorded."""
        return self._file.lost

    @property
    def failure(self) -> OSError | None:
        """What the disk says, while it takes nothing."""
        return self._file.failure

    def record(self, event: Event) -> bool:
        """Record an event; False if it was lost."""
        line = self._line(event)
        if not self._file.put((line,), len(line)):
            if type(event) is Received:
                self._received[event.n % REMEMBERED] = None
            return False
        self._events += 1
        return True

    def _line(self, event: Event) -> bytes:
        if isinstance(event, Received):
            line: EventLine = self._came(event)
        elif isinstance(event, Delivered):
            line = self._went(event)
        else:
            line = self._plain(event)
        try:
            return _encode(line) + b"\n"
        except UnicodeEncodeError:
            return _encode(structs.replace(line, **_printable_members(line))) + b"\n"

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the disk has all; blocks the calling thread, for at most `timeout` seconds."""
        return self._file.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits and the last line; blocks for about `timeout` seconds at most. True if nothing was lost."""
        return self._file.close(final=self._end, timeout=timeout)

    def _end(self, lost: int) -> bytes:
        return _encode(EndLine(events=self._events, lost=lost)) + b"\n"

    def _came(self, event: Received) -> ReceivedLine:
        pdu = event.pdu
        line = ReceivedLine(
            n=event.n,
            t=round(event.at, 6),
            conn=event.conn,
            leg=event.leg.value,
            pdu=pdu.label,
            partial=event.partial,
            header_digest_ok=event.header_digest_ok,
            data_digest_ok=event.data_digest_ok,
        )
        self._fill(line, pdu, event, None)
        self._received[event.n % REMEMBERED] = (event.n, pdu.bhs, len(pdu.data))
        return line

    def _went(self, event: Delivered) -> DeliveredLine:
        pdu, of = event.pdu, event.of
        whole = event.sent < 0 or event.sent == len(pdu)
        line = DeliveredLine(
            n=event.n,
            t=round(event.at, 6),
            conn=event.conn,
            leg=event.leg.value,
            pdu=pdu.label,
            of=of,
            start=event.start,
            sent=-1 if whole else event.sent,
            author=event.author,
        )
        source = None if of is None or event.changes or event.rules else self._received[of % REMEMBERED]
        if source == (of, pdu.bhs, len(pdu.data)):
            line.same = True
            if pdu.opcode in TEXT:
                self._veiled(pdu, event, of)
            return line
        self._fill(line, pdu, event, of)
        line.header_digest_ok = pdu.header_digest_ok()
        line.data_digest_ok = pdu.data_digest_ok()
        line.changes = self._changes(event.changes, of, event.n)
        line.rules = event.rules
        return line

    def _veiled(self, pdu: Pdu, event: Received | Delivered, of: int | None) -> bytes | None:
        return self._veil.data(
            pdu.data, pdu.opcode, conn=event.conn, leg=event.leg, came=type(event) is Received, n=event.n, of=of
        )

    def _fill(self, line: ReceivedLine | DeliveredLine, pdu: Pdu, event: Received | Delivered, of: int | None) -> None:
        """Put the parts of a PDU into its line."""
        line.bhs = pdu.bhs.hex()
        if pdu.ahs:
            line.ahs = pdu.ahs.hex()
        if pdu.header_digest:
            line.header_digest = pdu.header_digest.hex()
        data, length = pdu.data, len(pdu.data)
        if length != pdu["DataSegmentLength"]:
            line.length = length
        if pdu.pad != bytes(padding(length)):
            line.pad = pdu.pad.hex()
        shown = self._veiled(pdu, event, of) if data else data
        if pdu.data_digest and shown is data:
            line.data_digest = pdu.data_digest.hex()
        if shown is None:
            line.withheld = True
        elif not keeps_data(pdu.opcode, length):
            payload = payload_of(pdu)
            line.blocks = "" if payload is None else payload.hashes.hex()
        elif pdu.opcode in TEXT and shown and _fill_text(line, shown):
            pass
        else:
            line.data = shown.hex()

    def _plain(self, event: Event) -> EventLine:
        """Make the line of an event without a PDU: its members by their names."""
        if isinstance(event, FullFeature):
            self._veil.full_feature(event.conn)
        elif isinstance(event, Closed):
            self._veil.closed(event.conn, event.leg)
        values = {name: getattr(event, name) for name in _MEMBERS[type(event)]}
        values["t"] = round(values.pop("at"), 6)
        of = values.get("of")
        for name, value in values.items():
            if isinstance(value, End):
                values[name] = value.value
            elif name in _WORDS:
                values[name] = self._veil.text(value, of)
        if isinstance(event, Fired):
            values["changes"] = self._changes(event.changes, of, None)
        elif isinstance(event, FullFeature):
            values["keys"] = tuple((key, HIDDEN if key in SECRET_KEYS else value) for key, value in event.keys)
        return LINES[type(event)](**values)

    def _changes(self, changes: tuple[Change, ...], of: int | None, n: int | None) -> tuple[tuple[str, str, str], ...]:
        if not changes:
            return ()
        return tuple((change.what, change.old, change.new) for change in self._veil.changes(changes, of, n))


def _missing(count: int) -> bytes:
    return _encode(LostLine(count=count)) + b"\n"


def _fill_text(line: ReceivedLine | DeliveredLine, data: bytes) -> bool:
    """Put text data into its line as text; False if it is not UTF-8."""
    try:
        *pairs, tail = data.decode().split("\0")
    except UnicodeDecodeError:
        return False
    line.text = tuple(pairs)
    line.tail = tail
    return True


def _printable_members(line: EventLine) -> dict[str, Any]:
    return {name: _printable(value) for name, value in structs.asdict(line).items()}


def _printable(value: Any) -> Any:
    """Make lone surrogates, which stand for bytes that are not UTF-8, into escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return tuple(map(_printable, value)) if isinstance(value, tuple) else value
