from __future__ import annotations

import pytest

from iscsiproxy.journal import Lost, Record, Unknown, payload_of, record_of
from iscsiproxy.session.events import Delivered, Received
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import TARGET, Story, command, data_in

__all__: list[str] = []


def live(pdu: Pdu) -> Record:
    story = Story()
    story.came(pdu, header_digest_ok=True)
    return record_of(story.events[0])


def test_a_live_record_has_what_a_read_one_has() -> None:
    pdu = data_in(data=bytes(1024))
    record = live(pdu)
    assert (record.pdu, record.data_length, record.line, record.same, record.withheld) == (pdu, 1024, 0, False, False)
    assert record.payload == payload_of(pdu)
    assert (record.header_digest_ok, record.data_digest_ok) == (True, None)
    assert repr(record).startswith("<Record live Received(")


def test_the_payload_is_computed_once() -> None:
    record = live(data_in())
    assert record.payload is record.payload


def test_digests_of_what_was_delivered_are_looked_at() -> None:
    good = data_in(data=b"data").sealed(header=True, data=True)
    bad = good.with_parts(header_digest=b"1234")
    for pdu, expected in ((good, (True, True)), (bad, (False, True)), (command(), (None, None))):
        event = Delivered(n=2, at=0.0, conn=1, leg=TARGET, pdu=pdu, of=1)
        record = record_of(event)
        assert (record.header_digest_ok, record.data_digest_ok) == expected


@pytest.mark.parametrize("entry", [Lost(count=3), Unknown(kind="other", values={})])
def test_what_is_no_PDU_has_none(entry: Lost | Unknown) -> None:
    record = Record(entry, line=7)
    assert (record.pdu, record.payload, record.header_digest_ok, record.data_digest_ok) == (None, None, None, None)
    assert repr(record).startswith("<Record line 7 ")


def test_a_PDU_without_data_has_no_payload() -> None:
    event = Received(n=1, at=0.0, conn=1, leg=TARGET, pdu=command())
    assert record_of(event).payload is None
