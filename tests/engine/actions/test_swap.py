from __future__ import annotations

from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import NO_TAG, Dialogue, nop_out, read, reject, scsi_response, text_response

LOGOUT = (
    "rules:\n  - when: NOP-Out where ITT != none nth 1\n    do:\n"
    "      - swap: {pdu: Logout-Request, ReasonCode: 1, CID: 0x7777, as: odd}\n"
    "  - when: Logout-Response of odd\n    do: {note: answered}\n"
)
_TUR = bytes(6)


def logout_response(itt: int, stat_sn: int) -> Pdu:
    """Make a Logout Response: CID not found."""
    fields = {"F": 1, "ITT": itt, "StatSN": stat_sn, "Response": 1, "ExpCmdSN": 12, "MaxCmdSN": 42}
    return Pdu.build(Opcode.LOGOUT_RESPONSE).with_fields(fields)


def test_it_has_the_numbers_of_the_request_it_stands_for() -> None:
    talk = Dialogue(LOGOUT)
    (odd,) = talk.say(nop_out(7, 10, b"ping", I=1))
    assert (odd.label, odd["I"], odd["ITT"], odd["CmdSN"], odd["ExpStatSN"]) == ("Logout-Request", 1, 7, 10, 101)
    assert (odd["ReasonCode"], odd["CID"], odd.data) == (1, 0x7777, b"")


def test_its_answer_becomes_the_one_that_is_awaited() -> None:
    talk = Dialogue(LOGOUT)
    talk.say(nop_out(7, 10, b"ping", I=1))
    (pong,) = talk.say(logout_response(7, 101))
    assert (pong.label, pong["ITT"], pong["TTT"], pong.data) == ("NOP-In", 7, NO_TAG, b"ping")
    assert (pong["StatSN"], pong["ExpCmdSN"], pong["MaxCmdSN"]) == (101, 12, 42)
    assert talk.told("noted") == ["#2: answered"]
    (other,) = talk.say(scsi_response(8, 102))
    assert other["StatSN"] == 102


def test_a_reject_is_an_answer_too() -> None:
    talk = Dialogue(LOGOUT)
    (odd,) = talk.say(nop_out(7, 10, I=1))
    (pong,) = talk.say(reject(odd.bhs))
    assert (pong.label, pong["ITT"], pong["StatSN"]) == ("NOP-In", 7, 101)


def test_test_unit_ready_is_answered_good() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do:\n"
        '      - swap: {pdu: Text-Request, text: ["SendTargets="], as: asked}\n'
    )
    talk = Dialogue(text)
    (asked,) = talk.say(read(1, 10, CDB=_TUR, EDTL=0, R=0))
    assert (asked.label, asked.data, asked["I"], asked["CmdSN"]) == ("Text-Request", b"SendTargets=\0", 0, 10)
    (good,) = talk.say(text_response(1, 101, {"TargetName": "iqn.2000-01.example:t"}))
    assert (good.label, good["Status"], good["StatSN"], good.data) == ("SCSI-Response", 0, 101, b"")


def test_other_commands_cannot_be_swapped() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command nth 1\n    do: {swap: {pdu: NOP-Out}}\n")
    request = read(1, 10)
    assert talk.say(request) == [request]
    assert talk.counts() == {"matched": 1, "failed": 1}


def test_a_ping_without_a_tag_cannot_be_swapped() -> None:
    talk = Dialogue("rules:\n  - when: NOP-Out nth 1\n    do: {swap: {pdu: Logout-Request}}\n")
    pong = nop_out(NO_TAG, 10, I=1, TTT=5)
    assert talk.say(pong) == [pong]
    assert talk.counts() == {"matched": 1, "failed": 1}
