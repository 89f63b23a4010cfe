from __future__ import annotations

from iscsiproxy.checks.scene.notes import note_of
from iscsiproxy.journal import Record, record_of
from iscsiproxy.session.events import Closed, Delivered, Event
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.dialogue import records_of

__all__: list[str] = []


def event_of(record: Record) -> Event:
    assert isinstance(record.entry, Event)
    return record.entry


def test_a_note_has_no_long_data_but_tells_how_much_there_was() -> None:
    record = records_of("login\n> SCSI-Command cdb=WRITE(10):0+8 data=4096")[-1]
    note = note_of(record, event_of(record))
    assert note.pdu is not None
    assert note.pdu.data == b""
    assert note.length == 4096
    assert "data=4096" in note.text
    assert "DataSegmentLength" not in note.text


def test_short_data_is_kept() -> None:
    record = records_of("login\n> NOP-Out data=hex:01020304")[-1]
    note = note_of(record, event_of(record))
    assert note.pdu is not None
    assert note.pdu.data == b"\1\2\3\4"
    assert note["ITT"] == 1


def test_it_tells_what_a_fault_changed_and_what_the_proxy_made() -> None:
    changed = records_of("login\n> NOP-Out ! ITT=9")[-1]
    assert note_of(changed, event_of(changed)).changed == {"ITT"}
    made = records_of("login\n>> NOP-Out")[-1]
    assert isinstance(made.entry, Delivered)
    assert made.entry.pdu.opcode == Opcode.NOP_OUT
    assert note_of(made, made.entry).forged


def test_the_end_of_a_connection_is_told_in_words() -> None:
    event = Closed(n=7, at=1.0, conn=2, leg=End.TARGET, how="rst", by="peer")
    note = note_of(record_of(event), event)
    assert note.text == "the target ended the connection (rst)"
    assert note.pdu is None
    assert repr(note) == "<Note #7 the target ended the connection (rst)>"
