from __future__ import annotations

from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t
from tests.language.samples import outcome

__all__: list[str] = []


def rules(*lines: str) -> str:
    return "rules:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


ARM = "when: R2T, do: {arm: lose}"


def test_a_rule_that_is_not_armed_waits_for_it() -> None:
    talk = Dialogue(rules("when: Data-Out, do: drop, name: lose, armed: no", ARM))
    assert len(talk.say(data_out(2, 0))) == 1
    talk.say(r2t(2, 5))
    assert talk.say(data_out(2, 1)) == []
    assert talk.told("fired") == ["#2: lose is in force", "lose: not sent"]


def test_it_takes_effect_between_pdus() -> None:
    talk = Dialogue(rules("when: R2T, do: {arm: lose}", "when: R2T, do: drop, name: lose, armed: no"))
    assert len(talk.say(r2t(2, 5))) == 1
    assert talk.say(r2t(2, 6)) == []


def test_picks_and_sequences_start_anew() -> None:
    talk = Dialogue(
        rules(
            "when: Data-Out nth 2, do: drop, name: lose",
            "when: R2T, do: {arm: lose}",
            "when: NOP-Out, do: {disarm: lose}",
        )
    )
    assert [pdu["DataSN"] for pdu in talk.say(*(data_out(2, sn) for sn in range(4)))] == [0, 2, 3]
    talk.say(nop_out(9, 10), r2t(2, 5))
    assert [pdu["DataSN"] for pdu in talk.say(*(data_out(2, sn) for sn in range(4)))] == [0, 2, 3]


def test_a_rule_that_is_in_force_stays_as_it_is() -> None:
    talk = Dialogue(rules("when: Data-Out nth 2, do: drop, name: lose", ARM))
    talk.say(data_out(2, 0), r2t(2, 5))
    assert talk.say(data_out(2, 1)) == [], "the first one still counts"
    assert talk.told("fired")[0] == "#2: lose is in force already"


def test_a_rule_that_has_ended_comes_back_with_its_end() -> None:
    talk = Dialogue(rules("when: Data-Out, do: drop, name: lose, until: NOP-Out nth 2", ARM))
    for _ in range(2):
        talk.say(nop_out(9, 10))
        assert talk.say(data_out(2, 0)) == []
        talk.say(nop_out(9, 11))
        assert len(talk.say(data_out(2, 0))) == 1
        talk.say(r2t(2, 5))


def test_durations_run_from_the_arming() -> None:
    talk = Dialogue(rules("when: 2s, do: {note: x}, name: lose, armed: no", ARM))
    talk.tick(3)
    talk.say(r2t(2, 5))
    talk.tick(1.9)
    assert talk.told("noted") == []
    talk.tick(0.2)
    assert talk.told("noted") == ["lose: x"]


def test_a_rule_that_was_never_armed_has_never_fired() -> None:
    talk = Dialogue(rules("when: Data-Out, do: drop, name: lose, armed: no", "when: R2T, do: {arm: lose}"))
    talk.say(data_out(2, 0))
    assert talk.engine.unfired() == ("x/lose", "x/#2")


def test_a_rule_of_a_machine_may_be_armed_for_whenever_its_state_comes() -> None:
    text = """
rules:
  - {when: SCSI-Response, do: {disarm: lose}}
  - {when: R2T, do: {arm: lose}}
machines:
  m:
    states:
      a: [{when: NOP-Out, do: {goto: b}}]
      b:
        - {when: Data-Out, do: drop, name: lose, armed: no}
        - {when: NOP-Out, do: {goto: a}}
"""
    talk = Dialogue(text)
    talk.say(nop_out(9, 10))
    assert len(talk.say(data_out(2, 0))) == 1
    talk.say(r2t(2, 5))
    assert talk.say(data_out(2, 0)) == []
    talk.say(nop_out(9, 11))
    assert len(talk.say(data_out(2, 0))) == 1, "armed, but not in its state"
    talk.say(nop_out(9, 12))
    assert talk.say(data_out(2, 0)) == []


def test_only_a_rule_with_a_name_waits_to_be_armed() -> None:
    error = outcome(lambda: Dialogue(rules("when: Data-Out, do: drop, armed: no")))
    assert "a rule that is not armed needs a name" in str(error)
    error = outcome(lambda: Dialogue(rules("when: R2T, do: {arm: loose}", "when: Data-Out, do: drop, name: lose")))
    assert "there is no rule with a name called `loose`" in str(error)
    assert "lose" in str(getattr(error, "hint", ""))
