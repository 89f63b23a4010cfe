from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest

from iscsiproxy.capture import Capture
from iscsiproxy.capture.tshark import Tshark
from iscsiproxy.errors import CaptureError, UserError
from iscsiproxy.wire.opcodes import End
from tests.capture.traffic import Shot, Tcp, pcap, segments
from tests.journal.story import Story, command

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET

tshark = pytest.mark.peers("tshark")


def talk(*, v6: bool = False) -> list[Shot]:
    ends = (("2001:db8::1", 40000), ("2001:db8::2", 3260)) if v6 else (("10.0.0.1", 40000), ("10.0.0.2", 3260))
    tcp = Tcp(*ends, first=(0xFFFFFFF0, 5000))
    tcp.open()
    tcp.send(INITIATOR, bytes(range(100)), mss=60)
    tcp.send(TARGET, b"answer")
    tcp.fin(INITIATOR)
    tcp.rst(TARGET)
    return tcp.shots


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "-a capture.pcap"


@tshark
@pytest.mark.parametrize(("v6", "vlan"), [(False, None), (True, 42)])
def test_segments_are_read_as_they_were_sent(path: Path, v6: bool, vlan: int | None) -> None:
    shots = talk(v6=v6)
    path.write_bytes(pcap(shots, vlan=vlan))
    reader = Tshark(path)
    expected = segments(shots)
    assert list(reader.segments(contents=False)) == [segment._replace(payload=b"") for segment in expected]
    assert list(reader.segments(contents=True)) == [
        segment for segment in expected if segment.length or segment.flags & 0x07
    ]
    assert reader.warnings == []


@tshark
def test_packets_that_were_cut_keep_their_length(path: Path) -> None:
    shots = talk()
    path.write_bytes(pcap(shots, snap=14 + 40 + 20))
    found = [segment for segment in Tshark(path).segments(contents=True) if segment.length]
    assert [(segment.length, segment.payload) for segment in found] == [
        (60, bytes(range(20))),
        (40, bytes(range(60, 80))),
        (6, b"answer"),
    ]


@tshark
def test_a_port_used_again_is_another_connection(path: Path) -> None:
    again = Tcp(first=(77777, 88888), stream=1)
    again.open()
    again.send(INITIATOR, b"again")
    path.write_bytes(pcap([*talk(), *again.shots]))
    assert {segment.stream for segment in Tshark(path).segments(contents=True)} == {0, 1}


@tshark
def test_the_headers_in_an_ICMP_error_are_no_segment(path: Path) -> None:
    shots = talk()
    whole = pcap(shots)
    quoted = pcap(shots[3:4])[24 + 16 + 14 :][:28]
    icmp = struct.pack(">BBHI", 3, 1, 0, 0) + quoted
    there = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0, bytes([10, 0, 0, 9]), bytes([10, 0, 0, 1])
    )
    frame = bytes(12) + b"\x08\x00" + there + icmp
    path.write_bytes(whole + struct.pack("<IIII", 1_700_000_100, 0, len(frame), len(frame)) + frame)
    assert len(list(Tshark(path).segments(contents=False))) == len(shots)


@tshark
def test_inside_a_tunnel_the_inner_addresses_count(path: Path) -> None:
    shots = talk()
    packets = []
    for number, segment in enumerate(shots):
        inner = pcap([segment])[24 + 16 :]
        udp = struct.pack(">HHHH", 50000, 4789, 16 + len(inner), 0) + struct.pack(">II", 0x08000000, 7 << 8) + inner
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([1, 1, 1, 1]), bytes([2, 2, 2, 2])
        )
        frame = bytes(12) + b"\x08\x00" + ip + udp
        packets.append(struct.pack("<IIII", 1_700_000_000, number * 1000, len(frame), len(frame)) + frame)
    path.write_bytes(pcap([]) + b"".join(packets))
    assert list(Tshark(path).segments(contents=False)) == [segment._replace(payload=b"") for segment in segments(shots)]


@tshark
def test_comments_and_interfaces_are_read(path: Path) -> None:
    story = Story()
    story.connected()
    n = story.came(command(1))
    story.fired("a/1", "drop", n, "dropped, with a comma")
    story.noted("a/2", n, "ünd this")
    capture = Capture(path, started=0.0)
    for event in story.events:
        capture(event)
    assert capture.close()
    found = list(Tshark(path).segments(contents=True))
    assert [segment.comments for segment in found if segment.comments] == [
        ("iscsiproxy: rule a/1 drop: dropped, with a comma", "iscsiproxy: note of rule a/2: ünd this")
    ]
    assert {segment.interface for segment in found} == {"initiator leg", "target leg"}


@tshark
def test_what_the_user_has_set_in_Wireshark_changes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "preferences").write_text("nonsense: 1\n")
    (tmp_path / "disabled_protos").write_text("tcp\n")
    monkeypatch.setenv("WIRESHARK_CONFIG_DIR", str(tmp_path))
    path.write_bytes(pcap(talk()))
    assert list(Tshark(path).segments(contents=False))


@tshark
def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap.gz"
    path.write_bytes(gzip.compress(pcap(talk())))
    assert len(list(Tshark(path).segments(contents=False))) == len(talk())


@tshark
def test_a_file_that_was_cut_is_read_so_far_and_told(path: Path) -> None:
    path.write_bytes(pcap(talk())[:-3])
    reader = Tshark(path)
    for _ in range(2):
        assert len(list(reader.segments(contents=False))) == len(talk()) - 1
    [warning] = reader.warnings
    assert "cut short" in warning


@tshark
def test_a_damaged_file_is_read_so_far_and_told(path: Path) -> None:
    whole = bytearray(pcap(talk()))
    whole[-54 - 8 : -54 - 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(whole)
    reader = Tshark(path)
    assert len(list(reader.segments(contents=False))) == len(talk()) - 1
    assert "damaged or corrupt" in reader.warnings[0]


@tshark
def test_a_file_that_cannot_be_read_is_the_users_error(path: Path) -> None:
    unheard_of = 9999
    path.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, unheard_of) + struct.pack("<IIII4x", 0, 0, 4, 4)
    )
    with pytest.raises(CaptureError, match=r"tshark cannot read it: .* network type 9999"):
        list(Tshark(path).segments(contents=False))


def test_without_tshark_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iscsiproxy.capture.tshark.shutil.which", lambda *_, **__: None)
    with pytest.raises(UserError, match="install the package `tshark`"):
        Tshark(path)


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_tshark_that_breaks_is_told_with_its_last_words(path: Path, tmp_path: Path) -> None:
    reader = Tshark(
        path, program=program(tmp_path / "tshark", "echo 'Running as user \"root\"' >&2; echo no room >&2; kill -9 $$")
    )
    with pytest.raises(CaptureError, match=r"ended by signal 9: no room$"):
        list(reader.segments(contents=False))


def test_a_reader_that_is_closed_ends_tshark(path: Path, tmp_path: Path) -> None:
    line = r"0.5\t1\t0\t0x0018\t7\t9\t0\t10.0.0.1\t\t1\t10.0.0.2\t\t2\teth0"
    script = f"echo $$ > {tmp_path}/pid; printf '{line}\\n'; exec sleep 600"
    reader = Tshark(path, program=program(tmp_path / "tshark", script))
    found = reader.segments(contents=False)
    segment = next(found)
    assert segment.source == (b"10.0.0.1", 1)
    assert repr(reader) == "<Tshark -a capture.pcap running>"
    pid = int((tmp_path / "pid").read_text())
    reader.close()
    reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert repr(reader) == "<Tshark -a capture.pcap idle>"
    found.close()  # type: ignore[attr-defined]
