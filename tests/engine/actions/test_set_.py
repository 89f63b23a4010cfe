from __future__ import annotations

import pytest

from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, data_out, nop_out, read, scsi_response, text_request, tmf, write

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


def test_an_opcode_is_set_last() -> None:
    out, _ = through("{Opcode: 0x3e, EDTL: 7}", read(2, 10))
    assert out.bhs[0] & 0x3F == 0x3E
    assert out.bhs[20:24] == b"\0\0\0\x07"


@pytest.mark.parametrize(
    ("pdu", "act", "why"),
    [
        (write(2, 10), "{EDTL: 4294967296 * 2}", "EDTL: EDTL takes 0..0xffffffff, not 0x200000000"),
        (write(2, 10), "{BHS.3: 300 + 1}", "BHS.3: takes 0 to 255, not 301"),
        (write(2, 10), "{EDTL: later.EDTL}", "EDTL is absent"),
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
