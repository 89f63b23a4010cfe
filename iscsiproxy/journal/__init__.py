"""The record of everything that happened, and the only evidence there is: events to JSON lines and back.

`Journal` is a sink of the events of a run. It encodes each into one line and hands it to a thread that does nothing but
write (`BackgroundFile`), so that neither a slow nor a full disk ever stalls the wire; what could not be recorded is
counted, and the count stands in the journal. `read` gives `Record`s: the same events, and for each PDU what the journal
knows of its data. A live judge gets the same from `record_of`. Whoever judges uses only what a `Record` offers, and so
says the same live and later.

The events themselves are here too, for who reads a journal and knows nothing of sessions.

A file is readable at every moment, also after a kill: at most its last line is cut, and no `end` line then says that it
is complete. `lines` has the format.
"""

from __future__ import annotations

from iscsiproxy.journal.background import BackgroundFile, Buffer, Target
from iscsiproxy.journal.payload import BLOCK, HASH, Payload, Piece, payload_of
from iscsiproxy.journal.reader import Reader, read
from iscsiproxy.journal.records import Ended, Entry, Header, Lost, Record, Unknown, record_of
from iscsiproxy.journal.secrets import HIDDEN, Veil, veil_text
from iscsiproxy.journal.writer import Journal
from iscsiproxy.session.events import (
    Bound,
    Change,
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Delivered,
    Drawn,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Noted,
    Pinged,
    Received,
    Refused,
    Staged,
    Unframed,
    Violated,
)

__all__ = [
    "BLOCK",
    "HASH",
    "HIDDEN",
    "BackgroundFile",
    "Bound",
    "Buffer",
    "Change",
    "Closed",
    "ConnectFailed",
    "Connected",
    "Decided",
    "Delivered",
    "Drawn",
    "Ended",
    "Entry",
    "Event",
    "Fired",
    "FullFeature",
    "Header",
    "IoDone",
    "Journal",
    "Lost",
    "Noted",
    "Payload",
    "Piece",
    "Pinged",
    "Reader",
    "Received",
    "Record",
    "Refused",
    "Staged",
    "Target",
    "Unframed",
    "Unknown",
    "Veil",
    "Violated",
    "payload_of",
    "read",
    "record_of",
    "veil_text",
]
