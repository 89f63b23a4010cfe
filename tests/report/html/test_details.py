from __future__ import annotations

from pathlib import Path

import pytest

from iscsiproxy.journal import Received, Record, read, record_of
from iscsiproxy.report.html.details import HIDDEN, Detail, Part, detail, line
from iscsiproxy.wire.ahs import Ahs, encode_ahs
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.journal.story import KEYS, Story, command, data_in, login, response
from tests.report.html.journals import in_file, records

__all__: list[str] = []


def opened(pdu: Pdu) -> Detail:
    return detail(record_of(Received(n=1, at=0.0, conn=1, leg=pdu.sender, pdu=pdu)), ())


def part(parts: tuple[Part, ...], name: str) -> str:
    return next(one.value for one in parts if one.name == name)


def test_every_field_has_its_value_and_codes_their_names() -> None:
    fields = opened(response(Status=2)).fields
    assert part(fields, "Opcode") == "0x21 SCSI-Response"
    assert part(fields, "Status") == "2 CHECK_CONDITION"
    assert part(fields, "SNACKTag") == "0x00000000"
    assert fields[0].name == "Opcode"
    assert part(opened(login(opcode=Opcode.LOGIN_RESPONSE)).fields, "Status") == "0x0000 SUCCESS"
    assert part(opened(command()).fields, "command") == "READ(10) LBA=0 blocks=8"


def test_what_should_be_nothing_is_told() -> None:
    pdu = command()
    bhs = bytearray(pdu.bhs)
    bhs[3] = 0x81
    ahs = encode_ahs((Ahs.for_read_edtl(512),))
    fields = opened(pdu.with_ahs(ahs).with_bhs(bytes(bhs))).fields
    assert part(fields, "reserved bits set") == "BHS.3.0 BHS.3.7"
    assert part(fields, "AHS 1").endswith("00 05 02 00 00 00 02 00")


def test_text_is_told_key_by_key_and_an_answer_never() -> None:
    found = opened(login("A=1", "CHAP_N=me", "CHAP_R=0x0123456789abcdef", "", "bare")).text
    assert [(one.name, one.value) for one in found] == [
        ("A", "1"),
        ("CHAP_N", "me"),
        ("CHAP_R", HIDDEN),
        ("(empty pair)", ""),
        ("bare", "(no =)"),
    ]
    long = opened(login(f"A={'x' * 1000}", *(f"B{n}=1" for n in range(100))))
    assert long.text[0].value.endswith("… (1000 characters)")
    assert (len(long.text), long.more_text) == (64, 37)


def test_an_answer_is_not_in_what_a_journal_gives(tmp_path: Path) -> None:
    story = Story()
    pdu = login("CHAP_N=me", "CHAP_R=0x5ec4e7a5ec4e7a")
    n = story.came(pdu)
    story.went(pdu, n)
    with read(in_file(story, tmp_path / "j")) as found:
        came, went, _ = found
        said = f"{detail(came, [went])} {line(came)}"
    assert "5ec4e7" not in said
    assert HIDDEN in said


def test_sense_and_rejected_headers_are_read() -> None:
    sense = encode_sense(SenseCode(6, 0x29, 7))
    data = len(sense).to_bytes(2, "big") + sense
    assert part(opened(response(data=data)).parts, "sense").startswith("6/29/07")
    reject = Pdu.build(Opcode.REJECT, command().bhs)
    assert part(opened(reject).parts, "rejected").startswith("SCSI-Command: 01 ")


def test_data_is_told_by_its_length_and_its_hashes(tmp_path: Path) -> None:
    story = Story()
    story.passed(data_in(data=bytes(4096)))
    story.passed(data_in(data=b"\x00\x00\x00\x07\x00\x00\x02\x00"))
    with read(in_file(story, tmp_path / "j")) as found:
        came, _, short, *_ = found
    parts = detail(came, ()).parts
    assert part(parts, "data") == "4,096 bytes"
    assert part(parts, "hashes of blocks").endswith(" … 8 in all")
    assert line(came).endswith("data=4096")
    assert part(detail(short, ()).parts, "content") == "00 00 00 07 00 00 02 00"


def test_a_digest_is_right_or_wrong_and_a_missing_payload_is_no_wrong_one() -> None:
    pdu = data_in(data=b"")
    bare = Pdu(pdu.with_fields({"DataSegmentLength": 512}).bhs, data_digest=bytes(4))
    event = Received(n=1, at=0.0, conn=1, leg=pdu.sender, pdu=bare)
    right = Record(event, data_length=512, digests=(True, True))
    assert part(detail(right, ()).parts, "data digest").endswith(" right")
    assert "wrong" not in line(right)
    wrong = Record(event, data_length=512, digests=(True, False))
    assert part(detail(wrong, ()).parts, "data digest").endswith(" wrong")
    assert line(wrong).endswith("data=512 data-digest=wrong")


def test_where_the_legs_differ_both_are_told() -> None:
    story = Story()
    n = story.came(command(CmdSN=5))
    story.went(command(CmdSN=9), n)
    came, went = records(story.events)
    found = detail(came, [went])
    assert [(one.name, one.before, one.value) for one in found.fields if one.before is not None] == [
        ("CmdSN", "5", "9")
    ]
    assert found.renumbered
    assert [byte.text for row in found.bytes_ for byte in row if byte.changed] == ["09"]
    assert "".join(byte.text for row in found.bytes_ for byte in row).replace(" ", "") == command(CmdSN=9).bhs.hex()


def test_keys_that_go_and_come_are_told() -> None:
    story = Story()
    n = story.came(login("A=1", "B=2"))
    story.went(login("A=1", "C=3"), n)
    came, went = records(story.events)
    assert [(one.name, one.before, one.value) for one in detail(came, [went]).text] == [
        ("A", None, "1"),
        ("B", "2", ""),
        ("C", "", "3"),
    ]


def test_the_same_key_twice_is_told_twice() -> None:
    assert [(one.name, one.value) for one in opened(login("A=1", "A=2")).text] == [("A", "1"), ("A", "2")]
    story = Story()
    n = story.came(login("A=1"))
    story.went(login("A=1", "A=2"), n)
    came, went = records(story.events)
    assert [(one.name, one.before, one.value) for one in detail(came, [went]).text] == [
        ("A", None, "1"),
        ("A", "", "2"),
    ]


def test_long_lists_of_keys_are_cut_in_the_line() -> None:
    record = record_of(Received(n=1, at=0.0, conn=1, leg=login().sender, pdu=login(*KEYS, "D=4")))
    assert "keys=InitiatorName,TargetName,SessionType,… data=" in line(record)


@pytest.mark.parametrize("opcode", [*Opcode, 0x1C, 0x3E])
def test_any_pdu_can_be_opened(opcode: int) -> None:
    for data in (b"", b"\xff" * 7, b"\x00" * 60):
        pdu = Pdu.build(opcode, data).with_bhs(bytes([opcode, *[0xFF] * 3, 0, 0, 0, len(data), *[0xFF] * 40]))
        assert opened(pdu).fields
        line(record_of(Received(n=1, at=0.0, conn=1, leg=pdu.sender, pdu=pdu)))
