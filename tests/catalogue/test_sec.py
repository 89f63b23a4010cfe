"""Security."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.catalogue.harness import Fields, Step, at_initiator, at_target, row
from tests.engine.dialogue import Dialogue
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

METHODS = {**NAMES, "AuthMethod": "CHAP,None"}
CHALLENGE = {"CHAP_A": "5", "CHAP_I": "39", "CHAP_C": "0x1f2e3d4c5b6a79881706f5e4d3c2b1a0"}
PROOF = {"CHAP_N": "user", "CHAP_R": "0xa16b29b3ae89bc5d1e1b26e4e5fa2d43", "CHAP_I": "7", "CHAP_C": "0x00112233"}
BACK = {"CHAP_N": "storage", "CHAP_R": "0x0102030405060708090a0b0c0d0e0f10"}

#: A login with CHAP in both directions.
WHO = login_request(METHODS, T=0, CSG=0, NSG=0)
CHOSEN = login_response({**TPGT, "AuthMethod": "CHAP"}, T=0, CSG=0, NSG=0, TSIH=0)
HOW = login_request({"CHAP_A": "5"}, T=0, CSG=0, NSG=0)
ASKED = login_response(CHALLENGE, T=0, CSG=0, NSG=0, TSIH=0, StatSN=101)
PROVEN = login_request(PROOF, CSG=0, NSG=3)
WELCOME = login_response(BACK, CSG=0, NSG=3, StatSN=102)
LOGIN: tuple[Step, ...] = (WHO, CHOSEN, HOW, ASKED, PROVEN, WELCOME)


def data(keys: dict[str, str], **changed: str) -> Fields:
    """Give the text of these keys with some changed; an empty value takes one away."""
    return {"data": encode_text((key, value) for key, value in {**keys, **changed}.items() if value)}


@pytest.mark.parametrize(
    ("pattern", "act", "pdu", "changes"),
    [
        pytest.param(
            "where text.CHAP_R != absent",
            "{set: {text.CHAP_R: '0xa16b29b3ae89bc5d1e1b26e4e5fa2d42'}}",
            *(PROVEN, data(PROOF, CHAP_R="0xa16b29b3ae89bc5d1e1b26e4e5fa2d42")),
            marks=row("SEC-01"),
        ),
        pytest.param(
            *("nth 1", "{set: {text.AuthMethod: None}}", WHO, data(METHODS, AuthMethod="None")), marks=row("SEC-02")
        ),
        pytest.param(
            "nth 1",
            "[{set: {T: 1, CSG: 1, NSG: 3}}, {text: {remove: AuthMethod}}]",
            *(WHO, {"T": 1, "CSG": 1, "NSG": 3, **data(METHODS, AuthMethod="")}),
            marks=row("SEC-03"),
        ),
        *(
            pytest.param(
                f"where text.{key} != absent nth 1",
                f"{{set: {{text.{key}: {value}}}}}",
                *(PROVEN, data(PROOF, **{key: value})),
                marks=row("SEC-11"),
            )
            for key, value in [("CHAP_I", "8"), ("CHAP_N", "nobody"), ("CHAP_N", "n" * 300)]
        ),
        pytest.param(
            "where text.CHAP_N != absent nth 1",
            '{set: {data: "CHAP_N=\\0CHAP_R=0x00\\0"}}',
            *(PROVEN, {"data": b"CHAP_N=\0CHAP_R=0x00\0"}),
            marks=row("SEC-11"),
        ),
    ],
)
def test_a_request_is_changed(pattern: str, act: str, pdu: Pdu, changes: Fields) -> None:
    played = at_target(f"- {{when: Login-Request {pattern}, do: {act}}}", *LOGIN, login=False)
    played.assert_changed(pdu, changes)


@pytest.mark.parametrize(
    ("pattern", "act", "pdu", "changes"),
    [
        pytest.param(
            "where text.AuthMethod != absent",
            "{set: {text.AuthMethod: None}}",
            *(CHOSEN, data({**TPGT, "AuthMethod": "None"})),
            marks=row("SEC-04"),
        ),
        pytest.param(
            *("where text.CHAP_A != absent", "{set: {text.CHAP_A: 9}}", ASKED, data(CHALLENGE, CHAP_A="9")),
            marks=row("SEC-05"),
        ),
        pytest.param(
            "where text.CHAP_R != absent",
            "{set: {text.CHAP_R: '0x0102030405060708090a0b0c0d0e0f11'}}",
            *(WELCOME, data(BACK, CHAP_R="0x0102030405060708090a0b0c0d0e0f11")),
            marks=row("SEC-06"),
        ),
        pytest.param(
            *("where text.CHAP_R != absent", "{text: {remove: [CHAP_N, CHAP_R]}}", WELCOME, {"data": b""}),
            marks=row("SEC-06"),
        ),
    ],
)
def test_an_answer_is_changed(pattern: str, act: str, pdu: Pdu, changes: Fields) -> None:
    played = at_initiator(f"- {{when: Login-Response {pattern}, do: {act}}}", *LOGIN, login=False)
    played.assert_changed(pdu, changes)


def again() -> tuple[Step, ...]:
    """Give a second login, on a connection of its own."""

    def connect(talk: Dialogue) -> None:
        talk.connect(2, login=False)

    fresh = {**CHALLENGE, "CHAP_C": "0x99999999999999999999999999999999"}
    asked = login_response(fresh, T=0, CSG=0, NSG=0, TSIH=0, StatSN=101)
    proven = login_request({**PROOF, "CHAP_R": "0x55555555555555555555555555555555"}, CSG=0, NSG=3)
    return (connect, *(one.with_data(one.data) for one in (WHO, CHOSEN, HOW)), asked, proven)


@row("SEC-07")
def test_the_initiators_challenge_comes_back() -> None:
    rules = """
    - when: Login-Request where text.CHAP_C != absent nth 1 as own
    - when: Login-Response where text.CHAP_C != absent nth 2
      do: {set: {text.CHAP_C: (own.text.CHAP_C)}}
    """
    second = again()
    asked = second[4]
    assert isinstance(asked, Pdu)
    played = at_initiator(rules, *LOGIN, *second, login=False)
    played.assert_changed(asked, data(CHALLENGE, CHAP_C=PROOF["CHAP_C"]))


@row("SEC-08")
def test_the_targets_challenge_comes_back() -> None:
    rules = """
    - when: Login-Response where text.CHAP_C != absent nth 1 as asked
    - when: Login-Request where text.CHAP_C != absent nth 1
      do: {set: {text.CHAP_C: (asked.text.CHAP_C)}}
    """
    played = at_target(rules, *LOGIN, login=False)
    played.assert_changed(PROVEN, data(PROOF, CHAP_C=CHALLENGE["CHAP_C"]))


@row("SEC-09")
@pytest.mark.parametrize(
    "challenge",
    ["0x1", "0xa5", f"0x{'a5' * 1024}", f"0x{'a5' * 1025}", "0bAAECAwQFBgcICQoLDA0ODw==", "0xabc"],
    ids=lambda challenge: f"{challenge[:8]}-{len(challenge)}",
)
def test_challenges_of_odd_lengths_and_encodings(challenge: str) -> None:
    text = f"- {{when: Login-%s where text.CHAP_C != absent nth 1, do: {{set: {{text.CHAP_C: '{challenge}'}}}}}}"
    played = at_initiator(text % "Response", *LOGIN, login=False)
    played.assert_changed(ASKED, data(CHALLENGE, CHAP_C=challenge))
    played = at_target(text % "Request", *LOGIN, login=False)
    played.assert_changed(PROVEN, data(PROOF, CHAP_C=challenge))


@row("SEC-10")
def test_a_recorded_proof_is_given_again() -> None:
    rules = """
    - when: Login-Request where text.CHAP_R != absent nth 1 as recorded
    - when: Login-Request where text.CHAP_R != absent nth 2
      do: {set: {data: recorded.data}}
    """
    second = again()
    proven = second[-1]
    assert isinstance(proven, Pdu)
    played = at_target(rules, *LOGIN, *second, login=False)
    played.assert_changed(proven, {"data": PROVEN.data})


@row("SEC-12")
def test_one_failing_login_after_another() -> None:
    rules = "- {when: Login-Request where text.CHAP_R != absent, do: {set: {text.CHAP_R: '0x00'}}}"

    def connect(talk: Dialogue) -> None:
        talk.connect(1 + max(conn for conn, _ in talk.digests), login=False)

    proofs = [PROVEN.with_data(PROVEN.data) for _ in range(50)]
    script: list[Step] = []
    for proof in proofs:
        script += [*(one.with_data(one.data) for one in (WHO, CHOSEN, HOW, ASKED)), proof, connect]
    first, *others = ((proof, data(PROOF, CHAP_R="0x00")) for proof in proofs)
    at_target(rules, *script, login=False).assert_changed(*first, *others)
