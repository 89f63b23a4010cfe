from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

NAMES = "InitiatorName=iqn.x:i TargetName=iqn.x:t"
TPGT = "TargetPortalGroupTag=1"
REQUEST = f"> Login-Request T CSG=1 NSG=3 text='{NAMES}'"
REFUSED = f"{REQUEST}\n< Login-Response Status-Class=3\n"
UNASKED = "> SCSI-Command cdb=TEST-UNIT-READY"


def login(asked: str, answered: str, *, mark: str = "<") -> str:
    return f"""
        > Login-Request T CSG=1 NSG=3 text='{NAMES} {asked}'
        {mark} Login-Response T CSG=1 NSG=3 TSIH=5 text='{TPGT} {answered}'
    """


CASES = (
    Case(
        rule="T-067",
        good=login("", ""),
        bad=f"{REQUEST}\n< Login-Response CSG=1",
        short="> Login-Request CSG=1 text='InitiatorName=iqn.x:i SessionType=Discovery'\n< Login-Response CSG=1",
        mutant=(TPGT, "TargetAlias=it"),
    ),
    Case(
        rule="T-068",
        good=f"{REFUSED}\nclose target",
        bad=f"{REFUSED}\n+20\nconn 2\nlogin",
        short=f"{REFUSED}\n+1\nconn 2\nlogin",
        mutant=("Status-Class=3", "Status-Class=1"),
    ),
    Case(
        rule="T-074",
        good=login("MaxBurstLength=8192 FirstBurstLength=8192", "MaxBurstLength=4096 FirstBurstLength=4096"),
        bad=login("ErrorRecoveryLevel=1 MaxOutstandingR2T=4", "ErrorRecoveryLevel=1 MaxOutstandingR2T=4"),
        short=REFUSED,
        mutant=("FirstBurstLength=4096", "FirstBurstLength=8192"),
    ),
    Case(
        rule="I-050",
        good=login("HeaderDigest=None", "HeaderDigest=CRC32C", mark="<<") + "close initiator",
        bad=login("HeaderDigest=None", "HeaderDigest=CRC32C", mark="<<") + UNASKED,
        short=login("HeaderDigest=None", "HeaderDigest=None", mark="<<"),
        mutant=("close initiator", "+20\nconn 2\nlogin"),
    ),
    Case(
        rule="I-051",
        good=f"{REFUSED}\nclose initiator",
        bad=f"{REFUSED}\n+20\nconn 2\nlogin",
        short=f"{REFUSED}\n+1\nconn 2\nlogin",
        mutant=("close initiator", "+20\nconn 2\nlogin"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-067 -----------------------------------------------------------------------------------------------------------


def test_the_tag_waits_until_the_names_are_there() -> None:
    text = """
        > Login-Request C CSG=1 text='InitiatorName=iqn.x:i'
        < Login-Response CSG=1
        > Login-Request CSG=1 text='TargetName=iqn.x:t'
        < Login-Response CSG=1 text='{}'
    """
    assert judged(text.format(TPGT)).evidence["T-067"] == 1
    assert judged(text.format("TargetAlias=x")).of("T-067")


def test_the_tag_may_be_in_the_second_part_of_the_first_text() -> None:
    text = f"""
        {REQUEST}
        < Login-Response C CSG=1 text='TargetAlias=x'
        > Login-Request T CSG=1 NSG=3
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='{TPGT}'
    """
    result = judged(text)
    assert not result.findings
    assert result.evidence["T-067"] == 1


# --- T-068 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "wrong"),
    [("TargetAddress=192.0.2.1:3260", False), ("TargetAddress=192.0.2.1,1", True), ("TargetAlias=x", True)],
)
def test_a_redirection_says_where_to_go(addresses: str, wrong: bool) -> None:
    text = f"{REQUEST}\n< Login-Response Status-Class=1 Status-Detail=1 text='{addresses}'\nclose target"
    assert bool(judged(text).of("T-068")) is wrong


def test_a_connection_that_ended_needs_no_end() -> None:
    assert not judged(f"{REFUSED}\nclose initiator rst\n+20\nconn 2\nlogin").of("T-068")


def test_what_a_fault_refused_the_target_did_not() -> None:
    text = f"{REQUEST}\n<< Login-Response Status-Class=2\n+20\nconn 2\nlogin"
    assert not judged(text).of("T-068")
    assert judged(text).of("I-051")


# --- T-074 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("MaxBurstLength=4096", "MaxBurstLength=4096"),
        ("InitialR2T=Yes ImmediateData=No FirstBurstLength=8192 MaxBurstLength=4096",
         "InitialR2T=Yes ImmediateData=No FirstBurstLength=8192 MaxBurstLength=4096"),
        ("ErrorRecoveryLevel=1 MaxOutstandingR2T=4 DataSequenceInOrder=No",
         "ErrorRecoveryLevel=1 MaxOutstandingR2T=4 DataSequenceInOrder=No"),
        ("ErrorRecoveryLevel=2 MaxOutstandingR2T=4", "ErrorRecoveryLevel=0 MaxOutstandingR2T=4"),
        ("ErrorRecoveryLevel=2 MaxOutstandingR2T=4", "ErrorRecoveryLevel=2 MaxOutstandingR2T=1"),
    ],
)  # fmt: skip
def test_parameters_that_fit(asked: str, answered: str) -> None:
    assert not judged(login(asked, answered)).of("T-074")


def test_the_last_word_counts() -> None:
    """The target settles MaxBurstLength below what it has agreed to before."""
    text = f"""
        > Login-Request CSG=1 text='{NAMES} FirstBurstLength=8192'
        < Login-Response CSG=1 text='{TPGT} FirstBurstLength=8192'
        > Login-Request T CSG=1 NSG=3 text='MaxBurstLength=4096'
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='MaxBurstLength=4096'
    """
    [found] = judged(text).of("T-074")
    assert found.clause == "RFC 7143 13.14"


# --- I-050 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        f"T CSG=1 NSG=3 TSIH=5 text='{TPGT} MaxBurstLength=8192 MaxBurstLength=4096'",
        f"T CSG=1 NSG=3 TSIH=5 text='{TPGT} MaxBurstLength=16384'",
        f"CSG=0 text='{TPGT} MaxBurstLength=8192'",
    ],
)
def test_a_response_after_which_nothing_comes(response: str) -> None:
    text = f"> Login-Request T CSG=1 NSG=3 text='{NAMES} MaxBurstLength=8192'\n<< Login-Response {response}\n"
    assert judged(f"{text}+1\n> Login-Request T CSG=1 NSG=3").of("I-050")
    assert judged(f"{text}close initiator").evidence["I-050"] == 1
    assert judged(f"{text}+20\nconn 2\nlogin").of("I-050")


def test_a_stage_that_nobody_asked_for() -> None:
    text = f"> Login-Request CSG=1 text='{NAMES}'\n< Login-Response CSG=1 text='{TPGT}' ! T NSG=3 TSIH=5\n{UNASKED}"
    assert judged(text).of("I-050")
    further = f"> Login-Request T CSG=0 NSG=1 text='{NAMES}'\n< Login-Response T CSG=0 NSG=1 text='{TPGT}' ! NSG=3\n"
    assert judged(further + UNASKED).of("I-050")


def test_what_was_not_read_yet_is_heeded_later() -> None:
    """The next command was on its way: it does not acknowledge the response."""
    text = login("HeaderDigest=None", "HeaderDigest=CRC32C", mark="<<")
    assert not judged(f"{text}\n> NOP-Out I ITT=none ExpStatSN=99\nclose initiator").of("I-050")


def test_what_the_target_does_not_know_is_no_reason_to_leave() -> None:
    text = login(
        "HeaderDigest=CRC32C TaskReporting=RFC3720", "HeaderDigest=Reject TaskReporting=NotUnderstood", mark="<<"
    )
    assert not judged(f"{text}\n{UNASKED}").of("I-050")


# --- I-051 -----------------------------------------------------------------------------------------------------------


def refusals(count: int, status: int, pause: float = 1.0) -> str:
    one = f"{REQUEST}\n<< Login-Response Status-Class={status}\nclose initiator\n+{pause}\n"
    return "".join(f"conn {number}\n{one}" for number in range(1, count + 1))


def test_what_class_2_refuses_is_not_tried_for_ever() -> None:
    [found] = judged(refusals(5, 2)).of("I-051")
    assert found.severity is Severity.SHOULD
    assert not judged(refusals(4, 2)).of("I-051"), "somebody may try again"
    assert not judged(refusals(5, 3)).of("I-051"), "a target error may pass"
    assert not judged(refusals(5, 2, pause=90)).of("I-051")


def test_a_login_that_went_well_was_no_mistake() -> None:
    text = refusals(3, 2) + f"conn 9\n{login('', '')}" + refusals(3, 2).replace("conn ", "conn 1")
    assert not judged(text).of("I-051")
