from __future__ import annotations

from collections.abc import Iterable

import pytest

from iscsiproxy.capture.legs import Leg, Packet, connected_legs, unknown_legs
from iscsiproxy.capture.tcp import MAX_PAYLOAD
from iscsiproxy.session.events import Connected
from iscsiproxy.wire.pdu import Pdu
from tests.capture.test_tcp import seen
from tests.journal.story import INITIATOR, TARGET, command, data_in

__all__: list[str] = []

CONNECTED = Connected(
    n=1,
    at=0.0,
    conn=3,
    initiator="192.0.2.10:40001",
    listen="192.0.2.11:3261",
    local="[2001:db8::1]:40002",
    target="[2001:db8::2]:3260",
)


@pytest.fixture
def leg() -> Leg:
    return connected_legs(CONNECTED)[TARGET]


@pytest.fixture
def other() -> Leg:
    return connected_legs(CONNECTED)[INITIATOR]


def content(packets: Iterable[Packet]) -> bytes:
    """Give what the packets carry, after a look at their checksums and sizes."""
    data = b""
    for packet in packets:
        payload = b"".join(packet.payload)
        assert seen(packet.header, payload).length == packet.length == packet.captured == len(payload) <= MAX_PAYLOAD
        data += payload
    return data


def test_each_end_is_where_it_belongs() -> None:
    legs = connected_legs(CONNECTED)
    came, went = (seen(packet.header) for packet in (legs[INITIATOR].handshake()[0], legs[TARGET].handshake()[0]))
    assert (came.source[1], came.destination[1]) == (40001, 3261)
    assert (went.source[1], went.destination[1]) == (40002, 3260)
    assert (legs[INITIATOR].peer, legs[TARGET].peer) == (0, 1)
    assert repr(legs[TARGET]).startswith("<Leg target <Stream 40002 -> 3260 ")


def test_a_port_used_again_begins_elsewhere() -> None:
    first = seen(unknown_legs(1)[TARGET].handshake()[0].header)
    again = seen(unknown_legs(16385)[TARGET].handshake()[0].header)
    assert first.source == again.source
    assert first.seq != again.seq


@pytest.mark.parametrize("length", [0, 1, 4096, 4097, MAX_PAYLOAD - 48, MAX_PAYLOAD - 47, 3 * MAX_PAYLOAD + 5])
def test_a_PDU_of_any_size_is_all_there(leg: Leg, other: Leg, length: int) -> None:
    pdu = data_in(data=bytes(at % 251 for at in range(length))).sealed(header=True, data=True)
    came = leg.received(pdu, partial=False)
    assert content(came) == pdu.raw
    assert content(other.delivered(pdu, 0, -1, partial=False, source=leg)) == pdu.raw
    assert len(came) == -(-len(pdu) // MAX_PAYLOAD)
    assert [seen(packet.header, b"".join(packet.payload)).flags & 8 for packet in came] == [0] * (len(came) - 1) + [8]


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (0, 48), (10, 20), (47, -1), (5000, 70000), (0, 100000)])
def test_a_piece_of_a_PDU_is_that_piece(leg: Leg, other: Leg, start: int, stop: int) -> None:
    pdu = data_in(data=bytes(at % 251 for at in range(80000)))
    expected = pdu.raw[start:] if stop < 0 else pdu.raw[start:stop]
    assert content(other.delivered(pdu, start, stop, partial=False, source=leg)) == expected


def test_a_PDU_without_its_data_is_as_long_as_it_was(leg: Leg, other: Leg) -> None:
    pdu = Pdu(data_in(data=bytes(5)).with_fields({"DataSegmentLength": 100_001}).bhs)
    leg.header_digest = leg.data_digest = True
    packets = leg.received(pdu, partial=True)
    assert sum(packet.length for packet in packets) == 48 + 4 + 100_004 + 4
    assert b"".join(b"".join(packet.payload) for packet in packets) == pdu.bhs
    assert [packet.captured for packet in packets] == [48, 0]
    after = seen(leg.received(command(), partial=False)[0].header, command().raw)
    assert after.seq == seen(packets[0].header, b"", packets[0].length).seq + 48 + 4 + 100_004 + 4
    pieces = [other.delivered(pdu, *cut, partial=True, source=leg) for cut in ((0, 100), (100, -1))]
    assert [sum(packet.length for packet in piece) for piece in pieces] == [100, 48 + 100_004 - 100]
    assert [b"".join(packet.payload[0] for packet in piece) for piece in pieces] == [pdu.bhs, b""]


def test_a_leg_has_ended_when_both_sides_have(leg: Leg) -> None:
    assert len(leg.closed(by_peer=True, reset=False)) == 2
    assert leg.closed(by_peer=True, reset=False) == []
    assert not leg.ended
    assert len(leg.closed(by_peer=False, reset=False)) == 2
    assert leg.ended


def test_a_reset_ends_both_sides(leg: Leg) -> None:
    [packet] = leg.closed(by_peer=False, reset=True)
    assert seen(packet.header).flags == 0x14
    assert leg.ended
