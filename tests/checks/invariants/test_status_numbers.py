from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

DIGESTS = "HeaderDigest=CRC32C DataDigest=CRC32C"
COMMAND = "> SCSI-Command cdb=TEST-UNIT-READY\n"
WRITE = "> SCSI-Command cdb=WRITE(10):0+1\n"
R2T = "< R2T DesiredDataTransferLength=512 TTT=7\n"
DATA = "> Data-Out F data=512 TTT=7\n"
SNACKED = """
    login ErrorRecoveryLevel=1
    > SCSI-Command cdb=TEST-UNIT-READY as cmd
    < SCSI-Response Status=CHECK_CONDITION sense=6/29/00 StatSN=101
    > SNACK Type=STATUS BegRun=101 RunLength=1 ExpStatSN=101
"""
REJECTED = """
    login
    >> SNACK Type=STATUS BegRun=200 RunLength=1 as snack
    < Reject Reason=PROTOCOL_ERROR reject=snack
    > SCSI-Command cdb=TEST-UNIT-READY
"""

CASES = (
    Case(
        rule="T-007",
        good=f"login {DIGESTS}\n{COMMAND}< SCSI-Response",
        bad=f"login\n{COMMAND}< SCSI-Response\n{COMMAND}< SCSI-Response StatSN=101",
        short=f"login\n{COMMAND}",
        mutant=("< SCSI-Response", "< SCSI-Response StatSN=102"),
    ),
    Case(
        rule="T-008",
        good=f"login ImmediateData=No\n{WRITE}{R2T}{DATA}< SCSI-Response",
        bad="login\n< NOP-In ITT=none TTT=5 StatSN=100",
        short=f"login\n{COMMAND}< SCSI-Response",
        mutant=("< SCSI-Response", "< SCSI-Response StatSN=102"),
    ),
    Case(
        rule="T-009",
        good=REJECTED + "< SCSI-Response StatSN=102",
        bad=REJECTED + "< SCSI-Response StatSN=101",
        short=REJECTED,
        mutant=("< SCSI-Response StatSN=102", "< NOP-In ITT=none TTT=5 StatSN=101"),
    ),
    Case(
        rule="T-010",
        good=SNACKED + "< SCSI-Response Status=CHECK_CONDITION sense=6/29/00 StatSN=101 MaxCmdSN=40",
        bad=SNACKED + "< SCSI-Response StatSN=101",
        short=SNACKED,
        mutant=("StatSN=101 MaxCmdSN=40", "StatSN=102"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-007 -----------------------------------------------------------------------------------------------------------


def test_numbers_wrap_around() -> None:
    text = """
        > Login-Request T CSG=1 NSG=3 ISID=0x400001370000 text="InitiatorName=iqn.a TargetName=iqn.b SessionType=Normal"
        < Login-Response T CSG=1 NSG=3 ISID=0x400001370000 TSIH=1 StatSN=0xfffffffe text="TargetPortalGroupTag=1"
        > SCSI-Command cdb=TEST-UNIT-READY ExpStatSN=0xffffffff
        < SCSI-Response StatSN=0xffffffff
        > SCSI-Command cdb=TEST-UNIT-READY ExpStatSN=0
        < SCSI-Response StatSN={}
    """
    good = judged(text.format(0))
    assert not good.of("T-007")
    assert good.evidence["T-007"] == 2
    assert [one.text for one in judged(text.format(1)).of("T-007")] == ["StatSN 1, expected 0"]


@pytest.mark.parametrize(
    "answer",
    ["< SCSI-Response", "< Data-In F S data=512", "< Reject Reason=PROTOCOL_ERROR reject=cmd", "< Async AsyncEvent=4"],
)
def test_all_that_takes_a_number_is_held_to_it(answer: str) -> None:
    text = f"login\n> SCSI-Command cdb=READ(10):0+1 as cmd\n{answer} StatSN=105"
    assert [one.text for one in judged(text).of("T-007")] == ["StatSN 105, expected 101"]


def test_data_without_a_status_has_no_number() -> None:
    text = "login\n> SCSI-Command cdb=READ(10):0+2\n< Data-In data=512 StatSN=7\n< Data-In F S data=512 StatSN=101"
    found = judged(text)
    assert found.findings == ()
    assert found.evidence["T-007"] == 1


def test_a_status_sent_twice_without_recovery_has_a_used_number() -> None:
    text = f"login\n{COMMAND}< SCSI-Response\n< SCSI-Response StatSN=101"
    assert [one.text for one in judged(text).of("T-007")] == ["StatSN 101 was used before; the next is 102"]
    recovering = text.replace("login", "login ErrorRecoveryLevel=1")
    assert not judged(recovering).of("T-007")


def test_numbers_begin_anew_where_they_are_not_known() -> None:
    assert not judged(f"middle\n{COMMAND}< SCSI-Response StatSN=7\n{COMMAND}< SCSI-Response StatSN=8").of("T-007")
    text = f"login\n{COMMAND}< SCSI-Response\nlost 3\n{COMMAND}< SCSI-Response StatSN=120\n"
    assert not judged(text).of("T-007")
    assert judged(f"{text}{COMMAND}< SCSI-Response StatSN=122").of("T-007")


def test_each_connection_has_its_own_numbers() -> None:
    text = f"""
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        {COMMAND}
        < SCSI-Response
        conn 1
        {COMMAND}
        < SCSI-Response
    """
    found = judged(text)
    assert not found.of("T-007")
    assert found.evidence["T-007"] == 2


def test_what_the_proxy_adds_or_drops_is_not_counted() -> None:
    text = f"login\n{COMMAND}<x SCSI-Response\n<< SCSI-Response StatSN=105\n{COMMAND}< SCSI-Response StatSN=102"
    assert not judged(text).of("T-007")


# --- T-008 -----------------------------------------------------------------------------------------------------------


def test_a_counted_r2t_is_told_from_a_gap() -> None:
    start = f"login ImmediateData=No\n{WRITE}{R2T}{DATA}"
    counted = judged(start + "< SCSI-Response StatSN=102")
    assert [one.text for one in counted.of("T-008")] == ["StatSN 102, expected 101: an R2T was counted as a status"]
    assert not counted.of("T-007")
    gap = judged(start + "< SCSI-Response StatSN=103")
    assert gap.of("T-007")
    assert not gap.of("T-008")


@pytest.mark.parametrize(
    "line", ["< NOP-In ITT=none TTT=5 StatSN=102", "< NOP-In StatSN=100 ITT=none", R2T.strip() + " StatSN=100"]
)
def test_what_only_tells_a_number_tells_the_next(line: str) -> None:
    found = judged(f"login ImmediateData=No\n{WRITE}{line}").of("T-008")
    assert len(found) == 1
    assert found[0].text.endswith("the next is 101")
    assert len(found[0].proof) == 2


def test_an_answered_ping_takes_a_number() -> None:
    assert not judged("login\n> NOP-Out\n< NOP-In StatSN=101\n> NOP-Out\n< NOP-In StatSN=102").findings


# --- T-009 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["< Async AsyncEvent=4 ITT=5", "< Reject Reason=PROTOCOL_ERROR reject=cmd ITT=5"])
def test_neither_async_nor_reject_has_a_task(line: str) -> None:
    found = judged(f"login\n> NOP-Out as cmd\n{line}").of("T-009")
    assert [one.text.endswith("has ITT=0x5, not 0xffffffff") for one in found] == [True]


def test_a_reused_number_of_a_reject_is_found_once_and_by_its_own_rule() -> None:
    found = judged(REJECTED + "< SCSI-Response StatSN=101\n" + COMMAND + "< SCSI-Response StatSN=102")
    assert [(one.rule, one.text, one.clause) for one in found.findings] == [
        ("T-009", "StatSN 101 was that of the Reject before; the next is 102", "RFC 7143 11.17.3")
    ]


# --- T-010 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("again", "text"),
    [
        ("Status=CHECK_CONDITION sense=6/29/01 StatSN=101", "StatSN 101 was sent again with the data changed"),
        ("Status=BUSY StatSN=101", "StatSN 101 was sent again with Status=0x8, it was 0x2"),
        ("Status=CHECK_CONDITION StatSN=101", "StatSN 101 was sent again with DataSegmentLength=0x0, it was 0x14"),
        (
            "Status=CHECK_CONDITION sense=6/29/00 StatSN=102",
            "a status was sent again with StatSN 102, it was 101",
        ),
    ],
)
def test_a_copy_has_all_that_the_status_had(again: str, text: str) -> None:
    found = judged(f"{SNACKED}< SCSI-Response {again}").of("T-010")
    assert [one.text for one in found] == [text]
    assert len(found[0].proof) > 1


def test_a_copy_may_tell_newer_counts() -> None:
    again = "Status=CHECK_CONDITION sense=6/29/00 StatSN=101 ExpDataSN=3 ExpCmdSN=3 MaxCmdSN=50"
    text = SNACKED.replace("RunLength=1", "RunLength=0") + f"{COMMAND}< SCSI-Response {again} ITT=cmd.ITT"
    found = judged(text)
    assert not found.of("T-010")
    assert found.evidence["T-010"] == 1


def test_a_status_built_anew_after_an_r_data_snack_may_differ() -> None:
    text = """
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2 as cmd
        < Data-In data=1024 F
        < SCSI-Response ExpDataSN=1 StatSN=101
        > SNACK Type=R_DATA ITT=cmd.ITT TTT=9 ExpStatSN=101
        < Data-In data=512 DataSN=0 BufferOffset=0
        < Data-In data=512 DataSN=1 BufferOffset=512 F
        < SCSI-Response ExpDataSN=2 StatSN=101 SNACKTag=9
    """
    assert not judged(text).of("T-010")
    assert not judged(text).of("T-007")
