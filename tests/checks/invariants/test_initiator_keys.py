from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAMES = "InitiatorName=iqn.x:i TargetName=iqn.x:t"
TPGT = "TargetPortalGroupTag=1"


def rounds(first: str, first_answer: str, second: str, second_answer: str = "") -> str:
    """Make a login of two rounds in the operational stage."""
    return f"""
        > Login-Request CSG=1 text='{first}'
        << Login-Response CSG=1 text='{TPGT} {first_answer}'
        > Login-Request T CSG=1 NSG=3 text='{second}'
        << Login-Response T CSG=1 NSG=3 TSIH=5 text='{second_answer}'
    """


def of(rule: str, text: str) -> bool:
    return bool(judged(text).of(rule))


CASES = (
    Case(
        rule="I-046",
        good="login",
        bad="> Login-Request CSG=1 text='InitiatorName=iqn.x:i'",
        short="> Login-Request C CSG=1 text='InitiatorName=iqn.x:i'",
        mutant=("login", "login SessionType=Normal InitiatorName=iqn.x:i\nconn 2\n> Login-Request CSG=1 text='A=1'"),
    ),
    Case(
        rule="I-047",
        good=rounds(f"{NAMES} MaxBurstLength=512", "MaxBurstLength=512 InitialR2T=No", "InitialR2T=Yes"),
        bad=rounds(f"{NAMES} MaxBurstLength=512", "MaxBurstLength=512", "MaxBurstLength=512"),
        short="> Login-Request CSG=1",
        mutant=("'InitialR2T=Yes'", "''"),
    ),
    Case(
        rule="I-048",
        good=rounds(NAMES, "X-com.a=1", "X-com.a=NotUnderstood"),
        bad=f"> Login-Request CSG=1 text='{NAMES} MaxBurstLength=Reject'",
        short="> Login-Request CSG=1",
        mutant=("'X-com.a=NotUnderstood'", "''"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- I-046 -----------------------------------------------------------------------------------------------------------


def test_names_may_come_in_two_parts() -> None:
    text = """
        > Login-Request C CSG=1 text='InitiatorName=iqn.x:i'
        < Login-Response CSG=1
        > Login-Request CSG=1 text='TargetName=iqn.x:t'
    """
    assert not judged(text).findings


def test_a_discovery_session_names_no_target() -> None:
    assert not of("I-046", "> Login-Request CSG=1 text='InitiatorName=iqn.x:i SessionType=Discovery'")
    assert of("I-046", "> Login-Request CSG=1 text='SessionType=Discovery'")


def test_discovery_is_said_at_once() -> None:
    [found] = judged(rounds(NAMES, "", "SessionType=Discovery")).of("I-046")
    assert found.severity is Severity.SHOULD


# --- I-047 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["TargetAlias=x", "AuthMethod=None", "MaxBurstLength=100", "MaxRecvDataSegmentLength=16777216", "InitialR2T=yes",
     "SessionType=Both", "MaxConnections=0", "InitiatorAlias=a InitiatorAlias=b", "TargetPortalGroupTag=1"],
)  # fmt: skip
def test_what_an_initiator_may_not_say(said: str) -> None:
    assert of("I-047", f"> Login-Request CSG=1 text='{NAMES} {said}'")


def test_operational_keys_are_not_for_the_security_stage() -> None:
    assert of("I-047", f"> Login-Request CSG=0 text='{NAMES} MaxBurstLength=512'")
    assert not of("I-047", f"> Login-Request CSG=0 text='{NAMES} AuthMethod=None'")


def test_keys_of_the_leading_login_are_for_no_other() -> None:
    text = "> Login-Request CSG=1 TSIH={} text='InitiatorName=iqn.x:i TargetName=iqn.x:t MaxConnections=2'"
    assert of("I-047", text.format(3))
    assert not of("I-047", text.format(0))


@pytest.mark.parametrize(
    ("offer", "answer", "wrong"),
    [
        ("MaxBurstLength=8192", "MaxBurstLength=16384", True),
        ("MaxBurstLength=8192", "MaxBurstLength=4096", False),
        ("MaxBurstLength=8192", "", True),
        ("InitialR2T=Yes", "", False),
        ("HeaderDigest=None", "HeaderDigest=CRC32C", True),
        ("TaskReporting=RFC3720", "TaskReporting=Reject", False),
        ("TargetAlias=x", "TargetAlias=Reject", True),
        ("TargetAlias=x", "", False),
    ],
)
def test_answers_to_the_target(offer: str, answer: str, wrong: bool) -> None:
    assert of("I-047", rounds(NAMES, offer, answer)) is wrong


def test_an_offer_out_of_its_place_may_be_ignored() -> None:
    """The target offers an operational key in the security stage; the initiator's own offer later is no answer."""
    text = f"""
        > Login-Request T CSG=0 NSG=1 text='{NAMES}'
        << Login-Response T CSG=0 NSG=1 text='{TPGT} HeaderDigest=None'
        > Login-Request T CSG=1 NSG=3 text='HeaderDigest=CRC32C,None'
    """
    assert not of("I-047", text)


def test_what_came_with_the_last_response_cannot_be_answered() -> None:
    text = rounds(NAMES, "", "", "MaxBurstLength=512 X-com.a=1")
    assert not of("I-047", text)
    assert not of("I-048", text)


def test_an_offer_that_was_not_answered_is_told_once() -> None:
    text = f"""
        > Login-Request CSG=0 text='{NAMES}'
        << Login-Response CSG=0 text='{TPGT} AuthMethod=None X-com.a=1'
        > Login-Request T CSG=0 NSG=1
        << Login-Response T CSG=0 NSG=1
        > Login-Request T CSG=1 NSG=3
        << Login-Response T CSG=1 NSG=3 TSIH=5
    """
    result = judged(text)
    assert len(result.of("I-047")) == 1
    assert len(result.of("I-048")) == 1


def test_a_negotiation_in_full_feature_phase_is_one_of_its_own() -> None:
    exchange = "> Text-Request text='MaxRecvDataSegmentLength=4096'\n< Text-Response"
    assert not judged(f"login MaxRecvDataSegmentLength=512\n{exchange}\n{exchange}").findings
    assert of("I-047", "login\n> Text-Request text='MaxBurstLength=512'\n< Text-Response")
    twice = "login\n> Text-Request text='InitiatorAlias=a InitiatorAlias=b'"
    assert judged(twice).of("I-047")[0].clause == "RFC 7143 6.4"


# --- I-048 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    ["MaxBurstLength=NotUnderstood", "X-com.a=Irrelevant", "HeaderDigest=CRC32C,Reject", "x-com.a=1", "X-com/a=1"],
)
def test_words_that_an_initiator_may_not_use(said: str) -> None:
    assert of("I-048", f"> Login-Request CSG=1 text='{NAMES} {said}'")


def test_none_is_offered_in_lists() -> None:
    assert not judged(f"> Login-Request CSG=1 text='{NAMES} HeaderDigest=None,CRC32C'").findings


def test_a_key_of_the_standard_is_understood() -> None:
    assert of("I-048", rounds(NAMES, "TargetAlias=x", "TargetAlias=NotUnderstood"))
    assert not of("I-048", rounds(NAMES, "X-com.a=1", "X-com.a=2"))


def test_a_pair_has_its_nul() -> None:
    assert of("I-048", f"> Login-Request CSG=1 data=hex:{b'InitiatorName=iqn.x:i'.hex()}")


def test_an_answer_to_half_a_text_is_wrong_for_that_alone() -> None:
    said = f"{TPGT}\0X-a=1\0X-".encode().hex()
    half = f"""
        > Login-Request T CSG=1 NSG=3 text='{NAMES}'
        < Login-Response C CSG=1 data=hex:{said}
        > Login-Request CSG=1 text=X-a=NotUnderstood
    """
    assert judged(half).rules() == {"I-038"}
    assert "I-048" in judged(half.replace(" C CSG=1", f" CSG=1 text={TPGT} #")).rules()
