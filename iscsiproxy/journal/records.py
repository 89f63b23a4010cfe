"""What a reader of a journal gets, and what a live judge gets too: events, with what is known of their data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from iscsiproxy.journal.payload import Payload, payload_of
from iscsiproxy.session.events import Delivered, Event, Received
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Ended", "Entry", "Header", "Lost", "Record", "Unknown", "record_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The facts of a run, from the first line."""

    version: int
    program: str
    started: str  #: the wall clock when `at` was 0, ISO 8601
    hash: str = ""
    block: int = 0
    seed: int | None = None
    maps: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Here `count` events were not recorded."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The journal was closed properly: so many events were recorded, so many lost."""

    events: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A line of a kind that this program does not know."""

    kind: str
    values: Mapping[str, Any]


Entry: TypeAlias = Event | Lost | Ended | Unknown


class Record:
    """One entry, and what the journal knows beyond it; treat as immutable.

    The PDU of an event that was read has its header, digests and padding exact, and its data where the journal keeps
    that whole (text, sense, embedded headers, up to 64 bytes of anything), with CHAP answers as `*`. Else its data is
    empty; `data_length` and `payload` tell what it was.
    """

    __slots__ = ("_digests", "_payload", "data_length", "entry", "line", "same", "withheld")

    def __init__(
        self,
        entry: Entry,
        *,
        line: int = 0,
        data_length: int = 0,
        payload: Payload | None = None,
        digests: tuple[bool | None, bool | None] | None = None,
        same: bool = False,
        withheld: bool = False,
    ) -> None:
        self.entry = entry
        #: Where it stands in the file, from 1; 0 for a live one
        self.line = line
        #: Bytes in the data segment (of a `partial` one: those kept, none)
        self.data_length = data_length
        #: A Delivered that is exactly the PDU received
        self.same = same
        #: The data is not here because a secret was in it
        self.withheld = withheld
        self._payload = payload
        self._digests = digests

    def __repr__(self) -> str:
        return f"<Record {f'line {self.line}' if self.line else 'live'} {self.entry!r}>"

    @property
    def pdu(self) -> Pdu | None:
        """The PDU, if the entry has one."""
        return self.entry.pdu if isinstance(self.entry, Received | Delivered) else None

    @property
    def payload(self) -> Payload | None:
        """The hashes of the data segment; None if there is none, or it was withheld."""
        if self._payload is None and self.data_length and not self.withheld:
            pdu = self.pdu
            self._payload = None if pdu is None else payload_of(pdu)
        return self._payload

    @property
    def header_digest_ok(self) -> bool | None:
        """Whether the header digest is right; None if there is none or nobody looked."""
        return self._digest_results()[0]

    @property
    def data_digest_ok(self) -> bool | None:
        """Whether the data digest is right; None if there is none or nobody looked."""
        return self._digest_results()[1]

    def _digest_results(self) -> tuple[bool | None, bool | None]:
        if self._digests is None:
            entry = self.entry
            if isinstance(entry, Received):
                self._digests = (entry.header_digest_ok, entry.data_digest_ok)
            elif isinstance(entry, Delivered):
                self._digests = (entry.pdu.header_digest_ok(), entry.pdu.data_digest_ok())
            else:
                self._digests = (None, None)
        return self._digests


def record_of(event: Event) -> Record:
    """Make the record of a live event, for those who judge while it happens."""
    pdu = event.pdu if isinstance(event, Received | Delivered) else None
    return Record(event, data_length=0 if pdu is None else len(pdu.data))
