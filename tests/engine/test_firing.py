from __future__ import annotations

import pytest

from iscsiproxy.engine.commands import Finish, Send
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, nop_in, nop_out, scsi_response, text_request, text_response, write


def test_an_untouched_pdu_needs_no_command() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command as n\n  - when: SCSI-Command\n    do: {note: seen}")
    pdu = write(2, 10)
    assert talk.say(pdu) == [pdu]
    assert not any(isinstance(command, Send | Finish) for command in talk.commands)
    assert talk.counts("#1") == {"matched": 1, "fired": 1}


def test_every_slot_is_finished_once() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: [duplicate, delay: 1s, pass, delay: 1s, note: end]")
    talk.say(write(2, 10))
    talk.tick(3)
    assert len([command for command in talk.commands if isinstance(command, Finish)]) == 1
    assert talk.told("noted") == ["#1: end"]


def test_rules_see_the_state_before_the_pdu_also_behind_a_pause() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [delay: 1s, set: {EDTL: conn.outstanding}]")
    talk.say(write(2, 10), write(3, 11))
    (first, _) = talk.tick(1)
    assert first["EDTL"] == 0


def test_an_act_that_cannot_be_done_stops_the_list_behind_a_pause_too() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 1\n    do: [set: {LUN: 1}, delay: 1s, set: {EDTL: n.EDTL}, note: never]"
        "\n  - when: SCSI-Command nth 2 as n\n  - when: SCSI-Command nth 1\n    do: {set: {EDTL: 5}}"
    )
    pdu = write(2, 10)
    talk.say(pdu)
    (out,) = talk.tick(1)
    assert out == pdu.with_fields({"EDTL": 5})
    assert talk.told("failed") == ["#1: set: n is not bound"]
    assert talk.told("noted") == []
    assert talk.counts("#3") == {"matched": 1, "fired": 1}


_UNBOUND = "{inject: {pdu: NOP-Out, LUN: x.ITT}}"


@pytest.mark.parametrize(
    ("act", "request_", "response"),
    [
        ("drop", write(1, 10), scsi_response(1, 101)),
        ("{drop: {numbers: translate}}", write(1, 10), scsi_response(1, 101)),
        ("duplicate", write(1, 10), scsi_response(1, 101)),
        ("{answer: {Status: BUSY}}", write(1, 10), scsi_response(1, 101)),
        ("{swap: {pdu: Text-Request, as: odd}}", nop_out(1, 10, b"abcd"), nop_in(1, 101, b"abcd")),
        ("{split_text: F}", text_request(1, 10, {"SendTargets": "All"}), text_response(1, 101, {"TargetName": "a"})),
    ],
)
def test_what_an_error_undoes_has_never_been(act: str, request_: Pdu, response: Pdu) -> None:
    """The PDU goes on as it was, once, and is answered; no other rule hears of a fault or of a capture."""
    talk = Dialogue(
        f"rules:\n  - when: {request_.label} nth 1\n    do: [{act}, {_UNBOUND}]\n  - when: SCSI-Response nth 9 as x"
        "\n  - when: fault\n    do: {note: fault}\n"
    )
    assert talk.say(request_) == [request_]
    assert talk.say(response) == [response]
    assert talk.say(nop_out(9, 11, I=1)) == [nop_out(9, 11, I=1)]
    assert (talk.told("fired"), talk.told("noted"), talk.tells) == ([], [], [])
    assert talk.told("failed") == ["#1: inject: x is not bound"]


def test_what_an_error_does_not_undo_is_in_the_journal() -> None:
    talk = Dialogue(
        "rules:\n  - when: SCSI-Command nth 1\n    do: [set: {LUN: 1}, note: here, inject: {pdu: NOP-Out}, "
        f"{_UNBOUND[1:-1]}]\n  - when: SCSI-Response nth 9 as x\n"
    )
    ping, pdu = talk.say(write(1, 10))
    assert (ping.opcode, pdu) == (Opcode.NOP_OUT, write(1, 10))
    assert [one.partition(" ITT")[0] for one in talk.told("fired")] == ["#1: NOP-Out"]
    assert talk.told("noted") == ["#1: here"]


def test_what_stands_is_done_in_its_place() -> None:
    """The answer goes before the close that follows it in the list."""
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: [answer: {Status: BUSY}, close: rst]\n")
    (answer,) = talk.say(write(1, 10))
    assert answer["Status"] == 8
    assert talk.wire[-1] == "rst both"
