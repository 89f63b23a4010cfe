from __future__ import annotations

import pytest

from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End
from tests.checks.watching import only_session, scene_after

__all__: list[str] = []


WRITE = """
    login MaxOutstandingR2T=4
    > SCSI-Command cdb=WRITE(10):0+4 F=0 as cmd
    < R2T DesiredDataTransferLength=1024 as r
"""


@pytest.mark.parametrize(
    ("function", "lun", "ended"),
    [("ABORT_TASK_SET", 0, True), ("LUN_RESET", 1, False), ("TARGET_WARM_RESET", 5, True)],
)
def test_a_task_management_function_ends_what_came_before_it(function: str, lun: int, ended: bool) -> None:
    session = only_session(
        f"""
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1
        > TMF-Request ITT=2 Function={function} lun={lun}
        > SCSI-Command cdb=TEST-UNIT-READY ITT=3
        < TMF-Response ITT=2
        """
    )
    first, later = session.find(1), session.find(3)
    assert first is not None
    assert later is not None
    assert (first.aborted is not None) is ended
    assert first.live is not ended
    assert later.live


def test_a_rejected_command_has_ended_and_its_number_is_missing() -> None:
    session = only_session(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1 as bad
        > SCSI-Command cdb=TEST-UNIT-READY ITT=2
        < Reject Reason=INVALID_PDU_FIELD reject=bad
        """
    )
    task = session.find(1)
    assert task is not None
    assert task.rejected is not None
    assert session.book.lowest_missing == 1


def test_a_logout_ends_the_tasks_of_its_connection_when_it_is_answered() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1
        > Logout-Request ReasonCode=CLOSE_SESSION ITT=2
    """
    assert scene_after(text).conns[1].phase is Phase.LOGOUT
    assert scene_after(text).conns[1].logout is not None
    after = scene_after(text + "< Logout-Response ITT=2")
    assert after.conns[1].logout_answer is not None
    (session,) = after.sessions.values()
    assert not list(session.live())


@pytest.mark.parametrize(
    ("again", "count"),
    [
        ("R2TSN=0 TTT=r.TTT DesiredDataTransferLength=1024", 1),
        ("R2TSN=0 TTT=r.TTT DesiredDataTransferLength=512", 2),
        ("R2TSN=0 DesiredDataTransferLength=1024", 2),
        ("R2TSN=1 TTT=r.TTT DesiredDataTransferLength=1024", 2),
    ],
)
def test_an_r2t_that_is_sent_again_is_the_same(again: str, count: int) -> None:
    text = WRITE + f"> Data-Out TTT=r.TTT data=512\n< R2T {again}"
    for end in End:
        (task,) = only_session(text, end).live()
        assert len(task.r2ts) == count
        assert task.r2ts[0].burst.bytes == 512


def test_an_r2t_is_open_until_all_its_bytes_or_its_last_pdu_came() -> None:
    twice = WRITE + "> Data-Out TTT=r.TTT data=512\n>> Data-Out TTT=r.TTT data=512 DataSN=0 BufferOffset=0\n"
    (task,) = only_session(twice).live()
    assert [one.ttt for one in task.r2ts_open.values()] == [0x1001], "the same bytes came twice"
    (task,) = only_session(twice + "> Data-Out TTT=r.TTT data=512 BufferOffset=512").live()
    assert not task.r2ts_open
    assert task.out_extents.covers(0, 1024)
    (task,) = only_session(WRITE + "> Data-Out TTT=r.TTT data=4 F").live()
    assert not task.r2ts_open
    (task,) = only_session(WRITE + "> Data-Out TTT=r.TTT data=1024\n> Data-Out TTT=r.TTT data=0 F").live()
    assert task.r2ts[0].burst.final is not None


def test_the_target_may_end_tasks_of_its_own_accord() -> None:
    (task,) = only_session(WRITE + "< Async AsyncEvent=TASK_TERMINATION").live()
    assert task.aborting is not None
    (task,) = only_session(WRITE + "< Async AsyncEvent=TASK_TERMINATION lun=2").live()
    assert task.aborting is None


@pytest.mark.parametrize(
    ("event", "conns"),
    [
        ("LOGOUT_REQUEST", {2}),
        ("CONNECTION_DROP Parameter1=0", {1}),
        ("CONNECTION_DROP Parameter1=1", {2}),
        ("CONNECTION_DROP Parameter1=9", set()),
        ("SESSION_DROP", {1, 2}),
        ("NEGOTIATION_REQUEST", set()),
    ],
)
def test_an_announcement_names_connections(event: str, conns: set[int]) -> None:
    text = f"login MaxConnections=2\nconn 2\nlogin MaxConnections=2 TSIH=1 CID=1\n< Async AsyncEvent={event}"
    scene = scene_after(text)
    assert {number for number, conn in scene.conns.items() if conn.notice is not None} == conns


def test_of_two_copies_it_is_not_known_which_was_rejected() -> None:
    session = only_session(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1 as bad
        >> SCSI-Command cdb=TEST-UNIT-READY ITT=1 CmdSN=1
        < Reject Reason=INVALID_PDU_FIELD reject=bad
        """
    )
    task = session.find(1)
    assert task is not None
    assert task.live
    assert session.book.used(1) is None


def test_a_rejected_task_that_is_answered_had_come() -> None:
    session = only_session(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1 as bad
        < Reject Reason=INVALID_PDU_FIELD reject=bad
        < SCSI-Response ITT=1 Status=CHECK_CONDITION sense=b/0c/0d
        """
    )
    assert session.book.used(1) is not False
    assert session.book.lowest_missing == 2
