from __future__ import annotations

import random
from dataclasses import replace

import pytest

from iscsiproxy.capture.survey import Trail, Unroll, survey
from iscsiproxy.capture.tshark import ACK, SYN
from iscsiproxy.wire.opcodes import End
from tests.capture.traffic import CLIENT, SERVER, Shot, Tcp, segments

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


def seen(*shots: Shot) -> Trail:
    [trail] = survey(segments(shots)).values()
    return trail


@pytest.fixture
def tcp() -> Tcp:
    return Tcp()


@pytest.mark.parametrize(("first", "seqs"), [(0, (0, 5, 3)), (0xFFFFFFFE, (0xFFFFFFFE, 3, 1)), (100, (100, 105, 103))])
def test_positions_count_from_the_first_byte_and_go_on_where_numbers_wrap(first: int, seqs: tuple[int, ...]) -> None:
    unroll = Unroll(first)
    assert [unroll.position(seq) for seq in seqs] == [0, 5, 3]
    assert repr(unroll) == f"<Unroll from {first} at 3>"


def test_a_number_may_be_ahead_of_a_position_or_behind_it() -> None:
    unroll = Unroll(0xFFFFFFFE)
    assert [unroll.ahead(seq, 4) for seq in (0xFFFFFFFE, 2, 12)] == [-4, 0, 10]
    assert unroll.position(2) == 4


def test_positions_reach_beyond_four_gigabytes() -> None:
    unroll = Unroll(7)
    reached = [unroll.position((7 + step * 0x40000000) & 0xFFFFFFFF) for step in range(6)]
    assert reached[-1] == 5 * 0x40000000


def test_a_connection_knows_who_opened_it_and_how_much_was_sent(tcp: Tcp) -> None:
    tcp.open()
    tcp.send(INITIATOR, b"question")
    tcp.send(TARGET, b"answer")
    tcp.close()
    trail = seen(*tcp.shots)
    assert trail.client == 0
    assert trail.start == 1000
    one, other = trail.ways
    assert (one.source, one.first, one.opened, one.missing, one.bytes) == ((b"10.0.0.1", 40000), 1001, True, (), 8)
    assert (other.source, other.first, other.opened, other.missing, other.bytes) == (
        (b"10.0.0.2", 3260),
        5001,
        True,
        (),
        6,
    )


def test_who_opened_it_is_known_from_the_answer_too(tcp: Tcp) -> None:
    tcp.open()
    trail = seen(*tcp.shots[1:])
    assert trail.client == 1
    assert trail.ways[0].opened
    assert not trail.ways[1].opened


def test_a_connection_captured_from_its_middle_on_begins_with_the_first_byte_that_was(tcp: Tcp) -> None:
    tcp.open()
    tcp.send(INITIATOR, b"not captured")
    start = len(tcp.shots)
    [shot] = tcp.send(INITIATOR, b"captured")
    tcp.send(TARGET, b"too")
    trail = seen(*tcp.shots[start:])
    assert trail.client is None
    assert trail.ways[0].first == shot.seq
    assert not trail.ways[0].opened
    assert [way.missing for way in trail.ways] == [(), ()]


def test_what_was_sent_before_the_first_packet_does_not_count(tcp: Tcp) -> None:
    tcp.open()
    [old] = tcp.send(INITIATOR, b"old")
    [first] = tcp.send(INITIATOR, b"first")
    trail = seen(first, old)
    assert trail.ways[0].first == first.seq
    assert trail.ways[0].missing == ()


def test_what_comes_late_or_twice_is_not_missing(tcp: Tcp) -> None:
    tcp.open()
    sent = tcp.send(INITIATOR, bytes(100), mss=10)
    head, tail = tcp.shots[:3], tcp.shots[-1:]
    order = [*sent, *sent[3:6]]
    random.Random(1).shuffle(order)
    assert seen(*head, *order, *tail).ways[0].missing == ()


def test_what_was_acknowledged_and_not_captured_is_missing(tcp: Tcp) -> None:
    tcp.open()
    sent = tcp.send(INITIATOR, bytes(60), mss=10)
    shots = [shot for shot in tcp.shots if shot not in (sent[1], sent[2], sent[4])]
    assert seen(*shots).ways[0].missing == ((10, 30), (40, 50))


def test_the_first_and_the_last_bytes_may_be_missing(tcp: Tcp) -> None:
    tcp.open()
    sent = tcp.send(INITIATOR, bytes(30), mss=10)
    shots = [shot for shot in tcp.shots if shot not in (sent[0], sent[2])]
    assert seen(*shots).ways[0].missing == ((0, 10), (20, 30))
    tcp.close()
    shots = [shot for shot in tcp.shots if shot not in (sent[0], sent[2])]
    assert seen(*shots).ways[0].missing == ((0, 10), (20, 30))


def test_the_acknowledgement_of_a_FIN_is_not_one_of_a_byte(tcp: Tcp) -> None:
    tcp.open()
    tcp.send(INITIATOR, b"all")
    tcp.close()
    shots = [shot for shot in tcp.shots if not (shot.source == CLIENT and shot.flags & 1)]
    assert seen(*shots).ways[0].missing == ()


def test_what_nobody_acknowledged_was_lost_on_its_way(tcp: Tcp) -> None:
    tcp.open()
    tcp.send(INITIATOR, b"first")
    lost = tcp.shot(INITIATOR, b"lost")
    behind = tcp.shot(INITIATOR, b"behind")
    shots = [shot for shot in tcp.shots if shot is not lost]
    assert shots[-1] is behind
    assert seen(*shots).ways[0].missing == ()


def test_without_any_acknowledgement_every_hole_counts(tcp: Tcp) -> None:
    sent = tcp.send(INITIATOR, bytes(30), mss=10)
    assert seen(sent[0], sent[2]).ways[0].missing == ((10, 20),)


def test_numbers_may_wrap() -> None:
    tcp = Tcp(first=(0xFFFFFFF0, 0xFFFFFFFF))
    tcp.open()
    sent = tcp.send(INITIATOR, bytes(60), mss=10)
    trail = seen(*[shot for shot in tcp.shots if shot is not sent[2]])
    assert trail.ways[0].missing == ((20, 30),)
    assert trail.ways[0].bytes == 60


def test_connections_are_kept_apart() -> None:
    tcp = Tcp()
    other = Tcp(("10.0.0.3", 40000), stream=1, interface="eth1", shots=tcp.shots)
    tcp.open()
    other.open()
    found = survey(segments(tcp.shots))
    assert list(found) == [0, 1]
    assert [trail.stream for trail in found.values()] == [0, 1]
    assert [trail.interface for trail in found.values()] == ["", "eth1"]


def test_a_SYN_with_data_counts_it(tcp: Tcp) -> None:
    syn = replace(tcp.shot(INITIATOR, flags=SYN), payload=b"fast")
    answer = Shot(source=SERVER, destination=CLIENT, seq=5000, ack=1005, flags=SYN | ACK)
    trail = seen(syn, answer)
    assert (trail.ways[0].first, trail.ways[0].bytes, trail.ways[0].missing) == (1001, 4, ())
