from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

CASES = (
    Case(
        rule="I-002",
        good="""
            login
            > NOP-Out
            < NOP-In
        """,
        bad="""
            > NOP-Out
        """,
        short="""
            middle
            > NOP-Out
            < NOP-In
        """,
        mutant=("> NOP-Out", "+1\n> Login-Request T CSG=1 NSG=3"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def _texts(text: str) -> list[str]:
    return [finding.text for finding in judged(text).of("I-002")]


ASKS = "> Login-Request T CSG=1 NSG=3"
GRANTS = "< Login-Response T CSG=1 NSG=3 TSIH=1"


def test_what_comes_before_the_login_and_in_it() -> None:
    assert _texts("> SCSI-Command cdb=TEST-UNIT-READY") == ["SCSI-Command as the first PDU of the connection"]
    assert _texts("raw > Opcode-0x1c") == ["Opcode-0x1c as the first PDU of the connection"]
    assert _texts(f"{ASKS}\n> NOP-Out") == ["NOP-Out before the full feature phase"]
    assert _texts("> Login-Request CSG=1\n< Login-Response CSG=1\n> Text-Request") == [
        "Text-Request before the full feature phase"
    ]


def test_a_login_request_is_always_immediate() -> None:
    assert _texts("> Login-Request T CSG=1 NSG=3 I=0") == ["a Login Request with I=0: its first byte is always 0x43"]


def test_a_login_has_as_many_requests_as_it_needs() -> None:
    text = f"""
        > Login-Request CSG=0
        < Login-Response CSG=0
        > Login-Request T CSG=0 NSG=1
        < Login-Response T CSG=0 NSG=1
        {ASKS}
        {GRANTS}
    """
    assert not _texts(text)
    assert judged(text).evidence["I-002"] == 3


@pytest.mark.parametrize("before", ["+1", "> NOP-Out\n< NOP-In", "> Logout-Request\n+1"])
def test_a_second_login(before: str) -> None:
    assert _texts(f"login\n{before}\n{ASKS}") == ["a Login Request in full feature phase"]


def test_a_request_that_crossed_the_last_response_is_no_second_login() -> None:
    assert not _texts(f"{ASKS}\n{GRANTS}\n{ASKS} ExpStatSN=0")


@pytest.mark.parametrize(
    "login",
    [
        f"> Login-Request CSG=1\n{GRANTS}",  # granted without being asked for
        f"{ASKS}\n< Login-Response CSG=1 ! T NSG=3 TSIH=1",
        f"{ASKS}\n<< {GRANTS[2:]}",
    ],
)
def test_an_initiator_that_was_let_in_did_not_come_too_early(login: str) -> None:
    assert not _texts(f"{login}\n+1\n> NOP-Out")


def test_an_initiator_that_was_not_told_so_was_not_let_in() -> None:
    assert _texts(f"{ASKS}\n<x {GRANTS[2:]}\n> NOP-Out")
    assert not _texts(f"{ASKS}\n<x {GRANTS[2:]}\n{ASKS}")


def test_behind_a_refusal_another_rule_judges() -> None:
    assert not _texts(f"{ASKS}\n< Login-Response Status-Class=2\n> NOP-Out")


@pytest.mark.parametrize(
    "text",
    ["middle\n> NOP-Out\n+1\n> Login-Request", f"{ASKS}\nlost 1\n> NOP-Out", "login\nlost 1\n+1\n> Login-Request"],
)
def test_what_was_not_seen_is_not_judged(text: str) -> None:
    assert not _texts(text)


def test_what_the_proxy_sends_is_no_fault_of_the_initiator() -> None:
    assert not _texts(">> NOP-Out")
    assert not _texts(f"login\n>> {ASKS[2:]}")
