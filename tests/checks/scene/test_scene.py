from __future__ import annotations

import pytest

from iscsiproxy.checks.moment import Moment
from iscsiproxy.wire.opcodes import End
from tests.checks.watching import moments, only_session, scene_after

__all__: list[str] = []


WRITE = """
    login MaxOutstandingR2T=4
    > SCSI-Command cdb=WRITE(10):0+4 F=0 as cmd
    < R2T DesiredDataTransferLength=1024 as r
"""


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
