from __future__ import annotations

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.sense import sense_of_segment
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
    write,
)

EVERY_SECOND = "rules:\n  - when: SCSI-Command every 2\n    do:\n      - inject: {pdu: NOP-Out, I: 0, as: mine}\n"


def test_it_goes_before_what_is_in_hand_and_takes_the_next_cmdsn() -> None:
    talk = Dialogue(EVERY_SECOND)
    sent = talk.say(write(1, 10), write(2, 11), write(3, 12), write(4, 13))
    assert [(pdu.label, pdu["CmdSN"]) for pdu in sent] == [
        ("SCSI-Command", 10),
        ("NOP-Out", 11),
        ("SCSI-Command", 12),
        ("SCSI-Command", 13),
        ("NOP-Out", 14),
        ("SCSI-Command", 15),
    ]
    assert sent[1]["ITT"] not in (1, 2, 3, 4, NO_TAG)
    assert (sent[1]["F"], sent[1]["TTT"], sent[1]["ExpStatSN"]) == (1, NO_TAG, 101)


def test_its_answer_reaches_nobody_and_what_follows_is_numbered_as_if_it_had_not_been() -> None:
    talk = Dialogue(EVERY_SECOND)
    _, mine, _ = talk.say(write(1, 10), write(2, 11))
    assert talk.say(nop_in(mine["ITT"], 101, ExpCmdSN=13, MaxCmdSN=50)) == []
    first, second = talk.say(
        scsi_response(1, 102, ExpCmdSN=13, MaxCmdSN=50), scsi_response(2, 103, ExpCmdSN=13, MaxCmdSN=50)
    )
    assert [(pdu["StatSN"], pdu["ExpCmdSN"], pdu["MaxCmdSN"]) for pdu in (first, second)] == [
        (101, 12, 49),
        (102, 12, 49),
    ]
    (out,) = talk.say(nop_out(9, 12, I=1, ExpStatSN=103))
    assert (out["CmdSN"], out["ExpStatSN"]) == (13, 104)


def test_a_reject_of_it_reaches_nobody_either() -> None:
    talk = Dialogue(EVERY_SECOND)
    _, mine, _ = talk.say(write(1, 10), write(2, 11))
    assert talk.say(reject(mine.bhs)) == []


def test_a_reject_of_the_initiators_own_has_the_initiators_numbers() -> None:
    talk = Dialogue(EVERY_SECOND)
    talk.say(write(1, 10))
    _, changed = talk.say(write(2, 11))
    (out,) = talk.say(reject(changed.bhs))
    assert out.data == write(2, 11).bhs


def test_to_the_initiator_it_takes_a_statsn() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Response nth 2\n    do:\n      - inject: {pdu: Async, AsyncEvent: 1}\n")
    talk.say(read(1, 10), read(2, 11), read(3, 12))
    sent = talk.say(scsi_response(1, 101), scsi_response(2, 102), scsi_response(3, 103))
    assert [(pdu.label, pdu["StatSN"]) for pdu in sent] == [
        ("SCSI-Response", 101),
        ("Async", 102),
        ("SCSI-Response", 103),
        ("SCSI-Response", 104),
    ]
    assert (sent[1]["ITT"], sent[1]["AsyncEvent"], sent[1]["ExpCmdSN"]) == (NO_TAG, 1, 10)
    (out,) = talk.say(nop_out(9, 13, I=1, ExpStatSN=105))
    assert out["ExpStatSN"] == 104


def test_the_data_that_answers_an_r2t_of_ours_goes_nowhere() -> None:
    text = "rules:\n  - when: R2T nth 1\n    do:\n      - inject: {pdu: R2T, DesiredDataTransferLength: 512}\n"
    talk = Dialogue(text)
    talk.say(write(1, 10))
    mine, genuine = talk.say(r2t(1, 0x77))
    assert (mine["ITT"], mine["LUN"], genuine["TTT"]) == (1, genuine["LUN"], 0x77)
    assert mine["TTT"] not in (0x77, NO_TAG)
    assert talk.say(data_out(1, 0, ttt=mine["TTT"], F=1)) == []
    assert len(talk.say(data_out(1, 0, ttt=0x77, F=1))) == 1


def test_in_the_other_direction_it_passes_what_is_held() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do: {delay: 5s}\n"
        "  - when: NOP-In\n    do:\n      - inject: {pdu: TMF-Request, Function: LUN_RESET}\n"
    )
    talk = Dialogue(text)
    assert talk.say(write(1, 10)) == []
    sent = talk.say(nop_in(NO_TAG, 101, TTT=5))
    assert [pdu.label for pdu in sent] == ["TMF-Request", "NOP-In"]
    assert (sent[0]["I"], sent[0]["CmdSN"], sent[0]["RefTaskTag"]) == (1, 10, NO_TAG)
    assert [pdu.label for pdu in talk.tick(5)] == ["SCSI-Command"]


def test_what_takes_a_cmdsn_waits_for_room_in_the_window() -> None:
    talk = Dialogue("rules:\n  - when: NOP-In nth 1\n    do:\n      - inject: {pdu: NOP-Out, I: 0}\n")
    talk.say(*(write(number, 9 + number) for number in range(1, 32)))  # up to MaxCmdSN 40
    assert [pdu.label for pdu in talk.say(nop_in(NO_TAG, 101, TTT=5))] == ["NOP-In"]
    room = talk.say(scsi_response(1, 101, ExpCmdSN=41, MaxCmdSN=41))
    assert sorted(pdu.label for pdu in room) == ["NOP-Out", "SCSI-Response"]


def test_by_time_it_goes_on_every_connection() -> None:
    talk = Dialogue("rules:\n  - when: 2s\n    do:\n      - inject: {pdu: NOP-Out, LUN: 3}\n", connect=False)
    talk.connect(1)
    talk.connect(2, ISID=0x800000000002)
    talk.tick(3)
    assert [one.pdu.label for conn in (1, 2) for one in talk.sent(End.TARGET, conn)[1:]] == ["NOP-Out", "NOP-Out"]


def test_text_and_cdb_and_fields_are_as_given() -> None:
    text = (
        "rules:\n  - when: SCSI-Response nth 1\n    do:\n"
        "      - inject: {pdu: Text-Request, text: [SendTargets=All], LUN: 2}\n"
        "      - inject: {pdu: SCSI-Command, CDB: READ lba=8 blocks=2}\n"
        '      - inject: {pdu: SCSI-Command, CDB: WRITE lba=8 blocks=1, data: "abcd", I: 1}\n'
    )
    talk = Dialogue(text)
    talk.say(read(1, 10))
    asked, command, immediate, _ = talk.say(scsi_response(1, 101, ExpCmdSN=11))
    assert (asked.data, asked["LUN"], asked["I"], asked["F"]) == (b"SendTargets=All\0", 2 << 48, 1, 1)
    assert (command["R"], command["W"], command["EDTL"], command["I"], command["F"]) == (1, 0, 1024, 0, 1)
    assert (immediate["W"], immediate["EDTL"], immediate["I"], immediate.data) == (1, 4, 1, b"abcd")
    assert (command["CmdSN"], immediate["CmdSN"]) == (11, 12)


def test_a_capture_of_it_is_what_went() -> None:
    text = EVERY_SECOND + "  - when: NOP-In of mine\n    do: {note: seen}\n"
    talk = Dialogue(text)
    _, mine, _ = talk.say(write(1, 10), write(2, 11))
    talk.say(nop_in(mine["ITT"], 101))
    assert talk.told("noted") == ["#2: seen"]


def test_answers_stay_hidden_when_the_run_is_over() -> None:
    talk = Dialogue(EVERY_SECOND)
    _, mine, _ = talk.say(write(1, 10), write(2, 11))
    talk.end()
    assert talk.say(nop_in(mine["ITT"], 101)) == []
    assert [pdu["StatSN"] for pdu in talk.say(scsi_response(1, 102))] == [101]
    assert [pdu["CmdSN"] for pdu in talk.say(write(3, 12))] == [13]


def test_data_in_without_status_keeps_its_bytes() -> None:
    talk = Dialogue(EVERY_SECOND)
    talk.say(read(1, 10), read(2, 11))
    (out,) = talk.say(data_in(1, 0, StatSN=0))
    assert out["StatSN"] == 0
    assert out.opcode == Opcode.DATA_IN


def test_sense_an_AHS_and_bytes_inside_the_data_are_part_of_a_template() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Response\n    do: {inject: {pdu: Async, AsyncEvent: 0, sense: 6/29/00}}\n")
    event, _ = talk.say(scsi_response(1, 101))
    assert (event.label, event["AsyncEvent"], event["DataSegmentLength"]) == ("Async", 0, 20)
    assert str(sense_of_segment(event.data)) == "6/29/00"
    made = "{pdu: SCSI-Command, CDB: TEST_UNIT_READY, AHS: 0x000102ff}"
    mine, _ = Dialogue(f"rules:\n  - when: SCSI-Command\n    do: {{inject: {made}}}\n").say(read(1, 10))
    assert (mine.ahs, mine["TotalAHSLength"]) == (bytes.fromhex("000102ff"), 1)
    made = '{pdu: NOP-Out, data: "abcd", data+1: "XY"}'
    mine, _ = Dialogue(f"rules:\n  - when: SCSI-Command\n    do: {{inject: {made}}}\n").say(read(1, 10))
    assert mine.data == b"aXYd"


def test_numbers_that_are_filled_in_later_are_not_told() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {inject: {pdu: NOP-Out, ITT: 7}}\n")
    talk.say(read(1, 10))
    assert talk.told("fired") == ["#1: NOP-Out ITT=0x00000007 I was sent to the target"]
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {inject: {pdu: NOP-Out, ITT: 7, CmdSN: 3}}\n")
    talk.say(read(1, 10))
    assert talk.told("fired") == ["#1: NOP-Out ITT=0x00000007 CmdSN=3 I was sent to the target"]


def test_the_answer_to_a_login_of_its_own_reaches_nobody_either() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do:\n      - inject: Login-Request\n")
    mine, _ = talk.say(write(1, 10))
    granted = {"ITT": mine["ITT"], "StatSN": 101, "ExpCmdSN": 11, "MaxCmdSN": 40}
    assert talk.say(Pdu.build(Opcode.LOGIN_RESPONSE).with_fields(granted)) == []
    (out,) = talk.say(scsi_response(1, 102))
    assert out["StatSN"] == 101
