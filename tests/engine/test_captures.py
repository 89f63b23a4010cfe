from __future__ import annotations

import pytest

from iscsiproxy.engine.captures import MAX_COLLECTED
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    r2t,
    read,
    reject,
    scsi_response,
    text_request,
    text_response,
    tmf,
    write,
)

LOGOUT = Pdu.build(Opcode.LOGOUT_REQUEST, F=1, ITT=8, CmdSN=10)
LOGOUT_RESPONSE = Pdu.build(Opcode.LOGOUT_RESPONSE, F=1, ITT=8, StatSN=101)
STATUS_SNACK = Pdu.build(Opcode.SNACK, F=1, Type=1, ITT=NO_TAG, TTT=NO_TAG, BegRun=101, RunLength=1)
DATA_SNACK = Pdu.build(Opcode.SNACK, F=1, ITT=2, TTT=NO_TAG, BegRun=0, RunLength=1)
PING = nop_in(NO_TAG, 101, TTT=0x55)
TMF_RESPONSE = Pdu.build(Opcode.TMF_RESPONSE, F=1, ITT=9, StatSN=101)


@pytest.mark.parametrize(
    ("origin", "other", "belongs"),
    [
        # of a command, every PDU of its task, and its retries
        (write(2, 10), data_out(2, 0), True),
        (write(2, 10), r2t(2, 5), True),
        (write(2, 10), scsi_response(2, 101), True),
        (write(2, 10), write(2, 10), True),
        (write(2, 10), scsi_response(3, 101), False),
        (read(2, 10), data_in(2, 0), True),
        # and what names it
        (write(2, 10), tmf(9, 11, 1, 2), True),
        (write(2, 10), tmf(9, 11, 1, 3), False),
        (write(2, 10), DATA_SNACK, True),
        (write(2, 10), STATUS_SNACK, False),
        (write(2, 10), reject(write(2, 10).bhs), True),
        (write(2, 10), reject(data_out(2, 3).bhs), True),
        (write(2, 10), reject(write(3, 10).bhs), False),
        (write(2, 10), reject(b"short"), False),
        # of a request, its responses
        (tmf(9, 11, 1, 2), TMF_RESPONSE, True),
        (LOGOUT, LOGOUT_RESPONSE, True),
        (nop_out(9, 10), nop_in(9, 101), True),
        (nop_out(9, 10), nop_in(8, 101), False),
        # of an R2T, the Data-Outs with its TTT, else its task
        (r2t(2, 5), data_out(2, 0, ttt=5), True),
        (r2t(2, 5), data_out(2, 0, ttt=6), False),
        (r2t(2, 5), data_out(2, 0), False),
        (r2t(2, 5), scsi_response(2, 101), True),
        # of a ping, the NOP-Out that returns its TTT
        (PING, nop_out(NO_TAG, 10, I=1, TTT=0x55), True),
        (PING, nop_out(NO_TAG, 10, I=1, TTT=0x56), False),
        (PING, nop_out(7, 10), False),
        # what has no tag names nothing by it
        (STATUS_SNACK, reject(STATUS_SNACK.bhs), True),
        (STATUS_SNACK, reject(nop_out(NO_TAG, 10, TTT=1).bhs), False),
        (STATUS_SNACK, tmf(9, 11, 5, NO_TAG), False),
        (nop_in(NO_TAG, 101), nop_in(NO_TAG, 102), False),
        # of an answer, its task
        (scsi_response(2, 101), data_out(2, 0), True),
        (reject(write(2, 10).bhs), scsi_response(2, 101), True),
    ],
)
def test_what_belongs_to_a_capture(origin: Pdu, other: Pdu, belongs: bool) -> None:
    talk = Dialogue(f"rules:\n  - when: {origin.label} nth 1 as n\n  - when: Any-PDU of n\n    do: {{note: belongs}}")
    talk.say(origin, other)
    assert len(talk.told("noted")) == belongs


def answers(*pdus: Pdu, origin: str = "SCSI-Command nth 1", of: str = "SCSI-Response") -> Dialogue:
    talk = Dialogue(f"rules:\n  - when: {origin} as n\n  - when: {of} of n\n    do: {{note: belongs}}")
    talk.say(*pdus)
    return talk


def test_a_tag_that_is_used_again_is_another_task() -> None:
    talk = answers(write(2, 10), scsi_response(2, 101), write(2, 11), scsi_response(2, 102))
    assert len(talk.told("noted")) == 1


def test_a_capture_of_an_answer_ends_with_its_task_too() -> None:
    pdus = (write(2, 10), r2t(2, 5), write(2, 11), scsi_response(2, 102))
    assert answers(*pdus, origin="R2T").told("noted") == []


def test_an_immediate_command_with_the_number_of_another_is_another() -> None:
    talk = answers(write(2, 10), nop_out(2, 10, I=1), scsi_response(2, 101))
    assert talk.told("noted") == []


def test_a_retry_is_the_same_task() -> None:
    talk = answers(write(2, 10), write(2, 10), scsi_response(2, 101), scsi_response(2, 102))
    assert len(talk.told("noted")) == 2


def test_a_text_goes_on_with_other_numbers() -> None:
    talk = answers(
        text_request(2, 10, b"A", F=0),
        text_response(2, 101, F=0, TTT=7),
        text_request(2, 11, b"=1\0", TTT=7),
        text_response(2, 102),
        text_request(2, 12, b"B=1\0"),
        text_response(2, 103),
        origin="Text-Request nth 1",
        of="Text-Response",
    )
    assert len(talk.told("noted")) == 2


def test_another_session_may_use_the_same_tags() -> None:
    talk = answers(write(2, 10))
    talk.connect(2, ISID=0x800000000002)
    talk.say(write(2, 77), scsi_response(2, 101), conn=2)
    assert talk.told("noted") == []
    talk.say(scsi_response(2, 101))
    assert len(talk.told("noted")) == 1


def test_a_login_belongs_to_its_connection() -> None:
    talk = Dialogue(
        "rules:\n  - when: Login-Request nth 1 as n\n  - when: Login-Response of n\n    do: {note: belongs}"
    )
    talk.connect(2, ISID=0x800000000002)
    assert len(talk.told("noted")) == 1


def test_of_a_connection_all_that_happens_on_it() -> None:
    talk = Dialogue("rules:\n  - when: full-feature nth 2 as c\n  - when: Any-PDU or close of c\n    do: {note: there}")
    talk.connect(2, ISID=0x800000000002)
    talk.say(write(2, 10))
    assert talk.told("noted") == []
    talk.say(write(2, 10), conn=2)
    talk.closed(write(2, 10).sender, conn=2)
    assert len(talk.told("noted")) == 2


def test_a_later_match_binds_again() -> None:
    talk = answers(write(2, 10), write(3, 11), scsi_response(2, 101), scsi_response(3, 102), origin="SCSI-Command")
    assert len(talk.told("noted")) == 1


def test_each_leg_sees_its_own_face() -> None:
    talk = Dialogue(
        """
rules:
  - when: SCSI-Command nth 1 as n
    do:
      - set: {ITT: 0x77, CmdSN: 50}
  - when: SCSI-Response of n
    do: {note: answered}
  - when: Target-PDU where ExpCmdSN == n.CmdSN
    do: {note: target number}
  - when: NOP-Out where CmdSN == n.CmdSN
    do: {note: initiator number}
"""
    )
    talk.say(write(2, 10), scsi_response(0x77, 101, ExpCmdSN=50), nop_out(9, 10, I=1), scsi_response(2, 102))
    assert talk.told("noted") == ["#2: answered", "#3: target number", "#4: initiator number"]


def test_collecting_keeps_first_last_and_count() -> None:
    talk = Dialogue(
        """
rules:
  - when: Data-Out as each d
  - when: NOP-Out where d.count == 3 and d.first.DataSN == 0 and d.last.DataSN == 2
    do: {note: three}
"""
    )
    talk.say(nop_out(9, 10, I=1), data_out(2, 0), data_out(2, 1), nop_out(9, 10, I=1), data_out(2, 2))
    assert talk.told("noted") == []
    talk.say(nop_out(9, 10, I=1))
    assert len(talk.told("noted")) == 1


def test_collecting_is_bounded() -> None:
    talk = Dialogue(
        "rules:\n  - when: Data-Out as each d\n  - when: NOP-Out where d.count == 5000\n    do: {note: all}"
    )
    one = data_out(2, 0, b"")
    talk.say(*(one for _ in range(5000)))
    book = talk.engine._books[0]
    assert len(book["d"].members) == MAX_COLLECTED
    talk.say(nop_out(9, 10, I=1))
    assert len(talk.told("noted")) == 1
    assert sum(map(len, book._by_n.values())) == MAX_COLLECTED


def test_a_name_that_is_bound_again_leaves_nothing_behind() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command as n")
    talk.say(*(write(itt, 10 + itt) for itt in range(2, 50)))
    book = talk.engine._books[0]
    assert len(book._by_n) == len(book._by_tag) == 1


def test_a_changed_copy_is_not_the_face_of_its_original() -> None:
    dialogue = Dialogue("""
rules:
  - when: SCSI-Command where W nth 1 as n
    do: {duplicate: {ITT: 0x99}}
  - name: answered
    when: SCSI-Response of n where ITT == n.ITT
    do: {note: seen}
""")
    dialogue.say(write(5, 10), scsi_response(5, 101))
    assert dialogue.counts("answered") == {"matched": 1, "fired": 1}
