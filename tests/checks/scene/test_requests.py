from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from tests.checks.watching import only_session

__all__: list[str] = []


WRITE = """
    login MaxOutstandingR2T=4
    > SCSI-Command cdb=WRITE(10):0+4 F=0 as cmd
    < R2T DesiredDataTransferLength=1024 as r
"""


def test_a_duplicate_number_and_one_beyond_the_window_are_to_be_ignored() -> None:
    session = only_session(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=2 CmdSN=1
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=3 CmdSN=900
        """
    )
    found = {itt: session.find(itt) for itt in (1, 2, 3)}
    assert [task.ignored if task else None for task in found.values()] == ["", "duplicate", "window"]
    assert session.book.next == 2


def test_a_retry_belongs_to_its_command() -> None:
    task = only_session(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=1 CmdSN=1
        """
    ).find(1)
    assert task is not None
    assert len(task.retries) == 1
    assert not task.ignored


def test_an_abort_of_a_command_that_never_came_fills_its_place() -> None:
    session = only_session(
        """
        login
        >x SCSI-Command cdb=TEST-UNIT-READY ITT=1 as gone
        > SCSI-Command cdb=TEST-UNIT-READY ITT=2
        > TMF-Request I Function=ABORT_TASK RefTaskTag=gone.ITT RefCmdSN=gone.CmdSN
        """
    )
    assert session.book.lowest_missing == 3


def test_a_retry_begins_its_unsolicited_data_again() -> None:
    text = WRITE + "> Data-Out data=512\n> SCSI-Command cdb=WRITE(10):0+4 F=0 ITT=cmd.ITT CmdSN=cmd.CmdSN"
    (task,) = only_session(text, End.INITIATOR).live()
    assert task.unsolicited.bytes == 0
    (task,) = only_session(text, End.TARGET).live()
    assert task.unsolicited.bytes == 512, "a second one is ignored"


@pytest.mark.parametrize(
    ("function", "hit"),
    [
        ("ABORT_TASK I RefTaskTag=cmd.ITT RefCmdSN=cmd.CmdSN", True),
        ("ABORT_TASK I RefTaskTag=99", False),
        ("LUN_RESET I", True),
        ("LUN_RESET I lun=2", False),
        ("TARGET_WARM_RESET I lun=2", True),
        ("TASK_REASSIGN I RefTaskTag=cmd.ITT", False),
    ],
)
def test_it_is_known_what_a_task_management_function_aims_at(function: str, hit: bool) -> None:
    text = f"{WRITE}> TMF-Request Function={function}"
    for answer, still in (("", hit), ("< TMF-Response Response=FUNCTION_REJECTED", False)):
        tasks = [task for task in only_session(f"{text}\n{answer}").live() if task.is_scsi]
        assert [task.aborting is not None for task in tasks] == [still]


@pytest.mark.parametrize("function", ["TARGET_WARM_RESET", "TARGET_COLD_RESET"])
def test_a_reset_of_the_target_does_without_what_is_missing(function: str) -> None:
    text = f"""
        login
        >x SCSI-Command cdb=TEST-UNIT-READY
        > SCSI-Command cdb=TEST-UNIT-READY
        >x SCSI-Command cdb=TEST-UNIT-READY
        > TMF-Request I Function={function}
    """
    assert only_session(text).book.lowest_missing == 4


@pytest.mark.parametrize(("end", "expected"), [(End.TARGET, 1), (End.INITIATOR, 1)])
def test_a_leap_beyond_the_window_moves_no_count(end: End, expected: int) -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY CmdSN=900"
    assert only_session(text, end).book.next == expected
