from __future__ import annotations

import pytest

from iscsiproxy.checks.moment import Moment
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.watching import moments

__all__: list[str] = []


def test_what_is_from_the_target_is_so_on_both_legs() -> None:
    text = "login\n> NOP-Out\n< NOP-In"
    for end in End:
        assert moments(text, lambda moment: moment.from_target, end) == [False, True]


def test_which_pdus_take_a_status_number() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        < Data-In data=512 F S
        > SCSI-Command cdb=WRITE(10):0+1
        < R2T DesiredDataTransferLength=512
        < NOP-In ITT=none
        < Async
        < Reject Reason=PROTOCOL_ERROR data=48
    """
    seen = moments(text, lambda moment: (moment.pdu.label, moment.advances) if moment.from_target else None)
    assert seen == [
        ("Data-In", False),
        ("Data-In", True),
        ("R2T", False),
        ("NOP-In", False),
        ("Async", True),
        ("Reject", True),
    ]


def test_data_is_there_if_the_journal_has_it() -> None:
    text = "login\n> NOP-Out data=hex:0102\n> SCSI-Command cdb=WRITE(10):0+1"
    assert moments(text, lambda moment: (moment.length, moment.data)) == [(2, b"\1\2"), (0, b"")]


@pytest.mark.parametrize(
    ("between", "read"),
    [("", False), ("+0.2", True), ("> NOP-Out I ExpStatSN=102", True), ("> NOP-Out I ExpStatSN=101", False)],
)
def test_what_the_initiator_was_given_is_read_when_it_is_acknowledged_or_old(between: str, read: bool) -> None:
    text = f"""
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        < SCSI-Response
        {between}
        > SNACK ExpStatSN=101
    """

    def look(moment: Moment) -> bool | None:
        if moment.opcode != Opcode.SNACK:
            return None
        assert moment.conn.status_note is not None
        return moment.has_read(moment.conn.status_note)

    assert moments(text, look, End.INITIATOR) == [read]


def test_what_was_acknowledged_before_it_came_is_not_read_by_that() -> None:
    text = """
        login
        > SCSI-Command cdb=TEST-UNIT-READY
        > SNACK ExpStatSN=102
        < SCSI-Response
        > NOP-Out I ITT=none ExpStatSN=102
        > NOP-Out I ITT=none ExpStatSN=103
    """

    def look(moment: Moment) -> bool | None:
        if moment.opcode != Opcode.NOP_OUT:
            return None
        assert moment.conn.status_note is not None
        return moment.has_read(moment.conn.status_note)

    assert moments(text, look, End.INITIATOR) == [False, True]


@pytest.mark.parametrize(("expected", "read"), [(1, False), (2, True)])
def test_what_the_target_was_given_is_read_when_its_number_is_passed(expected: int, read: bool) -> None:
    text = f"login\n> SCSI-Command cdb=TEST-UNIT-READY\n< NOP-In ITT=none ExpCmdSN={expected}"

    def look(moment: Moment) -> bool | None:
        if moment.opcode != Opcode.NOP_IN:
            return None
        (task,) = moment.session.live()
        return moment.has_read(task.note)

    assert moments(text, look) == [read]


def test_fields_that_a_fault_changed_are_known() -> None:
    text = "login\n> NOP-Out ! LUN=5"

    def look(moment: Moment) -> tuple[bool, bool, bool]:
        return moment.faked(), moment.faked("LUN"), moment.faked("ITT", "TTT")

    assert moments(text, look) == [(True, True, False)]
    assert moments(text, look, End.INITIATOR) == [(False, False, False)]


@pytest.mark.parametrize(
    ("text", "framed"),
    [
        ("> NOP-Out", True),
        ("> NOP-Out ! LUN=5", True),
        ("> NOP-Out ! DataSegmentLength=8", False),
    ],
)
def test_a_wrong_length_makes_the_end_lose_its_place(text: str, framed: bool) -> None:
    assert moments(f"login\n{text}\n> NOP-Out", lambda moment: moment.framed) == [framed, framed]
