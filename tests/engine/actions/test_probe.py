from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import NO_TAG, Dialogue, data_out, nop_in, nop_out, r2t, read, scsi_response, write


def tmf_response(itt: int, stat_sn: int, response: int = 0, **values: int) -> Pdu:
    """Make a TMF Response."""
    fields = {"F": 1, "ITT": itt, "StatSN": stat_sn, "Response": response, "ExpCmdSN": 10, "MaxCmdSN": 40}
    return Pdu.build(Opcode.TMF_RESPONSE).with_fields({**fields, **values})


def test_what_is_in_hand_waits_for_the_answer() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 2\n    do:\n      - probe: {pdu: NOP-Out, as: ping}\n"
        "      - note: answered\n"
    )
    talk = Dialogue(text)
    assert len(talk.say(write(1, 10))) == 1
    (ping,) = talk.say(write(2, 11), write(3, 12))
    assert (ping.label, ping["I"], ping["CmdSN"]) == ("NOP-Out", 1, 11)
    assert talk.told("noted") == []
    sent = talk.say(nop_in(ping["ITT"], 101))
    assert [pdu["CmdSN"] for pdu in sent] == [11, 12]
    assert talk.told("noted") == ["#1: answered"]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_it_may_not_wait() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do:\n      - probe: {pdu: NOP-Out, wait: no}\n")
    assert [pdu.label for pdu in talk.say(write(1, 10))] == ["NOP-Out", "SCSI-Command"]


def test_an_initiator_is_pinged_with_a_tag() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Response nth 1\n    do:\n      - probe: NOP-In\n")
    talk.say(read(1, 10))
    (ping,) = talk.say(scsi_response(1, 101))
    assert (ping["ITT"], ping["StatSN"]) == (NO_TAG, 101)
    assert ping["TTT"] != NO_TAG
    sent = talk.say(nop_out(NO_TAG, 11, I=1, TTT=ping["TTT"]))
    assert [pdu.label for pdu in sent] == ["SCSI-Response"]
    assert sent[0]["StatSN"] == 101


def test_it_does_not_come_between_a_command_and_its_unsolicited_data() -> None:
    text = "rules:\n  - when: NOP-In nth 1\n    do:\n      - probe: {pdu: NOP-Out, wait: no}\n"
    talk = Dialogue(text)
    talk.say(write(1, 10, F=0), data_out(1, 0))
    assert [pdu.label for pdu in talk.say(nop_in(NO_TAG, 101, TTT=5))] == ["NOP-In"]
    assert [pdu.label for pdu in talk.say(data_out(1, 1, F=1))] == ["Data-Out", "NOP-Out"]


@pytest.mark.parametrize(
    ("when", "do"),
    [
        ("Data-Out where DataSN == 0 nth 1", "[probe: {pdu: NOP-Out, wait: no}]"),
        ("Data-Out where DataSN == 0 nth 1", "[pass, probe: {pdu: NOP-Out, wait: no}]"),
        ("SCSI-Command nth 1", "[pass, probe: NOP-Out]"),
    ],
)
def test_nor_does_it_beside_the_data_or_behind_the_command_in_hand(when: str, do: str) -> None:
    talk = Dialogue(f"rules:\n  - when: {when}\n    do: {do}\n")
    sent = talk.say(write(1, 10, F=0), data_out(1, 0), data_out(1, 1, F=1), nop_out(9, 11, I=1))
    assert [pdu.label for pdu in sent] == ["SCSI-Command", "Data-Out", "Data-Out", "NOP-Out", "NOP-Out"]


def test_data_that_is_dropped_is_not_waited_for() -> None:
    text = "rules:\n  - when: Data-Out where F nth 1\n    do: [drop, probe: {pdu: NOP-Out, wait: no}]\n"
    sent = Dialogue(text).say(write(1, 10, F=0), data_out(1, 0), data_out(1, 1, F=1), nop_out(9, 11, I=1))
    assert [pdu.label for pdu in sent] == ["SCSI-Command", "Data-Out", "NOP-Out", "NOP-Out"]


def test_it_cannot_hold_the_data_that_it_waits_for() -> None:
    talk = Dialogue("rules:\n  - when: Data-Out nth 1\n    do: {probe: NOP-Out}\n")
    sent = talk.say(write(1, 10, F=0), data_out(1, 0), data_out(1, 1, F=1))
    assert [pdu.label for pdu in sent] == ["SCSI-Command", "Data-Out", "Data-Out"]
    assert talk.told("failed") == [
        "#1: probe: it waits for the end of this command's unsolicited data, and that for its answer: `wait: no`"
    ]


def test_the_close_of_the_connection_ends_the_wait() -> None:
    from iscsiproxy.wire.opcodes import End

    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do:\n      - probe: NOP-Out\n")
    talk.say(write(1, 10))
    talk.closed(End.TARGET, "rst")
    assert talk.counts() == {"matched": 1, "fired": 1}, "it has met the target"


def test_without_an_answer_the_rule_has_not_fired() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do:\n      - probe: NOP-Out\n")
    talk.say(write(1, 10))
    assert [pdu.label for pdu in talk.tick(60)] == ["SCSI-Command"]
    assert talk.counts() == {"matched": 1, "expired": 1}


ABORT = (
    "rules:\n  - when: SCSI-Command nth 1 as n\n    do:\n      - drop\n      - delay: SCSI-Command\n"
    "      - probe: {pdu: TMF-Request, Function: ABORT_TASK, LUN: n.LUN, RefTaskTag: n.ITT, RefCmdSN: n.CmdSN, "
    "settle: BUSY, as: abort}\n"
)


def test_the_tasks_that_it_ends_are_told_so() -> None:
    talk = Dialogue(ABORT)
    assert talk.say(write(1, 10)) == []
    following, abort = talk.say(write(2, 11))
    assert (following["CmdSN"], abort["CmdSN"], abort["RefCmdSN"], abort["RefTaskTag"]) == (11, 12, 10, 1)
    (told,) = talk.say(tmf_response(abort["ITT"], 101, ExpCmdSN=12))
    assert (told.label, told["ITT"], told["Status"], told["StatSN"]) == ("SCSI-Response", 1, 0x08, 101)
    assert (told["U"], told["ResidualCount"]) == (1, 4096)
    (done,) = talk.say(scsi_response(2, 102, ExpCmdSN=12))
    assert (done["StatSN"], done["ExpCmdSN"]) == (102, 12)


def test_a_function_that_is_refused_settles_nothing() -> None:
    talk = Dialogue(ABORT)
    talk.say(write(1, 10))
    _, abort = talk.say(write(2, 11))
    assert talk.say(tmf_response(abort["ITT"], 101, response=1)) == []


def test_all_tasks_of_a_unit_are_settled_and_what_comes_of_them_goes_nowhere() -> None:
    text = (
        "rules:\n  - when: NOP-Out nth 1\n    do:\n"
        "      - probe: {pdu: TMF-Request, Function: LUN_RESET, LUN: 0, as: reset}\n"
    )
    talk = Dialogue(text)
    talk.say(write(1, 10), read(2, 11), read(3, 12, LUN=1 << 48))
    (reset,) = talk.say(nop_out(9, 13))
    told = [pdu for pdu in talk.say(tmf_response(reset["ITT"], 101)) if pdu.label == "SCSI-Response"]
    assert [(pdu["ITT"], pdu["Status"], pdu["StatSN"]) for pdu in told] == [(1, 0x40, 101), (2, 0x40, 102)]
    assert talk.say(data_out(1, 0, F=1), r2t(1, 7)) == []
    (other,) = talk.say(scsi_response(3, 102))
    assert (other["ITT"], other["StatSN"]) == (3, 103)


def test_settle_no_leaves_them() -> None:
    talk = Dialogue(ABORT.replace("settle: BUSY", "settle: no"))
    talk.say(write(1, 10))
    _, abort = talk.say(write(2, 11))
    assert talk.say(tmf_response(abort["ITT"], 101)) == []


def test_numbers_that_are_filled_in_later_are_not_told() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {probe: {pdu: NOP-Out, ITT: 7}}\n")
    talk.say(write(1, 10))
    assert talk.told("held") == ["#1: until NOP-Out ITT=0x00000007 I is answered"]
    talk.say(nop_in(7, 101))
    assert talk.told("fired") == ["#1: NOP-Out ITT=0x00000007 I was sent to the target"]


def test_an_r2t_is_answered_by_the_end_of_its_data() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 2\n    do:\n"
        "      - probe: {pdu: R2T, DesiredDataTransferLength: 1024, as: mine}\n"
        "      - delay: {until: 5s, at_most: 10s}\n"
    )
    talk.say(write(1, 10), write(2, 11))
    mine = talk.sent(End.INITIATOR)[-1].pdu
    assert mine.label == "R2T"
    assert talk.say(data_out(2, 0, ttt=mine["TTT"])) == []
    assert len(talk.told("held")) == 1
    assert talk.say(data_out(2, 1, ttt=mine["TTT"], F=1)) == []
    assert talk.told("held")[1:] == ["#1: until 5s"]
    assert talk.say(data_out(2, 2, ttt=mine["TTT"], F=1)) == []  # and it ends nothing else
    assert talk.told("fired")[-1].startswith("#1: R2T")
    assert [pdu["ITT"] for pdu in talk.tick(5)] == [2]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_what_has_no_answer_is_not_waited_for() -> None:
    for made in ("Async, AsyncEvent: 4", "NOP-In, TTT: none", "SNACK, Type: STATUS, BegRun: 101, RunLength: 1"):
        talk = Dialogue(f"rules:\n  - when: SCSI-Command nth 1\n    do:\n      - probe: {{pdu: {made}}}\n")
        talk.say(write(1, 10))
        assert len(talk.sent(End.TARGET)) > 1
        assert talk.sent(End.TARGET)[-1].pdu.label in ("SCSI-Command", "SNACK")
        assert (talk.open_slots, talk.counts()) == ([], {"matched": 1, "fired": 1})


def test_a_command_that_comes_behind_the_function_is_not_settled() -> None:
    text = (
        "rules:\n  - when: R2T nth 1\n    do:\n"
        "      - probe: {pdu: TMF-Request, Function: ABORT_TASK_SET, LUN: 0, wait: no}\n"
    )
    talk = Dialogue(text)
    talk.say(write(1, 10))
    abort, _ = sorted(talk.say(r2t(1, 7)), key=lambda pdu: pdu.label == "R2T")
    later = read(2, 11)
    talk.say(later)
    told = talk.say(tmf_response(abort["ITT"], 101))
    assert [(pdu.label, pdu["ITT"]) for pdu in told] == [("SCSI-Response", 1)]
    assert [pdu["ITT"] for pdu in talk.say(scsi_response(2, 102))] == [2]


def test_a_named_cmdsn_says_what_the_function_covers() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 3 as n\n    do:\n"
        "      - probe: {pdu: TMF-Request, Function: ABORT_TASK_SET, LUN: 0, CmdSN: n.CmdSN - 1, wait: no}\n"
    )
    talk = Dialogue(text)
    talk.say(write(1, 10), write(2, 11))
    abort, _ = sorted(talk.say(write(3, 12)), key=lambda pdu: pdu.label != "TMF-Request")
    told = talk.say(tmf_response(abort["ITT"], 101))
    assert [pdu["ITT"] for pdu in told] == [1]
