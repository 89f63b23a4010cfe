from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import recovery
from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

LOGIN = "login DefaultTime2Wait=3 DefaultTime2Retain=20"
READ = "> SCSI-Command cdb=READ(10):0+8 as read"
LEVEL_2 = f"{LOGIN} ErrorRecoveryLevel=2 MaxConnections=2"
#: A read whose connection was lost, and another connection of the session, which is there already
LOST = f"""
    {LEVEL_2}
    conn 2
    login TSIH=1 CID=1
    conn 1
    {READ}
    close target rst
    conn 2
"""
RECOVERY = "> Logout-Request I ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY CID=0"
REASSIGN = "> TMF-Request I Function=TASK_REASSIGN RefTaskTag=read.ITT"

CASES = (
    Case(
        rule="I-056",
        good=f"""
            {LOGIN}
            > NOP-Out
            < NOP-In
            close initiator rst
            +3
            conn 2
            {LOGIN}
        """,
        bad=f"""
            {LOGIN}
            > NOP-Out
            < NOP-In
            close initiator rst
            +1
            conn 2
            {LOGIN}
        """,
        short=f"""
            {LOGIN}
            > NOP-Out
            < NOP-In
            close target rst
        """,
        mutant=("+3", "+2"),
    ),
    Case(
        rule="I-057",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY ITT=8 as slow
            +6
            > TMF-Request I Function=ABORT_TASK RefTaskTag=slow.ITT RefCmdSN=slow.CmdSN
            < TMF-Response
            > SCSI-Command cdb=TEST-UNIT-READY ITT=8
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY ITT=8
            +30
            > SCSI-Command cdb=TEST-UNIT-READY ITT=8
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY ITT=8
            +30
            > SCSI-Command cdb=TEST-UNIT-READY ITT=9
        """,
        mutant=("Function=ABORT_TASK RefTaskTag=slow.ITT", "Function=CLEAR_ACA RefTaskTag=none"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(rule: str, text: str) -> list[Finding]:
    return judged(text, families=(recovery.FAMILY,)).of(rule)


# --- I-056 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "again", "found"),
    [
        ("close target", LOGIN, True),
        ("close initiator", LOGIN, True),
        ("close target rst", f"{LOGIN} TSIH=1", True),  # the same connection
        ("close target rst", f"{LOGIN} TSIH=1 CID=1", False),  # another one logs nothing out
        ("close target rst", f"{LOGIN} ISID=0x400001370001", False),  # another session
        ("close target rst", f"{LOGIN} InitiatorName=iqn.2004-01.com.example:other", False),
        ("close target rst", f"{LOGIN} SessionType=Discovery", False),
        ("> Logout-Request\n< Logout-Response\nclose target", LOGIN, False),
        ("> Logout-Request\nclose target", LOGIN, False),
        ("fired stall\nclose target", LOGIN, False),
    ],
)
def test_who_comes_back_at_once(ended: str, again: str, found: bool) -> None:
    findings = of("I-056", f"{LOGIN}\n{ended}\n+1\nconn 2\n{again}")
    assert bool(findings) is found
    assert all(finding.severity is Severity.SHOULD for finding in findings)


def test_what_was_negotiated_is_said() -> None:
    (finding,) = of("I-056", f"{LOGIN}\nclose target rst\n+1\nconn 2\n{LOGIN}")
    assert finding.text.startswith("a login 1.0")
    assert finding.text.endswith(" s after the connection was lost, DefaultTime2Wait=3")


def test_without_a_time_to_wait_nothing_is_said() -> None:
    text = "login DefaultTime2Wait=0\nclose target rst\nconn 2\nlogin DefaultTime2Wait=0"
    assert not of("I-056", text)
    assert not judged(text, families=(recovery.FAMILY,)).evidence["I-056"]


def test_a_login_that_failed_is_no_loss() -> None:
    text = f"> Login-Request T CSG=1 NSG=3 ISID=0x400001370000\nclose target\nconn 2\n{LOGIN}"
    assert not of("I-056", text)
    assert not of("I-056", f"middle\n> NOP-Out ITT=1\nclose target\nconn 2\n{LOGIN}")


@pytest.mark.parametrize(
    ("message", "after", "found"),
    [
        ("< Async AsyncEvent=CONNECTION_DROP Parameter2=10", 5, True),
        ("< Async AsyncEvent=SESSION_DROP Parameter2=10", 5, True),
        ("< Async AsyncEvent=SESSION_DROP Parameter2=10", 11, False),
        ("< Async AsyncEvent=CONNECTION_DROP Parameter2=0", 0, False),
        ("< Async AsyncEvent=CONNECTION_DROP Parameter1=7 Parameter2=10", 5, False),  # another connection
        ("<x Async AsyncEvent=CONNECTION_DROP Parameter2=10", 5, False),
        ("<< Async AsyncEvent=CONNECTION_DROP Parameter2=10", 5, True),
    ],
)
def test_the_time_that_was_announced(message: str, after: float, found: bool) -> None:
    text = f"{LOGIN}\n{message}\n+0.1\nclose target\n+{after}\nconn 2\n{LOGIN}"
    assert bool(of("I-056", text)) is found


def test_an_announcement_that_crossed_binds_nobody() -> None:
    text = f"{LOGIN}\n< Async AsyncEvent=CONNECTION_DROP Parameter2=10\nclose initiator\n+5\nconn 2\n{LOGIN}"
    assert not of("I-056", text)


def test_a_logout_for_a_lost_connection_waits_too() -> None:
    assert of("I-056", f"{LOST}+1\n{RECOVERY}")[0].text.startswith("a logout 1.0")
    assert not of("I-056", f"{LOST}+4\n{RECOVERY}")
    assert not of("I-056", f"{LOST}+1\n> Logout-Request I"), "the session is closed"


def test_a_logout_that_failed_is_tried_again_when_the_target_says() -> None:
    text = f"{LOST}+4\n{RECOVERY}\n< Logout-Response Response=CLEANUP_FAILED Time2Wait=6\n+{{}}\n{RECOVERY}"
    assert of("I-056", text.format(5))
    assert not of("I-056", text.format(7))


@pytest.mark.parametrize(("after", "found"), [(1, True), (4, False), (20, False), (30, True)])
def test_a_reassignment_has_its_time(after: float, found: bool) -> None:
    assert bool(of("I-056", f"{LOST}+{after}\n{REASSIGN}")) is found


@pytest.mark.parametrize(("after", "found"), [(1, True), (3, False), (20, True)])
def test_a_logout_response_gives_the_times_of_its_tasks(after: float, found: bool) -> None:
    text = f"{LOST}+4\n{RECOVERY}\n< Logout-Response Time2Wait=2 Time2Retain=10\n+{after}\n{REASSIGN}"
    assert bool(of("I-056", text)) is found


def test_a_connection_that_was_removed_is_not_lost() -> None:
    text = f"""
        {LEVEL_2}
        conn 2
        login TSIH=1 CID=1
        {RECOVERY.replace("CID=0", "CID=1")}
        < Logout-Response
        close target
        conn 3
        login TSIH=1 CID=1
    """
    assert not of("I-056", text)


# --- I-057 ------------------------------------------------------------------------------------------------------------

SLOW = "login TaskReporting=FastAbort\n> SCSI-Command cdb=TEST-UNIT-READY ITT=8 as slow"
AGAIN = "> SCSI-Command cdb=TEST-UNIT-READY ITT=8"


@pytest.mark.parametrize(
    "between",
    [
        "+2",  # that is another matter
        "< SCSI-Response ITT=8\n+10",
        "> TMF-Request I Function=LUN_RESET\n+10",
        "< Reject Reason=PROTOCOL_ERROR reject=slow\n+10",
        "< Async AsyncEvent=5\n+10",
        "> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response Status=CHECK_CONDITION sense=6/2F/00\n+10",
        "close target\nconn 2\n+10\nlogin",
        "lost 4\n+10",
    ],
)
def test_a_tag_that_is_free(between: str) -> None:
    assert not of("I-057", f"{SLOW}\n{between}\n{AGAIN}")


def test_a_retry_is_the_same_command() -> None:
    assert not of("I-057", f"{SLOW}\n+10\n{AGAIN} CmdSN=slow.CmdSN")


def test_an_answer_that_was_dropped_is_none() -> None:
    (finding,) = of("I-057", f"{SLOW}\n<x SCSI-Response ITT=8\n+10\n{AGAIN}")
    assert finding.text == "ITT=0x8 is used again: its command of 10 s ago has no answer, and was not aborted"
    assert finding.severity is Severity.HEURISTIC
