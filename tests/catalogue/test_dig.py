"""Digests and format."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import SenseCode, encode_sense
from tests.catalogue.harness import Fields, Part, Step, at_initiator, at_target, play, row
from tests.engine.dialogue import (
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    reject,
    scsi_response,
    text_request,
    tmf,
    write,
)
from tests.session.dialogue import NAMES, NO_TAG, TPGT, login_request, login_response, response

__all__: list[str] = []

DIGEST_PARTS = ("header-digest", "data-digest")
DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
WRITE, DATA = write(2, 10, bytes(512)), data_out(2, 0, bytes(1000))
READ, TOLD, DONE = read(2, 10), data_in(2, 0, bytes(1000)), scsi_response(2, 101)
SENSE = b"\0\x12" + encode_sense(SenseCode(6, 0x29, 0))
ASKED, PING = text_request(3, 11, {"SendTargets": "All"}), nop_out(3, 11, b"ping me")


@pytest.mark.parametrize(
    ("scenario", "params", "script", "struck", "part"),
    [
        pytest.param("header_digest_corrupt", {"nth": "1"}, (WRITE,), WRITE, "header-digest", marks=row("DIG-01")),
        pytest.param(
            "- {when: Data-Out nth 1, do: {corrupt: header-digest}}",
            *({}, (WRITE, DATA), DATA, "header-digest"),
            marks=row("DIG-02"),
        ),
        pytest.param("data_digest_corrupt", {}, (WRITE, DATA), WRITE, "data-digest", marks=row("DIG-03")),
        pytest.param("data_digest_corrupt", {"nth": "2"}, (WRITE, DATA), DATA, "data-digest", marks=row("DIG-04")),
        *(
            pytest.param(
                "- {when: Text-Request or NOP-Out where length > 0, do: {corrupt: data-digest}}",
                *({}, (pdu,), pdu, "data-digest"),
                marks=row("DIG-05"),
            )
            for pdu in (ASKED, PING)
        ),
    ],
)
def test_a_wrong_digest_at_the_target(
    scenario: str, params: dict[str, str], script: tuple[Step, ...], struck: Pdu, part: Part
) -> None:
    played = at_target(scenario, *script, keys=DIGESTS, params=params)
    played.assert_corrupted(struck, part)


@pytest.mark.parametrize(
    ("scenario", "struck", "part"),
    [
        *(
            pytest.param(
                "- {when: SCSI-Response or Data-In or R2T nth 1, do: {corrupt: header-digest}}",
                *(pdu, "header-digest"),
                marks=row("DIG-06"),
            )
            for pdu in (DONE, TOLD, r2t(2, 7))
        ),
        pytest.param("data_digest_corrupt_read", TOLD, "data-digest", marks=row("DIG-07")),
        pytest.param(
            "- {when: SCSI-Response where Status == CHECK_CONDITION nth 1, do: {corrupt: data-digest}}",
            *(scsi_response(2, 101, SENSE, Status=2), "data-digest"),
            marks=row("DIG-08"),
        ),
        *(
            pytest.param(
                "- {when: Async or Reject or NOP-In where length > 0 nth 1, do: {corrupt: data-digest}}",
                *(pdu, "data-digest"),
                marks=row("DIG-09"),
            )
            for pdu in (
                reject(PING.bhs),
                nop_in(2, 101, b"ping me"),
                response(0x32, NO_TAG, 101, SENSE, AsyncEvent=0),
            )
        ),
    ],
)
def test_a_wrong_digest_at_the_initiator(scenario: str, struck: Pdu, part: Part) -> None:
    played = at_initiator(scenario, READ, struck, keys=DIGESTS)
    played.assert_corrupted(struck, part)


@row("DIG-10")
def test_padding_that_is_not_zero() -> None:
    text = "- {when: 'NOP-Out or Data-In where length % 4 == 3', do: {set: {pad: 0xa5}}}"
    told = data_in(2, 0, bytes(1023))
    played = play(text, READ, told, PING, keys=DIGESTS)
    played.assert_changed(PING, {"pad": b"\xa5"})
    played.at(End.INITIATOR).assert_changed(told, {"pad": b"\xa5"})


@row("DIG-12")
@pytest.mark.parametrize(
    ("pdu", "act", "changes"),
    [
        (WRITE, "{BHS.3: 0xff, BHS.1.3: 1}", {"BHS.3": 0xFF, "BHS.1": 0xB1}),
        (DATA, "{BHS.24: 1, BHS.47: 0x80}", {"BHS.24": 1, "BHS.47": 0x80}),
        (PING, "{BHS.0.0: 1}", {"BHS.0": 0x80}),
    ],
)
def test_reserved_bits_under_a_right_digest(pdu: Pdu, act: str, changes: Fields) -> None:
    played = at_target(f"- {{when: {pdu.label} nth 1, do: {{set: {act}}}}}", pdu, tmf(9, 12, 5, NO_TAG), keys=DIGESTS)
    played.assert_changed(pdu, changes)


@row("DIG-13")
@pytest.mark.parametrize("keys", [{}, DIGESTS], ids=["plain", "digests"])
@pytest.mark.parametrize(("by", "length"), [("+ 4", 1004), ("- 4", 996)])
def test_the_length_is_a_little_wrong(by: str, length: int, keys: dict[str, str]) -> None:
    text = f"- {{when: Data-Out or Data-In, do: {{set: {{DataSegmentLength: length {by}}}}}}}"
    played = play(text, READ, TOLD, DATA, keys=keys)
    played.assert_changed(DATA, {"DataSegmentLength": length})
    played.at(End.INITIATOR).assert_changed(TOLD, {"DataSegmentLength": length})


@pytest.mark.parametrize(
    ("pdu", "ahs"),
    [
        pytest.param(read(2, 10), "00010700", marks=row("DIG-14")),
        pytest.param(tmf(3, 11, 1, 2), "00010700", marks=row("DIG-15")),
        pytest.param(data_out(2, 0, b""), "00050200" + "00001000", marks=row("DIG-15")),
        pytest.param(read(2, 10, CDB=b"\x7f" + bytes(15)), "00400100" + "00" * 16, marks=row("DIG-16")),
    ],
)
def test_an_additional_header_segment(pdu: Pdu, ahs: str) -> None:
    other = nop_out(9, 12)
    for keys in ({}, DIGESTS):
        played = at_target(f"- {{when: {pdu.label} nth 1, do: {{set: {{AHS: 0x{ahs}}}}}}}", pdu, other, keys=keys)
        played.assert_changed(pdu, {"ahs": bytes.fromhex(ahs)})


@row("DIG-11")
def test_a_digest_that_leaves_out_the_padding() -> None:
    rules = "- {when: 'NOP-Out or Data-In where length % 4 != 0', do: {corrupt: {what: data-digest, digest: unpadded}}}"
    told = data_in(2, 0, bytes(range(251)))
    played = play(rules, READ, told, PING, keys=DIGESTS)
    played.assert_changed(PING, {"data_digest": digest([PING.data])})
    played.at(End.INITIATOR).assert_changed(told, {"data_digest": digest([told.data])})
    assert played.victim[-1].data_digest_ok() is False


DIGESTS_HERE = """
negotiate:
  {leg}: {{HeaderDigest: CRC32C, DataDigest: CRC32C}}
  {other}: {{HeaderDigest: None, DataDigest: None}}
rules:
  - when: full-feature
    do: {{note: here}}
"""


@row("DIG-17")
@pytest.mark.parametrize("leg", End)
def test_digests_on_one_leg_only(leg: End) -> None:
    # The initiator leaves the choice to the target; the proxy leaves none to either of them.
    either, none = dict.fromkeys(DIGESTS, "CRC32C,None"), dict.fromkeys(DIGESTS, "None")
    keys = {leg: DIGESTS, leg.other: none}
    who, welcome = login_request({**NAMES, **either}), login_response({**TPGT, **keys[End.TARGET]})
    calm = login_response({**TPGT, **none})

    def welcomed(talk: Dialogue) -> Pdu:
        return calm if talk.sent(End.TARGET)[-1].pdu == who else welcome

    script = (who, welcomed, READ, TOLD, DONE, PING)
    played = play(DIGESTS_HERE.format(leg=leg, other=leg.other), *script, login=False)

    def on(end: End, *pdus: Pdu) -> list[bytes]:
        return [pdu.sealed(header=end is leg, data=end is leg).raw for pdu in pdus]

    asked = login_request({**NAMES, **keys[End.TARGET]})
    played.assert_got(asked.raw, *on(End.TARGET, READ, PING))
    hello = login_response({**TPGT, **keys[End.INITIATOR]})
    played.at(End.INITIATOR).assert_got(hello.raw, *on(End.INITIATOR, TOLD, DONE))


@row("DIG-18")
@pytest.mark.parametrize("part", DIGEST_PARTS)
def test_digests_begin_one_pdu_too_early(part: str) -> None:
    rules = f"""
    - when: Login-Request or Login-Response where T and NSG == 3
      do: {{corrupt: {{what: {part}, digest: added}}}}
    """
    who, welcome = login_request({**NAMES, **DIGESTS}), login_response({**TPGT, **DIGESTS})
    played = play(rules, who, welcome, READ, DONE, login=False)
    header = part == "header-digest"
    for pdu, leg in ((who, End.TARGET), (welcome, End.INITIATOR)):
        early = pdu.sealed(header=header, data=not header)
        assert len(early) == len(pdu) + 4
        behind = [one.sealed(header=True, data=True).raw for one in ((READ,) if leg is End.TARGET else (DONE,))]
        played.at(leg).assert_got(early.raw, *behind)
