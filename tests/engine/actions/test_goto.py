from __future__ import annotations

from iscsiproxy.engine.commands import Report, SetTimer
from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t
from tests.language.samples import outcome

__all__: list[str] = []

MACHINE = """machines:
  m:
    states:
      a: [{when: R2T, do: [{note: leaving}, {goto: b}]}]
      b: [{when: 2s, do: {goto: a}}]
"""


def test_it_changes_the_state_and_tells_so() -> None:
    talk = Dialogue(MACHINE)
    assert len(talk.say(r2t(2, 5))) == 1, "the PDU in hand goes on"
    assert talk.told("fired") == ["m.a#1: to state b"]
    assert talk.say(r2t(2, 6)) != []
    assert talk.told("noted") == ["m.a#1: leaving"]
    talk.tick(2)
    assert talk.told("fired")[1:] == ["m.b#1: to state a"]


def test_what_the_new_state_begins_with_comes_behind_the_report() -> None:
    talk = Dialogue(MACHINE)
    before = len(talk.commands)
    talk.say(r2t(2, 5))
    kinds = [type(one) for one in talk.commands[before:] if isinstance(one, Report | SetTimer)]
    assert kinds[-2:] == [Report, SetTimer]


def test_it_is_last_in_its_list() -> None:
    error = outcome(lambda: Dialogue(MACHINE.replace("[{note: leaving}, {goto: b}]", "[{goto: b}, drop]")))
    assert "the list ends with `goto`" in str(error)


def test_it_goes_to_a_state_of_its_own_machine() -> None:
    error = outcome(lambda: Dialogue(MACHINE.replace("{goto: b}", "{goto: bb}")))
    assert "there is no state of this machine called `bb`" in str(error)
    error = outcome(lambda: Dialogue("rules: [{when: R2T, do: {goto: b}}]\n" + MACHINE))
    assert "there is no state of this machine called `b`" in str(error)


def test_behind_a_pause_it_changes_the_state_when_that_is_over() -> None:
    talk = Dialogue(
        "machines: {m: {states: {a: [{when: R2T, do: [pass, {delay: 1s}, {goto: b}]}],"
        " b: [{when: Data-Out, do: drop}]}}}"
    )
    talk.say(r2t(2, 5))
    assert len(talk.say(data_out(2, 0))) == 1
    talk.tick(1)
    assert talk.say(data_out(2, 1)) == []


def test_to_its_own_state_it_enters_anew() -> None:
    talk = Dialogue("machines: {m: {states: {a: [{when: NOP-Out nth 2, do: {goto: a}}]}}}")
    talk.say(*(nop_out(9, 10) for _ in range(6)))
    assert talk.counts() == {"matched": 3, "fired": 3}
