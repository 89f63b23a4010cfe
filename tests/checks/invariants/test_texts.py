from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAMES = "text='InitiatorName=iqn.x:i TargetName=iqn.x:t'"
TPGT = "text='TargetPortalGroupTag=1'"
#: A negotiation in two rounds
ROUNDS = """
    login
    > Text-Request F=0 text='MaxRecvDataSegmentLength=4096'
    < Text-Response F=0 TTT=7 LUN=3
    > Text-Request ITT=1 TTT=7 LUN=3
    < Text-Response F
"""
#: A text in two parts
PARTS = """
    login
    > Text-Request C text='MaxRecvDataSegmentLength=4096'
    < Text-Response F=0 TTT=7
    > Text-Request ITT=1 TTT=7 text='InitiatorAlias=me'
    < Text-Response F
"""

CASES = (
    Case(
        rule="T-057",
        good=ROUNDS,
        bad="login\n> Text-Request text='SendTargets='\n< Text-Response F TTT=9",
        short="login\n> Text-Request text='SendTargets='",
        mutant=("F=0 TTT=7 LUN=3\n    >", "F=0 TTT=none\n    >"),
    ),
    Case(
        rule="T-058",
        good=ROUNDS,
        bad="login\n> Text-Request F=0 text='InitiatorAlias=me'\n< Text-Response F",
        short="login\n> Text-Request text='SendTargets='\n< Text-Response F",
        mutant=("< Text-Response F=0 TTT=7 LUN=3", "< Text-Response F"),
    ),
    Case(
        rule="T-059",
        good=PARTS,
        bad=f"> Login-Request C CSG=1 {NAMES}\n< Login-Response CSG=1 {TPGT}",
        short=f"> Login-Request CSG=1 {NAMES}\n< Login-Response CSG=1 {TPGT}",
        mutant=("< Text-Response F=0 TTT=7", "< Text-Response F=0 TTT=7 text='TargetAlias=it'"),
    ),
    Case(
        rule="I-038",
        good=ROUNDS,
        bad="login\n> Text-Request I F=0 text='SendTargets='\n> Text-Request I text='SendTargets='",
        short="lost 1",
        mutant=("ITT=1 TTT=7 LUN=3", "ITT=1 TTT=7"),
    ),
    Case(
        rule="I-049",
        good=ROUNDS,
        bad=f"> Login-Request CSG=1 {NAMES}\n< Login-Response CSG=1 {TPGT}\n> Login-Request CSG=1",
        short=f"> Login-Request CSG=1 {NAMES}\n< Login-Response CSG=1 {TPGT}",
        mutant=("< Text-Response F\n", "< Text-Response F\n    > Text-Request\n"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-057 to T-059 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["F C", "F=0", "F TTT=3", "F ITT=8"])
def test_a_response_that_cannot_be(answer: str) -> None:
    text = f"login\n> Text-Request text='SendTargets='\n< Text-Response TTT=none {answer}"
    assert judged(text).of("T-057")


def test_a_request_is_answered_as_it_was_given() -> None:
    """A fault has cleared F: what the target was given asks for F=0, what the initiator sent does not matter."""
    text = "login\n> Text-Request text='SendTargets=' ! F=0\n< Text-Response {}"
    assert judged(text.format("F")).of("T-058")
    assert not judged(text.format("F=0 TTT=5")).findings


def test_which_of_two_requests_is_answered_is_open() -> None:
    text = "login\n> Text-Request I F=0 text='InitiatorAlias=me'\n>> Text-Request I ITT=1\n< Text-Response F"
    assert not judged(text).of("T-058")


def test_a_request_that_the_target_has_to_ignore_is_none() -> None:
    """It came twice with one CmdSN."""
    text = "login\n> Text-Request text='SendTargets='\n>> Text-Request ITT=1 CmdSN=1 F=0\n< Text-Response F"
    assert not judged(text).of("T-058")


def test_a_request_that_was_rejected_is_answered() -> None:
    text = """
        login
        > Text-Request F=0 text='InitiatorAlias=me' as first
        < Reject Reason=4 reject=first
        > Text-Request text='SendTargets='
        < Text-Response F
    """
    result = judged(text)
    assert not result.of("T-058")
    assert not result.of("I-038")


def test_a_request_with_a_wrong_digest_has_not_come() -> None:
    text = """
        login HeaderDigest=CRC32C DataDigest=CRC32C
        > Text-Request F=0 text='InitiatorAlias=me' ! spoil=header
        < Text-Response F
    """
    assert not judged(text).of("T-058")


def test_half_a_text_may_be_refused() -> None:
    text = f"> Login-Request C CSG=1 {NAMES}\n< Login-Response Status-Class=3 text='TargetAlias=x'\nclose target"
    assert not judged(text).of("T-059")


# --- I-038 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["I=1 TTT=7 LUN=3", "TTT=8 LUN=3", "C TTT=7 LUN=3 F"])
def test_a_request_that_does_not_go_on_as_it_should(request_: str) -> None:
    assert judged(ROUNDS.replace("TTT=7 LUN=3\n    <", f"{request_}\n    <")).of("I-038")


def test_a_tag_that_nobody_gave() -> None:
    assert judged("login\n> Text-Request TTT=5 text='SendTargets='").of("I-038")
    assert not judged("login\nlost 2\n> Text-Request TTT=5 text='SendTargets='").of("I-038")


def test_an_exchange_may_begin_anew() -> None:
    text = ROUNDS.replace("> Text-Request ITT=1 TTT=7 LUN=3", "> Text-Request ITT=1 text='InitiatorAlias=me'")
    assert not judged(text).of("I-038")


def test_a_text_in_parts_waits_for_its_rest() -> None:
    login = f"""
        > Login-Request T CSG=1 NSG=3 {NAMES}
        < Login-Response C CSG=1 {TPGT}
        > Login-Request T CSG=1 NSG=3
        < Login-Response T CSG=1 NSG=3 TSIH=5
    """
    result = judged(login)
    assert not result.findings
    assert result.evidence["I-038"] == 1
    said = login.replace("    > Login-Request T CSG=1 NSG=3\n", "    > Login-Request CSG=1 text='InitiatorAlias=me'\n")
    assert judged(said).of("I-038")


def test_an_acknowledged_request_is_not_outstanding() -> None:
    text = "login\n> Text-Request text='SendTargets='\n> NOP-Out\n< NOP-In ITT=2\n> Text-Request text='SendTargets='"
    assert not judged(text).of("I-038")
    assert judged(text.replace("< NOP-In ITT=2", "")).of("I-038")


def test_a_request_that_a_fault_swallowed_is_given_up() -> None:
    text = "login\n>x Text-Request text='SendTargets='\n{}> Text-Request text='SendTargets='"
    assert not judged(text.format("+2\n")).of("I-038")
    assert judged(text.format("")).of("I-038")


def test_one_outstanding_request_was_asked_for_by_rfc_5048() -> None:
    text = "login\n> Text-Request text='SendTargets='\n> Text-Request text='SendTargets='"
    assert judged(text, profile=Profile.RFC5048).of("I-038")
    assert not judged(text, profile=Profile.RFC3720).of("I-038")


# --- I-049 -----------------------------------------------------------------------------------------------------------


def test_a_request_for_negotiation_may_be_answered_by_an_empty_text() -> None:
    text = "login\n< Async AsyncEvent=4 Parameter3=3\n> Text-Request\n< Text-Response"
    assert not judged(text).of("I-049")


def test_nothing_is_no_part_of_a_text() -> None:
    assert judged("login\n> Text-Request C").of("I-049")


def test_an_empty_request_asks_for_the_next_stage() -> None:
    text = f"""
        > Login-Request CSG=1 {NAMES}
        < Login-Response CSG=1 {TPGT}
        > Login-Request T CSG=1 NSG=3
        < Login-Response T CSG=1 NSG=3 TSIH=5
    """
    result = judged(text)
    assert not result.findings
    assert result.evidence["I-049"] == 1
