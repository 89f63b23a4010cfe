from __future__ import annotations

import pytest

from iscsiproxy.checks.rules import Severity
from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

ABORT = """
    login
    > SCSI-Command cdb=READ(10):0+1 as cmd
    > TMF-Request Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN
    < TMF-Response
"""

CASES = (
    Case(
        rule="T-018",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F
            < SCSI-Response
            > NOP-Out
            < NOP-In
            > Text-Request F text="X-a=b"
            < Text-Response text="X-a=NotUnderstood"
            > Logout-Request as out
            < Logout-Response ITT=out.ITT
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response ITT=77
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < NOP-In ITT=none TTT=5 lun=0
        """,
        mutant=("ITT=out.ITT", "ITT=1"),
    ),
    Case(
        rule="T-019",
        good="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
            > NOP-Out
            < NOP-In
        """,
        bad="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
            < SCSI-Response
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F
        """,
        mutant=("< NOP-In", "< SCSI-Response ITT=1"),
    ),
    Case(
        rule="T-020",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1 as one
            < Data-In data=512 F
            < SCSI-Response
            > SCSI-Command cdb=READ(10):0+1 as two
            < Data-In data=512 F ITT=two.ITT DataSN=0 BufferOffset=0
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=512
            < SCSI-Response
            < R2T BufferOffset=0 DesiredDataTransferLength=512
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("ITT=two.ITT", "ITT=one.ITT"),
    ),
    Case(
        rule="T-021",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1 as one
            > SCSI-Command cdb=TEST-UNIT-READY as two
            > TMF-Request Function=ABORT_TASK RefTaskTag=one.ITT RefCmdSN=one.CmdSN
            < TMF-Response
            < SCSI-Response ITT=two.ITT
        """,
        bad=ABORT + "< Data-In data=512 F S ITT=cmd.ITT",
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY as two
            < SCSI-Response ITT=two.ITT
            > TMF-Request Function=ABORT_TASK RefTaskTag=two.ITT RefCmdSN=two.CmdSN
            < TMF-Response Response=TASK_DOES_NOT_EXIST
        """,
        mutant=("ITT=two.ITT", "ITT=one.ITT"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


# --- T-018 -----------------------------------------------------------------------------------------------------------


def test_the_kind_has_to_fit() -> None:
    found = judged("""
        login
        > NOP-Out
        < SCSI-Response
    """).of("T-018")
    assert "the tag is that of a NOP-Out" in found[0].text


def test_another_connection_is_not_the_one_of_the_task() -> None:
    text = """
        login MaxConnections=2
        > SCSI-Command cdb=TEST-UNIT-READY
        conn 2
        login TSIH=1 CID=1
        < SCSI-Response
    """
    assert "connection 1" in judged(text).of("T-018")[0].text
    assert not judged(text.replace("< SCSI", "conn 1\n < SCSI")).of("T-018")


@pytest.mark.parametrize("level", [0, 2])
def test_a_lost_connection_does_not_hand_its_tasks_over(level: int) -> None:
    text = f"""
        login MaxConnections=2 ErrorRecoveryLevel={level}
        > SCSI-Command cdb=TEST-UNIT-READY as cmd
        conn 2
        login TSIH=1 CID=1
        conn 1
        close initiator rst
        conn 2
        < SCSI-Response
    """
    assert judged(text).of("T-018")


def test_a_reassigned_task_is_answered_where_it_is_now() -> None:
    text = """
        login MaxConnections=2 ErrorRecoveryLevel=2
        > SCSI-Command cdb=TEST-UNIT-READY as cmd
        conn 2
        login TSIH=1 CID=1
        conn 1
        close initiator rst
        conn 2
        > TMF-Request I Function=TASK_REASSIGN RefTaskTag=cmd.ITT as move
        < TMF-Response ITT=move.ITT
        < SCSI-Response ITT=cmd.ITT
    """
    assert not judged(text).of("T-018")
    assert not judged(text.replace("< TMF-Response ITT=move.ITT\n", "")).of("T-018")


@pytest.mark.parametrize(
    "given",
    ["> SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil=data", "> SCSI-Command cdb=READ(10):0+1 ! spoil=header"],
)
def test_what_came_with_a_wrong_digest_is_no_stranger(given: str) -> None:
    text = f"""
        login DataDigest=CRC32C HeaderDigest=CRC32C
        {given}
        < SCSI-Response
    """
    assert not judged(text).of("T-018")


def test_of_what_was_missed_nothing_is_said() -> None:
    assert not judged("""
        login
        lost 3
        < SCSI-Response ITT=5
    """).of("T-018")
    assert not judged("< SCSI-Response ITT=5").of("T-018")


def test_a_changed_tag_is_the_one_that_was_given() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ! ITT=90
        < SCSI-Response ITT={itt}
    """
    assert not judged(text.format(itt=90)).of("T-018")
    assert judged(text.format(itt=1)).of("T-018")


def test_behind_a_broken_length_no_tag_is_strange() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=TEST-UNIT-READY ! DataSegmentLength=48
        < SCSI-Response ITT=77
    """).of("T-018")


# --- two requests with one tag ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [
        ">> SCSI-Command cdb=TEST-UNIT-READY ITT=1",
        ">> NOP-Out ITT=1",
        ">> SCSI-Command cdb=TEST-UNIT-READY ITT=1 I",
    ],
)
def test_a_tag_that_two_use_tells_nothing(second: str) -> None:
    found = judged(f"""
        login
        > SCSI-Command cdb=READ(10):0+1
        {second}
        < SCSI-Response
        < Data-In data=512 F S ITT=1
    """)
    assert not found.rules() & {"T-018", "T-019", "T-020"}


def test_an_immediate_request_that_comes_twice_may_be_answered_twice() -> None:
    text = """
        login
        > TMF-Request I Function=LUN_RESET as reset
        >> TMF-Request I Function=LUN_RESET ITT=reset.ITT CmdSN=reset.CmdSN
        < TMF-Response
        < TMF-Response
    """
    assert not judged(text).of("T-019")
    assert judged(text.replace(" I ", " ")).of("T-019")


def test_the_answer_that_is_late_may_belong_to_the_tag_as_it_was() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=5
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=5
        < SCSI-Response
        > SCSI-Command cdb=TEST-UNIT-READY ITT=5
        < SCSI-Response
        < SCSI-Response
    """).of("T-019")


def test_a_tag_may_be_used_again() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=READ(10):0+1 ITT=5
        < Data-In data=512 F S
        > SCSI-Command cdb=READ(10):0+1 ITT=5
        < Data-In data=512 F S
        > NOP-Out ITT=5
        < NOP-In
    """).findings


# --- T-019 and T-020: asked again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snack", "again"),
    [
        ("", False),
        ("> SNACK Type=STATUS BegRun=cmd.StatSN RunLength=1", True),
        ("> SNACK Type=STATUS BegRun=0 RunLength=0", True),
        ("> SNACK Type=STATUS BegRun=cmd.StatSN+1 RunLength=0", False),
        ("> SNACK Type=R_DATA ITT=1 TTT=0x55", True),
        (">x SNACK Type=STATUS BegRun=cmd.StatSN RunLength=1", False),
    ],
)
def test_a_status_comes_again_if_it_is_asked_for(snack: str, again: bool) -> None:
    found = judged(f"""
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response as cmd
        {snack}
        < SCSI-Response StatSN=cmd.StatSN ITT=1
    """)
    assert bool(found.of("T-019")) is not again


def test_a_status_that_rode_on_data_comes_again_with_it() -> None:
    text = """
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        < Data-In data=512 F S as last
        > SNACK Type=DATA_R2T ITT=1 BegRun=0 RunLength=2
        < Data-In data=512 DataSN=0 BufferOffset=0
        < Data-In data=512 F S StatSN=last.StatSN
    """
    assert not judged(text).rules() & {"T-019", "T-020", "T-023"}
    found = judged(text.replace("RunLength=2", "RunLength=1"))
    assert found.of("T-019")
    assert not found.of("T-020")
    assert judged(text.replace("BegRun=0 RunLength=2", "BegRun=1 RunLength=1")).of("T-020")


def test_a_task_that_was_reassigned_may_say_all_again() -> None:
    assert not judged("""
        login MaxConnections=2 ErrorRecoveryLevel=2
        > SCSI-Command cdb=READ(10):0+1 as cmd
        < Data-In data=512 F S
        conn 2
        login TSIH=1 CID=1
        conn 1
        close initiator rst
        conn 2
        > TMF-Request I Function=TASK_REASSIGN RefTaskTag=cmd.ITT as move
        < TMF-Response ITT=move.ITT
        < Data-In data=512 F ITT=cmd.ITT DataSN=0 BufferOffset=0
        < SCSI-Response ITT=cmd.ITT
    """).rules() & {"T-018", "T-019", "T-020", "T-023"}


def test_a_duplicate_has_no_answer_of_its_own() -> None:
    assert judged("""
        login
        > SCSI-Command cdb=TEST-UNIT-READY as cmd
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=cmd.ITT CmdSN=cmd.CmdSN
        < SCSI-Response
        < SCSI-Response
    """).of("T-019")


def test_a_text_exchange_ends_with_f() -> None:
    text = """
        login
        > Text-Request F=0 text="SendTargets=All"
        < Text-Response TTT=9
        > Text-Request F ITT=1 TTT=9
        < Text-Response text="TargetName=iqn.2004-01.com.example:disk" ITT=1
    """
    assert not judged(text).rules() & {"T-018", "T-019", "T-020"}
    assert judged(text + "< Text-Response TTT=9 ITT=1").of("T-020")
    assert judged(text + "< Text-Response ITT=1").of("T-019")


def test_what_was_rejected_is_not_answered() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY as cmd
        < Reject Reason=LONG_OPERATION_REJECT reject=cmd
        < SCSI-Response
    """
    (found,) = judged(text).of("T-020")
    assert found.severity is Severity.SHOULD
    again = "> SCSI-Command cdb=TEST-UNIT-READY CmdSN=cmd.CmdSN ITT=cmd.ITT\n"
    assert not judged(text.replace("< SCSI", again + "< SCSI")).of("T-020")
    assert not judged(text.replace("LONG_OPERATION_REJECT", "TASK_IN_PROGRESS")).of("T-020")


# --- T-021 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["ABORT_TASK_SET", "CLEAR_TASK_SET", "LUN_RESET", "TARGET_WARM_RESET"])
def test_functions_end_what_came_before(function: str) -> None:
    text = f"""
        login
        > SCSI-Command cdb=TEST-UNIT-READY lun=1 as here
        > SCSI-Command cdb=TEST-UNIT-READY lun=2 as there
        > TMF-Request Function={function} lun=1
        > SCSI-Command cdb=TEST-UNIT-READY lun=1 as behind
        < TMF-Response ITT=3
        < SCSI-Response ITT={{itt}}
    """
    assert judged(text.format(itt="here.ITT")).of("T-021")
    assert bool(judged(text.format(itt="there.ITT")).of("T-021")) is (function == "TARGET_WARM_RESET")
    assert not judged(text.format(itt="behind.ITT")).of("T-021")
    assert not judged(text.format(itt="here.ITT").replace("< TMF-Response", "< TMF-Response Response=255")).of("T-021")


def test_what_was_sent_before_the_response_is_fine() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=READ(10):0+1 as cmd
        > TMF-Request Function=ABORT_TASK RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN as abort
        < Data-In data=512 F S ITT=cmd.ITT
        < TMF-Response ITT=abort.ITT Response=TASK_DOES_NOT_EXIST
    """).of("T-021")


def test_an_immediate_command_with_the_number_of_the_function_is_not_below_it() -> None:
    assert not judged("""
        login
        > SCSI-Command I cdb=TEST-UNIT-READY as cmd
        > TMF-Request I Function=ABORT_TASK_SET as abort
        < TMF-Response ITT=abort.ITT
        < SCSI-Response ITT=cmd.ITT
    """).of("T-021")


def test_a_tag_that_was_aborted_may_be_used_again() -> None:
    assert not judged(ABORT + """
        > SCSI-Command cdb=READ(10):0+1 ITT=cmd.ITT
        < Data-In data=512 F S ITT=cmd.ITT DataSN=0 BufferOffset=0
    """).findings  # fmt: skip


def test_responses_cross_on_two_connections() -> None:
    text = """
        login MaxConnections=2
        > SCSI-Command cdb=TEST-UNIT-READY as cmd
        conn 2
        login TSIH=1 CID=1
        > TMF-Request Function=LUN_RESET as reset
        < TMF-Response ITT=reset.ITT
        conn 1
        +{wait}
        < SCSI-Response ITT=cmd.ITT
    """
    assert not judged(text.format(wait="0.01")).of("T-021")
    assert judged(text.format(wait="0.1")).of("T-021")
