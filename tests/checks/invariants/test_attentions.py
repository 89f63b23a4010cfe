from __future__ import annotations

import pytest

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants import attentions
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

LOGIN = "login MaxConnections=2"
TWO = f"""
    {LOGIN}
    conn 2
    login TSIH=1 CID=1
    conn 1
"""
#: A write whose data never came
WRITE = """
    > SCSI-Command cdb=WRITE(10):0+2 lun=3 as write
    < R2T ITT=write.ITT lun=3 DesiredDataTransferLength=1024
"""
TEST = "> SCSI-Command cdb=TEST-UNIT-READY lun=3"
TOLD = "< SCSI-Response Status=CHECK_CONDITION sense=6/47/7F"
#: Connection 1 logs itself out, connection 2 goes on
OUT = f"""
    {TWO}
    {WRITE}
    > Logout-Request I ReasonCode=CLOSE_CONNECTION
    < Logout-Response
    close target
    conn 2
    +1
"""
#: The connection is lost, and comes back with its CID
BACK = f"""
    {LOGIN}
    {WRITE}
    close initiator rst
    conn 2
    {LOGIN} TSIH=1
    +1
"""

CASES = (
    Case(
        rule="T-078",
        good=f"""
            {OUT}
            {TEST}
            {TOLD}
            {TEST}
            < SCSI-Response
        """,
        bad=f"""
            {BACK}
            {TEST}
            < SCSI-Response
        """,
        short=f"""
            {OUT}
            {TEST}
        """,
        mutant=("Status=CHECK_CONDITION sense=6/47/7F", ""),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def of(text: str) -> list[Finding]:
    return judged(text, families=(attentions.FAMILY,)).of("T-078")


def test_the_commands_that_prove_it() -> None:
    (finding,) = of(f"{BACK}{TEST}\n< SCSI-Response")
    assert finding.text == "no CHECK CONDITION 6/47/7F on LUN 0x3000000000000, whose tasks ended with their connection"
    assert [proof.text.partition(" ")[0] for proof in finding.proof] == [
        "SCSI-Response",
        "SCSI-Command",
        "Login-Response",
        "SCSI-Command",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{TEST}\n< SCSI-Response Status=CHECK_CONDITION sense=6/29/07",  # another attention may stand for it
        f"{TEST}\n< SCSI-Response Status=BUSY",
        f"{TEST}\n< SCSI-Response Status=CHECK_CONDITION sense=5/24/00",
        f"{TEST}\n< SCSI-Response Response=TARGET_FAILURE",
        "> SCSI-Command cdb=INQUIRY:0+36 lun=3\n< Data-In data=36 F S",
        "> SCSI-Command cdb=TEST-UNIT-READY lun=4\n< SCSI-Response",  # another unit
        f"{TEST}\n> Logout-Request I",
        f"lost 3\n{TEST}\n< SCSI-Response StatSN=102 ExpCmdSN=9",
    ],
)
def test_no_command_was_carried_out(text: str) -> None:
    assert not of(BACK + text)


def test_a_command_that_was_refused_leaves_it_to_the_next() -> None:
    busy = f"{BACK}{TEST}\n< SCSI-Response Status=BUSY\n"
    assert of(f"{busy}{TEST}\n< SCSI-Response")
    assert not of(f"{busy}{TEST}\n{TOLD}\n{TEST}\n< SCSI-Response")


def test_any_of_those_under_way_may_bring_it() -> None:
    text = f"{BACK}{TEST} ITT=50\n{TEST} ITT=51\n< SCSI-Response ITT=50\n"
    assert not of(text + TOLD + " ITT=51")
    assert of(text + "< SCSI-Response ITT=51")
    assert not of(text)


def test_a_read_with_data_and_status_in_one_counts_too() -> None:
    assert of(f"{BACK}> SCSI-Command cdb=READ(10):0+1 lun=3\n< Data-In data=512 F S")


def test_what_crosses_with_the_end_may_miss_it() -> None:
    assert not of(f"{BACK.replace('+1', '')}{TEST}\n< SCSI-Response")


@pytest.mark.parametrize(
    "before",
    [
        f"{WRITE}> Data-Out lun=3 ITT=write.ITT TTT=0x1001 data=1024 F\n",  # it may have ended well
        "> SCSI-Command cdb=READ(10):0+1 lun=3\n",
        f"{WRITE}< SCSI-Response ITT=write.ITT Status=BUSY\n",
        ">x NOP-Out\n> SCSI-Command cdb=WRITE(10):0+2 lun=3\n",  # behind a gap, and not delivered
        f"{WRITE}> TMF-Request I Function=ABORT_TASK RefTaskTag=write.ITT RefCmdSN=1 lun=3\n",
        "",
    ],
)
def test_nothing_certainly_died(before: str) -> None:
    assert not of(f"{BACK.replace(WRITE, before)}{TEST}\n< SCSI-Response")


def test_a_logout_ends_whatever_has_no_answer() -> None:
    out = OUT.replace(WRITE, "\n> SCSI-Command cdb=READ(10):0+1 lun=3\n")
    assert of(f"{out}{TEST}\n< SCSI-Response")
    assert not of(f"{out}{TEST}\n{TOLD}")


def test_a_logout_from_another_connection_ends_what_cannot_have_ended() -> None:
    text = f"{TWO}{WRITE}conn 2\n> Logout-Request I ReasonCode=CLOSE_CONNECTION CID=0\n< Logout-Response\n+1\n{TEST}\n"
    assert of(text + "< SCSI-Response")
    assert not of(text.replace(WRITE, "> SCSI-Command cdb=READ(10):0+1 lun=3\n") + "< SCSI-Response")


def test_a_lost_connection_is_logged_out_by_another() -> None:
    lost = f"{TWO}{WRITE}close target rst\nconn 2\n+1\n"
    out = "> Logout-Request I ReasonCode=CLOSE_CONNECTION CID=0\n< Logout-Response\n+1\n"
    assert not of(f"{lost}{TEST}\n< SCSI-Response"), "it may wait for its time"
    assert of(f"{lost}{out}{TEST}\n< SCSI-Response")
    assert not of(f"{lost}{out.replace('Response', 'Response Response=CID_NOT_FOUND')}{TEST}\n< SCSI-Response")


def test_a_new_session_is_another_nexus() -> None:
    assert not of(f"{BACK.replace('TSIH=1', '')}{TEST}\n< SCSI-Response")
    closed = OUT.replace("ReasonCode=CLOSE_CONNECTION", "ReasonCode=CLOSE_SESSION")
    assert not of(f"{closed}{TEST}\n< SCSI-Response")


LEVEL_2 = OUT.replace(LOGIN, f"{LOGIN} ErrorRecoveryLevel=2").replace(
    "ReasonCode=CLOSE_CONNECTION\n    < Logout-Response",
    "ReasonCode=REMOVE_CONNECTION_FOR_RECOVERY\n    < Logout-Response Time2Wait=2 Time2Retain=5",
)


def test_at_level_2_tasks_wait_for_another_connection() -> None:
    assert not of(f"{LEVEL_2}{TEST}\n< SCSI-Response")
    assert of(f"{LEVEL_2}+20\n{TEST}\n< SCSI-Response")
    reassign = "> TMF-Request I Function=TASK_REASSIGN RefTaskTag=write.ITT\n< TMF-Response\n"
    assert not of(f"{LEVEL_2}+3\n{reassign}+20\n{TEST}\n< SCSI-Response")
    assert not of(f"{BACK.replace(LOGIN, f'{LOGIN} ErrorRecoveryLevel=2')}{TEST}\n< SCSI-Response")
