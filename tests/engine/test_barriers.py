from __future__ import annotations

from iscsiproxy.session.events import Pinged
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import NO_TAG, Dialogue, nop_in, nop_out, scsi_response, text_request, text_response, write
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

HELD = "rules:\n  - when: SCSI-Command nth 1\n    do: {delay: barrier}\n"


def steps(talk: Dialogue) -> list[str]:
    return [event.what for event in talk.tells if isinstance(event, Pinged)]


def test_the_target_is_pinged_and_the_quiet_time_passes() -> None:
    talk = Dialogue(HELD)
    (ping,) = talk.say(write(1, 10))
    assert (ping.label, ping["I"], ping["CmdSN"], ping["TTT"]) == ("NOP-Out", 1, 10, NO_TAG)
    assert steps(talk) == ["sent"]
    assert talk.say(nop_in(ping["ITT"], 101)) == []
    assert steps(talk) == ["sent", "answered"]
    assert talk.tick(0.9) == []
    (held,) = talk.tick(0.2)
    assert (held["CmdSN"], held["ExpStatSN"]) == (10, 102)  # the answer is acknowledged to the target
    assert steps(talk) == ["sent", "answered", "passed"]
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_the_initiator_is_pinged_by_a_nop_in() -> None:
    talk = Dialogue("scenario: x\nvictim: initiator\nrules:\n  - when: SCSI-Response\n    do: {delay: barrier}\n")
    talk.say(write(1, 10))
    (ping,) = talk.say(scsi_response(1, 101))
    assert (ping.label, ping["ITT"], ping["StatSN"]) == ("NOP-In", NO_TAG, 101)
    assert talk.say(nop_out(NO_TAG, 11, I=1, TTT=ping["TTT"])) == []
    assert [pdu.label for pdu in talk.tick(1)] == ["SCSI-Response"]


def test_both_are_pinged_where_both_are_victims() -> None:
    talk = Dialogue("scenario: x\nvictim: both\nrules:\n  - when: SCSI-Command\n    do: {delay: barrier}\n")
    one, other = talk.say(write(1, 10))
    assert {one.label, other.label} == {"NOP-Out", "NOP-In"}
    out, into = (one, other) if one.label == "NOP-Out" else (other, one)
    talk.say(nop_in(out["ITT"], 101))
    assert talk.tick(1) == []
    talk.say(nop_out(NO_TAG, 10, I=1, TTT=into["TTT"]))
    assert [pdu.label for pdu in talk.tick(1)] == ["SCSI-Command"]


def test_no_answer_is_a_hang() -> None:
    talk = Dialogue(HELD)
    talk.say(write(1, 10))
    assert [pdu.label for pdu in talk.tick(5)] == ["SCSI-Command"]
    assert steps(talk) == ["sent", "hung"]


def test_a_close_ends_the_wait() -> None:
    talk = Dialogue(HELD)
    talk.say(write(1, 10))
    talk.closed(End.TARGET, "rst")
    assert steps(talk) == ["sent", "closed"]


def test_in_login_the_next_answer_stands_for_it() -> None:
    talk = Dialogue("rules:\n  - when: Login-Request\n    do:\n      - pass\n      - delay: barrier\n", connect=False)
    talk.connect(login=False)
    talk.say(login_request(NAMES))
    assert steps(talk) == ["sent"]
    assert [pdu.label for pdu in talk.say(login_response(TPGT))] == ["Login-Response"]
    talk.tick(1)
    assert steps(talk) == ["sent", "answered", "passed"]


def test_in_discovery_too() -> None:
    talk = Dialogue("rules:\n  - when: Text-Request\n    do:\n      - pass\n      - delay: barrier\n", connect=False)
    talk.connect(login=False)
    names = {"InitiatorName": NAMES["InitiatorName"], "SessionType": "Discovery"}
    talk.say(login_request(names), login_response())
    talk.say(text_request(5, 10, {"SendTargets": "All"}))
    assert steps(talk) == ["sent"]
    talk.say(text_response(5, 101))
    talk.tick(1)
    assert steps(talk) == ["sent", "answered", "passed"]


def test_one_on_a_connection_that_is_gone_is_closed_at_once() -> None:
    talk = Dialogue(HELD)
    number = talk.engine.ping(9, End.TARGET, "nobody")
    talk._carry_out(talk.engine.timer(0, talk.now))
    assert number == 1
    assert steps(talk) == ["closed"]
    assert "1 so far" in repr(talk.engine.barriers)


def test_each_moment_has_one_of_its_own() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command\n    do: {delay: {until: barrier, overtake: yes}}\n")
    first, second = talk.say(write(1, 10), write(2, 11))
    talk.say(nop_in(second["ITT"], 101))
    assert [pdu["ITT"] for pdu in talk.tick(1)] == [2]
    talk.say(nop_in(first["ITT"], 102))
    assert [pdu["ITT"] for pdu in talk.tick(1)] == [1]
