"""Login and negotiation."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.catalogue.harness import Fields, also, altered, at_initiator, at_target, moved, row, runs_of
from tests.engine.dialogue import nop_in, nop_out, read, text_request
from tests.session.dialogue import ISID, NAMES, NO_TAG, TPGT, login_request, login_response

__all__: list[str] = []

OFFERS = {"HeaderDigest": "None", "MaxBurstLength": "65536", "InitialR2T": "Yes", "ImmediateData": "No"}
#: A login in two requests: who it is, then what is offered.
WHO = login_request(NAMES, CSG=0, NSG=1)
WELCOME = login_response(TPGT, CSG=0, NSG=1, TSIH=0)
OFFER = login_request(OFFERS, ExpStatSN=101)
ANSWER = login_response(OFFERS, StatSN=101)
LOGIN = (WHO, WELCOME, OFFER, ANSWER)
OFFERS_TEXT = encode_text(OFFERS.items())


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
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("NOP-Out", nop_out(0, 10, I=1)),
        ("SCSI-Command, CDB: READ lba=0 blocks=8", read(0, 10)),
        ("Text-Request", text_request(0, 10, b"", I=1)),
    ],
)
def test_something_else_than_a_login_comes_first(fields: str, expected: Pdu) -> None:
    rules = f"""
    - when: Login-Request nth 1 as login
      do:
        - inject: {{pdu: {fields}, CmdSN: login.CmdSN, ExpStatSN: 0, as: first}}
    """
    played = at_target(rules, *LOGIN, login=False)
    first = altered(expected, {"ITT": played.authored[0]["ITT"], "ExpStatSN": 0})
    played.assert_added(None, first)


@row("LOG-08")
def test_a_ping_in_the_middle_of_a_login() -> None:
    rules = """
    - when: Login-Request nth 2
      do:
        - inject: {pdu: NOP-Out, as: ping}
    """
    played = at_target(rules, *LOGIN, login=False)
    played.assert_added(WHO, nop_out(played.authored[0]["ITT"], 10, I=1))


@row("LOG-09")
def test_a_login_request_when_the_login_is_over() -> None:
    rules = """
    - when: SCSI-Command nth 1
      do:
        - inject: {pdu: Login-Request, T: 1, CSG: 1, NSG: 3, TSIH: session.TSIH, CID: conn.CID, ISID: session.ISID}
    """
    command = read(2, 10)
    played = at_target(rules, *LOGIN, command, login=False)
    late = login_request(b"", TSIH=7, ITT=played.authored[0]["ITT"], ExpStatSN=102)
    played.assert_got(WHO, OFFER, late, command)


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


@pytest.mark.parametrize(
    ("length", "cuts"),
    [
        pytest.param(12288, [4096, 8192], marks=row("LOG-18")),
        pytest.param(70000, [*range(8000, 70000, 8000)], marks=row("LOG-19")),
    ],
)
def test_text_over_many_requests(length: int, cuts: list[int]) -> None:
    at = ", ".join(f"data+{cut}" for cut in cuts)
    rules = f"""
    - when: Login-Request nth 2
      do:
        - text: {{fill: {length}, long: yes}}
        - split_text: {{by: C, at: [{at}]}}
    """
    more = [also(login_response(b"", T=0, NSG=0, TSIH=0, StatSN=101 + n)) for n in range(len(cuts))]
    last = also(ANSWER.with_fields({"StatSN": 101 + len(cuts)}), instead=ANSWER)
    played = at_target(rules, WHO, WELCOME, OFFER, *more, last, login=False)
    text = b"".join(pdu.data for pdu in played.victim[1:])
    assert (len(text), text[: len(OFFER.data)]) == (length, OFFER.data)
    assert {pair.partition(b"=")[0][:13] for pair in text[len(OFFER.data) : -1].split(b"\0")} == {b"X-pad.example"}
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, length], strict=True)]
    between = {"T": 0, "NSG": 0, "C": 1}
    played.assert_got(
        WHO,
        *(
            altered(OFFER, {"data": piece, "ExpStatSN": 101 + n, **(between if n < len(cuts) else {})})
            for n, piece in enumerate(pieces)
        ),
    )
    played.at(End.INITIATOR).assert_got(WELCOME, ANSWER)


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


def answered(key: str, value: str) -> tuple[str, Fields]:
    """Give the act that answers an offer otherwise, and what comes of it."""
    return f"{{set: {{text.{key}: {value}}}}}", {"data": text({**OFFERS, key: value})}


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
            pytest.param(*answered(key, value), marks=row("LOG-37"))
            for key, value in [("MaxBurstLength", "16777215"), ("InitialR2T", "No"), ("ImmediateData", "Yes")]
        ),
        *(
            pytest.param(*answered("MaxBurstLength", value), marks=row("LOG-38"))
            for value in ("NotUnderstood", "Irrelevant", "Reject")
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


@row("LOG-40")
def test_the_text_of_the_answer_goes_on_in_a_second_response() -> None:
    rules = "- {when: Login-Response nth 2, do: {split_text: {by: C, at: MaxBurstLength+20}}}"
    cut = OFFERS_TEXT.index(b"MaxBurst") + 20
    go_on, command = also(login_request(b"", T=0, NSG=0, ExpStatSN=102)), read(2, 10, ExpStatSN=104)
    # The initiator asks for the rest; when it has all it asks for the next stage again, and gets that.
    done = also(login_request(b"", ExpStatSN=103))
    played = at_initiator(rules, *LOGIN, go_on, done, command, login=False)
    first = altered(ANSWER, {"data": OFFERS_TEXT[:cut], "C": 1, "T": 0, "NSG": 0, "TSIH": 0})
    second = altered(ANSWER, {"data": OFFERS_TEXT[cut:], "T": 0, "NSG": 0, "TSIH": 0, "StatSN": 102})
    played.assert_got(WELCOME, first, second, altered(ANSWER, {"data": b"", "StatSN": 103}))
    played.at(End.TARGET).assert_got(WHO, OFFER, moved(command, ExpStatSN=-2))


@row("LOG-41")
def test_one_round_more_than_the_target_made() -> None:
    rules = "- {when: Login-Response nth 2, do: {split_text: T}}"
    once_more, command = also(login_request(b"", ExpStatSN=102)), read(2, 10, ExpStatSN=103)
    played = at_initiator(rules, *LOGIN, once_more, command, login=False)
    first = altered(ANSWER, {"T": 0, "NSG": 0, "TSIH": 0})
    played.assert_got(WELCOME, first, altered(ANSWER, {"data": b"", "StatSN": 102}))
    played.at(End.TARGET).assert_got(WHO, OFFER, moved(command, ExpStatSN=-1))


@row("LOG-44")
def test_the_initiator_is_asked_for_a_ping_in_the_middle_of_a_login() -> None:
    rules = """
    - when: Login-Response nth 2
      do:
        - inject: {pdu: NOP-In, TTT: 0x1234}
    """
    played = at_initiator(rules, *LOGIN, login=False)
    played.assert_added(WELCOME, nop_in(NO_TAG, 101, TTT=0x1234))


@row("LOG-45")
def test_the_login_is_never_answered() -> None:
    played = at_initiator("- {when: Login-Response, do: drop}", *LOGIN, login=False)
    played.assert_missing(WELCOME, ANSWER)
