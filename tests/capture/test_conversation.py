from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from iscsiproxy.capture.flow import Data
from iscsiproxy.capture.tshark import Segment
from iscsiproxy.journal import Entry, Lost
from iscsiproxy.session.events import Closed, Connected, Delivered, Event, FullFeature, Received, Unframed
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.capture.desk import Table, delivered, listen, received
from tests.capture.traffic import CLIENT, Shot, Tcp, dialogue, segments
from tests.journal.story import KEYS, command, data_in, login, response

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET
DIGESTS = [(False, False), (True, False), (False, True), (True, True)]
digests = pytest.mark.parametrize(("header", "data"), DIGESTS)


def by(pdus: Sequence[Pdu], sender: End) -> list[Pdu]:
    return [pdu for pdu in pdus if pdu.sender is sender]


def ends(entries: Sequence[Entry]) -> list[tuple[str, str, str]]:
    return [(entry.leg.value, entry.how, entry.by) for entry in entries if isinstance(entry, Closed)]


def kinds(entries: Sequence[Entry]) -> list[str]:
    return [type(entry).__name__ for entry in entries]


def session(
    *, header: bool = False, data: bool = False, rounds: int = 3, size: int = 512, mss: int = 1 << 16
) -> tuple[Tcp, list[Pdu]]:
    """Give a whole session, and the PDUs in it."""
    tcp = Tcp()
    tcp.open()
    pdus = dialogue(rounds=rounds, size=size, header=header, data=data)
    tcp.talk(*pdus, mss=mss)
    tcp.close()
    return tcp, pdus


def without(shots: Sequence[Shot], *lost: Shot) -> list[Shot]:
    return [shot for shot in shots if shot not in lost]


# --- from the beginning --------------------------------------------------------------------------------------------


@digests
def test_a_session_is_told_as_an_unarmed_proxy_tells_it(header: bool, data: bool) -> None:
    tcp, pdus = session(header=header, data=data)
    entries = listen(tcp.shots).entries
    assert received(entries) == pdus
    for end in End:
        assert received(entries, end) == by(pdus, end)
        assert delivered(entries, end) == by(pdus, end.other)
    assert entries[0] == Connected(
        n=1,
        at=0.0,
        conn=1,
        initiator="10.0.0.1:40000",
        listen="10.0.0.2:3260",
        local="10.0.0.1:40000",
        target="10.0.0.2:3260",
    )
    events = [entry for entry in entries if isinstance(entry, Event)]
    assert [event.n for event in events] == list(range(1, len(entries) + 1))
    assert all(event.conn == 1 for event in events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    for entry in entries:
        if isinstance(entry, Received):
            assert entry.header_digest_ok is (True if entry.pdu.header_digest else None)
            assert entry.data_digest_ok is (True if entry.pdu.data_digest else None)
        elif isinstance(entry, Delivered):
            source = entries[(entry.of or 0) - 1]
            assert isinstance(source, Received)
            assert source.pdu is entry.pdu
            assert source.leg is entry.leg.other


def test_the_full_feature_phase_is_told_with_its_keys() -> None:
    tcp, _ = session(header=True)
    entries = listen(tcp.shots).entries
    where = [n for n, entry in enumerate(entries) if isinstance(entry, FullFeature)]
    assert kinds(entries[where[0] - 1 : where[1] + 2]) == ["Received", "FullFeature", "FullFeature", "Delivered"]
    told = [entry for entry in entries if isinstance(entry, FullFeature)]
    assert [entry.leg for entry in told] == [TARGET, INITIATOR]
    assert {dict(entry.keys)["HeaderDigest"] for entry in told} == {"CRC32C"}


def test_events_have_the_time_of_the_packet_that_completed_them() -> None:
    tcp, _ = session(mss=100)
    entries = listen(tcp.shots).entries
    request = next(entry for entry in entries if isinstance(entry, Received))
    last = max(n for n, shot in enumerate(tcp.shots[:6]) if shot.payload)
    assert request.at == last / 1000


def test_wrong_digests_are_told() -> None:
    pdus = dialogue(header=True, data=True)
    pdus[3] = pdus[3].with_parts(data_digest=b"\0\1\2\3")
    pdus[4] = pdus[4].with_parts(header_digest=b"\0\1\2\3")
    tcp = Tcp()
    tcp.open()
    tcp.talk(*pdus)
    found = [entry for entry in listen(tcp.shots).entries if isinstance(entry, Received)]
    assert (found[3].header_digest_ok, found[3].data_digest_ok) == (True, False)
    assert (found[4].header_digest_ok, found[4].data_digest_ok) == (False, True)
    assert len(found) == len(pdus)


@pytest.mark.parametrize("seed", range(10))
@digests
def test_reordered_and_repeated_packets_change_nothing(seed: int, header: bool, data: bool) -> None:
    chance = random.Random(seed)
    tcp, pdus = session(header=header, data=data, mss=chance.choice([30, 100, 536, 1448]))
    shots = list(tcp.shots)
    for _ in range(10):
        at = chance.randrange(4, len(shots) - 1)
        if shots[at].payload and shots[at + 1].payload and shots[at].source == shots[at + 1].source:
            shots[at : at + 2] = [shots[at + 1], shots[at], shots[at]]
    table = listen(shots)
    assert [received(table.entries, end) for end in End] == [by(pdus, end) for end in End]
    assert table.gaps == 0


def test_several_PDUs_in_one_packet_and_one_in_many() -> None:
    pdus = [*dialogue(rounds=0), *(command(n) for n in range(1, 4)), data_in(1, bytes(9000)), data_in(2, bytes(9000))]
    tcp = Tcp()
    tcp.open()
    tcp.talk(*pdus[:2])
    tcp.send(INITIATOR, b"".join(pdu.raw for pdu in pdus[2:5]))
    tcp.send(TARGET, b"".join(pdu.raw for pdu in pdus[5:]), mss=1448)
    assert received(listen(tcp.shots).entries) == pdus


@pytest.mark.parametrize("trusted", [False, True])
def test_a_login_decides_whatever_the_port(trusted: bool) -> None:
    tcp, pdus = session()
    table = listen(tcp.shots, trusted=trusted)
    assert received(table.entries) == pdus
    assert table.skipped == 0


def test_a_handshake_that_was_not_captured_is_not_missed() -> None:
    tcp, pdus = session(header=True, data=True)
    table = listen(tcp.shots[3:], trusted=False)
    assert isinstance(table.entries[0], Connected)
    assert received(table.entries) == pdus
    assert (table.gaps, table.late) == (0, [])


def test_a_peer_that_does_not_begin_with_a_login_is_believed_on_the_right_port_only() -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(command(1), response(1))
    assert received(listen(tcp.shots).entries) == [command(1), response(1)]
    table = listen(tcp.shots, trusted=False)
    assert table.entries == []
    assert table.skipped == 1


# --- not iSCSI -----------------------------------------------------------------------------------------------------

OTHERS = [
    [(INITIATOR, b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" * 4), (TARGET, b"HTTP/1.1 200 OK\r\n\r\n" * 10)],
    [(TARGET, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), (INITIATOR, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")],
    [(INITIATOR, b"\x16\x03\x01\x02\x00\x01" * 40)],
    [(INITIATOR, bytes(1000))],
    [(INITIATOR, b"short")],
    [],
]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("said", OTHERS)
def test_other_protocols_are_skipped(said: list[tuple[End, bytes]], start: int, trusted: bool) -> None:
    tcp = Tcp()
    tcp.open()
    for sender, data in said:
        tcp.send(sender, data)
    tcp.close()
    table = listen(tcp.shots[start:], trusted=trusted)
    assert table.entries == []
    assert table.skipped == 1
    assert not table.order.busy
    assert table.order.waiting == 0


def test_a_long_stream_of_something_else_is_given_up_in_time() -> None:
    tcp = Tcp()
    tcp.open()
    noise = random.Random(1)
    for _ in range(40):
        tcp.send(INITIATOR, noise.randbytes(60000))
        tcp.send(TARGET, noise.randbytes(60000))
    table = Table(segments(tcp.shots[3:]), trusted=False)
    most = 0
    for segment in segments(tcp.shots[3:]):
        table.conversations[0].take(segment)
        most = max(most, table.order.waiting)
    assert table.conversations[0].over
    assert most < 3 << 20
    assert table.order.waiting == 0


def test_a_connection_beside_is_not_held_up_for_ever() -> None:
    silent = Tcp(("10.0.0.3", 50000), stream=0)
    silent.open()
    silent.send(TARGET, b"hello", mss=1)
    shots = list(silent.shots)
    busy = Tcp(stream=1, shots=shots)
    busy.open()
    pdus = dialogue(rounds=20, size=4000)
    busy.talk(*pdus)
    silent.shots = shots
    silent.talk(login(*KEYS))
    table = Table(segments(shots), trusted=False, limit=20000)
    most = 0
    for segment in segments(shots):
        table.conversations[segment.stream].take(segment)
        table.tell()
        most = max(most, table.order.waiting)
    assert most <= 30000
    assert len(received(table.entries)) >= len(pdus)


# --- from the middle on --------------------------------------------------------------------------------------------


@digests
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("mss", [60, 1448, 1 << 16])
def test_a_connection_is_joined_at_the_first_whole_PDU(mss: int, trusted: bool, header: bool, data: bool) -> None:
    tcp, pdus = session(header=header, data=data, rounds=8, mss=mss)
    for start in range(8, len(tcp.shots) - 60, 7):
        shots = tcp.shots[start:]
        table = listen(shots, trusted=trusted)
        whole = {end: _captured(tcp, shots, by(pdus, end), end) for end in End}
        assert {end: received(table.entries, end) for end in End} == whole, start
        assert table.gaps == 0
        if whole[TARGET][0].opcode != Opcode.LOGIN_RESPONSE:
            assert "Connected" not in kinds(table.entries)
            assert [conn.names[0] for conn in table.late] == ["10.0.0.1:40000"]


def _captured(tcp: Tcp, shots: Sequence[Shot], pdus: Sequence[Pdu], sender: End) -> list[Pdu]:
    """Give the PDUs of a sender of which every byte is in these packets."""
    own = [shot for shot in shots if shot.payload and (shot.source == CLIENT) is (sender is INITIATOR)]
    first = next(shot for shot in tcp.shots if (shot.source == CLIENT) is (sender is INITIATOR)).seq + 1
    there: set[int] = set()
    for shot in own:
        there.update(range(shot.seq - first, shot.seq - first + len(shot.payload)))
    found, at = [], 0
    for pdu in pdus:
        if there.issuperset(range(at, at + len(pdu))):
            found.append(pdu)
        at += len(pdu)
    return found


def test_what_was_captured_of_one_direction_only_is_told() -> None:
    tcp, pdus = session(header=True, data=True)
    shots = [shot for shot in tcp.shots if shot.source == CLIENT]
    table = listen(shots)
    assert received(table.entries)[0] == pdus[0]
    table = listen([shot for shot in tcp.shots if shot.source != CLIENT])
    assert received(table.entries, TARGET)[1:] == by(pdus, TARGET)[1:]


def test_a_login_captured_from_its_second_round_on_leaves_digests_to_be_found_out() -> None:
    tcp = Tcp()
    tcp.open()
    keys = ("HeaderDigest=CRC32C", "DataDigest=CRC32C")
    first = login(*KEYS, *keys).with_fields({"T": 0})
    answer = login(*keys, opcode=Opcode.LOGIN_RESPONSE).with_fields({"T": 0})
    tcp.talk(first, answer)
    start = len(tcp.shots)
    second = [login(), login(opcode=Opcode.LOGIN_RESPONSE, TSIH=1)]
    rest = dialogue(header=True, data=True)[2:]
    tcp.talk(*second, *rest)
    table = listen(tcp.shots[start:])
    assert received(table.entries) == [*second, *rest]
    assert table.gaps == 0


# --- gaps ----------------------------------------------------------------------------------------------------------


@digests
@pytest.mark.parametrize("lost", range(2, 14))
def test_behind_a_gap_it_goes_on(lost: int, header: bool, data: bool) -> None:
    tcp, pdus = session(header=header, data=data)
    sent = [shot for shot in tcp.shots if shot.payload]
    table = listen(without(tcp.shots, sent[lost]))
    gone = pdus[lost]
    assert received(table.entries) == [pdu for pdu in pdus if pdu is not gone]
    assert table.gaps == 1
    before = pdus[:lost][-1]
    where = table.entries.index(Lost(count=1))
    assert [pdu for pdu in received(table.entries[:where]) if pdu.sender is gone.sender] == by(pdus[:lost], gone.sender)
    assert before in received(table.entries[:where])


def test_what_is_missing_is_told_before_its_answer() -> None:
    tcp, pdus = session()
    request, answer = pdus[-2:]
    lost = next(shot for shot in tcp.shots if shot.payload == request.raw)
    found = listen(without(tcp.shots, lost)).entries
    where = found.index(Lost(count=1))
    assert received(found[where:]) == [answer]


def test_several_PDUs_in_one_gap_are_told_before_each_of_their_answers() -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(*dialogue(), command(50), response(50), command(51), response(51))
    lost = [shot for shot in tcp.shots if shot.payload in (command(50).raw, command(51).raw)]
    found = listen(without(tcp.shots, *lost)).entries
    assert kinds(found)[-6:] == ["Lost", "Received", "Delivered", "Lost", "Received", "Delivered"]


def test_a_PDU_whose_end_is_missing_is_told_before_its_answer() -> None:
    pdus = [*dialogue(rounds=1), command(50, bytes(3000)), response(50)]
    tcp = Tcp()
    tcp.open()
    tcp.talk(*pdus, mss=1000)
    end = next(shot for shot in tcp.shots if shot.payload == bytes(48))
    found = listen(without(tcp.shots, end)).entries
    assert Lost(count=1) not in found
    assert [pdu.bhs for pdu in received(found)] == [pdu.bhs for pdu in pdus]


def test_a_gap_inside_data_leaves_the_header() -> None:
    tcp, pdus = session(size=4000, mss=1000)
    sent = [shot for shot in tcp.shots if shot.payload and shot.payload[0] == 1 and len(shot.payload) == 1000]
    inside = next(shot for shot in sent if shot.payload == b"\x01" * 1000)
    table = listen(without(tcp.shots, inside))
    found = received(table.entries)
    assert len(found) == len(pdus)
    assert table.gaps == 0
    assert table.short == 1
    [partial] = [entry for entry in table.entries if isinstance(entry, Received) and entry.partial]
    assert partial.pdu.data == b""
    assert partial.pdu["DataSegmentLength"] == 4000
    assert Pdu(partial.pdu.bhs) in [Pdu(pdu.bhs) for pdu in pdus]
    assert sum(isinstance(entry, Delivered) for entry in table.entries) == len(pdus)


def test_packets_that_were_cut_leave_the_headers() -> None:
    tcp, pdus = session(size=4000, header=True)
    sent = [shot for shot in tcp.shots if shot.payload]
    start = tcp.shots.index(sent[2])
    found = segments(tcp.shots[:start]) + [
        segment._replace(frame=segment.frame + start, at=segment.at + start / 1000)
        for segment in segments(tcp.shots[start:], snap=80)
    ]
    table = Table(found).read()
    assert [pdu.bhs for pdu in received(table.entries)] == [pdu.bhs for pdu in pdus]
    assert table.gaps == 0
    assert table.short == sum(len(pdu) > 80 for pdu in pdus[2:])


def test_a_connection_that_was_cut_from_its_login_on_is_joined_in_the_middle() -> None:
    tcp, pdus = session(size=4000)
    table = listen(tcp.shots, snap=80)
    assert kinds(table.entries)[:2] == ["Connected", "Lost"]
    assert [pdu.bhs for pdu in received(table.entries)][-12:] == [pdu.bhs for pdu in pdus[2:]]
    assert {entry.conn for entry in table.entries if isinstance(entry, Received)} != {1}


@digests
@pytest.mark.parametrize("lost", [0, 1])
def test_a_gap_in_the_login_begins_a_connection_that_nothing_is_known_of(lost: int, header: bool, data: bool) -> None:
    tcp, pdus = session(header=header, data=data)
    sent = [shot for shot in tcp.shots if shot.payload]
    table = listen(without(tcp.shots, sent[lost]))
    entries = table.entries
    assert received(entries)[-12:] == pdus[2:]
    assert Lost(count=1) in entries
    assert "FullFeature" not in kinds(entries)
    connected = {entry.conn for entry in entries if isinstance(entry, Connected)}
    assert connected.isdisjoint(
        entry.conn for entry in entries if isinstance(entry, Received) and entry.pdu in pdus[2:]
    )
    assert {entry.conn for entry in entries if isinstance(entry, Closed)}.isdisjoint(connected)


@pytest.mark.parametrize("end", ["fin", "rst", "nothing"])
def test_what_is_missing_at_the_end_is_told(end: str) -> None:
    tcp = Tcp()
    tcp.open()
    pdus = dialogue()
    tcp.talk(*pdus)
    last = [shot for shot in tcp.shots if shot.payload][-1]
    if end == "fin":
        tcp.close()
    elif end == "rst":
        tcp.rst(INITIATOR)
    table = listen(without(tcp.shots, last))
    assert received(table.entries) == pdus[:-1]
    assert table.gaps == 1
    where = table.entries.index(Lost(count=1))
    assert set(kinds(table.entries[where + 1 :])) == ({"Closed"} if end != "nothing" else set())


def test_what_was_lost_on_its_way_ends_the_stream() -> None:
    tcp = Tcp()
    tcp.open()
    pdus = dialogue()
    tcp.talk(*pdus)
    lost = tcp.shot(INITIATOR, command(77).raw)
    tcp.shot(INITIATOR, command(78).raw)
    tcp.rst(INITIATOR)
    table = listen(without(tcp.shots, lost))
    assert received(table.entries) == pdus
    assert table.gaps == 0
    assert ends(table.entries) == [("initiator", "rst", "peer"), ("target", "rst", "proxy")]


def test_noise_in_the_middle_costs_what_it_takes() -> None:
    tcp = Tcp()
    tcp.open()
    pdus = dialogue(rounds=6)
    tcp.talk(*pdus[:10])
    tcp.send(TARGET, b"\x21\x00noise that is no PDU, of any kind, and so much of it")
    tcp.talk(*pdus[10:])
    table = listen(tcp.shots[6:])  # what is joined in the middle is watched
    assert received(table.entries, TARGET)[-6:] == by(pdus[10:], TARGET)[-6:]
    assert table.gaps == 1


def test_noise_behind_a_login_that_was_joined_is_told() -> None:
    pdus = dialogue()
    tcp = Tcp()
    tcp.open()
    tcp.talk(*pdus[:2])
    tcp.send(TARGET, b"\x21\x00noise that is no PDU, of any kind, and so much of it")
    tcp.talk(*pdus[2:])
    entries = listen(tcp.shots[3:]).entries
    assert [pdu for pdu in received(entries, TARGET) if pdu not in by(pdus, TARGET)] == []
    assert received(entries, TARGET)[-1] == pdus[-1]
    assert Lost(count=1) in entries


def test_who_cares_little_for_reserved_bits_is_understood_behind_a_gap_in_the_login() -> None:
    odd = bytearray(response(1).bhs)
    odd[10] = 1
    pdus = [*dialogue(rounds=0), command(1), Pdu(bytes(odd)), command(2), response(2), command(3), data_in(3)]
    tcp = Tcp()
    tcp.open()
    tcp.talk(*pdus)
    lost = next(shot for shot in tcp.shots if shot.payload)
    assert received(listen(without(tcp.shots, lost)).entries) == pdus[1:]


# --- ends ----------------------------------------------------------------------------------------------------------

FIN_OF = {
    INITIATOR: [("initiator", "fin", "peer"), ("target", "fin", "proxy")],
    TARGET: [("target", "fin", "peer"), ("initiator", "fin", "proxy")],
}


@pytest.mark.parametrize("first", End)
def test_a_FIN_becomes_a_FIN_on_the_other_leg(first: End) -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(*dialogue())
    tcp.fin(first)
    assert ends(listen(tcp.shots).entries) == FIN_OF[first]
    tcp.send(first.other, (response(9) if first is INITIATOR else command(9)).raw)
    tcp.fin(first.other)
    tcp.fin(first.other)
    table = listen(tcp.shots)
    assert ends(table.entries) == FIN_OF[first] + FIN_OF[first.other]
    assert received(table.entries)[-1]["ITT"] == 9
    assert table.conversations[0].over


@pytest.mark.parametrize("first", End)
def test_a_RST_becomes_a_RST_on_the_other_leg(first: End) -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(*dialogue())
    tcp.rst(first)
    tcp.rst(first.other)
    assert ends(listen(tcp.shots).entries) == [(first.value, "rst", "peer"), (first.other.value, "rst", "proxy")]


def test_a_RST_may_follow_a_FIN() -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(*dialogue())
    tcp.fin(INITIATOR)
    tcp.rst(INITIATOR)
    assert ends(listen(tcp.shots).entries) == [
        *FIN_OF[INITIATOR],
        ("initiator", "rst", "peer"),
        ("target", "rst", "proxy"),
    ]


def test_a_RST_cuts_off_what_waited_to_be_understood() -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(*dialogue())
    start = len(tcp.shots)
    tcp.talk(command(50), response(50))
    tcp.rst(TARGET)
    entries = listen(tcp.shots[start:]).entries
    assert kinds(entries) == ["Received", "Delivered", "Received", "Delivered", "Closed", "Closed"]


def test_a_login_that_is_garbage_is_unframed() -> None:
    tcp = Tcp()
    tcp.open()
    tcp.talk(login(*KEYS))
    tcp.send(TARGET, login(opcode=Opcode.LOGIN_RESPONSE).with_fields({"DataSegmentLength": 1 << 20}).raw)
    tcp.close()
    [garbage] = [entry for entry in listen(tcp.shots).entries if isinstance(entry, Unframed)]
    assert garbage.leg is TARGET
    assert "during login" in garbage.reason


# --- both legs -----------------------------------------------------------------------------------------------------

LEGS = {0: INITIATOR, 1: TARGET}


def both() -> tuple[Tcp, Tcp]:
    """Give the two legs of one connection, as one list of packets."""
    one = Tcp(stream=0, first=(7, 7))
    other = Tcp(("10.0.0.2", 50000), ("10.0.0.9", 3260), stream=1, first=(7, 7), shots=one.shots)
    one.open()
    other.open()
    return one, other


def test_on_each_leg_the_peer_speaks_and_the_proxy_delivers() -> None:
    one, other = both()
    pdus = dialogue(header=True)
    for pdu in pdus:
        source, destination = (one, other) if pdu.sender is INITIATOR else (other, one)
        source.send(pdu.sender, pdu)
        destination.send(pdu.sender, pdu)
    table = listen(one.shots, legs=LEGS)
    entries = table.entries
    for end in End:
        assert received(entries, end) == by(pdus, end)
        assert delivered(entries, end) == by(pdus, end.other)
    assert kinds(entries).count("Connected") == 1
    assert {entry.conn for entry in entries if isinstance(entry, Event)} == {1}
    came = [entry for entry in entries if isinstance(entry, Received)]
    went = [entry for entry in entries if isinstance(entry, Delivered)]
    assert [entry.of for entry in went] == [entry.n for entry in came]
    assert kinds(entries)[3:7] == ["Received", "FullFeature", "FullFeature", "Delivered"]


def test_each_leg_has_the_digests_of_its_own_login() -> None:
    one, other = both()
    for tcp, digest in ((one, "None"), (other, "CRC32C")):
        tcp.talk(*dialogue(rounds=0, header=digest == "CRC32C"))
    sealed = command(1).sealed(header=True, data=False)
    one.talk(command(1))
    other.talk(sealed)
    entries = listen(one.shots, legs=LEGS).entries
    assert received(entries, INITIATOR)[-1] == command(1)
    assert delivered(entries, TARGET)[-1] == sealed


def test_ends_of_each_leg_are_told_as_they_were() -> None:
    one, other = both()
    one.fin(INITIATOR)
    other.fin(INITIATOR)
    other.rst(TARGET)
    one.rst(TARGET, comments=["iscsiproxy: closed by a fault"])
    assert ends(listen(one.shots, legs=LEGS).entries) == [
        ("initiator", "fin", "peer"),
        ("target", "fin", "proxy"),
        ("target", "rst", "peer"),
        ("initiator", "rst", "fault"),
    ]


def test_a_timeout_is_no_reset() -> None:
    one, _ = both()
    one.rst(TARGET, comments=["iscsiproxy: the connection timed out; no such packet was seen"])
    assert ends(listen(one.shots, legs=LEGS).entries) == [("initiator", "timeout", "peer")]


def test_comments_on_packets_without_data_are_told() -> None:
    one, _ = both()
    one.talk(*dialogue(rounds=0))
    one.shot(TARGET, comments=["iscsiproxy: note of rule a/1: late"])
    one.shot(TARGET, comments=["iscsiproxy: no PDUs any more: noise; what follows passes raw and is not captured"])
    assert kinds(listen(one.shots, legs=LEGS).entries)[-2:] == ["Noted", "Unframed"]


def test_a_gap_on_one_leg_begins_both_anew() -> None:
    one, other = both()
    pdus = dialogue(rounds=4)
    for pdu in pdus:
        source, destination = (one, other) if pdu.sender is INITIATOR else (other, one)
        source.send(pdu.sender, pdu)
        destination.send(pdu.sender, pdu)
    sent = [shot for shot in one.shots if shot.payload]
    table = listen(without(one.shots, sent[1]), legs=LEGS)
    entries = table.entries
    assert received(entries, INITIATOR)[-8:] == by(pdus, INITIATOR)[-8:]
    assert delivered(entries, TARGET)[-8:] == by(pdus, INITIATOR)[-8:]
    conns = {entry.conn for entry in entries[-20:] if isinstance(entry, Event)}
    assert len(conns) == 1


def test_its_repr_tells_its_state() -> None:
    tcp, _ = session()
    found: list[Segment] = segments(tcp.shots)
    table = Table(found)
    conversation = table.conversations[0]
    assert repr(conversation) == "<Conversation 0 undecided, 0 pieces wait>"
    for segment in found[:5]:
        conversation.take(segment)
    assert repr(conversation) == "<Conversation 0 iSCSI, 0 pieces wait>"
    assert Data(b"").whole
