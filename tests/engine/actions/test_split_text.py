from __future__ import annotations

import pytest

from iscsiproxy.engine.splitting import Rounds
from iscsiproxy.errors import FileError
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.engine.dialogue import (
    NO_TAG,
    Dialogue,
    nop_in,
    nop_out,
    reject,
    text_request,
    text_response,
)
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

LOGIN = login_request({**NAMES, "MaxBurstLength": "4096"}, ExpStatSN=0)
DONE = login_response({**TPGT, "MaxBurstLength": "4096"}, StatSN=101)


def begin(act: str, when: str = "Login-Request nth 1") -> Dialogue:
    """Connect through a proxy that splits a text."""
    talk = Dialogue(f"rules:\n  - when: {when} as split\n    do:\n      - split_text: {act}\n", connect=False)
    talk.connect(login=False)
    return talk


def rounds(talk: Dialogue) -> list[Rounds]:
    """Give the texts that are on their way in pieces."""
    return [one for one in talk.engine.standing if isinstance(one, Rounds)]


def partial(data: bytes = b"", **values: int) -> Pdu:
    """Make a Login Response that stays in its stage."""
    return login_response(data, **{"T": 0, "NSG": 0, "TSIH": 0, **values})


def logged_in(act: str, when: str) -> Dialogue:
    """Log in before anything is split."""
    talk = begin(act, when)
    talk.say(LOGIN, DONE.with_fields({"StatSN": 100}))
    return talk


# --- a Login Request ---


def test_by_C_a_login_request_is_cut_inside_a_key_and_the_initiator_sees_one_answer() -> None:
    talk = begin("C")
    (first,) = talk.say(LOGIN)
    assert (first["C"], first["T"], first["NSG"], first["CSG"]) == (1, 0, 0, 1)
    (second,) = talk.say(partial())
    assert first.data + second.data == LOGIN.data
    assert second == LOGIN.with_data(second.data).with_fields({"ExpStatSN": 101})
    assert first.data.endswith(b"\0Targe")
    assert talk.say(DONE) == [DONE]  # any StatSN is right for an initiator that has not seen one
    assert not rounds(talk)
    assert not talk.open_slots
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_no_number_is_translated_behind_rounds_before_the_first_response() -> None:
    talk = begin("C")
    talk.say(LOGIN, partial(), DONE)
    ping, pong = nop_out(5, 10, ExpStatSN=102), nop_in(5, 102)
    assert talk.say(ping, pong) == [ping, pong]


def test_by_T_the_answers_of_all_rounds_are_one() -> None:
    talk = begin("T")
    (first,) = talk.say(LOGIN)
    assert first == LOGIN.with_fields({"T": 0, "NSG": 0})
    (second,) = talk.say(partial(encode_text(TPGT.items())))
    assert second == LOGIN.with_data(b"").with_fields({"ExpStatSN": 101})
    (answer,) = talk.say(login_response({"MaxBurstLength": "4096"}, StatSN=101))
    assert answer == DONE
    assert str(talk.sent(End.INITIATOR)[0].changes[-1]).startswith("text ")


def test_more_rounds_are_more_rounds() -> None:
    talk = begin("{by: T, rounds: 4}")
    talk.say(LOGIN)
    for n in range(3):
        (out,) = talk.say(partial(f"X-{n}=1\0".encode(), StatSN=100 + n))
        assert (out.sender, out.data, out["T"], out["ExpStatSN"]) == (End.INITIATOR, b"", int(n == 2), 101 + n)
    (answer,) = talk.say(login_response({"MaxBurstLength": "4096"}, StatSN=103))
    assert answer.data == b"X-0=1\0X-1=1\0X-2=1\0MaxBurstLength=4096\0"


def test_what_a_round_says_besides_is_answered_to_the_proxy() -> None:
    talk = begin("{by: C, add: {1: [X-com.example.proxy=1]}, at: X-com.example.proxy+6}")
    (first,) = talk.say(LOGIN)
    assert first.data == LOGIN.data + b"X-com."
    (second,) = talk.say(partial())
    assert second.data == b"example.proxy=1\0"
    answer = login_response({**TPGT, "X-com.example.proxy": "NotUnderstood", "MaxBurstLength": "4096"}, StatSN=101)
    assert talk.say(answer) == [DONE]
    assert talk.engine.differs(1)


def test_a_key_said_twice_is_answered_once() -> None:
    talk = begin("{by: T, add: {2: [MaxBurstLength=512]}}")
    talk.say(LOGIN)
    (second,) = talk.say(partial(encode_text({**TPGT, "MaxBurstLength": "4096"}.items())))
    assert second.data == b"MaxBurstLength=512\0"
    (answer,) = talk.say(login_response({"MaxBurstLength": "512"}, StatSN=101))
    assert answer == DONE


def test_the_values_of_what_is_added_may_be_computed() -> None:
    talk = begin("{by: T, add: {2: [X-a=(length)]}}")
    (_, second) = talk.say(LOGIN, partial())
    assert second.data == f"X-a={len(LOGIN.data)}\0".encode()


def test_without_an_addition_both_ends_hold_the_same() -> None:
    talk = begin("T")
    talk.say(LOGIN, partial(), DONE)
    assert not talk.engine.differs(1)


def test_an_answer_in_several_pieces_is_heard_to_its_end_before_the_next_round() -> None:
    talk = begin("T")
    talk.say(LOGIN)
    (more,) = talk.say(partial(b"TargetPortal", C=1))
    assert (more.data, more["C"], more["T"], more["ExpStatSN"]) == (b"", 0, 0, 101)
    (second,) = talk.say(partial(b"GroupTag=1\0", StatSN=101))
    assert (second.data, second["T"], second["ExpStatSN"]) == (b"", 1, 102)
    assert talk.say(login_response({"MaxBurstLength": "4096"}, StatSN=102)) == [DONE.with_fields({"StatSN": 102})]


def test_a_refusal_ends_it() -> None:
    talk = begin("C")
    talk.say(LOGIN)
    refusal = partial(b"", **{"Status-Class": 2})
    assert talk.say(refusal) == [refusal]
    assert not talk.open_slots
    (noted,) = talk.told("noted")
    assert noted.startswith("#1: split_text: Login-Response")
    assert noted.endswith("ends it")


def test_a_target_that_is_through_too_early_is_taken_at_its_word() -> None:
    talk = begin("T")
    talk.say(LOGIN)
    final = DONE.with_fields({"StatSN": 100})
    assert talk.say(final) == [final]
    assert not talk.open_slots
    assert "ends it before all has been said" in talk.told("noted")[0]


def test_a_login_that_is_never_continued_is_answered_to_nobody() -> None:
    talk = begin("{by: C, finish: no}")
    (first,) = talk.say(LOGIN)
    assert first["C"] == 1
    assert talk.say(partial()) == []
    assert not talk.open_slots


def test_answers_that_are_too_long_for_one_pdu_come_in_pieces_themselves() -> None:
    talk = begin("T")
    long = b"X-a=" + b"x" * 5000 + b"\0"
    talk.say(LOGIN, partial(long))
    (one,) = talk.say(login_response(long.replace(b"X-a", b"X-b"), StatSN=101))
    assert (len(one.data), one["C"], one["T"], one["TSIH"], one["StatSN"]) == (8192, 1, 0, 0, 101)
    (other,) = talk.say(login_request(b"", ExpStatSN=102))
    assert one.data + other.data == long + long.replace(b"X-a", b"X-b")
    assert (other["C"], other["T"], other["TSIH"], other["StatSN"]) == (0, 1, 7, 102)
    ping, pong = talk.say(nop_out(5, 10, ExpStatSN=103), nop_in(5, 102))
    assert (ping["ExpStatSN"], pong["StatSN"]) == (102, 103)


def test_a_second_login_round_can_be_split_and_its_numbers_are_translated() -> None:
    talk = begin("T", "Login-Request nth 2")
    talk.say(login_request({**NAMES, "AuthMethod": "None"}, CSG=0, NSG=1))
    talk.say(login_response({**TPGT, "AuthMethod": "None"}, CSG=0, NSG=1, TSIH=0))
    (first,) = talk.say(login_request({"MaxBurstLength": "4096"}, ExpStatSN=101))
    assert first["T"] == 0
    (second,) = talk.say(partial(b"MaxBurstLength=4096\0", StatSN=101))
    assert second["ExpStatSN"] == 102
    (answer,) = talk.say(login_response(b"", StatSN=102))
    assert (answer.data, answer["StatSN"]) == (b"MaxBurstLength=4096\0", 101)
    ping, pong = talk.say(nop_out(5, 10, ExpStatSN=102), nop_in(5, 103))
    assert (ping["ExpStatSN"], pong["StatSN"]) == (103, 102)


# --- a Text Request ---


@pytest.mark.parametrize("immediate", [0, 1])
def test_by_F_a_text_request_is_finished_for_the_initiator(immediate: int) -> None:
    talk = logged_in("F", "Text-Request nth 1")
    asked = text_request(3, 10, b"SendTargets=All\0", I=immediate, ExpStatSN=101)
    (first,) = talk.say(asked)
    assert first == asked.with_fields({"F": 0})
    (second,) = talk.say(text_response(3, 101, b"TargetName=a\0", F=0, TTT=77, LUN=5, ExpCmdSN=11 - immediate))
    assert second.data == b""
    fields = {name: second[name] for name in ("F", "C", "TTT", "LUN", "ITT", "I", "CmdSN", "ExpStatSN")}
    cmd_sn = 10 if immediate else 11
    assert fields == {"F": 1, "C": 0, "TTT": 77, "LUN": 5, "ITT": 3, "I": immediate, "CmdSN": cmd_sn, "ExpStatSN": 102}
    (answer,) = talk.say(text_response(3, 102, b"TargetName=b\0", ExpCmdSN=12 - 2 * immediate))
    assert (answer.data, answer["F"], answer["TTT"], answer["StatSN"]) == (
        b"TargetName=a\0TargetName=b\0",
        1,
        NO_TAG,
        101,
    )
    ping, pong = talk.say(nop_out(5, 11 - immediate, ExpStatSN=102), nop_in(5, 103, ExpCmdSN=13 - 2 * immediate))
    assert ping["CmdSN"] == cmd_sn + 1 - immediate
    assert (pong["StatSN"], pong["ExpCmdSN"]) == (102, 12 - immediate)


def test_by_C_a_text_request_goes_on_with_the_tag_it_is_given() -> None:
    talk = logged_in("{by: C, at: [SendTargets+4, data+13]}", "Text-Request nth 1")
    asked = text_request(3, 10, b"SendTargets=All\0", I=1, ExpStatSN=101)
    (first,) = talk.say(asked)
    (second,) = talk.say(text_response(3, 101, F=0, TTT=77))
    (third,) = talk.say(text_response(3, 102, F=0, TTT=78))
    assert [one.data for one in (first, second, third)] == [b"Send", b"Targets=A", b"ll\0"]
    assert [(one["C"], one["F"], one["TTT"]) for one in (first, second, third)] == [
        (1, 0, NO_TAG),
        (1, 0, 77),
        (0, 1, 78),
    ]
    (answer,) = talk.say(text_response(3, 103, b"TargetName=a\0"))
    assert (answer.data, answer["StatSN"]) == (b"TargetName=a\0", 101)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"F": 0}, "without a Target Transfer Tag it cannot be continued"),
        ({"F": 1}, "ends it before all has been said"),
    ],
)
def test_a_text_that_cannot_be_continued_is_answered_all_the_same(values: dict[str, int], why: str) -> None:
    talk = logged_in("F", "Text-Request nth 1")
    talk.say(text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101))
    (answer,) = talk.say(text_response(3, 101, b"TargetName=a\0", **values))
    assert (answer.data, answer["F"], answer["TTT"]) == (b"TargetName=a\0", 1, NO_TAG)
    assert why in talk.told("noted")[0]
    assert not talk.open_slots


def test_a_reject_is_the_answer() -> None:
    talk = logged_in("F", "Text-Request nth 1")
    asked = text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101)
    (first,) = talk.say(asked)
    (answer,) = talk.say(reject(first.bhs))
    assert answer.opcode == Opcode.REJECT
    assert answer.data == first.bhs  # what the target got
    assert not talk.open_slots


def test_a_negotiation_that_is_never_continued_leaves_nobody_waiting() -> None:
    talk = logged_in("{by: F, finish: no}", "Text-Request nth 1")
    talk.say(text_request(3, 10, b"MaxRecvDataSegmentLength=8192\0", ExpStatSN=101))
    (answer,) = talk.say(text_response(3, 101, F=0, TTT=77))
    assert (answer["F"], answer["TTT"], answer["StatSN"]) == (1, NO_TAG, 101)
    assert not talk.open_slots


def test_others_need_not_wait_for_its_end() -> None:
    talk = logged_in("F", "Text-Request nth 1")
    talk.say(text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101))
    (ping,) = talk.say(nop_out(5, 11, ExpStatSN=101))
    assert ping["CmdSN"] == 11
    (second,) = talk.say(text_response(3, 101, F=0, TTT=77, ExpCmdSN=12))
    assert second["CmdSN"] == 12
    (later,) = talk.say(nop_out(6, 12, ExpStatSN=101))
    assert later["CmdSN"] == 13


def test_a_round_waits_for_room_in_the_window() -> None:
    talk = begin("F", "Text-Request nth 1")
    talk.say(LOGIN, DONE.with_fields({"StatSN": 100, "MaxCmdSN": 10}))
    talk.say(text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101))
    assert talk.say(text_response(3, 101, F=0, TTT=77, ExpCmdSN=11, MaxCmdSN=10)) == []
    out = talk.say(nop_in(NO_TAG, 102, TTT=9, ExpCmdSN=11, MaxCmdSN=40))
    assert [pdu.opcode for pdu in out if pdu.sender is End.INITIATOR] == [Opcode.TEXT_REQUEST]


# --- towards the initiator ---


def test_by_C_a_login_response_is_cut_and_the_empty_request_between_is_swallowed() -> None:
    talk = begin("C", "Login-Response nth 1")
    talk.say(LOGIN)
    (first,) = talk.say(DONE.with_fields({"StatSN": 100}))
    assert (first["C"], first["T"], first["NSG"], first["TSIH"], first["StatSN"]) == (1, 0, 0, 0, 100)
    (second,) = talk.say(login_request(b"", ExpStatSN=101))
    assert first.data + second.data == DONE.data
    assert (second["C"], second["T"], second["NSG"], second["TSIH"], second["StatSN"]) == (0, 1, 3, 7, 101)
    assert len(talk.sent(End.TARGET)) == 1
    ping, pong = talk.say(nop_out(5, 10, ExpStatSN=102), nop_in(5, 101))
    assert (ping["ExpStatSN"], pong["StatSN"]) == (101, 102)
    assert not talk.open_slots


def test_an_initiator_is_not_told_of_the_end_before_it_asks_for_it() -> None:
    talk = begin("C", "Login-Response nth 1")
    talk.say(LOGIN)
    (first,) = talk.say(DONE.with_fields({"StatSN": 100}))
    (second,) = talk.say(login_request(b"", T=0, NSG=0, ExpStatSN=101))
    assert first.data + second.data == DONE.data
    assert (second["C"], second["T"], second["TSIH"], second["StatSN"]) == (0, 0, 0, 101)
    (third,) = talk.say(login_request(b"", ExpStatSN=102))
    assert (third.data, third["T"], third["NSG"], third["TSIH"], third["StatSN"]) == (b"", 1, 3, 7, 102)
    assert not talk.open_slots


def test_by_T_the_initiator_is_made_to_ask_once_more() -> None:
    talk = begin("T", "Login-Response nth 1")
    talk.say(LOGIN)
    (first,) = talk.say(DONE.with_fields({"StatSN": 100}))
    assert (first.data, first["T"], first["NSG"], first["TSIH"]) == (DONE.data, 0, 0, 0)
    (second,) = talk.say(login_request({"MaxBurstLength": "4096"}, ExpStatSN=101))  # which it should not
    assert (second.data, second["T"], second["TSIH"], second["StatSN"]) == (b"", 1, 7, 101)
    assert "20 bytes that it said meanwhile" in talk.told("noted")[0]


def test_what_the_initiator_says_meanwhile_is_in_its_next_request() -> None:
    talk = begin("{by: T, add: {1: [X-t=1]}}", "Login-Response nth 1")
    talk.say(login_request(NAMES, T=0, NSG=0))
    (first,) = talk.say(partial(b"A=?\0"))
    assert first.data == b"A=?\0X-t=1\0"
    (second,) = talk.say(login_request(b"A=1\0X-t=NotUnderstood\0", T=0, NSG=0, ExpStatSN=101))
    assert second.data == b""
    (request,) = talk.say(login_request(b"B=2\0", ExpStatSN=102))
    assert (request.data, request["ExpStatSN"], request["T"]) == (b"A=1\0B=2\0", 101, 1)


def test_by_F_a_text_response_makes_the_initiator_ask_for_the_rest() -> None:
    talk = logged_in("{by: F, at: data+13}", "Text-Response nth 1")
    talk.say(text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101))
    (first,) = talk.say(text_response(3, 101, b"TargetName=a\0TargetName=b\0", ExpCmdSN=11))
    assert (first.data, first["F"], first["StatSN"]) == (b"TargetName=a\0", 0, 101)
    assert first["TTT"] != NO_TAG
    (second,) = talk.say(text_request(3, 11, b"", TTT=first["TTT"], ExpStatSN=102))
    assert (second.data, second["F"], second["TTT"], second["StatSN"]) == (b"TargetName=b\0", 1, NO_TAG, 102)
    ping, pong = talk.say(nop_out(5, 12, ExpStatSN=103), nop_in(5, 102, ExpCmdSN=12))
    assert (ping["CmdSN"], ping["ExpStatSN"]) == (11, 102)
    assert (pong["StatSN"], pong["ExpCmdSN"]) == (103, 13)


def test_an_initiator_that_begins_anew_is_let_through() -> None:
    talk = logged_in("F", "Text-Response nth 1")
    talk.say(text_request(3, 10, b"SendTargets=All\0", ExpStatSN=101))
    talk.say(text_response(3, 101, b"TargetName=a\0", ExpCmdSN=11))
    again = text_request(3, 11, b"SendTargets=All\0", ExpStatSN=102)
    assert [pdu.opcode for pdu in talk.say(again)] == [Opcode.TEXT_REQUEST]
    assert not talk.open_slots


# --- ends and errors ---


@pytest.mark.parametrize(
    ("act", "when", "why"),
    [
        ("F", "Login-Request nth 1", "a Login-Request has no F"),
        ("{by: C, at: Nowhere+1}", "Login-Request nth 1", "at: the text has no Nowhere"),
        ("{by: C, add: {5: [A=1]}}", "Login-Request nth 1", "add: there is no round 5, only 2"),
    ],
)
def test_what_cannot_be_split_goes_as_it_is(act: str, when: str, why: str) -> None:
    talk = begin(act, when)
    assert talk.say(LOGIN, DONE) == [LOGIN, DONE]
    assert talk.told("failed") == [f"#1: split_text: {why}"]


def test_half_a_text_is_no_round_of_its_own() -> None:
    talk = begin("T")
    half = login_request(b"InitiatorName=a", C=1, T=0, NSG=0)
    assert talk.say(half) == [half]
    assert talk.told("failed") == ["#1: split_text: the text goes on in another PDU (C=1)"]


def test_a_piece_has_to_fit() -> None:
    talk = begin("{by: T, add: {1: [X-a=1]}}")
    request = login_request({**NAMES, "X-pad": "x" * 8080})
    assert talk.say(request) == [request]
    assert talk.told("failed") == ["#1: split_text: a piece gets 8194 bytes long, the receiver takes 8192"]
    assert not rounds(talk)


def test_the_end_of_a_run_does_not_leave_half_a_text() -> None:
    talk = begin("C")
    (first,) = talk.say(LOGIN)
    talk.end()
    (second,) = talk.say(partial())
    assert first.data + second.data == LOGIN.data
    assert talk.say(DONE) == [DONE]


def test_the_end_of_the_connection_is_the_end_of_it() -> None:
    talk = begin("C")
    talk.say(LOGIN)
    talk.closed(End.TARGET)
    assert not talk.open_slots
    assert not rounds(talk)


def test_what_is_undone_is_not_waited_for() -> None:
    talk = Dialogue(
        "rules:\n  - when: Login-Request nth 1\n    do:\n      - split_text: C\n"
        "      - inject: {pdu: NOP-In, conn: other}\n  - when: R2T as other\n",
        connect=False,
    )
    talk.connect(login=False)
    assert talk.say(LOGIN, DONE) == [LOGIN, DONE]
    assert talk.told("failed") == ["#1: inject: other is not bound"]
    assert not rounds(talk)


def test_digests_are_those_of_the_leg() -> None:
    talk = Dialogue("rules:\n  - when: Text-Request nth 1\n    do:\n      - split_text: F\n", connect=False)
    talk.connect(keys={"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"})
    (first,) = talk.say(text_request(3, 10, b"SendTargets=All\0", I=1))
    (second,) = talk.say(text_response(3, 101, b"TargetName=a\0", F=0, TTT=77))
    (answer,) = talk.say(text_response(3, 102, b"TargetName=b\0"))
    for pdu in (first, second, answer):
        assert pdu.header_digest_ok()
        assert pdu.data_digest_ok() is (True if pdu.data else None)


# --- in a template ---

SWAP = """
rules:
  - when: NOP-Out nth 1
    do:
      - swap: {pdu: Text-Request, text: [MaxRecvDataSegmentLength=8192], as: odd, split_text: SPLIT}
"""
PROBE = """
rules:
  - when: NOP-Out nth 1
    do:
      - probe: {pdu: Text-Request, text: [X-a=1, X-b=2], as: odd, split_text: SPLIT}
"""


def test_a_swapped_text_in_rounds_is_one_answer_that_is_awaited() -> None:
    talk = Dialogue(SWAP.replace("SPLIT", "F"))
    (first,) = talk.say(nop_out(5, 10, b"ping"))
    assert (first.opcode, first["F"], first["ITT"], first["CmdSN"]) == (Opcode.TEXT_REQUEST, 0, 5, 10)
    (second,) = talk.say(text_response(5, 101, F=0, TTT=77, ExpCmdSN=11))
    assert (second.data, second["F"], second["TTT"], second["CmdSN"]) == (b"", 1, 77, 11)
    (pong,) = talk.say(text_response(5, 102, b"MaxRecvDataSegmentLength=65536\0", ExpCmdSN=12))
    assert (pong.opcode, pong.data, pong["StatSN"], pong["ExpCmdSN"]) == (Opcode.NOP_IN, b"ping", 101, 11)
    assert not talk.open_slots


def test_a_probed_text_in_rounds_is_waited_for_to_its_end() -> None:
    talk = Dialogue(PROBE.replace("SPLIT", "{by: C, at: X-b+2}"))
    (first,) = talk.say(nop_out(5, 10))
    assert (first.data, first["C"], first["F"], first["I"]) == (b"X-a=1\0X-", 1, 0, 1)
    (second,) = talk.say(text_response(first["ITT"], 101, F=0, TTT=77))
    assert (second.data, second["C"], second["F"], second["TTT"]) == (b"b=2\0", 0, 1, 77)
    assert (second["ITT"], second["CmdSN"], second["ExpStatSN"]) == (first["ITT"], 10, 102)
    (ping,) = talk.say(text_response(first["ITT"], 102, b"X-a=NotUnderstood\0X-b=NotUnderstood\0"))
    assert ping["ITT"] == 5
    assert talk.counts() == {"matched": 1, "fired": 1}
    (pong,) = talk.say(nop_in(5, 103))
    assert pong["StatSN"] == 101


def test_a_probe_that_cannot_be_continued_has_its_answer() -> None:
    talk = Dialogue(PROBE.replace("SPLIT", "F"))
    (first,) = talk.say(nop_out(5, 10))
    (ping,) = talk.say(text_response(first["ITT"], 101, F=0))
    assert ping["ITT"] == 5
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert not talk.open_slots


def test_an_injected_text_may_be_left_unfinished() -> None:
    talk = Dialogue(PROBE.replace("SPLIT", "{by: F, finish: no}").replace("probe", "inject"))
    first, ping = talk.say(nop_out(5, 10))
    assert (first["F"], ping["ITT"]) == (0, 5)
    assert talk.say(text_response(first["ITT"], 101, F=0, TTT=77)) == []
    assert [pdu["ITT"] for pdu in talk.say(nop_in(5, 102))] == [5]


def test_only_a_text_is_sent_in_rounds() -> None:
    other = PROBE.replace("SPLIT", "F").replace("pdu: Text-Request, text: [X-a=1, X-b=2]", "pdu: NOP-Out")
    with pytest.raises(FileError, match="and this is NOP-Out"):
        Dialogue(other)


def test_behind_a_logout_no_further_round_goes() -> None:
    talk = Dialogue("rules:\n  - when: Text-Request nth 1\n    do: {split_text: C}\n")
    (first,) = talk.say(text_request(5, 10, {"MaxRecvDataSegmentLength": "8192", "X-a": "1"}))
    assert first["C"]
    logout = Pdu.build(Opcode.LOGOUT_REQUEST).with_fields({"I": 1, "F": 1, "ITT": 6, "CmdSN": 11, "ExpStatSN": 101})
    assert [pdu.label for pdu in talk.say(logout)] == ["Logout-Request"]
    told = talk.say(text_response(5, 101, F=0, TTT=0x77))
    assert [(pdu.label, pdu["F"], pdu["TTT"]) for pdu in told] == [("Text-Response", 1, NO_TAG)]
    assert talk.open_slots == []
