from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

OWN = "iqn.2004-01.com.example:disk"
DISCOVERY = "login SessionType=Discovery"
RECORD = f"TargetName={OWN} TargetAddress=192.0.2.1:3260,1"
ASKED = f"{DISCOVERY}\n> Text-Request text='SendTargets=All'"

CASES = (
    Case(
        rule="T-060",
        good=f"{ASKED}\n< Text-Response text='{RECORD}'",
        bad=f"{ASKED}\n< Text-Response text='TargetAddress=192.0.2.1:3260,1'",
        short=f"{DISCOVERY}\n> Text-Request\n< Text-Response",
        mutant=(":3260,1", ":3260"),
    ),
    Case(
        rule="T-062",
        good=f"{ASKED}\n< Text-Response text='{RECORD}'",
        bad=f"{DISCOVERY}\n< NOP-In ITT=none TTT=5",
        short="login\n> NOP-Out\n< NOP-In",
        mutant=("< Text", "< Async AsyncEvent=1 Parameter3=1\n< Text"),
    ),
    Case(
        rule="I-039",
        good=f"{ASKED}\n< Text-Response text='{RECORD}'",
        bad="> Login-Request CSG=1 text='InitiatorName=iqn.x:i SessionType=Discovery SendTargets=All'",
        short="login\n> Text-Request text='InitiatorAlias=me'\n< Text-Response",
        mutant=("SendTargets=All", "SendTargets=All InitiatorAlias=me"),
    ),
    Case(
        rule="I-040",
        good=f"{DISCOVERY}\n> Logout-Request ReasonCode=0\n< Logout-Response\nclose target",
        bad=f"{DISCOVERY}\n> NOP-Out",
        short="login\n> NOP-Out\n< NOP-In",
        mutant=("ReasonCode=0", "ReasonCode=1"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-060 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        f"{RECORD} TargetName=iqn.x:other TargetAddress=[::1],2 TargetAddress=host.example,0x10",
        f"TargetName={OWN}",
        "SendTargets=Irrelevant",
    ],
)
def test_an_answer_that_may_be(answer: str) -> None:
    assert not judged(f"{ASKED}\n< Text-Response text='{answer}'").of("T-060")


@pytest.mark.parametrize(
    "answer",
    ["TargetAlias=x", f"TargetName={OWN} TargetAddress=h,x", f"TargetName={OWN} TargetAddress=h,65536",
     "SendTargets=Reject"],
)  # fmt: skip
def test_an_answer_that_may_not_be(answer: str) -> None:
    assert judged(f"{ASKED}\n< Text-Response text='{answer}'").of("T-060")


def test_a_list_may_be_empty() -> None:
    result = judged(f"{ASKED}\n< Text-Response")
    assert not result.findings
    assert result.evidence["T-060"] == 1


def test_a_long_list_comes_in_parts() -> None:
    """A pair and a record may be cut anywhere (RFC 7143 6.2, 11.10.4)."""
    name, address = f"TargetName={OWN}".encode(), b"\0TargetAddress=192.0.2.1"
    text = f"""
        {ASKED}
        < Text-Response C F=0 TTT=7 data=hex:{(name + address).hex()}
        > Text-Request ITT=1 TTT=7
        < Text-Response F=0 TTT=7 data=hex:{b":3260,1{}".replace(b"{}", bytes(1)).hex()}
        > Text-Request ITT=1 TTT=7
        < Text-Response text='TargetAddress=192.0.2.2:3260,2'
    """
    assert not judged(text).findings


def test_a_normal_session_tells_of_its_own_target() -> None:
    text = "login\n> Text-Request text='SendTargets='\n< Text-Response text='{}'"
    assert not judged(text.format(RECORD.replace(OWN, OWN.upper()))).findings
    [found] = judged(text.format("TargetName=iqn.x:other")).of("T-060")
    assert found.severity is Severity.MUST
    assert judged(text.format("SendTargets=Reject")).of("T-060"), "what a normal session has to support"


def test_a_normal_session_tells_nothing_of_all() -> None:
    text = "login\n> Text-Request text='SendTargets=All'\n< Text-Response text='{}'"
    [found] = judged(text.format(RECORD)).of("T-060")
    assert found.severity is Severity.SHOULD
    assert not judged(text.format("SendTargets=Reject")).findings


def test_what_a_mixture_is_answered_is_open() -> None:
    text = f"{DISCOVERY}\n> Text-Request text='SendTargets=All TargetAddress=h'\n< Text-Response text='{{}}'"
    answer = "TargetAddress=Reject SendTargets=Reject TargetAlias=x"
    assert not judged(text.format(answer)).of("T-060")


# --- T-062, I-039, I-040 ---------------------------------------------------------------------------------------------


def test_a_target_rejects_the_rest() -> None:
    text = f"{DISCOVERY}\n> NOP-Out as ping\n< Reject Reason=4 reject=ping"
    assert not judged(text).of("T-062")
    assert not judged(f"{DISCOVERY}\n< NOP-In ITT=none TTT=5", profile=Profile.RFC3720).of("T-062")


def test_send_targets_is_one_request() -> None:
    text = f"""
        {DISCOVERY}
        > Text-Request C F=0 data=hex:{b"SendTa".hex()}
        < Text-Response F=0 TTT=7
        > Text-Request ITT=1 TTT=7 data=hex:{b"rgets=All".hex()}00
        < Text-Response text='{RECORD}'
    """
    assert judged(text).rules() == {"I-039"}


def test_a_ping_of_the_target_is_answered_in_discovery_too() -> None:
    assert not judged(f"{DISCOVERY}\n<< NOP-In ITT=none TTT=5\n> NOP-Out I ITT=none TTT=5").of("I-040")


def test_the_place_of_a_rejected_request_is_filled() -> None:
    text = f"""
        {DISCOVERY}
        > Text-Request text='SendTargets=All' as asked
        <<  Reject Reason=9 reject=asked
        > NOP-Out CmdSN=asked.CmdSN
    """.replace("<<  ", "<< ")
    assert not judged(text).of("I-040")
    assert judged(text.replace("CmdSN=asked.CmdSN", "")).of("I-040")


@pytest.mark.parametrize("key", ["MaxRecvDataSegmentLength=512", "X-com.a=1"])
def test_no_other_key_is_negotiated_in_discovery(key: str) -> None:
    assert judged(f"{DISCOVERY}\n> Text-Request text='{key}'\n< Text-Response").of("I-040")
