from __future__ import annotations

from typing import Final

from iscsiproxy.wire.framing import EVERYTHING, Interest
from iscsiproxy.wire.opcodes import End, Opcode
from tests.engine.dialogue import Dialogue, data_in, nop_in, nop_out, read, reject, scsi_response, write

__all__: list[str] = []

_NOTHING: Final = (Interest.NONE,) * 64


def looked_at(talk: Dialogue, sender: End) -> set[Opcode]:
    """Say of which PDUs that an end sends the whole is looked at."""
    table = talk.engine.interest(sender)
    return {opcode for opcode in Opcode if table[opcode] is Interest.WHOLE}


def test_without_rules_nothing_is_looked_at() -> None:
    talk = Dialogue()
    assert [talk.engine.interest(end) for end in End] == [_NOTHING] * 2


def test_the_whole_is_looked_at_of_what_a_rule_is_about_and_the_header_of_all_else() -> None:
    talk = Dialogue()
    talk.arm("drop Data-Out", name="a")
    talk.arm("drop Data-In where S", name="b")
    assert looked_at(talk, End.INITIATOR) == {Opcode.DATA_OUT}
    assert looked_at(talk, End.TARGET) == {Opcode.DATA_IN}
    assert {one for end in End for one in talk.engine.interest(end)} == {Interest.WHOLE, Interest.HEADER}
    talk.dismiss("a")
    assert looked_at(talk, End.INITIATOR) == set()
    talk.dismiss("b")
    assert [talk.engine.interest(end) for end in End] == [_NOTHING] * 2


def test_moments_of_acts_and_ends_of_rules_are_looked_for_too() -> None:
    talk = Dialogue("rules:\n  - {when: NOP-Out, do: {delay: TMF-Request}, until: Logout-Request}\n")
    assert looked_at(talk, End.INITIATOR) == {Opcode.NOP_OUT, Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST}


def test_what_belongs_to_a_name_needs_the_requests_that_may_take_its_tag_over() -> None:
    talk = Dialogue("rules:\n  - when: Data-Out as n\n  - {when: SCSI-Response of n, do: drop}\n")
    assert {Opcode.SCSI_COMMAND, Opcode.NOP_OUT, Opcode.TMF_REQUEST} <= looked_at(talk, End.INITIATOR)


def test_an_escalation_may_be_an_async_message() -> None:
    talk = Dialogue()
    talk.arm("note gone when escalation")
    assert looked_at(talk, End.TARGET) == {Opcode.ASYNC}


def test_what_adds_pdus_has_every_number_looked_at_from_then_on() -> None:
    talk = Dialogue()
    talk.arm("inject NOP-Out when R2T")
    assert talk.engine.interest(End.INITIATOR) == EVERYTHING
    talk.dismiss("line")
    assert talk.engine.interest(End.INITIATOR) == EVERYTHING, "the two ends count differently by now"


def test_only_rules_that_ask_for_it_see_what_is_delivered() -> None:
    talk = Dialogue()
    talk.arm("note seen when NOP-Out", name="a")
    assert not talk.engine.sees_delivered(Opcode.NOP_OUT)
    talk.arm("note there when NOP-Out at target", name="b")
    assert talk.engine.sees_delivered(Opcode.NOP_OUT)
    talk.say(nop_out(9, 10))
    assert talk.told("noted") == ["#1: seen", "#1: there"]
    talk.dismiss("b")
    assert not talk.engine.sees_delivered(Opcode.NOP_OUT)


def test_a_rule_does_not_see_a_name_that_another_binds_on_the_same_pdu() -> None:
    talk = Dialogue("rules:\n  - when: SCSI-Command as n\n  - {when: SCSI-Command where ITT == n.ITT, do: drop}\n")
    assert talk.say(read(2, 10)) != []
    assert talk.say(read(2, 11)) == []


def test_an_end_takes_a_rule_out_before_it_can_act() -> None:
    talk = Dialogue("rules:\n  - {when: NOP-Out, do: drop, until: NOP-Out nth 2}\n")
    assert [pdu["ITT"] for pdu in talk.say(nop_out(2, 10), nop_out(3, 11), nop_out(4, 12))] == [3, 4]
    assert not any(rule.armed_now for rule in talk.engine.rules())


def test_what_waited_goes_on_before_anything_is_done_about_what_came() -> None:
    talk = Dialogue("rules:\n  - {when: NOP-Out, do: {delay: NOP-In}}\n  - {when: NOP-In, do: {note: came}}\n")
    talk.say(nop_out(9, 10), nop_in(5, 101))
    assert [(one.kind, one.rule) for one in talk.reports if one.kind in ("fired", "noted")] == [
        ("fired", "x/#1"),
        ("noted", "x/#2"),
    ]


def test_what_leaves_nothing_in_hand_is_a_list_for_each_rule() -> None:
    talk = Dialogue("rules:\n  - {when: close, do: {note: a}}\n  - {when: close, do: {note: b}}\n")
    talk.closed(End.TARGET)
    assert talk.told("noted") == ["#1: a", "#2: b"]


def test_a_header_that_rules_a_rule_out_costs_no_look_at_it() -> None:
    talk = Dialogue("rules:\n  - {when: SCSI-Command where W, do: drop}\n  - {when: Reject, do: drop}\n")
    about = talk.engine._by_opcode[Opcode.SCSI_COMMAND]
    assert about is not None
    assert [rule.name for rule in about(write(2, 10).bhs)] == ["x/#1"]
    assert about(read(2, 10).bhs) == []
    assert talk.engine._by_opcode[Opcode.DATA_IN] is None
    assert len(talk.say(read(2, 10), data_in(2, 0), scsi_response(2, 101))) == 3
    assert talk.say(reject(read(2, 10).bhs)) == []
