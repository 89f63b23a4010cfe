from __future__ import annotations

import pytest

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.scene.sessions import Session
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire.opcodes import End
from tests.checks.watching import moments, scene_after

__all__: list[str] = []


def only_session(text: str, end: End = End.TARGET) -> Session:
    (session,) = scene_after(text, end).sessions.values()
    return session


def test_a_dropped_command_is_there_for_the_initiator_and_not_for_the_target() -> None:
    text = "login\n>x SCSI-Command cdb=TEST-UNIT-READY\n> NOP-Out"
    assert only_session(text, End.INITIATOR).book.lowest_missing == 3
    assert only_session(text, End.TARGET).book.lowest_missing == 1
    assert only_session(text, End.TARGET).find(1) is None


def test_what_a_fault_changed_is_what_was_given() -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY ITT=1 ! ITT=9 CmdSN=5"
    given, sent = only_session(text, End.TARGET), only_session(text, End.INITIATOR)
    assert given.find(9) is not None
    assert given.find(1) is None
    assert given.book.gaps == [(1, 5)]
    assert sent.find(1) is not None
    assert not sent.book.gaps


@pytest.mark.parametrize("what", ["header", "data"])
def test_what_came_with_a_wrong_digest_was_not_heard(what: str) -> None:
    text = f"""
        login HeaderDigest=CRC32C DataDigest=CRC32C
        > SCSI-Command cdb=WRITE(10):0+1 data=512 ! spoil={what}
    """
    assert only_session(text, End.TARGET).find(1) is None
    assert only_session(text, End.TARGET).book.lowest_missing == 1
    assert only_session(text, End.INITIATOR).find(1) is not None


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


@pytest.mark.parametrize(("level", "kept"), [(0, False), (2, True)])
def test_tasks_outlive_their_connection_only_with_error_recovery_level_2(level: int, kept: bool) -> None:
    scene = scene_after(
        f"""
        login ErrorRecoveryLevel={level}
        > SCSI-Command cdb=TEST-UNIT-READY ITT=1
        close target rst
        """
    )
    assert not scene.conns
    assert len(scene.sessions) == kept
    for session in scene.sessions.values():
        (task,) = session.live()
        assert task.conn == 0


def test_a_new_login_of_the_same_initiator_ends_the_old_session() -> None:
    scene = scene_after(
        """
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        conn 2
        login
        """
    )
    old, new = scene.conns[1].session, scene.conns[2].session
    assert old is not new
    assert not list(old.live())
    assert list(scene.sessions) == [new.number]


def test_a_second_connection_is_in_the_session_of_the_first() -> None:
    scene = scene_after(
        """
        login MaxConnections=2
        > SCSI-Command cdb=TEST-UNIT-READY
        conn 2
        login MaxConnections=2 TSIH=1 CID=1
        > SCSI-Command cdb=TEST-UNIT-READY
        """
    )
    assert scene.conns[1].session is scene.conns[2].session
    assert scene.conns[2].session.conns == {1: 0, 2: 1}
    assert scene.conns[2].session.book.next == 3


def test_missing_events_leave_nothing_known_of_tasks() -> None:
    session = only_session("login\n> SCSI-Command cdb=TEST-UNIT-READY\nlost 2")
    assert not session.complete
    assert session.book.next is None
    assert not list(session.live())


def test_a_moment_has_the_state_before_it() -> None:
    def look(moment: Moment) -> str:
        tasks = len(list(moment.session.live()))
        return f"{moment.pdu.label} {'sent' if moment.sent else 'given'} {tasks} {moment.task is not None}"

    seen = moments("login\n> SCSI-Command cdb=TEST-UNIT-READY\n< SCSI-Response", look)
    assert seen == ["SCSI-Command given 0 False", "SCSI-Response sent 1 True"]


WRITE = """
    login MaxOutstandingR2T=4
    > SCSI-Command cdb=WRITE(10):0+4 F=0 as cmd
    < R2T DesiredDataTransferLength=1024 as r
"""


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


@pytest.mark.parametrize(("acknowledged", "used"), [("", None), ("< NOP-In ITT=none ExpCmdSN=2", True)])
def test_a_command_that_went_with_its_connection_may_never_have_come(acknowledged: str, used: bool | None) -> None:
    text = f"""
        login MaxConnections=2
        conn 2
        login TSIH=1 CID=1
        > SCSI-Command cdb=TEST-UNIT-READY
        {acknowledged}
        close target rst
    """
    for end in End:
        assert only_session(text, end).book.used(1) is used


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


@pytest.mark.parametrize(("end", "expected"), [(End.TARGET, 1), (End.INITIATOR, 1)])
def test_a_leap_beyond_the_window_moves_no_count(end: End, expected: int) -> None:
    text = "login\n> SCSI-Command cdb=TEST-UNIT-READY CmdSN=900"
    assert only_session(text, end).book.next == expected
