from __future__ import annotations

import pytest

from iscsiproxy.checks.profiles import Profile
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

READ = "login\n> SCSI-Command cdb=READ(10):0+2\n"
#: XDWRITEREAD(10), which writes 512 bytes and reads 1024
BIDI = """
    login
    > SCSI-Command cdb=hex:5300000000000000010000 R W EDTL=512 ahs=hex:0005020000000400
    < R2T BufferOffset=0 DesiredDataTransferLength=512 TTT=7
    > Data-Out F data=512 TTT=7
    < Data-In data=512 F DataSN=1 BufferOffset=0
"""

CASES = (
    Case(
        rule="T-027",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < Data-In data=512 F
            < SCSI-Response
        """,
        bad=READ
        + """
            < Data-In data=512 F
            < Data-In data=512
            < SCSI-Response
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < SCSI-Response Status=CHECK_CONDITION sense=3/11/00
        """,
        mutant=("data=512 F", "data=512"),
    ),
    Case(
        rule="T-028",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S Status=CHECK_CONDITION
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F
        """,
        mutant=("F S", "S"),
    ),
    Case(
        rule="T-032",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < Data-In data=512 F S
            > SCSI-Command cdb=INQUIRY:0+96
            < Data-In data=36 F
            < SCSI-Response U ResidualCount=60
        """,
        bad=READ
        + """
            < Data-In data=512 F
            < SCSI-Response
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512 F
            < SCSI-Response Status=CHECK_CONDITION sense=3/11/00
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("ResidualCount=60", "ResidualCount=59"),
    ),
    Case(
        rule="T-036",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F
            < SCSI-Response Response=TARGET_FAILURE ExpDataSN=0
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < SCSI-Response Response=TARGET_FAILURE U ResidualCount=512
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("ExpDataSN=0", "ExpDataSN=1"),
    ),
    Case(
        rule="T-037",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < Data-In data=512 F
            < SCSI-Response ExpDataSN=2
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1
            < R2T BufferOffset=0 DesiredDataTransferLength=512 TTT=7
            > Data-Out F data=512 TTT=7
            < SCSI-Response ExpDataSN=1
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        mutant=("ExpDataSN=2", "ExpDataSN=1"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize("digest", ["None", "CRC32C"])
def test_digests_change_nothing(digest: str) -> None:
    text = f"""
        login HeaderDigest={digest} DataDigest={digest}
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        < Data-In data=512 F
        < SCSI-Response
    """
    assert not judged(text).findings
    assert judged(text.replace("512 F", "508 F")).rules() == {"T-032"}


# --- T-028 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "broken"),
    [
        ("GOOD", False),
        ("CONDITION_MET", False),
        ("INTERMEDIATE", False),
        ("INTERMEDIATE_CONDITION_MET", False),
        ("BUSY", True),
        ("TASK_ABORTED", True),
    ],
)
def test_only_what_went_well_rides_on_data(status: str, broken: bool) -> None:
    assert bool(judged(READ + f"< Data-In data=1024 F S Status={status}").of("T-028")) is broken


def test_a_bidirectional_command_has_its_status_alone() -> None:
    assert not judged(BIDI).of("T-028")
    assert judged(BIDI + "< Data-In data=512 F S DataSN=2 BufferOffset=512").of("T-028")


# --- T-027, T-032 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "broken"),
    [
        ("< Data-In data=1024 F\n< SCSI-Response", False),
        ("< Data-In data=512 F\n< SCSI-Response U ResidualCount=512", False),
        ("< Data-In data=512 F S U ResidualCount=512", False),
        ("< Data-In data=512 F S", True),
        ("< Data-In data=1024 F\n< SCSI-Response O ResidualCount=512", False),
        ("< Data-In data=512 F\n< SCSI-Response O ResidualCount=512", True),
        ("< Data-In data=1024 F\n< SCSI-Response U ResidualCount=512", True),
        ("< SCSI-Response", True),
        ("< SCSI-Response U ResidualCount=1024", False),
        ("< SCSI-Response Status=BUSY", False),
        ("< SCSI-Response Response=TARGET_FAILURE", False),
        ("< Data-In data=512 BufferOffset=512\n< Data-In data=512 BufferOffset=512 F S", False),  # not for this rule
    ],
)
def test_what_came_and_what_did_not_is_all_there_is(end: str, broken: bool) -> None:
    assert bool(judged(READ + end).of("T-032")) is broken


def test_the_expected_length_is_the_one_that_was_given() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+2 ! EDTL=512
        < Data-In data=512 F S
    """
    assert not judged(text).of("T-032")
    assert judged(text.replace("! EDTL=512", "")).of("T-032")


def test_what_reads_both_ways_has_a_residual_of_its_own() -> None:
    good = BIDI + "< SCSI-Response ExpDataSN=1 u BidirectionalReadResidualCount=512"
    assert not judged(good).findings
    assert judged(good.replace("u Bidi", "Bidi")).of("T-032")
    assert judged(BIDI + "< SCSI-Response ExpDataSN=1 U ResidualCount=512").of("T-032")


def test_a_status_that_comes_again_is_not_judged_again() -> None:
    assert not judged("""
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=1024 F
        < SCSI-Response as status
        > SNACK Type=DATA_R2T ITT=1 BegRun=0 RunLength=1 ExpStatSN=status.StatSN
        > SNACK Type=STATUS BegRun=status.StatSN RunLength=1 ExpStatSN=status.StatSN
        < Data-In data=1024 F DataSN=0 BufferOffset=0
        < SCSI-Response StatSN=status.StatSN ExpDataSN=1
    """).findings


def test_a_lost_journal_says_nothing() -> None:
    found = judged("""
        login
        > SCSI-Command cdb=READ(10):0+2
        lost 1
        < SCSI-Response ITT=1
    """)
    assert not found.rules() & {"T-027", "T-032", "T-037"}


# --- T-037 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "count"),
    [(Profile.RFC3720, 2), (Profile.RFC5048, 2), (Profile.RFC7143, 1), (Profile.RFC7144, 1)],
)
def test_older_standards_count_r2ts_too(profile: Profile, count: int) -> None:
    text = BIDI + "< SCSI-Response u BidirectionalReadResidualCount=512 ExpDataSN="
    assert not judged(text + str(count), profile=profile).of("T-037")
    assert judged(text + str(3 - count), profile=profile).of("T-037")


def test_no_data_is_no_data_in_each_of_them() -> None:
    text = """
        login
        > SCSI-Command cdb=WRITE(10):0+1
        < R2T BufferOffset=0 DesiredDataTransferLength=512 TTT=7
        > Data-Out F data=512 TTT=7
        < SCSI-Response ExpDataSN=0
    """
    for profile in Profile:
        assert not judged(text, profile=profile).of("T-037")


def test_what_was_sent_twice_counts_once() -> None:
    text = """
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        < Data-In data=512 F
        > SNACK Type=DATA_R2T ITT=1 BegRun=0 RunLength=1
        < Data-In data=512 DataSN=0 BufferOffset=0
        < SCSI-Response ExpDataSN=2
    """
    assert not judged(text).findings
    assert judged(text.replace("ExpDataSN=2", "ExpDataSN=3")).of("T-037")
