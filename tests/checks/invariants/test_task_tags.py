from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

FIRST = "login\n> SCSI-Command cdb=TEST-UNIT-READY ITT=5 as cmd\n"
AGAIN = "> SCSI-Command cdb=TEST-UNIT-READY ITT=5"
ABORT = "> TMF-Request I Function=ABORT_TASK RefTaskTag=5 RefCmdSN=1 ITT=90"

CASES = (
    Case(
        rule="I-010",
        good=f"{FIRST}< SCSI-Response ITT=5\n{AGAIN}",
        bad=f"{FIRST}{AGAIN}",
        short="login\n< NOP-In ITT=none TTT=9",
        mutant=("< SCSI-Response ITT=5\n", "<x SCSI-Response ITT=5\n"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize(
    "line",
    [
        "> SCSI-Command cdb=TEST-UNIT-READY ITT=none",
        "> TMF-Request I Function=LUN_RESET ITT=none",
        "> Text-Request F ITT=none text=SendTargets=",
        "> Logout-Request ITT=none",
    ],
)
def test_a_task_has_a_tag(line: str) -> None:
    (one,) = judged(f"login\n{line}").of("I-010")
    assert one.text.endswith("has the reserved tag 0xffffffff")
    assert judged("> Login-Request T CSG=1 NSG=3 ITT=none").of("I-010")
    assert not judged("login\n> NOP-Out I ITT=none").of("I-010")


@pytest.mark.parametrize(
    "end",
    [
        "<< SCSI-Response Status=BUSY ITT=5",
        "< Data-In F ITT=5 ! S",
        "< Reject Reason=PROTOCOL_ERROR reject=cmd ExpCmdSN=1",
        "< Reject Reason=DATA_DIGEST_ERROR reject=cmd ExpCmdSN=1",
        f"{ABORT}\n< TMF-Response ITT=90",
        f"{ABORT}\n< TMF-Response ITT=90 Response=TASK_DOES_NOT_EXIST",
        "> TMF-Request I Function=LUN_RESET ITT=90\n< TMF-Response ITT=90",
        "lost 1",
    ],
)
def test_a_tag_is_free_when_the_initiator_was_told_the_end(end: str) -> None:
    assert not judged(f"{FIRST}{end}\n{AGAIN} CmdSN=2").of("I-010")


@pytest.mark.parametrize(
    "no_end",
    [
        "<x SCSI-Response ITT=5",
        f"{ABORT}\n< TMF-Response ITT=90 Response=FUNCTION_REJECTED",
        ABORT,
        "> TMF-Request I Function=LUN_RESET ITT=90 lun=3\n< TMF-Response ITT=90",
    ],
)
def test_a_tag_is_not_free_before(no_end: str) -> None:
    (one,) = judged(f"{FIRST}{no_end}\n{AGAIN} CmdSN=2").of("I-010")
    assert one.text == "ITT=0x5 is that of a task that has not ended"
    assert one.proof[1].text.startswith("SCSI-Command ITT=0x00000005")


def test_an_answer_with_a_wrong_digest_ends_nothing() -> None:
    text = FIRST.replace("login", "login HeaderDigest=CRC32C DataDigest=CRC32C")
    assert judged(f"{text}< SCSI-Response ITT=5 ! spoil=header\n{AGAIN}").of("I-010")


@pytest.mark.parametrize(
    "goes_on",
    [
        "> SCSI-Command cdb=TEST-UNIT-READY ITT=5 as cmd\n> SCSI-Command cdb=TEST-UNIT-READY ITT=5 CmdSN=1",
        "> Text-Request F=0 ITT=5 text=X-a=b\n< Text-Response F=0 TTT=8 ITT=5\n> Text-Request F ITT=5 TTT=8",
        "> NOP-Out I ITT=5\n> NOP-Out I ITT=5",
    ],
)
def test_what_goes_on_with_a_task_has_its_tag(goes_on: str) -> None:
    assert not judged(f"login\n{goes_on}").of("I-010")


@pytest.mark.parametrize(
    "other", ["> NOP-Out I ITT=5", "> NOP-Out ITT=5 CmdSN=1", "> TMF-Request I Function=LUN_RESET ITT=5"]
)
def test_tags_are_those_of_all_kinds_of_tasks(other: str) -> None:
    assert judged(f"{FIRST}{other}").of("I-010")


def test_tags_are_those_of_a_session() -> None:
    text = f"login MaxConnections=2\nconn 2\nlogin TSIH=1 CID=1\nconn 1\n{FIRST.partition(chr(10))[2]}conn 2\n{AGAIN}"
    assert judged(text).of("I-010")
    assert not judged(text.replace("login TSIH=1 CID=1", "login ISID=0x400001370001")).of("I-010")


def test_a_task_that_waits_for_another_connection_may_have_been_given_up() -> None:
    text = f"""
        login MaxConnections=2 ErrorRecoveryLevel=2
        conn 2
        login TSIH=1 CID=1
        {FIRST.partition(chr(10))[2]}
        close target rst
        conn 1
        {AGAIN}
    """
    assert not judged(text).of("I-010")


def test_a_tag_that_the_proxy_uses_is_no_fault_of_the_initiator() -> None:
    assert not judged(f"login\n>> NOP-Out I ITT=5\n{AGAIN}").of("I-010")
