from __future__ import annotations

from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t, write

__all__: list[str] = []

TEXT = """rules:
  - {when: Data-Out, do: drop, name: lose}
  - {when: R2T, do: {disarm: lose}}
"""


def test_it_takes_a_rule_out_of_force() -> None:
    talk = Dialogue(TEXT)
    assert talk.say(data_out(2, 0)) == []
    talk.say(r2t(2, 5))
    assert len(talk.say(data_out(2, 1))) == 1
    assert talk.told("fired")[-1] == "#2: lose is out of force"
    talk.say(r2t(2, 6))
    assert talk.told("fired")[-1] == "#2: lose is out of force already"


def test_its_timers_are_dead() -> None:
    talk = Dialogue("rules: [{when: 2s, do: {note: x}, name: later}, {when: R2T, do: {disarm: later}}]")
    talk.say(r2t(2, 5))
    talk.tick(3)
    assert talk.told("noted") == []


def test_what_a_rule_has_begun_goes_on() -> None:
    talk = Dialogue(
        "rules: [{when: SCSI-Command, do: [{delay: 2s}, {note: x}], name: later}, {when: R2T, do: {disarm: later}}]"
    )
    talk.say(write(2, 10), r2t(3, 5))
    talk.tick(2)
    assert talk.told("noted") == ["later: x"]


def test_a_rule_may_disarm_itself() -> None:
    talk = Dialogue("rules: [{when: NOP-Out, do: [{disarm: once}, drop], name: once}]")
    assert talk.say(nop_out(9, 10)) == []
    assert len(talk.say(nop_out(9, 11))) == 1


def test_it_disarms_in_every_instance_of_a_machine() -> None:
    text = """
rules: [{when: R2T, do: {disarm: lose}}]
machines: {m: {per: connection, states: {a: [{when: Data-Out, do: drop, name: lose}]}}}
"""
    talk = Dialogue(text)
    talk.connect(2, ISID=0x800000000002)
    assert talk.say(data_out(2, 0)) == talk.say(data_out(2, 0), conn=2) == []
    talk.say(r2t(2, 5))
    talk.connect(3, ISID=0x800000000003)
    assert [len(talk.say(data_out(2, 0), conn=conn)) for conn in (1, 2, 3)] == [1, 1, 1]
