from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import reassignment
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

LEVEL_2 = "login ErrorRecoveryLevel=2 MaxConnections=2 DefaultTime2Wait=0"
READ = "> SCSI-Command cdb=READ(10):0+8 as read"
LOST = f"""
    {LEVEL_2}
    {READ}
    close initiator rst
    conn 2
    login TSIH=1 CID=1
"""
RECOVERY = """
    > Logout-Request I ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0
    < Logout-Response
"""
REASSIGN = "> TMF-Request I Function=TASK_REASSIGN RefTaskTag=read.ITT"

CASES = (
    Case(
        rule="T-050",
        good=f"""
            login
            {READ}
            >{REASSIGN}
            <x TMF-Response Response=4
        """,
        bad=f"""
            {LOST}
            {REASSIGN}
            < TMF-Response Response=0
        """,
        short=f"""
            {LOST}
            {RECOVERY}
            {REASSIGN}
            < TMF-Response Response=0
        """,
        mutant=("Response=4", "Response=0"),
    ),
    Case(
        rule="I-033",
        good=f"""
            {LOST}
            {RECOVERY}
            {REASSIGN}
            < TMF-Response
            < Data-In data=4096 F S ITT=read.ITT
        """,
        bad=f"""
            login
            {READ}
            {REASSIGN}
        """,
        short=f"""
            login
            {READ}
            > TMF-Request I Function=ABORT_TASK RefTaskTag=read.ITT RefCmdSN=read.CmdSN
        """,
        mutant=("ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY", "ReasonCode=CLOSE_CONNECTION"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str) -> list[Finding]:
    return judged(text, families=(reassignment.FAMILY,)).of(rule)


def answered(text: str, response: int, *, request: str = REASSIGN) -> list[Finding]:
    return of("T-050", f"{text}\n{request}\n< TMF-Response Response={response}")


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        (f"login\n{READ}", [3, 4], [0, 1, 2, 5, 6, 255]),
        (f"login\n{READ}\n< Data-In data=4096 F S", [1, 3, 4], [0, 5]),
        (f"{LEVEL_2}\n{READ}", [3, 4], [0, 1, 5]),  # it is still there
        (LOST, [1, 3, 4], [0]),
        (LOST + RECOVERY, [0, 1, 3], []),
        (LOST.replace("CID=1", "CID=0"), [0, 1, 3], []),  # the login has logged it out
        (f"{LEVEL_2}\n> Text-Request text=X-a.b=c F=0 as read", [255, 3], [0]),
        ("middle\n> SCSI-Command cdb=TEST-UNIT-READY CmdSN=1 as read", [0, 1, 3, 4, 5], []),
    ],
)
def test_the_answer(text: str, good: list[int], bad: list[int]) -> None:
    assert not [code for code in good if answered(text, code)]
    assert [code for code in bad if answered(text, code)] == bad


def test_a_request_that_is_not_immediate_may_be_rejected() -> None:
    assert not answered(f"login\n{READ}", 255, request=REASSIGN.replace(" I ", " "))


def test_a_failed_logout_frees_nothing() -> None:
    failed = RECOVERY.replace("< Logout-Response", "< Logout-Response Response=CLEANUP_FAILED")
    assert answered(LOST + failed, 0)
    assert of("I-033", f"{LOST}{failed}\n{REASSIGN}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{LEVEL_2}\n{READ}\n{REASSIGN}", True),  # still allegiant
        (f"{LOST}\n{REASSIGN}", True),
        (f"{LOST.replace('CID=1', 'CID=0')}\n{REASSIGN}", False),
        (f"{LOST}{RECOVERY}\n{REASSIGN.replace(' I ', ' ')}", True),
        (f"{LOST}{RECOVERY}\n{REASSIGN.replace('read.ITT', '99')}", False),
        (f"middle\n{READ} CmdSN=1\n> TMF-Request I CmdSN=2 Function=TASK_REASSIGN RefTaskTag=1", False),
    ],
)
def test_what_may_be_reassigned(text: str, found: bool) -> None:
    text = text.replace("as read CmdSN=1", "CmdSN=1 as read")
    assert bool(of("I-033", text)) is found


def test_a_recovery_logout_on_the_connection_itself_frees_its_tasks() -> None:
    text = f"""
        {LEVEL_2}
        conn 2
        login TSIH=1 CID=1
        {READ}
        > Logout-Request I ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=1
        < Logout-Response
        conn 1
        {REASSIGN}
    """
    assert not of("I-033", text)
    assert of("I-033", text.replace("< Logout-Response", ""))
