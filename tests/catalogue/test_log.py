"""Login and negotiation."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.catalogue.harness import Fields, at_initiator, at_target, row, runs_of
from tests.session.dialogue import ISID, NAMES, NO_TAG, TPGT, login_request, login_response

__all__: list[str] = []

OFFERS = {"HeaderDigest": "None", "MaxBurstLength": "65536", "InitialR2T": "Yes", "ImmediateData": "No"}
#: A login in two requests: who it is, then what is offered.
WHO = login_request(NAMES, CSG=0, NSG=1)
WELCOME = login_response(TPGT, CSG=0, NSG=1, TSIH=0)
OFFER = login_request(OFFERS)
ANSWER = login_response(OFFERS, StatSN=101)
LOGIN = (WHO, WELCOME, OFFER, ANSWER)


def text(*parts: Mapping[str, str]) -> bytes:
    return b"".join(encode_text(part.items()) for part in parts)


def without(keys: Mapping[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in keys.items() if key not in names}


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        pytest.param(
            "{set: {Version-max: 1, Version-min: 1}}", {"Version-max": 1, "Version-min": 1}, marks=row("LOG-01")
        ),
        pytest.param(
            "{text: {remove: InitiatorName}}", {"data": text(without(NAMES, "InitiatorName"))}, marks=row("LOG-02")
        ),
        pytest.param("{text: {remove: TargetName}}", {"data": text(without(NAMES, "TargetName"))}, marks=row("LOG-03")),
        pytest.param(
            "{set: {text.TargetName: 'iqn.2001-04.example:nowhere'}}",
            {"data": text({**NAMES, "TargetName": "iqn.2001-04.example:nowhere"})},
            marks=row("LOG-04"),
        ),
        pytest.param("{set: {CSG: 2}}", {"CSG": 2}, marks=row("LOG-05")),
        pytest.param("{set: {NSG: 2}}", {"NSG": 2}, marks=row("LOG-05")),
        pytest.param("{set: {CSG: 3, NSG: 3}}", {"CSG": 3, "NSG": 3}, marks=row("LOG-05")),
        pytest.param("{set: {CSG: 1, NSG: 0}}", {"CSG": 1, "NSG": 0}, marks=row("LOG-05")),
        pytest.param("{set: {NSG: CSG}}", {"NSG": 0}, marks=row("LOG-05")),
        pytest.param("{set: {C: 1}}", {"C": 1}, marks=row("LOG-06")),
        pytest.param(
            "{text: {add: MaxBurstLength=4096}}", {"data": text(NAMES, {"MaxBurstLength": "4096"})}, marks=row("LOG-11")
        ),
        pytest.param("{resize: 8196}", {"data": text(NAMES).ljust(8196, b"\0")}, marks=row("LOG-20")),
        pytest.param("{resize: {to: 70000, fill: 65}}", {"data": text(NAMES).ljust(70000, b"A")}, marks=row("LOG-20")),
        pytest.param(
            "{set: {text.SessionType: Foo}}", {"data": text({**NAMES, "SessionType": "Foo"})}, marks=row("LOG-24")
        ),
    ],
)
def test_the_first_request_is_changed(act: str, changes: Fields) -> None:
    played = at_target(f"- {{when: Login-Request nth 1, do: {act}}}", *LOGIN, login=False)
    played.assert_changed(WHO, changes)


@row("LOG-07")
@pytest.mark.parametrize("opcode", [Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TEXT_REQUEST])
def test_something_else_than_a_login_comes_first(opcode: int) -> None:
    rules = f"""
    - when: Login-Request nth 1
      do: {{set: {{Opcode: {opcode}, BHS.1: 0x80, data: ""}}}}
    """
    played = at_target(rules, *LOGIN, login=False)
    played.assert_changed(WHO, {"Opcode": opcode, "BHS.1": 0x80, "data": b""})


@row("LOG-10")
@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ("ISID: 0x80123456789b", {"ISID": ISID + 1}),
        ("TSIH: 9", {"TSIH": 9}),
        ("CID: 1", {"CID": 1}),
        ("ITT: fresh", None),
        ("Version-max: 2, Version-min: 2", {"Version-max": 2, "Version-min": 2}),
    ],
)
def test_the_second_request_is_from_somebody_else(fields: str, changes: Fields | None) -> None:
    played = at_target(f"- {{when: Login-Request nth 2, do: {{set: {{{fields}}}}}}}", *LOGIN, login=False)
    played.assert_changed(OFFER, changes or {"ITT": played.victim[-1]["ITT"]})


@pytest.mark.parametrize(
    "changed",
    [
        *(
            pytest.param({key: value}, marks=row("LOG-12"))
            for key, values in {
                "MaxConnections": ["0", "65536"],
                "ErrorRecoveryLevel": ["7"],
                "MaxBurstLength": ["511", "16777216", "abc", "-1", "0x"],
            }.items()
            for value in values
        ),
        pytest.param({"ImmediateData": "Maybe"}, marks=row("LOG-13")),
        pytest.param({"InitialR2T": "yes"}, marks=row("LOG-13")),
        pytest.param({"HeaderDigest": "Y-x"}, marks=row("LOG-14")),
        pytest.param({"MaxBurstLength": "NotUnderstood"}, marks=row("LOG-15")),
        pytest.param({"MaxBurstLength": "Irrelevant"}, marks=row("LOG-15")),
        pytest.param({"MaxBurstLength": "Reject"}, marks=row("LOG-15")),
        pytest.param({"MaxBurstLength": "512", "FirstBurstLength": "16777215"}, marks=row("LOG-16")),
        pytest.param(
            {"ErrorRecoveryLevel": "1", "MaxOutstandingR2T": "8", "DataSequenceInOrder": "Yes"}, marks=row("LOG-17")
        ),
    ],
    ids=str,
)
def test_an_offer_is_changed(changed: dict[str, str]) -> None:
    fields = "\n".join(f'          text.{key}: "{value}"' for key, value in changed.items())
    played = at_target(
        f"rules:\n  - when: Login-Request where CSG == 1 nth 1\n    do:\n      - set:\n{fields}", *LOGIN, login=False
    )
    played.assert_changed(OFFER, {"data": text({**OFFERS, **changed})})


@pytest.mark.parametrize(
    "added",
    [
        pytest.param({"Foo": "1", "X-com.example.proxy": "1"}, marks=row("LOG-22")),
        pytest.param({"IFMarker": "Yes", "IFMarkInt": "1~10"}, marks=row("LOG-23")),
        pytest.param({"SessionType": "Discovery"}, marks=row("LOG-24")),
        pytest.param({f"X-pad-{n:02}": "x" * 255 for n in range(30)} | {"X-last": "y" * 132}, marks=row("LOG-18")),
    ],
    ids=lambda added: next(iter(added)),
)
def test_keys_are_offered(added: dict[str, str]) -> None:
    listed = ", ".join(f"{key}={value}" for key, value in added.items())
    played = at_target(f"- {{when: Login-Request nth 2, do: {{text: {{add: [{listed}]}}}}}}", *LOGIN, login=False)
    played.assert_changed(OFFER, {"data": text(OFFERS, added)})
    assert len(played.victim[1].data) <= 8192


@row("LOG-18")
def test_a_login_request_is_full_to_the_byte() -> None:
    room = 8192 - len(OFFER.data)
    pads = [f"X-pad-{n:02}={'x' * 246}" for n in range(room // 256)]
    pads.append(f"X-p={'y' * (room - 256 * len(pads) - 5)}")
    played = at_target(
        f"- {{when: Login-Request nth 2, do: {{text: {{add: [{', '.join(pads)}]}}}}}}", *LOGIN, login=False
    )
    played.assert_changed(OFFER, {"data": OFFER.data + b"".join(pad.encode() + b"\0" for pad in pads)})
    assert played.victim[1]["DataSegmentLength"] == 8192


@row("LOG-21")
@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("{resize: length - 1}", OFFER.data[:-1]),
        ('{text: {raw: "=value\\0A=1\\0"}}', b"=value\0A=1\0"),
        ('{text: {raw: "NoEquals"}}', b"NoEquals"),
        ("{text: {add: Key\N{LATIN SMALL LETTER SHARP S}=1}}", OFFER.data + "Keyß=1\0".encode()),
        (f"{{text: {{add: {'K' * 64}=1}}}}", OFFER.data + b"K" * 64 + b"=1\0"),
        (f"{{text: {{add: X-long={'v' * 256}}}}}", OFFER.data + b"X-long=" + b"v" * 256 + b"\0"),
        ("{set: {data: 0x413d31000000423d3200}}", b"A=1\0\0\0B=2\0"),
        ("{text: {add: maxburstlength=512}}", OFFER.data + b"maxburstlength=512\0"),
    ],
)
def test_text_that_is_no_text(act: str, data: bytes) -> None:
    played = at_target(f"- {{when: Login-Request nth 2, do: {act}}}", *LOGIN, login=False)
    played.assert_changed(OFFER, {"data": data})


@row("LOG-25")
def test_a_second_request_before_the_answer() -> None:
    rules = """
    - when: Login-Request nth 1
      do: {duplicate: {CSG: 1, NSG: 3, data: "HeaderDigest=None"}}
    """
    played = at_target(rules, *LOGIN, login=False)
    played.assert_added(WHO, WHO.with_data(b"HeaderDigest=None").with_fields({"CSG": 1, "NSG": 3}))


@row("LOG-26")
@pytest.mark.parametrize(("act", "at"), [("{delay: 30s}", 0), ("{stall: {until: 30s, at: header+20}}", 20)])
def test_the_login_stands_still(act: str, at: int) -> None:
    played = at_target(f"- {{when: Login-Request nth 2, do: {act}}}", WHO, WELCOME, 1, OFFER, 60, ANSWER, login=False)
    played.assert_late(OFFER, 30, at=at)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param(
            f"Status-Class: 1, Status-Detail: {detail}, text.TargetAddress: '127.0.0.1:3260,1'",
            {"Status-Class": 1, "Status-Detail": detail, "data": text(TPGT, {"TargetAddress": "127.0.0.1:3260,1"})},
            marks=row("LOG-27"),
        )
        for detail in (1, 2)
    ]
    + [
        pytest.param("Status-Class: 1, Status-Detail: 1", {"Status-Class": 1, "Status-Detail": 1}, marks=row("LOG-28")),
        pytest.param(
            "Status-Class: 7, Status-Detail: 0xff", {"Status-Class": 7, "Status-Detail": 0xFF}, marks=row("LOG-31")
        ),
        pytest.param("NSG: 3", {"NSG": 3}, marks=row("LOG-33")),
        pytest.param("ITT: 2", {"ITT": 2}, marks=row("LOG-35")),
        pytest.param("ISID: 0x80123456789b", {"ISID": ISID + 1}, marks=row("LOG-35")),
    ],
)
def test_the_first_answer_is_changed(fields: str, changes: Fields) -> None:
    played = at_initiator(f"- {{when: Login-Response nth 1, do: {{set: {{{fields}}}}}}}", *LOGIN, login=False)
    played.assert_changed(WELCOME, changes)


REFUSED = """
matrix: {class: [%d], detail: %s}
rules:
  - when: Login-Response nth 1
    do:
      - set: {Status-Class: $class, Status-Detail: $detail, T: 0, NSG: 0}
      - text: {raw: ""}
"""


@pytest.mark.parametrize(
    ("status", "details"),
    [
        pytest.param(2, "0..11", marks=row("LOG-29")),
        pytest.param(3, "[1, 2]", marks=row("LOG-30")),
    ],
)
def test_the_login_is_refused(status: int, details: str) -> None:
    scenario = REFUSED % (status, details)
    runs = runs_of(scenario, "initiator")
    assert len(runs) in (2, 12)
    for axes in runs:
        played = at_initiator(scenario, *LOGIN, login=False, axes=axes)
        detail = int(axes["detail"])
        played.assert_changed(WELCOME, {"Status-Class": status, "Status-Detail": detail, "T": 0, "NSG": 0, "data": b""})


@row("LOG-32")
def test_the_answer_moves_on_by_itself() -> None:
    request, answer = login_request(NAMES, T=0, NSG=0), login_response(TPGT, T=0, NSG=0, TSIH=0)
    played = at_initiator(
        "- {when: Login-Response where not T nth 1, do: {set: {T: 1, NSG: 3, TSIH: 1}}}", request, answer, login=False
    )
    played.assert_changed(answer, {"T": 1, "NSG": 3, "TSIH": 1})


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        pytest.param("{set: {TSIH: 0}}", {"TSIH": 0}, marks=row("LOG-34")),
        pytest.param(
            "{set: {text.HeaderDigest: CRC32C}}",
            {"data": text({**OFFERS, "HeaderDigest": "CRC32C"})},
            marks=row("LOG-36"),
        ),
        *(
            pytest.param(f"{{set: {{text.{key}: {value}}}}}", {"data": text({**OFFERS, key: value})}, marks=row(name))
            for name, key, value in [
                ("LOG-37", "MaxBurstLength", "16777215"),
                ("LOG-37", "InitialR2T", "No"),
                ("LOG-37", "ImmediateData", "Yes"),
                ("LOG-38", "MaxBurstLength", "NotUnderstood"),
                ("LOG-38", "MaxBurstLength", "Irrelevant"),
                ("LOG-38", "MaxBurstLength", "Reject"),
            ]
        ),
        pytest.param(
            "{text: {remove: [MaxBurstLength, InitialR2T]}}",
            {"data": text(without(OFFERS, "MaxBurstLength", "InitialR2T"))},
            marks=row("LOG-39"),
        ),
        pytest.param(
            "{set: {text.MaxRecvDataSegmentLength: 512}}",
            {"data": text(OFFERS, {"MaxRecvDataSegmentLength": "512"})},
            marks=row("LOG-42"),
        ),
        pytest.param(
            "{text: {add: [HeaderDigest=None, X-t=1]}}",
            {"data": text(OFFERS, {"HeaderDigest": "None", "X-t": "1"})},
            marks=row("LOG-43"),
        ),
    ],
)
def test_the_answer_is_changed(act: str, changes: Fields) -> None:
    played = at_initiator(f"- {{when: Login-Response where CSG == 1 nth 1, do: {act}}}", *LOGIN, login=False)
    played.assert_changed(ANSWER, changes)


@row("LOG-44")
def test_a_ping_stands_in_the_place_of_the_answer() -> None:
    tags = ", ".join(f"BHS.{byte}: 0xff" for byte in range(16, 24))
    rules = f"- {{when: Login-Response nth 1, do: {{set: {{Opcode: 0x20, BHS.1: 0x80, data: '', {tags}}}}}}}"
    played = at_initiator(rules, *LOGIN, login=False)
    changed: dict[str, int | bytes] = {f"BHS.{byte}": 0xFF for byte in range(16, 24)}
    played.assert_changed(WELCOME, {"Opcode": Opcode.NOP_IN, "BHS.1": 0x80, "data": b"", **changed})
    ping: Pdu = played.victim[0]
    assert (ping.label, ping["ITT"], ping["TTT"]) == ("NOP-In", NO_TAG, NO_TAG)


@row("LOG-45")
def test_the_login_is_never_answered() -> None:
    played = at_initiator("- {when: Login-Response, do: drop}", *LOGIN, login=False)
    played.assert_missing(WELCOME, ANSWER)
