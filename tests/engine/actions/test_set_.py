from __future__ import annotations

import pytest

from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.engine.dialogue import Dialogue, data_out, nop_out, read, scsi_response, text_request, tmf, write

OUTSIDE = "bytes from there are out of range: the data segment"


def encode_sense_segment(code: SenseCode) -> bytes:
    sense = encode_sense(code)
    return len(sense).to_bytes(2, "big") + sense


DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


def through(act: str, pdu: Pdu, *, keys: dict[str, str] | None = None) -> tuple[Pdu, Dialogue]:
    talk = Dialogue(f"rules:\n  - when: {pdu.label} as n\n    do:\n      - set: {act}", connect=False)
    talk.connect(keys=keys or {})
    (out,) = talk.say(pdu)
    return out, talk


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
@pytest.mark.parametrize(
    ("act", "changed"),
    [
        ("{LUN: 5}", {"LUN": 5 << 48}),
        ("{LUN: 300}", {"LUN": 0x412C << 48}),
        ("{CmdSN: CmdSN + 1, EDTL: 0}", {"CmdSN": 11, "EDTL": 0}),
        ("{ExpStatSN: n.ExpStatSN - 102}", {"ExpStatSN": 0xFFFFFFFF}),
        ("{F: 0, W: 0, R: 1, ATTR: ORDERED}", {"F": 0, "W": 0, "R": 1, "ATTR": 2}),
        ("{CDB: 0x12}", {"CDB": b"\x12"}),
        ("{BHS.3: 255, BHS.2.0: 1}", {}),
    ],
)
def test_fields_are_set_and_digests_made_right(act: str, changed: dict[str, int | bytes], keys: dict[str, str]) -> None:
    pdu = write(2, 10, b"abcd")
    out, talk = through(act, pdu, keys=keys)
    expected = pdu.with_fields(changed)
    if not changed:
        expected = expected.with_bhs(expected.bhs[:2] + b"\x80\xff" + expected.bhs[4:])
    assert out == expected.sealed(header=bool(keys), data=bool(keys))
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_data_and_pad_and_lengths() -> None:
    pdu = data_out(2, 0, b"abcdef")
    assert through('{data: "xyz"}', pdu)[0] == pdu.with_data(b"xyz")
    assert through("{pad: 0x0102}", pdu)[0] == pdu.with_parts(pad=b"\1\2")
    out, talk = through('{DataSegmentLength: 9, data: "xyz"}', pdu)
    assert out == pdu.with_data(b"xyz").with_fields({"DataSegmentLength": 9})
    assert [str(change) for change in talk.reports[-1].changes][-1] == "DataSegmentLength 3 -> 9"


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
def test_sense_takes_the_place_of_the_data(keys: dict[str, str]) -> None:
    pdu = scsi_response(2, 101, b"abc", Status=2)
    out, talk = through("{sense: 6/29/00}", pdu, keys=keys)
    sense = bytes.fromhex("0012 700006000000000a0000000029000000 0000")
    assert out == pdu.with_data(sense).sealed(header=bool(keys), data=bool(keys))
    assert [str(change) for change in talk.reports[-1].changes] == ["sense 3 bytes 616263 -> 6/29/00"]
    again, talk = through("{sense: B/47/05}", out.sealed(header=False, data=False))
    assert [str(change) for change in talk.reports[-1].changes] == ["sense 6/29/00 -> B/47/05"]
    assert again.data == encode_sense_segment(SenseCode(0xB, 0x47, 5))


def test_sense_may_be_that_of_a_capture() -> None:
    text = (
        "rules:\n  - when: SCSI-Response where sense != absent nth 1 as n\n"
        "  - when: SCSI-Response nth 2\n    do: {set: {Status: CHECK_CONDITION, sense: n.sense}}\n"
    )
    first = scsi_response(2, 101, encode_sense_segment(SenseCode(5, 0x24, 0)), Status=2)
    _, second = Dialogue(text).say(first, scsi_response(3, 102))
    assert second.data == first.data
    assert Dialogue(text).say(scsi_response(2, 101), scsi_response(3, 102))[1] == scsi_response(3, 102)


AHS = bytes.fromhex("0005 02 00 00000200")


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
def test_an_AHS_is_put_in_padded_and_the_digest_covers_it(keys: dict[str, str]) -> None:
    pdu = write(2, 10, b"abcd")
    out, talk = through(f"{{AHS: 0x{AHS.hex()}}}", pdu, keys=keys)
    assert out == pdu.with_ahs(AHS).sealed(header=bool(keys), data=bool(keys))
    assert [str(change) for change in talk.reports[-1].changes] == ["AHS 0 bytes  -> 8 bytes 0005020000000200"]
    out, _ = through("{AHS: 0x000303aabbcc}", nop_out(2, 10), keys=keys)
    assert (out.ahs, out["TotalAHSLength"]) == (bytes.fromhex("000303aabbcc0000"), 2)
    out, _ = through('{AHS: ""}', pdu.with_ahs(AHS), keys=keys)
    assert out == pdu.sealed(header=bool(keys), data=bool(keys))


def test_the_length_of_an_AHS_may_be_wrong() -> None:
    out, _ = through(f"{{TotalAHSLength: 7, AHS: 0x{AHS.hex()}}}", read(2, 10))
    assert out == read(2, 10).with_ahs(AHS).with_fields({"TotalAHSLength": 7})
    out, _ = through(f"{{AHS: 0x{AHS.hex()}, fix: none}}", read(2, 10))
    assert (out.ahs, out["TotalAHSLength"]) == (AHS, 0)


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
def test_bytes_inside_the_data_are_written_over(keys: dict[str, str]) -> None:
    pdu = data_out(2, 0, b"abcdef").with_parts(pad=b"\1\2")
    out, talk = through('{data+2: 0x5859, data+0x5: "Z"}', pdu, keys=keys)
    assert out == Pdu(pdu.bhs, data=b"abXYeZ", pad=b"\1\2").sealed(header=bool(keys), data=bool(keys))
    shown = ["data+2 2 bytes 6364 -> 2 bytes 5859", "data+5 1 bytes 66 -> 1 bytes 5a"]
    assert [str(change) for change in talk.reports[-1].changes] == shown


def test_bytes_are_written_over_new_data_and_its_padding_set_behind_it() -> None:
    out, _ = through('{data+1: "Y", pad: 0x0102, data: "ab"}', data_out(2, 0, b"abcdef"))
    assert (out.data, out.pad, out["DataSegmentLength"]) == (b"aY", b"\1\2", 2)


def test_a_place_inside_the_data_may_be_a_parameter() -> None:
    text = 'params: {at: 3}\nrules:\n  - when: Data-Out\n    do: {set: {data+$at: "Z"}}\n'
    (out,) = Dialogue(text).say(data_out(2, 0, b"abcd"))
    assert out.data == b"abcZ"
    (out,) = Dialogue(text, params={"at": "0"}).say(data_out(2, 0, b"abcd"))
    assert out.data == b"Zbcd"


def test_fix_none_leaves_lengths_padding_and_digests() -> None:
    pdu = data_out(2, 0, b"abcdef").sealed(header=True, data=True)
    out, _ = through('{data: "xyzw", DataSN: 7, fix: none}', pdu, keys=DIGESTS)
    assert out.data == b"xyzw"
    assert out["DataSN"] == 7
    assert out["DataSegmentLength"] == 6
    assert (out.pad, out.header_digest, out.data_digest) == (pdu.pad, pdu.header_digest, pdu.data_digest)


def test_a_key_of_a_text_is_replaced_or_added() -> None:
    pdu = text_request(2, 10, b"A=1\0SendTargets=All\0B=2\0")
    assert through("{text.SendTargets: x}", pdu)[0].data == b"A=1\0SendTargets=x\0B=2\0"
    assert through("{text.X-new: (length)}", pdu)[0].data == pdu.data + b"X-new=24\0"


def test_a_later_act_sees_what_an_earlier_one_left() -> None:
    acts = "\n".join(f"      - set: {{CmdSN: CmdSN + {more}}}" for more in (2, 3))
    (out,) = Dialogue(f"rules:\n  - when: NOP-Out\n    do:\n{acts}").say(nop_out(2, 10))
    assert out["CmdSN"] == 15


@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
def test_an_address_and_a_length_in_a_CDB_are_set(keys: dict[str, str]) -> None:
    cdb = bytes.fromhex("2a080000000800000800").ljust(16, b"\0")
    pdu = write(2, 10, CDB=cdb)
    out, talk = through("{CDB.LBA: 2048, CDB.blocks: 2 * CDB.blocks}", pdu, keys=keys)
    expected = bytes.fromhex("2a080000080000001000").ljust(16, b"\0")
    assert out == pdu.with_fields({"CDB": expected}).sealed(header=bool(keys), data=bool(keys))
    assert [str(change) for change in talk.reports[-1].changes] == ["CDB.LBA 8 -> 2048", "CDB.blocks 8 -> 16"]
    out, _ = through("{CDB.LBA: 5, CDB: READ lba=1 blocks=2}", pdu)
    assert out["CDB"] == int.from_bytes(bytes.fromhex("28000000000500000200").ljust(16, b"\0"), "big")


def test_what_of_a_CDB_is_in_an_additional_header_stays() -> None:
    long = bytes.fromhex("7f0000000000001800090000").ljust(32, b"\0")
    pdu = write(2, 10, CDB=long[:16]).with_ahs(bytes([0, 17, 1, 0]) + long[16:])
    assert len(pdu.cdb) == 32
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do:\n      - set: {CDB.LBA: 1}")
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == ["#1: set: CDB.LBA: it is in an additional header segment"]


def test_an_opcode_is_set_last() -> None:
    out, _ = through("{Opcode: 0x3e, EDTL: 7}", read(2, 10))
    assert out.bhs[0] & 0x3F == 0x3E
    assert out.bhs[20:24] == b"\0\0\0\x07"


@pytest.mark.parametrize(
    ("pdu", "act", "why"),
    [
        (write(2, 10), "{EDTL: 4294967296 * 2}", "EDTL: EDTL takes 0..0xffffffff, not 0x200000000"),
        (write(2, 10), "{BHS.3: 300 + 1}", "BHS.3: takes 0 to 255, not 301"),
        (write(2, 10), "{EDTL: later.EDTL}", "later is not bound"),
        (write(2, 10, b"ab"), "{data+1: 0x0102}", f"data+1: 2 {OUTSIDE} has 2 bytes"),
        (write(2, 10), "{data+0: 0x01}", f"data+0: 1 {OUTSIDE} has 0 bytes"),
        (write(2, 10, bytes(2000)), "{AHS: data}", "AHS: AHS bytes are a multiple of 4 up to 1020, not 2000"),
        (write(2, 10, CDB=bytes([0x12] * 16)), "{CDB.LBA: 1}", "CDB.LBA: INQUIRY has no LBA"),
        (
            write(2, 10, CDB=bytes([0x2A] * 16)),
            "{CDB.blocks: 65535 + 1}",
            "CDB.blocks: WRITE(10) takes 0 to 65535, not 65536",
        ),
        (write(2, 10), "{EDTL: 0 - 1}", "EDTL: EDTL takes 0..0xffffffff, not -0x1"),
    ],
)
def test_a_value_that_does_not_fit_leaves_the_pdu_as_it_was(pdu: Pdu, act: str, why: str) -> None:
    talk = Dialogue(
        f"rules:\n  - when: SCSI-Command\n    do:\n      - set: {{LUN: 1}}\n      - set: {act}\n      - note: never"
        "\n  - when: SCSI-Command nth 2 as later"
    )
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == [f"#1: set: {why}"]
    assert talk.told("fired") == []
    assert talk.told("noted") == []
    assert talk.counts() == {"matched": 1, "failed": 1}


@pytest.mark.parametrize("act", ["{I: 1}", "{BHS.0: 0x41}"])
def test_a_command_made_immediate_uses_up_no_cmdsn(act: str) -> None:
    talk = Dialogue(f"rules:\n  - when: SCSI-Command nth 2\n    do:\n      - set: {act}")
    sent = talk.say(write(1, 10), write(2, 11), write(3, 12), nop_out(4, 13, I=1))
    assert [(pdu["I"], pdu["CmdSN"]) for pdu in sent] == [(0, 10), (1, 11), (0, 11), (1, 12)]
    (answer,) = talk.say(scsi_response(3, 101, ExpCmdSN=12, MaxCmdSN=40))
    assert (answer["ExpCmdSN"], answer["MaxCmdSN"]) == (13, 41)


def test_a_command_that_is_no_longer_immediate_takes_a_cmdsn_of_its_own() -> None:
    talk = Dialogue("rules:\n  - when: NOP-Out nth 1\n    do:\n      - set: {I: 0}")
    sent = talk.say(write(1, 10), nop_out(2, 11, I=1), write(3, 11), tmf(4, 12, 1, 3, RefCmdSN=11))
    assert [(pdu["I"], pdu["CmdSN"]) for pdu in sent] == [(0, 10), (0, 11), (0, 12), (1, 13)]
    assert sent[3]["RefCmdSN"] == 12


def test_a_written_down_number_goes_as_written_and_a_computed_one_is_translated() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do: {inject: {pdu: NOP-Out, I: 0}}\n"
        "  - when: SCSI-Command nth 2\n    do: {set: {CmdSN: 1000}}\n"
        "  - when: SCSI-Command nth 3\n    do: {set: {CmdSN: CmdSN + 100}}\n"
    )
    talk = Dialogue(text)
    sent = talk.say(write(1, 10), write(2, 11), write(3, 12), write(4, 13))
    assert [pdu["CmdSN"] for pdu in sent] == [10, 11, 1000, 113, 14]


def test_what_is_set_already_is_no_change() -> None:
    out, talk = through("{LUN: 0, I: 0}", write(2, 10))
    assert out == write(2, 10)
    assert talk.told("fired") == ["#1: had these values already"]


def test_a_wrong_digest_of_the_peer_stays_wrong() -> None:
    talk = Dialogue("rules:\n  - when: Data-Out\n    do: {set: {DataSN: 9}}", connect=False)
    talk.connect(keys=DIGESTS)
    right = data_out(2, 0, b"abcd").sealed(header=True, data=True)
    wrong = right.with_parts(header_digest=bytes([right.header_digest[0] ^ 4]) + right.header_digest[1:])
    (out,) = talk.say(wrong, raw=True)
    made = out.sealed(header=True, data=True)
    assert out.data_digest_ok()
    assert out.header_digest == bytes([made.header_digest[0] ^ 4]) + made.header_digest[1:]
