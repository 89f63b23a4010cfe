from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import sense_of_segment
from tests.engine.dialogue import NO_TAG, Dialogue, data_out, nop_out, read, scsi_response, tmf, write
from tests.session.dialogue import NAMES, login_request


def talk_of(act: str, when: str = "SCSI-Command nth 2") -> Dialogue:
    return Dialogue(f"rules:\n  - when: {when}\n    do:\n      - answer: {act}\n")


def test_the_target_never_sees_the_request_nor_misses_it() -> None:
    talk = talk_of("{Status: BUSY}")
    first, busy, third = talk.say(read(1, 10), read(2, 11), read(3, 12))
    assert (first["CmdSN"], third["CmdSN"], third["ITT"]) == (10, 11, 3)
    assert (busy.label, busy["ITT"], busy["Status"], busy["StatSN"]) == ("SCSI-Response", 2, 0x08, 101)
    assert (busy["F"], busy["U"], busy["ResidualCount"], busy["ExpCmdSN"]) == (1, 1, 4096, 10)
    one, three = talk.say(scsi_response(1, 101, ExpCmdSN=12), scsi_response(3, 102, ExpCmdSN=12))
    assert [(pdu["ITT"], pdu["StatSN"], pdu["ExpCmdSN"]) for pdu in (one, three)] == [(1, 102, 13), (3, 103, 13)]
    (out,) = talk.say(nop_out(9, 13, I=1, ExpStatSN=104))
    assert (out["CmdSN"], out["ExpStatSN"]) == (12, 103)


def test_data_of_the_request_goes_nowhere_and_the_answer_comes_behind_it() -> None:
    talk = talk_of("{Status: BUSY}", "SCSI-Command nth 1")
    assert talk.say(write(1, 10, F=0), data_out(1, 0)) == []
    (busy,) = talk.say(data_out(1, 1, F=1))
    assert (busy.label, busy["ITT"]) == ("SCSI-Response", 1)


def test_early_it_comes_at_once() -> None:
    talk = talk_of("{Status: BUSY, early: yes}", "SCSI-Command nth 1")
    (busy,) = talk.say(write(1, 10, F=0))
    assert busy["Status"] == 0x08
    assert talk.say(data_out(1, 0), data_out(1, 1, F=1)) == []


def test_each_request_has_its_response() -> None:
    talk = talk_of("{Response: 5}", "TMF-Request nth 1")
    (answer,) = talk.say(tmf(7, 10, 1, 3))
    assert (answer.label, answer["ITT"], answer["Response"]) == ("TMF-Response", 7, 5)
    talk = Dialogue("rules:\n  - when: NOP-Out nth 1\n    do: answer\n")
    (pong,) = talk.say(nop_out(7, 10, b"ping", I=1))
    assert (pong.label, pong["ITT"], pong["TTT"], pong.data) == ("NOP-In", 7, NO_TAG, b"ping")


def test_a_login_is_answered_before_the_target_hears_of_it() -> None:
    text = "rules:\n  - when: Login-Request nth 1\n    do:\n      - answer: {Status-Class: 2, Status-Detail: 1}\n"
    talk = Dialogue(text, connect=False)
    talk.connect(login=False)
    (refused,) = talk.say(login_request(NAMES))
    assert (refused.label, refused["Status-Class"], refused["Status-Detail"]) == ("Login-Response", 2, 1)
    assert refused["ISID"] == login_request(NAMES)["ISID"]
    assert talk.sent(End.TARGET) == []


def test_a_reject_holds_the_header() -> None:
    talk = talk_of("{pdu: Reject, Reason: 4}", "SCSI-Command nth 1")
    request = read(1, 10)
    (reject,) = talk.say(request)
    assert (reject.label, reject["ITT"], reject["Reason"], reject.data) == ("Reject", NO_TAG, 4, request.bhs)


def test_with_an_answer_that_was_lost() -> None:
    text = (
        "victim: initiator\nrules:\n  - when: SCSI-Response nth 1 as lost\n    do: drop\n"
        "  - when: SNACK\n    do: {answer: {with: lost}}\n"
    )
    talk = Dialogue(f"scenario: x\n{text}")
    talk.say(read(1, 10), read(2, 11))
    assert talk.say(scsi_response(1, 101)) == []
    talk.say(scsi_response(2, 102, ExpCmdSN=12, MaxCmdSN=41))
    snack = Pdu.build(Opcode.SNACK).with_fields(
        {"Type": 1, "ITT": NO_TAG, "TTT": NO_TAG, "BegRun": 101, "RunLength": 1}
    )
    (again,) = talk.say(snack)
    assert (again["ITT"], again["StatSN"], again["ExpCmdSN"], again["MaxCmdSN"]) == (1, 101, 12, 41)


def test_what_has_no_response_needs_one_named() -> None:
    talk = Dialogue("rules:\n  - when: SNACK as s\n    do: {answer: {to: s}}\n")
    snack = Pdu.build(Opcode.SNACK).with_fields({"Type": 1, "ITT": NO_TAG, "TTT": NO_TAG})
    assert talk.say(snack) == [snack]
    assert talk.counts() == {"matched": 1, "failed": 1}


@pytest.mark.parametrize("act", ["drop", "delay: 1s"])
def test_a_later_fate_is_shadowed(act: str) -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do:\n      - answer: {Status: BUSY}\n"
        f"  - when: SCSI-Command nth 1\n    do:\n      - {act}\n"
    )
    talk = Dialogue(text)
    assert [pdu.label for pdu in talk.say(read(1, 10))] == ["SCSI-Response"]


def test_an_answer_may_have_sense() -> None:
    (answer,) = talk_of("{Status: CHECK_CONDITION, sense: 6/29/00}", "SCSI-Command nth 1").say(read(1, 10))
    sense = sense_of_segment(answer.data)
    assert (answer["Status"], str(sense), answer["DataSegmentLength"]) == (2, "6/29/00", 20)


def test_numbers_that_are_filled_in_later_are_not_told() -> None:
    talk = talk_of("{Status: BUSY}", "SCSI-Command nth 1")
    talk.say(read(1, 10))
    assert talk.told("fired") == ["#1: answered by SCSI-Response ITT=0x00000001 Status=BUSY ResidualCount=4096 U"]
    talk = talk_of("{Status: BUSY, StatSN: 900}", "SCSI-Command nth 1")
    talk.say(read(1, 10))
    (told,) = talk.told("fired")
    assert told.startswith("#1: answered by SCSI-Response ITT=0x00000001 StatSN=900 Status=BUSY ")
