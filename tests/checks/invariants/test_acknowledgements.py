from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
WRITE = """
    login ImmediateData=No
    > SCSI-Command cdb=WRITE(10):0+1
    < R2T DesiredDataTransferLength=512 TTT=7
"""
DATA = "> Data-Out F data=512 TTT=7 ExpStatSN="
#: The first of two statuses is lost on its way to the initiator
LOST = """
    login {}
    > SCSI-Command cdb=TEST-UNIT-READY as one
    > SCSI-Command cdb=TEST-UNIT-READY as two
    <x SCSI-Response ITT=one.ITT StatSN=101
    < SCSI-Response ITT=two.ITT StatSN=102
"""
LATER = f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response\n+{{}}\n> NOP-Out I CmdSN=3 ExpStatSN={{}}\n"

CASES = (
    Case(
        rule="I-011",
        good=f"{WRITE}{DATA}101\n< SCSI-Response",
        bad=f"{WRITE}{DATA}102",
        short="> Login-Request T CSG=1 NSG=3 ExpStatSN=7",
        mutant=("ExpStatSN=101", "ExpStatSN=102"),
    ),
    Case(
        rule="I-012",
        good=f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response\n> NOP-Out I ExpStatSN=102\n> NOP-Out I",
        bad=f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response\n> NOP-Out I ExpStatSN=102\n"
        "> NOP-Out I ExpStatSN=101",
        short="login",
        mutant=("> NOP-Out I ExpStatSN=102\n", "> NOP-Out I ExpStatSN=103\n> NOP-Out I ExpStatSN=102\n"),
    ),
    Case(
        rule="I-013",
        good=LATER.format(20, 103) + "< NOP-In",
        bad=LATER.format(20, 102) + "< NOP-In",
        short="login",
        mutant=("ExpStatSN=103", "ExpStatSN=101"),
    ),
    Case(
        rule="I-014",
        good=f"{LOST.format('ErrorRecoveryLevel=1')}> NOP-Out I CmdSN=3 ExpStatSN=101\n< NOP-In",
        bad=f"{LOST.format('ErrorRecoveryLevel=1')}> NOP-Out I CmdSN=3 ExpStatSN=103",
        short=f"login\n{COMMAND}< SCSI-Response\n> NOP-Out",
        mutant=("ExpStatSN=101", "ExpStatSN=103"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- I-011 -----------------------------------------------------------------------------------------------------------


def test_a_counted_r2t_is_named() -> None:
    (one,) = judged(f"{WRITE}{DATA}102\n").of("I-011")
    assert one.text == (
        "ExpStatSN 102 acknowledges StatSN 101, which was not given yet: "
        "the R2T with StatSN 101 tells the next number and does not use it up"
    )
    assert one.clause == "RFC 7143 4.2.2.2, RFC 7143 11.8.3"
    assert [proof.text.partition(" ")[0] for proof in one.proof] == ["Data-Out", "R2T", "Login-Response"]


def test_a_counted_nop_in_is_named() -> None:
    (one,) = judged("login\n< NOP-In ITT=none TTT=5\n> NOP-Out I ITT=none TTT=5 ExpStatSN=102").of("I-011")
    assert one.text.endswith("the NOP-In with StatSN 101 tells the next number and does not use it up")


def test_an_acknowledgement_of_nothing_is_told_once() -> None:
    (one,) = judged("login\n> NOP-Out I ExpStatSN=140\n> NOP-Out I ExpStatSN=140").of("I-011")
    assert one.text == "ExpStatSN 140 acknowledges StatSN 139, which was not given yet: the last was 100"


@pytest.mark.parametrize(
    "status",
    [
        "< Async AsyncEvent=4",
        "<< Async AsyncEvent=4",
        "< Reject Reason=PROTOCOL_ERROR data=48",
        "<< SCSI-Response ITT=1",
        "< SCSI-Response ITT=1 StatSN=90 ! StatSN=101",
        "< Data-In F ITT=1 ! S StatSN=101",
    ],
)
def test_every_status_that_was_given_may_be_acknowledged(status: str) -> None:
    text = f"login\n{COMMAND}{status}\n> NOP-Out I CmdSN=2 ExpStatSN={{}}"
    assert not judged(text.format(102)).of("I-011")
    assert judged(text.format(103)).of("I-011")


@pytest.mark.parametrize(
    "nothing",
    [
        "<x SCSI-Response ITT=1",
        "< SCSI-Response ITT=1 ! spoil=header",
        "< Data-In F S ITT=1 data=8 ! S=0",
        "< NOP-In ITT=1 TTT=none ! ITT=0xffffffff",
    ],
)
def test_what_was_not_given_may_not(nothing: str) -> None:
    text = f"login HeaderDigest=CRC32C\n{COMMAND}{nothing}\n> NOP-Out I CmdSN=2 ExpStatSN={{}}"
    assert not judged(text.format(101)).of("I-011")
    assert judged(text.format(102)).of("I-011")


def test_a_number_that_a_fault_set_back_does_not_take_back_what_was_given() -> None:
    text = f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response ! StatSN=5\n> NOP-Out I ExpStatSN=102"
    assert not judged(text).rules() & {"I-011", "I-012", "I-013", "I-014"}


def test_acknowledgements_go_round() -> None:
    keys = 'text="InitiatorName=iqn.a TargetName=iqn.b SessionType=Normal"'
    text = f"""
        > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 {keys}
        < Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=1 StatSN=0xfffffffe text="TargetPortalGroupTag=1"
        > SCSI-Command cdb=TEST-UNIT-READY ExpStatSN=0xffffffff
        < SCSI-Response StatSN=0xffffffff
        > SCSI-Command cdb=TEST-UNIT-READY ExpStatSN={{}}
    """
    mine = {"I-011", "I-012", "I-014"}
    assert not judged(text.format(0)).rules() & mine
    assert judged(text.format(1)).rules() & mine == {"I-011"}
    assert judged(text.format("0xfffffffe")).rules() & mine == {"I-012"}


def test_numbers_that_were_not_seen_are_not_judged() -> None:
    mine = {"I-011", "I-012", "I-013", "I-014"}
    assert not judged(f"middle\n{COMMAND.strip()} ExpStatSN=50").rules() & mine
    start = f"login\n{COMMAND}< SCSI-Response\nlost 4\n"
    assert not judged(f"{start}> NOP-Out I ExpStatSN=120\n> NOP-Out I ExpStatSN=119").rules() & mine
    known = f"{start}< NOP-In ITT=none StatSN=120\n> NOP-Out I ExpStatSN={{}}"
    assert not judged(known.format(120)).rules() & mine
    assert judged(known.format(121)).of("I-011")


# --- I-012 -----------------------------------------------------------------------------------------------------------


def test_a_retry_may_be_what_was_sent_before() -> None:
    text = f"login\n{COMMAND.strip()} as cmd\n> NOP-Out as ping\n< NOP-In\n> NOP-Out I\n{{}}"
    again = "> SCSI-Command cdb=TEST-UNIT-READY ITT=cmd.ITT CmdSN=cmd.CmdSN ExpStatSN=101"
    assert not judged(text.format(again)).of("I-012")
    assert judged(text.format("> NOP-Out I ExpStatSN=101")).of("I-012")


# --- I-013 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LATER.format(20, 102), True),
        (LATER.format(10, 102), False),
        (LATER.format(20, 102).replace("+20", "+20\nfired stall"), False),
        (LATER.format(20, 102).replace("< SCSI-Response\n+", "< SCSI-Response ! Status=8\n+"), False),
        (LATER.format(20, 102).replace("< SCSI-Response\n+", "<< SCSI-Response\n+"), False),
        (LATER.format(20, 102) + "> NOP-Out I CmdSN=3 ExpStatSN=102", True),
    ],
)
def test_what_was_given_long_ago_is_acknowledged(text: str, found: bool) -> None:
    assert len(judged(text).of("I-013")) == found


def test_an_initiator_may_wait_for_data_before_it_acknowledges_a_status() -> None:
    text = LATER.format(20, 101).replace("login", "login ErrorRecoveryLevel=1")
    assert judged(text).of("I-013")
    asked = text.replace("+20", "> SNACK Type=STATUS BegRun=101 RunLength=1 ExpStatSN=101\n+20")
    assert not judged(asked).of("I-013")


# --- I-014 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "severity"), [(0, Severity.SHOULD), (1, Severity.MUST), (2, Severity.MUST)])
def test_how_bad_a_skipped_status_is(level: int, severity: Severity) -> None:
    text = LOST.format(f"ErrorRecoveryLevel={level}") + "> NOP-Out I CmdSN=3 ExpStatSN=103\n> NOP-Out I ExpStatSN=103"
    (one,) = judged(text).of("I-014")
    assert one.severity is severity
    assert one.text == f"ExpStatSN 103 acknowledges StatSN 101, which is missing, at ErrorRecoveryLevel {level}"
    assert one.proof[1].text.startswith("SCSI-Response")


@pytest.mark.parametrize("far", [0x80000065, 0x80000000, 0x90000000, 0x10000000, 0xFFF00000])
def test_a_number_from_far_away_is_no_reason_to_follow(far: int) -> None:
    text = f"""
        login
        > SCSI-Command cdb=WRITE(10):0+1 as write
        > NOP-Out as ping
        < NOP-In ITT=ping.ITT ! StatSN={far}
        > NOP-Out I ExpStatSN={{}}
        < R2T ITT=write.ITT TTT=7 DesiredDataTransferLength=512
        > Data-Out F data=512 ITT=write.ITT TTT=7 ExpStatSN={{}}
        < SCSI-Response ITT=write.ITT
        > NOP-Out I
    """
    mine = {"I-011", "I-012", "I-014"}
    assert not judged(text.format(101, 101)).rules() & mine - {"I-014"}
    followed = judged(text.format(far + 1, far + 1))
    assert [one.rule for one in followed.findings if one.rule in mine] == ["I-014"]


def test_what_came_again_may_be_acknowledged() -> None:
    text = f"""
        {LOST.format("ErrorRecoveryLevel=1")}
        > SNACK Type=STATUS BegRun=101 RunLength=1 ExpStatSN=101
        < SCSI-Response ITT=one.ITT StatSN=101
        > NOP-Out I ExpStatSN=103
    """
    found = judged(text)
    assert not found.rules() & {"I-011", "I-012", "I-014"}
    assert found.evidence["I-014"] == 1


@pytest.mark.parametrize(
    "line", ["> Logout-Request ExpStatSN=103", "> Logout-Request I ReasonCode=1 CID=0 ExpStatSN=103"]
)
def test_a_logout_is_recovery(line: str) -> None:
    assert not judged(f"{LOST.format('')}{line}").of("I-014")


def test_a_number_that_was_only_told_shows_what_is_missing() -> None:
    lost = "> NOP-Out as ping\n<x NOP-In ITT=ping.ITT\n< NOP-In ITT=none StatSN=102\n"
    text = f"login\n{lost}> NOP-Out I CmdSN=2 ExpStatSN={{}}"
    found = judged(text.format(102))
    assert [one.text.partition(",")[0] for one in found.of("I-014")] == ["ExpStatSN 102 acknowledges StatSN 101"]
    assert not found.of("I-011")
    assert judged(text.format(101)).evidence["I-014"] == 1
    assert judged(text.format(103)).of("I-011")


@pytest.mark.parametrize(
    "fault", ["< SCSI-Response ITT=two.ITT StatSN=102 ! spoil=header", "<x SCSI-Response ITT=two.ITT StatSN=102"]
)
def test_a_status_with_a_wrong_digest_is_missing(fault: str) -> None:
    text = f"""
        login HeaderDigest=CRC32C ErrorRecoveryLevel=1
        > SCSI-Command cdb=TEST-UNIT-READY as two
        > SCSI-Command cdb=TEST-UNIT-READY as three
        {fault.replace("102", "101")}
        < SCSI-Response ITT=three.ITT StatSN=102
        > NOP-Out I ExpStatSN=103
    """
    assert judged(text).of("I-014")
