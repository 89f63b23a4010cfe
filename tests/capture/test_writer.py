from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from iscsiproxy.capture import Capture
from iscsiproxy.capture.pcapng import LINKTYPE_RAW
from iscsiproxy.session.events import Connected, Event
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.capture.blocks import Segment, blocks, segments
from tests.journal.story import INITIATOR, TARGET, Story, change, command, data_in, login, response
from tests.real import tshark
from tests.real.process import run

__all__: list[str] = []

STARTED = 1_700_000_000.5
PORTS = (3260, 3261)
#: The preferences that have checksums looked at
CHECKSUMS = {"ip.check_checksum": "TRUE", "tcp.check_checksum": "TRUE"}
DIGESTS = ("HeaderDigest=CRC32C", "DataDigest=CRC32C")


def capture(path: Path, events: Iterable[Event]) -> list[Segment]:
    writer = Capture(path, started=STARTED)
    for event in events:
        writer(event)
    assert writer.close()
    found = segments(path.read_bytes())
    assert writer.packets == len(found)
    assert writer.lost == 0
    return found


def said(found: Iterable[Segment]) -> list[tuple[int, str]]:
    """Give the comments, each with the number of its interface."""
    return [(segment.interface, comment) for segment in found for comment in segment.comments]


def sealed(pdu: Pdu) -> Pdu:
    return pdu.sealed(header=True, data=True)


def settled(*pairs: str) -> Story:
    """Begin with a login and a first PDU with data, by which tshark finds out what digests there are.

    It takes them from no login: should the first digest that it meets be wrong, or its PDU lie in several packets, it
    believes that there are none.
    """
    story = Story()
    story.logged_in(*pairs)
    header, data = (any(pair == f"{key}=CRC32C" for pair in pairs) for key in ("HeaderDigest", "DataDigest"))
    story.passed(data_in(1, b"capacity").sealed(header=header, data=data))
    return story


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


# --- without tshark ------------------------------------------------------------------------------------------------


def test_the_file_says_what_it_is(path: Path) -> None:
    capture(path, [])
    section, first, second = blocks(path.read_bytes())
    assert [code for code, _ in section.options] == [2, 3, 4]
    assert section.options[-1][1].startswith(b"iscsiproxy ")
    assert first.option(2) == [b"initiator leg"]
    assert second.option(2) == [b"target leg"]
    assert first.fixed[0] == second.fixed[0] == LINKTYPE_RAW


def test_only_its_owner_may_read_it(path: Path) -> None:
    capture(path, [])
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_leg_has_its_connection_in_order(path: Path) -> None:
    story = Story()
    story.connected()
    story.passed(command(1))
    story.passed(response(1))
    story.ended()
    found = capture(path, story.events)
    for interface, ports in enumerate(((40001, 3261), (40002, 3260))):
        leg = [segment for segment in found if segment.interface == interface]
        first = leg[0].seq
        assert {segment.source[1] for segment in leg} == set(ports)
        assert [
            (ports.index(segment.source[1]), segment.flags, segment.seq - first, max(segment.ack - first, 0))
            for segment in leg
        ] == [
            (0, 0x02, 0, 0),
            (1, 0x12, 0, 1),
            (0, 0x10, 1, 1),
            (0, 0x18, 1, 1),
            (1, 0x18, 1, 49),
            (0, 0x11, 49, 49),
            (1, 0x10, 49, 50),
            (1, 0x11, 49, 50),
            (0, 0x10, 50, 50),
        ]
        assert [segment.payload for segment in leg if segment.payload] == [command(1).raw, response(1).raw]


def test_packets_have_the_time_and_direction_of_their_events(path: Path) -> None:
    story = Story()
    story.connected()
    story.passed(command(1))
    *_, came, went = capture(path, story.events)
    start = round(STARTED * 1e6)
    assert (came.interface, came.inbound, came.micros) == (0, True, start + 2000)
    assert (went.interface, went.inbound, went.micros) == (1, False, start + 3000)


def test_what_a_rule_does_stands_on_the_PDU_received_and_on_the_one_delivered(path: Path) -> None:
    story = Story()
    story.connected()
    n = story.came(command(1))
    story.fired("cmdsn_duplicate_write/1", "duplicate", n, "sent twice", change("ITT", "0x1", "0x2"))
    story.went(command(1), n)
    story.went(command(2), n, changes=[change("ITT", "0x1", "0x2")], rules=["cmdsn_duplicate_write/1"])
    m = story.came(command(3))
    story.fired("lost/1", "drop", m, "dropped SCSI-Command ITT=0x3")
    story.noted("lost/1", m, "so what")
    found = capture(path, story.events)
    assert said(found) == [
        (0, "iscsiproxy: rule cmdsn_duplicate_write/1 duplicate: ITT 0x1 -> 0x2"),
        (1, "iscsiproxy: rule cmdsn_duplicate_write/1 duplicate: ITT 0x1 -> 0x2"),
        (0, "iscsiproxy: rule lost/1 drop: dropped SCSI-Command ITT=0x3"),
        (0, "iscsiproxy: note of rule lost/1: so what"),
    ]
    assert all(segment.payload for segment in found if segment.comments)


def test_what_is_said_too_late_has_a_packet_of_its_own(path: Path) -> None:
    story = Story()
    story.connected()
    n = story.came(command(1))
    m = story.came(response(1))
    story.fired("slow/1", "release", n, "released")
    story.noted("slow/1", m, "on the other leg")
    story.fired("tick/1", "note", None, "a timer")
    story.unframed(TARGET, "garbage")
    found = capture(path, story.events)[-4:]
    assert said(found) == [
        (0, "iscsiproxy: rule slow/1 release: released"),
        (1, "iscsiproxy: note of rule slow/1: on the other leg"),
        (0, "iscsiproxy: rule tick/1 note: a timer"),
        (1, "iscsiproxy: no PDUs any more: garbage; what follows passes raw and is not captured"),
    ]
    assert not any(segment.payload for segment in found)


def test_how_a_leg_ended_is_told(path: Path) -> None:
    story = Story()
    story.connected()
    story.closed(TARGET, "rst", "fault")
    story.closed(INITIATOR, "timeout")
    found = capture(path, story.events)[-2:]
    assert said(found) == [
        (1, "iscsiproxy: closed by a fault"),
        (0, "iscsiproxy: the connection timed out; no such packet was seen"),
    ]
    assert [(segment.flags, segment.inbound) for segment in found] == [(0x14, False), (0x14, False)]


def test_a_PDU_cut_or_sent_in_two_is_told(path: Path) -> None:
    story = Story()
    story.connected()
    n = story.came(command(1))
    story.went(command(1), n, rules=["split/1"], sent=20)
    story.went(command(1), n, rules=["split/1"], start=20)
    first, second = capture(path, story.events)[-2:]
    assert first.payload + second.payload == command(1).raw
    assert first.comments == ("iscsiproxy: rule split/1", "iscsiproxy: bytes 0 to 20 of 48")
    assert second.comments == ("iscsiproxy: rule split/1", "iscsiproxy: bytes 20 to 48 of 48")


def test_what_was_not_kept_is_told(path: Path) -> None:
    story = Story()
    story.connected()
    pdu = Pdu(data_in().with_fields({"DataSegmentLength": 1000}).bhs)
    n = story.came(pdu, partial=True)
    story.went(pdu, n)
    came, went = capture(path, story.events)[-2:]
    assert came.length == went.length == 1048
    assert came.payload == went.payload == pdu.raw
    assert came.comments == ("iscsiproxy: the data was too much to be kept",)


def test_comments_say_no_answer(path: Path) -> None:
    secret = "5ec2e7a95ec2e7a95ec2e7a9"
    story = Story()
    story.connected()
    pdu = login(f"CHAP_R=0x{secret}")
    n = story.came(pdu)
    story.fired("r/1", "corrupt", n, f"data {pdu.data!r}", change("data", pdu.data.hex(), "00"))
    story.noted("r/1", n, f"it was 0x{secret}")
    story.went(login(), n, rules=["r/1"], changes=[change("data", pdu.data.hex(), "00")])
    comments = " ".join(comment for _, comment in said(capture(path, story.events)))
    assert "withheld" in comments
    assert secret not in comments
    assert secret.encode().hex() not in comments


def test_a_connection_that_ran_already_has_no_handshake(path: Path) -> None:
    story = Story()
    story.connected()
    [connected] = story.events
    assert isinstance(connected, Connected)
    story.passed(command(1))
    writer = Capture(path, started=STARTED)
    writer.adopt(connected)
    for event in story.events[1:]:
        writer(event)
    assert "2 packets, 1 connections" in repr(writer)
    writer.close()
    came, went = segments(path.read_bytes())
    assert (came.source[1], came.destination[1], went.source[1], went.destination[1]) == (40001, 3261, 40002, 3260)
    assert said([came, went]) == []


def test_a_connection_that_nothing_is_known_of_has_made_up_addresses(path: Path) -> None:
    story = Story(conn=7)
    story.passed(command(1))
    note, came, went = capture(path, story.events)
    assert note.comments == ("iscsiproxy: captured from the middle on; the addresses are made up",)
    assert came.source == (bytes([192, 0, 2, 1]), 49152 + 7)
    assert went.destination == (bytes([192, 0, 2, 4]), 3260)


def test_words_about_an_unknown_connection_are_passed_over(path: Path) -> None:
    story = Story()
    story.noted("r/1", None, "a note")
    story.closed(TARGET)
    assert capture(path, story.events) == []


def test_a_PDU_received_is_written_soon_though_nothing_follows() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader:
        story = Story()
        story.connected()
        story.came(command(1))
        writer = Capture(write_end, linger=0.0)
        for event in story.events:
            writer(event)
        data = b""
        while command(1).raw not in data:
            data += reader.read1()
        writer.close()
        os.close(write_end)


def test_what_the_disk_does_not_take_is_counted_and_told() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader:
        story = Story()
        story.connected()
        for ITT in (1, 2):  # noqa: N806 - the standard's name
            story.went(data_in(ITT, bytes(200_000)), None)
        story.went(command(3), None)
        writer = Capture(write_end, limit=300_000)
        for event in story.events:
            writer(event)
        assert writer.lost == 1
        data = b""
        while command(3).raw not in data:
            data += reader.read1()
        assert not writer.close()
        assert writer.failure is None
        os.close(write_end)
        data += reader.read()
    lost = [block for block in blocks(data) if block.kind == 5]
    assert [block.option(5) for block in lost] == [[(1).to_bytes(8, "little")]]
    assert lost[0].option(1) == [b"iscsiproxy: 1 PDUs are missing here, the disk was too slow or full"]


# --- as tshark sees it ---------------------------------------------------------------------------------------------


async def dissected(path: Path, events: Iterable[Event]) -> list[tshark.Frame]:
    capture(path, events)
    return await tshark.read(path, ports=PORTS, options=CHECKSUMS)


def names(frames: Iterable[tshark.Frame], interface: str) -> list[str]:
    return [pdu.name for pdu in tshark.pdus(frames, interface=interface)]


V6 = {"initiator": "[2001:db8::1]:40001", "listen": "[::1]:3261", "local": "[::1]:40002", "target": "[fe80::1%x]:3260"}


@pytest.mark.peers("tshark")
@pytest.mark.parametrize("addresses", [{}, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("pairs", [(), DIGESTS[:1], DIGESTS[1:], DIGESTS], ids=lambda pairs: "+".join(pairs) or "none")
async def test_all_PDUs_of_both_legs_are_dissected(
    path: Path, pairs: tuple[str, ...], addresses: dict[str, str]
) -> None:
    header, data = (any(pair.startswith(key) for pair in pairs) for key in ("HeaderDigest", "DataDigest"))
    story = Story()
    story.connected(**addresses)
    story.passed(login("InitiatorName=iqn.a:b", "SessionType=Normal", *pairs))
    story.passed(login(*pairs, opcode=Opcode.LOGIN_RESPONSE, TSIH=1))
    for pdu in (
        command(1),
        data_in(1, b"capacity"),
        command(2),
        data_in(2, bytes(70_000)),
        command(3, bytes(4096)),
        response(3),
        Pdu.build(Opcode.NOP_IN, b"ping!", ITT=0xFFFFFFFF, TTT=5, F=1),
        Pdu.build(Opcode.R2T, ITT=4, TTT=6, F=1, DesiredDataTransferLength=512),
        Pdu.build(Opcode.SCSI_COMMAND, ahs=bytes([0, 5, 2, 0, 0, 0, 2, 0]), ITT=9, F=1, R=1, W=1),
    ):
        story.passed(pdu.sealed(header=header, data=data))
    story.ended()
    frames = await dissected(path, story.events)
    assert tshark.problems(frames) == []
    expected = ["Login Command", "Login Response", "SCSI Command", "SCSI Data In", "SCSI Command", "SCSI Data In"]
    expected += ["SCSI Command", "SCSI Response", "NOP In", "Ready To Transfer", "SCSI Command"]
    assert names(frames, "initiator leg") == names(frames, "target leg") == expected
    for seen in tshark.pdus(frames)[4:]:
        assert seen.header_digest == ("good" if header else None)
        assert seen.data_digest == ("good" if data and seen.number("iscsi.datasegmentlength") else None)


@pytest.mark.peers("tshark")
async def test_faults_are_seen_as_they_were_on_the_wire(path: Path) -> None:
    story = settled(*DIGESTS)
    n = story.came(sealed(command(2)), header_digest_ok=True)
    story.fired("lost/1", "drop", n, "dropped SCSI-Command ITT=0x2")
    n = story.came(sealed(command(3)), header_digest_ok=True)
    story.fired("bad/1", "corrupt", n, "header digest")
    story.went(sealed(command(3)).with_parts(header_digest=b"oops"), n, rules=["bad/1"])
    n = story.came(sealed(data_in(3)), header_digest_ok=True, data_digest_ok=True)
    story.fired("bad/2", "corrupt", n, "data digest")
    story.went(sealed(data_in(3)).with_parts(data_digest=b"oops"), n, rules=["bad/2"])
    n = story.came(sealed(command(4)))
    story.fired("late/1", "note", n - 4, "a word about one long gone")
    story.fired("late/1", "note", None, "and another")
    story.fired("late/1", "note", None, "and yet another")
    story.went(sealed(command(4)), n)
    frames = await dissected(path, story.events)
    assert [problem.split(": ", 1)[1] for problem in tshark.problems(frames)] == [
        "SCSI Command: wrong header digest",
        "SCSI Data In: wrong data digest",
    ]
    [dropped] = tshark.pdus(frames, comment="lost/1 drop: dropped SCSI-Command ITT=0x2")
    assert dropped.number("iscsi.cmdsn") == 2
    [bad_header] = tshark.pdus(frames, comment="bad/1 corrupt", interface="target leg")
    [bad_data] = tshark.pdus(frames, comment="bad/2 corrupt", interface="initiator leg")
    assert (bad_header.header_digest, bad_data.header_digest, bad_data.data_digest) == ("bad", "good", "bad")
    assert names(frames, "initiator leg")[3:] == ["SCSI Command", "SCSI Command", "SCSI Data In", "SCSI Command"]
    assert names(frames, "target leg")[3:] == ["SCSI Command", "SCSI Data In", "SCSI Command"]
    assert sum("late/1" in comment for frame in frames for comment in frame.comments) == 3


@pytest.mark.peers("tshark")
async def test_a_PDU_cut_by_a_reset_is_seen_to_be_cut(path: Path) -> None:
    story = Story()
    story.logged_in()
    n = story.came(command(2, bytes(4096)))
    story.went(command(2, bytes(4096)), n, rules=["cut/1"], sent=100)
    story.closed(TARGET, "rst", "fault")
    story.closed(INITIATOR, "rst", "proxy")
    frames = await dissected(path, story.events)
    assert tshark.problems(frames) == []
    assert names(frames, "initiator leg") == ["Login Command", "Login Response", "SCSI Command"]
    assert names(frames, "target leg") == ["Login Command", "Login Response"]
    [cut] = [frame for frame in frames if any("bytes 0 to 100" in comment for comment in frame.comments)]
    assert cut.pending


@pytest.mark.peers("tshark")
async def test_a_PDU_sent_in_two_is_one_PDU(path: Path) -> None:
    story = Story()
    story.logged_in()
    n = story.came(command(2))
    story.went(command(2), n, rules=["split/1"], sent=47)
    story.went(command(2), n, rules=["split/1"], start=47)
    frames = await dissected(path, story.events)
    assert tshark.problems(frames) == []
    assert names(frames, "target leg")[-1] == "SCSI Command"


@pytest.mark.peers("tshark")
async def test_what_follows_a_PDU_without_its_data_is_dissected(path: Path) -> None:
    story = settled(*DIGESTS)
    large = Pdu(data_in(2).with_fields({"DataSegmentLength": 3_000_001}).bhs)
    n = story.came(large, partial=True)
    story.went(large, n)
    story.passed(sealed(data_in(3)))
    frames = await dissected(path, story.events)
    assert {problem.split(": ", 1)[1] for problem in tshark.problems(frames)} <= {"unread"}
    for leg in ("initiator leg", "target leg"):
        _, cut, whole = tshark.pdus(frames, interface=leg, opcode=Opcode.DATA_IN)
        assert cut.number("iscsi.datasegmentlength") == 3_000_001
        assert (whole.header_digest, whole.data_digest) == ("good", "good")


@pytest.mark.peers("tshark")
async def test_a_capture_from_the_middle_on_is_dissected(path: Path) -> None:
    story = Story()
    for pdu in (command(2), data_in(2, bytes(70_000)), command(3)):
        story.passed(pdu)
    frames = await dissected(path, story.events)
    assert tshark.problems(frames) == []
    assert (
        names(frames, "initiator leg")
        == names(frames, "target leg")
        == ["SCSI Command", "SCSI Data In", "SCSI Command"]
    )


@pytest.mark.peers("tshark")
async def test_ports_used_again_are_another_connection(path: Path) -> None:
    events: list[Event] = []
    for conn in (1, 2):
        story = Story(conn=conn, first=len(events) + 1)
        story.logged_in(*(DIGESTS if conn == 1 else ()))
        story.passed(sealed(command(2)) if conn == 1 else command(2))
        story.closed(INITIATOR, "rst")
        story.closed(TARGET, "rst", "proxy")
        events += story.events
    frames = await dissected(path, events)
    assert {problem.split(": ", 1)[1] for problem in tshark.problems(frames)} == {"reused_ports"}
    assert names(frames, "target leg") == 2 * ["Login Command", "Login Response", "SCSI Command"]


CHILD = """
import sys
import time
from iscsiproxy.capture import Capture
from tests.journal.story import Story, command, data_in

capture, story = Capture(sys.argv[1]), Story()
story.logged_in()
print("ready", flush=True)
while True:
    story.passed(command(2))
    story.passed(data_in(2, bytes(5000)))
    for event in story.events:
        capture(event)
    story.events.clear()
"""


@pytest.mark.peers("tshark")
async def test_a_kill_leaves_a_readable_capture(path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here, and the wait is short
        [sys.executable, "-c", CHILD, str(path)], cwd=root, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        deadline = time.monotonic() + 60.0
        while path.stat().st_size < 1 << 20:
            assert child.poll() is None
            assert time.monotonic() < deadline
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    iscsi = ("-d", "tcp.port==3261,iscsi", "-Y", "iscsi", "-T", "fields", "-e", "iscsi.opcode")
    finished = await run("tshark", "-n", "-r", str(path), "-c", "200", *iscsi)
    assert finished.ok, finished.output
    assert finished.stdout.split()[:6] == ["0x03", "0x03", "0x23", "0x23", "0x01", "0x01"]
    cut = await run("tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.number")
    assert cut.ok or "cut short in the middle of a packet" in cut.stderr, cut.output
    assert int(cut.stdout.split()[-1]) > 200
