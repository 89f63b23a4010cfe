from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import crc32c
import pytest

from tests.real import tshark
from tests.real.pcapng import Packet, pcapng, segment
from tests.real.process import ProgramError

__all__: list[str] = []

pytestmark = pytest.mark.peers("tshark")

PORT = 41234
LEGS = ("initiator leg", "target leg")


def bhs(opcode: int, *, cmdsn: int, flags: int = 0x80, data: int = 0, tail: bytes = b"") -> bytes:
    """Return a header that the dissector believes: LUN 0, the reserved TTT, and `tail` from byte 32 on."""
    return struct.pack(
        ">BBxxI8xIIII16s", opcode, flags, data, 0x1000 + cmdsn, 0xFFFF_FFFF, cmdsn, 1, tail.ljust(16, b"\0")
    )


def nop_out(cmdsn: int) -> bytes:
    return bhs(0x40, cmdsn=cmdsn)


def digest(data: bytes, flip: int = 0) -> bytes:
    return struct.pack("<I", crc32c.crc32c(data) ^ flip)


def login(*keys: str) -> bytes:
    data = b"".join(key.encode() + b"\0" for key in keys)
    return bhs(0x43, cmdsn=1, flags=0x87, data=len(data)) + data + bytes(-len(data) % 4)


async def read(tmp_path: Path, payloads: Sequence[bytes], *, start: int = 1) -> list[tshark.Frame]:
    """Read a capture of one connection, a segment for each payload."""
    packets, seq = [], start
    for payload in payloads:
        packets.append(Packet(data=segment(source=50000, destination=PORT, seq=seq, payload=payload)))
        seq += len(payload)
    path = tmp_path / "capture.pcapng"
    path.write_bytes(pcapng(LEGS, packets))
    return await tshark.read(path, ports=[PORT])


async def test_two_PDUs_in_one_frame_keep_their_values_apart(tmp_path: Path) -> None:
    [frame] = await read(tmp_path, [nop_out(7) + nop_out(8)])
    assert [pdu.number("iscsi.cmdsn") for pdu in frame.pdus] == [7, 8]
    assert [pdu.number("iscsi.initiatortasktag") for pdu in frame.pdus] == [0x1007, 0x1008]
    assert {pdu.name for pdu in frame.pdus} == {"NOP Out"}
    assert {pdu.opcode for pdu in frame.pdus} == {0}
    assert (frame.source, frame.destination) == (50000, PORT)
    assert tshark.problems([frame]) == []


async def test_a_PDU_in_two_frames_is_in_the_last(tmp_path: Path) -> None:
    whole = login("InitiatorName=iqn.a:b", "SessionType=Normal")
    frames = await read(tmp_path, [whole[:50], whole[50:]])
    assert [frame.pending for frame in frames] == [True, False]
    assert [len(frame.pdus) for frame in frames] == [0, 1]
    [pdu] = tshark.pdus(frames)
    assert pdu.frame == 2
    assert pdu.keys == ("InitiatorName=iqn.a:b", "SessionType=Normal")
    assert tshark.problems(frames) == []


async def test_a_field_that_a_PDU_lacks_is_none(tmp_path: Path) -> None:
    [frame] = await read(tmp_path, [nop_out(7)])
    assert frame.pdus[0].number("iscsi.datasn") is None
    assert frame.pdus[0].text("iscsi.datasn") is None
    assert frame.pdus[0].keys == ()


async def test_header_digests_are_judged(tmp_path: Path) -> None:
    good, bad = nop_out(7), nop_out(8)
    [frame] = await read(tmp_path, [good + digest(good) + bad + digest(bad, flip=1)])
    assert [pdu.header_digest for pdu in frame.pdus] == ["good", "bad"]
    assert tshark.problems([frame]) == ["1: NOP Out: wrong header digest"]


async def test_data_digests_are_judged(tmp_path: Path) -> None:
    payloads = []
    for cmdsn, flip in ((7, 0), (8, 1)):
        header = bhs(0x40, cmdsn=cmdsn, data=4)
        payloads.append(header + digest(header) + b"ping" + digest(b"ping", flip=flip))
    frames = await read(tmp_path, [login("HeaderDigest=CRC32C", "DataDigest=CRC32C"), *payloads])
    pings = tshark.pdus(frames, opcode=0)
    assert [pdu.data_digest for pdu in pings] == ["good", "bad"]
    assert [pdu.header_digest for pdu in pings] == ["good", "good"]
    assert tshark.problems(frames) == ["3: NOP Out: wrong data digest"]


async def test_fields_behind_the_SCSI_layer_belong_to_their_PDU(tmp_path: Path) -> None:
    read10 = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    command = struct.pack(">BBxxI8xIIII16s", 0x01, 0xC1, 0, 5, 512, 9, 1, read10.ljust(16, b"\0"))
    [frame] = await read(tmp_path, [command + nop_out(10)])
    first, second = frame.pdus
    assert first.scsi.startswith("SCSI CDB Read(10)")
    assert first.number("iscsi.scsicommand.R") == 1
    assert first.number("scsi_sbc.opcode") == 0x28
    assert second.scsi == ""
    assert second.text("iscsi.scsicommand.R") is None


async def test_interfaces_and_comments_select(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    legs = [
        Packet(
            data=segment(source=50000 + leg, destination=PORT + leg, seq=1, payload=nop_out(7 + leg)),
            interface=leg,
            comments=comments,
        )
        for leg, comments in enumerate([(), ("changed by rule drop-it", "CmdSN 7 → 8")])
    ]
    path.write_bytes(pcapng(LEGS, legs))
    frames = await tshark.read(path, ports=[PORT, PORT + 1])
    assert [frame.interface for frame in frames] == list(LEGS)
    assert [frame.comments for frame in frames] == [(), ("changed by rule drop-it", "CmdSN 7 → 8")]
    assert [pdu.number("iscsi.cmdsn") for pdu in tshark.pdus(frames, interface="initiator leg")] == [7]
    assert [pdu.number("iscsi.cmdsn") for pdu in tshark.pdus(frames, comment="drop-it")] == [8]
    assert tshark.pdus(frames, opcode=1) == []


async def test_TCP_flags_are_problems(tmp_path: Path) -> None:
    def at(seq: int) -> Packet:
        return Packet(data=segment(source=50000, destination=PORT, seq=seq, payload=nop_out(seq)))

    path = tmp_path / "capture.pcapng"
    path.write_bytes(pcapng(LEGS, [at(1), at(1), at(1000)]))
    frames = await tshark.read(path, ports=[PORT])
    assert [frame.analysis for frame in frames] == [(), ("retransmission",), ("lost_segment",)]
    assert tshark.problems(frames) == ["2: retransmission", "3: lost_segment"]


async def test_bytes_that_are_no_iSCSI_are_unread(tmp_path: Path) -> None:
    frames = await read(tmp_path, [nop_out(7), bhs(0x3B, cmdsn=8)])
    assert [frame.unread for frame in frames] == [False, True]
    assert tshark.problems(frames) == ["2: unread"]


async def test_a_display_filter_selects_frames(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    one = segment(source=50000, destination=PORT, seq=1, payload=nop_out(7))
    two = segment(source=50000, destination=PORT, seq=49, payload=nop_out(8))
    path.write_bytes(pcapng(LEGS, [Packet(data=one), Packet(data=two)]))
    [frame] = await tshark.read(path, ports=[PORT], only="iscsi.cmdsn == 8")
    assert frame.number == 2


async def test_large_data_segments_are_read(tmp_path: Path) -> None:
    data = bytes(512 * 1024)
    whole = bhs(0x40, cmdsn=7, data=len(data)) + data
    frames = await read(tmp_path, [whole[at : at + 60000] for at in range(0, len(whole), 60000)])
    [pdu] = tshark.pdus(frames)
    assert pdu.number("iscsi.datasegmentlength") == len(data)


async def test_a_file_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    whole = pcapng(LEGS, [Packet(data=segment(source=50000, destination=PORT, seq=1, payload=nop_out(7)))])
    path.write_bytes(whole[:-8])
    with pytest.raises(ProgramError, match="cut short"):
        await tshark.read(path, ports=[PORT])
