from __future__ import annotations

import pytest

from iscsiproxy.engine.commands import Resume
from iscsiproxy.session.events import How
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, data_out, scsi_response, write


def rule(act: str, when: str = "SCSI-Command nth 1") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - stall: {act}"


def test_nothing_is_read_or_written_until_the_moment() -> None:
    talk = Dialogue(rule("2s"))
    first, second, response = write(2, 10), write(3, 11), scsi_response(9, 101)
    assert talk.say(first, second) == []
    assert talk.say(response) == []
    assert talk.tick(2) == [first, response, second] or talk.bytes_to(End.TARGET).endswith(first.raw + second.raw)
    assert talk.sent(End.INITIATOR)[-1].pdu == response
    assert talk.open_slots == []
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_the_bytes_before_the_place_go_first() -> None:
    talk = Dialogue(rule("{until: 2s, at: header+20}"))
    pdu = write(2, 10, b"abcd")
    talk.say(pdu)
    before = talk.sent(End.TARGET)[-1]
    assert before.data == pdu.raw[:20]
    assert before.rules == ("x/#1",)
    talk.tick(2)
    assert talk.sent(End.TARGET)[-1].data == pdu.raw[20:]


def test_one_leg_alone_may_be_stalled() -> None:
    talk = Dialogue(rule("{until: 2s, end: target}"))
    talk.say(write(2, 10))
    assert talk.say(scsi_response(9, 101)) == []  # the target is not read
    talk.tick(2)
    assert talk.sent(End.INITIATOR)[-1].pdu["ITT"] == 9


def test_at_the_end_of_the_pdu_it_goes_first() -> None:
    talk = Dialogue(rule("{until: 2s, at: end}"))
    first, second = write(2, 10), write(3, 11)
    assert talk.say(first, second) == [first]
    assert talk.tick(2) == [second]


def test_at_most_ends_it() -> None:
    talk = Dialogue(rule("{until: Logout-Request, at_most: 3s}"))
    pdu = write(2, 10)
    assert talk.say(pdu) == []
    assert talk.tick(3) == [pdu]
    assert talk.counts() == {"matched": 1, "expired": 1}


def test_without_an_at_most_it_lasts() -> None:
    talk = Dialogue(rule("{until: Logout-Request, at_most: no}"))
    assert talk.say(write(2, 10)) == []
    assert talk.tick(100_000) == []
    assert talk.counts() == {"matched": 1}


def test_the_end_of_the_run_ends_it() -> None:
    talk = Dialogue(rule("{until: Logout-Request, at: header+1}"))
    pdu = write(2, 10)
    talk.say(pdu)
    talk.end()
    assert talk.bytes_to(End.TARGET).endswith(pdu.raw)
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_what_has_begun_to_go_cannot_be_changed() -> None:
    talk = Dialogue(rule("{until: 1s, at: header+1}") + "\n      - set: {LUN: 1}")
    pdu = write(2, 10)
    talk.say(pdu)
    talk.tick(1)
    assert talk.bytes_to(End.TARGET).endswith(pdu.raw)
    assert talk.told("failed") == ["#1: set: 1 bytes of this PDU have gone already"]


def test_with_nothing_in_hand_every_connection_is_stalled() -> None:
    talk = Dialogue("rules:\n  - when: 1s\n    do: {stall: 1s}")
    talk.connect(2, ISID=0x800000000002)
    talk.tick(1)
    pdus = [data_out(2, 0), data_out(3, 0)]
    assert talk.say(pdus[0]) == []
    assert talk.say(pdus[1], conn=2) == []
    assert sorted(pdu["ITT"] for pdu in talk.tick(1)) == [2, 3]


def test_a_stall_ends_with_the_sender() -> None:
    talk = Dialogue(rule("{until: 5s, end: initiator}"))
    talk.say(write(2, 10))
    talk.closed(End.INITIATOR)
    assert talk.say(scsi_response(9, 101))[0]["ITT"] == 9


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("at", ["start", "header+20", "end"])
def test_a_leg_stays_silent_although_the_other_one_has_ended(how: How, at: str) -> None:
    text = rule(f"{{until: 50s, end: target, at: {at}}}") + "\n      - close: {how: rst, end: target}"
    talk = Dialogue(text)
    pdu = write(2, 10, b"abcd")
    talk.say(pdu)
    before = talk.bytes_to(End.TARGET)
    talk.closed(End.INITIATOR, how)
    assert talk.open_slots == []
    talk.tick(49)
    assert not any(isinstance(one, str | Resume) for one in (*talk.wire, *talk.commands)), "neither closed nor over"
    talk.tick(1)
    assert talk.wire[-1] == "rst target"
    assert talk.bytes_to(End.TARGET) == before, "what was in hand has lost its sender"
    assert talk.counts() == {"matched": 1, "fired": 1}
    if at != "end":
        assert talk.told("ended") == ["#1: #1: its sender has gone, but the other leg stays silent"]


def test_the_initiator_may_be_kept_silent_when_the_target_has_gone() -> None:
    talk = Dialogue(rule("{until: 50s, end: initiator}"))
    talk.say(write(2, 10))
    talk.closed(End.TARGET, "rst")
    assert talk.open_slots == []
    assert not any(isinstance(one, Resume) for one in talk.commands)
    talk.tick(50)
    assert sum(isinstance(one, Resume) for one in talk.commands) == 1


def test_the_target_is_left_half_open_by_two_rules() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1\n    do: {stall: {until: 50s, end: target}}\n"
        "  - when: SCSI-Command nth 1 then 10ms\n    do: {close: {how: rst, end: initiator}}\n"
    )
    talk = Dialogue(text)
    talk.say(write(2, 10))
    talk.tick(0.01)
    assert talk.wire[-1] == "rst initiator"
    talk.tick(49)
    assert talk.wire[-1] == "rst initiator"
    assert not any(isinstance(one, Resume) for one in talk.commands)
    assert (talk.counts("#1"), talk.counts("#2")) == ({"matched": 1}, {"matched": 1, "fired": 1})
