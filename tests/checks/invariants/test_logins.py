from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAMES = "text='InitiatorName=iqn.x:i TargetName=iqn.x:t'"
TPGT = "text='TargetPortalGroupTag=1'"
#: A login in two rounds
FIRST = f"""
    > Login-Request CSG=1 {NAMES}
    < Login-Response CSG=1 {TPGT}
"""
LAST = """
    > Login-Request T CSG=1 NSG=3
    < Login-Response T CSG=1 NSG=3 TSIH=5
"""
#: A login by way of the security stage
STAGES = f"""
    > Login-Request T CSG=0 NSG=1 {NAMES}
    < Login-Response T CSG=0 NSG=1 {TPGT}
    > Login-Request T CSG=1 NSG=3
    < Login-Response T CSG=1 NSG=3 TSIH=5
"""

CASES = (
    Case(
        rule="T-061",
        good="login\n> Text-Request text='SendTargets='\n< Text-Response",
        bad=f"{FIRST}\n< Login-Response CSG=1",
        short="< Login-Response T CSG=1 NSG=3 TSIH=5",
        mutant=("< Text-Response", "< Text-Response\n< Text-Response"),
    ),
    Case(
        rule="T-063",
        good=FIRST + LAST,
        bad=f"> Login-Request CSG=1 ITT=4 {NAMES}\n< Login-Response CSG=1 ITT=5 {TPGT}",
        short=f"> Login-Request CSG=1 {NAMES}",
        mutant=("< Login-Response T", "< Login-Response Version-max=1 T"),
    ),
    Case(
        rule="T-064",
        good=FIRST + LAST,
        bad=f"> Login-Request CSG=1 {NAMES}\n< Login-Response CSG=1 TSIH=5 {TPGT}",
        short=f"> Login-Request CSG=1 {NAMES}\n< Login-Response Status-Class=2 Status-Detail=3 TSIH=9\nclose target",
        mutant=("TSIH=5", "TSIH=0"),
    ),
    Case(
        rule="T-065",
        good=STAGES,
        bad=f"> Login-Request CSG=1 {NAMES}\n< Login-Response T CSG=1 NSG=3 TSIH=5 {TPGT}",
        short=f"> Login-Request CSG=1 {NAMES}\n< Login-Response Status-Class=3 T CSG=1 NSG=3\nclose target",
        mutant=("< Login-Response T CSG=0 NSG=1", "< Login-Response T CSG=0 NSG=3 TSIH=5"),
    ),
    Case(
        rule="I-045",
        good=STAGES,
        bad=FIRST + LAST.replace("> Login-Request", "> Login-Request CID=7"),
        short="< Login-Response T CSG=1 NSG=3 TSIH=5",
        mutant=("> Login-Request T CSG=1 NSG=3", "> Login-Request T CSG=0 NSG=3"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-061 -----------------------------------------------------------------------------------------------------------


def test_a_refusal_may_come_out_of_turn() -> None:
    """A PDU that is no Login Request is answered by one (RFC 7143 4.2.4)."""
    text = f"{FIRST}\n> NOP-Out\n< Login-Response Status-Class=2 Status-Detail=11\nclose target"
    assert not judged(text).of("T-061")


def test_a_second_response_is_no_second_one_if_the_first_was_acknowledged() -> None:
    text = "login\n> Text-Request text='SendTargets='\n< Text-Response\n> NOP-Out\n< Text-Response ITT=1"
    assert not judged(text).of("T-061")


def test_nobody_knows_whose_turn_it_is_where_a_fault_sent_two_requests() -> None:
    request, response = f"> Login-Request CSG=1 {NAMES}", "< Login-Response CSG=1"
    text = f"{request}\n{request.replace('>', '>>')}\n{response}\n{response}"
    assert not judged(text).of("T-061")


def test_one_outstanding_response_was_asked_for_by_rfc_5048() -> None:
    bad = f"{FIRST}\n< Login-Response CSG=1"
    assert not judged(bad, profile=Profile.RFC3720).of("T-061")


# --- T-063, T-064, T-065 ---------------------------------------------------------------------------------------------


def test_a_tag_that_a_fault_changed_is_echoed_as_it_was_given() -> None:
    text = f"> Login-Request CSG=1 ITT=4 {NAMES} ! ITT=6\n< Login-Response CSG=1 ITT=6 {TPGT}"
    assert not {rule for rule in judged(text).rules() if rule.startswith("T")}


@pytest.mark.parametrize("changed", ["ISID=0x1", "Version-active=2"])
def test_a_response_is_told_by_its_tags_and_its_version(changed: str) -> None:
    assert judged(f"> Login-Request CSG=1 {NAMES}\n< Login-Response CSG=1 {changed} {TPGT}").of("T-063")


def test_a_refusal_need_not_say_who_it_refuses() -> None:
    text = f"> Login-Request CSG=1 ISID=5 {NAMES}\n< Login-Response Status-Class=2 ISID=0\nclose target"
    assert not judged(text).of("T-063")


def test_a_tsih_in_the_login_to_a_session_is_that_one() -> None:
    request = f"> Login-Request T CSG=1 NSG=3 TSIH=3 {NAMES}"
    assert not judged(f"{request}\n< Login-Response T CSG=1 NSG=3 TSIH=3 {TPGT}").of("T-064")
    [found] = judged(f"{request}\n< Login-Response T CSG=1 NSG=3 TSIH=4 {TPGT}").of("T-064")
    assert found.severity is Severity.MUST
    partial = f"> Login-Request CSG=1 TSIH=3 {NAMES}\n< Login-Response CSG=1 TSIH=0 {TPGT}"
    [found] = judged(partial).of("T-064")
    assert found.severity is Severity.SHOULD


@pytest.mark.parametrize(
    ("flags", "severity"),
    [
        ("CSG=0", Severity.MUST),
        ("C T CSG=1 NSG=3 TSIH=5", Severity.MUST),
        ("T CSG=1 NSG=2", Severity.MUST),
        ("CSG=1 NSG=3", Severity.HEURISTIC),
    ],
)
def test_a_response_with_stages_that_cannot_be(flags: str, severity: Severity) -> None:
    [found] = judged(f"> Login-Request T CSG=1 NSG=3 {NAMES}\n< Login-Response {flags} {TPGT}").of("T-065")
    assert found.severity is severity


def test_a_target_need_not_go_on_yet() -> None:
    text = f"> Login-Request T CSG=1 NSG=3 {NAMES}\n< Login-Response CSG=1 {TPGT}"
    assert not judged(text).findings


# --- I-045 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ITT=9", "ISID=9", "TSIH=9", "Version-max=1"])
def test_nothing_changes_in_a_login(name: str) -> None:
    assert judged(FIRST + LAST.replace("> Login-Request", f"> Login-Request {name}")).of("I-045")


@pytest.mark.parametrize("flags", ["T C CSG=1 NSG=3", "CSG=2", "T CSG=1 NSG=1", "T CSG=0 NSG=2"])
def test_a_request_with_stages_that_cannot_be(flags: str) -> None:
    assert judged(f"> Login-Request {flags} {NAMES}").of("I-045")


def test_a_second_request_waits_for_the_first_response() -> None:
    text = f"> Login-Request CSG=1 {NAMES}\n> Login-Request T CSG=1 NSG=3"
    assert judged(text).of("I-045")
    assert not judged(text, profile=Profile.RFC3720).of("I-045")


def test_a_stage_that_a_wrong_response_leads_to_is_nobodys_to_keep() -> None:
    """It went to full feature phase where nobody asked for it: what the next request has is not judged."""
    text = f"> Login-Request CSG=0 {NAMES}\n< Login-Response CSG=0 {TPGT} ! T NSG=1\n> Login-Request CSG=0"
    assert not judged(text).of("I-045")


def test_a_login_in_the_middle_says_little() -> None:
    assert not judged("> Login-Request CSG=1 ITT=1\nlost 3\n> Login-Request T CSG=1 NSG=3 ITT=2").of("I-045")
