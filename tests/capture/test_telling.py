from __future__ import annotations

import pytest

from iscsiproxy.capture.telling import (
    Came,
    Conn,
    Crossed,
    Ended,
    Garbage,
    Missing,
    Opened,
    Said,
    Tale,
    Teller,
    Went,
)
from iscsiproxy.journal import Entry, Lost
from iscsiproxy.session.events import (
    Change,
    Closed,
    Connected,
    Decided,
    Delivered,
    Fired,
    FullFeature,
    Noted,
    Received,
    Unframed,
)
from iscsiproxy.wire.opcodes import End
from tests.journal.story import command, data_in, response

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET
KEYS = (("HeaderDigest", "None"),)


@pytest.fixture
def conn() -> Conn:
    return Conn(7, ("10.0.0.1:40000", "10.0.0.2:3260", "10.0.0.1:40000", "10.0.0.2:3260"))


def told(*tales: Tale) -> list[Entry]:
    teller = Teller()
    return [record.entry for tale in tales for record in teller.tell(tale)]


def test_a_PDU_that_crosses_is_received_and_delivered(conn: Conn) -> None:
    pdu = command(1).sealed(header=True, data=False)
    received, delivered = told(Crossed(conn, 0.5, INITIATOR, pdu))
    assert received == Received(n=1, at=0.5, conn=1, leg=INITIATOR, pdu=pdu, header_digest_ok=True)
    assert delivered == Delivered(n=2, at=0.5, conn=1, leg=TARGET, pdu=pdu, of=1)
    assert isinstance(received, Received)
    assert isinstance(delivered, Delivered)
    assert received.pdu is delivered.pdu


def test_a_wrong_digest_is_told(conn: Conn) -> None:
    pdu = data_in(1).sealed(header=True, data=True).with_parts(data_digest=b"\0\0\0\0")
    received, _ = told(Crossed(conn, 0.5, TARGET, pdu))
    assert isinstance(received, Received)
    assert (received.header_digest_ok, received.data_digest_ok) == (True, False)


def test_of_a_partial_PDU_the_header_is_known(conn: Conn) -> None:
    pdu = command(1).sealed(header=True, data=False)
    received, delivered = told(Crossed(conn, 0.5, INITIATOR, pdu, partial=True))
    assert received == Received(n=1, at=0.5, conn=1, leg=INITIATOR, pdu=pdu, header_digest_ok=True, partial=True)
    assert isinstance(delivered, Delivered)
    assert delivered.pdu is pdu


def test_the_full_feature_phase_begins_where_the_proxy_tells_it(conn: Conn) -> None:
    entries = told(Crossed(conn, 0.5, TARGET, response(1), keys=KEYS))
    assert [type(entry) for entry in entries] == [Received, FullFeature, FullFeature, Delivered]
    assert [entry.leg for entry in entries if isinstance(entry, FullFeature)] == [TARGET, INITIATOR]
    entries = told(Came(conn, 0.5, TARGET, response(1), keys=KEYS), Went(conn, 0.5, INITIATOR, response(1), keys=KEYS))
    assert [type(entry) for entry in entries] == [Received, FullFeature, FullFeature, Delivered]


def test_connections_are_numbered_as_they_appear(conn: Conn) -> None:
    other = Conn(3, ("10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3", "10.0.0.4:4"))
    entries = told(Opened(other, 0.1), Opened(conn, 0.2), Ended(other, 0.3, INITIATOR, "fin", "peer"))
    assert entries == [
        Connected(
            n=1,
            at=0.1,
            conn=1,
            initiator="10.0.0.1:1",
            listen="10.0.0.2:2",
            local="10.0.0.3:3",
            target="10.0.0.4:4",
        ),
        Connected(
            n=2,
            at=0.2,
            conn=2,
            initiator="10.0.0.1:40000",
            listen="10.0.0.2:3260",
            local="10.0.0.1:40000",
            target="10.0.0.2:3260",
        ),
        Closed(n=3, at=0.3, conn=1, leg=INITIATOR, how="fin", by="peer"),
    ]


def test_what_is_missing_takes_no_number(conn: Conn) -> None:
    entries = told(Missing(conn, 0.1), Garbage(conn, 0.2, TARGET, "noise"))
    assert entries == [Lost(count=1), Unframed(n=1, at=0.2, conn=1, leg=TARGET, reason="noise")]


def test_on_two_legs_a_PDU_is_linked_to_the_one_received(conn: Conn) -> None:
    _, _, one, other, alien = told(
        Came(conn, 0.1, INITIATOR, command(1)),
        Came(conn, 0.2, INITIATOR, command(2)),
        Went(conn, 0.3, TARGET, command(1)),
        Went(conn, 0.4, TARGET, command(2).with_fields({"CmdSN": 9})),
        Went(conn, 0.5, TARGET, command(3)),
    )
    assert isinstance(one, Delivered)
    assert isinstance(other, Delivered)
    assert isinstance(alien, Delivered)
    assert (one.of, other.of, alien.of) == (1, 2, None)
    assert alien.author == 0


def test_comments_tell_what_rules_did(conn: Conn) -> None:
    entries = told(
        Came(
            conn,
            0.1,
            INITIATOR,
            command(1),
            comments=(
                "iscsiproxy: rule a/1 set: CmdSN 1 -> 2",
                "iscsiproxy: rule a/2 held: until later",
                "iscsiproxy: note of rule a/3: look",
            ),
        ),
        Went(
            conn,
            0.2,
            TARGET,
            command(1).with_fields({"CmdSN": 2}),
            comments=("iscsiproxy: rule a/1 set: CmdSN 1 -> 2",),
        ),
        Went(conn, 0.3, INITIATOR, response(1), comments=("iscsiproxy: rule b/1: sent by the proxy",)),
        Said(conn, 0.4, ("iscsiproxy: note of rule c/1: too late",)),
    )
    changes = (Change(what="CmdSN", old="1", new="2"),)
    label = "SCSI-Command ITT=0x1"
    assert entries[1:] == [
        Fired(n=2, at=0.1, conn=1, rule="a/1", act="set", of=1, label=label, text="CmdSN 1 -> 2", changes=changes),
        Decided(n=3, at=0.1, conn=1, rule="a/2", what="held", of=1, text="until later"),
        Noted(n=4, at=0.1, conn=1, rule="a/3", of=1, text="look"),
        Delivered(
            n=5,
            at=0.2,
            conn=1,
            leg=TARGET,
            pdu=command(1).with_fields({"CmdSN": 2}),
            of=1,
            changes=changes,
            rules=("a/1",),
        ),
        Delivered(n=6, at=0.3, conn=1, leg=INITIATOR, pdu=response(1), of=None, rules=("b/1",), author=1),
        Noted(n=7, at=0.4, conn=1, rule="c/1", of=None, text="too late"),
    ]


def test_reprs_tell_their_state(conn: Conn) -> None:
    assert repr(conn) == "<Conn ? 10.0.0.1:40000 to 10.0.0.2:3260>"
    assert repr(Teller()) == "<Teller 0 events, 0 connections>"
