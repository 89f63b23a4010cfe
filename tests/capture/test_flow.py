from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from iscsiproxy.capture.flow import Data, Fin, Flow, Gap, Piece, Reset
from iscsiproxy.capture.survey import survey
from iscsiproxy.wire.opcodes import End
from tests.capture.traffic import CLIENT, Shot, Tcp, segments

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


def flowed(shots: Iterable[Shot], *, snap: int | None = None) -> list[Piece]:
    """Give all that the client of a capture sent."""
    found = segments(shots, snap=snap)
    [trail] = survey(found).values()
    way = next(way for way in trail.ways if way.source[1] == CLIENT[1])
    flow = Flow(way)
    pieces: list[Piece] = []
    for segment in found:
        if segment.source == way.source:
            pieces += flow.take(segment)
    return [*pieces, *flow.rest()]


def joined(pieces: Iterable[Piece]) -> list[bytes | int | str]:
    """Join the data between gaps and ends."""
    told: list[bytes | int | str] = []
    for piece in pieces:
        match piece:
            case Data() if told and isinstance(told[-1], bytes):
                told[-1] += piece.data
            case Data():
                told.append(piece.data)
            case Gap():
                told.append(piece.length)
            case Fin():
                told.append("fin")
            case Reset():
                told.append("rst")
    return told


TEXT = bytes(range(100))


@pytest.fixture
def tcp() -> Tcp:
    tcp = Tcp()
    tcp.open()
    return tcp


def test_what_is_in_order_comes_at_once(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT, mss=40)
    assert flowed(tcp.shots) == [Data(TEXT[:40]), Data(TEXT[40:80]), Data(TEXT[80:])]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_and_any_repetition_give_the_same_stream(tcp: Tcp, seed: int) -> None:
    chance = random.Random(seed)
    sent = tcp.send(INITIATOR, TEXT, mss=chance.randint(1, 40))
    tcp.close()
    order = [*sent, *chance.choices(sent, k=5)]
    # The first byte has to come first: without it a capture begins with what comes first.
    order[1:] = chance.sample(order[1:], len(order) - 1)
    assert joined(flowed([*tcp.shots[:3], *order, *tcp.shots[3 + len(sent) :]])) == [TEXT, "fin"]


def test_what_overlaps_is_taken_once(tcp: Tcp) -> None:
    sent = tcp.send(INITIATOR, TEXT, mss=25)
    wide = Tcp()
    wide.open()
    [whole] = wide.send(INITIATOR, TEXT[:70])
    shots = [*tcp.shots[:3], sent[0], sent[2], whole, *sent[1:], tcp.shots[-1]]
    pieces = flowed(shots)
    assert joined(pieces) == [TEXT]
    assert Data(TEXT[25:70], whole=False) in pieces


def test_a_keepalive_is_no_data(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT[:50])
    probe = Shot(source=CLIENT, destination=("10.0.0.2", 3260), seq=1050, ack=5001, flags=0x10, payload=b"\0")
    shots = [*tcp.shots, probe]
    tcp.send(INITIATOR, TEXT[50:])
    assert joined(flowed([*shots, *tcp.shots[len(shots) - 1 :]])) == [TEXT]


def test_a_gap_is_told_when_something_behind_it_comes(tcp: Tcp) -> None:
    sent = tcp.send(INITIATOR, TEXT, mss=10)
    shots = [shot for shot in tcp.shots if shot not in (sent[2], sent[3], sent[7])]
    assert joined(flowed(shots)) == [TEXT[:20], 20, TEXT[40:70], 10, TEXT[80:]]
    flow = Flow(next(iter(survey(segments(shots)).values())).ways[0])
    found = segments(shots)
    told = [(list(flow.take(segment)), flow.at_gap) for segment in found[3:5]]
    assert told == [([Data(TEXT[:10])], False), ([Data(TEXT[10:20])], True)]
    assert repr(flow) == "<Flow at 20, 0 segments wait, 2 gaps to come>"


def test_a_gap_is_told_as_far_as_the_other_end_has_it(tcp: Tcp) -> None:
    sent = tcp.send(INITIATOR, TEXT, mss=10)
    found = segments(shot for shot in tcp.shots if shot not in sent[2:5])
    flow = Flow(next(iter(survey(found).values())).ways[0])
    start = sent[0].seq
    assert [list(flow.take(segment)) for segment in found[3:5]] == [[Data(TEXT[:10])], [Data(TEXT[10:20])]]
    heard = [list(flow.heard(start + position)) for position in (10, 20, 25, 25, 90, 90)]
    assert heard == [[], [], [Gap(5)], [], [Gap(25)], []]
    assert list(flow.take(found[5])) == [Data(TEXT[50:60])]


def test_gaps_at_both_ends(tcp: Tcp) -> None:
    sent = tcp.send(INITIATOR, TEXT, mss=10)
    assert joined(flowed(shot for shot in tcp.shots if shot not in (sent[0], sent[9]))) == [10, TEXT[10:90], 10]
    tcp.close()
    shots = [shot for shot in tcp.shots if shot not in (sent[0], sent[9])]
    assert joined(flowed(shots)) == [10, TEXT[10:90], 10, "fin"]


def test_nothing_comes_behind_what_never_arrived(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT[:10])
    lost = tcp.shot(INITIATOR, TEXT[10:20])
    tcp.shot(INITIATOR, TEXT[20:])
    tcp.shot(INITIATOR, flags=0x11)
    assert joined(flowed(shot for shot in tcp.shots if shot is not lost)) == [TEXT[:10]]


def test_of_a_packet_that_was_cut_the_rest_is_missing(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT, mss=40)
    assert joined(flowed(tcp.shots, snap=30)) == [TEXT[:30], 10, TEXT[40:70], 10, TEXT[80:]]
    assert joined(flowed(tcp.shots, snap=0)) == [40, 40, 20]


def test_a_FIN_has_its_place(tcp: Tcp) -> None:
    late = tcp.shot(INITIATOR, TEXT[:50])
    tcp.shot(INITIATOR, TEXT[50:], flags=0x11)
    tcp.shot(TARGET)
    shots = [shot for shot in tcp.shots if shot is not late]
    shots.insert(4, late)
    assert joined(flowed([*shots, shots[3]])) == [TEXT, "fin"]


def test_a_RST_comes_at_once(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT)
    tcp.rst(INITIATOR, comments=["why"])
    assert flowed(tcp.shots) == [Data(TEXT), Reset(("why",))]
    tcp.fin(INITIATOR)
    assert joined(flowed(tcp.shots)) == [TEXT, "rst"]


def test_a_RST_may_follow_a_FIN(tcp: Tcp) -> None:
    tcp.fin(INITIATOR, comments=["end"])
    tcp.rst(INITIATOR)
    assert flowed(tcp.shots) == [Fin(("end",)), Reset()]


def test_comments_go_with_the_data(tcp: Tcp) -> None:
    tcp.send(INITIATOR, TEXT, mss=60, comments=["one", "two"])
    assert flowed(tcp.shots) == [Data(TEXT[:60], True, ("one", "two")), Data(TEXT[60:])]


def test_data_in_a_SYN_is_the_first() -> None:
    tcp = Tcp()
    tcp.shot(INITIATOR, TEXT, flags=0x02)
    assert joined(flowed(tcp.shots)) == [TEXT]


def test_numbers_may_wrap() -> None:
    tcp = Tcp(first=(0xFFFFFFF0, 1))
    tcp.open()
    sent = tcp.send(INITIATOR, TEXT, mss=10)
    shots = [*tcp.shots[:3], sent[0], *reversed(sent[1:]), tcp.shots[-1]]
    assert joined(flowed(shots)) == [TEXT]
