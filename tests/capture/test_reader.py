from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from iscsiproxy.capture import Capture, CaptureReader, read_capture
from iscsiproxy.errors import CaptureError, UserError
from iscsiproxy.journal import Entry, Lost, Record
from iscsiproxy.session.events import (
    Closed,
    Connected,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    Noted,
    Received,
    Violated,
)
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.capture.desk import delivered, received
from tests.capture.traffic import Shot, Tcp, dialogue, pcap
from tests.journal.story import Story, change, command, data_in, login, response

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET

tshark = pytest.mark.peers("tshark")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcap"


def session(*pdus: Pdu, server: tuple[str, int] = ("10.0.0.2", 3260), port: int = 40000, stream: int = 0) -> Tcp:
    tcp = Tcp(("10.0.0.1", port), server, stream=stream)
    tcp.open()
    tcp.talk(*pdus, mss=1448)
    tcp.close()
    return tcp


def entries(reader: Iterable[Record]) -> list[Entry]:
    return [record.entry for record in reader]


def of(found: Sequence[Entry], conn: int) -> list[Entry]:
    return [entry for entry in found if isinstance(entry, Event) and entry.conn == conn]


# --- anybody's captures --------------------------------------------------------------------------------------------


@tshark
@pytest.mark.parametrize(
    ("ends", "vlan"),
    [(("10.0.0.1", "10.0.0.2"), None), (("10.0.0.1", "10.0.0.2"), 7), (("2001:db8::1", "2001:db8::2"), None)],
)
def test_a_session_is_read(path: Path, ends: tuple[str, str], vlan: int | None) -> None:
    tcp = Tcp((ends[0], 40000), (ends[1], 3260))
    tcp.open()
    pdus = dialogue(header=True, data=True, size=4000)
    tcp.talk(*pdus, mss=1448)
    tcp.close()
    path.write_bytes(pcap(tcp.shots, vlan=vlan))
    with read_capture(path) as reader:
        assert (reader.streams, reader.skipped, reader.gaps, reader.warnings) == (1, 0, 0, ())
        found = list(reader)
    entry = found[0].entry
    assert isinstance(entry, Connected)
    one, other = (f"[{host}]" if ":" in host else host for host in ends)
    assert (entry.initiator, entry.listen, entry.local, entry.target) == (
        f"{one}:40000",
        f"{other}:3260",
        f"{one}:40000",
        f"{other}:3260",
    )
    assert received(record.entry for record in found) == pdus
    assert {record.header_digest_ok for record in found if record.pdu is not None} == {None, True}
    assert all(record.payload is not None for record in found if record.pdu is not None and record.pdu.data)
    assert (reader.skipped, reader.gaps, reader.warnings) == (0, 0, ())
    assert repr(reader) == "<CaptureReader capture.pcap 1 streams, 0 skipped, 0 gaps>"


@tshark
def test_sessions_are_merged_in_the_order_of_their_packets_and_others_are_skipped(path: Path) -> None:
    one = session(*dialogue(rounds=4, header=True))
    other = session(*dialogue(rounds=5, data=True), server=("10.0.0.9", 5000), port=40001, stream=1)
    web = Tcp(("10.0.0.1", 40002), ("10.0.0.9", 80), stream=2)
    web.open()
    web.send(INITIATOR, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    shots: list[Shot] = []
    queues = [list(one.shots), list(other.shots), list(web.shots)]
    while any(queues):
        for queue in queues:
            shots += queue[:1]
            del queue[:1]
    path.write_bytes(pcap(shots))
    reader = read_capture(path)
    found = entries(reader)
    assert (reader.streams, reader.skipped) == (3, 1)
    assert received(of(found, 1)) == dialogue(rounds=4, header=True)
    assert received(of(found, 2)) == dialogue(rounds=5, data=True)
    events = [entry for entry in found if isinstance(entry, Event)]
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    assert [event.at for event in events] == sorted(event.at for event in events)
    changes = sum(one.conn != other.conn for one, other in pairwise(events))
    assert changes > 20


@tshark
def test_what_was_not_captured_is_told(path: Path) -> None:
    tcp = session(*dialogue())
    lost = [shot for shot in tcp.shots if shot.payload][4]
    path.write_bytes(pcap([shot for shot in tcp.shots if shot is not lost]))
    reader = read_capture(path)
    found = entries(reader)
    assert Lost(count=1) in found
    assert reader.gaps == 1
    assert reader.warnings == ("packets were not captured; places at which PDUs are missing: 1",)
    assert len(received(found)) == len(dialogue()) - 1


@tshark
def test_a_connection_joined_in_its_middle_is_told(path: Path) -> None:
    tcp = session(*dialogue(rounds=6, header=True))
    path.write_bytes(pcap(tcp.shots[20:]))
    reader = read_capture(path)
    found = received(entries(reader))
    assert len(found) > 12
    assert found == dialogue(rounds=6, header=True)[-len(found) :]
    assert reader.warnings == (
        "10.0.0.1:40000 to 10.0.0.2:3260 was captured from its middle on: its login is not there",
    )


@tshark
def test_many_such_connections_are_counted(path: Path) -> None:
    shots = []
    for number in range(12):
        shots += session(*dialogue(rounds=2), port=40000 + number).shots[8:]
    path.write_bytes(pcap(shots))
    reader = read_capture(path)
    list(reader)
    assert len(reader.warnings) == 11
    assert reader.warnings[-1] == "2 further connections were captured from their middle on"


@tshark
def test_ports_speak_for_iSCSI(path: Path) -> None:
    tcp = Tcp(server=("10.0.0.2", 9999))
    tcp.open()
    tcp.talk(*dialogue())
    start = len(tcp.shots)
    tcp.talk(command(50), response(50))
    path.write_bytes(pcap(tcp.shots[start:]))
    assert entries(read_capture(path)) == []
    assert received(entries(read_capture(path, ports=[9999]))) == [command(50), response(50)]


@tshark
def test_packets_that_were_cut_leave_headers(path: Path) -> None:
    tcp = session(*dialogue(size=4000))
    path.write_bytes(pcap(tcp.shots, snap=14 + 40 + 200))
    reader = read_capture(path)
    found = [entry for entry in entries(reader) if isinstance(entry, Received)]
    assert [entry.pdu.bhs for entry in found] == [pdu.bhs for pdu in dialogue(size=4000)]
    assert sum(entry.partial for entry in found) == 6
    assert reader.warnings == ("packets were cut when they were captured; PDUs known by their headers only: 6",)


@tshark
def test_a_compressed_capture_is_read(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap.gz"
    path.write_bytes(gzip.compress(pcap(session(*dialogue()).shots)))
    assert received(entries(read_capture(str(path)))) == dialogue()


@tshark
def test_a_capture_that_was_cut_is_read_so_far(path: Path) -> None:
    tcp = session(*dialogue())
    path.write_bytes(pcap(tcp.shots)[:-10])
    reader = read_capture(path)
    assert received(entries(reader)) == dialogue()
    [warning] = reader.warnings
    assert "cut short" in warning


@tshark
def test_times_that_go_backwards_are_told_and_put_right(path: Path) -> None:
    tcp = session(*dialogue())
    times = [number / 1000 for number in range(len(tcp.shots))]
    times[8] = times[4]
    path.write_bytes(pcap(tcp.shots, times=times))
    reader = read_capture(path)
    found = [entry for entry in entries(reader) if isinstance(entry, Event)]
    assert [entry.at for entry in found] == sorted(entry.at for entry in found)
    assert received(found) == dialogue()
    assert reader.warnings == ("packets are not in the order of their times, by up to 0.003000 s",)


@tshark
def test_a_capture_without_TCP_is_read_and_told(path: Path) -> None:
    path.write_bytes(pcap([]))
    reader = read_capture(path)
    assert list(reader) == []
    assert (reader.streams, reader.warnings) == (0, ("there is no TCP connection in it",))


@tshark
@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"journal": 1}\n' * 10, b"\x1f\x8b broken", bytes(100)])
def test_a_file_that_is_no_capture_is_the_users_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"capture\.pcap: (expected a packet capture|tshark cannot read it)"):
        read_capture(path)


def test_a_file_that_is_not_there_is_no_error_of_ours(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_capture(path)


@tshark
def test_a_file_that_changes_while_it_is_read_is_told(path: Path) -> None:
    path.write_bytes(pcap(session(*dialogue()).shots))
    reader = read_capture(path)
    other = session(*dialogue(), port=40001).shots
    path.write_bytes(pcap([*session(*dialogue()).shots, *other]))
    with pytest.raises(CaptureError, match="changed"):
        list(reader)


@tshark
def test_closing_it_ends_it(path: Path) -> None:
    path.write_bytes(pcap(session(*dialogue(rounds=50)).shots))
    with read_capture(path) as reader:
        assert isinstance(reader, CaptureReader)
        next(reader)
    assert list(reader) == []
    reader.close()


def test_who_writes_captures_does_not_load_the_reader() -> None:
    script = "import iscsiproxy.capture, sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'iscsiproxy.capture.writer'" in done.stdout
    assert "'iscsiproxy.capture.reader'" not in done.stdout
    assert "'subprocess'" not in done.stdout


def test_the_room_has_no_other_names() -> None:
    import iscsiproxy.capture as room

    with pytest.raises(AttributeError, match="nonsense"):
        _ = room.nonsense


# --- our own captures ----------------------------------------------------------------------------------------------


def written(path: Path, *stories: Story) -> list[Event]:
    """Write what happened as a capture; give it back in its order."""
    events = sorted((event for story in stories for event in story.events), key=lambda event: event.n)
    capture = Capture(path, started=1_700_000_000.0)
    for event in events:
        capture(event)
    assert capture.close()
    return events


def plain(found: Iterable[Entry]) -> list[Event]:
    """Make events comparable: numbered from 1 in their order, with the time since the first where that is exact."""
    events = [entry for entry in found if isinstance(entry, Event)]
    numbers = {event.n: number for number, event in enumerate(events, 1)}
    start = events[0].at
    made = []
    for event in events:
        values: dict[str, object] = {"n": numbers[event.n], "at": round(event.at - start, 6)}
        if isinstance(event, FullFeature | Fired | Noted | Decided):
            values["at"] = 0.0  # a packet later, or with the one that it belongs to
        if getattr(event, "of", None) is not None:
            values["of"] = numbers[event.of]  # type: ignore[attr-defined]
        made.append(replace(event, **values))  # type: ignore[arg-type]
    return made


@tshark
@pytest.mark.parametrize("keys", [(), ("HeaderDigest=CRC32C", "DataDigest=CRC32C")])
def test_our_own_capture_is_read_as_what_was_written(path: Path, keys: tuple[str, ...]) -> None:
    story = Story()
    story.connected()
    story.passed(login("InitiatorName=iqn.a", *keys))
    n = story.came(login(*keys, opcode=Opcode.LOGIN_RESPONSE, TSIH=1))
    story.full_feature(TARGET)
    story.full_feature(INITIATOR)
    story.went(login(*keys, opcode=Opcode.LOGIN_RESPONSE, TSIH=1), n)
    digests = bool(keys)
    for pdu in (command(1), data_in(1, bytes(100_000)), command(2, b"data"), response(2)):
        story.passed(pdu.sealed(header=digests, data=digests))
    story.ended()
    events = written(path, story)
    reader = read_capture(path)
    found = plain(entries(reader))
    assert (reader.streams, reader.skipped, reader.gaps, reader.warnings) == (2, 0, 0, ())
    assert [replace(event, keys=()) if isinstance(event, FullFeature) else event for event in found] == plain(events)


@tshark
def test_what_faults_did_is_read_back(path: Path) -> None:
    story = Story()
    story.logged_in()
    n = story.came(command(1))
    story.fired("a/1", "set", n, "CmdSN 0x1 -> 0x2", change("CmdSN", "0x1", "0x2"))
    story.went(command(1).with_fields({"CmdSN": 2}), n, changes=[change("CmdSN", "0x1", "0x2")], rules=["a/1"])
    n = story.came(command(2))
    story.fired("b/1", "drop", n, "dropped", label="SCSI-Command ITT=0x2")
    story.noted("b/1", n, "gone")
    n = story.came(command(3))
    story.fired("c/1", "duplicate", n, "sent twice", label="SCSI-Command ITT=0x3")
    story.went(command(3), n)
    story.went(command(3), n, rules=["c/1"])
    story.went(response(9), None, rules=["d/1"])
    n = story.came(command(4))
    story.decided("e/1", "failed", n, "no such field")
    story.went(command(4).with_fields({"CmdSN": 44}), n)
    story.closed(INITIATOR, "rst", "fault")
    story.closed(TARGET, "rst", "proxy")
    events = written(path, story)
    found = [entry for entry in entries(read_capture(path)) if not isinstance(entry, FullFeature)]
    assert [replace(event, author=0) if isinstance(event, Delivered) else event for event in plain(found)] == plain(
        event for event in events if not isinstance(event, FullFeature)
    )
    assert [entry.author for entry in found if isinstance(entry, Delivered)] == [0, 0, 0, 0, 1, 2, 0]


@tshark
def test_connections_are_paired_however_they_are_mixed(path: Path) -> None:
    shared = Story()
    stories = [Story(conn=conn) for conn in (1, 2, 3)]

    def next_turn(story: Story) -> Story:
        story._n = shared._n
        return story

    def done(story: Story) -> None:
        shared._n = story._n

    for story in stories:
        next_turn(story).connected(
            initiator=f"10.0.0.1:{1000 + story.conn}", local=f"10.0.0.5:{2000 + story.conn}", target="10.0.0.9:3260"
        )
        done(story)
    for itt in range(1, 5):
        for story in reversed(stories):
            next_turn(story).passed(command(itt, bytes([story.conn]) * 8))
            done(story)
    events = written(path, *stories)
    found = entries(read_capture(path))
    assert len([entry for entry in found if isinstance(entry, Connected)]) == 3
    for conn in (1, 2, 3):
        own = of(found, conn)
        [connected] = [entry for entry in own if isinstance(entry, Connected)]
        assert connected.initiator == f"10.0.0.1:{1000 + conn}"
        assert connected.local == f"10.0.0.5:{2000 + conn}"
        expected = [event for event in events if event.conn == conn]
        assert received(own) == received(expected)
        assert delivered(own, TARGET) == delivered(expected, TARGET)


@tshark
def test_a_capture_begun_in_the_middle_is_paired_too(path: Path) -> None:
    story = Story(conn=5, first=100)
    for itt in range(1, 5):
        story.passed(command(itt))
        story.passed(response(itt))
    events = written(path, story)
    found = entries(read_capture(path))
    assert "Connected" not in {type(entry).__name__ for entry in found}
    assert {entry.conn for entry in found if isinstance(entry, Event)} == {1}
    for end in End:
        assert received(found, end) == received(events, end)
        assert delivered(found, end) == delivered(events, end)
    assert [entry.of for entry in found if isinstance(entry, Delivered)] == [
        entry.n for entry in found if isinstance(entry, Received)
    ]


@tshark
def test_PDUs_whose_data_was_too_much_are_headers(path: Path) -> None:
    story = Story()
    story.logged_in()
    header = Pdu(data_in(1, bytes(200_000)).bhs)
    n = story.came(header, partial=True)
    story.went(header, n)
    story.passed(response(2))
    written(path, story)
    found = entries(read_capture(path))
    [partial] = [entry for entry in found if isinstance(entry, Received) and entry.partial]
    assert partial.pdu == header
    assert delivered(found, INITIATOR)[-2:] == [header, response(2)]
    assert Lost(count=1) not in found


@tshark
def test_a_PDU_cut_by_a_fault_does_not_spoil_what_follows(path: Path) -> None:
    story = Story()
    story.logged_in()
    n = story.came(data_in(1, bytes(300)))
    story.went(data_in(1, bytes(300)), n, rules=["a/1"], sent=100)
    story.passed(response(2))
    n = story.came(data_in(3, bytes(300)))
    story.went(data_in(3, bytes(300)), n, rules=["a/2"], sent=100)
    story.went(data_in(3, bytes(300)), n, rules=["a/2"], start=100)
    written(path, story)
    found = entries(read_capture(path))
    assert delivered(found, INITIATOR)[-2:] == [response(2), data_in(3, bytes(300))]


@tshark
def test_one_leg_alone_is_read(path: Path, tmp_path: Path) -> None:
    story = Story()
    story.logged_in()
    story.passed(command(1))
    story.ended()
    written(path, story)
    leg = tmp_path / "leg.pcapng"
    subprocess.run(
        ["tshark", "-r", str(path), "-Y", "frame.interface_id == 0", "-w", str(leg)], check=True, capture_output=True
    )
    found = entries(read_capture(leg))
    assert {entry.leg for entry in found if isinstance(entry, Received | Delivered | Closed)} == {INITIATOR}
    assert received(found, INITIATOR)[-1] == command(1)


@tshark
def test_what_the_session_state_makes_of_it_is_left_to_others(path: Path) -> None:
    story = Story()
    story.logged_in()
    n = story.came(command(1))
    story.violated(INITIATOR, INITIATOR, n, "CmdSN skipped")
    story.went(command(1), n)
    written(path, story)
    found = entries(read_capture(path))
    assert not [entry for entry in found if isinstance(entry, Violated)]
