from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

GOOD = """
    login ImmediateData=No InitialR2T=Yes
    > SCSI-Command cdb=WRITE(10):0+4
    < R2T BufferOffset=0 DesiredDataTransferLength=2048 TTT=7
    > Data-Out data=1024 TTT=7
    > Data-Out F data=1024 TTT=7
    < SCSI-Response
"""
LOST = GOOD.replace("> Data-Out data=1024", ">x Data-Out data=1024")
CHECK = "< SCSI-Response Status=CHECK_CONDITION sense=b/47/05"

CASES = (
    Case(
        rule="T-033",
        good=GOOD,
        bad=LOST,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=512
            < SCSI-Response Status=BUSY
        """,
        mutant=("> Data-Out F data=1024 TTT=7", "> Data-Out F data=512 TTT=7"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


def test_the_finding_names_the_hole() -> None:
    (found,) = judged(LOST).of("T-033")
    assert found.text == "GOOD for a write of 2048 bytes: 0 to 1023 never came"


@pytest.mark.parametrize("spoilt", ["header", "data"])
def test_what_came_with_a_wrong_digest_did_not_come(spoilt: str) -> None:
    text = GOOD.replace("login", "login HeaderDigest=CRC32C DataDigest=CRC32C")
    assert not judged(text).findings
    assert judged(text.replace("F data=1024 TTT=7", f"F data=1024 TTT=7 ! spoil={spoilt}")).of("T-033")


@pytest.mark.parametrize(
    ("end", "broken"),
    [
        ("< SCSI-Response", True),
        ("< SCSI-Response U ResidualCount=512", True),
        ("< SCSI-Response U ResidualCount=1024", False),
        ("< SCSI-Response U ResidualCount=2048", False),
        ("< SCSI-Response O ResidualCount=1024", True),
        ("< SCSI-Response Response=TARGET_FAILURE", False),
        ("< SCSI-Response Status=BUSY", False),
    ],
)
def test_a_residual_was_not_needed(end: str, broken: bool) -> None:
    text = f"""
        login InitialR2T=Yes
        > SCSI-Command cdb=WRITE(10):0+4 data=1024
        {end}
    """
    assert bool(judged(text).of("T-033")) is broken


def test_a_command_without_data_needs_none() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=WRITE(10):0+0
        < SCSI-Response
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response
    """).of("T-033")


def test_unsolicited_data_counts() -> None:
    text = """
        login InitialR2T=No / InitialR2T=No
        > SCSI-Command cdb=WRITE(10):0+4 data=512 F=0
        > Data-Out data=512
        > Data-Out F data=1024
        < SCSI-Response
    """
    assert not judged(text).findings
    assert judged(text.replace("> Data-Out data=512", ">x Data-Out data=512")).of("T-033")


def test_a_recovery_r2t_fills_the_hole() -> None:
    text = """
        login ImmediateData=No InitialR2T=Yes ErrorRecoveryLevel=1
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T BufferOffset=0 DesiredDataTransferLength=2048 TTT=7
        >x Data-Out data=1024 TTT=7
        > Data-Out F data=1024 TTT=7
        < R2T BufferOffset=0 DesiredDataTransferLength=1024 TTT=8
        > Data-Out F data=1024 TTT=8
        < SCSI-Response
    """
    assert not judged(text).of("T-033")


def test_a_final_bit_that_was_lost_is_no_hole() -> None:
    assert not judged(GOOD.replace("F data=1024 TTT=7", "F data=1024 TTT=7 ! F=0")).of("T-033")
    early = GOOD.replace("> Data-Out data=1024 TTT=7", "> Data-Out data=1024 TTT=7 ! F=1")
    assert not judged(early).of("T-033")


@pytest.mark.parametrize("change", ["TTT=99", "ITT=99", "ITT=99 LUN=5"])
def test_data_with_a_wrong_tag_has_come(change: str) -> None:
    assert not judged(GOOD.replace("> Data-Out data=1024 TTT=7", f"> Data-Out data=1024 TTT=7 ! {change}")).of("T-033")


def test_data_at_a_wrong_place_has_not() -> None:
    assert judged(GOOD.replace("F data=1024 TTT=7", "F data=1024 TTT=7 ! BufferOffset=0")).of("T-033")


def test_good_with_an_open_r2t() -> None:
    found = judged("""
        login ImmediateData=No InitialR2T=Yes
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T BufferOffset=0 DesiredDataTransferLength=2048 TTT=7
        > Data-Out data=1024 TTT=7
        < SCSI-Response U ResidualCount=1024
    """).of("T-033")
    assert "is open: 1024 of 2048 bytes came" in found[0].text


# --- errors wait for the data that is on its way ----------------------------------------------------------------------


def test_an_error_waits_for_the_end_of_the_burst() -> None:
    text = f"""
        login ImmediateData=No InitialR2T=Yes
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T BufferOffset=0 DesiredDataTransferLength=2048 TTT=7
        > Data-Out data=1024 TTT=7
        {CHECK}
    """
    assert "CHECK CONDITION while R2T" in judged(text).of("T-033")[0].text
    assert not judged(text.replace("> Data-Out data=1024", "> Data-Out F data=1024")).of("T-033")
    assert not judged(text.replace("> Data-Out data", ">x Data-Out data")).of("T-033")  # who was robbed may give up


def test_an_error_is_told_when_the_end_of_the_burst_was_spoilt() -> None:
    text = f"""
        login ImmediateData=No InitialR2T=Yes HeaderDigest=CRC32C DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+2
        < R2T BufferOffset=0 DesiredDataTransferLength=1024 TTT=7
        > Data-Out F data=1024 TTT=7 spoil=data as out
        < Reject Reason=DATA_DIGEST_ERROR reject=out
        {CHECK} ITT=1
    """
    assert not judged(text).of("T-033")


def test_what_was_asked_for_on_a_lost_connection_is_not_waited_for() -> None:
    assert not judged(f"""
        login MaxConnections=2 ErrorRecoveryLevel=2 InitialR2T=Yes
        > SCSI-Command cdb=WRITE(10):0+2 as cmd
        < R2T BufferOffset=0 DesiredDataTransferLength=1024 TTT=7
        conn 2
        login TSIH=1 CID=1
        conn 1
        close initiator rst
        conn 2
        > TMF-Request I Function=TASK_REASSIGN RefTaskTag=cmd.ITT as move
        < TMF-Response ITT=move.ITT
        {CHECK} ITT=cmd.ITT
    """).of("T-033")


def test_an_error_waits_for_unsolicited_data() -> None:
    text = f"""
        login InitialR2T=No / InitialR2T=No
        > SCSI-Command cdb=WRITE(10):0+4 data=512 F=0
        {CHECK}
    """
    assert judged(text).of("T-033")
    assert not judged(text.replace("F=0", "F=1")).of("T-033")
    assert not judged(text.replace("data=512 F=0", "data=2048 F=0")).of("T-033")
    assert not judged(text.replace("F=0", "F=0\n> Data-Out F data=1536")).of("T-033")
    assert not judged(text.replace("/ InitialR2T=No", "/ InitialR2T=Yes")).of("T-033")
    assert not judged(text.replace("CHECK_CONDITION sense=b/47/05", "BUSY")).of("T-033")


def test_an_error_at_once_is_no_matter_without_data() -> None:
    found = judged(f"""
        login InitialR2T=Yes
        > SCSI-Command cdb=WRITE(10):0+4
        {CHECK}
    """)
    assert not found.of("T-033")
    assert not found.evidence["T-033"]
